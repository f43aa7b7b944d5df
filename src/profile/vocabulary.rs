//! The vocabulary: for each class of device its points and numbers, the names that everything else uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::point::{LocalizedText, PointKind, Retention};
use crate::model::problem::FileFinding;

/// Points and numbers of a class of devices: `config/vocabulary/CLASS.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassFile {
    /// Version of this format: 1.
    pub format: u32,
    /// The same as the file's name.
    pub class: String,
    /// Name of the class in Chinese.
    pub zh: String,
    /// Name of the class in English.
    pub en: String,
    /// What a device of this class can measure or say.
    pub points: BTreeMap<String, PointEntry>,
    /// What the site says of a device of this class.
    #[serde(default)]
    pub numbers: BTreeMap<String, NumberEntry>,
}

/// A point of the vocabulary.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointEntry {
    /// What kind of quantity.
    pub kind: PointKind,
    /// Its unit, for people; none for dimensionless points.
    pub unit: Option<String>,
    /// Which history class keeps it.
    pub retention: Retention,
    /// Chinese; `{n}` is the index.
    pub zh: String,
    /// English; `{n}` is the index.
    pub en: String,
    /// Texts of a code where a standard gives them; a profile may override.
    #[serde(default)]
    pub texts: BTreeMap<String, LocalizedText>,
}

/// A number that the site gives.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberEntry {
    /// Its unit, for people.
    pub unit: Option<String>,
    /// Chinese; `{n}` is the index.
    pub zh: String,
    /// English; `{n}` is the index.
    pub en: String,
}

#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Class name -> its file.
    pub classes: BTreeMap<Arc<str>, ClassFile>,
}

/// Words in the names of points that report a fault, a trip, fire, gas, water or the loss of a supply.
const FAULT_WORDS: [&str; 28] = [
    "fault",
    "tripped",
    "trip",
    "smoke",
    "gas",
    "fire",
    "heat",
    "leak",
    "wet",
    "overload",
    "overtemperature",
    "shutdown",
    "failed",
    "fail",
    "blocked",
    "overspeed",
    "overcrank",
    "underspeed",
    "loss",
    "lost",
    "undervoltage",
    "overvoltage",
    "reversal",
    "disagree",
    "intrusion",
    "emergency",
    "alarm",
    "warning",
];
/// Points that report a fault when they are false: a supply that should be present.
const SUPPLY_POINTS: [&str; 3] = ["power_ok", "standby_power_ok", "mains_ok"];
/// Names that contain such a word and report something else.
const NO_FAULTS: [&str; 8] = [
    "fire_return",
    "emergency_power",
    "heat_alarm_test",
    "alarm_code",
    "warning_code",
    "gas_m3",
    "fire_mode",
    "fire_command",
];

/// Whether the name of a point says that it reports a fault; such a point needs an alarm. A measured value (its name ends with a
/// unit) reports none.
pub fn reports_fault(name: &str) -> bool {
    if SUPPLY_POINTS.contains(&name) {
        return true;
    }
    let plain: String = name.strip_prefix("x_").unwrap_or(name).chars().filter(|c| !c.is_ascii_digit()).collect();
    if NO_FAULTS.contains(&plain.as_str()) || plain.ends_with("_code") && !plain.ends_with("fault_code") {
        return false;
    }
    let is_measured = [
        "_v", "_a", "_kw", "_c", "_pct", "_m", "_mm", "_mpa", "_kpa", "_h", "_s", "_ma", "_kwh", "_hz", "_count",
        "_ppm",
    ]
    .iter()
    .any(|unit| plain.ends_with(unit));
    !is_measured && plain.split('_').any(|word| FAULT_WORDS.contains(&word))
}

impl Vocabulary {
    /// The entry of a point of a class; an indexed name finds its `{n}` entry. `None`: the vocabulary lacks it.
    pub fn point(&self, class: &str, name: &str) -> Option<&PointEntry> {
        let class = self.classes.get(class)?;
        class.points.get(name).or_else(|| class.points.get(&indexed(name)?))
    }

    /// Whether a class has a number of this name.
    pub fn has_number(&self, class: &str, name: &str) -> bool {
        self.classes
            .get(class)
            .is_some_and(|c| c.numbers.contains_key(name) || indexed(name).is_some_and(|i| c.numbers.contains_key(&i)))
    }

