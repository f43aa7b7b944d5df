//! "Could we pump now?": what alarms say of pumps, sensors, supply and generator, and what people have ticked. What nobody knows is not ready.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::flood::plan::FloodItem;
use crate::flood::signed::Signed;
use crate::model::flood::ReadinessItem;
use crate::model::time::{Now, UnixMillis};

/// Somebody has looked at something that only people can see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    #[serde(flatten)]
    pub signed: Signed,
    pub at: UnixMillis,
}

/// How ready the site is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Of a hundred; none: nothing says anything of it.
    pub pct: Option<u8>,
    pub ready: usize,
    pub all: usize,
    /// By device; ticks of people under `people`.
    pub devices: BTreeMap<String, ReadyCount>,
    /// What is not ready, or not known.
    pub open: Vec<OpenItem>,
}

/// How much of something is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReadyCount {
    pub ready: usize,
    pub all: usize,
}

/// Something that is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenItem {
    /// Key of the alarm, or id of the item that wants a tick.
    pub key: String,
    /// False: nobody knows whether it is.
    pub is_known: bool,
    pub zh: String,
    pub en: String,
}

/// Under which ticks are counted.
const PEOPLE: &str = "people";

/// How ready the site is.
pub fn readiness(alarms: &[ReadinessItem], items: &[FloodItem], ticks: &BTreeMap<String, Tick>, now: Now) -> Readiness {
    let mut out = Readiness::default();
    let mut count = |device: &str, is_ready: bool, open: OpenItem| {
        let of = out.devices.entry(device.to_string()).or_default();
        of.all += 1;
        if is_ready {
            of.ready += 1;
        } else {
            out.open.push(open);
        }
    };
    for alarm in alarms {
        let (key, is_known) = (alarm.key.to_string(), alarm.is_ready.is_some());
        let open = OpenItem { key, is_known, zh: alarm.text.zh.clone(), en: alarm.text.en.clone() };
        count(&alarm.device, alarm.is_ready == Some(true), open);
    }
    for item in items {
        let age_ms = ticks.get(&item.id).map(|tick| now.wall.0 - tick.at.0);
        let limit = i64::try_from(item.valid_ms).unwrap_or(i64::MAX);
        let is_ready = now.wall_trusted && age_ms.is_some_and(|age| (0..=limit).contains(&age));
        let open = OpenItem {
            key: item.id.clone(),
            is_known: age_ms.is_some(),
            zh: item.name.zh.clone(),
            en: item.name.en.clone(),
        };
        count(PEOPLE, is_ready, open);
    }
    out.all = out.devices.values().map(|of| of.all).sum();
    out.ready = out.devices.values().map(|of| of.ready).sum();
    out.pct = (out.ready * 100).checked_div(out.all).and_then(|pct| u8::try_from(pct).ok());
    out
}
