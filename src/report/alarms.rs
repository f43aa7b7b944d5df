//! Report on the performance of the alarm system: rate, floods, chattering, standing alarms, missed deadlines. Metrics and targets
//! are those of ISA-18.2 and EEMUA 191, for one technician on call.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::alarm::site::Deadlines;
use crate::model::alarm::{AlarmEvent, AlarmEventKind};
use crate::model::priority::Priority;

/// Length of the slots in which alarms are counted.
const SLOT_MS: i64 = 600_000;
/// More alarms than this in a slot are an alarm flood (EEMUA 191: 10 in 10 min).
const FLOOD: usize = 10;
/// Number of raisings within a time from which on an alarm chatters.
const CHATTER: (usize, i64) = (3, 60_000);
/// An alarm that is active for longer is a standing alarm.
const STANDING_MS: i64 = 86_400_000;

/// The event of each missed deadline, and the name of the figure.
const OVERDUE: [(AlarmEventKind, &str); 3] = [
    (AlarmEventKind::AcknowledgeOverdue, "acknowledged in time"),
    (AlarmEventKind::ArriveOverdue, "attended in time"),
    (AlarmEventKind::ResolveOverdue, "resolved in time"),
];

/// An event with its date, milliseconds since 1970.
pub type Dated = (i64, AlarmEvent);

/// A figure of the report with its target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportFigure {
    #[serde(rename = "what")]
    pub name: String,
    pub value: String,
    /// Target in words; may be empty.
    pub target: &'static str,
}

/// An alarm that was raised often.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Top {
    pub alarm: String,
    pub raised: usize,
    /// Percent of all alarms raised in the period.
    pub share_pct: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlarmReport {
    pub figures: Vec<ReportFigure>,
    /// The ten that were raised most often.
    pub top: Vec<Top>,
    /// Alarms raised three times or more within a minute at some time, or held active for chattering.
    pub chattering: Vec<String>,
    /// Alarms that were active for more than a day, at the end of the period or before.
    pub standing: Vec<String>,
}

/// One occurrence of an alarm.
struct Occurrence {
    priority: Priority,
    raised: i64,
    acknowledged: Option<i64>,
    cleared: Option<i64>,
    /// Deadlines that were missed: acknowledge, arrive, resolve.
    late: [bool; 3],
}

/// Computes the report for `from..to` (milliseconds since 1970), against today's deadlines. Tests do not count.
pub fn report(events: &[Dated], deadlines: &Deadlines, from: i64, to: i64) -> AlarmReport {
    let mut occurrences: BTreeMap<(&str, u64), Occurrence> = BTreeMap::new();
    let mut raised_at: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut held: BTreeSet<&str> = BTreeSet::new();
    for (at, e) in events.iter().filter(|(_, e)| !e.test && !e.key.is_empty()) {
        let key = (&*e.key, e.occurrence);
        match e.kind {
            AlarmEventKind::Raised => {
                // An alarm raised before the period may be standing in it.
                if (from..to).contains(at) {
                    raised_at.entry(&e.key).or_default().push(*at);
                }
                let new = Occurrence {
                    priority: e.priority,
                    raised: *at,
                    acknowledged: None,
                    cleared: None,
                    late: [false; 3],
                };
                occurrences.insert(key, new);
            }
            AlarmEventKind::Acknowledged => {
                if let Some(o) = occurrences.get_mut(&key) {
                    o.acknowledged.get_or_insert(*at);
                }
            }
            AlarmEventKind::Cleared | AlarmEventKind::Removed => {
                if let Some(o) = occurrences.get_mut(&key) {
                    o.cleared = Some(*at);
                }
            }
            AlarmEventKind::Chattering => {
                held.extend((from..to).contains(at).then_some(&*e.key));
            }
            what => {
                if let (Some(o), Some(i)) = (occurrences.get_mut(&key), OVERDUE.iter().position(|(w, _)| *w == what)) {
                    o.late[i] = true;
                }
            }
        }
    }
    let within: Vec<&Occurrence> = occurrences.values().filter(|o| (from..to).contains(&o.raised)).collect();
    let standing =
        occurrences.iter().filter(|(_, o)| o.raised < to && o.cleared.unwrap_or(to).min(to) - o.raised > STANDING_MS);
    let mut standing: Vec<String> = standing.map(|((key, _), _)| (*key).to_string()).collect();
    standing.dedup();
    let mut top: Vec<Top> = raised_at
        .iter()
        .map(|(key, at)| Top { alarm: (*key).to_string(), raised: at.len(), share_pct: pct(at.len(), within.len()) })
        .collect();
    top.sort_by(|a, b| (b.raised, &a.alarm).cmp(&(a.raised, &b.alarm)));
    top.truncate(10);
    let chatters = |at: &&Vec<i64>| at.windows(CHATTER.0).any(|w| w[CHATTER.0 - 1] - w[0] < CHATTER.1);
    held.extend(raised_at.iter().filter(|(_, at)| chatters(at)).map(|(key, _)| *key));
    let chattering = held.into_iter().map(str::to_string).collect();
    let figures = figures(&within, deadlines, &top, standing.len(), from, to);
    AlarmReport { figures, top, chattering, standing }
}

