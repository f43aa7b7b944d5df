//! The warnings of services that concern the site: which are in force, and how the others ended.
//!
//! * What a service no longer lists is not lifted: a warning ends by a message that refers to it, or when it expires.
//! * A message that refers to one that comes later, or again, keeps it ended.
//! * References count by sender and identifier, within one feed: another feed ends nothing here.
//! * An exercise neither raises nor ends what is real.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::flood::area::SitePlace;
use crate::flood::scheme::{Meaning, Scheme};
use crate::model::time::{Now, UnixMillis};
use crate::model::warning::{Warning, WarningId, WarningInfo, WarningKind, WarningStatus};

/// Warnings in force at most; the mildest gives way to a graver one.
const IN_FORCE_MAX: usize = 200;
/// Ended warnings that are remembered; the oldest is forgotten first.
const ENDED_MAX: usize = 2_000;
/// A warning without an expiry, or with one before it was sent, lasts so long.
const UNDATED_MS: i64 = 24 * 3_600_000;
/// No warning lasts longer after it was sent: services have let them expire months later.
const LONGEST_MS: i64 = 72 * 3_600_000;
/// Characters of a headline that are kept.
const HEADLINE: usize = 200;

/// A warning that concerns the site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveWarning {
    /// Name of the feed that brought it.
    pub feed: String,
    pub id: WarningId,
    pub sent: UnixMillis,
    /// When it came here.
    pub received: UnixMillis,
    /// In the scheme; 1 also where its level is not known.
    pub rank: u8,
    /// Whether it said a level of the scheme.
    pub is_level_known: bool,
    /// Until when it counts.
    pub expires: UnixMillis,
    /// Whether that is its own word, and not a limit of ours.
    pub says_expiry: bool,
    pub is_exercise: bool,
    /// As issued, by language; with the office's name where the service writes it there.
    pub headlines: Vec<(String, String)>,
    /// Of the document.
    pub hash: String,
}

/// Why a warning is no longer in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningEnd {
    /// Its service cancelled it.
    Cancelled,
    /// Another one took its place.
    Updated,
    /// Nobody cancelled it; its time is over.
    Expired,
    /// A graver one needed the place.
    Displaced,
}

/// A warning that was in force, or was ended before it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedWarning {
    pub why: WarningEnd,
    pub at: UnixMillis,
    pub feed: String,
    /// As it was; none: it had not come.
    pub warning: Option<ActiveWarning>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is in force with this rank.
    InForce(u8),
    /// It ended these and is none itself.
    Ended(Vec<WarningId>),
    /// It was here already.
    Known,
    /// What is here is newer, or ended already.
    Older,
    /// Its time was over when it came.
    Past,
    /// A test, a draft, or a kind of message that changes nothing.
    NotActual,
    /// Of another event than the scheme's.
    OtherEvent,
    /// Of an area in which the site does not lie.
    OtherArea,
    /// There are too many that are graver.
    TooMany,
}

/// The warnings of all feeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Warnings {
    in_force: BTreeMap<WarningId, ActiveWarning>,
    ended: BTreeMap<WarningId, EndedWarning>,
    /// Those that were in force and ended since somebody looked; not kept.
    newly_ended: Vec<WarningId>,
}

/// As lists: JSON has no keys but texts.
#[derive(Serialize, Deserialize)]
struct Stored {
    in_force: Vec<ActiveWarning>,
    ended: Vec<(WarningId, EndedWarning)>,
}

impl From<Stored> for Warnings {
    fn from(stored: Stored) -> Self {
        let in_force = stored.in_force.into_iter().map(|warning| (warning.id.clone(), warning)).collect();
        Self { in_force, ended: stored.ended.into_iter().collect(), newly_ended: Vec::new() }
    }
}

impl From<Warnings> for Stored {
    fn from(warnings: Warnings) -> Self {
        Self { in_force: warnings.in_force.into_values().collect(), ended: warnings.ended.into_iter().collect() }
    }
}

/// A feed as far as its messages are concerned.
#[derive(Clone, Copy, Debug)]
pub struct FeedRules<'a> {
    pub name: &'a str,
    pub scheme: &'a Scheme,
    /// None: everything that it brings concerns the site.
    pub place: Option<&'a SitePlace>,
}

