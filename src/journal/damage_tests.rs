//! Damaged files: every value read is correct, unreadable data are reported, and registers are read from their second copy.

use std::path::{Path, PathBuf};

use super::damage::Damage;
use super::history::{HistoryRow, Slot, Slots};
use super::query::HistoryQuery;
use super::tests::{DAY, Dir, all, open, reading, stream, wait};
use super::*;
use crate::clock;

const QUARTER: i64 = 900_000;
const N: i64 = 600;

/// A flipped bit in any header, a truncated file, an empty file, a directory in its place: the journal still opens, unreadable files
/// are renamed and counted, and nothing is deleted.
#[test]
fn it_opens_whatever_is_unreadable() {
    let dir = Dir::new("headers");
    let s = stream("a");
    {
        let (journal, writer) = open(&dir);
        (0..300).for_each(|i| drop(journal.append(reading(&s, i))));
        writer.stop();
        drop(journal);
        let (journal, writer) = open(&dir);
        wait("sealing", || journal.health().sealed.load(Ordering::Relaxed) == 1);
        (300..310).for_each(|i| drop(journal.append(reading(&s, i))));
        writer.stop();
    }
    let mut victims = files::list(&dir.0, "day-");
    victims.extend(files::list(&dir.0, "raw-"));
    assert!(victims.len() >= 2, "{victims:?}");
    let copy = |n: usize| {
        let to = Dir::new(&format!("headers-{n}"));
        std::fs::create_dir_all(&to.0).unwrap();
        for file in &victims {
            std::fs::copy(file, to.0.join(file.file_name().unwrap())).unwrap();
        }
        to
    };
    let mut n = 0;
    let mut bits: Vec<(usize, u8)> = (0..100).map(|byte| (byte, 1 << (byte % 8))).collect();
    bits.extend((60..64).flat_map(|byte| (0..8).map(move |bit| (byte, 1 << bit))));
    for victim in &victims {
        let good = std::fs::read(victim).unwrap();
        let bad = bits.iter().map(|(byte, bit)| {
            let mut bad = good.clone();
            bad[*byte] ^= bit;
            Some(bad)
        });
        for bad in bad.chain([Some(Vec::new()), Some(good[..good.len() / 2].to_vec()), Some(vec![0; 4096]), None]) {
            n += 1;
            let to = copy(n);
            let path = to.0.join(victim.file_name().unwrap());
            match &bad {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => {
                    std::fs::remove_file(&path).unwrap();
                    std::fs::create_dir(&path).unwrap();
                }
            }
            let settings = JournalSettings { commit_ms: 50, ..JournalSettings::default() };
            let clock =
                Clock::new(&crate::clock::ClockSettings { source: crate::clock::ClockSource::Rtc }, UnixMillis(0));
            let (journal, writer) = Journal::open(&to.0, &settings, &clock, "boot")
                .unwrap_or_else(|e| panic!("{} case {n}: {e}", victim.display()));
            let after = journal.append(reading(&s, 1_000));
            assert!(after.seq > 310, "a number given twice");
            let damaged = journal.health().damaged_files.load(Ordering::Relaxed);
            let is_empty = bad.as_ref().is_some_and(|b| b.iter().all(|b| *b == 0));
            let is_there = std::fs::read_dir(&to.0).unwrap().flatten().any(|e| {
                let name = e.file_name().into_string().unwrap();
                name.starts_with(victim.file_stem().unwrap().to_str().unwrap())
            });
            assert!(is_there || is_empty, "{} case {n}: it is gone, {damaged} damaged", victim.display());
            writer.stop();
        }
    }
}

/// A journal with a sealed hour of two devices.
fn sealed(name: &str) -> Dir {
    let dir = Dir::new(name);
    let (journal, writer) = open(&dir);
    let streams = [stream("a"), stream("b")];
    for i in 0..N {
        streams.iter().for_each(|s| drop(journal.append(reading(s, i))));
    }
    writer.stop();
    drop(journal);
    let (journal, writer) = open(&dir);
    wait("sealing", || journal.health().sealed.load(Ordering::Relaxed) == 1);
    writer.stop();
    dir
}

