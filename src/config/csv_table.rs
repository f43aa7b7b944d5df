//! Tables of the configuration as spreadsheets write them: `units.csv`, `devices.csv`, `meters.csv` beside the TOML files. A row is an entry of
//! the table, a column one of its keys (`groups.fast`, `numbers.rated_a`), an empty cell a key that is not written. Several values of a list
//! are separated by semicolons or blanks. Rows are checked like entries of TOML files, and problems stand at their cells.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::doc::{Located, Problems, TomlNode, TomlSource, file_location};
use crate::config::tables::{LISTS, Root};
use crate::model::problem::did_you_mean;

/// Entries of one file at most.
const ROWS_MAX: usize = 20_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnType {
    Text,
    Number,
    List,
}

/// A cell: where it stands in the text, and what is written in it.
struct Cell {
    span: Range<usize>,
    text: String,
}

/// The table of a file by its name: `units.csv` is the table `unit`.
fn table_of(name: &str) -> Option<&'static str> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.strip_suffix(".csv")?;
    LISTS.iter().copied().filter(|table| !table.is_empty()).find(|t| stem == *t || stem.strip_suffix('s') == Some(t))
}

/// Reads a file of comma-separated values (or semicolons, or tabs) as a document with one table; `None`: it cannot be read at all.
pub fn parse<'a>(source: TomlSource<'a>, problems: &mut Problems) -> Option<Located<'a>> {
    let Some(table) = table_of(source.name) else {
        let files = LISTS.iter().filter(|t| !t.is_empty()).map(|table| format!("{table}s.csv")).collect::<Vec<_>>();
        let hint = did_you_mean(source.name.rsplit('/').next().unwrap_or_default(), files.iter().map(String::as_str));
        problems.error(file_location(source.name), "no table of the configuration has this name", hint);
        return None;
    };
    let mut lines = records(source.text);
    if lines.is_empty() {
        problems.error(file_location(source.name), "the file is empty", "its first line names the columns: id, …");
        return None;
    }
    if lines.len() > ROWS_MAX {
        problems.error(
            file_location(source.name),
            format!("{} rows are too many", lines.len()),
            format!("at most {ROWS_MAX}"),
        );
        return None;
    }
    let types = column_types(table);
    let head = head(lines.remove(0), &types, source, problems);
    let mut rows: Vec<TomlNode<'a>> = Vec::new();
    for line in lines {
        let is_empty = line.iter().all(|cell| cell.text.trim().is_empty());
        let is_remark = line.first().is_some_and(|cell| cell.text.trim_start().starts_with('#'));
        if is_empty || is_remark {
            continue;
        }
        if let Some(more) =
            line.get(head.len()..).and_then(|rest| rest.iter().find(|cell| !cell.text.trim().is_empty()))
        {
            let what = format!("the row has {} cells, the head names {} columns", line.len(), head.len());
            problems.error(source.location_at(more.span.start), what, "put a text that has a comma in it in quotes");
            continue;
        }
        rows.push(row(&head, line, &types, source));
    }
    let span = 0..source.text.len();
    let mut document = DeTable::new();
    let list = DeValue::Array(rows.into_iter().collect());
    document.insert(Spanned::new(0..0, table.into()), Spanned::new(span.clone(), list));
    Some(Located { source, node: Spanned::new(span, DeValue::Table(document)) })
}

/// The names of the columns; what is unknown or stands there twice is reported once and left out.
fn head(
    cells: Vec<Cell>,
    types: &BTreeMap<String, ColumnType>,
    source: TomlSource<'_>,
    problems: &mut Problems,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for cell in cells {
        let name = cell.text.trim();
        let at = || source.location_at(cell.span.start);
        let is_known = types.contains_key(name) || types.contains_key(&of_names(name));
        if !is_known && !name.is_empty() {
            let known = types.keys().map(|key| key.trim_end_matches(".*"));
            problems.error(at(), format!("unknown column `{name}`"), did_you_mean(name, known));
        } else if !name.is_empty() && names.iter().any(|other| other == name) {
            problems.error(at(), format!("the column `{name}` is here a second time"), "give each key one column");
        }
        names.push(if is_known { name.to_string() } else { String::new() });
    }
    names
}

fn of_names(column: &str) -> String {
    column.split_once('.').map(|(first, _)| format!("{first}.*")).unwrap_or_default()
}

/// A row as a table; dots in the names of columns make tables in it.
fn row<'a>(
    head: &[String],
    cells: Vec<Cell>,
    types: &BTreeMap<String, ColumnType>,
    source: TomlSource<'a>,
) -> TomlNode<'a> {
    let begin = cells.first().map_or(0, |cell| cell.span.start);
    let end = cells.last().map_or(begin, |cell| cell.span.end);
    let mut table = DeTable::new();
    let is_written = |(column, cell): &(&String, Cell)| !column.is_empty() && !cell.text.trim().is_empty();
    for (name, cell) in head.iter().zip(cells).filter(is_written) {
        let path: Vec<&str> = name.splitn(2, '.').collect();
        let kind = types.get(name).or_else(|| types.get(&of_names(name))).copied().unwrap_or(ColumnType::Text);
        insert(&mut table, &path, &cell.span, value(kind, &cell, source));
    }
    Spanned::new(begin..end, DeValue::Table(table))
}

