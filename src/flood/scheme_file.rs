//! Schemes of flood levels as files have them: `flood/NAME.toml`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::flood::scheme::{LevelMatch, NoticeText, Scheme, SchemeLevel};
use crate::model::point::LocalizedText;
use crate::model::problem::{FileFinding, did_you_mean};
use crate::model::time::DurationText;

/// Version of the files' format.
pub const SCHEME_FORMAT: u32 = 1;
/// Levels at most.
const LEVELS_MAX: usize = 9;

/// A scheme of flood levels: `flood/NAME.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemeFile {
    /// Version of this format: 1.
    pub format: u32,
    /// Its name in Chinese.
    #[serde(default)]
    pub zh: String,
    /// Its name in English.
    #[serde(default)]
    pub en: String,
    /// Where it is from, with date.
    pub source: String,
    /// What its warnings are about: words in their event or headline, or codes of events. One of them is enough.
    pub events: Vec<String>,
    /// By what a service says that a warning is no longer in force, where it does so by a value. One of them is enough.
    #[serde(default)]
    pub ended: Vec<MatchSettings>,
    /// Level from which on alarm rules with `raised_in_flood` are one priority more urgent; none: the one before the highest.
    pub raise_from: Option<String>,
    /// The levels, the mildest first.
    pub level: Vec<LevelSettings>,
}

/// A level of a scheme.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LevelSettings {
    /// A word: `orange`.
    pub id: String,
    /// Its name in Chinese.
    #[serde(default)]
    pub zh: String,
    /// Its name in English.
    #[serde(default)]
    pub en: String,
    /// For pages and dashboards: `#ff8c00`.
    pub colour: String,
    /// How long the level lasts at least, whatever ends sooner: `2h`.
    pub min_hold: DurationText,
    /// How often water is read from this level on: levels, floats and run signals of sumps, water on floors, rain. Left out: as at the
    /// level below.
    pub poll: Option<DurationText>,
    /// What people do at this level.
    #[serde(default)]
    pub actions: Vec<LocalizedText>,
    /// What residents are told from this level on, until it is over.
    pub notice: Option<NoticeText>,
    /// Which warnings have this level. One of them is enough; the highest level counts.
    #[serde(default)]
    pub matches: Vec<MatchSettings>,
    /// Alarm rules of the site's own sensors, `class.rule`: each alarm of them demands this level while it is active.
    #[serde(default)]
    pub local: Vec<String>,
}

/// What a warning must say: everything that is given.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchSettings {
    /// One of these words in the headline, in capitals or not.
    #[serde(default)]
    pub headline: Vec<String>,
    /// One of CAP's severities: Minor, Moderate, Severe, Extreme.
    #[serde(default)]
    pub severity: Vec<String>,
    /// Name of a parameter.
    pub parameter: Option<String>,
    /// Its values, one of them; parts between semicolons count, too.
    #[serde(default)]
    pub values: Vec<String>,
}

