//! People, rotas, chains and channels: every reference must resolve, every person needs a contact, every step of a chain a
//! recipient.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use crate::channel;
use crate::clock::{self, Clock};
use crate::config::catalogue::Catalogue;
use crate::config::check_reach;
use crate::config::check_site::{ID_HINT, is_id};
use crate::config::doc::{Problems, TomlEntry, single};
use crate::config::{ConfiguredDevice, Files};
use crate::http;
use crate::model::flood::FLOOD_DEVICE;
use crate::model::point::LocalizedText;
use crate::model::problem::did_you_mean;
use crate::model::time::UnixMillis;
use crate::oncall::plan::{EscalationPolicy, EscalationStep, OncallPlan, PersonPlan, RotaPlan, ShiftPlan};
use crate::oncall::settings::{self as file, OncallSettings, StepTarget};

/// Most steps of a chain.
const STEPS: usize = 5;

/// The checked on-call configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OncallTables {
    pub plan: Arc<OncallPlan>,
    pub channels: Vec<channel::kinds::ChannelSettings>,
    pub settings: OncallSettings,
}

/// Checks all on-call tables. If some table could not be read before, missing chains are not reported.
pub fn check(
    files: &Files<'_>,
    catalogue: &Catalogue,
    devices: &BTreeMap<String, ConfiguredDevice>,
    zone: &TimeZone,
    is_incomplete: bool,
    problems: &mut Problems,
) -> OncallTables {
    let settings = single(&files.oncall, "oncall", problems).cloned().unwrap_or_default();
    let channels = channels(files, problems);
    let mut plan = OncallPlan {
        channels: channels.iter().map(|c| (c.id().to_string(), c.rate_limit())).collect(),
        zone: zone.clone(),
        group_wait_ms: settings.gather.0,
        recurrence_ms: settings.returns_within.0,
        override_ms: settings.override_max.0,
        device_tags: devices.iter().map(|(id, d)| (id.clone(), (d.class.clone(), d.area.clone()))).collect(),
        ..OncallPlan::default()
    };
    for own in ["gateway", FLOOD_DEVICE] {
        plan.device_tags.insert(own.to_string(), (own.to_string(), String::new()));
    }
    if let Some(entry) = files.oncall.first() {
        general(entry, catalogue, &mut plan, problems);
    } else {
        plan.digest = parse_time(&settings.digest).unwrap_or_default();
    }
    people(files, &channels, &mut plan, problems);
    rotas(files, &mut plan, problems);
    check_escalation_policies(files, catalogue, &mut plan, problems);
    check_reach::check(files, &plan, now(), problems);
    if let (Some(person), true, false) = (files.person.first(), files.chain.is_empty(), is_incomplete) {
        let hint = "[[chain]] with steps: who is told first, who next";
        problems.warning(person.table.location(&["id"]), "there are people, and nobody is told of anything", hint);
    }
    OncallTables { plan: Arc::new(plan), channels, settings }
}

/// This machine's date, to find shifts that have not begun.
fn now() -> UnixMillis {
    Clock::new(&clock::ClockSettings::default(), UnixMillis(0)).wall()
}

fn parse_time(text: &str) -> Option<Time> {
    if text == "24:00" {
        return Some(Time::midnight());
    }
    let (h, m) = text.split_once(':')?;
    Time::new(h.parse().ok()?, m.parse().ok()?, 0, 0).ok()
}

fn weekday(text: &str) -> Option<Weekday> {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let index = days.iter().position(|d| *d == text)?;
    Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()
}

