//! `plantroom page`: sends a test page, and lists what became of every page. `plantroom rota`: who is on call, and overrides.

use std::collections::BTreeMap;

use serde_json::json;

use crate::app::pages::masked;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, alarm, history, output, send_request};
use crate::clock::{self, Clock};
use crate::control::ControlRequest;
use crate::model::room::Room as _;
use crate::model::time::{UnixMillis, duration_ms};
use crate::oncall::room::{self, OncallRoom};
use crate::oncall::rota::{self, DAY_MS, OnCallPeriod};
use crate::store::event::{EventQuery, EventRow};
use crate::store::log;

/// Options of `page`: a test page, or the list of pages.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: PageAction,
}

#[derive(Debug, clap::Subcommand)]
enum PageAction {
    /// Page somebody for a trial: it has to be acknowledged like any other.
    Test {
        /// Who is paged: a person's id, as in `[[person]]`.
        person: String,
    },
    /// What became of every page: who was told, through what, and why not.
    Log {
        /// `rule.device`; all if none is named.
        key: Option<String>,
        /// From: a date, or so long ago (`24h`, `7d`).
        #[arg(long, default_value = "7d")]
        from: String,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: output::Format,
    },
}

/// Options of `rota`: who is on call, and who stands in.
#[derive(Debug, clap::Args)]
pub struct RotaArgs {
    #[command(subcommand)]
    what: RotaAction,
}

#[derive(Debug, clap::Subcommand)]
enum RotaAction {
    /// Who is on call when; gaps as well.
    Show {
        /// So many days from now on.
        #[arg(long, default_value_t = 14)]
        days: u32,
        /// One rota; all if none is named.
        #[arg(long)]
        rota: Option<String>,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: output::Format,
    },
    /// Somebody stands in for whoever the plan names.
    Override {
        /// Who stands in: a person's id, as in `[[person]]`.
        person: String,
        /// The rota; not needed where there is one.
        #[arg(long)]
        rota: Option<String>,
        /// From this moment, `2026-11-23T08:00`; now if none is named.
        #[arg(long)]
        from: Option<String>,
        /// For how long: `12h`, `2d`.
        #[arg(long = "for")]
        lasts: String,
    },
    /// Who stands in for whom, with numbers.
    Overrides {
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: output::Format,
    },
    /// Take one of them back.
    Withdraw {
        /// Its number, as `rota overrides` shows it.
        number: u64,
    },
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    match &args.what {
        PageAction::Test { person } => {
            send_request(global, &ControlRequest::PageTest { person: person.clone() })?;
            output::line(format!("{person} is being paged; `plantroom explain page_test.{person}` says how it stands"));
            Ok(())
        }
        PageAction::Log { key, from, format } => page_log(global, key.as_deref(), from, *format),
    }
}

pub fn rota(global: &Global, args: &RotaArgs) -> CommandOutcome {
    match &args.what {
        RotaAction::Show { days, rota, format } => show(global, *days, rota.as_deref(), *format),
        RotaAction::Override { person, rota, from, lasts } => {
            add_override(global, person, rota.as_deref(), from.as_deref(), lasts)
        }
        RotaAction::Overrides { format } => list_overrides(global, *format),
        RotaAction::Withdraw { number } => {
            send_request(global, &ControlRequest::RemoveOverride { number: *number })?;
            output::line(format!("override {number} is taken back: the rota holds again"));
            Ok(())
        }
    }
}

/// The overrides that this gateway's state holds.
pub fn overrides(global: &Global) -> Vec<rota::Override> {
    let kept = log::load_state(&global.state_dir().join("store.db"), OncallRoom::ID).unwrap_or_default();
    room::persisted(&kept, &mut Vec::new()).meta.overrides
}

/// This machine's date, Unix milliseconds.
pub fn now() -> i64 {
    Clock::new(&clock::ClockSettings::default(), UnixMillis(0)).wall().0
}

fn page_log(global: &Global, key: Option<&str>, from: &str, format: output::Format) -> CommandOutcome {
    let zone = global.zone();
    let from = Some(UnixMillis(history::parse_time(from, now(), &zone)?));
    let query =
        EventQuery { room: OncallRoom::ID.to_string(), key: key.map(str::to_string), from, ..EventQuery::default() };
    let cells = |row: &EventRow| {
        let body: serde_json::Value = serde_json::from_str(&row.body).unwrap_or_default();
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_string();
        vec![
            alarm::event_time(row, &zone),
            row.event.clone(),
            row.key.clone(),
            body["page"].as_u64().map_or(String::new(), |n| n.to_string()),
            text("kind"),
            text("whom"),
            text("channel"),
            text("why"),
        ]
    };
    let head = ["at", "what", "alarm", "page", "says", "whom", "channel", "why"];
    alarm::list_events(format, &head, &alarm::read_events(global, &query)?, cells);
    Ok(())
}