fn insert<'a>(table: &mut DeTable<'a>, path: &[&str], span: &Range<usize>, value: DeValue<'a>) {
    let Some((first, rest)) = path.split_first() else { return };
    let key = || Spanned::new(span.clone(), (*first).to_string().into());
    if rest.is_empty() {
        table.insert(key(), Spanned::new(span.clone(), value));
        return;
    }
    let is_there = table.iter().any(|(k, v)| k.get_ref() == first && matches!(v.get_ref(), DeValue::Table(_)));
    if !is_there {
        table.insert(key(), Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    }
    let inner = table.iter_mut().find(|(k, _)| k.get_ref() == first).map(|(_, inner)| inner.get_mut());
    if let Some(DeValue::Table(inner)) = inner {
        insert(inner, rest, span, value);
    }
}

fn value<'a>(kind: ColumnType, cell: &Cell, source: TomlSource<'a>) -> DeValue<'a> {
    let text = cell.text.trim();
    let string = |text: &str| DeValue::String(text.to_string().into());
    match kind {
        ColumnType::Text => string(text),
        // Spreadsheets write TRUE, and 5.0 for 5.
        ColumnType::Number if text.eq_ignore_ascii_case("true") => DeValue::Boolean(true),
        ColumnType::Number if text.eq_ignore_ascii_case("false") => DeValue::Boolean(false),
        ColumnType::Number => {
            let written = source.text.get(cell.span.clone()).unwrap_or_default().trim_matches(['"', ' ']);
            let number = DeValue::parse(written.strip_suffix(".0").unwrap_or(written)).ok().map(Spanned::into_inner);
            let is_number = |v: &DeValue<'_>| matches!(v, DeValue::Integer(_) | DeValue::Float(_));
            number.filter(is_number).unwrap_or_else(|| string(text))
        }
        ColumnType::List => {
            let words = text.split([';', ' ', '\n']).map(str::trim).filter(|word| !word.is_empty());
            DeValue::Array(words.map(|word| Spanned::new(cell.span.clone(), string(word))).collect())
        }
    }
}

/// The cells of each line. The separator is the one that the first line has most of.
fn records(text: &str) -> Vec<Vec<Cell>> {
    let begin = text.len() - text.trim_start_matches('\u{feff}').len();
    let first = text[begin..].lines().next().unwrap_or_default();
    let count = |separator: &u8| first.bytes().filter(|byte| byte == separator).count();
    let separator = [b',', b';', b'\t'].into_iter().rev().max_by_key(count).unwrap_or(b',');
    let mut reader = csv_core::ReaderBuilder::new().delimiter(separator).build();
    let (mut at, mut field_begin, mut used) = (begin, begin, 0);
    let mut buffer = vec![0; 256];
    let (mut out, mut line) = (Vec::new(), Vec::new());
    loop {
        let (result, read, written) = reader.read_field(&text.as_bytes()[at..], &mut buffer[used..]);
        at += read;
        used += written;
        match result {
            // The next call, with nothing more to read, ends the last field.
            csv_core::ReadFieldResult::InputEmpty => {}
            csv_core::ReadFieldResult::OutputFull => buffer.resize(buffer.len() * 2, 0),
            csv_core::ReadFieldResult::Field { record_end } => {
                let written = text.get(field_begin..at).unwrap_or_default();
                let blank = written.len() - written.trim_start_matches(['\r', '\n']).len();
                let begin = field_begin + blank;
                let end = begin + written.trim_matches(['\r', '\n', char::from(separator)]).len();
                let text = String::from_utf8_lossy(&buffer[..used]).into_owned();
                line.push(Cell { span: begin..end.min(at), text });
                (field_begin, used) = (at, 0);
                if record_end {
                    out.push(std::mem::take(&mut line));
                }
            }
            csv_core::ReadFieldResult::End => return out,
        }
    }
}

/// What the columns of a table hold, by the schema; `groups.*` stands for every key of a table of names.
fn column_types(table: &str) -> BTreeMap<String, ColumnType> {
    let schema = schemars::schema_for!(Root);
    let root = schema.as_value();
    let entry = &root["properties"][table]["items"];
    let mut out = BTreeMap::new();
    let properties = resolved(root, entry)["properties"].as_object();
    for (name, property) in properties.into_iter().flatten() {
        let property = resolved(root, property);
        out.insert(name.clone(), kind_of(property));
        if let Some(inner) = property.get("additionalProperties") {
            out.insert(format!("{name}.*"), kind_of(resolved(root, inner)));
        }
    }
    out
}

/// A schema, or the one that it refers to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/"));
    target.map_or(schema, |name| &root["$defs"][name])
}

fn kind_of(schema: &Value) -> ColumnType {
    let is = |name: &str| match &schema["type"] {
        Value::String(one) => one == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    };
    match () {
        () if is("array") => ColumnType::List,
        () if is("integer") || is("number") || is("boolean") => ColumnType::Number,
        () => ColumnType::Text,
    }
}