fn general(
    entry: &TomlEntry<'_, OncallSettings>,
    catalogue: &Catalogue,
    plan: &mut OncallPlan,
    problems: &mut Problems,
) {
    let s = &entry.value;
    let at = |key: &str| entry.table.location(&[key]);
    for (i, hours) in s.quiet.iter().enumerate() {
        match hours.split_once('-').and_then(|(from, to)| Some((parse_time(from.trim())?, parse_time(to.trim())?))) {
            Some((from, to)) if from != to => plan.quiet_hours.push((from, to)),
            _ => problems.error(
                entry.table.location(&["quiet", &i.to_string()]),
                format!("`{hours}` are no hours"),
                "21:00-08:00",
            ),
        }
    }
    match parse_time(&s.digest) {
        Some(digest) => plan.digest = digest,
        None => problems.error(at("digest"), format!("`{}` is no time of the day", s.digest), "08:30"),
    }
    if !s.test.is_empty() {
        let read = s.test.split_once(' ').and_then(|(d, t)| Some((weekday(d)?, parse_time(t)?)));
        match read {
            Some((day, at)) => plan.test = Some((day, at, s.test_within.0)),
            None => problems.error(at("test"), format!("`{}` is no day and time", s.test), "mon 10:00"),
        }
    }
    let procedure = s.procedure.as_str();
    if !procedure.is_empty() && !["https://", "http://"].iter().any(|head| procedure.starts_with(head)) {
        problems.error(at("procedure"), format!("`{procedure}` is no address"), "https://wiki.example/{rule}");
    }
    for (i, phone) in s.phone.iter().enumerate() {
        let place = |key: &str| entry.table.location(&["phone", &i.to_string(), key]);
        let is_dialled = |c: char| c.is_ascii_digit() || "+- ()".contains(c);
        let digits = phone.number.chars().filter(char::is_ascii_digit).count();
        if !phone.number.chars().all(is_dialled) || !(3..=20).contains(&digits) {
            problems.error(place("number"), format!("`{}` is no telephone number", phone.number), "+86 21 1234 5678");
        }
        let classes = &catalogue.vocabulary.classes;
        for class in phone.classes.iter().filter(|c| !classes.contains_key(c.as_str())) {
            let hint = did_you_mean(class, classes.keys().map(|c| &**c));
            problems.error(place("classes"), format!("unknown class `{class}`"), hint);
        }
    }
    if !s.calendar.is_empty() {
        match catalogue.calendars.get(&s.calendar) {
            Some(calendar) => plan.calendar = calendar.clone(),
            None => {
                let known = catalogue.calendars.keys().map(String::as_str);
                problems.error(
                    at("calendar"),
                    format!("unknown calendar `{}`", s.calendar),
                    did_you_mean(&s.calendar, known),
                );
            }
        }
    }
    if !s.url.is_empty() && !http::is_address(&s.url) {
        problems.error(
            at("url"),
            format!("`{}` is no address", http::without_secrets(&s.url)),
            "https://box.example:8443",
        );
    }
}

fn channels(files: &Files<'_>, problems: &mut Problems) -> Vec<channel::kinds::ChannelSettings> {
    let mut out: Vec<channel::kinds::ChannelSettings> = Vec::new();
    for (settings, at) in &files.channel {
        if !is_id(settings.id()) {
            problems.error(at.location(&["id"]), format!("`{}` cannot be a channel's id", settings.id()), ID_HINT);
        }
        if out.iter().any(|o| o.id() == settings.id()) {
            problems.error(
                at.location(&["id"]),
                format!("there is a channel `{}` already", settings.id()),
                "ids are unique",
            );
        }
        if settings.rate_limit().per_min <= 0.0 {
            problems.error(at.location(&["per_min"]), "per_min is at least 1", "");
        }
        for (key, what, hint) in settings.problems() {
            problems.error(at.location(&[key]), what, hint);
        }
        out.push(settings.clone());
    }
    out
}

