//! What the engine is built from, out of the configuration and the stored secret of page links.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::rand::SecureRandom as _;

use crate::alarm::room::AlarmPlan;
use crate::config::Configuration;
use crate::engine::authorize::Policy;
use crate::engine::{EnginePlan, Persisted, ROOMS, RoomPlans};
use crate::model::directory::{DeviceInfo, Directory, PersonInfo};
use crate::model::effects::Keep;
use crate::model::point::LocalizedText;
use crate::model::room::Room as _;
use crate::oncall::room::OncallRoom;
use crate::presentation::token::PageTokens;
use crate::store::event::Batch;
use crate::store::log::Store;

/// Under which the secret of page links is kept.
const SECRET: &str = "secret";

/// The part of the configuration that the engine and its rooms need.
pub fn engine_plan(configuration: &Configuration, tokens: &Arc<PageTokens>) -> EnginePlan {
    EnginePlan {
        directory: Arc::new(directory(configuration)),
        policy: Policy { people: configuration.oncall.plan.people.keys().cloned().collect() },
        tokens: Arc::clone(tokens),
        rooms: RoomPlans {
            derive: configuration.derive.clone(),
            energy: configuration.demand_watches(),
            flood: configuration.flood.clone(),
            alarm: AlarmPlan { rules: configuration.alarms.clone(), ..AlarmPlan::default() },
            oncall: Arc::clone(&configuration.oncall.plan),
            ..RoomPlans::default()
        },
    }
}

/// Names of devices and people.
fn directory(configuration: &Configuration) -> Directory {
    let device = |d: &crate::config::ConfiguredDevice| DeviceInfo {
        name: LocalizedText::both(&*d.zh, &*d.en),
        area: d.area.clone(),
        class: d.class.clone(),
    };
    let plan = &configuration.oncall.plan;
    let person = |p: &crate::oncall::plan::PersonPlan| PersonInfo {
        name: p.names.clone(),
        language: p.language,
        is_reachable: !p.contacts.is_empty(),
    };
    let channels = configuration.oncall.channels.iter();
    let coded = channels.filter(|c| c.has_coded_replies()).map(|c| c.id().to_string());
    Directory {
        site: LocalizedText::both(&*configuration.site.zh, &*configuration.site.en),
        zone: configuration.alarms.zone.clone(),
        devices: configuration.devices.iter().map(|(id, d)| (id.clone(), device(d))).collect(),
        people: plan.people.iter().map(|(id, p)| (Arc::clone(id), person(p))).collect(),
        coded_channels: coded.collect(),
        url: configuration.oncall.settings.url.trim_end_matches('/').to_string(),
    }
}

/// What every room kept. A room that cannot be read begins anew, said so.
pub fn persisted(store: &Store) -> Persisted {
    let of = |room: &&str| {
        let kept = store.load_state(room).unwrap_or_else(|error| {
            tracing::error!(room, %error, "what the room kept cannot be read: it begins anew");
            BTreeMap::new()
        });
        let kept = kept.into_iter().filter(|(key, _)| *room != OncallRoom::ID || key != SECRET);
        ((*room).to_string(), kept.collect())
    };
    ROOMS.iter().map(of).collect()
}

/// Tokens with the secret that is kept, or a new one.
pub fn page_tokens(store: &Store) -> Arc<PageTokens> {
    let kept = store.load_state(OncallRoom::ID).unwrap_or_default().remove(SECRET);
    let secret = kept.map(|(_, secret)| secret).filter(|s| s.len() >= 32).unwrap_or_else(|| {
        let mut fresh = vec![0u8; 32];
        if ring::rand::SystemRandom::new().fill(&mut fresh).is_err() {
            tracing::error!("the system has no random numbers: answers through links will not be believed");
        }
        let bytes = Some(fresh.clone());
        let keep = vec![Keep { room: OncallRoom::ID, key: SECRET.to_string(), format: 1, bytes }];
        // The next start finds it; if not, links of before are not believed.
        drop(store.commit(Batch { rows: Vec::new(), keep }));
        fresh
    });
    Arc::new(PageTokens::new(&secret))
}
