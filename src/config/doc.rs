//! TOML files with the location of each value, and typed reading that reports every problem, not only the first.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::config::serde_message;
use crate::model::problem::{FileFinding, Problem, Severity, SourceLocation};

/// A value with its span in the source.
pub type TomlNode<'a> = Spanned<DeValue<'a>>;

/// The span of a value from the environment, which stands in no file.
pub const FROM_ENVIRONMENT: Range<usize> = usize::MAX..usize::MAX;

/// The text of a file, to turn byte offsets into lines and columns.
#[derive(Clone, Copy, Debug)]
pub struct TomlSource<'a> {
    /// The file's name as shown to the user.
    pub name: &'a str,
    pub text: &'a str,
}

impl TomlSource<'_> {
    /// Location of a span, or the environment.
    pub fn location_of_span(&self, span: &Range<usize>) -> SourceLocation {
        if *span == FROM_ENVIRONMENT { file_location("environment") } else { self.location_at(span.start) }
    }

    /// Line and column of a byte offset, counted from one; columns in characters.
    pub fn location_at(&self, offset: usize) -> SourceLocation {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        SourceLocation { file: self.name.to_string(), line, column }
    }
}

/// A table or value with the source that contains it.
#[derive(Clone, Debug)]
pub struct Located<'a> {
    pub source: TomlSource<'a>,
    pub node: TomlNode<'a>,
}

/// A deserialized value with the table that it was read from.
#[derive(Clone, Debug)]
pub struct TomlEntry<'a, T> {
    pub value: T,
    pub table: Located<'a>,
}

/// Problems collected for the user.
#[derive(Debug, Default)]
pub struct Problems {
    /// In the order in which they were found.
    pub list: Vec<Problem>,
}

impl Problems {
    pub fn error(&mut self, location: SourceLocation, message: impl Into<String>, hint: impl Into<String>) {
        self.list.push(Problem { location, severity: Severity::Error, message: message.into(), hint: hint.into() });
    }

    pub fn warning(&mut self, location: SourceLocation, message: impl Into<String>, hint: impl Into<String>) {
        self.list.push(Problem { location, severity: Severity::Warning, message: message.into(), hint: hint.into() });
    }

    /// Adds findings of a room, whose paths are relative to `at`.
    pub fn findings(&mut self, at: &Located<'_>, findings: Vec<FileFinding>) {
        for f in findings {
            let path: Vec<&str> = f.path.iter().map(String::as_str).collect();
            self.list.push(Problem {
                location: at.location(&path),
                severity: f.severity,
                message: f.message,
                hint: f.hint,
            });
        }
    }

    /// Whether any of them is an error.
    pub fn any_error(&self) -> bool {
        self.list.iter().any(|p| p.severity == Severity::Error)
    }
}

impl<'a> Located<'a> {
    /// Location of the value at a path of keys. Where the path does not resolve, the location of the last key that does.
    pub fn location(&self, path: &[&str]) -> SourceLocation {
        let mut node = &self.node;
        let mut span = node.span();
        for key in path {
            let next = match node.get_ref() {
                DeValue::Table(table) => table.iter().find(|(k, _)| k.get_ref() == key).map(|(k, v)| (k.span(), v)),
                DeValue::Array(array) => key.parse::<usize>().ok().and_then(|i| array.get(i)).map(|v| (v.span(), v)),
                _ => None,
            };
            let Some((key_span, value)) = next else { break };
            let is_table = matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
            span = if is_table { key_span } else { value.span() };
            node = value;
        }
        self.source.location_of_span(&span)
    }

