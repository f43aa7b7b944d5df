//! Serde's messages in a person's words: what stands there, what belongs there, how to write it.

use crate::model::problem::nearest;
use crate::model::time::LENGTH_OF_TIME;

/// Words of manuals and other programs for what a configuration calls otherwise.
const SYNONYMS: [(&str, &str); 24] = [
    ("float32", "f32"),
    ("float", "f32"),
    ("real", "f32"),
    ("single", "f32"),
    ("float64", "f64"),
    ("double", "f64"),
    ("uint16", "u16"),
    ("ushort", "u16"),
    ("word", "u16"),
    ("int16", "i16"),
    ("short", "i16"),
    ("uint32", "u32"),
    ("dword", "u32"),
    ("ulong", "u32"),
    ("int32", "i32"),
    ("long", "i32"),
    ("uint64", "u64"),
    ("qword", "u64"),
    ("int64", "i64"),
    ("boolean", "bool"),
    ("bit", "bool"),
    ("text", "string"),
    ("n", "none"),
    ("critical", "P1"),
];

/// Our wording of serde's error for a table that must hold exactly one key, the name of an enum variant.
pub const EXACTLY_ONE_KEY: &str = "exactly one word is meant here";

/// Translates serde's message about the value of a key into ours: (message, hint).
pub fn translate(message: &str, key: &str) -> (String, String) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (Some(rest), Some(name)) = (message.strip_prefix("unknown field "), quoted.first()) {
        let known = || quoted.iter().skip(1).copied();
        let near = nearest(name, known());
        let hint = if rest.contains("there are no fields") {
            "remove it".to_string()
        } else if near.is_empty() {
            format!("known keys: {}", known().collect::<Vec<_>>().join(", "))
        } else {
            format!("did you mean `{}`?", near.join("` or `"))
        };
        return (format!("unknown key `{name}`"), hint);
    }
    if let (true, Some(name)) = (message.starts_with("missing field "), quoted.first()) {
        return (format!("missing key `{name}`"), format!("add `{name} = …`"));
    }
    if let (true, Some(name)) = (message.starts_with("unknown variant "), quoted.first()) {
        let known: Vec<&str> = quoted.iter().skip(1).copied().collect();
        let meant = SYNONYMS.iter().find(|(word, ours)| name.eq_ignore_ascii_case(word) && known.contains(ours));
        let hint = meant.map_or_else(|| format!("one of: {}", known.join(", ")), |(_, ours)| format!("write `{ours}`"));
        return (format!("`{name}` is not one of the words that are known here"), hint);
    }
    if let Some(found) = message.strip_prefix("wanted exactly 1 element, found ") {
        return (format!("{EXACTLY_ONE_KEY}, there are {}", found.trim_end_matches(" elements")), String::new());
    }
    if let Some(translated) = wrong_value(message, key) {
        return translated;
    }
    (message.replace('\n', " "), String::new())
}

/// A value of the wrong type, or beyond what its type holds; none: the message is about something else.
fn wrong_value(message: &str, key: &str) -> Option<(String, String)> {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let belongs = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" | "nonzero unsigned integer" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "a text in quotes",
        "a boolean" => "true or false, without quotes",
        "a sequence" => "a list: [ … ]",
        "a map" => "a table",
        other if other.starts_with("struct ") || other.contains("enum ") => "a table",
        other => other,
    };
    let is_number = belongs.contains("number");
    let assigned = |value: &str| if key.is_empty() { value.to_string() } else { format!("{key} = {value}") };
    let (shown, hint) = if let Some(text) = found.strip_prefix("string ") {
        let bare = text.trim_matches('"');
        let is_one =
            bare.parse::<f64>().is_ok() && is_number || matches!(bare, "true" | "false") && expected == "a boolean";
        (format!("the text {text}"), if is_one { format!("without quotes: {}", assigned(bare)) } else { String::new() })
    } else {
        let bare = found.split('`').nth(1).unwrap_or_default();
        let hint = match (expected, bare.is_empty()) {
            (_, true) => String::new(),
            ("a string", _) => format!("in quotes: {}", assigned(&format!("\"{bare}\""))),
            (LENGTH_OF_TIME, _) => {
                format!("with its unit, in quotes: {} for seconds", assigned(&format!("\"{bare}s\"")))
            }
            _ => String::new(),
        };
        let shown = match found {
            "map" => "a table".to_string(),
            "sequence" => "a list".to_string(),
            _ => bare.to_string(),
        };
        (shown, hint)
    };
    let subject = if key.is_empty() { "the value".to_string() } else { format!("`{key}`") };
    Some((format!("{subject} is {shown}; {belongs} belongs here"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_there_and_how_to_write_it_is_said() {
        let said = |message: &str, key: &str| {
            let (what, hint) = translate(message, key);
            format!("{what} / {hint}")
        };
        for (message, key, expected) in [
            (
                "invalid type: integer `5`, expected a length of time",
                "wait",
                "`wait` is 5; a length of time belongs here / with its unit, in quotes: wait = \"5s\" for seconds",
            ),
            (
                "invalid type: floating point `0.001`, expected a string",
                "scale",
                "`scale` is 0.001; a text in quotes belongs here / in quotes: scale = \"0.001\"",
            ),
            (
                "invalid type: string \"9600\", expected u32",
                "baud",
                "`baud` is the text \"9600\"; a whole number of 0 or more belongs here / without quotes: baud = 9600",
            ),
            (
                "invalid type: string \"fast\", expected u64",
                "timeout_ms",
                "`timeout_ms` is the text \"fast\"; a whole number of 0 or more belongs here / ",
            ),
            (
                "invalid value: integer `300`, expected u8",
                "a",
                "`a` is 300; a whole number from 0 to 255 belongs here / ",
            ),
            ("invalid type: map, expected a sequence", "tell", "`tell` is a table; a list: [ … ] belongs here / "),
            (
                "invalid type: string \"true\", expected a boolean",
                "off",
                "`off` is the text \"true\"; true or false, without quotes belongs here / without quotes: off = true",
            ),
            (
                "unknown variant `float32`, expected one of `u16`, `f32`",
                "type",
                "`float32` is not one of the words that are known here / write `f32`",
            ),
            (
                "invalid type: string \"3, expected 4\", expected u64",
                "n",
                "`n` is the text \"3, expected 4\"; a whole number of 0 or more belongs here / ",
            ),
            (
                "invalid type: integer `5`, expected a length of time",
                "",
                "the value is 5; a length of time belongs here / with its unit, in quotes: \"5s\" for seconds",
            ),
            ("the moon is full", "x", "the moon is full / "),
        ] {
            assert_eq!(said(message, key), expected);
        }
    }
}
