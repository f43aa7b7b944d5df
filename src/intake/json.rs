//! Warnings out of JSON, brought into CAP's terms by a mapping of the configuration: each value by its JSON pointer (RFC 6901).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::intake::xml::BYTES_MAX;
use crate::model::text::hex;
use crate::model::time::UnixMillis;
use crate::model::warning::{Warning, WarningId, WarningInfo, WarningKind, WarningStatus};

/// Warnings of an answer at most.
const WARNINGS_MAX: usize = 500;
/// Characters of an identifier at most.
const ID_MAX: usize = 200;
/// Characters of a text at most.
const TEXT_MAX: usize = 4_000;
/// Times below this are seconds since 1970, others milliseconds.
const SECONDS_BELOW: i64 = 100_000_000_000;

/// Where a service writes what: pointers below each warning, such as `/messageType/code`. What a service does not say is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonMapping {
    /// The list of warnings in the answer; empty: the answer is the list.
    pub list: String,
    /// What identifies a warning. It has to be given.
    pub identifier: String,
    /// When it was sent: RFC 3339 with an offset, or seconds or milliseconds since 1970. It has to be given.
    pub sent: String,
    /// `alert`, `update` or `cancel`; left out: alert.
    pub kind: String,
    /// Identifiers of the warnings that it replaces or ends: a list, or one text.
    pub references: String,
    /// Type of the event in words.
    pub event: String,
    /// Type of the event as a code.
    pub event_code: String,
    /// One line of it.
    pub headline: String,
    /// The whole of it.
    pub description: String,
    /// CAP's severity.
    pub severity: String,
    /// A colour, which becomes the parameter `color`.
    pub colour: String,
    /// Until when it holds, as `sent`.
    pub expires: String,
    /// Name of its area, as the service writes it.
    pub area: String,
    /// Code of its area.
    pub geocode: String,
    /// Language of the texts, not a pointer: `zh`.
    pub language: String,
}

/// The warnings of an answer, and why others were left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonWarnings {
    pub warnings: Vec<Warning>,
    pub left_out: Vec<JsonError>,
}

/// Why an answer gives no warnings, or a warning is left out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JsonError {
    #[error("it has {0} bytes: more than {BYTES_MAX} are not read")]
    TooLarge(usize),
    #[error("it is no JSON: {0}")]
    NoJson(String),
    #[error("there is no list at `{0}`")]
    NoList(String),
    #[error("it has more than {WARNINGS_MAX} warnings: the others are left out")]
    TooMany,
    #[error("warning {0} has no {1} at `{2}`")]
    Missing(usize, &'static str, String),
}

impl JsonMapping {
    fn pointers(&self) -> [&String; 14] {
        [
            &self.list,
            &self.identifier,
            &self.sent,
            &self.kind,
            &self.references,
            &self.event,
            &self.event_code,
            &self.headline,
            &self.description,
            &self.severity,
            &self.colour,
            &self.expires,
            &self.area,
            &self.geocode,
        ]
    }

    /// What is wrong with it.
    pub fn problem(&self) -> Option<String> {
        if self.identifier.is_empty() || self.sent.is_empty() {
            return Some("identifier and sent have to be given".to_string());
        }
        let bad = self.pointers().into_iter().find(|pointer| !pointer.is_empty() && !pointer.starts_with('/'));
        bad.map(|pointer| format!("`{pointer}` is no JSON pointer"))
    }

