//! Generates the reference from the doc comments: a JSON schema, and a page made from it.

use std::fmt::Write as _;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

use crate::alarm::settings::RulesFile;
use crate::config::builtin;
use crate::config::doc::Problems;
use crate::config::tables::Root;
use crate::flood::scheme_file::SchemeFile;
use crate::profile::settings::ProfileFile;
use crate::profile::vocabulary::ClassFile;

/// The JSON schema of everything that a configuration's files may hold.
pub fn schema() -> String {
    pretty(&schema_of::<Root>())
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    serde_json::to_value(schema).unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// The reference page, in Markdown.
pub fn page() -> String {
    let mut out = String::from(
        "# Reference\n\nPrinted from the doc comments by `plantroom reference`; a test keeps it fresh.\n\n\
         Any `.toml` file in the configuration's directory may hold any of these tables. The environment goes over the files:\n\
         `PLANTROOM__JOURNAL__MAX_GB=2`, `PLANTROOM__SINK__<name>__URL=mqtt://host:1883`.\n",
    );
    section::<Root>(&mut out, "Configuration", "");
    section::<ProfileFile>(&mut out, "Profile files", "`profiles/NAME.toml`; explained in [profiles.md](profiles.md).");
    section::<ClassFile>(
        &mut out,
        "Vocabulary files",
        "`vocabulary/CLASS.toml`; explained in [profiles.md](profiles.md).",
    );
    section::<RulesFile>(&mut out, "Alarm rule files", "`alarms/NAME.toml`; explained in [alarms.md](alarms.md).");
    section::<SchemeFile>(&mut out, "Flood schemes", "`flood/NAME.toml`; explained in [flood.md](flood.md).");
    causes(&mut out);
    out
}

/// The points and numbers of every built-in class, in Markdown.
pub fn points() -> String {
    let mut out = String::from(
        "# Points by class\n\nPrinted from `config/vocabulary` by `plantroom reference --points`; a test keeps it fresh. `{n}` stands for 1 to 99. \
         Telemetry is thinned and dropped\nfirst, registers last. Classes and points of a site's own: [profiles.md](profiles.md).\n",
    );
    let catalogue = builtin::read(None, &mut Problems::default());
    for (class, file) in &catalogue.vocabulary.classes {
        let _infallible = write!(
            out,
            "\n## `{class}`: {}, {}\n\n| point | unit | kind | kept as | | |\n|---|---|---|---|---|---|\n",
            file.en, file.zh
        );
        for (name, p) in &file.points {
            let (unit, kept) = (p.unit.as_deref().unwrap_or_default(), p.retention.word());
            let _infallible = writeln!(out, "| `{name}` | {unit} | {} | {kept} | {} | {} |", p.kind.word(), p.en, p.zh);
        }
        if file.numbers.is_empty() {
            continue;
        }
        out.push_str("\n| number that the site gives | unit | | |\n|---|---|---|---|\n");
        for (name, n) in &file.numbers {
            let unit = n.unit.as_deref().unwrap_or_default();
            let _infallible = writeln!(out, "| `{name}` | {unit} | {} | {} |", n.en, n.zh);
        }
    }
    out
}

fn section<T: JsonSchema>(out: &mut String, title: &str, intro: &str) {
    let schema = schema_of::<T>();
    let _infallible = write!(out, "\n## {title}\n\n{intro}\n");
    table(out, "(top level)", &schema);
    if let Some(defs) = schema.get("$defs").and_then(Value::as_object) {
        for (name, def) in defs {
            if def.get("properties").is_some() {
                table(out, name, def);
            } else {
                words(out, name, def);
            }
        }
    }
}

fn table(out: &mut String, name: &str, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let _infallible =
        write!(out, "\n### {name}\n\n{}\n\n| key | type | default | meaning |\n|---|---|---|---|\n", line(about));
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, property) in properties {
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "*required*".to_string(),
            Some(Value::Object(_) | Value::Array(_) | Value::Null) | None => String::new(),
            Some(value) => format!("`{value}`"),
        };
        let about = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let _infallible = writeln!(out, "| `{key}` | {} | {default} | {} |", kind(property), line(about));
    }
}

fn words(out: &mut String, name: &str, schema: &Value) {
    let variants: Vec<&Value> = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten().collect();
    if variants.is_empty() {
        return;
    }
    let _infallible = write!(out, "\n### {name}\n\n");
    for variant in variants {
        let about = variant.get("description").and_then(Value::as_str).unwrap_or_default();
        if let Some(word) = variant.get("const").and_then(Value::as_str) {
            let _infallible = writeln!(out, "* `{word}`: {}", line(about));
        } else if let Some((key, of)) =
            variant.get("properties").and_then(Value::as_object).and_then(|p| p.iter().next())
        {
            let _infallible = writeln!(out, "* `{key}` = {}: {}", kind(of), line(about));
        }
    }
}

fn line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn kind(property: &Value) -> String {
    if let Some(name) = property.get("$ref").and_then(Value::as_str) {
        return name.rsplit('/').next().unwrap_or(name).to_string();
    }
    for combined in ["anyOf", "oneOf", "allOf"] {
        if let Some(options) = property.get(combined).and_then(Value::as_array) {
            let kinds: Vec<String> = options.iter().map(kind).filter(|k| k != "null").collect();
            return kinds.join(" or ");
        }
    }
    match property.get("type") {
        Some(Value::String(t)) if t == "array" => {
            format!("list of {}", property.get("items").map(kind).unwrap_or_default())
        }
        Some(Value::String(t)) if t == "object" => match property.get("additionalProperties") {
            Some(of @ Value::Object(_)) => format!("table of {}", kind(of)),
            _ => "table".to_string(),
        },
        Some(Value::String(t)) => t.clone(),
        Some(Value::Array(types)) => {
            let kinds: Vec<&str> = types.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect();
            kinds.join(" or ")
        }
        _ => String::new(),
    }
}

fn causes(out: &mut String) {
    out.push_str("\n## Why a sample is bad\n\n| code | word | meaning |\n|---|---|---|\n");
    for cause in crate::model::quality::Cause::ALL {
        let _infallible = writeln!(out, "| {} | `{}` | {} |", cause.code(), cause.word(), cause.says());
    }
}