/// A scheme out of its file, and what is wrong in it.
pub fn scheme(id: &str, file: &SchemeFile) -> (Scheme, Vec<FileFinding>) {
    let mut findings = Vec::new();
    if file.format != SCHEME_FORMAT {
        findings.push(FileFinding::error(&["format"], format!("format {} is not known", file.format), "format = 1"));
    }
    if file.level.is_empty() || file.level.len() > LEVELS_MAX {
        let what = format!("a scheme has 1 to {LEVELS_MAX} levels, this one {}", file.level.len());
        findings.push(FileFinding::error(&["level"], what, "[[level]] with id, colour and min_hold"));
    }
    if file.events.iter().all(|word| word.trim().is_empty()) {
        let what = "no event is named: no warning would ever count";
        findings.push(FileFinding::error(&["events"], what, "events = [\"rainstorm\"]"));
    }
    let ended = matches(&file.ended, "ended", &mut findings);
    let mut levels = Vec::new();
    let mut ids = BTreeSet::new();
    for (i, settings) in file.level.iter().enumerate() {
        let mut found = Vec::new();
        levels.push(level(settings, &mut ids, &mut found));
        findings.extend(found.into_iter().map(|finding: FileFinding| finding.below(&["level", &i.to_string()])));
    }
    let events = file.events.iter().filter(|word| !word.trim().is_empty()).cloned().collect();
    let name = LocalizedText::both(file.zh.as_str(), file.en.as_str());
    let mut scheme = Scheme { id: id.to_string(), name, events, ended, levels, raise_from: 0 };
    let before_highest = u8::try_from(scheme.levels.len().saturating_sub(1).max(1)).unwrap_or(u8::MAX);
    scheme.raise_from = match &file.raise_from {
        None => before_highest,
        Some(level) => scheme.rank_of(level).unwrap_or_else(|| {
            let known = scheme.levels.iter().map(|level| &*level.id);
            let hint = did_you_mean(level, known);
            findings.push(FileFinding::error(&["raise_from"], format!("there is no level `{level}`"), hint));
            before_highest
        }),
    };
    (scheme, findings)
}

fn level<'a>(settings: &'a LevelSettings, ids: &mut BTreeSet<&'a str>, findings: &mut Vec<FileFinding>) -> SchemeLevel {
    let is_word = |id: &str| {
        id.starts_with(|c: char| c.is_ascii_lowercase())
            && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if !is_word(&settings.id) || settings.id == "none" {
        let what = format!("`{}` cannot be a level's id", settings.id);
        findings.push(FileFinding::error(
            &["id"],
            what,
            "lower-case letters, digits and _; not `none`, which is no level",
        ));
    }
    if !ids.insert(&settings.id) {
        let what = format!("there is a level `{}` already", settings.id);
        findings.push(FileFinding::error(&["id"], what, "each level has its own id"));
    }
    let is_colour = settings
        .colour
        .strip_prefix('#')
        .is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if !is_colour {
        let what = format!("`{}` is no colour", settings.colour);
        findings.push(FileFinding::error(&["colour"], what, "colour = \"#ff8c00\""));
    }
    let min_hold_ms = settings.min_hold.ms().unwrap_or_else(|| {
        findings.push(FileFinding::error(&["min_hold"], "it is no duration", "min_hold = \"2h\""));
        0
    });
    let name = LocalizedText::both(settings.zh.as_str(), settings.en.as_str());
    let matches = matches(&settings.matches, "matches", findings);
    let poll_ms = settings.poll.as_ref().and_then(DurationText::ms);
    if settings.poll.is_some() && poll_ms.is_none() {
        findings.push(FileFinding::error(&["poll"], "it is no duration", "poll = \"2s\""));
    }
    SchemeLevel {
        id: settings.id.as_str().into(),
        name,
        colour: settings.colour.clone(),
        matches,
        local: settings.local.clone(),
        min_hold_ms,
        poll_ms,
        actions: settings.actions.clone(),
        notice: settings.notice.clone(),
    }
}

fn matches(all: &[MatchSettings], key: &str, findings: &mut Vec<FileFinding>) -> Vec<LevelMatch> {
    let mut out = Vec::new();
    for (i, settings) in all.iter().enumerate() {
        let parameter = settings.parameter.clone().map(|name| (name, settings.values.clone()));
        if settings.headline.is_empty() && settings.severity.is_empty() && parameter.is_none() {
            let what = "nothing is given: every warning would match";
            findings.push(FileFinding::error(
                &[key, &i.to_string()],
                what,
                "headline, severity, or parameter and values",
            ));
        }
        if settings.parameter.is_some() == settings.values.is_empty() {
            let what = "`parameter` and `values` belong together";
            let hint = "parameter = \"severityLevel\", values = [\"1\"]";
            findings.push(FileFinding::error(&[key, &i.to_string(), "values"], what, hint));
        }
        out.push(LevelMatch { headline: settings.headline.clone(), severity: settings.severity.clone(), parameter });
    }
    out
}