    /// The value of a key; `None` if this is not a table or lacks the key.
    pub fn get(&self, key: &str) -> Option<Located<'a>> {
        let DeValue::Table(table) = self.node.get_ref() else { return None };
        let node = table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v.clone())?;
        Some(Located { source: self.source, node })
    }

    /// Keys with their spans; empty if this is not a table.
    pub fn keys(&self) -> Vec<(String, Range<usize>)> {
        let DeValue::Table(table) = self.node.get_ref() else { return Vec::new() };
        table.iter().map(|(k, _)| (k.get_ref().to_string(), k.span())).collect()
    }

    /// Entries of an array; `None` if this is not an array.
    pub fn items(&self) -> Option<Vec<Located<'a>>> {
        let DeValue::Array(array) = self.node.get_ref() else { return None };
        let located = |node: &TomlNode<'a>| Located { source: self.source, node: node.clone() };
        Some(array.iter().map(located).collect())
    }

    /// Deserializes the value and reports every problem: the offending key is removed and reading repeated, at most 100 times.
    pub fn read<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<TomlEntry<'a, T>> {
        let mut node = self.node.clone();
        let mut removed: Vec<String> = Vec::new();
        let before = problems.list.len();
        for _ in 0..100 {
            let error = match T::deserialize(ValueDeserializer::from(node.clone())) {
                Ok(value) if removed.is_empty() => return Some(TomlEntry { value, table: self.clone() }),
                Ok(_) => return None,
                Err(error) => error,
            };
            let span = error.span().unwrap_or_else(|| node.span());
            let (message, hint) = serde_message::translate(error.message(), &key_at(&node, &span).unwrap_or_default());
            // A key that was reported as misspelt is not reported as missing too.
            let meant = |p: &Problem| {
                p.message.starts_with("unknown key") && p.hint.contains(&message.replace("missing key ", ""))
            };
            let misspelt = message.starts_with("missing key") && problems.list[before..].iter().any(meant);
            let missing_because_removed =
                removed.iter().any(|k| message.starts_with("missing") && message.contains(&format!("`{k}`")));
            let is_left_empty = !removed.is_empty() && message.starts_with(serde_message::EXACTLY_ONE_KEY);
            if !missing_because_removed && !misspelt && !is_left_empty {
                problems.error(self.source.location_of_span(&span), message, hint);
            }
            match remove_innermost_key(&mut node, &span) {
                Some(key) => removed.push(key),
                None => return None,
            }
        }
        None
    }
}

/// Removes the innermost key whose key or value contains the span, and returns it; `None` if there is none.
fn remove_innermost_key<'a>(node: &mut TomlNode<'a>, span: &Range<usize>) -> Option<String> {
    let covers = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    match node.get_mut() {
        DeValue::Table(table) => {
            let key = table.iter().find(|(k, v)| covers(k.span()) || covers(full_span(v)))?.0.clone();
            let name = key.get_ref().to_string();
            if !covers(key.span())
                && let Some((_, value)) = table.iter_mut().find(|(k, _)| k.get_ref() == key.get_ref())
                && let Some(inner) = remove_innermost_key(value, span)
            {
                return Some(inner);
            }
            table.remove(&key);
            Some(name)
        }
        DeValue::Array(array) => {
            let index = array.iter().position(|v| covers(full_span(v)))?;
            let mut items: Vec<TomlNode<'a>> = array.iter().cloned().collect();
            let inner = remove_innermost_key(&mut items[index], span);
            if inner.is_none() {
                items.remove(index);
            }
            *array = items.into_iter().collect();
            Some(inner.unwrap_or_else(|| index.to_string()))
        }
        _ => None,
    }
}

/// The innermost key whose value contains the span; in a list, the list's key.
fn key_at(node: &TomlNode<'_>, span: &Range<usize>) -> Option<String> {
    let covers = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    match node.get_ref() {
        DeValue::Table(table) => {
            let (key, value) = table.iter().find(|(_, v)| covers(full_span(v)))?;
            key_at(value, span).or_else(|| Some(key.get_ref().to_string()))
        }
        DeValue::Array(array) => array.iter().find(|v| covers(full_span(v))).and_then(|v| key_at(v, span)),
        _ => None,
    }
}

/// The span of a value with everything in it: a table's own span covers only its header.
fn full_span(node: &TomlNode<'_>) -> Range<usize> {
    let own = node.span();
    match node.get_ref() {
        DeValue::Table(table) => table.iter().fold(own, |s, (k, v)| join(&join(&s, &k.span()), &full_span(v))),
        DeValue::Array(array) => array.iter().fold(own, |s, v| join(&s, &full_span(v))),
        _ => own,
    }
}