impl Warnings {
    /// Takes in a message.
    pub fn take(&mut self, feed: FeedRules<'_>, message: &Warning, now: Now) -> Outcome {
        if message.status == WarningStatus::Other || message.kind == WarningKind::Other {
            return Outcome::NotActual;
        }
        let is_exercise = message.status == WarningStatus::Exercise;
        let why = match message.kind {
            WarningKind::Cancel => WarningEnd::Cancelled,
            _ => WarningEnd::Updated,
        };
        let mut ended = Vec::new();
        if message.kind != WarningKind::Alert {
            let others = message.references.iter().filter(|id| **id != message.id);
            ended.extend(others.filter(|id| self.end(feed.name, id, is_exercise, why, now)).cloned());
        }
        let unchanged = |ended, outcome| if ended == Vec::new() { outcome } else { Outcome::Ended(ended) };
        // It came late: what follows it was here before, but it may be the only one that names the first of a chain.
        if self.is_ended(feed.name, &message.id) {
            return unchanged(ended, Outcome::Older);
        }
        if let Some(known) = self.in_force.get(&message.id) {
            if known.hash == message.hash {
                return unchanged(ended, Outcome::Known);
            }
            if message.sent < known.sent || known.feed != feed.name || known.is_exercise != is_exercise {
                return unchanged(ended, Outcome::Older);
            }
        }
        if message.kind == WarningKind::Cancel {
            ended.extend(self.end(feed.name, &message.id, is_exercise, why, now).then(|| message.id.clone()));
            return Outcome::Ended(ended);
        }
        let (rank, is_level_known) = match meaning(feed, message) {
            Ok(Meaning::Rank(rank)) => (rank, true),
            Ok(Meaning::UnknownLevel) => (1, false),
            other => {
                // Another version of a known one, which no longer concerns the site or says that it is over.
                let is_over = other == Ok(Meaning::Ended);
                let why = if is_over { WarningEnd::Cancelled } else { why };
                if self.in_force.contains_key(&message.id) {
                    ended.extend(self.end(feed.name, &message.id, is_exercise, why, now).then(|| message.id.clone()));
                }
                return match other {
                    _ if is_over => Outcome::Ended(ended),
                    Err(outcome) => unchanged(ended, outcome),
                    Ok(_) => unchanged(ended, Outcome::OtherEvent),
                };
            }
        };
        self.put(active(feed, message, (rank, is_level_known), now), now)
    }

    fn put(&mut self, warning: ActiveWarning, now: Now) -> Outcome {
        if now.wall_trusted && warning.expires <= now.wall {
            // Services end a warning early by another version of it.
            self.finish(&warning.id, WarningEnd::Expired, now);
            return Outcome::Past;
        }
        let rank = warning.rank;
        if self.in_force.len() >= IN_FORCE_MAX && !self.in_force.contains_key(&warning.id) {
            let mildest = self.in_force.values().min_by_key(|one| (one.rank, one.sent));
            let Some(mildest) = mildest.filter(|one| one.rank < rank).map(|one| one.id.clone()) else {
                return Outcome::TooMany;
            };
            self.finish(&mildest, WarningEnd::Displaced, now);
        }
        self.ended.remove(&warning.id);
        self.in_force.insert(warning.id.clone(), warning);
        Outcome::InForce(rank)
    }

    /// Whether its service ended it. One that expired comes back where the service issues it again with a later expiry.
    fn is_ended(&self, feed: &str, id: &WarningId) -> bool {
        let is_final = |why: WarningEnd| !matches!(why, WarningEnd::Displaced | WarningEnd::Expired);
        self.ended.get(id).is_some_and(|ended| ended.feed == feed && is_final(ended.why))
    }

    /// Ends a warning of a feed, or notes that it is over if it comes later. Returns whether it was in force.
    fn end(&mut self, feed: &str, id: &WarningId, is_exercise: bool, why: WarningEnd, now: Now) -> bool {
        match self.in_force.get(id) {
            Some(known) if known.feed == feed && known.is_exercise == is_exercise => {
                self.finish(id, why, now);
                true
            }
            Some(_) => false,
            None => {
                if !is_exercise && !self.ended.contains_key(id) {
                    let ended = EndedWarning { why, at: now.wall, feed: feed.to_string(), warning: None };
                    self.remember(id.clone(), ended);
                }
                false
            }
        }
    }

    fn finish(&mut self, id: &WarningId, why: WarningEnd, now: Now) {
        if let Some(warning) = self.in_force.remove(id) {
            let feed = warning.feed.clone();
            self.newly_ended.push(id.clone());
            self.remember(id.clone(), EndedWarning { why, at: now.wall, feed, warning: Some(warning) });
        }
    }

