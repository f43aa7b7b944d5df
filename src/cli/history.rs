//! `plantroom history`: one point read back, as samples or in slots, with quality and completeness. Reads the files
//! themselves, beside a running gateway or without one; a sample at a time.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::cli::output::Format;
use crate::cli::{Args as Global, Failure, Outcome, output};
use crate::clock::Clock;
use crate::config;
use crate::journal::Journal;
use crate::journal::damage::Damage;
use crate::journal::history::{Query, SLOTS_MAX};
use crate::model::time::{Wall, duration_ms};

/// Options of `history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `device.point`.
    point: String,
    /// From: a date (2026-11-21, 2026-11-21T08:00, with or without zone), or so long ago (24h, 30m). Default: 24h.
    #[arg(long, default_value = "24h")]
    from: String,
    /// To: the same. Default: now.
    #[arg(long)]
    to: Option<String>,
    /// In slots of this length (15m, 1h) instead of every sample.
    #[arg(long)]
    every: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Reads and prints.
pub fn run(global: &Global, args: &Args) -> Outcome {
    output::begin_log(global, true);
    let loaded = config::load(&global.config_dir());
    let (settings, zone) = match &loaded.configuration {
        Some(c) => (c.journal.clone(), TimeZone::get(&c.site.time_zone).unwrap_or(TimeZone::UTC)),
        None => (crate::journal::Settings::default(), TimeZone::UTC),
    };
    let dir = global.state_dir().join(&settings.dir);
    if !dir.is_dir() {
        return Err(Failure::usage(format!("there is no journal in {}", dir.display()))
            .hint("--state DIR names the gateway's state"));
    }
    let Some((device, point)) = args.point.split_once('.') else {
        return Err(Failure::usage(format!("`{}` is not device.point", args.point)));
    };
    let clock = Clock::new(&crate::clock::Settings::default(), Wall(0));
    let now = clock.wall().0;
    let to_ms = args.to.as_deref().map_or(Ok(now), |to| moment(to, now, &zone))?;
    let query = Query { device: device.into(), point: point.into(), from_ms: moment(&args.from, now, &zone)?, to_ms };
    let opened = Journal::view(&dir, &settings, &clock);
    let journal = opened.map_err(|e| Failure::later("cannot open the journal").because(e.to_string()))?;
    match &args.every {
        Some(every) => slots(&journal, &query, every, args.format, &zone),
        None => samples(&journal, &query, args.format, &zone),
    }
}

/// A date, or so long before now, in milliseconds.
///
/// # Errors
/// It is neither.
pub fn moment(text: &str, now: i64, zone: &TimeZone) -> Result<i64, Failure> {
    if let Some(ago) = duration_ms(text) {
        return Ok(now - i64::try_from(ago).unwrap_or(now));
    }
    let zoned = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok();
        let civil = civil
            .or_else(|| text.parse::<jiff::civil::Date>().ok().map(|d| d.to_datetime(jiff::civil::Time::midnight())));
        civil?.to_zoned(zone.clone()).ok().map(|z: Zoned| z.timestamp())
    });
    zoned.map(jiff::Timestamp::as_millisecond).ok_or_else(|| {
        Failure::usage(format!("`{text}` is not a date"))
            .hint("2026-11-21, 2026-11-21T08:00, 2026-11-21T08:00+08:00, or 24h for so long ago")
    })
}

/// A moment in the site's time zone.
pub fn local(ms: i64, zone: &TimeZone) -> String {
    Wall(ms).local(zone)
}

fn failed(e: crate::journal::segment::Trouble) -> Failure {
    Failure::later("history cannot be read").because(e.to_string())
}

