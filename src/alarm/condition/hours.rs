//! Within some hours of the site's day.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, truth};
use crate::alarm::local_time::{local, minute, wake_at_next};
use crate::alarm::resolve::{Missing, RuleBuilder};
use crate::model::quality::Cause;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Deserialize;

/// Hours of the site's day; `from` after `to` runs over midnight.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// Beginning, on the clock of the site: `02:00`.
    pub from: String,
    /// `04:00`, which is not within.
    pub to: String,
    /// Days of the week on which it begins, `mon` to `sun`; without them: every day.
    #[serde(default)]
    pub days: Vec<Weekday>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Hours of the site's day, in minutes after midnight; `to` is exclusive, and may be before `from`.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedHours {
    pub from: u16,
    pub to: u16,
    /// Days on which it begins; empty: all.
    pub days: Vec<Weekday>,
}

impl<C: NestedCondition> ConditionSettings<C> for Hours {
    type Resolved = ResolvedHours;

    fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
        if minute(&self.from).is_none() || minute(&self.to).is_none() {
            report("hours that are none", "from = \"22:00\", to = \"06:00\"");
        }
    }

    fn resolve(&self, _kind: &str, _b: &RuleBuilder<'_>) -> Result<ResolvedHours, Missing> {
        let (from, to) = (minute(&self.from).unwrap_or(0), minute(&self.to).unwrap_or(1_440));
        Ok(ResolvedHours { from, to, days: self.days.clone() })
    }
}

impl<R> ResolvedKind<R> for ResolvedHours {
    type Memory = ();

    fn memory(&self) {}

    fn evaluate(
        &self,
        (): &mut (),
        c: &mut EvaluationContext<'_>,
        _slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        let Some((date, minute)) = local(c) else { return evaluation(Truth::Unknown(Cause::StartingUp), None, None) };
        let (from, to) = (self.from, self.to);
        wake_at_next(c, minute, [from, to]);
        let began = |date: Date| self.days.is_empty() || self.days.iter().any(|d| weekday(*d) == date.weekday());
        let holds = if from <= to {
            (from..to).contains(&minute) && began(date)
        } else {
            (minute >= from && began(date)) || (minute < to && date.yesterday().is_ok_and(began))
        };
        evaluation(truth(holds), None, None)
    }

    fn describe(&self) -> String {
        let (from, to) = (self.from, self.to);
        format!("between {:02}:{:02} and {:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

fn weekday(day: Weekday) -> jiff::civil::Weekday {
    use jiff::civil::Weekday as W;
    match day {
        Weekday::Mon => W::Monday,
        Weekday::Tue => W::Tuesday,
        Weekday::Wed => W::Wednesday,
        Weekday::Thu => W::Thursday,
        Weekday::Fri => W::Friday,
        Weekday::Sat => W::Saturday,
        Weekday::Sun => W::Sunday,
    }
}
