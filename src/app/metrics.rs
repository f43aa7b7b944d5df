//! The health page: `/metrics` in the Prometheus text format, `/healthz`, `/readyz`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::app::self_metrics::Usage;
use crate::app::shared::Shared;
use crate::app::status::{Status, status};
use crate::lock::lock;
use crate::poll::health::ROUND_TRIP_BOUNDS_US;
use crate::web::HealthPage;

/// Longest time without progress before the gateway counts as stuck.
const STUCK_MS: u64 = 120_000;

/// The callbacks of the health page.
pub fn view(shared: &Arc<Shared>) -> HealthPage {
    let (a, b, c, d) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
    HealthPage {
        metrics: Arc::new(move || metrics(&a)),
        alive: Arc::new(move || is_alive(&b)),
        warning: Arc::new(move || d.process.crash_loop_guard.remark()),
        ready: Arc::new(move || {
            c.process.ready.load(Ordering::Relaxed) && c.journal.health().ok.load(Ordering::Relaxed)
        }),
    }
}

/// Whether engine, journal and every bus made progress within `STUCK_MS`.
pub fn is_alive(shared: &Shared) -> bool {
    let now = shared.clock.mono().0;
    let fresh = |ms: u64| now.saturating_sub(ms) < STUCK_MS;
    let buses = lock(&shared.adapters.buses);
    // A task whose restart budget is used up stands still on purpose: it is reported, and is no reason to restart the process.
    let exhausted: Vec<String> =
        lock(&shared.process.task_failures).iter().filter(|t| t.restarts_exhausted).map(|t| t.task.clone()).collect();
    let is_exhausted = |task: &str| exhausted.iter().any(|s| s == task);
    (shared.process.crash_loop_guard.are_rules_off() || fresh(shared.rules.engine_progress_ms.load(Ordering::Relaxed)))
        && fresh(shared.journal.health().last_attempt_ms.load(Ordering::Relaxed).max(shared.process.started.0))
        && buses.iter().all(|b| {
            is_exhausted(&format!("link {}", b.config.link.id)) || fresh(b.health.progress_ms.load(Ordering::Relaxed))
        })
}

struct MetricsPage(String);

