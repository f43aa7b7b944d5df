//! `plantroom history`: reads one point back, as samples or in slots, with quality and completeness. Reads the files
//! themselves, with or without a running gateway, one sample at a time.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::cli::output::{BYTE_ORDER_MARK, Format};
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::clock::Clock;
use crate::config;
use crate::journal::Journal;
use crate::journal::damage::Damage;
use crate::journal::history::SLOTS_MAX;
use crate::journal::query::HistoryQuery;
use crate::model::problem::did_you_mean;
use crate::model::time::{UnixMillis, duration_ms};
use crate::model::value::{Numeric, Value};

/// Options of `history`: which point, which period, and the form of the output.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The point that is read, as `device.point`.
    point: String,
    /// From: a date (2026-11-21, 2026-11-21T08:00, with or without zone; 2026-11, today, yesterday), or so long ago (24h, 30m). Default: 24h.
    #[arg(long, default_value = "24h")]
    from: String,
    /// To: the same. Default: now.
    #[arg(long)]
    to: Option<String>,
    /// In slots of this length instead of every sample: 15m, 1h on the clock's own grid; days, weeks, months and years (1d, 1w, 1mo,
    /// 1y) of the calendar, the first from `--from` on.
    #[arg(long)]
    every: Option<String>,
    /// Time zone of dates and of the calendar. Default: the site's.
    #[arg(long)]
    zone: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How the result is printed.
struct OutputForm {
    format: Format,
    zone: TimeZone,
    /// The point's unit; empty if it has none or the configuration lacks it.
    unit: String,
}

impl OutputForm {
    /// Cells that every line of a CSV file repeats.
    fn repeated_cells(&self, query: &HistoryQuery) -> [String; 3] {
        [query.device.clone(), query.point.clone(), self.unit.clone()]
    }
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    output::begin_log(global, true);
    let loaded = config::load(&global.config_in_force());
    let settings = loaded.configuration.as_ref().map(|c| c.journal.clone()).unwrap_or_default();
    let dir = global.journal_dir(&settings)?;
    let Some((device, point)) = args.point.split_once('.') else {
        return Err(CommandFailure::usage(format!("`{}` is not device.point", args.point)));
    };
    let zone = match &args.zone {
        None => global.zone(),
        Some(name) => TimeZone::get(name).map_err(|_| {
            CommandFailure::usage(format!("there is no time zone `{name}`"))
                .hint("as in Asia/Shanghai, Europe/London, UTC")
        })?,
    };
    let clock = Clock::new(&crate::clock::ClockSettings::default(), UnixMillis(0));
    let opened = Journal::open_read_only(&dir, &settings, &clock);
    let journal = opened.map_err(|e| CommandFailure::later("cannot open the journal").because(e.to_string()))?;
    let now = journal_now(&journal, &clock);
    let to_ms = args.to.as_deref().map_or(Ok(now), |to| parse_time(to, now, &zone))?;
    let query = HistoryQuery {
        device: device.into(),
        point: point.into(),
        from_ms: parse_time(&args.from, now, &zone)?,
        to_ms,
    };
    let configuration = loaded.configuration.as_ref();
    let unit =
        configuration.and_then(|c| c.catalogue.vocabulary.point(&c.devices.get(device)?.class, point)?.unit.clone());
    let undated = journal.undated(&query);
    if undated > 0 {
        output::note(format!(
            "UNDATED: {undated} readings of {device}.{point} have no date (the gateway never knew it while they were made): they stand neither here nor in a store"
        ));
    }
    let form = OutputForm { format: args.format, zone, unit: unit.unwrap_or_default() };
    match &args.every {
        Some(every) => slots(&journal, &query, every, &form),
        None => samples(&journal, &query, &form),
    }
}

/// This machine's date, Unix milliseconds; the journal's last one where that is later: a demo may run faster than its machine, and a
/// clock may have been set back.
pub fn journal_now(journal: &Journal, clock: &Clock) -> i64 {
    clock.wall().0.max(journal.health().last_wall.load(std::sync::atomic::Ordering::Relaxed))
}