/// The configuration in force.
///
/// # Errors
/// It has errors.
pub fn configuration(global: &Global) -> Result<crate::config::Configuration, CommandFailure> {
    let loaded = crate::config::load(&global.config_in_force());
    loaded.configuration.ok_or_else(|| {
        CommandFailure::configuration("the configuration has errors").hint("`plantroom check` lists them")
    })
}

fn show(global: &Global, days: u32, one: Option<&str>, format: output::Format) -> CommandOutcome {
    let configuration = configuration(global)?;
    let plan = &configuration.oncall.plan;
    if let Some(id) = one.filter(|id| !plan.rotas.contains_key(*id)) {
        let known = plan.rotas.keys().map(String::as_str);
        return Err(CommandFailure::usage(format!("there is no rota `{id}`"))
            .hint(crate::model::problem::did_you_mean(id, known)));
    }
    let overrides = overrides(global);
    let (from, to) = (UnixMillis(now()), UnixMillis(now() + i64::from(days) * DAY_MS));
    let mut rows: BTreeMap<(UnixMillis, &str), OnCallPeriod> = BTreeMap::new();
    for id in plan.rotas.keys().filter(|id| one.is_none_or(|o| o == *id)) {
        let periods = rota::on_call_periods(plan, id, &overrides, from, to);
        rows.extend(periods.into_iter().map(|s| ((s.from, id.as_str()), s)));
    }
    let zone = &global.zone();
    let cells = |((_, id), s): (&(UnixMillis, &str), &OnCallPeriod)| {
        let person = s.person.as_ref().and_then(|p| plan.people.get(p));
        let contacts = person.map_or(String::new(), |p| {
            let way = |c: &crate::oncall::settings::Contact| match c.to.as_str() {
                "" => c.channel.clone(),
                to => format!("{} {}", c.channel, masked(to)),
            };
            p.contacts.iter().map(way).collect::<Vec<_>>().join(", ")
        });
        vec![
            (*id).to_string(),
            history::format_local(s.from.0, zone),
            history::format_local(s.to.0, zone),
            s.person.as_ref().map_or("NOBODY".to_string(), ToString::to_string),
            person.map_or(String::new(), |p| p.names.en.clone()),
            person.map_or(String::new(), |p| p.names.zh.clone()),
            if s.overridden { "stands in" } else { "" }.to_string(),
            contacts,
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::list(format, &["rota", "from", "to", "person", "en", "zh", "remark", "reached by"], &rows);
    Ok(())
}

fn list_overrides(global: &Global, format: output::Format) -> CommandOutcome {
    let zone = global.zone();
    let cells = |o: &rota::Override| {
        let at = |wall: UnixMillis| history::format_local(wall.0, &zone);
        vec![o.number.to_string(), o.rota.clone(), at(o.from), at(o.to), o.person.to_string(), o.actor.clone()]
    };
    let rows: Vec<Vec<String>> = overrides(global).iter().filter(|o| o.to.0 > now()).map(cells).collect();
    output::list(format, &["number", "rota", "from", "to", "person", "said by"], &rows);
    Ok(())
}

fn add_override(global: &Global, person: &str, id: Option<&str>, from: Option<&str>, lasts: &str) -> CommandOutcome {
    let configuration = configuration(global)?;
    let rotas = &configuration.oncall.plan.rotas;
    let id = match (id, rotas.len()) {
        (Some(id), _) => id.to_string(),
        (None, 1) => rotas.keys().next().cloned().unwrap_or_default(),
        (None, n) => return Err(CommandFailure::usage(format!("there are {n} rotas")).hint("--rota ID says which")),
    };
    let zone = &global.zone();
    let from = from.map_or(Ok(now()), |text| history::parse_time(text, now(), zone))?;
    let length = duration_ms(lasts).and_then(|ms| i64::try_from(ms).ok());
    let length =
        length.ok_or_else(|| CommandFailure::usage(format!("`{lasts}` is not a length of time")).hint("12h, 2d"))?;
    let override_request = json!({ "rota": id, "person": person, "from": from, "to": from + length });
    send_request(global, &ControlRequest::AddOverride { new_override: override_request })?;
    let until = history::format_local(from + length, zone);
    output::line(format!("{person} is on call in rota {id} from {} until {until}", history::format_local(from, zone)));
    Ok(())
}
