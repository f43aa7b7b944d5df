use std::sync::Arc;
use std::time::Duration;

use super::fetch::Cursor;
use super::history::HistoryRow;
use super::query::HistoryQuery;
use super::*;
use crate::clock;
use crate::model::point::{Encoding, PointKind, PointMeta, Retention};
use crate::model::quality::Cause;
use crate::model::reading::{Body, Part, Sample, Stamp};
use crate::model::stream::Stream;
use crate::model::time::MonotonicMillis;
use crate::model::value::Value;

pub(super) const DAY: i64 = 1_760_000_000_000 / 86_400_000 * 86_400_000;

fn point(name: &str, retention: Retention, form: Encoding) -> PointMeta {
    PointMeta::new(name, PointKind::Number, retention, form)
}

pub(super) fn stream(device: &str) -> Arc<Stream> {
    let points = vec![
        point("level_m", Retention::Telemetry, Encoding::Exact(3)),
        point("running", Retention::State, Encoding::Bool),
        point("energy_kwh", Retention::Cumulative, Encoding::Exact(2)),
    ];
    Stream::new(device, "u/fast".into(), 1_000, points)
}

fn exact(mantissa: i64, scale: u32) -> Sample {
    Ok(Value::Exact(rust_decimal::Decimal::new(mantissa, scale)))
}

/// The reading of a device at second `i`.
pub(super) fn reading(stream: &Arc<Stream>, i: i64) -> Reading {
    let at =
        Stamp { mono: MonotonicMillis(i.unsigned_abs() * 1_000), wall: UnixMillis(DAY + i * 1_000), trusted: true };
    let body = if i % 17 == 3 {
        Body::Failed(Cause::Timeout)
    } else {
        let energy = if i % 5 == 0 { Err(Cause::IllegalAddress) } else { exact(i, 2) };
        let samples = vec![Some(exact(1_000 + i % 50, 3)), Some(Ok(Value::Bool(i % 100 > 50))), Some(energy)];
        Body::Samples { samples, parts: vec![Part { len: 2, after_ms: 0 }, Part { len: 1, after_ms: 20 }] }
    };
    Reading { stream: Arc::clone(stream), at, body }
}

pub(super) struct Dir(pub(super) std::path::PathBuf);

impl Dir {
    pub(super) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("plantroom-{name}-{}", std::process::id()));
        let _may_not_exist = std::fs::remove_dir_all(&dir);
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn open(dir: &Dir) -> (Journal, Writer) {
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let settings = JournalSettings { commit_ms: 20, telemetry_days: 36_500, ..JournalSettings::default() };
    Journal::open(&dir.0, &settings, &clock, "boot").unwrap()
}

pub(super) fn wait(what: &str, f: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if f() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited ten seconds for {what}");
}

/// All entries from the beginning, in the order of the cursor.
pub(super) fn all(journal: &Journal) -> Vec<Arc<JournalEntry>> {
    let mut cursor = Cursor::new(journal.clone(), Position::at(0));
    let mut out = Vec::new();
    loop {
        let items = cursor.fetch(7);
        if items.is_empty() {
            return out;
        }
        out.extend(items.into_iter().map(|i| i.entry));
    }
}

/// Every row that a query finds.
pub(super) fn rows(journal: &Journal, query: &HistoryQuery) -> Vec<HistoryRow> {
    let mut found = Vec::new();
    let each = |row| {
        found.push(row);
        true
    };
    journal.samples(query, each).unwrap();
    found
}

fn whole(body: &Body) -> Vec<Option<Sample>> {
    match body {
        Body::Failed(cause) => vec![Some(Err(*cause)); 3],
        Body::Samples { samples, .. } => samples.clone(),
    }
}

#[test]
fn what_is_appended_comes_back_from_tail_raw_and_sealed() {
    let dir = Dir::new("comes-back");
    let streams = [stream("a"), stream("b")];
    let n = 400;
    {
        let (journal, writer) = open(&dir);
        for i in 0..n {
            streams.iter().for_each(|s| drop(journal.append(reading(s, i))));
        }
        assert_eq!(all(&journal).len(), 800, "from the tail, at once");
        writer.stop();
    }
    let (journal, _writer) = open(&dir);
    wait("the old segment to be sealed", || journal.health().sealed.load(Ordering::Relaxed) == 1);
    journal.append(reading(&streams[0], n));
    let entries = all(&journal);
    assert_eq!(entries.len(), 801);
    for (device, s) in ["a", "b"].iter().zip(&streams) {
        let of: Vec<&Arc<JournalEntry>> = entries.iter().filter(|e| *e.reading.stream.device == **device).collect();
        assert!(of.windows(2).all(|w| w[0].seq < w[1].seq), "order holds per device");
        for (i, entry) in of.iter().enumerate() {
            let expect = reading(s, i as i64);
            assert_eq!(entry.reading.at.wall, expect.at.wall);
            assert_eq!(whole(&entry.reading.body), whole(&expect.body));
            assert_eq!(entry.reading.after_ms(2), expect.after_ms(2));
        }
    }
}