impl MetricsPage {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = write!(self.0, "# HELP plantroom_{name} {help}\n# TYPE plantroom_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _infallible = write!(self.0, "plantroom_{name}");
        for (i, (key, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _infallible = write!(self.0, "{}{key}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let _infallible = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
}

fn metrics(shared: &Shared) -> String {
    let s = status(shared);
    let mut page = MetricsPage(String::with_capacity(16_384));
    page.head("info", "gauge", "Version and site.");
    page.line("info", &[("version", &s.version), ("site", &s.site)], 1);
    page.one("uptime_seconds", "gauge", "Seconds since the start.", s.uptime_s);
    let usage = Usage::now();
    page.one("resident_bytes", "gauge", "Resident memory.", usage.resident);
    page.one("cpu_milliseconds_total", "counter", "CPU time, user and system.", usage.cpu_ms());
    page.one("written_bytes_total", "counter", "Bytes that went to block devices.", usage.written);
    page.one(
        "config_last_good",
        "gauge",
        "1 while it runs on the last-good configuration.",
        u8::from(s.last_good.is_some()),
    );
    page.one(
        "rules_off",
        "gauge",
        "Rooms of rules that are switched off.",
        crate::app::self_metrics::rules_off(shared),
    );
    page.one("clock_trusted", "gauge", "1 when the date is believed.", u8::from(s.clock.trusted));
    page.one(
        "readings_replaced_total",
        "counter",
        "Readings the engine did not see because a newer one came.",
        shared.rules.inbox.replaced.load(Ordering::Relaxed),
    );
    journal(&mut page, &s);
    links(&mut page, &s);
    round_trips(&mut page, shared);
    sinks(&mut page, &s);
    page.0
}

fn journal(page: &mut MetricsPage, s: &Status) {
    let j = &s.journal;
    page.one("journal_ok", "gauge", "1 when the last commit succeeded.", u8::from(j.ok));
    page.one("journal_bytes", "gauge", "Bytes of the journal on disk.", j.bytes);
    page.one("journal_max_bytes", "gauge", "Most bytes of the journal.", j.max_bytes);
    let refused = crate::web::connections::refused();
    page.one(
        "web_refused_total",
        "counter",
        "Requests for alarm pages and the interface with a token that is none.",
        refused,
    );
    page.one("journal_committed_total", "counter", "Readings committed.", j.committed);
    page.one("journal_lost_total", "counter", "Readings lost.", j.lost);
    page.one("journal_damaged_files_total", "counter", "Files found damaged and set aside.", j.damaged_files);
    page.one("journal_thinned_files_total", "counter", "Files thinned.", j.thinned_files);
    page.one("journal_aged_files_total", "counter", "Files deleted because they have served their time.", j.aged_files);
    page.one("journal_dropped_files_total", "counter", "Files deleted for room before their time.", j.dropped_files);
}

fn links(page: &mut MetricsPage, s: &Status) {
    page.head("link_up", "gauge", "1 when the connection or port is open.");
    s.links.iter().for_each(|l| page.line("link_up", &[("link", &l.id)], u8::from(l.is_connected)));
    page.head("link_events_total", "counter", "What happened on a link, by kind.");
    for link in &s.links {
        for (event, n) in &link.counters {
            page.line("link_events_total", &[("link", &link.id), ("event", event)], n);
        }
    }
    page.head("unit_online", "gauge", "1 online, 0.5 degraded, 0 refusing everything, offline or unknown.");
    for (link, unit) in units(s) {
        let value = match unit.state.as_str() {
            "online" => "1",
            "degraded" => "0.5",
            _ => "0",
        };
        page.line("unit_online", &[("link", link), ("unit", &unit.id)], value);
    }
    page.head("unit_cycles_total", "counter", "Poll cycles by outcome.");
    for (link, unit) in units(s) {
        let outcomes =
            [("good", unit.good), ("not_good", unit.cycles - unit.good.min(unit.cycles)), ("skipped", unit.skipped)];
        for (outcome, n) in outcomes {
            page.line("unit_cycles_total", &[("link", link), ("unit", &unit.id), ("outcome", outcome)], n);
        }
    }
}

fn units(s: &Status) -> impl Iterator<Item = (&str, &crate::app::status::UnitStatus)> {
    s.links.iter().flat_map(|l| l.units.iter().map(move |u| (l.id.as_str(), u)))
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn round_trips(page: &mut MetricsPage, shared: &Shared) {
    page.head("unit_round_trip_seconds", "histogram", "Round trips of requests.");
    for bus in lock(&shared.adapters.buses).iter() {
        for (i, unit) in bus.config.units.iter().enumerate() {
            let Some((buckets, sum)) = bus.health.with_unit(i, |h| (h.round_trips, h.round_trip_sum_us)) else {
                continue;
            };
            let labels = [("link", bus.config.link.id.as_str()), ("unit", &*unit.id)];
            let mut total = 0;
            for (count, border) in buckets.iter().zip(ROUND_TRIP_BOUNDS_US) {
                total += count;
                let le = format!("{}", border as f64 / 1e6);
                page.line("unit_round_trip_seconds_bucket", &[labels[0], labels[1], ("le", &le)], total);
            }
            total += buckets[ROUND_TRIP_BOUNDS_US.len()];
            page.line("unit_round_trip_seconds_bucket", &[labels[0], labels[1], ("le", "+Inf")], total);
            page.line("unit_round_trip_seconds_sum", &labels, sum as f64 / 1e6);
            page.line("unit_round_trip_seconds_count", &labels, total);
        }
    }
}

fn sinks(page: &mut MetricsPage, s: &Status) {
    page.head("sink_up", "gauge", "1 when connected.");
    s.sinks.iter().for_each(|k| page.line("sink_up", &[("sink", &k.name)], u8::from(k.is_connected)));
    page.head("sink_delivered_total", "counter", "Messages acknowledged.");
    s.sinks.iter().for_each(|k| page.line("sink_delivered_total", &[("sink", &k.name)], k.delivered));
    page.head("sink_lag_readings", "gauge", "Readings behind, at most.");
    s.sinks.iter().for_each(|k| page.line("sink_lag_readings", &[("sink", &k.name)], k.lag));
    page.head("sink_set_aside_total", "counter", "Messages set aside.");
    s.sinks.iter().for_each(|k| page.line("sink_set_aside_total", &[("sink", &k.name)], k.dead_letters));
    page.head("sink_dropped_total", "counter", "Values or messages that the other side will never have.");
    let dropped = |k: &super::status::SinkStatus| k.too_old + k.undated + k.dead_letters_dropped;
    s.sinks.iter().for_each(|k| page.line("sink_dropped_total", &[("sink", &k.name)], dropped(k)));
    page.head("sink_refused", "gauge", "Topics or series that the other side refuses now.");
    s.sinks.iter().for_each(|k| page.line("sink_refused", &[("sink", &k.name)], k.refused));
    page.head("sink_clashes", "gauge", "1 while another client of the same id takes the connection.");
    s.sinks.iter().for_each(|k| page.line("sink_clashes", &[("sink", &k.name)], u8::from(k.clashes)));
}
