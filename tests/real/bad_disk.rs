//! Journal and store on a disk that fails now and then: random operations against a model, with failed writes, a full disk, short writes and
//! failed fsyncs, and with kill -9. A library that is loaded before the C library makes the faults, so they reach SQLite and files alike.

#![allow(clippy::print_stdout, reason = "a process of the test prints what it was promised")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plantroom::clock::{self, Clock};
use plantroom::journal::cursor::Position;
use plantroom::journal::fetch::Cursor;
use plantroom::journal::query::HistoryQuery;
use plantroom::journal::{Journal, JournalSettings};
use plantroom::model::effects::Keep;
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::reading::{Body, Reading, Sample};
use plantroom::model::stream::Stream;
use plantroom::model::time::{MonotonicMillis, UnixMillis};
use plantroom::model::value::Value;
use plantroom::store::error::StoreError;
use plantroom::store::event::{Batch, EventQuery, EventRow};
use plantroom::store::log::{self, Store};
use rust_decimal::Decimal;

use crate::support::Dir;

/// Calls on files below `BAD_DIR` fail so many times in a thousand as the file `BAD_MODE` says: `KIND PER_MILLE`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static unsigned long state = 0;
static int chance(int fd, const char *kind) {
    const char *dir = getenv("BAD_DIR"), *mode = getenv("BAD_MODE"), *seed = getenv("BAD_SEED");
    char link[64], path[512], text[64], wanted[32];
    int per_mille = 0;
    if (!dir || !mode) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    if (strncmp(path, dir, strlen(dir))) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, mode, O_RDONLY);
    if (file < 0) return 0;
    n = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (n <= 0) return 0;
    text[n] = 0;
    if (sscanf(text, "%31s %d", wanted, &per_mille) != 2) return 0;
    if (strcmp(wanted, kind) && strcmp(wanted, "all")) return 0;
    if (!state) state = seed ? strtoul(seed, 0, 10) | 1 : 1;
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (int)(state % 1000) < per_mille;
}
static long bad(int fd, size_t *count) {
    if (chance(fd, "eio")) { errno = EIO; return -1; }
    if (chance(fd, "full")) { errno = ENOSPC; return -1; }
    if (*count > 1 && chance(fd, "short")) *count /= 2;
    return 0;
}
ssize_t write(int fd, const void *data, size_t count) {
    if (bad(fd, &count)) return -1;
    return syscall(SYS_write, fd, data, count);
}
ssize_t pwrite(int fd, const void *data, size_t count, off_t at) {
    if (bad(fd, &count)) return -1;
    return syscall(SYS_pwrite64, fd, data, count, at);
}
ssize_t pwrite64(int fd, const void *data, size_t count, off_t at) { return pwrite(fd, data, count, at); }
int ftruncate(int fd, off_t size) {
    if (chance(fd, "eio")) { errno = EIO; return -1; }
    return (int)syscall(SYS_ftruncate, fd, size);
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }
int fsync(int fd) {
    if (chance(fd, "sync")) { errno = EIO; return -1; }
    return (int)syscall(SYS_fsync, fd);
}
int fdatasync(int fd) {
    if (chance(fd, "sync")) { errno = EIO; return -1; }
    return (int)syscall(SYS_fdatasync, fd);
}
"#;

/// Number of raw segments in a journal's directory: one is open, the others are not sealed yet.
fn raw_segments(journal: &Path) -> usize {
    let is_raw = |path: &Path| {
        path.extension().is_some_and(|e| e == "db")
            && path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("raw-"))
    };
    std::fs::read_dir(journal).unwrap().flatten().filter(|f| is_raw(&f.path())).count()
}

/// A small generator (xorshift), so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn settings() -> JournalSettings {
    JournalSettings { commit_ms: 10, sync_s: 1, keep_free_mb: 0, ..JournalSettings::default() }
}

fn clock() -> Clock {
    Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0))
}

fn stream(device: u64) -> Arc<Stream> {
    let register = PointMeta::new("n", PointKind::Counter, Retention::Cumulative, Encoding::Exact(0));
    let number = PointMeta::new("x", PointKind::Number, Retention::Telemetry, Encoding::F64);
    Stream::new(format!("d{device}"), "u/fast".into(), 1_000, vec![register, number])
}

