//! Who may do what: one pure function for every way in.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::actor::{Actor, ActorKind, Proof, Role};
use crate::model::command::{AlarmAction, Operation, Reply};
use crate::model::failure::{FailureKind, Refusal};
use crate::model::flood::FloodOperation;
use crate::model::problem::unknown;
use crate::model::text::{REMARK, one_line};

/// What the site's configuration says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Ids of the people of the configuration: a name that is only claimed has to be one of them.
    pub people: BTreeSet<Arc<str>>,
}

/// What an operation asks of its actor, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    /// To acknowledge an alarm or to be on site: a claimed name of the configuration is enough, since a wrong
    /// acknowledgement is seen by everybody who was paged.
    AnyTechnician,
    /// What silences an alarm or moves it to somebody else.
    ProvenTechnician,
    /// What changes rules, rotas or the gateway itself.
    ProvenEngineer,
    /// What sets aside the water's or a service's word.
    ProvenManager,
}

fn needs(operation: &Operation) -> Needs {
    match operation {
        Operation::Alarm { action, .. } => match action {
            AlarmAction::Acknowledge | AlarmAction::Arrive | AlarmAction::AcknowledgeAndArrive => Needs::AnyTechnician,
            AlarmAction::HandOver { .. } | AlarmAction::Reset | AlarmAction::Shelve { .. } | AlarmAction::Unshelve => {
                Needs::ProvenTechnician
            }
            AlarmAction::AnnounceTest { .. } | AlarmAction::TakeOutOfService | AlarmAction::ReturnToService => {
                Needs::ProvenEngineer
            }
        },
        Operation::Reply(reply) => match reply.reply {
            Reply::Acknowledge | Reply::Arrive => Needs::AnyTechnician,
            Reply::HandOver { .. } | Reply::Shelve { .. } | Reply::Reset => Needs::ProvenTechnician,
        },
        Operation::Flood(FloodOperation::Set { .. } | FloodOperation::Withdraw | FloodOperation::Tick { .. }) => {
            Needs::ProvenTechnician
        }
        Operation::Flood(FloodOperation::ForceDown { .. }) => Needs::ProvenManager,
        Operation::Inject(_)
        | Operation::TestPage { .. }
        | Operation::AddOverride { .. }
        | Operation::WithdrawOverride { .. }
        | Operation::Metering(_)
        | Operation::Gateway(_) => Needs::ProvenEngineer,
    }
}

