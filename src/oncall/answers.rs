//! Replies to pages: parsing a short message, finding the page that it answers, and the confirmation that is sent back.

use std::sync::Arc;

use crate::model::actor::Actor;
use crate::model::command::{PageReply, Reply};
use crate::model::page::is_test;
use crate::model::page::{PageKind, code};
use crate::model::point::Language;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::text::one_line;
use crate::model::time::Now;
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{Page, PageState};
use crate::oncall::settings::Contact;
use crate::oncall::{Oncall, OncallOutput};

/// A parsed reply: acknowledge or arrive, and the code of the page that it names, if it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedReply {
    /// True: the sender is on site. False: the sender acknowledges.
    pub is_on_site: bool,
    /// Two digits, 10 to 99.
    pub code: Option<u64>,
}

/// Parses a reply: `1` acknowledges the last page, `2` says that the sender is on site; `37`, `1 37` and `137` acknowledge the
/// message of code 37, `2 37` and `237` say on site for its alarm. `None`: the text is not a reply.
pub fn parse_reply(text: &str) -> Option<ParsedReply> {
    let text: String = text.trim().trim_start_matches(['回', '確', '确', '认']).chars().map(narrow).collect();
    let is_filler = |c: char| c.is_whitespace() || "-_.,:;#/，。：；、".contains(c);
    let parts: Vec<&str> = text.split(is_filler).filter(|p| !p.is_empty()).collect();
    if parts.iter().any(|p| !p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let verb = |digit: &str| match digit {
        "1" => Some(false),
        "2" => Some(true),
        _ => None,
    };
    let code = |digits: &str| digits.parse().ok().filter(|n| (10..100).contains(n));
    match parts[..] {
        [one] if one.len() == 1 => Some(ParsedReply { is_on_site: verb(one)?, code: None }),
        [both] if both.len() == 3 => Some(ParsedReply { is_on_site: verb(&both[..1])?, code: Some(code(&both[1..])?) }),
        [one] => Some(ParsedReply { is_on_site: false, code: Some(code(one)?) }),
        [a, b] if a.len() == 1 => Some(ParsedReply { is_on_site: verb(a)?, code: Some(code(b)?) }),
        [a, b] => Some(ParsedReply { is_on_site: verb(b)?, code: Some(code(a)?) }),
        _ => None,
    }
}

/// Maps full-width digits of a Chinese keyboard to ASCII.
fn narrow(c: char) -> char {
    let wide = u32::from(c).checked_sub(u32::from('０')).filter(|n| *n < 10);
    wide.and_then(|n| char::from_digit(n, 10)).unwrap_or(c)
}

/// What became of a reply.
#[derive(Clone, Copy, Debug)]
pub struct ReplyOutcome<'a> {
    /// Why it was refused.
    pub refused: Option<&'a LocalizedText>,
    /// Whether the page is used up by it; not if the rules could not decide at all.
    pub is_final: bool,
}

impl Oncall {
    /// Finds the page that a reply answers: the one with its code, or else the last page accepted there that is still open.
    pub fn find_answered_page(&self, channel: &str, from: &str, reply: ParsedReply) -> Option<u64> {
        let is_it = |c: &Contact| c.channel == channel && same_number(&c.to, from);
        // Only pages that the service accepted count, not those that still wait.
        let reached =
            |p: &Page| matches!(p.state, PageState::Accepted(_)) && p.contact_methods.get(p.way).is_some_and(is_it);
        let asks = |p: &Page| p.kind.requires_ack() || p.kind == PageKind::ReplyResult;
        let named =
            |p: &Page| reply.code.is_some_and(|c| c == code(p.id) || p.merged_with.iter().any(|id| c == code(*id)));
        let is_open = |i: &Incident, p: &Page| match (&i.stage, reply.is_on_site) {
            (IncidentStage::Paging, false) => p.kind.requires_ack(),
            (IncidentStage::Acknowledged(by), true) => **by == *p.recipient,
            _ => false,
        };
        let all = self.incidents.values().flat_map(|i| i.pages.iter().map(move |p| (i, p)));
        let theirs: Vec<(&Incident, &Page)> = all.filter(|(_, p)| asks(p) && reached(p)).collect();
        let found = theirs.iter().filter(|(i, p)| if reply.code.is_some() { named(p) } else { is_open(i, p) });
        let last = found.map(|(_, p)| p.id).max();
        // Arriving without an acknowledgement before it acknowledges as well.
        let untaken = || theirs.iter().filter(|(i, _)| i.stage == IncidentStage::Paging).map(|(_, p)| p.id).max();
        last.or_else(|| if reply.is_on_site && reply.code.is_none() { untaken() } else { None })
    }

