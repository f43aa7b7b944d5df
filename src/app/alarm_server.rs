//! Turns requests from the network (alarm pages, programs, MQTT commands) into commands of the engine.

use std::sync::Arc;

use crate::alarm::event::{Action, AlarmCommand};
use crate::app::{Shared, alarm_page, control_handlers, outbox, pages};
use crate::engine::EngineInput;
use crate::model::point::LocalizedText;
use crate::model::text::{KEY, REMARK, one_line};
use crate::oncall::page::{OncallCommand, PageReply, Reply};
use crate::sink::mqtt::commands::{CommandHandler, CommandRequest};
use crate::web::server::{CommandFuture, PageForm, ServerView};

const HOUR_MS: u64 = 3_600_000;

/// The callbacks of the web server.
pub fn view(shared: &Arc<Shared>) -> ServerView {
    let [a, b, c, d, e] = std::array::from_fn(|_| Arc::clone(shared));
    ServerView {
        page: Arc::new(move |token| alarm_page::find(&a, token)),
        chart: Arc::new(move |token| Box::pin(alarm_page::chart(Arc::clone(&b), token))),
        reply: Arc::new(move |token, form| reply(&c, &token, &form)),
        alarms: Arc::new(move || serde_json::to_value(control_handlers::alarms(&d, false)).unwrap_or_default()),
        act_on_alarm: Arc::new(move |is_there, key, by, note| act(&e, is_there, key, by, note)),
    }
}

/// Processes the form of an alarm's page; the token identifies the page.
fn reply(shared: &Arc<Shared>, token: &str, form: &PageForm) -> CommandFuture {
    let page = shared.tokens.page(token);
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
    let (by, note) = (one_line(&form.actor, REMARK), one_line(&form.note, REMARK));
    let (is_single, is_confirmed) = (form.is_single, form.is_button);
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let page = page.ok_or_else(|| LocalizedText::both("链接不正确", "that is no page of ours"))?;
        let reply = wanted.ok_or_else(|| LocalizedText::both("不认识这个操作", "there is no such answer"))?;
        tracing::info!(page, ?reply, "a page is answered through the door");
        let reply = PageReply { actor: by, note, is_single, needs_confirmation: is_confirmed, ..PageReply::new(page, reply, "link") };
        pages::send_command(&shared, &OncallCommand::Reply(reply)).await
    })
}

/// Acknowledges an alarm, or records arrival, for a program or an MQTT client.
fn act(shared: &Arc<Shared>, is_there: bool, key: String, by: String, note: String) -> CommandFuture {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let key = one_line(&key, KEY);
        tracing::info!(key, by, is_there, "alarm");
        let action = if is_there { Action::Arrive } else { Action::Acknowledge };
        let command = AlarmCommand { key, action, actor: by, note };
        outbox::step_and_commit(&shared, EngineInput::Commands(&[command])).await
    })
}

/// The handler of MQTT commands.
pub fn mqtt_command_handler(shared: &Arc<Shared>) -> CommandHandler {
    let shared = Arc::clone(shared);
    Arc::new(move |request: CommandRequest| {
        let done = if request.token.is_empty() {
            let by = one_line(&request.actor, REMARK);
            // MQTT does not identify the publisher: `by` must at least be a configured person.
            let known = shared.engine().oncall().require_person(&by);
            match known {
                Ok(()) => act(&shared, request.is_arrival, one_line(&request.alarm, KEY), by, one_line(&request.note, REMARK)),
                Err(why) => Box::pin(async move { Err(why) }),
            }
        } else {
            let does = if request.is_arrival { "arrive" } else { "acknowledge" };
            reply(&shared, &request.token, &PageForm { action: does.to_string(), ..PageForm::default() })
        };
        Box::pin(async move { done.await.map_err(String::from) })
    })
}
