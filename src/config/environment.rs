//! Environment variables override the files: `PLANTROOM__JOURNAL__MAX_GB=2`, `PLANTROOM__SINK__<name>__URL="mqtt://…"`.
//!
//! The `config` crate only reads the environment. Each value is a TOML literal, read by the same typed reader as the files; a
//! value that is not a literal (`mqtt://host`) is taken as text.

use ::config::{Config, Environment};

use crate::config::doc::{Problems, TomlNode, TomlSource, file_location};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its full name, for messages.
    pub name: String,
    /// The keys that it addresses, in lower case.
    pub path: Vec<String>,
    /// Its value as a TOML literal.
    pub literal: String,
}

/// Variables of the process whose names begin with `PLANTROOM__`.
pub fn variables(problems: &mut Problems) -> Vec<Variable> {
    read_variables(Environment::with_prefix("PLANTROOM").prefix_separator("__"), problems)
}

/// As [`variables`], from a map; for tests.
#[expect(clippy::implicit_hasher, reason = "the `config` crate wants this one")]
pub fn variables_from_map(map: std::collections::HashMap<String, String>, problems: &mut Problems) -> Vec<Variable> {
    read_variables(Environment::with_prefix("PLANTROOM").prefix_separator("__").source(Some(map)), problems)
}

fn read_variables(environment: Environment, problems: &mut Problems) -> Vec<Variable> {
    let collected = Config::builder().add_source(environment).build();
    let map = match collected.and_then(Config::try_deserialize::<std::collections::BTreeMap<String, String>>) {
        Ok(map) => map,
        Err(e) => {
            problems.error(file_location("environment"), format!("cannot read the environment: {e}"), "");
            return Vec::new();
        }
    };
    let variable = |(key, value): (String, String)| {
        let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
        let literal = if DeValue::parse(&value).is_ok() { value } else { toml::Value::String(value).to_string() };
        Variable { name: format!("PLANTROOM__{}", key.to_uppercase()), path, literal }
    };
    map.into_iter().map(variable).collect()
}

/// Stores a value at a path in a document and creates missing tables. `false` if the path leads through a plain value or names
/// no entry of a list.
pub fn set_at_path<'a>(node: &mut TomlNode<'a>, path: &[String], value: TomlNode<'a>) -> bool {
    let Some((key, remaining)) = path.split_first() else {
        *node = value;
        return true;
    };
    match node.get_mut() {
        DeValue::Table(table) => {
            let known = table.keys().find(|k| same(k.get_ref(), key)).cloned();
            let at = known.unwrap_or_else(|| Spanned::new(value.span(), key.clone().into()));
            let fresh = || Spanned::new(value.span(), DeValue::Table(DeTable::new()));
            let inner = table.entry(at).or_insert_with(fresh);
            set_at_path(inner, remaining, value)
        }
        // An entry of a list is addressed by its `name` or `id`.
        DeValue::Array(array) => {
            let named = |n: &&mut TomlNode<'a>| match n.get_ref() {
                DeValue::Table(t) => t.iter().any(|(k, v)| {
                    matches!(k.get_ref().as_ref(), "name" | "id") && v.get_ref().as_str().is_some_and(|s| same(s, key))
                }),
                _ => false,
            };
            array.iter_mut().find(named).is_some_and(|entry| set_at_path(entry, remaining, value))
        }
        _ => false,
    }
}

/// Variables are upper case and cannot contain a dash.
fn same(name: &str, key: &str) -> bool {
    name.to_lowercase().replace('-', "_") == key.replace('-', "_")
}

/// The literal as a source, for messages.
pub fn source(variable: &Variable) -> TomlSource<'_> {
    TomlSource { name: &variable.name, text: &variable.literal }
}
