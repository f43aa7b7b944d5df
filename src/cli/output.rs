//! The only place where commands print.

use std::io::{IsTerminal as _, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cli::{Args, CommandFailure, LogForm};
use crate::model::time::UnixMillis;

/// How lists are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns of text, for people to read.
    #[default]
    Table,
    /// JSON, for programs to parse.
    Json,
    /// Comma-separated values, as spreadsheets read them.
    Csv,
}

/// Prints a line to standard output; a closed pipe is no error.
pub fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _closed_pipe = writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush());
}

/// Prints text to standard output as it is.
pub fn raw(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _closed_pipe = write!(out, "{}", text.as_ref()).and_then(|()| out.flush());
}

/// Prints a line to standard error.
pub fn note(text: impl AsRef<str>) {
    let _closed_pipe = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// Progress of long work, on standard error: shown after a second, to a terminal only.
pub struct Progress {
    what: &'static str,
    all: usize,
    done: usize,
    clock: crate::clock::Clock,
    began_us: u64,
    shown_us: u64,
}

impl Progress {
    /// Of so many steps.
    pub fn new(what: &'static str, all: usize) -> Self {
        let clock = crate::clock::Clock::new(&crate::clock::ClockSettings::default(), UnixMillis(0));
        let began_us = clock.mono_us();
        Self { what, all, done: 0, clock, began_us, shown_us: began_us }
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.done += 1;
        let now_us = self.clock.mono_us();
        let is_due = now_us > self.began_us + 1_000_000 && now_us > self.shown_us + 200_000;
        if is_due && std::io::stderr().is_terminal() {
            self.shown_us = now_us;
            let _closed_pipe = write!(std::io::stderr().lock(), "\r{} {}/{} ", self.what, self.done, self.all);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_us > self.began_us {
            let _closed_pipe = write!(std::io::stderr().lock(), "\r{:width$}\r", "", width = self.what.len() + 24);
        }
    }
}

/// Whether standard output is a terminal.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Columns and rows of the terminal; none: standard output is no terminal, or does not say.
pub fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// The beginning of a text that fits so many terminal columns; `…` ends what was cut.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_string();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push(c);
    }
    if columns > 0 { out + "…" } else { out }
}

/// Prints error, causes and hint.
pub fn failure(failure: &CommandFailure) {
    note(format!("error: {}", failure.error));
    for cause in &failure.causes {
        note(format!("  caused by: {cause}"));
    }
    if !failure.hint.is_empty() {
        note(format!("  hint: {}", failure.hint));
    }
}

/// Width of a text in terminal columns: Chinese characters take two.
pub fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// A table with aligned columns, two blanks apart, without rules.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(head);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_string() + "\n").collect()
}

/// A text with every date in it (RFC 3339) in this time zone, for people.
pub fn times_in(text: &str, zone: &TimeZone) -> String {
    let word = |word: &str| {
        let begin = word.len() - word.trim_start_matches('(').len();
        let end = word.trim_end_matches([',', ';', ':', ')']).len().max(begin);
        let at = word[begin..end].parse::<Timestamp>().ok();
        let there = at.map(|at| UnixMillis(at.as_millisecond()).local(zone));
        there.map_or_else(|| word.to_string(), |at| format!("{}{at}{}", &word[..begin], &word[end..]))
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The same for every text of an answer.
pub fn for_people(answer: Value, zone: &TimeZone) -> Value {
    match answer {
        Value::String(text) => Value::String(times_in(&text, zone)),
        Value::Array(all) => all.into_iter().map(|v| for_people(v, zone)).collect(),
        Value::Object(all) => all.into_iter().map(|(k, v)| (k, for_people(v, zone))).collect(),
        other => other,
    }
}

/// Prints a list in the given format; JSON objects have the words of the head as keys.
pub fn list(format: Format, head: &[&str], rows: &[Vec<String>]) {
    match format {
        Format::Table => raw(table(head, rows)),
        Format::Csv => {
            let head = head.iter().map(ToString::to_string).collect();
            raw(csv_lines(std::iter::once(head).chain(rows.iter().cloned())));
        }
        Format::Json => {
            let object = |row: &Vec<String>| {
                let pairs = head.iter().zip(row).map(|(k, v)| (k.to_string(), serde_json::Value::String(v.clone())));
                serde_json::Value::Object(pairs.collect())
            };
            let all: Vec<serde_json::Value> = rows.iter().map(object).collect();
            line(serde_json::to_string_pretty(&all).unwrap_or_default());
        }
    }
}

/// Start of a CSV file: without it spreadsheets misread `m³`. Readers of UTF-8 skip it.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Lines of a CSV file (RFC 4180). Text from a device that a spreadsheet would execute as a formula is marked as text.
pub fn csv_lines(rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::WriterBuilder::new().flexible(true).buffer_capacity(512).from_writer(Vec::new());
    for row in rows {
        let cell = |cell: String| {
            let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
            if is_formula { format!("'{cell}") } else { cell }
        };
        let _into_memory = writer.write_record(row.into_iter().map(cell));
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// Starts logging. Commands that print something else log warnings and errors only.
pub fn begin_log(args: &Args, warnings_only: bool) {
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::{EnvFilter, fmt};
    let default = if warnings_only { "warn" } else { "info" };
    // rumqttd logs every lost client as an error; only the demo uses it.
    let fallback = || EnvFilter::new(format!("{default},rumqttd=off,rumqttc=off,tokio_modbus=off"));
    let filter = EnvFilter::try_from_env("PLANTROOM_LOG").unwrap_or_else(|_| fallback());
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let journald = (args.log == LogForm::Auto && under_systemd).then(|| tracing_journald::layer().ok()).flatten();
    let json = (args.log == LogForm::Json).then(|| fmt::layer().json().with_writer(std::io::stderr));
    let wants_text = journald.is_none() && json.is_none();
    let text = wants_text.then(|| {
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(false)
    });
    let _already_begun = tracing_subscriber::registry().with(filter).with(journald).with(json).with(text).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_of_a_text_stands_in_one_zone() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let said = "timeout since 2026-11-27T13:00:00.250Z, asked again; (2026-11-27T13:00:00Z) (, holds 2026-11-27";
        let there = "timeout since 2026-11-27T21:00:00.250+08:00, asked again; (2026-11-27T21:00:00.000+08:00) (, holds 2026-11-27";
        assert_eq!(times_in(said, &zone), there);
        let answer =
            serde_json::json!({ "a": ["2026-11-27T13:00:00Z", 3], "topic": "{\"ts\":\"2026-11-27T13:00:00Z\"}" });
        let there = serde_json::json!({ "a": ["2026-11-27T21:00:00.000+08:00", 3], "topic": answer["topic"] });
        assert_eq!(for_people(answer, &zone), there);
    }
}
