//! Checks the rotas of the coming days for gaps, escalation policies that end with nobody, and holiday calendars that run out.

use std::sync::Arc;

use crate::model::time::{Now, UnixMillis};
use crate::oncall::plan::OncallPlan;
use crate::oncall::rota::{self, DAY_MS, OnCallPeriod, Override};
use crate::oncall::settings::{Days, StepTarget};
use crate::oncall::steps::resolve;

/// Lists what will go wrong between `from` and `from` plus `days`, one sentence each.
pub fn upcoming_problems(plan: &OncallPlan, overrides: &[Override], from: UnixMillis, days: i64) -> Vec<String> {
    let mut out = Vec::new();
    let to = UnixMillis(from.0 + days * DAY_MS);
    let local = |at: UnixMillis| {
        let at = jiff::Timestamp::from_millisecond(at.0).map(|t| t.to_zoned(plan.zone.clone()));
        at.map_or(String::new(), |z| z.strftime("%a %Y-%m-%d %H:%M").to_string())
    };
    for (id, rota) in &plan.rotas {
        let periods = rota::on_call_periods(plan, id, overrides, from, to);
        let gaps: Vec<&OnCallPeriod> = periods.iter().filter(|s| s.person.is_none()).collect();
        for gap in &gaps {
            out.push(format!("rota {id}: nobody is on call from {} to {}", local(gap.from), local(gap.to)));
        }
        for chain in &plan.escalation_policies {
            let Some(last) = chain.steps.last() else { continue };
            let is_of = |t: &StepTarget| matches!(t, StepTarget::Rota(r) | StepTarget::Next(r) if r == id);
            let ends = |gap: &&&OnCallPeriod| {
                let now = Now { wall: gap.from, wall_trusted: true, ..Now::default() };
                resolve(plan, overrides, last, now).0.is_empty()
            };
            if last.targets.iter().any(is_of)
                && let Some(gap) = gaps.iter().find(ends)
            {
                out.push(format!("chain {} ends with nobody from {} on", chain.id, local(gap.from)));
            }
        }
        let calendar_end = plan.calendar.until;
        let uses_it = rota.shifts.iter().any(|s| s.days != Days::All);
        let last_day = jiff::Timestamp::from_millisecond(to.0).map(|t| t.to_zoned(plan.zone.clone()).date());
        if let (Some(until), true, Ok(last_day)) = (calendar_end, uses_it, last_day)
            && last_day > until
        {
            out.push(format!(
                "rota {id}: the calendar of holidays ends on {until}: after that Saturday and Sunday are free"
            ));
        }
    }
    let known: Vec<&Arc<str>> = plan.rotas.values().flat_map(|r| &r.shifts).flat_map(|s| &s.people).collect();
    for (id, person) in plan.people.iter().filter(|(id, _)| known.contains(id)) {
        if person.contacts.len() == 1 {
            out.push(format!(
                "{id} is reached in one way only: if {} fails nobody is told",
                person.contacts[0].channel
            ));
        }
    }
    out
}