/// A date, a month, a year, `today`, `yesterday` or a duration before `now`, in Unix milliseconds: its beginning in the zone.
///
/// # Errors
/// The text is neither.
pub fn parse_time(text: &str, now: i64, zone: &TimeZone) -> Result<i64, CommandFailure> {
    if let Some(ago) = duration_ms(text) {
        return Ok(now - i64::try_from(ago).unwrap_or(now));
    }
    let today = || Timestamp::from_millisecond(now).map(|t| t.to_zoned(zone.clone()).date()).ok();
    let day = match text {
        "today" => today(),
        "yesterday" => today().and_then(|day| day.yesterday().ok()),
        // A month or a year begins on its first day.
        _ if text.len() == 7 => format!("{text}-01").parse().ok(),
        _ if text.len() == 4 => format!("{text}-01-01").parse().ok(),
        _ => None,
    };
    if let Some(begins) = day.and_then(|day| day.to_zoned(zone.clone()).ok()) {
        return Ok(begins.timestamp().as_millisecond());
    }
    let zoned = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok();
        let civil = civil
            .or_else(|| text.parse::<jiff::civil::Date>().ok().map(|d| d.to_datetime(jiff::civil::Time::midnight())));
        civil?.to_zoned(zone.clone()).ok().map(|z: Zoned| z.timestamp())
    });
    zoned.map(jiff::Timestamp::as_millisecond).ok_or_else(|| {
        CommandFailure::usage(format!("`{text}` is not a date")).hint(
            "2026-11-21, 2026-11-21T08:00, 2026-11-21T08:00+08:00, 2026-11, today, yesterday, or 24h for so long ago",
        )
    })
}

/// A time in the site's time zone.
pub fn format_local(ms: i64, zone: &TimeZone) -> String {
    UnixMillis(ms).local(zone)
}

/// The local time without zone, as spreadsheets recognise dates.
fn plain(ms: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(ms).map(|t| t.to_zoned(zone.clone()));
    at.map_or_else(|_| ms.to_string(), |z| z.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
}

fn failed(e: crate::journal::segment::JournalError) -> CommandFailure {
    CommandFailure::later("history cannot be read").because(e.to_string())
}

fn samples(journal: &Journal, query: &HistoryQuery, form: &OutputForm) -> CommandOutcome {
    let (format, zone) = (form.format, &form.zone);
    let of = form.repeated_cells(query);
    let head = ["time", "value", "quality", "thinned", "clock"];
    let (mut n, mut last_ms) = (0u64, i64::MIN);
    match format {
        Format::Csv => output::line(format!("{BYTE_ORDER_MARK}{},device,point,unit,local", head.join(","))),
        Format::Json => output::line("["),
        Format::Table => output::line(format!("{:31}{:20}{:20}{:9}{}", head[0], head[1], head[2], head[3], head[4])),
    }
    let each = |row: crate::journal::history::HistoryRow| {
        let (value, quality) = match &row.sample {
            Ok(value) => (value.to_string(), "good"),
            Err(cause) => (String::new(), cause.word()),
        };
        let at = format_local(row.at_ms, zone);
        let thinned = thinned_label(row.downsampled);
        // Rows are in the order of recording: a time before the previous one means that the clock was set back.
        let is_back = row.at_ms < last_ms;
        last_ms = row.at_ms;
        let back = if is_back { "set back" } else { "" };
        match format {
            Format::Csv => {
                let own = [at, value, quality.to_string(), thinned.to_string(), back.to_string()];
                let cells = own.into_iter().chain(of.clone()).chain([plain(row.at_ms, zone)]);
                output::raw(output::csv_lines(std::iter::once(cells.collect())));
            }
            Format::Table => output::line(format!("{at:31}{value:20}{quality:20}{thinned:9}{back}").trim_end()),
            Format::Json => {
                let mut json = String::new();
                match &row.sample {
                    Ok(value) => value.write_json(&mut json),
                    Err(_) => json.push_str("null"),
                }
                let comma = if n == 0 { " " } else { "," };
                output::line(format!(
                    "{comma}{{\"time\":\"{at}\",\"value\":{json},\"quality\":\"{quality}\",\"thinned\":{},\"clock_set_back\":{is_back}}}",
                    row.downsampled
                ));
            }
        }
        n += 1;
        true
    };
    let damage = journal.samples(query, each).map_err(failed)?;
    if format == Format::Json {
        output::line("]");
    }
    explain_empty(n == 0, journal, query)?;
    report_damage(&damage, zone)
}

/// Reports what is recorded and cannot be read, so that the output is not taken for complete.
fn report_damage(damage: &[Damage], zone: &TimeZone) -> CommandOutcome {
    if damage.is_empty() {
        return Ok(());
    }
    for d in damage {
        let device = if d.device.is_empty() { "all devices" } else { &d.device };
        let hours = d.period.map_or("some hour".to_string(), |(a, b)| {
            format!("{} to {}", format_local(a, zone), format_local(b, zone))
        });
        output::note(format!("MISSING: {device}, {hours}: {}: {}", d.file, d.reason));
    }
    Err(CommandFailure::damaged("a part of this time is recorded and cannot be read: what is printed is not all")
        .hint("`plantroom verify` names all of it; what was set aside is said until the `.damaged` file is moved away"))
}

/// Marks samples that survived downsampling.
fn thinned_label(thinned: bool) -> &'static str {
    if thinned { "thinned" } else { "" }
}