/// What a read-only journal answers for a point of a device: samples, damage, and slots.
fn found(dir: &Dir, device: &str, point: &str) -> (Vec<HistoryRow>, Vec<Damage>, Slots) {
    let query = HistoryQuery { device: device.into(), point: point.into(), from_ms: DAY, to_ms: DAY + 3_600_000 };
    let settings = JournalSettings { telemetry_days: 36_500, ..JournalSettings::default() };
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let journal = Journal::open_read_only(&dir.0, &settings, &clock).unwrap();
    let mut rows = Vec::new();
    let each = |row| {
        rows.push(row);
        true
    };
    let damage = journal.samples(&query, each).unwrap();
    let slots = journal.slots(&query, QUARTER).unwrap();
    (rows, damage, slots)
}

/// The sealed file of a class, or its mirror.
fn file_of(dir: &Dir, prefix: &str, class: &str) -> PathBuf {
    let mut all = files::list(&dir.0, prefix);
    all.retain(|p| p.to_string_lossy().contains(class));
    all.remove(0)
}

/// Calls `each` with the file damaged in different ways (one bit at two places of each page, the whole page), then restores it.
fn damaged_in_turn(file: &Path, mut each: impl FnMut(&str)) {
    let good = std::fs::read(file).unwrap();
    for page in 0..good.len() / 4096 {
        for (at, bits, length) in [(3_900, 0x01, 1), (2_000, 0x01, 1), (0, 0x5A, 4_096)] {
            let mut bad = good.clone();
            bad[page * 4_096 + at..page * 4_096 + at + length].iter_mut().for_each(|byte| *byte ^= bits);
            std::fs::write(file, &bad).unwrap();
            each(&format!("page {page} at {at}"));
        }
    }
    std::fs::write(file, &good).unwrap();
}

/// One bit or a whole page damaged anywhere in a sealed file: every value read is correct, and missing data are reported.
#[test]
fn damage_of_sealed_files_is_said_with_every_answer() {
    let dir = sealed("said");
    let whole: Vec<_> = ["a", "b"].iter().map(|device| found(&dir, device, "level_m")).collect();
    assert!(whole.iter().all(|(rows, damage, _)| rows.len() == usize::try_from(N).unwrap() && damage.is_empty()));
    let (mut missing, mut read_around) = (0, 0);
    damaged_in_turn(&file_of(&dir, "day-", "telemetry"), |place| {
        let mut lacks = 0;
        for (device, (all, _, slots)) in ["a", "b"].iter().zip(&whole) {
            let (rows, damage, now) = found(&dir, device, "level_m");
            let odd = rows.iter().find(|row| !all.contains(row));
            assert!(odd.is_none(), "{place}: a row that was never written: {odd:?}");
            let is_less = rows.len() < all.len();
            assert!(!is_less || !damage.is_empty(), "{place}: {} of {N}, and nothing is said", rows.len());
            let same = |a: &Slot, b: &Slot| a.aggregate == b.aggregate || b.damaged;
            assert!(slots.slots.iter().zip(&now.slots).all(|(a, b)| same(a, b)), "{place}");
            lacks += usize::from(is_less);
        }
        missing += lacks;
        read_around += usize::from(lacks == 1);
    });
    assert!(missing > 0 && read_around > 0, "{missing} {read_around}");
}