fn decision(n: u64) -> Batch {
    let row = EventRow {
        id: 0,
        room: "test".into(),
        key: n.to_string(),
        event: "decided".into(),
        at: UnixMillis(1),
        trusted: true,
        mono: MonotonicMillis(1),
        actor: String::new(),
        via: String::new(),
        note: String::new(),
        body: "{}".into(),
    };
    let keep = Keep { room: "test", key: "n".into(), format: 1, bytes: Some(n.to_string().into_bytes()) };
    Batch { rows: vec![row], keep: vec![keep] }
}

/// The process under test: it does random things and prints what it was promised, a line each.
struct Worker {
    random: Random,
    clock: Clock,
    journal: Journal,
    store: Store,
    streams: [Arc<Stream>; 3],
    /// The value appended last.
    n: u64,
    /// Numbers of this run, and how many of them are promised to be on disk.
    seqs: Vec<u64>,
    promised: usize,
    values: Arc<Mutex<BTreeMap<u64, u64>>>,
    deciding: Option<(u64, tokio::sync::oneshot::Receiver<Result<(), StoreError>>)>,
    /// The position acknowledged last, and how many readings were appended before.
    acked: Option<(u64, usize)>,
}

impl Worker {
    fn append(&mut self) {
        self.n += 1;
        let (n, small) = (self.n, f64::from(u32::try_from(self.n).unwrap()));
        let samples: Vec<Option<Sample>> = vec![Some(Ok(Value::Exact(Decimal::from(n)))), Some(Ok(Value::F64(small)))];
        let stream = Arc::clone(&self.streams[usize::try_from(n % 3).unwrap()]);
        let body = Body::Samples { samples, parts: Vec::new() };
        // The map is locked until the value is in it: a reader that is quicker waits.
        let mut values = self.values.lock().unwrap();
        let seq = self.journal.append(Reading { stream, at: self.clock.stamp(), body }).seq;
        values.insert(seq, n);
        drop(values);
        self.seqs.push(seq);
        println!("value {seq} {n}");
    }

    fn say_what_is_committed(&mut self) {
        let committed = usize::try_from(self.journal.health().committed.load(Ordering::Relaxed)).unwrap();
        while self.promised < committed {
            println!("committed {}", self.seqs[self.promised]);
            self.promised += 1;
        }
        match self.acked {
            // A reading appended after it is committed: so is the cursor.
            Some((seq, count)) if committed > count => {
                println!("stored {seq}");
                self.acked = None;
            }
            None if self.promised > 0 && self.random.below(4) == 0 => {
                let seq = self.seqs[self.promised - 1];
                self.journal.ack("c", Position::at(seq));
                self.acked = Some((seq, self.seqs.len()));
            }
            _ => {}
        }
    }

