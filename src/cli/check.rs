//! `plantroom check`: every problem at once, and the predicted load of the site.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::channel;
use crate::cli::bus::{self, BusAccess};
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::clock::Clock;
use crate::config::{self, Configuration, budget};
use crate::flood::scheme::SchemeLevel;
use crate::http::files::LoadedFiles;
use crate::lock::lock;
use crate::model::failure::Refusal;
use crate::model::problem::{Problem, Severity};
use crate::model::time::UnixMillis;
use crate::oncall::ahead::upcoming_problems;
use crate::scan;
use crate::sink;
use crate::sink::command::CommandContext;

/// Options of `check`: what is printed beside the problems.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the read plan, wire time, the share of each bus, bytes a day and days of history.
    #[arg(long)]
    plan: bool,
    /// Which alarm rules apply to which device, and what is missing where one does not.
    #[arg(long)]
    alarms: bool,
    /// Ask every unit who it is. Writes nothing; a running gateway asks for us, between its cycles.
    #[arg(long)]
    online: bool,
}

/// The exit code is 78 if there is an error.
pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    let dir = global.config_dir();
    let loaded = config::load(&dir);
    grouped(&loaded.problems).iter().for_each(output::line);
    let count = |severity| loaded.problems.iter().filter(|p| p.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let Some(configuration) = &loaded.configuration else {
        // The plan shows what overloads a bus.
        if let Some(rejected) = loaded.rejected.as_ref().filter(|_| args.plan) {
            plan(rejected);
        }
        return Err(CommandFailure::configuration(format!("{}: {errors} errors, {warnings} warnings", dir.display())));
    };
    if args.plan {
        plan(configuration);
        print_learned(global);
    }
    if args.alarms {
        alarms(configuration);
    }
    if args.online {
        online(global, configuration)?;
    }
    let now = crate::cli::page::now();
    let unfit = crate::cli::probes::files(configuration, UnixMillis(now));
    unfit.iter().for_each(|what| output::line(format!("warning: {what}")));
    let warned = upcoming_problems(
        &configuration.oncall.plan,
        &crate::cli::page::overrides(global),
        UnixMillis(now),
        AHEAD_DAYS,
    );
    for warning in &warned {
        output::note(format!("warning: {warning}"));
    }
    let warnings = warnings + warned.len() + unfit.len();
    let units: usize = configuration.buses.iter().map(|b| b.units.len()).sum();
    output::line(format!(
        "{}: no errors, {warnings} warnings; {} links, {units} units, {} devices",
        dir.display(),
        configuration.buses.len(),
        configuration.devices.len()
    ));
    Ok(())
}

/// Answer to whoever sends something while a check listens.
const UNDER_WAY: &str = "a check is under way";
/// Warnings of one kind that are printed one by one; more of them are counted.
const ALIKE_SHOWN: usize = 3;

/// The problems as lines; of warnings that differ only in names and numbers the first ones, with the count of the others.
fn grouped(problems: &[Problem]) -> Vec<String> {
    let shape = |p: &Problem| {
        let message: String = p.message.split('`').step_by(2).collect::<Vec<_>>().join("`…`");
        (message.replace(|c: char| c.is_ascii_digit(), ""), p.hint.clone())
    };
    let mut alike: BTreeMap<(String, String), usize> = BTreeMap::new();
    let warnings = || problems.iter().filter(|p| p.severity == Severity::Warning);
    warnings().for_each(|p| *alike.entry(shape(p)).or_default() += 1);
    let mut shown: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for problem in problems {
        if problem.severity != Severity::Warning {
            lines.push(problem.to_string());
            continue;
        }
        let key = shape(problem);
        let all = alike.get(&key).copied().unwrap_or_default();
        let so_far = shown.entry(key).or_default();
        *so_far += 1;
        match *so_far {
            // One more than are shown is shown too: "and 1 more" saves nothing.
            n if n < ALIKE_SHOWN || all <= ALIKE_SHOWN + 1 => lines.push(problem.to_string()),
            ALIKE_SHOWN => lines.push(format!("{problem}\n  and {} more like it", all - ALIKE_SHOWN)),
            _ => {}
        }
    }
    lines
}

