//! Combines checked links, units and devices into buses and the streams that they feed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::ConfiguredDevice;
use crate::config::catalogue::Catalogue;
use crate::config::registers;
use crate::link::settings::LinkSettings;
use crate::model::point::{Encoding, PointKind, PointMeta};
use crate::model::stream::{Source, Stream};
use crate::model::time::DurationText;
use crate::poll::{BusConfig, DeviceMapping, GroupConfig, UnitConfig};
use crate::profile::PointDef;

/// A unit with its resolved profile.
pub struct UnitEntry<'a> {
    pub settings: &'a crate::config::settings::UnitSettings,
    pub profile: &'a Arc<crate::profile::Profile>,
}

/// One bus per link, with those of its units that have a poll group in use.
pub fn buses(
    links: &[LinkSettings],
    units: &BTreeMap<&str, UnitEntry<'_>>,
    devices: &BTreeMap<String, ConfiguredDevice>,
    catalogue: &Catalogue,
) -> Vec<BusConfig> {
    let mut of_unit: BTreeMap<&str, BTreeMap<&str, &ConfiguredDevice>> = BTreeMap::new();
    for device in devices.values() {
        for (unit, _) in device.points.values() {
            of_unit.entry(unit).or_default().insert(&device.id, device);
        }
    }
    let bus = |link: &LinkSettings| {
        let on_it = units.values().filter(|u| u.settings.link == link.id);
        let build = |u: &UnitEntry<'_>| {
            let devices: Vec<_> =
                of_unit.get(u.settings.id.as_str()).into_iter().flat_map(BTreeMap::values).copied().collect();
            unit(u, link, &devices, catalogue)
        };
        let units = on_it.map(build).filter(|u| !u.groups.is_empty()).collect();
        BusConfig { link: link.clone(), units }
    };
    links.iter().map(bus).collect()
}

/// A unit with the devices whose points it gives, in the order of their ids.
fn unit(unit: &UnitEntry<'_>, link: &LinkSettings, devices: &[&ConfiguredDevice], catalogue: &Catalogue) -> UnitConfig {
    let all = unit.profile.all_points();
    let mut groups = Vec::new();
    for (name, every_ms) in &unit.profile.groups {
        let own = unit.settings.groups.get(&**name).and_then(DurationText::ms);
        let every_ms = own.or_else(|| link.groups_ms.get(&**name).copied()).unwrap_or(*every_ms);
        let source = Source::PollGroup { unit: unit.settings.id.as_str().into(), group: Arc::clone(name) };
        let mut device_mappings = Vec::new();
        for device in devices {
            let ours = |(point, (from, at)): (&String, &(String, String))| {
                let def = all.get(at.as_str()).filter(|d| *from == unit.settings.id && d.poll_group == *name)?;
                Some((meta(point, def, device, catalogue), Arc::clone(&def.name)))
            };
            let (metas, points): (Vec<PointMeta>, Vec<Arc<str>>) = device.points.iter().filter_map(ours).unzip();
            if !metas.is_empty() {
                let stream = Stream::new(Arc::clone(&device.id), source.clone(), every_ms, metas);
                device_mappings.push(DeviceMapping { stream, points });
            }
        }
        if !device_mappings.is_empty() {
            groups.push(GroupConfig {
                name: Arc::clone(name),
                interval_ms: every_ms,
                flood_intervals_ms: Vec::new(),
                device_mappings,
            });
        }
    }
    UnitConfig {
        id: unit.settings.id.as_str().into(),
        address: unit.settings.address,
        profile: Arc::clone(unit.profile),
        timeout_ms: unit.settings.timeout_ms,
        retries: unit.settings.retries,
        groups,
    }
}

/// Metadata of a device's point: kind, retention and unit from the vocabulary if it has the point, else from the profile; encoding and
/// resolution from the profile; modulus as the rules of registers have it.
pub(super) fn meta(point: &str, def: &PointDef, device: &ConfiguredDevice, catalogue: &Catalogue) -> PointMeta {
    let meaning = catalogue.vocabulary.point(&device.class, point);
    let kind = meaning.map_or(def.kind, |m| m.kind);
    let retention = meaning.map_or(def.retention, |m| m.retention);
    let form = if kind == PointKind::Code && def.kind == PointKind::Code { Encoding::Code } else { def.encoding };
    let is_register = kind == PointKind::Counter;
    PointMeta {
        unit: meaning.and_then(|m| m.unit.as_deref()).map(Arc::from),
        resolution: registers::resolution(def),
        modulus: registers::limits(device, point, def).modulus.filter(|_| is_register),
        ..PointMeta::new(point, kind, retention, form)
    }
}

/// The limits of every register that the devices read.
pub(super) fn register_limits(
    devices: &BTreeMap<String, ConfiguredDevice>,
    units: &BTreeMap<&str, UnitEntry<'_>>,
    catalogue: &Catalogue,
) -> registers::RegisterLimitsByPoint {
    let of_device = |device: &ConfiguredDevice| {
        let limits = |(point, (unit, at)): (&String, &(String, String))| {
            let def = units.get(unit.as_str())?.profile.point(at)?;
            let is_register = meta(point, def, device, catalogue).kind == PointKind::Counter;
            is_register.then(|| (point.clone(), registers::limits(device, point, def)))
        };
        device.points.iter().filter_map(limits).collect()
    };
    devices.iter().map(|(id, device)| (id.clone(), of_device(device))).collect()
}