    /// Reads an answer; `sender` stands for the service in identifiers.
    ///
    /// # Errors
    /// It is no JSON, or lacks what has to be there.
    pub fn read(&self, sender: &str, answer: &[u8]) -> Result<JsonWarnings, JsonError> {
        if answer.len() > BYTES_MAX {
            return Err(JsonError::TooLarge(answer.len()));
        }
        let root: Value = serde_json::from_slice(answer).map_err(|e| JsonError::NoJson(e.to_string()))?;
        let list = match root.pointer(&self.list) {
            Some(Value::Array(list)) => list.as_slice(),
            // Services leave the list out where there is nothing to warn of.
            None | Some(Value::Null) if root.is_object() && !self.list.is_empty() => &[],
            _ => return Err(JsonError::NoList(self.list.clone())),
        };
        let mut out = JsonWarnings::default();
        for (i, one) in list.iter().enumerate() {
            match self.warning(sender, i + 1, one) {
                Ok(warning) if i < WARNINGS_MAX => out.warnings.push(warning),
                Ok(_) => {
                    out.left_out.push(JsonError::TooMany);
                    break;
                }
                Err(error) => out.left_out.push(error),
            }
        }
        match out.left_out.pop() {
            Some(error) if out.warnings.is_empty() => Err(error),
            error => {
                out.left_out.extend(error);
                Ok(out)
            }
        }
    }

    fn warning(&self, sender: &str, number: usize, of: &Value) -> Result<Warning, JsonError> {
        let at = |pointer: &String| of.pointer(pointer).filter(|_| !pointer.is_empty());
        let text = |pointer: &String| at(pointer).map(plain).unwrap_or_default();
        let missing = |what, pointer: &String| JsonError::Missing(number, what, pointer.clone());
        let id = |identifier: String| WarningId { sender: sender.to_string(), identifier };
        let identifier = text(&self.identifier);
        if identifier.is_empty() || identifier.chars().count() > ID_MAX {
            return Err(missing("identifier", &self.identifier));
        }
        let sent = at(&self.sent).and_then(date).ok_or_else(|| missing("date of sending", &self.sent))?;
        let kind = match text(&self.kind).to_ascii_lowercase().as_str() {
            "update" => WarningKind::Update,
            "cancel" => WarningKind::Cancel,
            _ => WarningKind::Alert,
        };
        let references = match at(&self.references) {
            Some(Value::Array(all)) => all.iter().take(100).map(plain).collect(),
            Some(one) => vec![plain(one)],
            None => Vec::new(),
        };
        let (event_code, colour) = (text(&self.event_code), text(&self.colour));
        let named = |name: &str, value: String| {
            if value.is_empty() { Vec::new() } else { vec![(name.to_string(), value)] }
        };
        let area = crate::model::warning::WarningArea {
            name: text(&self.area),
            geocodes: named("code", text(&self.geocode)),
            ..Default::default()
        };
        let is_placed = !area.name.is_empty() || !area.geocodes.is_empty();
        let info = WarningInfo {
            language: self.language.clone(),
            event: text(&self.event),
            event_codes: named("code", event_code),
            severity: text(&self.severity),
            expires: at(&self.expires).and_then(date),
            headline: text(&self.headline),
            description: text(&self.description),
            parameters: named("color", colour),
            areas: if is_placed { vec![area] } else { Vec::new() },
            ..WarningInfo::default()
        };
        let hash = hex(ring::digest::digest(&ring::digest::SHA256, of.to_string().as_bytes()).as_ref());
        let is_id = |one: &String| !one.is_empty() && one.chars().count() <= ID_MAX;
        let references = references.into_iter().filter(is_id).map(id).collect();
        let status = WarningStatus::Actual;
        Ok(Warning { id: id(identifier), sent, status, kind, references, infos: vec![info], hash })
    }
}

/// A text or a number as a text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(TEXT_MAX).collect(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn date(value: &Value) -> Option<UnixMillis> {
    if let Some(number) = value.as_i64() {
        return Some(UnixMillis(if number < SECONDS_BELOW { number.checked_mul(1_000)? } else { number }));
    }
    let text = value.as_str()?.trim();
    // QWeather writes no seconds: `2026-08-01T10:30+08:00`.
    let with_seconds = || {
        let (minutes, offset) = text.split_at_checked(16)?;
        format!("{minutes}:00{offset}").parse::<Timestamp>().ok()
    };
    text.parse::<Timestamp>().ok().or_else(with_seconds).map(|at| UnixMillis(at.as_millisecond()))
}
