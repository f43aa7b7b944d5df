//! Daily figures of one point, kept as the baseline for the days after.

use std::collections::VecDeque;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alarm::resolve::ConditionInput;
use crate::model::time::MonotonicMillis;

/// Fewest days of a baseline.
const DAYS_MIN: usize = 7;
/// Share of the counted hours that must be covered by samples for a day to count.
const COVERED: f64 = 0.8;
/// A sample covers at most this much time after it.
const STANDS_MS: u64 = 300_000;

/// A figure of each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaselineFigure {
    /// Lowest value within the counted hours.
    Min,
    /// Highest value within the counted hours.
    Max,
    /// The mean over time.
    Mean,
    /// How often it became true.
    Starts,
}

/// What the days before are reckoned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// Middle one of the days' figures: a single odd day does not move it.
    Median,
    /// Arithmetic mean of the days' figures.
    Mean,
}

/// Comparison of a day's figure with a baseline of the days before.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedBaseline {
    pub input: ConditionInput,
    /// How a day becomes one figure.
    pub figure: BaselineFigure,
    /// First minute of the day that counts.
    pub from: u16,
    /// End of the counted part of the day, exclusive.
    pub to: u16,
    /// Length of the baseline in days.
    pub days: u16,
    /// How the days of the baseline become one figure.
    pub centre: Centre,
    /// The condition holds above the baseline times this factor.
    pub factor: f64,
    /// Consecutive days that must exceed the baseline.
    pub in_a_row: u16,
}

/// The running day and the baseline of one point.
#[derive(Clone, Debug, Default)]
pub struct BaselineTracker {
    today: Option<Today>,
    persisted: PersistedBaseline,
    was: Option<bool>,
}

/// What survives a restart; the day in which it happens is lost if too much of it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PersistedBaseline {
    /// Figures of the days before, the newest last.
    figures: VecDeque<f64>,
    /// Days in a row that were beyond.
    #[serde(rename = "row")]
    consecutive_days: u16,
    /// The last day's figure, and what the days before it came to.
    last: Option<(f64, f64)>,
}

#[derive(Clone, Debug)]
struct Today {
    date: Date,
    min: f64,
    max: f64,
    weighted: f64,
    covered_ms: u64,
    starts: u32,
    newest: Option<(MonotonicMillis, f64)>,
}

impl BaselineTracker {
    /// Takes in the passage of time and perhaps a value; `minute` is the minute of the site's day.
    pub fn observe(
        &mut self,
        days: &ResolvedBaseline,
        now: MonotonicMillis,
        date: Date,
        minute: u16,
        value: Option<f64>,
    ) {
        let is_within = (days.from..days.to).contains(&minute);
        if let Some(today) = &self.today
            && (today.date != date || !is_within)
        {
            self.close(days);
        }
        let on = value.map(|v| v != 0.0);
        let is_start = on == Some(true) && self.was == Some(false);
        self.was = on;
        if !is_within {
            return;
        }
        let fresh = Today {
            date,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            weighted: 0.0,
            covered_ms: 0,
            starts: 0,
            newest: None,
        };
        let today = self.today.get_or_insert(fresh);
        if let Some((at, before)) = today.newest {
            let ms = now.since(at);
            if ms <= STANDS_MS {
                today.covered_ms += ms;
                #[expect(clippy::cast_precision_loss, reason = "minutes of milliseconds")]
                let weight = ms as f64;
                today.weighted += before * weight;
            }
        }
        today.newest = value.map(|v| (now, v));
        if let Some(v) = value {
            (today.min, today.max) = (today.min.min(v), today.max.max(v));
        }
        today.starts += u32::from(is_start);
    }

    /// Ends the day: its figure joins the baseline if enough of the day was covered.
    fn close(&mut self, days: &ResolvedBaseline) {
        let Some(today) = self.today.take() else { return };
        let whole_ms = u64::from(days.to.saturating_sub(days.from)) * 60_000;
        #[expect(clippy::cast_precision_loss, reason = "a day of milliseconds")]
        let (covered, whole) = (today.covered_ms as f64, whole_ms as f64);
        if covered < whole * COVERED || covered <= 0.0 {
            return;
        }
        let figure = match days.figure {
            BaselineFigure::Min => today.min,
            BaselineFigure::Max => today.max,
            BaselineFigure::Mean => today.weighted / covered,
            BaselineFigure::Starts => f64::from(today.starts),
        };
        if self.persisted.figures.len() >= DAYS_MIN.min(usize::from(days.days)) {
            let usual = centre(&self.persisted.figures, days.centre);
            let is_beyond = figure >= usual * days.factor && figure > usual;
            self.persisted.consecutive_days =
                if is_beyond { self.persisted.consecutive_days.saturating_add(1) } else { 0 };
            self.persisted.last = Some((figure, usual));
            if is_beyond {
                // An unusual day does not enter the baseline: a lasting deviation must not become normal.
                return;
            }
        }
        self.persisted.figures.push_back(figure);
        while self.persisted.figures.len() > usize::from(days.days) {
            self.persisted.figures.pop_front();
        }
    }

    /// The last day's figure and the baseline before it; `None` while there are too few days.
    pub fn last_and_baseline(&self, _: &ResolvedBaseline) -> Option<(f64, f64)> {
        self.persisted.last
    }

    /// Consecutive days above the baseline.
    pub fn consecutive_days(&self) -> u16 {
        self.persisted.consecutive_days
    }

    /// A copy of the persistent part; the running day is not in it.
    pub fn persisted(&self) -> PersistedBaseline {
        self.persisted.clone()
    }

    /// Replaces the persistent part.
    pub fn restore(&mut self, kept: PersistedBaseline) {
        self.persisted = kept;
    }
}

fn centre(figures: &VecDeque<f64>, of: Centre) -> f64 {
    let mut sorted: Vec<f64> = figures.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    match of {
        #[expect(clippy::cast_precision_loss, reason = "days")]
        Centre::Mean => sorted.iter().sum::<f64>() / n.max(1) as f64,
        Centre::Median if n % 2 == 1 => sorted[n / 2],
        Centre::Median => f64::midpoint(sorted[(n / 2).saturating_sub(1)], sorted[n / 2]),
    }
}
