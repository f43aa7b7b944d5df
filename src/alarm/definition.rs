//! A rule for one device: its condition with every name and parameter resolved. Plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alarm::condition::ResolvedCondition;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::text::whole;

/// A step of urgency: a priority with its on-delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Urgency {
    pub priority: Priority,
    pub on_delay_ms: u64,
}

/// A rule resolved for a device: one alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmDefinition {
    /// The rule's name with its index, such as `pump1_overload`.
    pub rule: Arc<str>,
    /// The rule of the file, such as `sump.pump{n}_overload`.
    pub source_rule: Arc<str>,
    pub device: Arc<str>,
    /// Its number in the site's list; may be empty.
    pub site_number: String,
    /// Template with `{device}`, `{area}`, `{v}` and `{limit}`.
    pub text: LocalizedText,
    /// What the responder has to do.
    pub action: LocalizedText,
    pub rationale: Arc<Rationale>,
    pub unit: String,
    /// The least urgent first; at least one.
    pub steps: Vec<Urgency>,
    pub off_delay_ms: u64,
    /// An alarm that is still active this long after acknowledgement has to be acknowledged again.
    pub realarm_ms: Option<u64>,
    /// Whether it stays latched until somebody resets it.
    pub latch: bool,
    /// Keys of alarms that suppress it while they are active.
    pub suppressed_by: Vec<Arc<str>>,
    /// Alarms of one device and group: the first that is raised is marked.
    pub first_out_group: Option<Arc<str>>,
    /// Cannot be shelved, taken out of service or suppressed.
    pub never_suppressed: bool,
    pub condition: ResolvedCondition,
    /// The alarm is possible only while this holds.
    pub enable_if: Option<ResolvedCondition>,
    /// It suppresses others only while this holds.
    pub suppresses_while: Option<ResolvedCondition>,
    /// Whether a test run of the device raises it; an announced test then shelves it.
    pub raised_by_tests: bool,
    /// While this holds it is one step more urgent: the last of `steps` is reached by nothing else.
    pub more_urgent_while: Option<ResolvedCondition>,
    /// Rank of the flood level that it demands while it is active; 0: none.
    pub flood_rank: u8,
    /// Whether the site could not pump while it is active.
    pub readiness: bool,
    /// Texts that stand for values in its text, such as names of levels; of others the number is shown.
    pub value_texts: BTreeMap<i64, LocalizedText>,
    /// What the responder has to do at a value; at others it is `action`.
    pub value_actions: BTreeMap<i64, LocalizedText>,
}

/// The rationale of a rule (ISA-18.2), for responders and reviewers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rationale {
    /// The most likely cause.
    pub cause: LocalizedText,
    /// The consequence of inaction.
    pub consequence: LocalizedText,
    /// Time to respond, milliseconds; 0: not stated.
    pub respond_ms: u64,
    /// Source of limit and delays.
    pub basis: String,
}

impl AlarmDefinition {
    /// What the responder has to do at a value.
    pub fn action_at(&self, value: Option<f64>) -> &LocalizedText {
        let own = value.and_then(whole).and_then(|code| self.value_actions.get(&code));
        own.unwrap_or(&self.action)
    }

    /// All its conditions.
    pub fn conditions(&self) -> impl Iterator<Item = &ResolvedCondition> {
        let others = [&self.enable_if, &self.suppresses_while, &self.more_urgent_while];
        others.into_iter().flatten().chain([&self.condition])
    }

    /// `rule.device`, the alarm's identifier in the event log, topics and commands.
    pub fn key(&self) -> String {
        format!("{}.{}", self.rule, self.device)
    }
}
