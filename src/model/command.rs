//! What somebody wants done: one type for every way in (socket, broker, page, HTTP interface, short message).

use serde::{Deserialize, Serialize};

use crate::model::actor::Actor;
use crate::model::flood::FloodOperation;
use crate::model::metering::MeteringCommand;
use crate::model::time::UnixMillis;

/// Something to be done, with whoever wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Whoever wants it, with role and proof of identity.
    pub actor: Actor,
    /// Their remark; one line of at most 40 characters goes into the log.
    pub note: String,
    /// What is to be done, with its parameters.
    pub operation: Operation,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// An action on alarms (`rule.device`); refused if none of them takes it.
    Alarm {
        /// The alarms' keys, `rule.device` each.
        keys: Vec<String>,
        /// The action, the same for all.
        action: AlarmAction,
    },
    /// The answer to a page.
    Reply(PageReply),
    /// A value for a trial of alarm rules.
    Inject(Inject),
    /// A page for a trial.
    TestPage {
        /// Id of the person who is paged.
        person: String,
    },
    /// Somebody takes a rota's place from one moment to another.
    AddOverride {
        /// The rota's id in the configuration.
        rota: String,
        /// Id of the person who is on call instead.
        person: String,
        /// From this moment on.
        from: UnixMillis,
        /// To before this moment.
        to: UnixMillis,
    },
    /// An override ends at once.
    WithdrawOverride {
        /// The number that the override got when it was accepted.
        number: u64,
    },
    /// Something with register readings and the figures made of them.
    Metering(MeteringCommand),
    /// Something with the flood level.
    Flood(FloodOperation),
    /// Something with the gateway itself, which no rule decides.
    Gateway(GatewayOperation),
}

/// What is done with the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayOperation {
    /// Registers of any unit are read between two cycles: it occupies the bus.
    ReadRegisters,
    /// The configuration is loaded again.
    Reload,
    /// The clock's date is right.
    AcceptClock,
    /// All sealed files are read once, now.
    VerifyJournal,
    /// A range of the journal is written to a store again.
    Resend {
        /// Name of the sink that writes to the store.
        sink: String,
    },
    /// Dead letters are sent again.
    SendDeadLetters {
        /// One sink, or all.
        sink: Option<String>,
    },
    /// Dead letters are deleted.
    DiscardDeadLetters {
        /// One sink, or all.
        sink: Option<String>,
    },
}

impl GatewayOperation {
    /// What it concerns, for the event log: a sink, or nothing.
    pub fn key(&self) -> &str {
        match self {
            GatewayOperation::Resend { sink } => sink,
            GatewayOperation::SendDeadLetters { sink } | GatewayOperation::DiscardDeadLetters { sink } => {
                sink.as_deref().unwrap_or_default()
            }
            _ => "",
        }
    }

    /// As the event log has it.
    pub const fn word(&self) -> &'static str {
        match self {
            GatewayOperation::ReadRegisters => "read_registers",
            GatewayOperation::Reload => "reload",
            GatewayOperation::AcceptClock => "accept_clock",
            GatewayOperation::VerifyJournal => "verify",
            GatewayOperation::Resend { .. } => "resend",
            GatewayOperation::SendDeadLetters { .. } => "set_aside_sent",
            GatewayOperation::DiscardDeadLetters { .. } => "set_aside_discarded",
        }
    }
}

/// An action on an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum AlarmAction {
    /// The actor becomes its owner.
    Acknowledge,
    /// Somebody else becomes its owner, who has to acknowledge it.
    HandOver {
        /// Id of the person who becomes its owner.
        to: String,
    },
    /// The actor is on site.
    Arrive,
    /// A latched alarm is reset after an inspection.
    Reset,
    /// Not annunciated for a time.
    Shelve {
        /// Milliseconds, at most seven days.
        for_ms: u64,
    },
    /// Its device is tested: what the test raises is not annunciated.
    AnnounceTest {
        /// Milliseconds, at most four hours.
        for_ms: u64,
    },
    /// Ends shelving before its time is over.
    Unshelve,
    /// Out of service until it is returned.
    #[serde(rename = "take_out")]
    TakeOutOfService,
    /// Ends what [`AlarmAction::TakeOutOfService`] began.
    #[serde(rename = "put_back")]
    ReturnToService,
    /// Arrived; acknowledged with that if nobody has done so. Only an answer to a page says so.
    #[serde(skip)]
    AcknowledgeAndArrive,
}

/// A value for a trial: it stands in for the point's samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inject {
    /// Id of the device that has the point.
    pub device: String,
    /// Name of the point whose samples are replaced.
    pub point: String,
    /// In the point's unit; true and false are 1 and 0.
    pub value: f64,
    /// Milliseconds, at most an hour.
    pub for_ms: u64,
}

/// What somebody who was paged does with the alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// They acknowledge the alarm that they were paged for.
    Acknowledge,
    /// They are on site; acknowledged with that if nobody has done so.
    Arrive,
    /// A colleague becomes its owner.
    HandOver {
        /// Id of the colleague, a person of the configuration.
        to: String,
    },
    /// Not annunciated for a time.
    Shelve {
        /// Milliseconds, at most seven days.
        for_ms: u64,
    },
    /// A latched alarm is reset after an inspection.
    Reset,
}

/// An answer to a page. Its actor's id may be empty: then it is whoever the page went to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageReply {
    /// Number of the page that is answered.
    pub page: u64,
    /// What is to be done.
    pub reply: Reply,
    /// Whether only the page's own alarm is meant, not all of its message.
    pub is_single: bool,
    /// Whether it is confirmed by a message of its own: the way that it came by shows nothing.
    pub needs_confirmation: bool,
    /// The channel and its own name of the answer, where it can read answers again: what came up to it is not read again.
    pub read_up_to: Option<(String, String)>,
}

impl PageReply {
    /// For all alarms of the page's message.
    pub fn new(page: u64, reply: Reply) -> Self {
        Self { page, reply, is_single: false, needs_confirmation: false, read_up_to: None }
    }
}