/// Explains an empty result; an unknown device or point is an error.
fn explain_empty(is_empty: bool, journal: &Journal, query: &HistoryQuery) -> CommandOutcome {
    if !is_empty {
        return Ok(());
    }
    let known = journal.names();
    let Some(points) = known.get(&query.device) else {
        let near = did_you_mean(&query.device, known.keys().map(String::as_str));
        return Err(CommandFailure::usage(format!("the journal has no device `{}`", query.device)).hint(near));
    };
    if !points.contains(&query.point) {
        let near = did_you_mean(&query.point, points.iter().map(String::as_str));
        let what = format!("`{}` has no point `{}` in the journal", query.device, query.point);
        return Err(CommandFailure::usage(what).hint(near));
    }
    output::note(format!("no samples of {}.{} in this time", query.device, query.point));
    Ok(())
}

/// Rounds to twelve digits: further ones are artefacts of floating-point arithmetic.
fn rounded(x: f64) -> f64 {
    format!("{x:.11e}").parse().unwrap_or(x)
}

/// A number as JSON; `serde_json` keeps the 17 digits that readers of JSON take.
fn json_number(x: Numeric) -> serde_json::Value {
    serde_json::from_str(&x.value().to_string()).unwrap_or(serde_json::Value::Null)
}

/// A slot as an object: numbers are numbers, missing values are null.
fn slot_json(s: &crate::journal::history::Slot, query: &HistoryQuery, form: &OutputForm) -> serde_json::Value {
    let has = |x: Numeric| (s.aggregate.good > 0).then(|| json_number(x));
    serde_json::json!({
        "device": query.device, "point": query.point, "unit": form.unit, "start": format_local(s.start_ms, &form.zone), "start_ms": s.start_ms,
        "mean": s.mean().map(|x| rounded(x) + 0.0), "min": has(s.aggregate.min), "max": has(s.aggregate.max), "first": has(s.aggregate.first.0),
        "last": has(s.aggregate.last.0), "good": s.aggregate.good, "due": if s.expected > 0 { s.expected } else { s.aggregate.all },
        "complete_pct": (s.completeness() * 1_000.0).round() / 10.0, "thinned": s.downsampled, "damaged": s.damaged,
    })
}

/// Days, weeks, months and years as calendar steps; `None` for other durations.
fn calendar_step(text: &str) -> Option<jiff::Span> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let n: i32 = digits.parse().ok().filter(|n| (1..=1_000).contains(n))?;
    let span = jiff::Span::new();
    match &text[digits.len()..] {
        "d" => Some(span.days(n)),
        "w" => Some(span.weeks(n)),
        "mo" => Some(span.months(n)),
        "y" => Some(span.years(n)),
        _ => None,
    }
}

/// The boundaries of calendar slots from the query's start to its end or beyond. Each is computed from the first, so that short
/// months do not shift later days. `None` if there are too many.
fn calendar(query: &HistoryQuery, step: jiff::Span, zone: &TimeZone) -> Option<Vec<i64>> {
    let first = Timestamp::from_millisecond(query.from_ms).ok()?.to_zoned(zone.clone());
    let mut bounds = vec![query.from_ms];
    for n in 1..=i64::try_from(SLOTS_MAX).ok()? {
        let at = first.checked_add(step.checked_mul(n).ok()?).ok()?.timestamp().as_millisecond();
        bounds.push(at);
        if at >= query.to_ms {
            return Some(bounds);
        }
    }
    None
}

