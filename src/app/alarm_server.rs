//! Turns requests from the network (alarm pages, programs, MQTT commands) into commands of the engine.

use std::sync::Arc;

use crate::app::shared::Shared;
use crate::app::{alarm_page, control_handlers, feeds, step};
use crate::model::actor::{Actor, ActorKind, Proof, Role, Via};
use crate::model::command::{AlarmAction, Command, Operation, PageReply, Reply};
use crate::model::failure::{FailureKind, Refusal};
use crate::model::room::Input;
use crate::model::text::{KEY, REMARK, one_line};
use crate::sink::command::{CommandHandler, CommandRequest};
use crate::web::server::{CommandFuture, PageForm, ServerView};

const HOUR_MS: u64 = 3_600_000;

/// The callbacks of the web server.
pub fn view(shared: &Arc<Shared>) -> ServerView {
    let [a, b, c, d, e] = std::array::from_fn(|_| Arc::clone(shared));
    ServerView {
        tokens: shared.adapters.web_tokens.clone(),
        page: Arc::new(move |token| alarm_page::find(&a, token)),
        chart: Arc::new(move |token| Box::pin(alarm_page::chart(Arc::clone(&b), token))),
        reply: Arc::new(move |token, form| reply(&c, &token, &form, Via::Link)),
        alarms: Arc::new(move || serde_json::to_value(control_handlers::alarms(&d, false)).unwrap_or_default()),
        act_on_alarm: Arc::new(move |is_there, key, program, note| {
            let (kind, role) = (ActorKind::Program, Role::Technician);
            let actor = Actor { id: program, kind, role, via: Via::Api, proof: Proof::Secret };
            act(&e, is_there, &key, actor, &note)
        }),
        on_warning: feeds::handler(shared),
    }
}

/// Processes the form of an alarm's page; the token identifies the page.
fn reply(shared: &Arc<Shared>, token: &str, form: &PageForm, via: Via) -> CommandFuture {
    let page = shared.rules.tokens.page(token);
    let wanted = match form.action.as_str() {
        "" | "acknowledge" => Some(Reply::Acknowledge),
        "arrive" => Some(Reply::Arrive),
        "hand_over" => Some(Reply::HandOver { to: one_line(&form.to, REMARK) }),
        "shelve" => {
            let hours: Option<u64> = form.hours.parse().ok();
            hours.map(|h| Reply::Shelve { for_ms: h.saturating_mul(HOUR_MS) })
        }
        "reset" => Some(Reply::Reset),
        _ => None,
    };
    let actor = Actor::paged(one_line(&form.actor, REMARK), via, Proof::PageToken);
    let note = one_line(&form.note, REMARK);
    let (is_single, needs_confirmation) = (form.is_single, form.is_button);
    let shared = Arc::clone(shared);
    let bad = |zh: &str, en: &str| Refusal::new(FailureKind::BadInput, zh, en);
    Box::pin(async move {
        let page = page.ok_or_else(|| bad("链接不正确", "that is no page of ours"))?;
        let reply = wanted.ok_or_else(|| bad("不认识这个操作", "there is no such answer"))?;
        tracing::info!(page, ?reply, via = %actor.via, "a page is answered");
        let reply = PageReply { is_single, needs_confirmation, ..PageReply::new(page, reply) };
        let command = Command { actor, note, operation: Operation::Reply(reply) };
        step::step_and_commit(&shared, Input::Command(&command)).await
    })
}

/// Acknowledges an alarm, or records arrival, for a program or an MQTT client.
fn act(shared: &Arc<Shared>, is_there: bool, key: &str, actor: Actor, note: &str) -> CommandFuture {
    let shared = Arc::clone(shared);
    let action = if is_there { AlarmAction::Arrive } else { AlarmAction::Acknowledge };
    let (key, note) = (one_line(key, KEY), one_line(note, REMARK));
    Box::pin(async move {
        let command = Command { actor, note, operation: Operation::Alarm { keys: vec![key.clone()], action } };
        let done = step::step_and_commit(&shared, Input::Command(&command)).await;
        if done.is_ok() {
            tracing::info!(key, by = command.actor.id, via = %command.actor.via, "alarm");
        }
        done
    })
}

/// The handler of a broker's commands. MQTT does not say who publishes: `by` is a claimed name, a token proves a page.
pub fn mqtt_command_handler(shared: &Arc<Shared>, sink: &str) -> CommandHandler {
    let (shared, via) = (Arc::clone(shared), Via::Mqtt(sink.to_string()));
    Arc::new(move |request: CommandRequest| {
        if request.token.is_empty() {
            let (id, kind, role) = (one_line(&request.actor, REMARK), ActorKind::Person, Role::Technician);
            let actor = Actor { id, kind, role, via: via.clone(), proof: Proof::Claimed };
            act(&shared, request.is_arrival, &request.alarm, actor, &request.note)
        } else {
            let action = if request.is_arrival { "arrive" } else { "acknowledge" };
            let form = PageForm { action: action.to_string(), ..PageForm::default() };
            reply(&shared, &request.token, &form, via.clone())
        }
    })
}