fn people(
    files: &Files<'_>,
    channels: &[channel::kinds::ChannelSettings],
    plan: &mut OncallPlan,
    problems: &mut Problems,
) {
    for entry in &files.person {
        let p = &entry.value;
        let at = |key: &str| entry.table.location(&[key]);
        if !is_id(&p.id) {
            problems.error(at("id"), format!("`{}` cannot be a person's id", p.id), ID_HINT);
        }
        if p.contacts.is_empty() {
            let hint = "contacts = [{ channel = \"…\", to = \"…\" }]: whoever cannot be reached cannot be on call";
            problems.error(at("contacts"), format!("`{}` has no way to be reached", p.id), hint);
        }
        for (i, contact) in p.contacts.iter().enumerate() {
            let place = |key: &str| entry.table.location(&["contacts", &i.to_string(), key]);
            match channels.iter().find(|c| c.id() == contact.channel) {
                None => {
                    let hint = did_you_mean(&contact.channel, channels.iter().map(channel::kinds::ChannelSettings::id));
                    problems.error(place("channel"), format!("unknown channel `{}`", contact.channel), hint);
                }
                Some(c) if c.requires_address() && contact.to.is_empty() => {
                    problems.error(place("channel"), format!("`{}` does not say where to", p.id), "to = \"…\"");
                }
                Some(c) => {
                    if let Some((what, example)) = c.address_problem(&contact.to) {
                        problems.error(place("to"), format!("`{}` cannot be reached so: {what}", p.id), example);
                    }
                }
            }
        }
        let person = PersonPlan {
            names: LocalizedText { zh: p.zh.clone(), en: p.en.clone() },
            language: p.language,
            roles: p.roles.clone(),
            contacts: p.contacts.clone(),
        };
        if plan.people.insert(p.id.as_str().into(), person).is_some() {
            problems.error(at("id"), format!("there is a person `{}` already", p.id), "ids are unique");
        }
    }
}

fn rotas(files: &Files<'_>, plan: &mut OncallPlan, problems: &mut Problems) {
    for entry in &files.rota {
        let rota = &entry.value;
        if !is_id(&rota.id) {
            problems.error(entry.table.location(&["id"]), format!("`{}` cannot be a rota's id", rota.id), ID_HINT);
        }
        let mut shifts = Vec::new();
        for (i, shift) in rota.shift.iter().enumerate() {
            let at = |key: &str| entry.table.location(&["shift", &i.to_string(), key]);
            for (k, person) in shift.people.iter().enumerate() {
                if !plan.people.contains_key(person.as_str()) {
                    let place = entry.table.location(&["shift", &i.to_string(), "people", &k.to_string()]);
                    let known = plan.people.keys().map(|k| &**k);
                    problems.error(place, format!("unknown person `{person}`"), did_you_mean(person, known));
                }
            }
            if shift.people.is_empty() {
                problems.error(at("people"), "a shift of nobody", "people = [\"…\"]");
            }
            let since = shift.since.as_ref().map(|s| s.parse::<Date>());
            let since = match since {
                Some(Ok(date)) => date,
                Some(Err(_)) => {
                    problems.error(at("since"), "that is no date", "2026-11-02");
                    continue;
                }
                None if shift.people.len() > 1 => {
                    problems.error(
                        at("people"),
                        "several people, and nobody says who begins",
                        "since = \"2026-11-02\"",
                    );
                    continue;
                }
                None => Date::constant(2024, 1, 1),
            };
            match (parse_time(&shift.from), parse_time(&shift.to)) {
                (Some(from), Some(to)) => {
                    let people = shift.people.iter().map(|p| p.as_str().into()).collect();
                    shifts.push(ShiftPlan { people, turn: shift.turn, since, from, to, days: shift.days.clone() });
                }
                (None, _) => problems.error(at("from"), format!("`{}` is no time of the day", shift.from), "08:00"),
                (_, None) => problems.error(at("to"), format!("`{}` is no time of the day", shift.to), "08:00"),
            }
        }
        if rota.shift.is_empty() {
            problems.error(entry.table.location(&["id"]), "a rota without shifts", "[[rota.shift]]");
        }
        if plan.rotas.insert(rota.id.clone(), RotaPlan { shifts }).is_some() {
            problems.error(
                entry.table.location(&["id"]),
                format!("there is a rota `{}` already", rota.id),
                "ids are unique",
            );
        }
    }
}