fn join(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// Returns the only table of a kind; every further one is an error.
pub fn single<'a, T>(entries: &'a [TomlEntry<'_, T>], table: &str, problems: &mut Problems) -> Option<&'a T> {
    for more in entries.iter().skip(1) {
        let first = entries[0].table.location(&[]);
        problems.error(
            more.table.location(&[]),
            format!("[{table}] is here a second time"),
            format!("it is at {first} already"),
        );
    }
    entries.first().map(|e| &e.value)
}

/// The line that holds a byte offset.
fn line_at(text: &str, offset: usize) -> &str {
    let begin = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default()
}

/// How to write the line at an offset if only quotes are missing around its value; else empty.
fn quotes_missing(text: &str, offset: usize) -> String {
    let line = line_at(text, offset);
    let Some((key, value)) = line.split_once('=').filter(|_| DeTable::parse(line).is_err()) else {
        return String::new();
    };
    let value = value.split(" #").next().unwrap_or_default().trim();
    let in_quotes = format!("{} = \"{value}\"", key.trim());
    let is_plain = !value.is_empty() && !value.contains(['"', '\'', '[', '{', '\\']);
    let is_mended = is_plain && DeTable::parse(&in_quotes).is_ok();
    // Hints are logged at a start: what may be a secret, or hold one, is not repeated.
    let is_secret = ["password", "token", "secret", "pin", "url"].iter().any(|word| key.trim().ends_with(word));
    match (is_mended, is_secret) {
        (true, true) => format!("put it in quotes: {} = \"…\"", key.trim()),
        (true, false) => format!("put it in quotes: {in_quotes}"),
        (false, _) => String::new(),
    }
}

/// Parses a text and reports every syntax error; `None` if there is any.
pub fn parse<'a>(source: TomlSource<'a>, problems: &mut Problems) -> Option<Located<'a>> {
    let (table, errors) = DeTable::parse_recoverable(source.text);
    let mut lines = BTreeSet::new();
    for error in &errors {
        let offset = error.span().map_or(0, |s| s.start);
        let location = source.location_at(offset);
        // After something that is not closed, lines that are right by themselves are taken for part of it. One error a line is enough.
        let is_sound = DeTable::parse(line_at(source.text, offset)).is_ok() && !error.message().contains("duplicate");
        let is_consequence = !lines.is_empty() && is_sound;
        if is_consequence || !lines.insert(location.line) {
            continue;
        }
        let what = format!("not TOML: {}", error.message().replace('\n', " "));
        problems.error(location, what, quotes_missing(source.text, offset));
    }
    let span = table.span();
    errors.is_empty().then(|| Located { source, node: Spanned::new(span, DeValue::Table(table.into_inner())) })
}

/// The files of a directory, read before parsing, so that everything parsed can borrow from them.
#[derive(Debug, Default)]
pub struct Texts {
    /// Name as shown in messages, and text.
    pub files: Vec<(String, String)>,
}

impl Texts {
    /// Reads the `.toml` and `.csv` files of a directory without its subdirectories; empty if the directory does not exist.
    pub fn read(dir: &Path, problems: &mut Problems) -> Self {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
        let mut paths: Vec<_> = entries.filter(|p| is_configuration(p)).collect();
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            let name = path.display().to_string();
            let is_table = is_table(&name);
            match std::fs::read(&path).map(String::from_utf8) {
                Ok(Ok(text)) => files.push((name, text)),
                // Spreadsheets on Chinese systems write GBK.
                Ok(Err(e)) if is_table => {
                    let (text, _, is_lossy) = encoding_rs::GBK.decode(e.as_bytes());
                    if is_lossy {
                        problems.error(
                            file_location(&name),
                            "the text is neither UTF-8 nor GBK",
                            "save it as CSV UTF-8",
                        );
                    } else {
                        problems.warning(
                            file_location(&name),
                            "the text is not UTF-8 and was read as GBK",
                            "save it as CSV UTF-8",
                        );
                        files.push((name, text.into_owned()));
                    }
                }
                Ok(Err(e)) => problems.error(file_location(&name), format!("the text is not UTF-8: {e}"), ""),
                Err(e) => problems.error(file_location(&name), format!("cannot read the file: {e}"), ""),
            }
        }
        Self { files }
    }

    pub fn sources(&self) -> impl Iterator<Item = TomlSource<'_>> {
        self.files.iter().map(|(name, text)| TomlSource { name, text })
    }
}

/// Whether a file holds tables of the configuration.
pub fn is_configuration(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "toml" || e == "csv")
}

/// Whether a file is a table as spreadsheets write it.
pub fn is_table(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "csv")
}

/// Location of a file as a whole: line and column 0.
pub fn file_location(name: &str) -> SourceLocation {
    SourceLocation { file: name.to_string(), line: 0, column: 0 }
}
