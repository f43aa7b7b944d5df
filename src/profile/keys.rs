//! Which keys of a point have an effect for which type; a key without effect is refused, so that nobody relies on it.

use crate::model::point::PointKind;
use crate::model::problem::FileFinding;
use crate::profile::RegisterEncoding;
use crate::profile::settings::PointSettings;

/// Types that accept the same keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Coil,
    Bit,
    Integer,
    Float,
    NumberText,
    Text,
    Date,
}

impl Family {
    fn of(wire: RegisterEncoding) -> Self {
        match wire {
            RegisterEncoding::Coil => Family::Coil,
            RegisterEncoding::Bit(_) => Family::Bit,
            RegisterEncoding::Float { .. } => Family::Float,
            RegisterEncoding::Text { is_number: true, .. } => Family::NumberText,
            RegisterEncoding::Text { .. } => Family::Text,
            RegisterEncoding::Date(_) => Family::Date,
            _ => Family::Integer,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Family::Coil => "a coil or input",
            Family::Bit => "a bit",
            Family::Integer => "an integer",
            Family::Float => "a float",
            Family::NumberText => "a number in text",
            Family::Text => "a string",
            Family::Date => "a datetime",
        }
    }
}

/// Refuses the keys that the type cannot have.
pub(super) fn check_type(findings: &mut Vec<FileFinding>, path: &[&str], s: &PointSettings, wire: RegisterEncoding) {
    use Family::{Bit, Coil, Date, Float, Integer, NumberText, Text};
    let family = Family::of(wire);
    let has_true_when = s.true_when.as_ref().is_some_and(|values| !values.is_empty());
    let numbers: &[Family] = &[Integer, Float, NumberText];
    let table: [(&str, bool, &[Family], &str); 15] = [
        (
            "invert",
            s.invert.is_some(),
            if has_true_when { &[Integer] } else { &[Coil, Bit] },
            "only a bool is inverted",
        ),
        ("true_when", s.true_when.is_some(), &[Integer], "`true_when` needs an integer type"),
        ("length", s.length.is_some(), &[Text, NumberText], "only a string has a length"),
        ("chars", s.chars.is_some(), &[Text, NumberText], "only a string has characters"),
        ("charset", s.charset.is_some(), &[Text, NumberText], "only a string has characters"),
        ("number", s.number.is_some(), &[Text, NumberText], "only a string can hold a number in text"),
        ("layout", s.layout.is_some(), &[Date], "only a datetime has a layout"),
        (
            "order",
            s.order.is_some(),
            &[Bit, Integer, Float],
            "a string has `chars`, a datetime its layout, a coil no order",
        ),
        ("scale", s.scale.is_some(), numbers, "only numbers are scaled"),
        ("offset", s.offset.is_some(), numbers, "only numbers are scaled"),
        ("scale_from", s.scale_from.is_some(), numbers, "only numbers are scaled"),
        ("range", s.range.is_some(), numbers, "only numbers have a range"),
        ("modulus", s.modulus.is_some(), &[Integer, Float, NumberText], "only counters roll over"),
        ("texts", s.texts.is_some(), &[Integer], "only codes have texts"),
        (
            "sentinels",
            s.sentinels.is_some(),
            &[Bit, Integer, Float, Text, NumberText],
            "every raw value of it is a value",
        ),
    ];
    for (key, is_there, families, why) in table {
        if is_there && !families.contains(&family) {
            refuse(findings, path, key, &format!("`{key}` has no effect on {}: {why}", family.describe()));
        }
    }
    if s.true_when.as_ref().is_some_and(Vec::is_empty) {
        refuse(findings, path, "true_when", "`true_when` is empty: the point would never be true");
    }
    let numeric_keys = [
        ("scale", s.scale.is_some()),
        ("offset", s.offset.is_some()),
        ("scale_from", s.scale_from.is_some()),
        ("range", s.range.is_some()),
        ("modulus", s.modulus.is_some()),
        ("texts", s.texts.is_some()),
    ];
    if has_true_when && family == Integer {
        for (key, _) in numeric_keys.iter().filter(|(_, is_there)| *is_there) {
            refuse(
                findings,
                path,
                key,
                &format!("`{key}` has no effect beside `true_when`, which compares raw values"),
            );
        }
    }
}

/// Refuses the keys that the kind of the point in the vocabulary cannot have.
pub(super) fn check_kind(findings: &mut Vec<FileFinding>, path: &[&str], s: &PointSettings, kind: PointKind) {
    if s.modulus.is_some() && kind != PointKind::Counter {
        let message = format!("`modulus` has no effect on a {}: only counters roll over", kind.word());
        refuse(findings, path, "modulus", &message);
    }
    if s.texts.is_some() && kind != PointKind::Code {
        let message = format!("`texts` has no effect on a {}: only codes have texts", kind.word());
        refuse(findings, path, "texts", &message);
    }
}

fn refuse(findings: &mut Vec<FileFinding>, path: &[&str], key: &str, message: &str) {
    findings.push(FileFinding::error(&[path, &[key]].concat(), message, "take it out, or change the type"));
}
