//! The notification of an attempt to page somebody: text, links, buttons and recipient, so that nobody has to ask anything more.

use serde_json::json;

use crate::model::directory::Directory;
use crate::model::notification::{Button, Notification};
use crate::model::page::{PageDelivery, PageItem, code};
use crate::model::point::Language;
use crate::presentation::message::{self, MessageSubject};
use crate::presentation::token::PageTokens;

/// What a site's pages are made with.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    /// Names of devices and people.
    pub directory: &'a Directory,
    /// Makes the tokens in links and replies.
    pub tokens: &'a PageTokens,
}

/// The notification of an attempt; `subject` says what an alarm is about, with its state for programs.
pub fn notification(
    pages: Pages<'_>,
    delivery: &PageDelivery,
    subject: impl Fn(&str) -> (MessageSubject, serde_json::Value),
) -> Notification {
    let zh = delivery.language == Language::Zh;
    let (mut subjects, mut objects) = (Vec::new(), Vec::new());
    for item in &delivery.items {
        let (subject, state) = subject(&item.key);
        // Names, not ids, in what people read.
        let actor = pages.directory.person(&item.actor, zh);
        subjects.push((PageItem { actor, ..item.clone() }, subject));
        objects.push(json!({
            "alarm": item.key, "occurrence": item.occurrence, "page": item.page, "what": item.kind, "state": state,
        }));
    }
    // Whoever answers a message answers all that it says.
    let requires_ack = delivery.items.iter().any(|i| i.kind.requires_ack());
    let answerable = delivery.items.iter().find(|i| i.kind.requires_ack() || (!requires_ack && i.can_arrive));
    let has_code = pages.directory.coded_channels.contains(&*delivery.channel);
    let code = answerable.map(|i| code(i.page)).filter(|_| has_code);
    let instructions =
        code.map_or(String::new(), |code| message::reply_instructions(code, requires_ack, delivery.language));
    let message = message::message(&subjects, delivery.language, delivery.may_be_duplicate, &instructions);
    let token = answerable.map(|i| pages.tokens.of(i.page));
    let url = &pages.directory.url;
    let link = token.as_ref().filter(|_| !url.is_empty()).map(|t| format!("{url}/a/{t}"));
    Notification {
        id: format!("page-{}", delivery.items.first().map_or(0, |i| i.page)),
        address: delivery.to.clone(),
        title: message.title,
        body: message.body,
        summary: message.short,
        priority: delivery.priority,
        requires_ack,
        buttons: answerable.map(|_| button(!requires_ack, zh)).into_iter().collect(),
        token,
        link,
        payload: objects.into(),
    }
}

fn button(is_there: bool, zh: bool) -> Button {
    let label = match (is_there, zh) {
        (true, true) => "我已到场",
        (true, false) => "I am there",
        (false, true) => "确认收到",
        (false, false) => "Acknowledge",
    };
    Button { label: label.to_string(), reports_arrival: is_there }
}