#[test]
fn history_is_the_same_before_and_after_sealing() {
    let dir = Dir::new("history");
    let s = stream("a");
    let query = HistoryQuery { device: "a".into(), point: "energy_kwh".into(), from_ms: DAY, to_ms: DAY + 3_600_000 };
    let collect = |journal: &Journal| (rows(journal, &query), journal.slots(&query, QUARTER).unwrap().slots);
    let before = {
        let (journal, writer) = open(&dir);
        (0..3_600).for_each(|i| drop(journal.append(reading(&s, i))));
        let before = collect(&journal);
        writer.stop();
        before
    };
    assert_eq!(before.0.len(), 3_600);
    assert_eq!(before.1.len(), 4);
    let (journal, _writer) = open(&dir);
    wait("the old segment to be sealed", || journal.health().sealed.load(Ordering::Relaxed) == 1);
    let after = collect(&journal);
    assert_eq!(before.0, after.0);
    for (a, b) in before.1.iter().zip(&after.1) {
        assert_eq!(
            (a.start_ms, a.aggregate.good, a.aggregate.all, a.expected),
            (b.start_ms, b.aggregate.good, b.aggregate.all, b.expected)
        );
        assert_eq!(
            (a.aggregate.min, a.aggregate.max, a.aggregate.first, a.aggregate.last),
            (b.aggregate.min, b.aggregate.max, b.aggregate.first, b.aggregate.last)
        );
        assert!((a.completeness() - b.completeness()).abs() < 1e-9);
    }
}

const QUARTER: i64 = sealed::QUARTER_MS;

#[test]
fn cursors_and_numbers_survive_and_no_number_is_given_twice() {
    let dir = Dir::new("cursors");
    let s = stream("a");
    let last = {
        let (journal, writer) = open(&dir);
        let last = journal.append(reading(&s, 1)).seq;
        journal.ack("mqtt", Position::at(last));
        writer.stop();
        last
    };
    let (journal, _writer) = open(&dir);
    assert_eq!(journal.position("mqtt"), Position::at(last));
    assert!(journal.append(reading(&s, 2)).seq > last);
}

#[test]
fn every_page_overwritten_in_turn_is_found_or_harmless() {
    let dir = Dir::new("pages");
    let s = stream("a");
    let n = 300;
    {
        let (journal, writer) = open(&dir);
        (0..n).for_each(|i| drop(journal.append(reading(&s, i))));
        writer.stop();
    }
    let raw = files::list(&dir.0, "raw-").remove(0);
    let good = std::fs::read(&raw).unwrap();
    for page in 0..good.len() / 4096 {
        let mut bad = good.clone();
        for byte in &mut bad[page * 4096..(page + 1) * 4096] {
            *byte ^= 0x5A;
        }
        let victim = Dir::new(&format!("pages-{page}"));
        std::fs::create_dir_all(&victim.0).unwrap();
        std::fs::write(victim.0.join(raw.file_name().unwrap()), &bad).unwrap();
        let (journal, writer) = open(&victim);
        let expect: Vec<Vec<Option<Sample>>> = (0..n).map(|i| whole(&reading(&s, i).body)).collect();
        for entry in all(&journal) {
            assert!(expect.contains(&whole(&entry.reading.body)), "page {page}: a value that was never written");
        }
        let after = journal.append(reading(&s, n));
        assert!(after.seq > n.unsigned_abs(), "page {page}: a number given twice");
        writer.stop();
    }
}