    /// Names of a class's points, for hints.
    pub fn point_names(&self, class: &str) -> Vec<&str> {
        self.classes.get(class).map(|c| c.points.keys().map(String::as_str).collect()).unwrap_or_default()
    }
}

impl Vocabulary {
    /// What may have been meant by a point's name: indexed names are compared with the index that was given.
    pub fn did_you_mean(&self, class: &str, name: &str) -> String {
        let digits: String =
            name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        let index = if digits.is_empty() { "1".to_string() } else { digits };
        let names: Vec<String> = self.point_names(class).iter().map(|n| n.replace("{n}", &index)).collect();
        crate::model::problem::did_you_mean(name, names.iter().map(String::as_str))
    }
}

/// `pump12_running` -> `pump{n}_running`; `None` if there is no number after the first word.
fn indexed(name: &str) -> Option<String> {
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let digits = name[start..].chars().take_while(char::is_ascii_digit).count();
    if digits > 2 || name[start..].starts_with('0') {
        return None;
    }
    Some(format!("{}{{n}}{}", &name[..start], &name[start + digits..]))
}

/// Unit suffixes that a point's name may end in.
const UNIT_SUFFIXES: &[(&str, &str)] = &[
    ("_v", "V"),
    ("_a", "A"),
    ("_ma", "mA"),
    ("_w", "W"),
    ("_kw", "kW"),
    ("_var", "var"),
    ("_kvar", "kvar"),
    ("_va", "VA"),
    ("_kva", "kVA"),
    ("_hz", "Hz"),
    ("_kwh", "kWh"),
    ("_kvarh", "kvarh"),
    ("_kvah", "kVAh"),
    ("_mpa", "MPa"),
    ("_kpa", "kPa"),
    ("_bar", "bar"),
    ("_m", "m"),
    ("_mm", "mm"),
    ("_c", "°C"),
    ("_pct", "%"),
    ("_m3", "m³"),
    ("_m3h", "m³/h"),
    ("_mmh", "mm/h"),
    ("_h", "h"),
    ("_s", "s"),
    ("_min", "min"),
    ("_ms", "ms"),
    ("_rpm", "rpm"),
    ("_mps", "m/s"),
    ("_cm_min", "cm/min"),
    ("_per_h", "1/h"),
    ("_per_d", "1/d"),
    ("_per_s", "1/s"),
];

impl ClassFile {
    /// What is wrong with the file itself.
    pub fn findings(&self) -> Vec<FileFinding> {
        let mut out = Vec::new();
        if self.format != 1 {
            out.push(FileFinding::error(
                &["format"],
                format!("format {} is not known", self.format),
                "this version reads format 1",
            ));
        }
        for (name, entry) in &self.points {
            if !is_name(name) {
                let hint = "lower-case letters, digits and _, beginning with a letter; {n} for an index";
                out.push(FileFinding::error(&["points", name], format!("`{name}` is not a point name"), hint));
            }
            if (entry.kind == PointKind::Counter) != (entry.retention == Retention::Cumulative) {
                let message = format!("`{name}`: a counter is kept as `register`, and nothing else is");
                out.push(FileFinding::error(
                    &["points", name, "retention"],
                    message,
                    "set retention to match the kind",
                ));
            }
            let unit = UNIT_SUFFIXES.iter().filter(|(s, _)| name.ends_with(s)).max_by_key(|(s, _)| s.len());
            if let Some((suffix, unit)) = unit
                && entry.unit.is_none()
                && matches!(entry.kind, PointKind::Number | PointKind::Counter)
            {
                let message = format!("`{name}` ends in {suffix} and has no unit");
                out.push(FileFinding::error(&["points", name], message, format!("unit = \"{unit}\"")));
            }
        }
        out
    }
}

fn is_name(name: &str) -> bool {
    let plain = name.replacen("{n}", "1", 1);
    plain.starts_with(|c: char| c.is_ascii_lowercase())
        && plain.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indexed_name_finds_its_entry() {
        assert_eq!(indexed("pump12_running").as_deref(), Some("pump{n}_running"));
        assert_eq!(indexed("voltage_l1_v").as_deref(), Some("voltage_l{n}_v"));
        assert_eq!(indexed("pump0_running"), None);
        assert_eq!(indexed("pump123_running"), None);
        assert_eq!(indexed("level_m"), None);
    }
}