fn samples(journal: &Journal, query: &Query, format: Format, zone: &TimeZone) -> Outcome {
    let head = ["time", "value", "quality", "thinned"];
    let mut n = 0u64;
    match format {
        Format::Csv => output::line(head.join(",")),
        Format::Json => output::line("["),
        Format::Table => output::line(format!("{:31}{:20}{:20}{}", head[0], head[1], head[2], head[3])),
    }
    let each = |row: crate::journal::history::Row| {
        let (value, quality) = match &row.sample {
            Ok(value) => (value.to_string(), "good"),
            Err(cause) => (String::new(), cause.word()),
        };
        let at = local(row.at_ms, zone);
        let thinned = word(row.thinned);
        match format {
            Format::Csv => output::line(format!("{at},{},{quality},{thinned}", output::csv(&value))),
            Format::Table => output::line(format!("{at:31}{value:20}{quality:20}{thinned}").trim_end()),
            Format::Json => {
                let mut json = String::new();
                match &row.sample {
                    Ok(value) => value.write_json(&mut json),
                    Err(_) => json.push_str("null"),
                }
                let comma = if n == 0 { " " } else { "," };
                output::line(format!(
                    "{comma}{{\"time\":\"{at}\",\"value\":{json},\"quality\":\"{quality}\",\"thinned\":{}}}",
                    row.thinned
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
    nothing(n == 0, query);
    say(&damage, zone)
}

/// What is there and cannot be read: nobody takes what is printed for everything.
fn say(damage: &[Damage], zone: &TimeZone) -> Outcome {
    if damage.is_empty() {
        return Ok(());
    }
    for d in damage {
        let device = if d.device.is_empty() { "all devices" } else { &d.device };
        let hours =
            d.hours.map_or("some hour".to_string(), |(a, b)| format!("{} to {}", local(a, zone), local(b, zone)));
        output::note(format!("MISSING: {device}, {hours}: {}: {}", d.file, d.why));
    }
    Err(Failure::damaged("a part of this time is recorded and cannot be read: what is printed is not all"))
}

/// Marks what stands for more than is left of it.
fn word(thinned: bool) -> &'static str {
    if thinned { "thinned" } else { "" }
}

fn nothing(is_empty: bool, query: &Query) {
    if is_empty {
        output::note(format!("no samples of {}.{} in this time", query.device, query.point));
    }
}

fn slots(journal: &Journal, query: &Query, every: &str, format: Format, zone: &TimeZone) -> Outcome {
    let Some(every_ms) = duration_ms(every).and_then(|ms| i64::try_from(ms).ok()) else {
        return Err(Failure::usage(format!("`{every}` is not a duration")).hint("15m, 1h, 1d"));
    };
    if (query.to_ms - query.from_ms) / every_ms.max(1) >= i64::try_from(SLOTS_MAX).unwrap_or(i64::MAX) {
        return Err(Failure::usage(format!("more than {SLOTS_MAX} slots")).hint("a longer --every, or a shorter time"));
    }
    let crate::journal::history::Slots { slots, damage } = journal.slots(query, every_ms).map_err(failed)?;
    let number = |x: f64| format!("{}", (x * 1e9).round() / 1e9);
    let some = |has: bool, x: f64| if has { number(x) } else { String::new() };
    let row = |s: &crate::journal::history::Slot| {
        let has = s.of.good > 0;
        vec![
            local(s.start_ms, zone),
            s.mean().map(number).unwrap_or_default(),
            some(has, s.of.min),
            some(has, s.of.max),
            some(has, s.of.first.0),
            some(has, s.of.last.0),
            s.of.good.to_string(),
            if s.due > 0 { s.due.to_string() } else { s.of.all.to_string() },
            format!("{:.1}", s.completeness() * 100.0),
            word(s.thinned).to_string(),
            if s.damaged { "damaged" } else { "" }.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = slots.iter().map(row).collect();
    let head = ["start", "mean", "min", "max", "first", "last", "good", "due", "complete %", "thinned", "damaged"];
    output::list(format, &head, &rows);
    nothing(slots.iter().all(|s| s.of.all == 0), query);
    say(&damage, zone)
}