#[test]
fn a_date_of_the_future_that_was_once_believed_can_be_put_right() {
    let dir = Dir::new("future");
    let s = stream("a");
    let future = DAY + 30_000 * 86_400_000;
    {
        let (journal, writer) = open(&dir);
        let mut late = reading(&s, 1);
        late.at.wall = UnixMillis(future);
        journal.append(late);
        writer.stop();
    }
    {
        let (journal, writer) = open(&dir);
        assert_eq!(journal.health().last_wall.load(Ordering::Relaxed), future);
        journal.accept(UnixMillis(DAY));
        journal.append(reading(&s, 2));
        writer.stop();
    }
    let (journal, _writer) = open(&dir);
    // It is stored to the minute.
    assert_eq!(journal.health().last_wall.load(Ordering::Relaxed), DAY);
}

#[test]
fn an_undated_boot_is_dated_when_the_clock_is_believed() {
    let dir = Dir::new("undated");
    let s = stream("a");
    let (journal, writer) = open(&dir);
    let mut early = reading(&s, 1);
    early.at = Stamp { mono: MonotonicMillis(5_000), wall: UnixMillis(0), trusted: false };
    let entry = journal.append(early);
    assert_eq!(journal.date_of(&entry), None, "a time-series store waits");
    journal.set_date(UnixMillis(DAY + 10_000), MonotonicMillis(10_000));
    assert_eq!(journal.date_of(&entry), Some(UnixMillis(DAY + 5_000)), "in memory it is dated at once");
    let older = JournalEntry { seq: 0, reading: entry.reading.clone() };
    assert_eq!(journal.date_of(&older), None, "an earlier boot's is not dated by this one's clock");
    writer.stop();
    drop(journal);
    let (journal, _writer) = open(&dir);
    wait("sealing", || journal.health().sealed.load(Ordering::Relaxed) == 1);
    let entry = all(&journal).remove(0);
    assert!(entry.reading.at.trusted);
    assert_eq!(entry.reading.at.wall, UnixMillis(DAY + 5_000));
}

/// Readings of a run without a trusted clock are dated by a later run of the same boot; those of another boot stay undated and are
/// counted.
#[test]
fn an_earlier_run_of_the_same_boot_is_dated_later() {
    let query = HistoryQuery { device: "a".into(), point: "level_m".into(), from_ms: DAY, to_ms: DAY + 3_600_000 };
    for (later_boot, dated) in [("boot", 1), ("another", 0)] {
        let dir = Dir::new(&format!("dated-later-{later_boot}"));
        let settings = JournalSettings { commit_ms: 20, telemetry_days: 36_500, ..JournalSettings::default() };
        let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
        {
            let (journal, writer) = open(&dir);
            let at = Stamp { mono: MonotonicMillis(5_000), wall: UnixMillis(0), trusted: false };
            journal.append(Reading { at, ..reading(&stream("a"), 1) });
            writer.stop();
        }
        let view = || Journal::open_read_only(&dir.0, &settings, &clock).unwrap();
        assert_eq!((rows(&view(), &query).len(), view().undated(&query)), (0, 1), "nobody knows yet");
        let (journal, writer) = Journal::open(&dir.0, &settings, &clock, later_boot).unwrap();
        journal.set_date(UnixMillis(DAY + 10_000), MonotonicMillis(10_000));
        let entry = all(&journal).remove(0);
        assert_eq!(entry.reading.at.trusted, dated == 1, "what a sink is given");
        wait("sealing", || journal.health().sealed.load(Ordering::Relaxed) == 1);
        writer.stop();
        let found: Vec<i64> = rows(&view(), &query).iter().map(|row| row.at_ms).collect();
        assert_eq!(found, vec![DAY + 5_000; dated]);
        assert_eq!(view().undated(&query), 1 - dated as u64);
    }
}

/// A clock offset that one run stored dates the readings of an earlier run of the same boot when a third run opens the journal.
#[test]
fn what_a_run_knew_of_its_boot_is_kept() {
    let dir = Dir::new("dated-between");
    let settings = JournalSettings { commit_ms: 20, telemetry_days: 36_500, ..JournalSettings::default() };
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let run = |boot: &str, date: Option<UnixMillis>| {
        let (journal, writer) =
            Journal::open(&dir.0, &JournalSettings { commit_ms: 10_000, ..settings.clone() }, &clock, boot).unwrap();
        date.into_iter().for_each(|date| journal.set_date(date, MonotonicMillis(10_000)));
        let at = Stamp { mono: MonotonicMillis(5_000), wall: UnixMillis(0), trusted: false };
        journal.append(Reading { at, ..reading(&stream("a"), 1) });
        writer.stop();
    };
    run("first", None);
    run("first", Some(UnixMillis(DAY + 10_000)));
    let (journal, writer) = Journal::open(&dir.0, &settings, &clock, "second").unwrap();
    wait("sealing", || journal.health().sealed.load(Ordering::Relaxed) == 2);
    writer.stop();
    let query = HistoryQuery { device: "a".into(), point: "level_m".into(), from_ms: DAY, to_ms: DAY + 3_600_000 };
    let view = Journal::open_read_only(&dir.0, &settings, &clock).unwrap();
    assert_eq!((rows(&view, &query).len(), view.undated(&query)), (2, 0));
}