/// How far ahead rotas are checked.
const AHEAD_DAYS: i64 = 14;

fn plan(configuration: &Configuration) {
    let mut rows = Vec::new();
    for bus in &configuration.buses {
        let costs = budget::group_costs(bus);
        for cost in &costs {
            let reads: Vec<String> = cost
                .plan
                .blocks
                .iter()
                .map(|b| format!("{}:{}+{}", b.span.register_type.function(), b.span.address, b.span.count))
                .collect();
            rows.push(vec![
                bus.link.id.clone(),
                cost.name.clone(),
                cost.points.to_string(),
                format!("{} s", seconds(cost.every_ms)),
                format!("{} ms", cost.cycle_us / 1_000),
                format!("{:.1} %", cost.share() * 100.0),
                reads.join(" "),
            ]);
        }
        let share: f64 = costs.iter().map(budget::GroupCost::share).sum();
        let total = vec![
            bus.link.id.clone(),
            "in all".into(),
            String::new(),
            String::new(),
            String::new(),
            format!("{:.1} %", share * 100.0),
        ];
        rows.push(total);
        if let Some(flood) = flood_shares(configuration, &costs) {
            let mut row = vec![bus.link.id.clone(), "in a flood".into()];
            row.resize(5, String::new());
            row.push(flood);
            rows.push(row);
        }
    }
    output::raw(output::table(
        &["link", "unit/group", "points", "every", "wire time", "bus", "reads (function:address+count)"],
        &rows,
    ));
    let load = budget::site_load(configuration);
    output::line(format!(
        "\n{:.1} readings/s, {:.1} samples/s, {:.1} MQTT messages/s for each broker without report by exception",
        load.readings_per_s, load.samples_per_s, load.readings_per_s
    ));
    output::line(format!(
        "about {:.0} MB a day written to flash, {:.1} MB a day of history; within {} GB: {}\n",
        load.flash_bytes_a_day / 1e6,
        load.history_bytes_a_day / 1e6,
        configuration.journal.max_gb,
        load.days.map(|(class, days)| format!("{} {days:.0} days", class.word())).join(", ")
    ));
}

/// The share of a bus at each flood level, where it differs from that without one; with the slowest group's pace.
fn flood_shares(configuration: &Configuration, costs: &[budget::GroupCost]) -> Option<String> {
    let scheme = configuration.flood.scheme.as_ref()?;
    costs.iter().find(|cost| !cost.flood_every_ms.is_empty())?;
    let share = |(rank, level): (u8, &SchemeLevel)| {
        let share: f64 = costs.iter().map(|cost| cost.share_at(rank)).sum();
        format!("{} {:.1} %", level.id, share * 100.0)
    };
    let shares: Vec<String> = (1..).zip(&scheme.levels).map(share).collect();
    Some(shares.join(", "))
}

/// Prints which rules apply to which device, and what is missing where they do not.
fn alarms(configuration: &Configuration) {
    let mut rows = Vec::new();
    for a in &configuration.rule_applications {
        let (alarms, missing) = match &a.alarms {
            Ok(keys) => (keys.join(" "), String::new()),
            Err(missing) => (String::new(), missing.join(", ")),
        };
        rows.push(vec![a.device.clone(), a.rule.clone(), alarms, missing]);
    }
    output::raw(output::table(&["device", "rule", "alarms", "missing"], &rows));
    let applied = configuration.alarms.definitions.len();
    output::line(format!("{applied} alarms"));
    for (device, point) in config::check_alarms::unwatched_fault_points(configuration) {
        output::line(format!("NO RULE LOOKS AT {device}.{point}, which reports a fault"));
    }
}