    /// Records a reply: logs it and marks the page as used, so that its token acknowledges once.
    pub fn record_reply(
        &mut self,
        reply: &PageReply,
        actor: &Actor,
        ReplyOutcome { refused, is_final }: ReplyOutcome<'_>,
        now: Now,
        out: &mut OncallOutput,
    ) {
        let Some((key, _, found)) = self.page(reply.page) else { return };
        let (key, found) = (Arc::clone(key), found.clone());
        if let Some((channel, id)) = &reply.read_up_to {
            self.meta.last_replies.insert(channel.clone(), id.clone());
            self.is_meta_touched = true;
        }
        if is_final && reply.reply == Reply::Acknowledge {
            let pages = self.incidents.get_mut(&key).into_iter().flat_map(|i| &mut i.pages);
            pages.filter(|p| p.id == reply.page).for_each(|p| p.is_answered = true);
        }
        self.log_by(out, &key, ("page_answered", Some(found.id), &actor.via.to_string()), actor);
        self.touched.insert(Arc::clone(&key));
        if reply.needs_confirmation && !is_test(&key) {
            let others = found.merged_with.iter().filter_map(|id| self.page(*id));
            let mut keys: Vec<Arc<str>> = others.map(|(key, ..)| Arc::clone(key)).filter(|k| *k != key).collect();
            keys.insert(0, key);
            keys.dedup();
            keys.iter().for_each(|key| self.queue_confirmation(key, &found, &reply.reply, refused, now));
        }
    }

    /// The text for a known person whose message matched no alarm. `None`: the number belongs to nobody in the configuration.
    pub fn not_understood(&self, channel: &str, from: &str, text: &str) -> Option<String> {
        let is_theirs = |c: &Contact| c.channel == channel && same_number(&c.to, from);
        let person = self.plan.people.values().find(|p| p.contacts.iter().any(is_theirs))?;
        let text = one_line(text, 10);
        Some(match person.language {
            Language::Zh => format!("没有变化：没有告警与“{text}”对应。请回复短信中的两位数。"),
            Language::En => format!("NOTHING CHANGED: \"{text}\" is no alarm. Reply its two digits."),
        })
    }

    /// The channel's own id of the last reply that was processed.
    pub fn last_answer(&self, channel: &str) -> Option<&str> {
        self.meta.last_replies.get(channel).map(String::as_str)
    }

    /// Sends a confirmation to someone who replied by a method that shows no result, such as a short message.
    fn queue_confirmation(
        &mut self,
        key: &Arc<str>,
        to: &Page,
        reply: &Reply,
        refused: Option<&LocalizedText>,
        now: Now,
    ) {
        let Some(way) = to.contact_methods.get(to.way).cloned() else { return };
        let Some(incident) = self.incidents.get(key) else { return };
        let is_urgent = incident.priority <= Priority::P2;
        let theirs = IncidentStage::Acknowledged(to.recipient.to_string());
        let answer = match (refused, reply) {
            // A merged message may contain alarms that somebody else acknowledged.
            (None, Reply::Acknowledge)
                if incident.stage != theirs && !matches!(incident.stage, IncidentStage::Resolved(_)) =>
            {
                return;
            }
            (Some(why), _) => {
                LocalizedText::both(format!("没有变化：{}。", why.zh), format!("NOTHING CHANGED: {}. ", why.en))
            }
            (None, Reply::Acknowledge) => LocalizedText::both("已确认，由你负责：", "YOURS NOW: "),
            (None, Reply::Arrive) => LocalizedText::both("已记录到场：", "NOTED THAT YOU ARE THERE: "),
            (None, _) => return,
        };
        let can_arrive = refused.is_none() && *reply == Reply::Acknowledge && is_urgent;
        let page = self.new_page(key, PageKind::ReplyResult, Arc::clone(&to.recipient), vec![way], now);
        let page = Page { reply_result: answer, can_arrive, ignores_quiet_hours: true, ..page };
        if let Some(incident) = self.incidents.get_mut(key) {
            // Several replies that wait for confirmation are confirmed once, with the present result.
            let is_same = |p: &Page| {
                p.kind == PageKind::ReplyResult
                    && p.recipient == page.recipient
                    && p.contact_methods == page.contact_methods
            };
            incident.pages.retain(|p| !(p.is_waiting() && is_same(p)));
            incident.pages.push(page);
        }
        self.wake = Some(now.mono);
    }
}

/// Whether two texts are the same telephone number; either may have a country code in front.
fn same_number(a: &str, b: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (a, b) = (digits(a), digits(b));
    let (short, long) = if a.len() < b.len() { (&a, &b) } else { (&b, &a) };
    short.len() >= 7 && long.ends_with(short.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_what_it_means() {
        let said = |is_there, code| Some(ParsedReply { is_on_site: is_there, code });
        for (text, expected) in [
            ("1", said(false, None)),
            (" １ ", said(false, None)),
            ("回1", said(false, None)),
            ("2", said(true, None)),
            ("37", said(false, Some(37))),
            ("1 37", said(false, Some(37))),
            ("137", said(false, Some(37))),
            ("2-37", said(true, Some(37))),
            ("２３７", said(true, Some(37))),
            ("37 2", said(true, Some(37))),
            ("3", None),
            ("337", None),
            ("1 2 3", None),
            ("1 5", None),
            ("yes", None),
            ("", None),
            ("13800001111", None),
        ] {
            assert_eq!(parse_reply(text), expected, "{text:?}");
        }
    }
}
