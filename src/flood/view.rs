//! The flood level as people and programs see it: the retained topic `flood`, `plantroom flood`.

use serde::Serialize;

use crate::flood::level::Inputs;
use crate::flood::readiness::Readiness;
use crate::flood::scheme::Scheme;
use crate::flood::signed::Signed;
use crate::flood::state::{FloodState, level_id};
use crate::flood::warnings::{ActiveWarning, WarningEnd};
use crate::model::flood::FloodCause;
use crate::model::point::LocalizedText;
use crate::model::time::{MonotonicMillis, Now, UnixMillis};

/// Warnings that are shown at most.
const WARNINGS_SHOWN: usize = 20;

/// The level with everything that it follows from. Dates are RFC 3339 in UTC; none where they are not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FloodView {
    pub level: String,
    pub rank: u8,
    pub zh: String,
    pub en: String,
    /// As `#rrggbb`; empty: no level.
    pub colour: String,
    pub since: Option<String>,
    pub scheme: String,
    pub external: Option<ExternalView>,
    pub local: Option<LocalView>,
    pub manual: Option<PersonView>,
    pub forced_down: Option<PersonView>,
    /// When the level may go down by one; none: it is none, or an input demands it.
    pub next_step_down: Option<String>,
    /// Warnings in force, the gravest first; exercises among them.
    pub warnings: Vec<WarningView>,
    /// How the last one ended.
    pub last_ended: Option<EndedView>,
    pub feeds: Vec<FeedView>,
    /// Whether the site could pump now.
    pub readiness: Readiness,
}

/// What the warnings in force demand, by the gravest of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExternalView {
    pub level: String,
    pub rank: u8,
    /// Name of the feed.
    pub feed: String,
    pub since: String,
    pub expires: String,
}

/// What the site's own alarms demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalView {
    pub level: String,
    pub rank: u8,
    /// Keys of the alarms that demand it.
    pub alarms: Vec<String>,
}

/// What a person demands, or forbids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PersonView {
    pub level: String,
    pub rank: u8,
    pub person: String,
    pub reason: String,
    pub until: Option<String>,
}

/// A warning in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WarningView {
    pub level: String,
    /// False: it said no level that is known and counts as the mildest.
    pub is_level_known: bool,
    pub feed: String,
    pub sender: String,
    pub identifier: String,
    pub zh: String,
    pub en: String,
    pub sent: String,
    pub expires: String,
    /// Whether it says so itself.
    pub says_expiry: bool,
    pub exercise: bool,
    /// SHA-256 of the document.
    pub document: String,
}

/// How a warning ended. One that expired was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndedView {
    pub why: WarningEnd,
    pub at: String,
    pub zh: String,
    pub en: String,
}

/// A feed of warnings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeedView {
    pub name: String,
    /// False: nobody knows what it would warn of.
    pub is_answering: bool,
    /// Why it does not answer; empty: it does.
    pub why: String,
}

/// Name of rank 0.
pub fn no_level() -> LocalizedText {
    LocalizedText::both("无", "none")
}

/// A headline in the language that is asked for; in any other if there is none. Services write `zh-CN`, `en-US`, `zh-mo`.
fn headline<'a>(headlines: &'a [(String, String)], language: &str) -> &'a str {
    let is_of = |code: &str| code.get(..2).is_some_and(|begin| begin.eq_ignore_ascii_case(language));
    let own = headlines.iter().find(|(code, _)| is_of(code));
    own.or_else(|| headlines.first()).map_or("", |(_, text)| text)
}

/// Headlines in both languages.
pub fn headline_text(headlines: &[(String, String)]) -> LocalizedText {
    LocalizedText::both(headline(headlines, "zh"), headline(headlines, "en"))
}

fn warning(scheme: &Scheme, of: &ActiveWarning) -> WarningView {
    let text = headline_text(&of.headlines);
    WarningView {
        level: level_id(scheme, of.rank).to_string(),
        is_level_known: of.is_level_known,
        feed: of.feed.clone(),
        sender: of.id.sender.clone(),
        identifier: of.id.identifier.clone(),
        zh: text.zh,
        en: text.en,
        sent: of.sent.rfc3339(),
        expires: of.expires.rfc3339(),
        says_expiry: of.says_expiry,
        exercise: of.is_exercise,
        document: of.hash.clone(),
    }
}

/// What the level is shown from.
#[derive(Clone, Debug)]
pub struct FloodViewParts<'a> {
    pub scheme: &'a Scheme,
    pub state: &'a FloodState,
    pub local: &'a [FloodCause],
    pub inputs: Inputs,
    pub next_step_down: Option<MonotonicMillis>,
    pub readiness: Readiness,
}

/// The date of a moment, rounded up to a minute: it does not change with each look at the clocks.
fn date(at: MonotonicMillis, now: Now) -> Option<String> {
    let ahead = i64::try_from(at.0).ok()? - i64::try_from(now.mono.0).ok()?;
    let date = now.wall.0.checked_add(ahead)?;
    now.wall_trusted.then(|| UnixMillis((date + 30_000).div_euclid(60_000) * 60_000).rfc3339())
}

impl FloodView {
    /// The level as it is.
    pub fn new(parts: FloodViewParts<'_>, feeds: Vec<FeedView>, now: Now) -> Self {
        let FloodViewParts { scheme, state, local, inputs, .. } = parts;
        let level = scheme.level(state.level.rank);
        let id = |rank: u8| level_id(scheme, rank).to_string();
        let gravest = state.warnings.gravest(false);
        let mut in_force: Vec<&ActiveWarning> = state.warnings.in_force().collect();
        in_force.sort_by_key(|warning| (warning.is_exercise, std::cmp::Reverse((warning.rank, warning.sent))));
        let person = |rank: u8, signed: &Signed, until| PersonView {
            level: id(rank),
            rank,
            person: signed.person.clone(),
            reason: signed.reason.clone(),
            until: date(until, now),
        };
        let causes = local.iter().filter(|cause| cause.rank == inputs.local).map(|cause| cause.key.to_string());
        let name = level.map_or_else(no_level, |level| level.name.clone());
        Self {
            level: id(state.level.rank),
            rank: state.level.rank,
            zh: name.zh,
            en: name.en,
            colour: level.map_or(String::new(), |level| level.colour.clone()),
            since: state.level.since_date.map(UnixMillis::rfc3339),
            scheme: scheme.id.clone(),
            external: gravest.map(|warning| ExternalView {
                level: id(warning.rank),
                rank: warning.rank,
                feed: warning.feed.clone(),
                since: warning.received.rfc3339(),
                expires: warning.expires.rfc3339(),
            }),
            local: (inputs.local > 0).then(|| LocalView {
                level: id(inputs.local),
                rank: inputs.local,
                alarms: causes.collect(),
            }),
            manual: state.manual.as_ref().map(|manual| person(manual.rank, &manual.signed, manual.until)),
            forced_down: state
                .level
                .forced
                .map(|forced| person(forced.rank, &state.forced_by.clone().unwrap_or_default(), forced.until)),
            next_step_down: parts.next_step_down.and_then(|at| date(at, now)),
            warnings: in_force.into_iter().take(WARNINGS_SHOWN).map(|of| warning(scheme, of)).collect(),
            last_ended: state.last_ended.as_ref().map(|ended| {
                let text = headline_text(&ended.headlines);
                EndedView { why: ended.why, at: ended.at.rfc3339(), zh: text.zh, en: text.en }
            }),
            feeds,
            readiness: parts.readiness,
        }
    }
}
