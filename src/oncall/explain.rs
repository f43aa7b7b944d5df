//! Explains who was paged about an alarm, who was not, and the reason.

use crate::model::time::{MonotonicMillis, Now};
use crate::oncall::dispatch::held_until;
use crate::oncall::incident::IncidentStage;
use crate::oncall::page::PageState;
use crate::oncall::{Oncall, ms};

impl Oncall {
    /// Describes the paging of an alarm, one line per fact.
    pub fn explain(&self, key: &str, now: Now) -> Vec<String> {
        let Some(incident) = self.incidents.get(key) else {
            let why = if self.plan.escalation_policies.is_empty() {
                "nobody is told of anything: the configuration has no [[chain]]"
            } else {
                "nobody is being told of it"
            };
            return vec![why.to_string()];
        };
        let chain = incident.escalation_policy.as_deref().unwrap_or("none");
        let mut out = vec![match &incident.stage {
            IncidentStage::Paging if incident.next_step_at.is_none() && !incident.has_pending_pages() => {
                format!("nobody took it, and chain {chain} is over")
            }
            IncidentStage::Paging => {
                let stands = match (incident.condition_ended_at.is_some(), incident.latched) {
                    (true, true) => " (its condition is gone, and it is locked until somebody has inspected it)",
                    (true, false) => " (its condition is gone by itself)",
                    (false, _) => "",
                };
                // The round of the step that is due next.
                let round = if incident.step == 0 { incident.round.max(1) } else { incident.round + 1 };
                format!("somebody is wanted: chain {chain}, round {round}{stands}")
            }
            IncidentStage::Acknowledged(by) => format!("{by} has taken it"),
            IncidentStage::Suppressed(why) => format!("not told: {why}"),
            IncidentStage::Resolved(why) => format!("over: {why}"),
        }];
        out.extend(incident.notes.iter().map(|n| format!("  {n}")));
        let in_s = |at: i64| (at - ms(now.mono)).max(0) / 1_000;
        for page in &incident.pages {
            let way = page.contact_methods.get(page.way).map_or(String::new(), |w| format!(" through {}", w.channel));
            let state = match page.state {
                PageState::Accepted(at) => format!("told{way} {} s ago", (ms(now.mono) - at).max(0) / 1_000),
                PageState::InFlight(_) => format!("on its way{way}"),
                PageState::Dropped => format!("not sent any more: {}", page.last_result),
                PageState::Waiting(at) => {
                    let hold = held_until(&self.plan, incident, page, now);
                    let cooldown = page
                        .contact_methods
                        .get(page.way)
                        .and_then(|w| self.channels.get(&w.channel)?.cooldown.as_ref());
                    match (hold, cooldown) {
                        (Some((until, why)), _) => format!("waits until {}: {why}", until.local(&self.plan.zone)),
                        (None, Some((MonotonicMillis(until), why))) => {
                            format!(
                                "waits{way}, which rests {} s more: {why}",
                                in_s(i64::try_from(*until).unwrap_or(0))
                            )
                        }
                        _ if at > ms(now.mono) => format!("tried again{way} in {} s: {}", in_s(at), page.last_result),
                        _ => format!("waits{way}"),
                    }
                }
            };
            out.push(format!("  page {} to {} ({}): {state}", page.id, page.recipient, page.kind.word()));
        }
        if let Some(next) = incident.next_step_at {
            let what = if incident.step == 0 && incident.round > 0 { "begins again" } else { "the next step begins" };
            out.push(format!("  {what} in {} s", in_s(next)));
        }
        out
    }
}
