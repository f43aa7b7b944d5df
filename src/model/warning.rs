//! Warnings of a weather or flood service, as a document said it: CAP 1.2 (OASIS, 1 July 2010), or JSON that was brought into its terms.

use serde::{Deserialize, Serialize};

use crate::model::time::UnixMillis;

/// What a message is about: the facility itself, or an exercise of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningStatus {
    /// To be acted upon.
    Actual,
    /// Of a drill that participants were told of.
    Exercise,
    /// `System`, `Test`, `Draft` and what is not known: logged only.
    Other,
}

/// What a message does to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// A warning of its own.
    Alert,
    /// Replaces those that it refers to.
    Update,
    /// Ends those that it refers to.
    Cancel,
    /// `Ack`, `Error` and what is not known: it changes nothing.
    Other,
}

/// By what a message is referred to. The time of sending is not a part of it: services put the time of the new message into references.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WarningId {
    /// Who sent it; not its office in words.
    pub sender: String,
    /// Unique for its sender.
    pub identifier: String,
}

/// A message. All texts are of the service: they are escaped or made one line wherever they are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// By what others refer to it.
    pub id: WarningId,
    /// Date of sending.
    pub sent: UnixMillis,
    /// Whether it is to be acted upon.
    pub status: WarningStatus,
    /// What it does to earlier ones.
    pub kind: WarningKind,
    /// The earlier ones.
    pub references: Vec<WarningId>,
    /// The same in several languages, or several areas; may be empty.
    pub infos: Vec<WarningInfo>,
    /// SHA-256 of the document as it came, in hexadecimal digits.
    pub hash: String,
}

/// What is warned of, in one language.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WarningInfo {
    /// RFC 3066 code such as `zh-CN`; empty: not said.
    pub language: String,
    /// Type of event in words.
    pub event: String,
    /// Types of event by name of the code and its value.
    pub event_codes: Vec<(String, String)>,
    /// `Immediate`, `Expected`, `Future`, `Past`; others occur.
    pub urgency: String,
    /// `Extreme`, `Severe`, `Moderate`, `Minor`; others occur.
    pub severity: String,
    /// `Observed`, `Likely`, `Possible`, `Unlikely`; others occur.
    pub certainty: String,
    /// From when it holds; none: since it was sent.
    pub effective: Option<UnixMillis>,
    /// Expected begin of the event.
    pub onset: Option<UnixMillis>,
    /// Until when it holds; none: not said.
    pub expires: Option<UnixMillis>,
    /// One line of it.
    pub headline: String,
    /// The whole of it.
    pub description: String,
    /// What is recommended.
    pub instruction: String,
    /// Further values by name, such as a colour.
    pub parameters: Vec<(String, String)>,
    /// Where it holds; empty: not said.
    pub areas: Vec<WarningArea>,
}

/// Where a warning holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WarningArea {
    /// In words.
    pub name: String,
    /// Corners of each polygon, degrees WGS 84; the last need not repeat the first.
    pub polygons: Vec<Vec<Coordinates>>,
    /// Circles.
    pub circles: Vec<Circle>,
    /// Codes by name of the scheme and value, such as `370614000000`.
    pub geocodes: Vec<(String, String)>,
}

/// A position on the earth, degrees WGS 84.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coordinates {
    /// -90 to 90.
    pub latitude: f64,
    /// -180 to 180.
    pub longitude: f64,
}

/// A circle on the earth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Circle {
    /// Its middle.
    pub centre: Coordinates,
    /// Kilometres, 0 or more.
    pub radius_km: f64,
}
