//! What a failure means for whoever meets it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::point::LocalizedText;

/// The kind of a failure. Exit codes of commands and statuses of HTTP answers follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It may work later as it is: something is away, busy or full.
    Retry,
    /// It is understood and not done, and will not be as it is.
    Refused,
    /// The one who asks may not have it done.
    NotPermitted,
    /// Data are damaged, or a part of this program failed.
    Broken,
    /// What was asked or configured is wrong.
    BadInput,
}

/// An error that knows its kind.
pub trait Failure: std::error::Error {
    /// What it means for whoever meets it.
    fn kind(&self) -> FailureKind;
}

/// Why rules did not carry out a command, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it means for whoever asked.
    pub kind: FailureKind,
    /// The reason.
    pub text: LocalizedText,
}

impl Refusal {
    /// A refusal of a kind, in both languages.
    pub fn new(kind: FailureKind, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { kind, text: LocalizedText::both(zh, en) }
    }

    /// A name or value that is wrong, in English only.
    pub fn bad_input(en: impl Into<String>) -> Self {
        Self { kind: FailureKind::BadInput, text: en.into().into() }
    }

    /// Something that is not done, in English only.
    pub fn refused(en: impl Into<String>) -> Self {
        Self { kind: FailureKind::Refused, text: en.into().into() }
    }
}

/// What the state of an alarm or a page does not allow.
impl From<LocalizedText> for Refusal {
    fn from(text: LocalizedText) -> Self {
        Self { kind: FailureKind::Refused, text }
    }
}

/// English, as logs and commands show it.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl std::error::Error for Refusal {}

impl Failure for Refusal {
    fn kind(&self) -> FailureKind {
        self.kind
    }
}