    fn decide(&mut self) {
        let (n, store) = (self.n, &self.store);
        let (number, mut answer) = self.deciding.take().unwrap_or_else(|| (n, store.commit(decision(n))));
        match answer.try_recv() {
            Ok(Ok(())) => println!("decided {number}"),
            Err(tokio::sync::oneshot::error::TryRecvError::Empty) => self.deciding = Some((number, answer)),
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

fn work(dir: &Path, mode: Option<&Path>, seed: u64, first: u64, lasts: Duration) {
    let clock = clock();
    let (journal, writer) = match Journal::open(&dir.join("journal"), &settings(), &clock, "boot") {
        Ok(opened) => opened,
        Err(why) => return println!("refused {why}"),
    };
    let store = match Store::open(&dir.join("store.db"), "boot") {
        Ok((_, Some(damage))) => return println!("WRONG {damage}"),
        Ok((store, None)) => store,
        Err(why) => return println!("refused {why}"),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut worker = Worker {
        random: Random(seed | 1),
        clock,
        journal,
        store,
        streams: [stream(0), stream(1), stream(2)],
        n: first,
        seqs: Vec::new(),
        promised: 0,
        values: Arc::default(),
        deciding: None,
        acked: None,
    };
    let reader = reader(&worker.journal, &worker.values, &stop);
    let began = Instant::now();
    while began.elapsed() < lasts {
        for _ in 0..=worker.random.below(20) {
            worker.append();
        }
        worker.say_what_is_committed();
        worker.decide();
        if let Some(mode) = mode
            && worker.random.below(40) == 0
        {
            let kind =
                ["none", "eio", "full", "short", "sync", "all"][usize::try_from(worker.random.below(6)).unwrap()];
            let per_mille = [1, 20, 300, 1_000][usize::try_from(worker.random.below(4)).unwrap()];
            std::fs::write(mode, format!("{kind} {per_mille}\n")).unwrap();
        }
        std::thread::sleep(Duration::from_millis(worker.random.below(8)));
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    writer.stop();
    println!("ended");
}

/// Reads everything of this run at once, as a sink does; prints what is wrong.
fn reader(
    journal: &Journal,
    values: &Arc<Mutex<BTreeMap<u64, u64>>>,
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let mut cursor = Cursor::new(journal.clone(), Position::at(journal.newest_seq()));
    let (values, stop) = (Arc::clone(values), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut last = 0;
        while !stop.load(Ordering::Relaxed) {
            for item in cursor.fetch(50) {
                let (seq, expected) = (item.entry.seq, values.lock().unwrap().get(&item.entry.seq).copied());
                let got = number(&item.entry.reading);
                if seq <= last || got != expected {
                    println!("WRONG reader: {seq} after {last}: {got:?}, appended was {expected:?}");
                }
                last = seq;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}

fn number(reading: &Reading) -> Option<u64> {
    reading.sample(0)?.ok()?.to_string().parse().ok()
}

/// What the process was promised so far, over all rounds.
#[derive(Default)]
struct Model {
    /// Number -> value of everything that was appended.
    values: BTreeMap<u64, u64>,
    committed: BTreeSet<u64>,
    decided: BTreeSet<u64>,
    /// The last acknowledged position that must be on disk, and the highest that may be.
    cursor: (u64, u64),
    refused: u32,
}

impl Model {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let of = |i: usize| words[i].parse::<u64>().unwrap_or_else(|_| panic!("{line}"));
        match words[0] {
            "value" => assert_eq!(self.values.insert(of(1), of(2)), None, "number {} is given twice", words[1]),
            "committed" => drop(self.committed.insert(of(1))),
            "decided" => drop(self.decided.insert(of(1))),
            "stored" => self.cursor.0 = of(1),
            "refused" => self.refused += 1,
            "ended" => {}
            _ => panic!("{line}"),
        }
    }

    /// Compares what is on disk with what was promised.
    fn check(&self, dir: &Path, when: &str) {
        let journal = Journal::open_read_only(&dir.join("journal"), &settings(), &clock()).unwrap();
        let mut cursor = Cursor::new(journal.clone(), Position::at(0));
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        loop {
            let items = cursor.fetch(500);
            if items.is_empty() {
                break;
            }
            for item in items {
                // A number that a killed process had given and not printed yet is not known here.
                let value =
                    number(&item.entry.reading).unwrap_or_else(|| panic!("{when}: {} has no value", item.entry.seq));
                found.insert(item.entry.seq, value);
            }
        }
        for (seq, value) in &found {
            assert!(
                self.values.get(seq).is_none_or(|v| v == value),
                "{when}: {seq} is {value}, not {:?}",
                self.values.get(seq)
            );
        }
        let lost: Vec<&u64> = self.committed.iter().filter(|seq| !found.contains_key(seq)).collect();
        assert!(lost.is_empty(), "{when}: {} committed readings are not there, such as {:?}", lost.len(), lost.first());
        let position = journal.position("c").low_watermark;
        assert!(position >= self.cursor.0, "{when}: the cursor is at {position}, {} was stored", self.cursor.0);
        assert!(
            found.keys().next_back().is_none_or(|last| position <= *last) || self.cursor.0 == 0,
            "{when}: cursor {position}"
        );
        let events = log::events(&dir.join("store.db"), &EventQuery::default()).unwrap_or_default();
        let there: BTreeSet<u64> = events.iter().filter_map(|e| e.key.parse().ok()).collect();
        let lost: Vec<&u64> = self.decided.difference(&there).collect();
        assert!(lost.is_empty(), "{when}: decisions are not there: {lost:?}");
        if let Some(last) = self.decided.last() {
            let kept = log::load_state(&dir.join("store.db"), "test").unwrap();
            let kept: u64 = String::from_utf8(kept["n"].1.clone()).unwrap().parse().unwrap();
            assert!(
                kept >= *last && there.contains(&kept),
                "{when}: state {kept} and its event are one transaction, {last} was decided"
            );
        }
    }
}

/// Started by the test below under a loaded library; by itself it works on a good disk and checks the model.
#[test]
fn worker() {
    let env = |name: &str| std::env::var(name).ok();
    if let (Some(dir), Some(mode)) = (env("BAD_DIR"), env("BAD_MODE")) {
        let number = |name: &str| env(name).unwrap().parse::<u64>().unwrap();
        let lasts = Duration::from_millis(number("BAD_MS"));
        return work(Path::new(&dir), Some(Path::new(&mode)), number("BAD_SEED"), number("BAD_FIRST"), lasts);
    }
    let dir = Dir::new("good-disk");
    work(&dir.0, None, 7, 0, Duration::from_millis(300));
    let model = Model::default();
    model.check(&dir.0, "a good disk");
}

fn shim(dir: &Dir) -> PathBuf {
    let (source, library) = (dir.write("bad.c", SHIM), dir.path("bad.so"));
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(made.is_ok_and(|status| status.success()), "a C compiler is needed: run scripts/setup-tests.sh");
    library
}

#[test]
fn what_was_promised_on_a_bad_disk_is_there() {
    let env = |name: &str, default: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    // By hand: PLANTROOM_BAD_DISK=300 rounds, PLANTROOM_SEED to repeat a run.
    let rounds = env("PLANTROOM_BAD_DISK", 15);
    let seed = env("PLANTROOM_SEED", u64::try_from(clock().wall().0).unwrap());
    println!("seed {seed}");
    let (tools, disk) = (Dir::new("bad-disk-tools"), Dir::new("bad-disk"));
    let (library, mode) = (shim(&tools), tools.path("mode"));
    let mut random = Random(seed | 1);
    let mut model = Model::default();
    for round in 0..rounds {
        // One round in three opens its files while the disk fails already.
        let begins = if random.below(3) == 0 { "all 20\n" } else { "none 0\n" };
        std::fs::write(&mode, begins).unwrap();
        let ms = 300 + random.below(1_500);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["bad_disk::worker", "--exact", "--nocapture"]).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("LD_PRELOAD", &library).env("BAD_DIR", &disk.0).env("BAD_MODE", &mode);
        command.env("BAD_SEED", (random.below(u64::MAX) | 1).to_string());
        command.env("BAD_FIRST", (round * 1_000_000).to_string());
        // Half of the rounds are killed.
        let is_killed = random.below(2) == 0;
        command.env("BAD_MS", if is_killed { 60_000 } else { ms }.to_string());
        let mut child = command.spawn().unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let lines = std::thread::spawn(move || out.lines().map_while(Result::ok).collect::<Vec<String>>());
        if is_killed {
            std::thread::sleep(Duration::from_millis(ms));
            child.kill().unwrap();
        }
        let ended = child.wait().unwrap();
        let lines = lines.join().unwrap();
        let is_ours = |line: &&String| {
            line.starts_with(|c: char| c.is_ascii_lowercase())
                && !line.starts_with("running")
                && !line.starts_with("test")
        };
        let wrong: Vec<&String> = lines.iter().filter(|l| l.contains("WRONG") || l.contains("panicked")).collect();
        assert!(wrong.is_empty(), "seed {seed}, round {round}: {wrong:?}");
        assert!(is_killed || ended.success(), "seed {seed}, round {round}: {ended}: {:?}", lines.last());
        let mut ours: Vec<&String> = lines.iter().filter(is_ours).collect();
        if is_killed {
            // The last line may be cut.
            ours.pop();
        }
        ours.iter().for_each(|line| model.line(line));
        model.check(&disk.0, &format!("seed {seed}, round {round}"));
    }
    println!(
        "{} values, {} committed, {} decided, {} starts refused",
        model.values.len(),
        model.committed.len(),
        model.decided.len(),
        model.refused
    );
    assert!(model.committed.len() > 1_000 && model.decided.len() > 20, "it shows something");
    // On a good disk everything is sealed, and nothing was taken for damaged.
    let (journal, writer) = Journal::open(&disk.path("journal"), &settings(), &clock(), "boot").unwrap();
    let raw = || raw_segments(&disk.path("journal"));
    let until = Instant::now() + Duration::from_secs(60);
    while raw() > 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((raw(), journal.health().damaged_rows.load(Ordering::Relaxed)), (1, 0), "seed {seed}");
    writer.stop();
    model.check(&disk.0, &format!("seed {seed}, sealed"));
    let names =
        |dir: PathBuf| std::fs::read_dir(dir).unwrap().flatten().map(|f| f.file_name().to_string_lossy().into_owned());
    let damaged: Vec<String> =
        names(disk.path("journal")).chain(names(disk.0.clone())).filter(|n| n.contains("damaged")).collect();
    assert!(damaged.is_empty(), "seed {seed}: a write that fails damages no file: {damaged:?}");
}

/// Reads everything by cursor, as samples and in slots, until it is stopped; at least once.
fn read_all(journal: &Journal, all: &HistoryQuery, stop: &AtomicBool) {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) || rounds == 0 {
        let (mut cursor, mut last) = (Cursor::new(journal.clone(), Position::at(0)), 0);
        loop {
            let items = cursor.fetch(500);
            if items.is_empty() {
                break;
            }
            for item in items {
                assert!(item.entry.seq > last, "of one device the numbers rise: {} after {last}", item.entry.seq);
                last = item.entry.seq;
            }
        }
        let mut at = 0;
        let in_order = |row: plantroom::journal::history::HistoryRow| {
            assert!(row.at_ms >= at, "in order");
            at = row.at_ms;
            true
        };
        journal.samples(all, in_order).unwrap();
        journal.slots(all, 900_000).unwrap();
        rounds += 1;
    }
}

#[test]
fn at_the_limit_the_oldest_goes_while_readers_read() {
    let dir = Dir::new("limit");
    let (day_ms, days) = (86_400_000, 12);
    let begin = clock().wall().0.div_euclid(day_ms) * day_ms - (days + 1) * day_ms;
    let small = JournalSettings { max_gb: 0.000_9, ..settings() };
    let (stream, query) =
        (stream(0), |from_ms, to_ms| HistoryQuery { device: "d0".into(), point: "x".into(), from_ms, to_ms });
    let mut random = Random(99);
    let mut dropped = 0;
    for day in 0..days {
        let (journal, writer) = Journal::open(&dir.path("journal"), &small, &clock(), "boot").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (reads, stopping, all) = (journal.clone(), Arc::clone(&stop), query(begin, begin + days * day_ms));
        let reader = std::thread::spawn(move || read_all(&reads, &all, &stopping));
        for second in 0..4_000 {
            let at = plantroom::model::reading::Stamp {
                mono: MonotonicMillis(1),
                wall: UnixMillis(begin + day * day_ms + second * 1_000),
                trusted: true,
            };
            let noise = f64::from(u32::try_from(random.below(1 << 30)).unwrap());
            let samples =
                vec![Some(Ok(Value::Exact(Decimal::from(day * 10_000 + second)))), Some(Ok(Value::F64(noise / 7.0)))];
            journal.append(Reading {
                stream: Arc::clone(&stream),
                at,
                body: Body::Samples { samples, parts: Vec::new() },
            });
        }
        let raw = || raw_segments(&dir.path("journal"));
        let until = Instant::now() + Duration::from_secs(30);
        while raw() > 1 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        dropped += journal.health().dropped_files.load(Ordering::Relaxed);
        writer.stop();
    }
    assert!(dropped > 0, "the limit was never reached: the test shows nothing");
    let journal = Journal::open_read_only(&dir.path("journal"), &small, &clock()).unwrap();
    let count = |day: i64| {
        let (mut n, range) = (0, query(begin + day * day_ms, begin + (day + 1) * day_ms));
        let damage = journal.samples(&range, |_| {
            n += 1;
            true
        });
        assert!(damage.unwrap().is_empty());
        n
    };
    let counts: Vec<i32> = (0..days).map(count).collect();
    assert_eq!((counts[0], *counts.last().unwrap()), (0, 4_000), "the oldest is gone, the newest whole: {counts:?}");
    let first = counts.iter().position(|n| *n > 0).unwrap();
    assert!(counts[first..].iter().all(|n| *n > 0), "nothing in the middle: {counts:?}");
}
