//! The engine: the rooms of rules in their order, one input, one [`Effects`], and the next wake-up. No clock, no I/O.
//!
//! # A step
//!
//! Each [`Engine::step`] runs every room once with the input, in the order of the list below. A room reads from the [`Board`] what
//! the rooms before it put there. If a later room left a request for an earlier one (an answer to a page is a command to an
//! alarm; a page that was sent means that its alarm was annunciated), all rooms run once more in the same step, at most
//! four times. So whatever belongs together is committed in one transaction.
//!
//! # Guarantees
//!
//! * Every command is authorised here, whichever way it came ([`authorize()`]).
//! * A room that panics is switched off; what it did in that pass is dropped, the other rooms go on, and what it decides is
//!   unknown until [`Engine::reconfigure`] builds it again from what it kept.
//! * Notifications are whole when the step returns: nobody asks the engine for a text afterwards.
//! * The same inputs at the same times give the same effects.
//!
//! # Not guaranteed
//!
//! * Effects are not on the disk when they are returned: committing them before they leave is the caller's.
//! * Between two wake-ups the engine sees nothing: whoever sleeps past [`Engine::next_wake`] is late by that much.

pub mod authorize;
pub mod guarded;
pub mod liveness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alarm::Alarms;
use crate::alarm::room::AlarmRoom;
use crate::derive::room::DeriveRoom;
use crate::energy::room::EnergyRoom;
use crate::engine::authorize::{Policy, authorize};
use crate::engine::guarded::Guarded;
use crate::engine::liveness::LivenessRoom;
use crate::flood::room::FloodRoom;
use crate::flood::view::FloodView;
use crate::model::actor::Actor;
use crate::model::command::{Command, GatewayOperation, Operation};
use crate::model::directory::Directory;
use crate::model::effects::{AddressedNotification, Effects, Keep, LogEvent};
use crate::model::failure::{FailureKind, Refusal};
use crate::model::page::{PageDelivery, is_test};
use crate::model::room::{Board, Input, Kept, Reconfiguration, Room, SNAPSHOT, Snapshot, Start};
use crate::model::stream::Source;
use crate::model::text::{KEY, REMARK, one_line};
use crate::model::time::{MonotonicMillis, Now};
use crate::oncall::room::OncallRoom;
use crate::presentation::notification::{Pages, notification};
use crate::presentation::token::PageTokens;

/// The room of the event log for what is done with the gateway itself.
pub const GATEWAY: &str = "gateway";
/// Passes of one step at most.
const PASSES: usize = 4;