/// The same damage in a register file loses nothing: history, sinks and slots have all readings.
#[test]
fn one_damaged_file_costs_no_register() {
    let dir = sealed("twice");
    let whole: Vec<_> = ["a", "b"].iter().map(|device| found(&dir, device, "energy_kwh")).collect();
    assert_eq!(whole[0].0.len(), usize::try_from(N).unwrap());
    for prefix in ["day-", "mirror-"] {
        damaged_in_turn(&file_of(&dir, prefix, "register"), |place| {
            for (device, (all, _, slots)) in ["a", "b"].iter().zip(&whole) {
                let (rows, damage, now) = found(&dir, device, "energy_kwh");
                assert_eq!((&rows, &damage), (all, &Vec::new()), "{prefix} {place}");
                assert!(
                    slots.slots.iter().zip(&now.slots).all(|(a, b)| a.aggregate == b.aggregate && !b.damaged),
                    "{prefix} {place}"
                );
            }
        });
    }
    let file = file_of(&dir, "day-", "register");
    let good = std::fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[4_096 * 3..].iter_mut().for_each(|byte| *byte ^= 0x5A);
    std::fs::write(&file, &bad).unwrap();
    let (journal, writer) = open(&dir);
    let energies = all(&journal).iter().filter(|entry| entry.reading.sample(2).is_some()).count();
    writer.stop();
    assert_eq!(energies, usize::try_from(2 * N).unwrap());
}

/// Both files damaged in different places: the answer is the union of both.
#[test]
fn two_damaged_files_of_registers_are_read_together() {
    let dir = sealed("both");
    let (whole, ..) = found(&dir, "a", "energy_kwh");
    let (day, mirror) = (file_of(&dir, "day-", "register"), file_of(&dir, "mirror-", "register"));
    let good = std::fs::read(&day).unwrap();
    let pages = good.len() / 4_096;
    let mut lost = 0;
    for (first, second) in (1..pages).flat_map(|a| (1..pages).map(move |b| (a, b))) {
        for (file, page) in [(&day, first), (&mirror, second)] {
            let mut bad = good.clone();
            bad[page * 4_096..(page + 1) * 4_096].iter_mut().for_each(|byte| *byte ^= 0x5A);
            std::fs::write(file, &bad).unwrap();
        }
        let (rows, damage, _) = found(&dir, "a", "energy_kwh");
        assert!(rows.iter().all(|row| whole.contains(row)), "{first} {second}");
        assert!(rows.len() == whole.len() || !damage.is_empty(), "{first} {second}: {} rows", rows.len());
        lost += usize::from(rows.len() < whole.len());
    }
    assert!(lost > 0 && lost < (pages - 1) * (pages - 1), "{lost} of {pages}");
}

/// A verification reports damage, repairs registers from the other copy, and finds nothing afterwards.
#[test]
fn a_verification_says_what_is_damaged_and_mends_registers() {
    let dir = sealed("verified");
    let verify = || Journal::verify(&dir.0, 7, |_| {});
    let clean = verify();
    assert_eq!((clean.damage.len(), clean.repaired.len(), clean.files), (0, 0, 5), "{clean:?}");
    let registers = std::fs::read(file_of(&dir, "day-", "register")).unwrap();
    for prefix in ["day-", "mirror-"] {
        let file = file_of(&dir, prefix, "register");
        let mut mended = 0;
        damaged_in_turn(&file, |place| {
            let report = verify();
            assert!(report.damage.is_empty(), "{prefix} {place}: {report:?}");
            mended += report.repaired.len();
            assert_eq!(verify().repaired, Vec::<String>::new(), "{prefix} {place}: mended for good");
            let (rows, damage, _) = found(&dir, "a", "energy_kwh");
            assert_eq!((rows.len(), damage.len()), (usize::try_from(N).unwrap(), 0), "{prefix} {place}");
        });
        assert!(mended >= 3, "{prefix}: {mended}");
        std::fs::write(&file, &registers).unwrap();
    }
    // A missing mirror (a journal of an earlier version, a backup) is created.
    std::fs::remove_file(file_of(&dir, "mirror-", "register")).unwrap();
    assert_eq!((verify().repaired.len(), verify().repaired.len()), (1, 0));
    // Telemetry has no second copy: its damage is reported with device and hours.
    let mut named = 0;
    damaged_in_turn(&file_of(&dir, "day-", "telemetry"), |_| {
        named += verify().damage.iter().filter(|d| d.period.is_some() && d.file.contains("telemetry")).count();
    });
    assert!(named > 0);
    assert_eq!(verify().damage, Vec::new());
}

