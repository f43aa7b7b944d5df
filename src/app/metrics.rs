//! The health page: `/metrics` in the Prometheus text format, `/healthz`, `/readyz`.

use std::fmt::{Error, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::app::self_metrics::{self, Usage};
use crate::app::shared::Shared;
use crate::app::status::{LinkStatus, SinkStatus, Status, status};
use crate::lock::lock;
use crate::poll::health::ROUND_TRIP_BOUNDS_US;
use crate::web::HealthPage;

/// Longest time without progress before the gateway counts as stuck.
const STUCK_MS: u64 = 120_000;

/// The callbacks of the health page.
pub fn view(shared: &Arc<Shared>) -> HealthPage {
    let mut registry = Registry::with_prefix("plantroom");
    registry.register_collector(Box::new(GatewayMetrics(Arc::clone(shared))));
    let (b, c, d) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
    HealthPage {
        metrics: Arc::new(move || page(&registry)),
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

/// `/metrics`: what is counted elsewhere, encoded at each request.
struct GatewayMetrics(Arc<Shared>);

impl std::fmt::Debug for GatewayMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatewayMetrics")
    }
}

impl Collector for GatewayMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let shared = &*self.0;
        let (s, mut page) = (status(shared), MetricsPage(encoder));
        process(&mut page, shared, &s)?;
        journal(&mut page, &s)?;
        ledger(&mut page, &s)?;
        links(&mut page, &s)?;
        round_trips(&mut page, shared)?;
        sinks(&mut page, &s)?;
        adapters(&mut page, shared)
    }
}

fn page(registry: &Registry) -> String {
    let mut out = String::with_capacity(16_384);
    if prometheus_text::encode(&mut out, registry).is_err() {
        let _infallible = write!(out, "# not all metrics could be written");
    }
    out
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

struct MetricsPage<'a>(DescriptorEncoder<'a>);

impl MetricsPage<'_> {
    /// A gauge with a value for each set of labels.
    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        all.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
    }

    /// A counter with a value for each set of labels; `_total` is added to the name.
    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        all.into_iter().try_for_each(|(labels, value)| {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
        })
    }

    fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels<'l>, Histogram)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        all.into_iter().try_for_each(|(labels, histogram)| histogram.encode(metric.encode_family(&labels)?))
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.gauges(name, help, [(Vec::new(), value as f64)])
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.counters(name, help, [(Vec::new(), value)])
    }
}

fn process(page: &mut MetricsPage<'_>, shared: &Shared, s: &Status) -> Result<(), Error> {
    let version: Labels<'_> = vec![("version", &s.version), ("site", &s.site)];
    page.gauges("info", "Version and site.", [(version, 1.0)])?;
    page.gauge("uptime_seconds", "Seconds since the start.", s.uptime_s)?;
    let usage = Usage::now();
    page.gauge("resident_bytes", "Resident memory.", usage.resident)?;
    page.counter("cpu_milliseconds", "CPU time, user and system.", usage.cpu_ms())?;
    page.counter("written_bytes", "Bytes that went to block devices.", usage.written)?;
    page.gauge(
        "config_last_good",
        "1 while it runs on the last-good configuration.",
        u64::from(s.last_good.is_some()),
    )?;
    page.gauge("rules_off", "Rooms of rules that are switched off.", self_metrics::rules_off(shared))?;
    page.histograms(
        "rules_room_seconds",
        "Duration of each pass of a room of rules.",
        shared.rules.room_timings.iter().map(|(room, t)| (vec![("room", *room)], t.histogram().clone())),
    )?;
    page.gauge("clock_trusted", "1 when the date is believed.", u64::from(s.clock.trusted))?;
    let replaced = shared.rules.inbox.replaced.load(Ordering::Relaxed);
    page.counter("readings_replaced", "Readings the engine did not see because a newer one came.", replaced)
}

fn ledger(page: &mut MetricsPage<'_>, s: &Status) -> Result<(), Error> {
    page.gauge("ledger_ok", "1 when the energy ledger can be written.", u64::from(s.ledger.error.is_empty()))?;
    page.gauge("ledger_registers", "Cumulative registers read since the start.", s.ledger.registers)?;
    page.gauge("ledger_pending", "Registers in doubt, which count nothing.", s.ledger.pending)
}

fn journal(page: &mut MetricsPage<'_>, s: &Status) -> Result<(), Error> {
    let j = &s.journal;
    page.gauge("journal_ok", "1 when the last commit succeeded.", u64::from(j.ok))?;
    page.gauge("journal_bytes", "Bytes of the journal on disk.", j.bytes)?;
    page.gauge("journal_max_bytes", "Most bytes of the journal.", j.max_bytes)?;
    let refused = crate::web::connections::refused();
    page.counter("web_refused", "Requests for alarm pages and the interface with a token that is none.", refused)?;
    page.counter("journal_committed", "Readings committed.", j.committed)?;
    page.counter("journal_lost", "Readings lost.", j.lost)?;
    page.counter("journal_damaged_files", "Files found damaged and set aside.", j.damaged_files)?;
    page.counter("journal_thinned_files", "Files thinned.", j.thinned_files)?;
    page.counter("journal_aged_files", "Files deleted because they have served their time.", j.aged_files)?;
    page.counter("journal_dropped_files", "Files deleted for room before their time.", j.dropped_files)
}

