//! The levels of a warning scheme, and which words of a warning mean which level.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::point::LocalizedText;
use crate::model::warning::WarningInfo;

/// A scheme of flood levels, in ascending rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheme {
    /// Such as `cn-rainstorm-4`.
    pub id: String,
    pub name: LocalizedText,
    /// Which events it is about, one of them: words in the event or headline, or codes of events.
    pub events: Vec<String>,
    /// Words of values by which a service says that its warning is no longer in force.
    pub ended: Vec<LevelMatch>,
    /// The first has rank 1.
    pub levels: Vec<SchemeLevel>,
    /// From this rank on alarms that say so are one priority more urgent.
    pub raise_from: u8,
}

/// A level of a scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemeLevel {
    /// Such as `orange`; a word.
    pub id: Arc<str>,
    pub name: LocalizedText,
    /// For pages, as `#rrggbb`.
    pub colour: String,
    /// A warning has this level if one of them holds.
    pub matches: Vec<LevelMatch>,
    /// Alarm rules, `class.rule`: each active alarm of them demands this level.
    pub local: Vec<String>,
    /// How long the level lasts at least.
    pub min_hold_ms: u64,
    /// How often water is read from this level on, milliseconds; none: as at the level below.
    pub poll_ms: Option<u64>,
    /// What people do at this level, an item each.
    pub actions: Vec<LocalizedText>,
    /// What residents are told while the level is at least this one.
    pub notice: Option<NoticeText>,
}

/// A text for residents.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeText {
    /// One line of it.
    pub title: LocalizedText,
    /// What residents are asked to do, in a few sentences.
    pub body: LocalizedText,
}

/// What must be said for a level: everything that is not empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LevelMatch {
    /// One of these words in the headline.
    pub headline: Vec<String>,
    /// One of these in `severity`.
    pub severity: Vec<String>,
    /// A parameter of this name has one of these values, or a part between semicolons is one of them.
    pub parameter: Option<(String, Vec<String>)>,
}

/// What a warning means in a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Of something else.
    OtherEvent,
    /// The service says that it is over.
    Ended,
    /// A level's rank.
    Rank(u8),
    /// Of this scheme, but of no level that is known: it counts as the mildest.
    UnknownLevel,
}

impl Scheme {
    /// What one language's text of a warning means. The highest level of which a match holds.
    pub fn meaning(&self, info: &WarningInfo) -> Meaning {
        let is_code = |word: &String| info.event_codes.iter().any(|(_, code)| code == word);
        let concerns = |word: &String| has_word(&info.event, word) || has_word(&info.headline, word) || is_code(word);
        if !self.events.iter().any(concerns) {
            return Meaning::OtherEvent;
        }
        if self.ended.iter().any(|of| of.holds(info)) {
            return Meaning::Ended;
        }
        let found = self.levels.iter().rposition(|level| level.matches.iter().any(|of| of.holds(info)));
        found.map_or(Meaning::UnknownLevel, |i| Meaning::Rank(rank(i)))
    }

    /// The level of a rank; none for 0.
    pub fn level(&self, rank: u8) -> Option<&SchemeLevel> {
        self.levels.get(usize::from(rank).checked_sub(1)?)
    }

    /// How often water is read at a rank, milliseconds; none: as always.
    pub fn poll_ms(&self, rank: u8) -> Option<u64> {
        self.levels.iter().take(usize::from(rank)).rev().find_map(|level| level.poll_ms)
    }

    /// The rank that an alarm of a rule, `class.rule`, demands; 0: none.
    pub fn local_rank(&self, rule: &str) -> u8 {
        let demands = |level: &SchemeLevel| level.local.iter().any(|of| of == rule);
        self.levels.iter().rposition(demands).map_or(0, rank)
    }

    /// The rank of a level by its id.
    pub fn rank_of(&self, id: &str) -> Option<u8> {
        self.levels.iter().position(|level| *level.id == *id).map(rank)
    }
}

fn rank(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap_or(u8::MAX)
}

impl SchemeLevel {
    /// All actions of the level as one text.
    pub fn action_text(&self) -> LocalizedText {
        let joined = |is_chinese: bool, between: &str| {
            let all: Vec<&str> = self.actions.iter().map(|action| action.in_language(is_chinese)).collect();
            all.join(between)
        };
        LocalizedText::both(joined(true, "；"), joined(false, "; "))
    }
}

impl LevelMatch {
    fn holds(&self, info: &WarningInfo) -> bool {
        let is_headline = self.headline.is_empty() || self.headline.iter().any(|word| has_word(&info.headline, word));
        let is_severity =
            self.severity.is_empty() || self.severity.iter().any(|of| of.eq_ignore_ascii_case(&info.severity));
        let is_parameter = self.parameter.as_ref().is_none_or(|(name, values)| {
            let of_name = info.parameters.iter().filter(|(of, _)| of.eq_ignore_ascii_case(name));
            let mut parts = of_name.flat_map(|(_, value)| value.split(';')).map(str::trim);
            parts.any(|part| values.iter().any(|value| value.eq_ignore_ascii_case(part)))
        });
        is_headline && is_severity && is_parameter
    }
}

/// Whether a text has a word, in capitals or not. Latin letters are a word only where no further one stands beside them: `red` is not in
/// `predicted`; Chinese has no spaces between words.
fn has_word(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase(), word.to_lowercase());
    let is_alphanumeric = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(&word).any(|(at, found)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + found.len()..].chars().next());
        let goes_on_before = is_alphanumeric(word.chars().next()) && is_alphanumeric(before);
        let goes_on_after = is_alphanumeric(word.chars().next_back()) && is_alphanumeric(after);
        !word.is_empty() && !goes_on_before && !goes_on_after
    })
}