/// Asks every unit for its identification, and tries sinks, channels and reply ways.
fn online(global: &Global, configuration: &Configuration) -> CommandOutcome {
    let (rows, silent) = crate::cli::runtime()?.block_on(async {
        let polled_links = bus::gateway_links(global).await?;
        let clock = Clock::new(&configuration.clock, UnixMillis(0));
        let (mut rows, mut silent) = (Vec::new(), 0);
        for config in &configuration.buses {
            let reached = BusAccess::connect(global, &polled_links, config.link.clone(), clock.clone());
            let (more, bus_silent) = probe_bus(config, reached).await;
            rows.extend(more);
            silent += bus_silent;
        }
        Ok::<_, CommandFailure>((rows, silent))
    })?;
    output::raw(output::table(&["link", "unit", "address", "profile", "answers", "ident", "layout"], &rows));
    let failed_reply_ways = reply_ways(global, configuration)?;
    let failed_probes = crate::cli::probes::online(configuration, UnixMillis(crate::cli::page::now()))?;
    if silent > 0 {
        let what = format!("{silent} of {} units do not answer, or refuse everything", rows.len());
        return Err(CommandFailure::later(what).hint(
            "who refuses everything is there: is the address right, and the profile? `plantroom scan` says what answers",
        ));
    }
    if failed_probes > 0 {
        return Err(CommandFailure::later(format!(
            "{failed_probes} of what was tried at sinks and channels does not work"
        )));
    }
    if failed_reply_ways > 0 {
        return Err(CommandFailure::later(format!("answers of people cannot be heard by {failed_reply_ways} ways")));
    }
    Ok(())
}

/// How long a reply way may take to report that it can receive.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(6);

/// Whether people's replies can be received: as the running gateway reports it, else tried here. Returns how many ways cannot
/// receive.
fn reply_ways(global: &Global, configuration: &Configuration) -> Result<usize, CommandFailure> {
    let running = crate::cli::send_request(global, &crate::control::ControlRequest::Status).ok();
    if let Some(status) = running.and_then(|v| serde_json::from_value::<crate::app::status::Status>(v).ok()) {
        crate::cli::status::reply_ways(&status);
        return Ok(status.pages.reply_ways.iter().filter(|w| !w.failed.is_empty()).count());
    }
    // By name: why it cannot be heard; none: it can.
    let results: Arc<Mutex<BTreeMap<String, Option<String>>>> = Arc::default();
    let result_recorder = |name: String| {
        let results = Arc::clone(&results);
        move |failed| drop(lock(&results).insert(name.clone(), failed))
    };
    crate::cli::runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let mut all = tokio::task::JoinSet::new();
        for settings in configuration.oncall.channels.clone() {
            let record_result = result_recorder(settings.id().to_string());
            let on_reply: channel::ReplyHandler = Arc::new(move |reply| {
                if let channel::InboundReply::Listening(result) = reply {
                    record_result(result.err().map(|why| why.to_string()));
                }
            });
            all.spawn(async move {
                let files = LoadedFiles::load(settings.files()).await;
                settings.open(&files).listen(None, on_reply).await;
            });
        }
        for sink in &configuration.sinks {
            if !sink.takes_commands() {
                continue;
            }
            let record_result = result_recorder(crate::app::reply_ways::of_sink(sink.name()));
            let outbox_health = sink::SinkHealth::default();
            // There is no outgoing connection here; it counts as connected.
            outbox_health.connected.store(true, std::sync::atomic::Ordering::Relaxed);
            let context = CommandContext {
                site: configuration.site.id.clone(),
                // A trial executes no command.
                handler: Arc::new(|_| Box::pin(async { Err(Refusal::refused(UNDER_WAY)) })),
                on_warning: Arc::new(|_, _| Box::pin(async { Err(Refusal::refused(UNDER_WAY)) })),
                on_listening: Arc::new(move |result| record_result(result.err().map(|why| why.to_string()))),
                outbox_health: Arc::new(outbox_health),
                files: LoadedFiles::load(sink.files()).await,
                // With the client id of a running gateway, each client would disconnect the other.
                client_id: Some(format!("plantroom-{}-check", configuration.site.id)),
            };
            if let Some(listening) = sink.listen(context, stop.clone()) {
                all.spawn(listening);
            }
        }
        // A listener that works does not end by itself.
        let _over = tokio::time::timeout(LISTEN_TIMEOUT, async { while all.join_next().await.is_some() {} }).await;
    });
    let results = lock(&results).clone();
    for (name, failed) in &results {
        let text = failed.as_ref().map_or("can be heard".to_string(), |why| format!("CANNOT BE HEARD: {why}"));
        output::line(format!("answers through {name}: {text}"));
    }
    Ok(results.values().flatten().count())
}

