//! Checks derived points: their inputs exist and are as many as their function takes.

use crate::config::check::Check;
use crate::config::doc::Problems;
use crate::config::{ConfiguredDevice, build};
use crate::derive::DerivedFunction;
use crate::model::point::{PointKind, Retention};
use crate::model::problem::did_you_mean;
use std::collections::BTreeMap;

impl Check<'_> {
    /// Derived points. The vocabulary must have their names, and their inputs must exist.
    pub(super) fn derive(
        &self,
        devices: &BTreeMap<String, ConfiguredDevice>,
        units: &BTreeMap<&str, build::UnitEntry<'_>>,
        problems: &mut Problems,
    ) -> Vec<crate::derive::DerivedDefinition> {
        let mut out: Vec<crate::derive::DerivedDefinition> = Vec::new();
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
            let (kind, retention) =
                meaning.map_or((PointKind::Number, Retention::Telemetry), |m| (m.kind, m.retention));
            let limits = d.of.first().and_then(|name| {
                let (from, point) = name.split_once('.').unwrap_or((&d.device, name));
                let from = devices.get(from)?;
                let (unit, at) = from.points.get(point)?;
                let def = *units.get(unit.as_str())?.profile.all_points().get(at.as_str())?;
                let kind = self.catalogue.vocabulary.point(&from.class, point).map_or(def.kind, |m| m.kind);
                (kind == PointKind::Counter).then(|| crate::config::registers::limits(from, point, def))
            });
            out.push(crate::derive::DerivedDefinition { settings: d.clone(), kind, retention, limits });
        }
        out
    }
}
