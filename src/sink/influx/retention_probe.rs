//! Detects stores that accept a value and silently drop it because it is older than their retention or too far in the future. Once a run,
//! values of several ages are written and read back, and the missing ones are reported in `SinkHealth::limits`.

use std::time::Duration;

use crate::sink::SinkHealth;
use crate::sink::influx::InfluxSink;
use crate::sink::influx::answer::{WriteVerdict, classify};
use crate::sink::influx::line::escape;

const DAY_MS: i64 = 86_400_000;
/// Ages of the values that are written, days. The first one, of now, shows whether the store can be read back at all.
const AGES_D: [i64; 6] = [0, 8, 32, 100, 400, -3];
/// Delay after the first stored value; delay before each attempt to read back, and number of attempts: a store may need a while before it
/// returns new values.
const FIRST_MS: u64 = 30_000;
const WAIT_MS: u64 = 5_000;
const TRIES: u32 = 4;

/// Progress of the probe.
#[derive(Debug, Default)]
pub enum RetentionProbe {
    /// The store has accepted nothing yet.
    #[default]
    NotStarted,
    /// Waits until `at_ms`, so that the readings create their series first, in case the number of series is limited.
    Waiting { at_ms: u64 },
    /// The values are written with this mark and read back at `at_ms`.
    Written { mark: i64, at_ms: u64, tries: u32 },
    /// Finished, with or without a result.
    Finished,
}

/// One line per age; the value is `mark * 10 +` the index of the age.
fn body(site: &str, now_ms: i64, mark: i64) -> String {
    let site = escape(site);
    let line = |(n, days): (usize, &i64)| {
        format!("plantroom_probe,site={site} age={}i {}\n", mark * 10 + n as i64, now_ms - days * DAY_MS)
    };
    AGES_D.iter().enumerate().map(line).collect()
}

/// Describes what the store dropped; empty if nothing, `None` if the answer lacks the value of now.
fn dropped(answer: &str, mark: i64) -> Option<String> {
    let numbers: Vec<&str> = answer.split(|c: char| !c.is_ascii_digit()).collect();
    let has = |n: usize| numbers.contains(&(mark * 10 + n as i64).to_string().as_str());
    if !has(0) {
        return None;
    }
    let missing_ages: Vec<i64> = AGES_D.iter().enumerate().filter(|(n, _)| !has(*n)).map(|(_, days)| *days).collect();
    let mut findings = Vec::new();
    if let Some(days) = missing_ages.iter().filter(|days| **days > 0).min() {
        let before = AGES_D.iter().filter(|d| **d > 0 && *d < days).max().copied().unwrap_or(0);
        findings.push(format!("of the past it has {before} days and not {days}: a longer history is here only"));
    }
    if missing_ages.iter().any(|days| *days < 0) {
        findings.push("what is three days ahead of its date is dropped".to_string());
    }
    let words = if findings.is_empty() {
        String::new()
    } else {
        format!("the store takes values and drops them without a word: {}", findings.join("; "))
    };
    Some(words)
}

impl InfluxSink {
    /// Takes the next step of the probe if it is due.
    pub(super) async fn probe_retention(&mut self) {
        let now_ms = self.now_ms();
        match self.retention_probe {
            RetentionProbe::NotStarted if self.known_good.is_some() => {
                self.retention_probe = RetentionProbe::Waiting { at_ms: now_ms + FIRST_MS }
            }
            RetentionProbe::Waiting { at_ms } if now_ms >= at_ms && self.failures == 0 => {
                let wall = self.context.clock.wall().0;
                let mark = wall / 1_000;
                // A store that rejects these values does not drop silently.
                let answer = self.client.write(&body(&self.context.site, wall, mark)).await;
                let is_stored = answer.is_ok_and(|a| classify(&a) == WriteVerdict::Stored);
                self.retention_probe = if is_stored {
                    RetentionProbe::Written { mark, at_ms: now_ms + WAIT_MS, tries: 0 }
                } else {
                    RetentionProbe::Finished
                };
            }
            RetentionProbe::Written { mark, at_ms, tries } if now_ms >= at_ms => {
                let since = self.context.clock.wall().0 - 500 * DAY_MS;
                let read =
                    tokio::time::timeout(Duration::from_millis(self.settings.timeout_ms), self.client.read_back(since))
                        .await;
                match read.ok().and_then(|answers| answers.iter().find_map(|a| dropped(a, mark))) {
                    Some(words) => {
                        if !words.is_empty() {
                            tracing::warn!(sink = self.settings.name, url = self.settings.url, "{words}");
                        }
                        SinkHealth::set_text(&self.context.health.limits, words);
                        self.retention_probe = RetentionProbe::Finished;
                    }
                    None if tries + 1 < TRIES => {
                        self.retention_probe =
                            RetentionProbe::Written { mark, at_ms: now_ms + WAIT_MS, tries: tries + 1 };
                    }
                    // The store has no read API that we know: there is no result.
                    None => self.retention_probe = RetentionProbe::Finished,
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_back_is_said() {
        let text = body("a b", 1_764_000_000_000, 1_764_000_000);
        assert_eq!(text.lines().next(), Some("plantroom_probe,site=a\\ b age=17640000000i 1764000000000"));
        assert_eq!(text.lines().nth(5), Some("plantroom_probe,site=a\\ b age=17640000005i 1764259200000"));
        let of = |numbers: &[i64]| {
            let all: Vec<String> = numbers.iter().map(|n| format!("[{}]", 17_640_000_000 + n)).collect();
            dropped(&all.join(","), 1_764_000_000)
        };
        assert_eq!(of(&[0, 1, 2, 3, 4, 5]), Some(String::new()));
        assert_eq!(of(&[1, 2, 3, 4, 5]), None, "it cannot be read");
        assert!(of(&[0, 1]).is_some_and(|s| s.contains("has 8 days and not 32") && s.contains("ahead")));
        assert!(of(&[0, 1, 2, 3, 4]).is_some_and(|s| !s.contains("past") && s.contains("ahead")));
    }
}