fn figures(
    within: &[&Occurrence],
    deadlines: &Deadlines,
    top: &[Top],
    standing: usize,
    from: i64,
    to: i64,
) -> Vec<ReportFigure> {
    let mut slots: BTreeMap<i64, usize> = BTreeMap::new();
    within.iter().for_each(|o| *slots.entry((o.raised - from) / SLOT_MS).or_default() += 1);
    let all_slots = usize::try_from((to - from).max(1) / SLOT_MS).unwrap_or(1).max(1);
    let floods = slots.values().filter(|n| **n > FLOOD).count();
    let figure =
        |what: &str, value: String, target: &'static str| ReportFigure { name: what.to_string(), value, target };
    let mut out = vec![
        figure("alarms raised", within.len().to_string(), ""),
        figure("alarms in 10 min, mean", format!("{:.2}", share(within.len(), all_slots)), "about 1"),
        figure("alarms in 10 min, most", slots.values().max().unwrap_or(&0).to_string(), "10"),
        figure("time in flood", format!("{:.2} %", pct(floods, all_slots)), "under 1 %"),
        figure(
            "the ten most frequent",
            format!("{:.0} %", top.iter().fold(0.0, |sum, t| sum + t.share_pct)),
            "1 to 5 %",
        ),
        figure("standing over 24 h", standing.to_string(), "under 5, each with a plan"),
    ];
    for (priority, target) in Priority::ALL.into_iter().zip(["about 5 % with P2", "", "about 15 %", "about 80 %"]) {
        let of: Vec<&&Occurrence> = within.iter().filter(|o| o.priority == priority).collect();
        out.push(figure(
            &format!("{} raised", priority.word()),
            format!("{} ({:.0} %)", of.len(), pct(of.len(), within.len())),
            target,
        ));
        let until = |f: fn(&Occurrence) -> Option<i64>| {
            let mut times: Vec<i64> = of.iter().filter_map(|o| Some(f(o)? - o.raised)).collect();
            times.sort_unstable();
            times.get(times.len() / 2).map_or("–".to_string(), |ms| time(*ms))
        };
        out.push(figure(&format!("{} until acknowledged, median", priority.word()), until(|o| o.acknowledged), ""));
        out.push(figure(&format!("{} until cleared, median", priority.word()), until(|o| o.cleared), ""));
        // Cleared before anybody acknowledged it; an acknowledgement after that does not count.
        let is_untaken = |o: &&&&Occurrence| o.cleared.is_some_and(|c| o.acknowledged.is_none_or(|a| a > c));
        let untaken = of.iter().filter(is_untaken).count();
        out.push(figure(&format!("{} gone before anybody took it", priority.word()), untaken.to_string(), "0"));
    }
    for (i, (_, words)) in OVERDUE.into_iter().enumerate() {
        let has = |o: &&&Occurrence| {
            let d = deadlines.for_priority(o.priority);
            o.late[i] || [d.acknowledge, d.arrive, d.resolve][i].is_some()
        };
        let (all, late) = (within.iter().filter(has).count(), within.iter().filter(|o| o.late[i]).count());
        let value = if all == 0 { "–".to_string() } else { format!("{:.1} % of {all}", pct(all - late, all)) };
        out.push(figure(words, value, ""));
    }
    out
}

fn share(part: usize, whole: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of alarms")]
    let (part, whole) = (part as f64, whole.max(1) as f64);
    part / whole
}

fn pct(part: usize, whole: usize) -> f64 {
    share(part, whole) * 100.0
}

fn time(ms: i64) -> String {
    let s = ms / 1_000;
    match s {
        0..=119 => format!("{s} s"),
        120..=7_199 => format!("{} min", s / 60),
        7_200..=172_799 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::site::Deadline;
    use crate::model::time::HumanDuration;

    fn event(key: &str, what: AlarmEventKind, occurrence: u64) -> AlarmEvent {
        AlarmEvent::bare(key, what, occurrence, Priority::P2)
    }

    #[test]
    fn a_month_of_alarms_in_figures() {
        const DAY: i64 = 86_400_000;
        let mut events: Vec<Dated> = Vec::new();
        // One chatters, one has been standing since before, one is acknowledged after two minutes and clears after an hour.
        for i in 0..4 {
            events.push((DAY + i * 15_000, event("chatter.d", AlarmEventKind::Raised, i.unsigned_abs() + 1)));
            events.push((DAY + i * 15_000 + 5_000, event("chatter.d", AlarmEventKind::Cleared, i.unsigned_abs() + 1)));
        }
        events.push((-DAY, event("stands.d", AlarmEventKind::Raised, 1)));
        events.push((2 * DAY, event("good.d", AlarmEventKind::Raised, 1)));
        events.push((2 * DAY + 120_000, event("good.d", AlarmEventKind::Acknowledged, 1)));
        events.push((2 * DAY + 3_600_000, event("good.d", AlarmEventKind::Cleared, 1)));
        events.push((3 * DAY, AlarmEvent { test: true, ..event("trial.d", AlarmEventKind::Raised, 1) }));
        events.push((DAY + 900_000, event("chatter.d", AlarmEventKind::AcknowledgeOverdue, 1)));
        let p2 = Deadline { acknowledge: Some(HumanDuration(60_000)), ..Deadline::default() };
        let deadlines = Deadlines { p2, ..Deadlines::default() };
        let r = report(&events, &deadlines, 0, 10 * DAY);
        let value = |what: &str| r.figures.iter().find(|f| f.name == what).unwrap().value.clone();
        assert_eq!(value("alarms raised"), "5");
        assert_eq!(value("alarms in 10 min, most"), "4");
        assert_eq!(value("standing over 24 h"), "1");
        assert_eq!(value("P2 until acknowledged, median"), "2 min");
        assert_eq!(value("P2 gone before anybody took it"), "4");
        assert_eq!(value("acknowledged in time"), "80.0 % of 5");
        assert_eq!(value("attended in time"), "–");
        assert_eq!((r.chattering, r.standing), (vec!["chatter.d".to_string()], vec!["stands.d".to_string()]));
        assert_eq!((r.top[0].alarm.as_str(), r.top[0].raised), ("chatter.d", 4));
    }
}