/// Both copies of the day to be written are damaged: both are renamed, sealing goes on, and the loss is reported.
#[test]
fn sealing_goes_on_whatever_of_both_copies_is_damaged() {
    let mut set_aside = 0;
    for page in 0..16 {
        let dir = sealed(&format!("wedge-{page}"));
        let (day, mirror) = (file_of(&dir, "day-", "register"), file_of(&dir, "mirror-", "register"));
        let mut bad = std::fs::read(&day).unwrap();
        let Some(bytes) = bad.get_mut(page * 4_096..(page + 1) * 4_096) else { break };
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5A);
        [&day, &mirror].iter().for_each(|file| std::fs::write(file, &bad).unwrap());
        let one = stream("a");
        let (journal, writer) = open(&dir);
        (N..N + 50).for_each(|i| drop(journal.append(reading(&one, i))));
        writer.stop();
        drop(journal);
        let (journal, writer) = open(&dir);
        wait(&format!("sealing, page {page}"), || files::list(&dir.0, "raw-").len() == 1);
        writer.stop();
        drop(journal);
        let (rows, damage, _) = found(&dir, "a", "energy_kwh");
        let newest = rows.iter().filter(|row| row.at_ms >= DAY + N * 1_000).count();
        assert_eq!(newest, 50, "page {page}");
        assert!(rows.len() == usize::try_from(N).unwrap() + 50 || !damage.is_empty(), "page {page}: nothing is said");
        set_aside += usize::from(damage.iter().any(|d| d.file.ends_with(".damaged")));
    }
    assert!(set_aside > 0);
}

/// The running gateway does the same on its own and stores the report.
#[test]
fn the_running_gateway_verifies_by_itself() {
    let dir = sealed("by-itself");
    let mut mended = 0;
    damaged_in_turn(&file_of(&dir, "day-", "register"), |place| {
        let _may_not_exist = std::fs::remove_file(dir.0.join("verified.json"));
        let (journal, writer) = open(&dir);
        let report = || journal.last_verification().unwrap_or_default();
        wait("a verification", || report().files > 0);
        assert_eq!(report().damage, Vec::new(), "{place}");
        // The report is written before it is counted.
        let damaged = || journal.health().damaged_files.load(Ordering::Relaxed);
        wait(&format!("{place}: the disk turned bits: that is said"), || damaged() >= report().repaired.len() as u64);
        if !report().repaired.is_empty() {
            mended += 1;
            std::fs::remove_file(dir.0.join("verified.json")).unwrap();
            journal.verify_now();
            wait("another one", || report().files > 0);
            assert_eq!(report().repaired, Vec::<String>::new(), "{place}: mended for good");
        }
        writer.stop();
    });
    assert!(mended > 0);
}

/// A register file that is missing or has a damaged header is restored from its mirror at startup.
#[test]
fn registers_come_back_at_the_start() {
    for case in ["gone", "header", "empty"] {
        let dir = sealed(&format!("back-{case}"));
        let file = file_of(&dir, "day-", "register");
        let mut bytes = std::fs::read(&file).unwrap();
        match case {
            "gone" => std::fs::remove_file(&file).unwrap(),
            "empty" => std::fs::write(&file, []).unwrap(),
            _ => {
                bytes[63] ^= 4;
                std::fs::write(&file, &bytes).unwrap();
            }
        }
        let (rows, damage, _) = found(&dir, "a", "energy_kwh");
        assert_eq!((rows.len(), damage), (usize::try_from(N).unwrap(), Vec::new()), "{case}: a mere reader");
        let (_journal, writer) = open(&dir);
        writer.stop();
        let (rows, damage, _) = found(&dir, "a", "energy_kwh");
        assert_eq!((rows.len(), damage), (usize::try_from(N).unwrap(), Vec::new()), "{case}: after the start");
        assert!(file.exists(), "{case}");
    }
}
