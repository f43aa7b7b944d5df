//! Turns requests from the network (alarm pages, programs, MQTT commands) into commands of the engine.

use std::sync::Arc;

use crate::alarm::event::{Action, AlarmCommand};
use crate::app::{Shared, alarm_page, control_handlers, outbox, pages};
use crate::engine::EngineInput;
use crate::model::point::LocalizedText;
use crate::model::text::{KEY, REMARK, one_line};
use crate::oncall::page::{OncallCommand, PageReply, Reply};
use crate::sink::mqtt::commands::{CommandHandler, CommandRequest};
use crate::web::server::{Done, PageForm, ServerView};

const HOUR_MS: u64 = 3_600_000;

/// The callbacks of the web server.
pub fn view(shared: &Arc<Shared>) -> ServerView {
    let [a, b, c, d, e] = std::array::from_fn(|_| Arc::clone(shared));
    ServerView {
        page: Arc::new(move |token| alarm_page::find(&a, token)),
        course: Arc::new(move |token| Box::pin(alarm_page::course(Arc::clone(&b), token))),
        reply: Arc::new(move |token, form| reply(&c, &token, &form)),
        alarms: Arc::new(move || serde_json::to_value(control_handlers::alarms(&d, false)).unwrap_or_default()),
        act: Arc::new(move |is_there, key, by, note| act(&e, is_there, key, by, note)),
    }
}

/// Processes the form of an alarm's page; the token identifies the page.
fn reply(shared: &Arc<Shared>, token: &str, form: &PageForm) -> Done {
    let page = shared.tokens.page(token);
    let wanted = match form.does.as_str() {
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
    let (by, note) = (one_line(&form.by, REMARK), one_line(&form.note, REMARK));
    let (is_single, is_confirmed) = (form.only, form.is_button);
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let page = page.ok_or_else(|| LocalizedText::both("链接不正确", "that is no page of ours"))?;
        let reply = wanted.ok_or_else(|| LocalizedText::both("不认识这个操作", "there is no such answer"))?;
        tracing::info!(page, ?reply, "a page is answered through the door");
        let reply = PageReply { by, note, is_single, is_confirmed, ..PageReply::new(page, reply, "link") };
        pages::tell(&shared, &OncallCommand::Reply(reply)).await
    })
}

/// Acknowledges an alarm, or records arrival, for a program or an MQTT client.
fn act(shared: &Arc<Shared>, is_there: bool, key: String, by: String, note: String) -> Done {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let key = one_line(&key, KEY);
        tracing::info!(key, by, is_there, "alarm");
        let action = if is_there { Action::Arrive } else { Action::Acknowledge };
        let command = AlarmCommand { key, action, by, note };
        outbox::decide(&shared, EngineInput::Commands(&[command])).await
    })
}

/// The handler of MQTT commands.
pub fn carry(shared: &Arc<Shared>) -> CommandHandler {
    let shared = Arc::clone(shared);
    Arc::new(move |wish: CommandRequest| {
        let done = if wish.token.is_empty() {
            let by = one_line(&wish.by, REMARK);
            // MQTT does not identify the publisher: `by` must at least be a configured person.
            let known = shared.engine().oncall().knows(&by);
            match known {
                Ok(()) => act(&shared, wish.is_there, one_line(&wish.alarm, KEY), by, one_line(&wish.note, REMARK)),
                Err(why) => Box::pin(async move { Err(why) }),
            }
        } else {
            let does = if wish.is_there { "arrive" } else { "acknowledge" };
            reply(&shared, &wish.token, &PageForm { does: does.to_string(), ..PageForm::default() })
        };
        Box::pin(async move { done.await.map_err(String::from) })
    })
}
