//! Texts that a flood level makes: notices for residents, valid while their level lasts, and situation reports for staff at the highest
//! level. Each leaves as a retained topic or an event, and through channels until each has taken it or it is out of date.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::flood::plan::FloodPlan;
use crate::flood::scheme::{NoticeText, Scheme};
use crate::flood::settings::{FloodRecipient, FloodText};
use crate::model::effects::{AddressedNotification, Effects};
use crate::model::notification::{DeliveryOutcome, Notification};
use crate::model::point::{Language, LocalizedText};
use crate::model::priority::Priority;
use crate::model::time::{MonotonicMillis, Now, UnixMillis};

/// How often a report is made at the highest level.
pub const REPORT_EVERY_MS: u64 = 15 * 60_000;
/// A text that no channel took is tried again after this time.
const AGAIN_MS: u64 = 60_000;
/// A text is out of date after this time.
const OUT_OF_DATE_MS: u64 = 30 * 60_000;
/// An attempt whose outcome does not come is over after this time.
const OUTCOME_MS: u64 = 120_000;
/// A text whose outcome never comes is sent so often.
const TRIES: u8 = 3;
/// Texts that wait for channels at most.
const WAITING_MAX: usize = 50;
/// Bit of the numbers of attempts that are of texts here; those of pages are small.
const ATTEMPT_BIT: u64 = 1 << 62;

/// A notice that residents have been given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedNotice {
    pub id: String,
    /// Rank of the level that it belongs to.
    pub rank: u8,
    /// Its date; none: it was not known.
    pub from: Option<UnixMillis>,
}

/// A text on its way to one recipient.
#[derive(Clone, Debug)]
struct Waiting {
    attempt: u64,
    what: FloodText,
    channel: String,
    notification: Notification,
    /// How often it left since the last outcome.
    tries: u8,
    next: MonotonicMillis,
    until: MonotonicMillis,
}

/// Texts that no channel has taken yet; not kept: a restart forgets them, topics stay.
#[derive(Debug, Default)]
pub struct Outgoing {
    waiting: Vec<Waiting>,
    attempts: u64,
}

/// The highest rank at or below one whose level has a text for residents.
pub fn notice_rank(scheme: &Scheme, rank: u8) -> u8 {
    let has_notice = |rank: &u8| scheme.level(*rank).is_some_and(|level| level.notice.is_some());
    (1..=rank).rev().find(has_notice).unwrap_or(0)
}

/// The topic and payload of a notice.
pub fn notice_topic(notice: &IssuedNotice, scheme: &Scheme, text: &NoticeText) -> (String, String) {
    let level = scheme.level(notice.rank);
    let payload = json!({
        "id": notice.id,
        "kind": "flood",
        "level": level.map_or("none", |level| &level.id),
        "title_zh": text.title.zh,
        "title_en": text.title.en,
        "body_zh": text.body.zh,
        "body_en": text.body.en,
        "valid_from": notice.from.map(UnixMillis::rfc3339),
        // It is withdrawn when its level is over: the topic is cleared.
        "valid_until": null,
    });
    (format!("notice/{}", notice.id), payload.to_string())
}

impl Outgoing {
    /// Sends a text to each recipient that wants its kind.
    pub fn send(
        &mut self,
        plan: &FloodPlan,
        (what, id): (FloodText, &str),
        text: (&LocalizedText, &LocalizedText),
        now: Now,
    ) {
        if what == FloodText::Report {
            // How it stood a quarter of an hour ago helps nobody.
            self.discard(FloodText::Report);
        }
        let wants = |recipient: &&FloodRecipient| recipient.what.contains(&what);
        for recipient in plan.recipients.iter().filter(wants) {
            let is_chinese = recipient.language == Language::Zh;
            let (title, body) = (text.0.in_language(is_chinese), text.1.in_language(is_chinese));
            self.attempts += 1;
            let notification = Notification {
                id: id.to_string(),
                address: recipient.to.clone(),
                title: title.to_string(),
                body: body.to_string(),
                summary: title.chars().take(70).collect(),
                priority: Priority::P3,
                requires_ack: false,
                token: None,
                link: None,
                buttons: Vec::new(),
                payload: json!([{ "notice": id, "what": if what == FloodText::Notice { "notice" } else { "report" } }]),
            };
            self.waiting.push(Waiting {
                attempt: ATTEMPT_BIT | self.attempts,
                what,
                tries: 0,
                channel: recipient.channel.clone(),
                notification,
                next: now.mono,
                until: now.mono.plus(OUT_OF_DATE_MS),
            });
        }
        let over = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..over);
    }

    /// Texts of a kind that wait are over.
    pub fn discard(&mut self, what: FloodText) {
        self.waiting.retain(|waiting| waiting.what != what);
    }

    /// What became of an attempt.
    pub fn delivered(&mut self, attempt: u64, outcome: &DeliveryOutcome, now: Now) {
        let Some(index) = self.waiting.iter().position(|waiting| waiting.attempt == attempt) else { return };
        match outcome {
            DeliveryOutcome::RetryLater { after_ms, .. } => {
                let waiting = &mut self.waiting[index];
                (waiting.tries, waiting.next) = (0, now.mono.plus(after_ms.unwrap_or(AGAIN_MS).max(AGAIN_MS)));
            }
            _ => drop(self.waiting.remove(index)),
        }
    }

    /// What is due leaves.
    pub fn dispatch(&mut self, now: Now, effects: &mut Effects) {
        self.waiting.retain(|waiting| now.mono < waiting.until && (now.mono < waiting.next || waiting.tries < TRIES));
        for waiting in self.waiting.iter_mut().filter(|waiting| now.mono >= waiting.next) {
            (waiting.tries, waiting.next) = (waiting.tries + 1, now.mono.plus(OUTCOME_MS));
            effects.decided.notifications.push(AddressedNotification {
                channel: waiting.channel.as_str().into(),
                attempt: waiting.attempt,
                notification: waiting.notification.clone(),
            });
        }
    }

    /// When something is due.
    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        self.waiting.iter().map(|waiting| waiting.next.min(waiting.until)).min()
    }
}