fn check_escalation_policies(files: &Files<'_>, catalogue: &Catalogue, plan: &mut OncallPlan, problems: &mut Problems) {
    for entry in &files.chain {
        let escalation_policy = &entry.value;
        let at = |key: &str| entry.table.location(&[key]);
        if !is_id(&escalation_policy.id) {
            problems.error(at("id"), format!("`{}` cannot be a chain's id", escalation_policy.id), ID_HINT);
        }
        if plan.escalation_policies.iter().any(|c| *c.id == *escalation_policy.id) {
            problems.error(at("id"), format!("there is a chain `{}` already", escalation_policy.id), "ids are unique");
        }
        if escalation_policy.step.is_empty() || escalation_policy.step.len() > STEPS {
            problems.error(
                at("step"),
                format!("{} steps", escalation_policy.step.len()),
                "one to five: [[chain.step]]",
            );
        }
        for (i, class) in escalation_policy.classes.iter().enumerate() {
            let classes = &catalogue.vocabulary.classes;
            if !classes.contains_key(class.as_str()) && class != "link" {
                let hint = did_you_mean(class, classes.keys().map(|k| &**k));
                problems.error(
                    entry.table.location(&["classes", &i.to_string()]),
                    format!("unknown class `{class}`"),
                    hint,
                );
            }
        }
        let steps = escalation_policy
            .step
            .iter()
            .enumerate()
            .map(|(i, s)| escalation_step(entry, i, s, plan, problems))
            .collect::<Vec<_>>();
        if steps.is_empty() {
            continue;
        }
        plan.escalation_policies.push(EscalationPolicy {
            id: escalation_policy.id.as_str().into(),
            priorities: escalation_policy.priorities.clone(),
            classes: escalation_policy.classes.clone(),
            areas: escalation_policy.areas.clone(),
            steps,
            repeat: escalation_policy.rounds,
        });
    }
}

fn escalation_step(
    entry: &TomlEntry<'_, file::Chain>,
    i: usize,
    step: &file::StepSettings,
    plan: &OncallPlan,
    problems: &mut Problems,
) -> EscalationStep {
    let n = i.to_string();
    for (k, target) in step.tell.iter().enumerate() {
        let place = || entry.table.location(&["step", &n, "tell", &k.to_string()]);
        let mut unknown = |what: &str, name: &str, known: Vec<&str>| {
            if !known.contains(&name) {
                problems.error(place(), format!("unknown {what} `{name}`"), did_you_mean(name, known.iter().copied()));
            }
        };
        match target {
            StepTarget::Rota(id) | StepTarget::Next(id) => {
                unknown("rota", id, plan.rotas.keys().map(String::as_str).collect());
            }
            StepTarget::Person(id) => unknown("person", id, plan.people.keys().map(|k| &**k).collect()),
            StepTarget::Channel(id) => unknown("channel", id, plan.channels.keys().map(String::as_str).collect()),
            StepTarget::Role(role) => {
                let roles: Vec<&str> = plan.people.values().flat_map(|p| &p.roles).map(String::as_str).collect();
                unknown("role", role, roles);
            }
        }
    }
    for (k, channel) in step.by.iter().enumerate() {
        if !plan.channels.contains_key(channel) {
            let place = entry.table.location(&["step", &n, "by", &k.to_string()]);
            let hint = did_you_mean(channel, plan.channels.keys().map(String::as_str));
            problems.error(place, format!("unknown channel `{channel}`"), hint);
        }
    }
    if step.tell.is_empty() {
        problems.error(
            entry.table.location(&["step", &n, "tell"]),
            "a step that tells nobody",
            "tell = [\"…\"]: a rota's id, role:…",
        );
    }
    if step.wait.0 == 0 {
        problems.error(entry.table.location(&["step", &n, "wait"]), "a step that waits for nobody", "wait = \"5m\"");
    }
    EscalationStep { targets: step.tell.clone(), channels: step.by.clone(), wait_ms: step.wait.0 }
}