/// Whether an actor may do something.
///
/// # Errors
/// They may not, or a claimed name is nobody's of the configuration; in words, with what would help.
pub fn authorize(policy: &Policy, actor: &Actor, operation: &Operation) -> Result<(), Refusal> {
    if actor.kind == ActorKind::Gateway {
        return Ok(());
    }
    let needs = needs(operation);
    let least = match needs {
        Needs::AnyTechnician | Needs::ProvenTechnician => Role::Technician,
        Needs::ProvenEngineer => Role::Engineer,
        Needs::ProvenManager => Role::Manager,
    };
    if actor.role < least {
        let (zh, en) = match least {
            Role::Manager if actor.role >= Role::Technician => ("不是经理，没有此权限", "is no manager"),
            _ => ("没有此权限", "may read here and change nothing"),
        };
        let (zh, en) = (format!("{} {zh}", actor.id), format!("not permitted: {} {en}", actor.id));
        return Err(Refusal::new(FailureKind::NotPermitted, zh, en));
    }
    // A program acknowledges for somebody whom nobody here can ask.
    let is_proven = actor.proof > Proof::Claimed && actor.kind == ActorKind::Person;
    if needs > Needs::AnyTechnician && !is_proven {
        return Err(Refusal::new(
            FailureKind::NotPermitted,
            "此途径只能确认告警或报告到场",
            "by this way alarms are acknowledged and arrivals reported, nothing else",
        ));
    }
    if actor.proof == Proof::Claimed && !policy.people.contains(actor.id.as_str()) {
        let known = policy.people.iter().map(|p| &**p);
        return Err(unknown(("人员", "person"), &one_line(&actor.id, REMARK), known).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::actor::Via;
    use crate::model::command::{GatewayOperation, Inject, PageReply};
    use crate::model::metering::{
        Classification, MeteringCommand, MeteringOperation, RegisterBoundary, RegisterReading, TimeRange,
    };

    fn operations() -> Vec<Operation> {
        let alarm = |action| Operation::Alarm { keys: vec!["a.d".into()], action };
        let reply = |reply| Operation::Reply(PageReply::new(1, reply));
        let gateway = |operation| Operation::Gateway(operation);
        let day = crate::model::time::UnixMillis(0);
        let reading = RegisterReading { at: day, value: rust_decimal::Decimal::ONE };
        let (device, point) = ("d".to_string(), "p".to_string());
        let boundary = RegisterBoundary { device, point, span: 2, before: reading, after: reading };
        let operation = MeteringOperation::Classify { boundary, classification: Classification::Reset };
        vec![
            alarm(AlarmAction::Acknowledge),
            alarm(AlarmAction::Arrive),
            alarm(AlarmAction::HandOver { to: "li".into() }),
            alarm(AlarmAction::Reset),
            alarm(AlarmAction::Shelve { for_ms: 1 }),
            alarm(AlarmAction::Unshelve),
            alarm(AlarmAction::AnnounceTest { for_ms: 1 }),
            alarm(AlarmAction::TakeOutOfService),
            alarm(AlarmAction::ReturnToService),
            reply(Reply::Acknowledge),
            reply(Reply::Arrive),
            reply(Reply::HandOver { to: "li".into() }),
            reply(Reply::Shelve { for_ms: 1 }),
            reply(Reply::Reset),
            Operation::Inject(Inject { device: "d".into(), point: "p".into(), value: 1.0, for_ms: 1 }),
            Operation::TestPage { person: "wang".into() },
            Operation::AddOverride { rota: "r".into(), person: "li".into(), from: day, to: day },
            Operation::WithdrawOverride { number: 1 },
            Operation::Metering(MeteringCommand {
                operation,
                affects: TimeRange { from: day, to: day },
                may_reopen: false,
            }),
            Operation::Flood(FloodOperation::Set { level: "red".into(), for_ms: 1 }),
            Operation::Flood(FloodOperation::Withdraw),
            Operation::Flood(FloodOperation::Tick { item: "bags".into() }),
            Operation::Flood(FloodOperation::ForceDown { level: "none".into(), for_ms: 1 }),
            gateway(GatewayOperation::ReadRegisters),
            gateway(GatewayOperation::Reload),
            gateway(GatewayOperation::AcceptClock),
            gateway(GatewayOperation::VerifyJournal),
            gateway(GatewayOperation::Resend { sink: "s".into() }),
            gateway(GatewayOperation::SendDeadLetters { sink: None }),
            gateway(GatewayOperation::DiscardDeadLetters { sink: None }),
        ]
    }

    /// Every kind of actor beside every kind of operation: `y` may, `-` may not.
    #[test]
    fn the_table_of_who_may_do_what() {
        let policy = Policy { people: ["wang".into()].into() };
        let actor = |id: &str, kind, role, via, proof| Actor { id: id.into(), kind, role, via, proof };
        let person = ActorKind::Person;
        let mqtt = || Via::Mqtt("main".into());
        let actors = [
            ("viewer at the box", Actor::local("guest", 1_000, Role::Viewer)),
            ("engineer at the box", Actor::local("root", 0, Role::Engineer)),
            ("auditor with a login", actor("a", person, Role::Auditor, Via::Api, Proof::Session)),
            ("technician with a login", actor("t", person, Role::Technician, Via::Api, Proof::Session)),
            ("manager with a login", actor("m", person, Role::Manager, Via::Api, Proof::Session)),
            ("whoever was paged", Actor::paged("wang", Via::Message("sms".into()), Proof::PagedContact)),
            ("whoever has the link", Actor::paged("", Via::Link, Proof::PageToken)),
            ("a name on the broker", actor("wang", person, Role::Technician, mqtt(), Proof::Claimed)),
            ("an unknown on the broker", actor("wong", person, Role::Technician, mqtt(), Proof::Claimed)),
            ("a program", actor("bms", ActorKind::Program, Role::Technician, Via::Api, Proof::Secret)),
            ("a program that reads", actor("bms", ActorKind::Program, Role::Viewer, Via::Api, Proof::Secret)),
            ("the gateway", Actor::gateway()),
        ];
        let expected = "\
viewer at the box         --------- ----- ----- ---- -------
engineer at the box       yyyyyyyyy yyyyy yyyyy yyy- yyyyyyy
auditor with a login      --------- ----- ----- ---- -------
technician with a login   yyyyyy--- yyyyy ----- yyy- -------
manager with a login      yyyyyyyyy yyyyy yyyyy yyyy yyyyyyy
whoever was paged         yyyyyy--- yyyyy ----- yyy- -------
whoever has the link      yyyyyy--- yyyyy ----- yyy- -------
a name on the broker      yy------- yy--- ----- ---- -------
an unknown on the broker  --------- ----- ----- ---- -------
a program                 yy------- yy--- ----- ---- -------
a program that reads      --------- ----- ----- ---- -------
the gateway               yyyyyyyyy yyyyy yyyyy yyyy yyyyyyy
";
        let mut table = String::new();
        for (name, actor) in &actors {
            let may = |o: &Operation| if authorize(&policy, actor, o).is_ok() { 'y' } else { '-' };
            let mut line = format!("{name:<26}");
            for (i, operation) in operations().iter().enumerate() {
                if [9, 14, 19, 23].contains(&i) {
                    line.push(' ');
                }
                line.push(may(operation));
            }
            table.push_str(&line);
            table.push('\n');
        }
        assert_eq!(table, expected);
        let claimed = &actors[8].1;
        let refused = authorize(&policy, claimed, &operations()[0]).unwrap_err();
        assert!(refused.text.en.contains("wang"), "the nearest name is offered: {refused}");
    }
}