async fn probe_bus(config: &crate::poll::BusConfig, mut bus: BusAccess) -> (Vec<Vec<String>>, usize) {
    let (mut rows, mut silent) = (Vec::new(), 0);
    for unit in &config.units {
        let rules = &unit.profile.variant(None).read_rules;
        let timeout = unit.timeout_ms.or(rules.timeout_ms).unwrap_or(config.link.timeout_ms);
        let answers = match bus.open().await {
            Err(why) => Err(why.to_string()),
            Ok(()) => scan::is_present(&mut bus, unit.address, timeout).await.map_err(|cause| cause.says().to_string()),
        };
        let took = bus.round_trip_ms().map_or_else(|| "yes".to_string(), |ms| format!("{ms} ms"));
        let ident = match (&unit.profile.ident, &answers) {
            (Some(def), Ok(())) => scan::ident(&mut bus, unit.address, timeout, rules.pause_ms, def).await,
            _ => None,
        };
        let variant = unit.profile.variant(ident.as_deref());
        let answers = match answers {
            Ok(()) => scan::gives_anything(&mut bus, unit.address, variant, timeout)
                .await
                .map_err(|cause| format!("refuses everything: {}", cause.word())),
            silent => silent,
        };
        silent += usize::from(answers.is_err());
        let layout = variant.name.to_string();
        rows.push(vec![
            config.link.id.clone(),
            unit.id.to_string(),
            unit.address.to_string(),
            unit.profile.name.to_string(),
            answers.map_or_else(|why| why, |()| took),
            ident.unwrap_or_default(),
            layout,
        ]);
    }
    (rows, silent)
}

/// Prints what a running gateway has learned about its units.
fn print_learned(global: &Global) {
    // A check does not depend on whether a gateway runs.
    let asked = crate::cli::ask_for_people(global, &crate::control::ControlRequest::Status, output::Format::Table);
    let Ok(value) = asked else { return };
    let Ok(status) = serde_json::from_value::<crate::app::status::Status>(value) else { return };
    crate::cli::status::reply_ways(&status);
    for unit in status.links.iter().flat_map(|l| &l.units).filter(|u| !u.unreadable_ranges.is_empty()) {
        for range in &unit.unreadable_ranges {
            output::line(format!("unit `{}` leaves out (learned by the running gateway): {range}", unit.id));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::problem::SourceLocation;

    #[test]
    fn warnings_that_are_alike_are_counted() {
        let problem = |line, severity, message: &str| Problem {
            location: SourceLocation { file: "a.toml".into(), line, column: 1 },
            severity,
            message: message.into(),
            hint: String::new(),
        };
        let mut all: Vec<Problem> =
            (1..=200).map(|n| problem(n, Severity::Warning, &format!("device `d-{n}` has no points"))).collect();
        all.push(problem(300, Severity::Warning, "unit `u` is used by no device"));
        all.extend((301..=305).map(|n| problem(n, Severity::Error, &format!("unknown link `{n}`"))));
        let lines = grouped(&all);
        assert_eq!(lines.len(), 3 + 1 + 5);
        assert_eq!(lines[2], "a.toml:3:1: warning: device `d-3` has no points\n  and 197 more like it");
        assert_eq!(lines[3], "a.toml:300:1: warning: unit `u` is used by no device");
        assert_eq!(grouped(&all[..4]).len(), 4);
    }
}