/// Copies of what rooms count, with their formats, not encoded yet.
pub struct Snapshots(Vec<(&'static str, u32, Snapshot)>);

impl Snapshots {
    /// Encodes them as values to keep: needs no engine, so nobody waits for it.
    pub fn encode(self) -> Vec<Keep> {
        let keep = |(room, format, encode): (&'static str, u32, Snapshot)| {
            encode().map(|bytes| Keep { room, key: SNAPSHOT.to_string(), format, bytes: Some(bytes) })
        };
        self.0.into_iter().filter_map(keep).collect()
    }
}

/// What every room kept, by its id.
pub type Persisted = BTreeMap<String, Kept>;

macro_rules! rooms {
    ($($name:ident: $room:ty),* $(,)?) => {
        /// The plans of all rooms.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[allow(missing_docs, reason = "a plan for each room")]
        pub struct RoomPlans {
            $(pub $name: <$room as Room>::Plan,)*
        }

        #[derive(Debug)]
        struct Rooms {
            $($name: Guarded<$room>,)*
        }

        impl Rooms {
            fn build(plans: &RoomPlans, start: impl Fn(&'static str) -> StartParts, unreadable: &mut Vec<String>) -> Self {
                Self { $($name: Guarded::new(start(<$room>::ID).build::<$room>(&plans.$name, unreadable)),)* }
            }

            fn step(
                &mut self,
                now: Now,
                input: Input<'_>,
                board: &mut Board,
                effects: &mut Effects,
                observer: &mut Observer,
            ) {
                observer.report(None);
                $(if self.$name.run(board, effects, |room, board, effects| room.step(now, input, board, effects)) {
                    observer.report(Some(<$room>::ID));
                } else {
                    observer.report(None);
                })*
            }

            fn reconfigure(
                &mut self,
                (old, plans): (&RoomPlans, &RoomPlans),
                change: Reconfiguration<'_>,
                start: impl Fn(&'static str) -> StartParts,
                unreadable: &mut Vec<String>,
                board: &mut Board,
                effects: &mut Effects,
            ) {
                // One that panicked is built with the plan of before, so that it says what the new one changes.
                $(if self.$name.is_disabled() {
                    self.$name = Guarded::new(start(<$room>::ID).build::<$room>(&old.$name, unreadable));
                }
                self.$name.run(board, effects, |room, board, effects| {
                    room.reconfigure(&plans.$name, change, board, effects);
                });)*
            }

            fn next_wake(&self) -> Option<MonotonicMillis> {
                [$(self.$name.room().and_then(Room::next_wake),)*].into_iter().flatten().min()
            }

            fn snapshots(&self) -> Snapshots {
                let mut out = Vec::new();
                $(if let Some(encode) = self.$name.room().and_then(Room::snapshot) {
                    out.push((<$room>::ID, <$room>::FORMAT, encode));
                })*
                Snapshots(out)
            }

            fn disabled(&self) -> Vec<&'static str> {
                let mut out = Vec::new();
                $(if self.$name.is_disabled() {
                    out.push(<$room>::ID);
                })*
                out
            }

            fn inject_fault(&mut self, id: &str) {
                $(if <$room>::ID == id {
                    self.$name.panic_next();
                })*
            }
        }

        /// Ids of all rooms, in their order.
        pub const ROOMS: &[&str] = &[$(<$room>::ID),*];
    };
}

// One more room of rules is its own file and one line here.
rooms! {
    derive: DeriveRoom,
    liveness: LivenessRoom,
    energy: EnergyRoom,
    flood: FloodRoom,
    alarm: AlarmRoom,
    oncall: OncallRoom,
}

/// Told of the beginning of each pass, or of a room that did not run (`None`), and of each room that ran in it: it may measure how long rooms take, which rules
/// cannot know.
#[derive(Default)]
struct Observer(Option<Box<dyn FnMut(Option<&'static str>) + Send>>);

impl Observer {
    fn report(&mut self, room: Option<&'static str>) {
        if let Some(observer) = &mut self.0 {
            observer(room);
        }
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observer({})", self.0.is_some())
    }
}

/// What a room is built with.
struct StartParts {
    kept: Kept,
    directory: Arc<Directory>,
    boot: Arc<str>,
    now: Now,
}

impl StartParts {
    fn build<R: Room>(&self, plan: &R::Plan, unreadable: &mut Vec<String>) -> R {
        let start = Start { kept: &self.kept, directory: &self.directory, boot: &self.boot, now: self.now };
        R::build(plan, start, unreadable)
    }
}

/// What the engine is built from.
#[derive(Clone, Debug, Default)]
pub struct EnginePlan {
    /// Names of the site.
    pub directory: Arc<Directory>,
    /// Who may do what.
    pub policy: Policy,
    /// Proofs in the links of pages.
    pub tokens: Arc<PageTokens>,
    /// A plan for each room.
    pub rooms: RoomPlans,
}

/// The rooms of rules with their plan; one step runs every room that has not panicked.
#[derive(Debug)]
pub struct Engine {
    plan: EnginePlan,
    rooms: Rooms,
    board: Board,
    boot: Arc<str>,
    unreadable: Vec<String>,
    observer: Observer,
}

impl Engine {
    /// Builds the rooms, going on from what they kept; `boot` is the kernel's name of this boot.
    pub fn new(plan: EnginePlan, kept: &Persisted, boot: &str, now: Now) -> Self {
        let boot: Arc<str> = boot.into();
        let mut unreadable = Vec::new();
        let rooms = Rooms::build(&plan.rooms, start_of(&plan.directory, kept, &boot, now), &mut unreadable);
        Self { plan, rooms, board: Board::default(), boot, unreadable, observer: Observer::default() }
    }

    /// Calls `observer` at the beginning of each pass over the rooms (`None`), and after each room.
    pub fn observe_rooms(&mut self, observer: impl FnMut(Option<&'static str>) + Send + 'static) {
        self.observer = Observer(Some(Box::new(observer)));
    }

    /// One step: an input, and the time that has passed.
    pub fn step(&mut self, now: Now, input: Input<'_>) -> Effects {
        let mut effects = Effects::default();
        self.board = Board::default();
        let (input, command) = match input {
            Input::Command(command) => match authorize(&self.plan.policy, &command.actor, &command.operation) {
                Ok(()) => (input, Some(command)),
                Err(refused) => {
                    effects.refused = Some(refused);
                    (Input::Tick, None)
                }
            },
            _ => (input, None),
        };
        if let Some(command) = command {
            effects.decided.events.extend(gateway_event(command));
            self.answer_without_pages(command, &mut effects);
        }
        self.passes(now, input, &mut effects);
        if let Input::Feed { .. } = input {
            // Whoever brought the warnings has to bring them again.
            self.refuse_if_disabled(FloodRoom::ID, &mut effects);
        }
        if let Some(command) = command {
            // The room that was to carry it out may have panicked over it.
            let is_answered = matches!(command.operation, Operation::Reply(_)) && self.rooms.oncall.is_disabled();
            if !is_answered {
                self.refuse_if_disabled(room_of(&command.operation), &mut effects);
            }
        }
        self.finish(&mut effects);
        effects
    }

    /// A new configuration: state goes on where the same thing is still configured. A room that panicked is built again from
    /// `persisted`, what it kept.
    pub fn reconfigure(
        &mut self,
        plan: EnginePlan,
        streams: &BTreeSet<(Arc<str>, Source)>,
        persisted: &Persisted,
        actor: &Actor,
        now: Now,
    ) -> Effects {
        let mut effects = Effects::default();
        self.board = Board::default();
        let change = Reconfiguration { directory: &plan.directory, streams, actor, now };
        let start = start_of(&self.plan.directory, persisted, &self.boot, now);
        let plans = (&self.plan.rooms, &plan.rooms);
        self.rooms.reconfigure(plans, change, start, &mut self.unreadable, &mut self.board, &mut effects);
        self.board.end_pass(&mut effects);
        self.plan = plan;
        if !self.board.requests.is_empty() {
            self.passes(now, Input::Tick, &mut effects);
        }
        self.finish(&mut effects);
        effects
    }

    /// What could not be read of what rooms kept, a line each.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// While the pages' room is switched off, an answer to a page still acknowledges its alarm: by the pages as they were.
    fn answer_without_pages(&mut self, command: &Command, effects: &mut Effects) {
        let Operation::Reply(reply) = &command.operation else { return };
        if !self.rooms.oncall.is_disabled() {
            return;
        }
        let oncall = self.rooms.oncall.peek();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| oncall.commands_of(reply, command)));
        match found {
            Ok(Ok(commands)) => self.board.requests.commands = commands,
            Ok(Err(refused)) => effects.refused = Some(refused.into()),
            Err(_) => self.refuse_if_disabled(OncallRoom::ID, effects),
        }
    }

    /// All rooms with the input, then again as long as a later room wants something of an earlier one.
    fn passes(&mut self, now: Now, mut input: Input<'_>, effects: &mut Effects) {
        for _ in 0..PASSES {
            if self.rooms.alarm.is_disabled() && !self.board.requests.commands.is_empty() {
                self.refuse_if_disabled(AlarmRoom::ID, effects);
                self.board.requests.commands.clear();
            }
            self.board.is_alarm_off = self.rooms.alarm.is_disabled();
            self.rooms.step(now, input, &mut self.board, effects, &mut self.observer);
            self.board.end_pass(effects);
            if self.rooms.alarm.is_disabled() && self.board.requests.commands.is_empty() {
                // Nobody is there for them. Commands get one more pass, so that their answer is a refusal.
                self.board.requests.clear();
            }
            if self.board.requests.is_empty() && self.board.alarm_summaries.is_none() {
                break;
            }
            input = Input::Tick;
        }
    }

    /// When the engine wants to be asked again although nothing came.
    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        self.rooms.next_wake()
    }

    /// Counts of every room that has some: kept now and then, since nothing was decided.
    pub fn snapshots(&self) -> Snapshots {
        self.rooms.snapshots()
    }

    /// Rooms that panicked: what they decide is unknown until they are built again.
    pub fn disabled_rooms(&self) -> Vec<&'static str> {
        self.rooms.disabled()
    }

    /// Makes a room panic in its next pass: for a test of what follows.
    pub fn inject_fault(&mut self, room: &str) {
        self.rooms.inject_fault(room);
    }

    /// What the rooms told each other in the last step.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The plan in force.
    pub fn plan(&self) -> &EnginePlan {
        &self.plan
    }

    /// The alarm rules with their texts and topics, for whoever shows them.
    pub fn alarm_room(&self) -> &AlarmRoom {
        self.rooms.alarm.peek()
    }

    /// The alarms, for whoever shows them.
    pub fn alarms(&self) -> &Alarms {
        &self.alarm_room().alarms
    }

    /// Retained topics of alarms and of the flood, as they are now.
    pub fn topics(&self, now: Now) -> Vec<(String, String)> {
        let mut topics = self.alarm_room().states();
        topics.extend(self.rooms.flood.peek().topics(now));
        topics
    }

    /// The flood level; none: the site has none.
    pub fn flood_view(&self, now: Now) -> Option<FloodView> {
        self.rooms.flood.peek().view(now)
    }

    /// Pages and rotas, for whoever shows them.
    pub fn oncall(&self) -> &crate::oncall::Oncall {
        &self.rooms.oncall.peek().oncall
    }

    /// Why an alarm is in its state, and who was paged of it.
    ///
    /// # Errors
    /// There is no such alarm, in words.
    pub fn explain(&self, key: &str, now: Now) -> Result<Vec<String>, Refusal> {
        let mut lines = if is_test(key) { Vec::new() } else { self.alarms().explain(key, now)? };
        lines.extend(self.oncall().explain(key, now));
        Ok(lines)
    }

    fn refuse_if_disabled(&self, room: &str, effects: &mut Effects) {
        if self.rooms.disabled().contains(&room) {
            let zh = match room {
                AlarmRoom::ID => "告警规则",
                FloodRoom::ID => "防汛规则",
                EnergyRoom::ID => "能耗规则",
                _ => "通知规则",
            };
            effects.refused = Some(Refusal::new(
                FailureKind::Broken,
                format!("{zh}出错已停用，请工程师重新加载"),
                format!("the {room} rules panicked and are switched off: `plantroom reload` tries them again"),
            ));
        }
    }

    /// What belongs together and came in several passes becomes one; attempts to page somebody become whole notifications.
    fn finish(&self, effects: &mut Effects) {
        effects.decided.keep_last_of_each();
        let pages = Pages { directory: &self.plan.directory, tokens: &self.plan.tokens };
        let alarm = self.alarm_room();
        let of_page = |delivery: &PageDelivery| AddressedNotification {
            channel: Arc::clone(&delivery.channel),
            attempt: delivery.id,
            notification: notification(pages, delivery, |key| alarm.subject(key)),
        };
        effects.decided.notifications.extend(self.board.sends.iter().map(of_page));
    }
}

fn start_of<'a>(
    directory: &'a Arc<Directory>,
    persisted: &'a Persisted,
    boot: &'a Arc<str>,
    now: Now,
) -> impl Fn(&'static str) -> StartParts + 'a {
    move |room| StartParts {
        kept: persisted.get(room).cloned().unwrap_or_default(),
        directory: Arc::clone(directory),
        boot: Arc::clone(boot),
        now,
    }
}

/// What somebody does with the gateway itself, for the log; reading registers is no change.
fn gateway_event(command: &Command) -> Option<LogEvent> {
    let Operation::Gateway(operation) = &command.operation else { return None };
    if *operation == GatewayOperation::ReadRegisters {
        return None;
    }
    Some(LogEvent {
        room: GATEWAY,
        key: one_line(operation.key(), KEY).into(),
        event: operation.word(),
        actor: one_line(&command.actor.id, REMARK),
        via: command.actor.via.to_string(),
        note: one_line(&command.note, REMARK),
        body: "{}".to_string(),
    })
}

/// The room that carries an operation out.
fn room_of(operation: &Operation) -> &'static str {
    match operation {
        Operation::Alarm { keys, .. } if keys.iter().any(|key| is_test(key)) => OncallRoom::ID,
        Operation::Alarm { .. } | Operation::Inject(_) => AlarmRoom::ID,
        Operation::Reply(_)
        | Operation::TestPage { .. }
        | Operation::AddOverride { .. }
        | Operation::WithdrawOverride { .. } => OncallRoom::ID,
        Operation::Metering(_) => EnergyRoom::ID,
        Operation::Flood(_) => FloodRoom::ID,
        // No rule decides it.
        Operation::Gateway(_) => "",
    }
}