fn links(page: &mut MetricsPage<'_>, s: &Status) -> Result<(), Error> {
    let up = |l: &LinkStatus| f64::from(u8::from(l.is_connected));
    let all = s.links.iter().map(|l| (vec![("link", l.id.as_str())], up(l)));
    page.gauges("link_up", "1 when the connection or port is open.", all)?;
    let events = s.links.iter().flat_map(|l| {
        l.counters.iter().map(|(event, n)| (vec![("link", l.id.as_str()), ("event", event.as_str())], *n))
    });
    page.counters("link_events", "What happened on a link, by kind.", events)?;
    let online = units(s).map(|(link, unit)| {
        let value = match unit.state.as_str() {
            "online" => 1.0,
            "degraded" => 0.5,
            _ => 0.0,
        };
        (vec![("link", link), ("unit", unit.id.as_str())], value)
    });
    page.gauges("unit_online", "1 online, 0.5 degraded, 0 refusing everything, offline or unknown.", online)?;
    let cycles = units(s).flat_map(|(link, unit)| {
        let bad = unit.cycles - unit.good.min(unit.cycles);
        let outcomes = [("good", unit.good), ("not_good", bad), ("skipped", unit.skipped)];
        outcomes.map(|(outcome, n)| (vec![("link", link), ("unit", unit.id.as_str()), ("outcome", outcome)], n))
    });
    page.counters("unit_cycles", "Poll cycles by outcome.", cycles)
}

fn units(s: &Status) -> impl Iterator<Item = (&str, &crate::app::status::UnitStatus)> {
    s.links.iter().flat_map(|l| l.units.iter().map(move |u| (l.id.as_str(), u)))
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn round_trips(page: &mut MetricsPage<'_>, shared: &Shared) -> Result<(), Error> {
    let help = "Round trips of requests.";
    let mut metric = page.0.encode_descriptor("unit_round_trip_seconds", help, None, MetricType::Histogram)?;
    let bounds = ROUND_TRIP_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
    let bounds: Vec<f64> = bounds.collect();
    for bus in lock(&shared.adapters.buses).iter() {
        for (i, unit) in bus.config.units.iter().enumerate() {
            let Some((counts, sum_us)) = bus.health.with_unit(i, |h| (h.round_trips, h.round_trip_sum_us)) else {
                continue;
            };
            let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(counts).collect();
            let labels = [("link", bus.config.link.id.as_str()), ("unit", &*unit.id)];
            let (sum, count) = (sum_us as f64 / 1e6, counts.iter().sum());
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn sinks(page: &mut MetricsPage<'_>, s: &Status) -> Result<(), Error> {
    fn of<T>(s: &Status, value: impl Fn(&SinkStatus) -> T) -> Vec<(Labels<'_>, T)> {
        s.sinks.iter().map(|k| (vec![("sink", k.name.as_str())], value(k))).collect()
    }
    let flag = |is: bool| f64::from(u8::from(is));
    page.gauges("sink_up", "1 when connected.", of(s, |k| flag(k.is_connected)))?;
    page.counters("sink_delivered", "Messages acknowledged.", of(s, |k| k.delivered))?;
    page.gauges("sink_lag_readings", "Readings behind, at most.", of(s, |k| k.lag as f64))?;
    page.counters("sink_set_aside", "Messages set aside.", of(s, |k| k.dead_letters))?;
    let dropped = of(s, |k| k.too_old + k.undated + k.dead_letters_dropped);
    page.counters("sink_dropped", "Values or messages that the other side will never have.", dropped)?;
    page.gauges("sink_refused", "Topics or series that the other side refuses now.", of(s, |k| k.refused as f64))?;
    page.gauges(
        "sink_clashes",
        "1 while another client of the same id takes the connection.",
        of(s, |k| flag(k.clashes)),
    )
}

/// Durations and failures of sinks and channels.
fn adapters(page: &mut MetricsPage<'_>, shared: &Shared) -> Result<(), Error> {
    let sinks: Vec<_> =
        lock(&shared.adapters.sinks).iter().map(|s| (s.settings.name().to_string(), Arc::clone(&s.health))).collect();
    page.histograms(
        "sink_write_seconds",
        "Time from a write until the other side answers it.",
        sinks.iter().map(|(name, h)| (vec![("sink", name.as_str())], h.write_timings.histogram().clone())),
    )?;
    page.counters(
        "sink_failures",
        "Writes to be tried again, and connections that broke or could not be made; refusals are in sink_set_aside_total.",
        sinks.iter().map(|(name, h)| (vec![("sink", name.as_str())], h.failures.load(Ordering::Relaxed))),
    )?;
    let channels: Vec<_> =
        lock(&shared.adapters.channels).iter().map(|c| (c.settings.id().to_string(), Arc::clone(&c.health))).collect();
    page.histograms(
        "channel_send_seconds",
        "Duration of each attempt to deliver a notification.",
        channels.iter().map(|(id, h)| (vec![("channel", id.as_str())], h.timings.histogram().clone())),
    )?;
    let attempts = channels.iter().flat_map(|(id, h)| {
        let outcomes =
            [("accepted", &h.accepted), ("later", &h.retried), ("rejected", &h.rejected), ("unknown", &h.unknown)];
        outcomes.map(|(outcome, n)| (vec![("channel", id.as_str()), ("outcome", outcome)], n.load(Ordering::Relaxed)))
    });
    page.counters("channel_attempts", "Attempts to deliver a notification, by outcome.", attempts)
}
