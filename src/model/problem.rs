//! Problems in configuration files: location, message and hint. All are collected, so that one run shows every problem.

use std::fmt;

use crate::model::point::LocalizedText;

/// A location in a file; line and column count from one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLocation {
    /// The file as the user named it, or `environment`.
    pub file: String,
    /// Line, 0 if the whole file is meant.
    pub line: usize,
    /// Column in characters, 0 if the whole line is meant.
    pub column: usize,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// Severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration can be used, but probably does not do what was meant.
    Warning,
}

/// A problem with its location in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File, line and column.
    pub location: SourceLocation,
    /// Whether it prevents use of the configuration.
    pub severity: Severity,
    /// The problem in one sentence.
    pub message: String,
    /// How to fix it; may be empty.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {word}: {}", self.location, self.message)?;
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// A problem found by a room that knows no files: it has a path of keys instead of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFinding {
    /// Keys from the top of the file or table; a list's entry by its number.
    pub path: Vec<String>,
    /// Whether it prevents use of the configuration.
    pub severity: Severity,
    /// The problem in one sentence.
    pub message: String,
    /// How to fix it; may be empty.
    pub hint: String,
}

impl FileFinding {
    /// An error at a path.
    pub fn error(path: &[&str], message: impl Into<String>, hint: impl Into<String>) -> Self {
        let path = path.iter().map(ToString::to_string).collect();
        Self { path, severity: Severity::Error, message: message.into(), hint: hint.into() }
    }

    /// A warning at a path.
    pub fn warning(path: &[&str], message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message, hint) }
    }

    /// The same finding with `keys` put before its path.
    #[must_use]
    pub fn below(mut self, keys: &[&str]) -> Self {
        let mut path: Vec<String> = keys.iter().map(ToString::to_string).collect();
        path.append(&mut self.path);
        self.path = path;
        self
    }
}

/// "did you mean …?" for an unknown name, or a list of known names if none is similar.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let near = nearest(given, known.clone());
    if near.is_empty() {
        let mut all: Vec<&str> = known.into_iter().take(12).collect();
        all.sort_unstable();
        if all.is_empty() { String::new() } else { format!("known: {}", all.join(", ")) }
    } else {
        format!("did you mean {}?", near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or "))
    }
}

/// The message for an unknown name, with the most similar known names.
pub fn unknown<'a>(what: (&str, &str), given: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> LocalizedText {
    let near = nearest(given, known.clone()).join("、");
    let zh = if near.is_empty() { String::new() } else { format!("，是否指 {near}？") };
    LocalizedText::both(
        format!("没有{}“{given}”{zh}", what.0),
        format!("there is no {} `{given}`; {}", what.1, did_you_mean(given, known)),
    )
}

/// The names among `known` that are most similar to `given`: at most three.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (strsim::levenshtein(given, name), name))
        .filter(|(d, name)| *d <= 1 + given.len().max(name.len()) / 3 || name.contains(given) || given.contains(name))
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_are_near() {
        let known = ["eastron-sdm630", "schneider-iem3000", "abb-b23"];
        assert_eq!(nearest("eastron-sdm360", known), ["eastron-sdm630"]);
        assert_eq!(nearest("sdm630", known), ["eastron-sdm630"]);
        assert!(nearest("toaster", known).is_empty());
    }
}