#[test]
fn a_change_of_pace_changes_what_was_due_from_then_on() {
    let dir = Dir::new("pace");
    let (journal, _writer) = open(&dir);
    let slow = Stream::new("a", "u/fast".into(), 10_000, stream("a").points.clone());
    let at = |s: &Arc<Stream>, second: i64| {
        let mut r = reading(s, second);
        r.at.wall = UnixMillis(DAY + second * 1_000);
        journal.append(r);
    };
    (0..60).for_each(|second| at(&stream("a"), second));
    (60..120).step_by(10).for_each(|second| at(&slow, second));
    let query = HistoryQuery { device: "a".into(), point: "level_m".into(), from_ms: DAY, to_ms: DAY + 180_000 };
    let due: Vec<u32> = journal.slots(&query, 60_000).unwrap().slots.iter().map(|s| s.expected).collect();
    assert_eq!(due, [60, 6, 6]);
}

#[test]
fn nothing_is_due_before_a_point_was_first_configured() {
    let dir = Dir::new("configured");
    let (journal, _writer) = open(&dir);
    let at = |second: i64| {
        let mut r = reading(&stream("a"), second);
        r.at.wall = UnixMillis(DAY + second * 1_000);
        journal.append(r);
    };
    (90..180).for_each(at);
    let due = |from_s: i64, to_s: i64| -> Vec<u32> {
        let (from_ms, to_ms) = (DAY + from_s * 1_000, DAY + to_s * 1_000);
        let query = HistoryQuery { device: "a".into(), point: "level_m".into(), from_ms, to_ms };
        journal.slots(&query, 60_000).unwrap().slots.iter().map(|s| s.expected).collect()
    };
    assert_eq!(due(0, 240), [0, 30, 60, 60], "before it nothing, after it what was due goes on");
    (400..420).for_each(at);
    assert_eq!(due(240, 420), [60, 60, 60], "a hole between samples was due");
}

