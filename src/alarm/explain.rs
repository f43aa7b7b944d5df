//! Explains why an alarm is active or not: each part of its condition with its last result, and pending delays and deadlines.

use std::fmt::Write as _;

use crate::alarm::Alarms;
use crate::alarm::definition::Rationale;
use crate::alarm::evaluation::{Evaluation, Truth};
use crate::alarm::evaluator::Evaluator;
use crate::model::failure::Refusal;
use crate::model::text::format_number;
use crate::model::time::{HumanDuration, Now};

impl Alarms {
    /// The explanation as lines of text.
    ///
    /// # Errors
    /// There is no such alarm; the text suggests the nearest keys.
    pub fn explain(&self, key: &str, now: Now) -> Result<Vec<String>, Refusal> {
        let i = self.find(key).map_err(Refusal::from)?;
        let live = &self.live[i];
        let (of, alarm) = (&live.definition, &live.alarm);
        let mut out = Vec::new();
        out.push(format!("{key}: {} ({}, rule {})", alarm.state().word(), alarm.priority(of).word(), of.source_rule));
        if let Some(cause) = alarm.unknown_cause {
            out.push(format!("  its input is not known: {}", cause.says()));
        }
        rationale(&of.rationale, &mut out);
        out.push(format!("  condition: {}", word(live.last_evaluation)));
        lines(&live.condition, 2, &mut out);
        let while_it_holds = [("only", &live.enable_if), ("one priority more urgent", &live.more_urgent_while)];
        for (what, evaluator) in while_it_holds {
            if let Some(evaluator) = evaluator {
                out.push(format!("  {what} while:"));
                lines(evaluator, 2, &mut out);
            }
        }
        for (k, (debounce, urgency)) in live.debounces.iter().zip(&of.steps).enumerate() {
            let Some(since) = debounce.since else { continue };
            let off_delay_ms = alarm.off_delay_ms(of, self.rules.settings.chatter_within.0);
            let delay = if debounce.on { off_delay_ms } else { urgency.on_delay_ms };
            let what = if debounce.on { "clears" } else { "is raised" };
            let step = if of.steps.len() > 1 { format!(" (step {})", k + 1) } else { String::new() };
            let left = delay.saturating_sub(now.mono.since(since)) / 1_000;
            let delay = HumanDuration(delay).text();
            out.push(format!("  {what}{step} in {left} s, if it stays so: the delay is {delay}"));
        }
        if let Some(times) = alarm.chatter_count {
            let within = self.rules.settings.chatter_within.text();
            out.push(format!(
                "  chatters: raised {times} times within {within}; held until it has stayed away for {within}"
            ));
        }
        match (&alarm.suppressed_by, live.show_at) {
            (Some(by), Some(at)) => {
                let left = at.since(now.mono) / 1_000;
                out.push(format!("  was hidden by {by}, which is over: people are told in {left} s, if it stays"));
            }
            (Some(by), None) => out.push(format!("  hidden by {by}, which is active: nobody is told of this one")),
            (None, _) => {}
        }
        if let Some(shelf) = &alarm.shelved {
            let left = u64::try_from((shelf.until - super::ms(now.mono)) / 1_000).unwrap_or(0);
            out.push(format!("  shelved by {} for another {left} s: {}", shelf.actor, shelf.note));
        }
        if let Some(by) = &alarm.out_of_service_by {
            out.push(format!("  taken out of service by {by}"));
        }
        if alarm.latched {
            out.push("  latched: wants a reset after an inspection, once its condition is gone".to_string());
        }
        if !alarm.owner.is_empty() {
            let how = if alarm.is_handed_over { "given to, who has not said yes:" } else { "taken by" };
            out.push(format!("  {how} {} {}", alarm.owner, alarm.note));
        }
        for (due, what) in alarm.deadlines.iter().zip(["acknowledged", "attended", "resolved"]) {
            if let Some(at) = due {
                let left = u64::try_from((at - super::ms(now.mono)) / 1_000).unwrap_or(0);
                out.push(format!("  has to be {what} within {left} s"));
            }
        }
        Ok(out)
    }
}

fn word(evaluation: Evaluation) -> String {
    match evaluation.truth {
        Truth::Yes(1) => "yes".to_string(),
        Truth::Yes(k) => format!("yes, step {k}"),
        Truth::No => "no".to_string(),
        Truth::Unknown(cause) => format!("unknown ({})", cause.word()),
    }
}

/// Cause, consequence, basis and time to respond, as far as the rule says them.
fn rationale(of: &Rationale, out: &mut Vec<String>) {
    let texts = [("likely cause", &of.cause.en), ("if nobody acts", &of.consequence.en), ("basis", &of.basis)];
    let given = texts.iter().filter(|(_, text)| !text.is_empty());
    out.extend(given.map(|(name, text)| format!("  {name}: {text}")));
    if of.respond_ms > 0 {
        out.push(format!("  time to respond: {}", HumanDuration(of.respond_ms).text()));
    }
}

fn lines(evaluator: &Evaluator, depth: usize, out: &mut Vec<String>) {
    let (node, said, parts) = evaluator.last_result();
    let mut line = format!("{}{}: {}", "  ".repeat(depth), node.describe(), word(said));
    if let Some(value) = said.value {
        let _infallible = write!(line, ", {}", format_number(value));
    }
    if let Some(limit) = said.limit {
        let _infallible = write!(line, ", limit {}", format_number(limit));
    }
    out.push(line);
    parts.iter().for_each(|p| lines(p, depth + 1, out));
}