    fn remember(&mut self, id: WarningId, ended: EndedWarning) {
        self.ended.insert(id, ended);
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.iter().min_by_key(|(_, ended)| ended.at).map(|(id, _)| id.clone())
        {
            self.ended.remove(&oldest);
        }
    }

    /// Ends what has expired, if the date is trusted.
    pub fn expire(&mut self, now: Now) {
        let is_over = |warning: &&ActiveWarning| now.wall_trusted && warning.expires <= now.wall;
        let over: Vec<WarningId> = self.in_force.values().filter(is_over).map(|warning| warning.id.clone()).collect();
        over.iter().for_each(|id| self.finish(id, WarningEnd::Expired, now));
    }

    /// Warnings that were in force and ended since the last call, with how.
    pub fn take_newly_ended(&mut self) -> Vec<EndedWarning> {
        let ended = std::mem::take(&mut self.newly_ended);
        ended.iter().filter_map(|id| self.ended.get(id)).cloned().collect()
    }

    /// Forgets warnings in force, as if they had never come.
    pub fn retain(&mut self, stays: impl Fn(&ActiveWarning) -> bool) {
        self.in_force.retain(|_, warning| stays(warning));
    }

    /// Those in force, exercises among them.
    pub fn in_force(&self) -> impl Iterator<Item = &ActiveWarning> {
        self.in_force.values()
    }

    /// How one ended, as far as it is remembered.
    pub fn ended(&self, id: &WarningId) -> Option<&EndedWarning> {
        self.ended.get(id)
    }

    /// The gravest one in force, the newest of its rank; exercises apart.
    pub fn gravest(&self, is_exercise: bool) -> Option<&ActiveWarning> {
        let of = self.in_force.values().filter(|warning| warning.is_exercise == is_exercise);
        of.max_by_key(|warning| (warning.rank, warning.sent))
    }
}

/// The gravest meaning of a message's texts where they concern the site.
fn meaning(feed: FeedRules<'_>, message: &Warning) -> Result<Meaning, Outcome> {
    let weight = |meaning: &Meaning| match meaning {
        Meaning::OtherEvent => 0,
        Meaning::UnknownLevel => 1,
        Meaning::Ended => 2,
        Meaning::Rank(rank) => 2 + u16::from(*rank),
    };
    let of_event = |info: &&WarningInfo| feed.scheme.meaning(info) != Meaning::OtherEvent;
    let mut infos = message.infos.iter().filter(of_event).peekable();
    infos.peek().ok_or(Outcome::OtherEvent)?;
    // Services repeat areas in one language only.
    let concerns = |info: &WarningInfo| feed.place.is_none_or(|place| place.is_in(info));
    if !message.infos.iter().any(concerns) {
        return Err(Outcome::OtherArea);
    }
    let here = message.infos.iter().filter(of_event).filter(|info| concerns(info) || info.areas.is_empty());
    here.map(|info| feed.scheme.meaning(info)).max_by_key(weight).ok_or(Outcome::OtherArea)
}

fn active(feed: FeedRules<'_>, message: &Warning, (rank, is_level_known): (u8, bool), now: Now) -> ActiveWarning {
    // A service whose clock runs ahead does not prolong its warnings.
    let sent = if now.wall_trusted { message.sent.min(now.wall) } else { message.sent };
    let said = message.infos.iter().filter_map(|info| info.expires).filter(|expires| *expires > message.sent).max();
    let limit = sent.0.saturating_add(LONGEST_MS);
    let expires = said.map_or(sent.0.saturating_add(UNDATED_MS), |said| said.0.min(limit));
    let headline = |info: &WarningInfo| {
        let text = if info.headline.is_empty() { &info.event } else { &info.headline };
        (info.language.clone(), text.chars().take(HEADLINE).collect())
    };
    let mut headlines: Vec<(String, String)> = message.infos.iter().map(headline).collect();
    headlines.dedup();
    headlines.truncate(8);
    ActiveWarning {
        feed: feed.name.to_string(),
        id: message.id.clone(),
        sent: message.sent,
        received: now.wall,
        rank,
        is_level_known,
        expires: UnixMillis(expires),
        says_expiry: said.is_some_and(|said| said.0 <= limit),
        is_exercise: message.status == WarningStatus::Exercise,
        headlines,
        hash: message.hash.clone(),
    }
}