/// The size limit is just above a few sealed days.
#[test]
fn at_the_limit_telemetry_is_thinned_and_dropped_and_registers_stay() {
    let dir = Dir::new("limit");
    let s = stream("a");
    for day in 0..6i64 {
        let (journal, writer) = open(&dir);
        (0..3_000).for_each(|i| {
            let mut r = reading(&s, i);
            r.at.wall = UnixMillis(DAY + day * 86_400_000 + i * 1_000);
            journal.append(r);
        });
        writer.stop();
    }
    let before = {
        let (journal, _writer) = open(&dir);
        wait("six days to be sealed", || files::list(&dir.0, "raw-").len() == 1);
        let query = HistoryQuery { device: "a".into(), point: "level_m".into(), from_ms: DAY, to_ms: DAY + 86_400_000 };
        rows(&journal, &query)
    };
    assert_eq!(before.len(), 3_000);
    let bytes: u64 = std::fs::read_dir(&dir.0).unwrap().flatten().map(|e| e.metadata().unwrap().len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a limit just above what is there")]
    let max_gb = bytes as f64 * 1.17 / 1e9;
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let settings = JournalSettings {
        commit_ms: 20,
        max_gb,
        keep_free_mb: 0,
        telemetry_days: 36_500,
        ..JournalSettings::default()
    };
    let (journal, writer) = Journal::open(&dir.0, &settings, &clock, "boot").unwrap();
    wait("a day to be thinned", || journal.health().downsampled_files.load(Ordering::Relaxed) >= 1);
    let query =
        |point: &str| HistoryQuery { device: "a".into(), point: point.into(), from_ms: DAY, to_ms: DAY + 86_400_000 };
    let count = |journal: &Journal, point: &str| rows(journal, &query(point)).len();
    let thinned = count(&journal, "level_m");
    assert!((100..2_500).contains(&thinned), "{thinned} samples of 3,000 are left");
    assert_eq!(count(&journal, "energy_kwh"), 3_000, "registers are never thinned");
    let slots = journal.slots(&query("level_m"), 60_000).unwrap().slots;
    let extremes = |rows: &[history::HistoryRow]| {
        let values: Vec<f64> =
            rows.iter().filter(|r| r.at_ms < DAY + 60_000).filter_map(|r| r.sample.as_ref().ok()?.as_f64()).collect();
        (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(f64::MIN, f64::max))
    };
    assert_eq!(
        (slots[0].aggregate.min.as_f64(), slots[0].aggregate.max.as_f64()),
        extremes(&before),
        "each minute keeps its lowest and highest"
    );
    let quarters = journal.slots(&query("level_m"), QUARTER).unwrap().slots;
    let all: u32 = quarters.iter().map(|s| s.aggregate.all).sum();
    assert_eq!(all, 3_000, "quarter hours know of everything that was there");
    assert!(
        quarters.iter().filter(|s| s.aggregate.all > 0).all(|s| s.downsampled),
        "and say that not all of it is left"
    );
    assert!(rows(&journal, &query("level_m")).iter().all(|r| r.downsampled) && before.iter().all(|r| !r.downsampled));
    assert!(rows(&journal, &query("energy_kwh")).iter().all(|r| !r.downsampled));
    writer.stop();
    // A limit that downsampling cannot meet: the oldest telemetry is deleted, registers stay.
    let settings = JournalSettings { max_gb: max_gb / 2.0, ..settings };
    let (journal, _writer) = Journal::open(&dir.0, &settings, &clock, "boot").unwrap();
    wait("files to be dropped", || journal.health().dropped_files.load(Ordering::Relaxed) >= 1);
    assert_eq!(count(&journal, "level_m"), 0, "the oldest day of telemetry went first");
}

#[test]
fn questions_about_the_past_are_answered_alike_by_a_running_and_a_stopped_journal() {
    use crate::model::history::{Ask, AskForm, HistoryData};
    let dir = Dir::new("asks");
    let (journal, writer) = open(&dir);
    let stream = stream("d");
    for i in 0..200 {
        journal.append(reading(&stream, i));
    }
    let ask = |form, point: &str| Ask {
        room: "test",
        id: 7,
        points: vec![("d".into(), point.into())],
        from: UnixMillis(DAY + 10_000),
        to: UnixMillis(DAY + 110_000),
        form,
    };
    let forms = [
        ask(AskForm::FirstLast, "energy_kwh"),
        ask(AskForm::Registers, "energy_kwh"),
        ask(AskForm::Samples, "level_m"),
        ask(AskForm::Slots { every_ms: 60_000 }, "level_m"),
        ask(AskForm::FirstLast, "no_such_point"),
    ];
    let running: Vec<_> = forms.iter().map(|ask| journal.answer(ask)).collect();
    wait("everything is committed", || journal.health().committed.load(std::sync::atomic::Ordering::Relaxed) >= 200);
    writer.stop();
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let stopped = Journal::open_read_only(&dir.0, &JournalSettings::default(), &clock).unwrap();
    for (ask, answer) in forms.iter().zip(&running) {
        assert_eq!(&stopped.answer(ask), answer, "{ask:?}");
    }
    let of = |n: usize| &running[n].outcome.as_ref().unwrap()[0];
    // A hundred cycles, of which every seventeenth failed and every fifth had no energy.
    let energy = of(0);
    let HistoryData::FirstLast(Some(both)) = &energy.data else { panic!("{energy:?}") };
    assert_eq!((both.first.0.0 - DAY, both.first.1.clone()), (11_020, exact(11, 2)));
    assert_eq!((both.last.0.0 - DAY, both.last.1.clone()), (109_020, exact(109, 2)));
    let HistoryData::Registers(rows) = &of(1).data else { panic!() };
    assert_eq!((rows.len() as u64, energy.due, of(1).good), (energy.good, 100, energy.good));
    let HistoryData::Slots(slots) = &of(3).data else { panic!() };
    assert_eq!(u64::from(slots.iter().map(|s| s.good).sum::<u32>()), of(2).good);
    assert_eq!((of(0).hash.len(), of(0).hash == of(1).hash, of(4).good), (64, false, 0));
    assert_eq!(of(4).data, HistoryData::FirstLast(None));
}
