//! What devices and people are called, where a device is and what a person reads: for whoever writes texts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::model::flood::FLOOD_DEVICE;
use crate::model::point::{Language, LocalizedText};
use crate::model::problem::unknown;
use crate::model::text::{REMARK, one_line};

/// Names of a site.
#[derive(Clone, Debug, PartialEq)]
pub struct Directory {
    /// The site's name in both languages.
    pub site: LocalizedText,
    /// The site's time zone.
    pub zone: TimeZone,
    /// Name, area and class of each device, by device id.
    pub devices: BTreeMap<String, DeviceInfo>,
    /// Name, language and reachability of each person, by person id.
    pub people: BTreeMap<Arc<str>, PersonInfo>,
    /// Channels whose replies name a page by its two digits.
    pub coded_channels: BTreeSet<String>,
    /// Where this box's pages are reached, without a slash at its end; empty: nowhere.
    pub url: String,
}

/// What a device is called and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Name for people, in both languages.
    pub name: LocalizedText,
    /// Its area; may be empty.
    pub area: String,
    /// Its class in the vocabulary.
    pub class: String,
}

/// What a person is called and reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonInfo {
    /// Name for people, in both languages.
    pub name: LocalizedText,
    /// Language of the messages to this person.
    pub language: Language,
    /// Whether there is a channel to them.
    pub is_reachable: bool,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            site: LocalizedText::default(),
            zone: TimeZone::UTC,
            devices: BTreeMap::new(),
            people: BTreeMap::new(),
            coded_channels: BTreeSet::new(),
            url: String::new(),
        }
    }
}

impl Directory {
    /// What a device is called; a link has no more than its id, the gateway the site's name, the flood level its own.
    pub fn device(&self, id: &str) -> Cow<'_, DeviceInfo> {
        let named = |name: LocalizedText, class: &str| {
            Cow::Owned(DeviceInfo { name, area: String::new(), class: class.to_string() })
        };
        match self.devices.get(id) {
            Some(device) => Cow::Borrowed(device),
            None if id == "gateway" => named(self.site.clone(), "gateway"),
            None if id == FLOOD_DEVICE => named(LocalizedText::both("防汛", "Flood"), FLOOD_DEVICE),
            None => named(LocalizedText::both(id, id), "link"),
        }
    }

    /// A person's name in a language; their id where there is no such person.
    pub fn person(&self, id: &str, zh: bool) -> String {
        self.people.get(id).map_or_else(|| id.to_string(), |p| p.name.in_language(zh).to_string())
    }

    /// Whether somebody is of the configuration.
    ///
    /// # Errors
    /// There is no such person; in words, with the nearest name.
    pub fn knows(&self, person: &str) -> Result<&PersonInfo, LocalizedText> {
        let known = || self.people.keys().map(|k| &**k);
        self.people.get(person).ok_or_else(|| unknown(("人员", "person"), &one_line(person, REMARK), known()))
    }

    /// Whether somebody can be paged.
    ///
    /// # Errors
    /// There is no such person, or no channel to them; in words.
    pub fn can_be_reached(&self, person: &str) -> Result<(), LocalizedText> {
        if self.knows(person)?.is_reachable {
            return Ok(());
        }
        let en = format!("{person} has no way to be reached");
        Err(LocalizedText::both(format!("{person} 没有联系方式"), en))
    }
}
