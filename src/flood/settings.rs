//! The `[flood]` table.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::flood::area::SitePlace;
use crate::flood::scheme::Scheme;
use crate::model::point::Language;
use crate::model::problem::{FileFinding, did_you_mean};
use crate::model::time::{DurationText, HumanDuration};
use crate::model::warning::Coordinates;

/// Water is read no faster than this.
const POLL_MIN_MS: u64 = 500;

/// Flood levels of the site: `[flood]`. Without this table the site has none.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FloodSettings {
    /// Scheme of the levels: `cn-rainstorm-4`, `uk-ea-3`, or the name of a file of your own in `flood/`.
    pub scheme: String,
    /// Where the site is, degrees north of the equator (WGS 84): for warnings that say a polygon or a circle.
    pub latitude: Option<f64>,
    /// Degrees east of Greenwich.
    pub longitude: Option<f64>,
    /// Codes of the areas that the site lies in, as its services write them: `["370614"]`. Of a Chinese code a larger area counts, too.
    pub geocodes: Vec<String>,
    /// Names of areas as the services write them, where they give no codes.
    pub area_names: Vec<String>,
    /// How long levels last at least, where that is not what the scheme says: `red = "1h"`.
    pub min_hold: BTreeMap<String, DurationText>,
    /// How often water is read from a level on, where that is not what the scheme says: `orange = "5s"`.
    pub poll: BTreeMap<String, DurationText>,
    /// What only people can see: materials, people, drains. Each has to be ticked now and then (`plantroom flood tick`).
    pub item: Vec<FloodItemSettings>,
    /// Who gets notices for residents and situation reports, besides the broker.
    pub tell: Vec<FloodRecipient>,
}

/// Something that people look at before a flood: `[[flood.item]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FloodItemSettings {
    /// Its id: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// What it is, in Chinese. One of the two is enough.
    #[serde(default)]
    pub zh: String,
    /// What it is, in English.
    #[serde(default)]
    pub en: String,
    /// For how long a tick counts: `30d`.
    #[serde(default = "thirty_days")]
    pub every: HumanDuration,
}

fn thirty_days() -> HumanDuration {
    HumanDuration(30 * 86_400_000)
}

/// Who gets texts about a flood: `[[flood.tell]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FloodRecipient {
    /// Id of the channel, as in `[[channel.webhook]]`.
    pub channel: String,
    /// Where, in the channel's own terms; may be left out where the channel needs none.
    #[serde(default)]
    pub to: String,
    /// Language of the texts.
    #[serde(default)]
    pub language: Language,
    /// Which texts: notices for residents, situation reports for staff.
    pub what: Vec<FloodText>,
}

/// A kind of text about a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FloodText {
    /// For residents: what to do, such as moving their cars; withdrawn when its level is over.
    Notice,
    /// For staff, each quarter of an hour at the highest level: water, pumps, what is not ready.
    Report,
}

impl Default for FloodSettings {
    fn default() -> Self {
        Self {
            scheme: "cn-rainstorm-4".to_string(),
            latitude: None,
            longitude: None,
            geocodes: Vec::new(),
            area_names: Vec::new(),
            min_hold: BTreeMap::new(),
            poll: BTreeMap::new(),
            item: Vec::new(),
            tell: Vec::new(),
        }
    }
}

impl FloodSettings {
    /// What is wrong: key, what, and what to do.
    pub fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut out = Vec::new();
        let mut degrees = |key: &'static str, value: Option<f64>, most: f64, hint: &'static str| {
            if value.is_some_and(|value| !(-most..=most).contains(&value)) {
                out.push((key, format!("{key} is {}", value.unwrap_or_default()), hint));
            }
        };
        degrees("latitude", self.latitude, 90.0, "degrees north, -90 to 90: latitude = 37.46");
        degrees("longitude", self.longitude, 180.0, "degrees east, -180 to 180: longitude = 121.45");
        if self.latitude.is_some() != self.longitude.is_some() {
            let key = if self.latitude.is_some() { "latitude" } else { "longitude" };
            out.push((key, "latitude and longitude belong together".to_string(), "give both"));
        }
        for (key, words) in [("geocodes", &self.geocodes), ("area_names", &self.area_names)] {
            if words.iter().any(|word| word.trim().is_empty()) {
                out.push((key, "an empty text would match every area".to_string(), "take it out"));
            }
        }
        out
    }

    /// The scheme with the site's own times, and what is wrong with them.
    pub fn adapted(&self, scheme: &Scheme) -> (Scheme, Vec<FileFinding>) {
        let mut out = scheme.clone();
        let mut findings = Vec::new();
        for (key, times) in [("min_hold", &self.min_hold), ("poll", &self.poll)] {
            for (id, time) in times {
                let known = scheme.levels.iter().map(|level| &*level.id);
                match (out.levels.iter_mut().find(|level| *level.id == **id), time.ms()) {
                    (Some(level), Some(ms)) if key == "min_hold" => level.min_hold_ms = ms,
                    (Some(level), Some(ms)) => level.poll_ms = Some(ms.max(POLL_MIN_MS)),
                    (None, _) => {
                        let what = format!("scheme `{}` has no level `{id}`", scheme.id);
                        findings.push(FileFinding::error(&[key, id], what, did_you_mean(id, known)));
                    }
                    (_, None) => {
                        let what = format!("`{}` is no duration", time.0);
                        findings.push(FileFinding::error(&[key, id], what, "write it as 2s, 30m or 2h"));
                    }
                }
            }
        }
        (out, findings)
    }

    /// Where the site is; none: nothing says so.
    pub fn place(&self) -> Option<SitePlace> {
        let position = self.latitude.zip(self.longitude);
        let position = position.map(|(latitude, longitude)| Coordinates { latitude, longitude });
        let is_given = position.is_some() || !self.geocodes.is_empty() || !self.area_names.is_empty();
        let (geocodes, area_names) = (self.geocodes.clone(), self.area_names.clone());
        is_given.then_some(SitePlace { position, geocodes, area_names })
    }
}
