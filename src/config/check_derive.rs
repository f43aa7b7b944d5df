//! Checks derived points: their inputs exist and are as many as their function takes.

use crate::config::check::Check;
use crate::config::doc::Problems;
use crate::config::{ConfiguredDevice, build};
use crate::derive::{DerivedDefinition, DerivedFunction, DerivedSettings};
use crate::model::counter::RegisterLimits;
use crate::model::point::{Encoding, PointKind, PointMeta, Retention};
use crate::model::problem::did_you_mean;
use crate::profile::vocabulary::PointEntry;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Check<'_> {
    /// Derived points. The vocabulary must have their names, and their inputs must exist.
    pub(super) fn derive(
        &self,
        devices: &BTreeMap<String, ConfiguredDevice>,
        units: &BTreeMap<&str, build::UnitEntry<'_>>,
        problems: &mut Problems,
    ) -> Vec<DerivedDefinition> {
        let mut out: Vec<DerivedDefinition> = Vec::new();
        for entry in &self.files.derive {
            let d = &entry.value;
            let at = |key: &str| entry.table.location(&[key]);
            let Some(device) = devices.get(&d.device) else {
                if !self.is_incomplete {
                    let known = devices.keys().map(String::as_str);
                    problems.error(
                        at("device"),
                        format!("unknown device `{}`", d.device),
                        did_you_mean(&d.device, known),
                    );
                }
                continue;
            };
            let meaning = self.catalogue.vocabulary.point(&device.class, &d.point);
            if meaning.is_none() && !d.point.starts_with("x_") {
                let near = self.catalogue.vocabulary.did_you_mean(&device.class, &d.point);
                let what = format!("class `{}` has no point `{}`", device.class, d.point);
                problems.error(at("point"), what, format!("{near}; a maker's extra begins with x_"));
            }
            if device.points.contains_key(&d.point)
                || out.iter().any(|o| o.settings.device == d.device && o.settings.point == d.point)
            {
                let what = format!("`{}` of `{}` comes from somewhere else already", d.point, d.device);
                problems.error(at("point"), what, "one source for each point");
            }
            let wants = match d.how {
                DerivedFunction::Ratio | DerivedFunction::SharePct => 2..=2,
                DerivedFunction::RatePerMin | DerivedFunction::RunTimeH | DerivedFunction::Starts => 1..=1,
                function if function.is_of_day() => 1..=1,
                _ => 2..=99,
            };
            if !wants.contains(&d.of.len()) {
                problems.error(
                    at("of"),
                    format!("{} inputs where {} to {} are meant", d.of.len(), wants.start(), wants.end()),
                    "",
                );
            }
            for (i, name) in d.of.iter().enumerate() {
                let (from, point) = name.split_once('.').unwrap_or((&d.device, name));
                let known = devices.get(from).map(|d| d.points.keys().map(String::as_str).collect::<Vec<_>>());
                let known = known.unwrap_or_default();
                if !known.contains(&point) && !self.is_incomplete {
                    let what = format!("there is no point `{point}` of `{from}`");
                    problems.error(entry.table.location(&["of", &i.to_string()]), what, did_you_mean(point, known));
                }
            }
            out.push(self.complete(d, meaning, devices, units));
        }
        out
    }

    /// The definition with what the vocabulary says of its point and the profiles say of its inputs.
    fn complete(
        &self,
        settings: &DerivedSettings,
        meaning: Option<&PointEntry>,
        devices: &BTreeMap<String, ConfiguredDevice>,
        units: &BTreeMap<&str, build::UnitEntry<'_>>,
    ) -> DerivedDefinition {
        let metas: Vec<Option<(PointMeta, RegisterLimits)>> = settings
            .of
            .iter()
            .map(|name| {
                let (from, point) = name.split_once('.').unwrap_or((&settings.device, name));
                let from = devices.get(from)?;
                let (unit, at) = from.points.get(point)?;
                let def = units.get(unit.as_str())?.profile.point(at)?;
                let meta = build::meta(point, def, from, self.catalogue);
                Some((meta, crate::config::registers::limits(from, point, def)))
            })
            .collect();
        let decimals = |of: &Option<(PointMeta, RegisterLimits)>| match of.as_ref()?.0.encoding {
            Encoding::Exact(decimals) => Some(decimals),
            Encoding::Bool | Encoding::Code => Some(0),
            Encoding::F32 | Encoding::F64 | Encoding::Text => None,
        };
        let decimals: Option<Vec<u8>> = metas.iter().map(decimals).collect();
        let (kind, retention) = meaning.map_or((PointKind::Number, Retention::Telemetry), |m| (m.kind, m.retention));
        let encoding = settings.how.encoding(decimals.and_then(|all| all.into_iter().max()));
        let resolution = encoding.last_digit();
        let unit = meaning.and_then(|m| m.unit.as_deref()).map(Arc::from);
        let meta = PointMeta { unit, resolution, ..PointMeta::new(settings.point.as_str(), kind, retention, encoding) };
        let of_register =
            |(meta, limits): (PointMeta, RegisterLimits)| (meta.kind == PointKind::Counter).then_some(limits);
        let limits = metas.into_iter().next().flatten().and_then(of_register);
        DerivedDefinition { settings: settings.clone(), meta, limits }
    }
}
