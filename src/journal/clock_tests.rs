//! A wrong clock before the start, while running, and across a restart. No reading is lost or delivered twice, each is found under the
//! date it was taken with, and no file is deleted.

use super::history::HistoryRow;
use super::query::HistoryQuery;
use super::tests::{DAY, Dir, all, open, reading, rows, stream, wait};
use super::*;

/// Wrong dates as differences from the right one, milliseconds.
const WRONG_MS: [(&str, i64); 3] = [("1970", -DAY), ("ten years on", 3_652 * 86_400_000), ("an hour back", -3_600_000)];
const N: i64 = 120;

/// Appends one reading for each second, its date shifted by `shift` milliseconds.
fn run(dir: &Dir, seconds: std::ops::Range<i64>, shift: impl Fn(i64) -> i64) {
    let (journal, writer) = open(dir);
    let stream = stream("a");
    for i in seconds {
        let mut one = reading(&stream, i);
        one.at.wall.0 += shift(i);
        journal.append(one);
    }
    writer.stop();
}

fn found(dir: &Dir, around_ms: i64) -> Vec<HistoryRow> {
    let clock = Clock::new(&crate::clock::ClockSettings { source: crate::clock::ClockSource::Rtc }, UnixMillis(0));
    let journal = Journal::open_read_only(&dir.0, &JournalSettings::default(), &clock).unwrap();
    let (from_ms, to_ms) = (around_ms - 600_000, around_ms + 3_000_000);
    rows(&journal, &HistoryQuery { device: "a".into(), point: "running".into(), from_ms, to_ms })
}

#[test]
fn wrong_dates_lose_nothing() {
    for (name, wrong) in WRONG_MS {
        let cases = [("before the start", 0..N), ("while running", N / 2..N + N / 2), ("over a restart", N..2 * N)];
        for (when, seconds) in cases {
            let shift = |i: i64| if seconds.contains(&i) { wrong } else { 0 };
            let dir = Dir::new(&format!("wrong-{}-{}", name.replace(' ', "-"), when.replace(' ', "-")));
            for part in 0..3 {
                run(&dir, part * N..(part + 1) * N, shift);
            }
            let all_of = |journal: &Journal| {
                let mut seconds: Vec<i64> = Vec::new();
                for entry in all(journal) {
                    let at = entry.reading.at.wall.0 - DAY;
                    // The second it belongs to, found by the date it was given.
                    let second = (0..3 * N).find(|i| i * 1_000 + shift(*i) == at && !seconds.contains(i));
                    seconds.extend(second);
                }
                seconds.sort_unstable();
                seconds
            };
            let (journal, writer) = open(&dir);
            assert_eq!(all_of(&journal), (0..3 * N).collect::<Vec<_>>(), "{name} {when}: raw");
            wait("sealing", || journal.health().sealed.load(Ordering::Relaxed) >= 1);
            wait("all of it", || files::list(&dir.0, "raw-").len() == 1);
            assert_eq!(all_of(&journal), (0..3 * N).collect::<Vec<_>>(), "{name} {when}: sealed");
            assert_eq!(journal.health().dropped_files.load(Ordering::Relaxed), 0);
            assert_eq!(journal.health().expired_files.load(Ordering::Relaxed), 0);
            writer.stop();
            let dates = |around: i64| -> Vec<i64> {
                let mut dates: Vec<i64> = found(&dir, around).iter().map(|row| row.at_ms).collect();
                dates.sort_unstable();
                dates
            };
            let mut expect: Vec<i64> = (0..3 * N).map(|i| DAY + i * 1_000 + shift(i)).collect();
            expect.sort_unstable();
            let near = |around: i64| -> Vec<i64> {
                expect.iter().copied().filter(|at| (around - 600_000..around + 3_000_000).contains(at)).collect()
            };
            assert_eq!(dates(DAY), near(DAY), "{name} {when}: under the right date");
            assert_eq!(dates(DAY + wrong), near(DAY + wrong), "{name} {when}: under the wrong one");
        }
    }
}