fn slots(journal: &Journal, query: &HistoryQuery, every: &str, form: &OutputForm) -> CommandOutcome {
    let (format, zone) = (form.format, &form.zone);
    let too_many =
        || CommandFailure::usage(format!("more than {SLOTS_MAX} slots")).hint("a longer --every, or a shorter time");
    let answer = if let Some(step) = calendar_step(every) {
        let bounds = calendar(query, step, zone).ok_or_else(too_many)?;
        journal.slots_between(query, &bounds)
    } else {
        let Some(every_ms) = duration_ms(every).and_then(|ms| i64::try_from(ms).ok()) else {
            return Err(CommandFailure::usage(format!("`{every}` is not a duration")).hint("15m, 1h, 1d, 1w, 1mo, 1y"));
        };
        if (query.to_ms - query.from_ms) / every_ms.max(1) >= i64::try_from(SLOTS_MAX).unwrap_or(i64::MAX) {
            return Err(too_many());
        }
        journal.slots(query, every_ms)
    };
    let crate::journal::history::Slots { slots, damage } = answer.map_err(failed)?;
    let number = |x: f64| Value::F64(x).to_string();
    let some = |has: bool, x: Numeric| if has { x.value().to_string() } else { String::new() };
    let row = |s: &crate::journal::history::Slot| {
        let has = s.aggregate.good > 0;
        vec![
            format_local(s.start_ms, zone),
            s.mean().map(|x| number(rounded(x))).unwrap_or_default(),
            some(has, s.aggregate.min),
            some(has, s.aggregate.max),
            some(has, s.aggregate.first.0),
            some(has, s.aggregate.last.0),
            s.aggregate.good.to_string(),
            if s.expected > 0 { s.expected.to_string() } else { s.aggregate.all.to_string() },
            format!("{:.1}", s.completeness() * 100.0),
            thinned_label(s.downsampled).to_string(),
            if s.damaged { "damaged" } else { "" }.to_string(),
        ]
    };
    if format == Format::Json {
        let objects = slots.iter().map(|s| slot_json(s, query, form)).collect::<Vec<_>>();
        output::line(serde_json::to_string_pretty(&objects).unwrap_or_default());
        explain_empty(slots.iter().all(|s| s.aggregate.all == 0), journal, query)?;
        return report_damage(&damage, zone);
    }
    let mut rows: Vec<Vec<String>> = slots.iter().map(row).collect();
    let mut head =
        vec!["start", "mean", "min", "max", "first", "last", "good", "due", "complete_pct", "thinned", "damaged"];
    if format == Format::Csv {
        head.extend(["device", "point", "unit", "local"]);
        for (row, slot) in rows.iter_mut().zip(&slots) {
            row.extend(form.repeated_cells(query));
            row.push(plain(slot.start_ms, zone));
        }
        output::raw(BYTE_ORDER_MARK);
    }
    output::list(format, &head, &rows);
    explain_empty(slots.iter().all(|s| s.aggregate.all == 0), journal, query)?;
    report_damage(&damage, zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(from: &str, to: &str, every: &str, zone: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let at = |text: &str| parse_time(text, 0, &zone).unwrap();
        let query = HistoryQuery { device: "d".into(), point: "p".into(), from_ms: at(from), to_ms: at(to) };
        let all = calendar(&query, calendar_step(every).unwrap(), &zone).unwrap();
        all.iter()
            .map(|ms| {
                Timestamp::from_millisecond(*ms).unwrap().to_zoned(zone.clone()).strftime("%m-%d %H:%M").to_string()
            })
            .collect()
    }

    #[test]
    fn days_and_months_are_the_calendars() {
        assert_eq!(
            bounds("2026-11-21", "2026-11-23", "1d", "Asia/Shanghai"),
            ["11-21 00:00", "11-22 00:00", "11-23 00:00"]
        );
        // Days of 23 and 25 hours.
        assert_eq!(
            bounds("2026-03-28", "2026-03-30", "1d", "Europe/London"),
            ["03-28 00:00", "03-29 00:00", "03-30 00:00"]
        );
        let zone = TimeZone::get("Europe/London").unwrap();
        let at = |text: &str| parse_time(text, 0, &zone).unwrap();
        let day = |from: &str, to: &str| {
            let query = HistoryQuery { device: "d".into(), point: "p".into(), from_ms: at(from), to_ms: at(to) };
            let all = calendar(&query, calendar_step("1d").unwrap(), &zone).unwrap();
            (all[1] - all[0]) / 3_600_000
        };
        assert_eq!((day("2026-03-29", "2026-03-30"), day("2026-10-25", "2026-10-26")), (23, 25));
        let (now, at) = (at("2026-10-25T09:00"), |text: &str| at(text));
        for (text, begins) in
            [("yesterday", "2026-10-24"), ("today", "2026-10-25"), ("2026-11", "2026-11-01"), ("2026", "2026-01-01")]
        {
            assert_eq!(parse_time(text, now, &zone).unwrap(), at(begins), "{text}");
        }
        assert_eq!(parse_time("24h", now, &zone).unwrap(), now - 86_400_000);
        assert!(parse_time("2026-13", now, &zone).is_err() && parse_time("gestern", now, &zone).is_err());
        // The end of a month stays the end of a month.
        assert_eq!(
            bounds("2026-01-31", "2026-04-01", "1mo", "UTC"),
            ["01-31 00:00", "02-28 00:00", "03-31 00:00", "04-30 00:00"]
        );
        assert_eq!(bounds("2026-02-01", "2027-02-01", "1y", "UTC"), ["02-01 00:00", "02-01 00:00"]);
        assert_eq!(bounds("2026-11-21T10:00", "2026-11-28", "1w", "UTC"), ["11-21 10:00", "11-28 10:00"]);
        assert!(calendar_step("15m").is_none() && calendar_step("0d").is_none() && calendar_step("24h").is_none());
    }
}
