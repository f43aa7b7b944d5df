//! A problem in a file: where, what, and the mend. Collected, never thrown one at a time.

use std::fmt;

use crate::model::point::LocalizedText;

/// A place in a file, counted from one.
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

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and probably does not do what was meant.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: SourceLocation,
    /// Whether it can be lived with.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub what: String,
    /// What to do about it; may be empty.
    pub mend: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {word}: {}", self.place, self.what)?;
        if !self.mend.is_empty() {
            write!(f, "\n  hint: {}", self.mend)?;
        }
        Ok(())
    }
}

/// A problem seen by a room that knows no files: the path of keys instead of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Keys from the top of the file or table; a list's entry by its number.
    pub path: Vec<String>,
    /// Whether it can be lived with.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub what: String,
    /// What to do about it; may be empty.
    pub mend: String,
}

impl Finding {
    /// An error at a path.
    pub fn error(path: &[&str], what: impl Into<String>, mend: impl Into<String>) -> Self {
        let path = path.iter().map(ToString::to_string).collect();
        Self { path, severity: Severity::Error, what: what.into(), mend: mend.into() }
    }

    /// A warning at a path.
    pub fn warning(path: &[&str], what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, what, mend) }
    }

    /// The same finding seen from further up.
    #[must_use]
    pub fn below(mut self, keys: &[&str]) -> Self {
        let mut path: Vec<String> = keys.iter().map(ToString::to_string).collect();
        path.append(&mut self.path);
        self.path = path;
        self
    }
}

/// "did you mean …?" for a name that is not known, or what is known where nothing is near.
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

/// There is nothing of that name; with the nearest names.
pub fn unknown<'a>(what: (&str, &str), given: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> LocalizedText {
    let near = nearest(given, known.clone()).join("、");
    let zh = if near.is_empty() { String::new() } else { format!("，是否指 {near}？") };
    LocalizedText::both(
        format!("没有{}“{given}”{zh}", what.0),
        format!("there is no {} `{given}`; {}", what.1, did_you_mean(given, known)),
    )
}

/// The names among `known` that are nearest to `given`: at most three, and only near ones.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (distance(given, name), name))
        .filter(|(d, name)| *d <= 1 + given.len().max(name.len()) / 3 || name.contains(given) || given.contains(name))
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Edit distance (Levenshtein) in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
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
