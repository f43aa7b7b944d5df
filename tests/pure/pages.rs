//! Who is told what and when, as timelines in text: a configuration, what happens, and below what leaves. `UPDATE=1` writes what
//! came.
//!
//! Channels answer after a second: `channel push down` (no connection), `busy 30s` (too many, come back then), `no` (refused),
//! `silent` (nobody knows), `ok`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use plantroom::config::doc::Texts;
use plantroom::model::actor::{Actor, Role, Via};
use plantroom::model::command::{PageReply, Reply};
use plantroom::model::notification::DeliveryOutcome;
use plantroom::model::page::{ConditionStatus, PageKind};
use plantroom::model::point::LocalizedText;
use plantroom::model::priority::Priority;
use plantroom::model::time::{MonotonicMillis, Now, UnixMillis, duration_ms};
use plantroom::oncall::answers;
use plantroom::oncall::incident::IncidentStage;
use plantroom::oncall::page::{OncallEvent, OncallEventKind};
use plantroom::oncall::plan::OncallPlan;
use plantroom::oncall::rota::Override;
use plantroom::oncall::{Meta, Oncall, OncallOutput, PersistedIncident, PersistedOncall};

use crate::alarms::{clock, compare, duration};

const COMMON: &str = include_str!("pages/common.toml");
/// How long a channel takes to answer.
const LATENCY_MS: u64 = 1_000;

struct World {
    oncall: Oncall,
    plan: Arc<OncallPlan>,
    incidents: BTreeMap<String, PersistedIncident>,
    meta: Meta,
    at_ms: u64,
    mono_offset: i64,
    wall_offset: i64,
    trusted: bool,
    boot: u32,
    channels: BTreeMap<String, String>,
    /// Answers on their way: when, which try, what.
    answers: BTreeMap<(u64, u64), DeliveryOutcome>,
    occurrences: BTreeMap<String, (u64, Priority)>,
    out: String,
}

/// The plan of a configuration: the site, what is common, and the header.
pub fn plan(header: &str) -> (Arc<OncallPlan>, UnixMillis) {
    let mut table: toml::Table = header.parse().unwrap_or_else(|e| panic!("the header is no TOML: {e}"));
    let world = table.remove("world").map_or_else(toml::Table::new, |w| w.as_table().unwrap().clone());
    let get = |key: &str, or: &str| world.get(key).and_then(|v| v.as_str()).unwrap_or(or).to_string();
    let zone = get("zone", "Asia/Shanghai");
    let site = format!("[site]\nid = \"s\"\nzh = \"站\"\nen = \"Site\"\ntime_zone = \"{zone}\"\n");
    let mut files = vec![("site.toml".to_string(), site), ("own.toml".to_string(), table.to_string())];
    // Whoever brings people of their own needs nobody else.
    let mut common: toml::Table = COMMON.parse().unwrap();
    common.retain(|key, _| !table.contains_key(key));
    files.push(("common.toml".to_string(), common.to_string()));
    let loaded = plantroom::config::load_texts(&Texts { files }, None);
    let configuration = loaded.configuration.unwrap_or_else(|| panic!("{:#?}", loaded.problems));
    let mut plan = (*configuration.oncall.plan).clone();
    for (device, class, area) in [("lift", "elevator", "3号楼"), ("sump", "sump", "地库"), ("m1", "meter", "")] {
        plan.device_tags.insert(device.into(), (class.into(), area.into()));
    }
    for n in 1..=16 {
        plan.device_tags.insert(format!("leak-{n}"), ("environment".into(), "B2".into()));
    }
    let begin: jiff::civil::DateTime = get("begin", "2026-06-01T00:00").parse().unwrap();
    let begin = begin.to_zoned(plan.zone.clone()).unwrap().timestamp().as_millisecond();
    (Arc::new(plan), UnixMillis(begin))
}

/// Somebody at the box.
pub fn person(id: &str) -> Actor {
    Actor::local(id, 0, Role::Engineer)
}

impl World {
    fn new(header: &str) -> Self {
        let (plan, begin) = plan(header);
        let mut world = Self {
            oncall: Oncall::default(),
            plan: Arc::clone(&plan),
            incidents: BTreeMap::new(),
            meta: Meta::default(),
            at_ms: 0,
            mono_offset: 1_000_000,
            wall_offset: begin.0,
            trusted: true,
            boot: 0,
            channels: BTreeMap::new(),
            answers: BTreeMap::new(),
            occurrences: BTreeMap::new(),
            out: String::new(),
        };
        world.oncall = Oncall::new(plan, PersistedOncall::default(), "boot-0", world.now());
        world
    }

    fn now(&self) -> Now {
        Now {
            mono: MonotonicMillis((self.at_ms as i64 + self.mono_offset) as u64),
            wall: UnixMillis(self.at_ms as i64 + self.wall_offset),
            wall_trusted: self.trusted,
        }
    }

    fn say(&mut self, text: &str) {
        let _infallible = writeln!(self.out, "{:>11}  {}", clock(self.at_ms / 1_000), text.trim_end());
    }

    /// One step of the desk: something happens, and time has passed.
    fn step(&mut self, happens: impl FnOnce(&mut Oncall, Now, &mut OncallOutput)) {
        let now = self.now();
        let mut out = OncallOutput::default();
        happens(&mut self.oncall, now, &mut out);
        self.oncall.tick(now, &mut out);
        for entry in out.log.iter().filter(|e| e.event != "page_sent") {
            let of = [entry.event, &entry.key, &entry.recipient, &entry.channel, &entry.reason];
            let words: Vec<&str> = of.into_iter().filter(|w| !w.is_empty()).collect();
            self.say(&words.join(" "));
        }
        for send in &out.sends {
            let about: Vec<String> = send
                .items
                .iter()
                .map(|a| format!("{} {}#{}{}", a.kind.word(), a.key, a.occurrence, stands(a.condition)))
                .collect();
            let again = if send.may_be_duplicate { " (perhaps again)" } else { "" };
            let text =
                format!("-> {} {} {} {}{again}", send.recipient, send.channel, send.priority.word(), about.join(", "));
            self.say(&text);
            let state = self.channels.get(&*send.channel).cloned().unwrap_or_else(|| "ok".into());
            let why = |text: &str| text.to_string();
            let answer = match state.split(' ').collect::<Vec<_>>()[..] {
                ["ok"] => DeliveryOutcome::Accepted,
                ["down"] => DeliveryOutcome::RetryLater { after_ms: Some(15_000), reason: why("no connection") },
                ["busy"] => DeliveryOutcome::RetryLater { after_ms: None, reason: why("too many messages") },
                ["busy", for_so_long] => {
                    DeliveryOutcome::RetryLater { after_ms: duration_ms(for_so_long), reason: why("too many messages") }
                }
                ["no"] => DeliveryOutcome::Rejected { reason: why("refused") },
                ["silent"] => DeliveryOutcome::Unknown { reason: why("no answer in time") },
                _ => panic!("no such state: {state}"),
            };
            self.answers.insert((self.at_ms + LATENCY_MS, send.id), answer);
        }
        for (key, kept) in out.changed {
            match kept {
                Some(kept) => drop(self.incidents.insert(key.to_string(), kept)),
                None => drop(self.incidents.remove(&*key)),
            }
        }
        self.meta = out.meta.unwrap_or(std::mem::take(&mut self.meta));
        let wake = self.oncall.next_wake();
        assert!(wake.is_none_or(|at| at > now.mono), "wants to be asked again at once: {wake:?}\n{}", self.out);
    }

    /// Time goes on; whoever wants to be asked in between is.
    fn go(&mut self, to: u64) {
        assert!(to >= self.at_ms, "time goes back to {to}");
        loop {
            let wake =
                self.oncall.next_wake().map(|at| (at.0 as i64 - self.mono_offset).max(self.at_ms as i64 + 1) as u64);
            let answer = self.answers.keys().next().copied();
            let next = wake.into_iter().chain(answer.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at <= to) else { break };
            self.at_ms = next.max(self.at_ms);
            if let Some(key) = answer.filter(|(at, _)| *at <= self.at_ms) {
                let answer = self.answers.remove(&key).unwrap();
                self.step(|oncall, now, out| oncall.delivery_finished(key.1, &answer, now, out));
            } else {
                self.step(|_, _, _| {});
            }
        }
        self.at_ms = to;
    }

    fn news(&mut self, key: &str, what: OncallEventKind) {
        let (occurrence, priority) = self.occurrences.get(key).copied().unwrap_or((0, Priority::P2));
        self.told(key, occurrence, priority, false, what);
    }

    fn told(&mut self, key: &str, occurrence: u64, priority: Priority, merged: bool, what: OncallEventKind) {
        let news = OncallEvent { key: key.into(), occurrence, priority, is_test: false, merged, kind: what };
        self.step(|oncall, now, out| oncall.handle_event(&news, now, out));
    }

    fn raise(&mut self, key: &str, priority: &str, merged: bool) {
        let priority = Priority::ALL.into_iter().find(|p| p.word() == priority).unwrap();
        let occurrence = self.occurrences.get(key).map_or(1, |(n, _)| n + 1);
        self.occurrences.insert(key.into(), (occurrence, priority));
        self.told(
            key,
            occurrence,
            priority,
            merged && priority > Priority::P1,
            OncallEventKind::PageRequired(PageKind::Raised),
        );
    }

    fn refused(&mut self, result: Result<(), impl std::fmt::Display>) {
        if let Err(why) = result {
            self.say(&format!("refused: {why}"));
        }
    }

    /// A short message comes in; what it means for alarms is said in place of the rules.
    fn reply(&mut self, channel: &str, number: &str, text: &str) {
        let Some(said) = answers::parse_reply(if text.is_empty() { "1" } else { text }) else {
            return self.say("no answer");
        };
        let page = self.oncall.find_answered_page(channel, number, said);
        let found = page.and_then(|id| self.oncall.page(id));
        let Some((key, by)) = found.map(|(key, _, page)| (key.to_string(), page.recipient.to_string())) else {
            return self.say("an answer to nothing");
        };
        let is_wanted = self.oncall.incident(&key).is_some_and(|i| i.stage == IncidentStage::Paging);
        if is_wanted {
            self.news(&key, OncallEventKind::Acknowledged { actor: by.clone() });
        }
        if said.is_on_site {
            self.news(&key, OncallEventKind::Arrived { actor: by.clone() });
        }
        let refused = (!is_wanted && !said.is_on_site).then(|| LocalizedText::both("已有人接单", "somebody has it"));
        let reply = if said.is_on_site { Reply::Arrive } else { Reply::Acknowledge };
        let reply = PageReply { needs_confirmation: true, ..PageReply::new(page.unwrap(), reply) };
        let actor = Actor { via: Via::Message(channel.into()), ..person(&by) };
        self.step(|oncall, now, out| {
            let outcome = answers::ReplyOutcome { refused: refused.as_ref(), is_final: true };
            oncall.record_reply(&reply, &actor, outcome, now, out);
        });
    }

    fn stand_in(&mut self, rota: &str, who: &str, after: &str, length: &str) {
        let from = UnixMillis(self.now().wall.0 + duration(after) as i64);
        let to = UnixMillis(from.0 + duration(length) as i64);
        let wanted = Override { rota: rota.into(), from, to, person: who.into(), actor: "boss".into(), number: 0 };
        let mut refused = Ok(());
        self.step(|oncall, now, out| refused = oncall.add_override(wanted, &person("boss"), now, out));
        self.refused(refused);
    }

    fn happens(&mut self, what: &str) {
        let words: Vec<&str> = what.split_whitespace().collect();
        match words[..] {
            ["raise", key, priority] => self.raise(key, priority, false),
            ["flooded", key, priority] => self.raise(key, priority, true),
            ["raise", count, "x", key, priority] => {
                for n in 1..=count.parse::<u32>().unwrap() {
                    self.raise(&key.replace("{n}", &n.to_string()), priority, false);
                }
            }
            ["worse", key, priority] => {
                let priority = Priority::ALL.into_iter().find(|p| p.word() == priority).unwrap();
                self.occurrences.get_mut(key).unwrap().1 = priority;
                self.news(key, OncallEventKind::PageRequired(PageKind::Escalated));
            }
            ["clear", key] => self.news(key, OncallEventKind::ConditionEnded { latched: false }),
            ["lock", key] => self.news(key, OncallEventKind::ConditionEnded { latched: true }),
            ["chatters", key] => self.news(key, OncallEventKind::Chatters),
            ["reset", key, by] => self.news(key, OncallEventKind::Resolved(format!("{by} has reset it"))),
            ["arrived", key, by] => self.news(key, OncallEventKind::Arrived { actor: by.into() }),
            ["ack", key, by] => self.news(key, OncallEventKind::Acknowledged { actor: by.into() }),
            ["handover", key, by, to] => {
                self.news(key, OncallEventKind::HandedOver { actor: by.into(), to: to.into() });
            }
            ["late", key] => self.news(key, OncallEventKind::ArrivalOverdue),
            ["shelve", key] => self.news(key, OncallEventKind::Suppressed("it is shelved")),
            ["unshelve", key] => self.news(key, OncallEventKind::PageRequired(PageKind::Raised)),
            ["flood", "on"] => self.news("", OncallEventKind::FloodBegan { count: 11, within_ms: 600_000 }),
            ["flood", "off"] => self.news("", OncallEventKind::FloodEnded),
            ["channel", id, ref state @ ..] => drop(self.channels.insert(id.into(), state.join(" "))),
            ["test", id] => {
                let mut refused: Result<(), LocalizedText> = Ok(());
                self.step(|oncall, now, out| refused = oncall.send_test_page(id, &person(""), now, out).map(drop));
                self.refused(refused);
            }
            ["answer", key, by] => {
                let mut refused = Ok(());
                self.step(|oncall, now, out| refused = oncall.answer_test(key, &person(by), now, out));
                self.refused(refused);
            }
            ["reply", channel, number, ref text @ ..] => self.reply(channel, number, &text.join(" ")),
            ["withdraw", number] => {
                let mut refused = Ok(());
                self.step(|oncall, _, out| {
                    refused = oncall.remove_override(number.parse().unwrap(), &person("boss"), out);
                });
                self.refused(refused);
            }
            ["standin", rota, who, after, length] => self.stand_in(rota, who, after, length),
            ["kill"] => self.restart(0, false),
            ["restart", away] => self.restart(duration(away), true),
            ["untrusted"] => self.trusted = false,
            ["trusted"] => self.trusted = true,
            ["clock", by] => {
                let (sign, length) = by.split_at(1);
                let ms = duration(length) as i64;
                self.wall_offset += if sign == "-" { -ms } else { ms };
            }
            ["explain", key] => {
                let lines = self.oncall.explain(key, self.now());
                lines.iter().for_each(|l| self.say(&format!("| {l}")));
            }
            ["tick"] => self.step(|_, _, _| {}),
            _ => panic!("nothing happens like that: {what}"),
        }
    }

    /// The process ends and begins again; what is on its way is not heard of any more.
    fn restart(&mut self, away_ms: u64, is_boot: bool) {
        self.answers.clear();
        self.at_ms += away_ms;
        if is_boot {
            self.mono_offset = 60_000 - self.at_ms as i64;
            self.boot += 1;
        }
        let text = serde_json::to_vec(&self.incidents).unwrap();
        let incidents = serde_json::from_slice(&text).unwrap();
        let stored = PersistedOncall { incidents, meta: self.meta.clone() };
        self.oncall = Oncall::new(Arc::clone(&self.plan), stored, &format!("boot-{}", self.boot), self.now());
        self.step(|_, _, _| {});
    }
}

fn stands(stands: ConditionStatus) -> &'static str {
    match stands {
        ConditionStatus::Active => "",
        ConditionStatus::Ended => " (gone)",
        ConditionStatus::Latched => " (locked)",
    }
}

fn play(path: &Path) {
    compare(path, |header, lines| {
        let mut world = World::new(header);
        for line in lines {
            let (when, what) = line.split_once(' ').unwrap_or_else(|| panic!("no moment in {line:?}"));
            world.go(if when == "0s" { 0 } else { duration(when) });
            world.happens(what.trim());
        }
        world.out
    });
}

#[test]
fn pages_come_out_as_they_are_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pure/pages");
    let paths: BTreeSet<_> = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
    let paths: Vec<_> = paths.iter().filter(|p| p.extension().is_some_and(|e| e == "txt")).collect();
    assert!(paths.len() >= 8, "the timelines are there");
    paths.iter().for_each(|p| play(p));
}

/// Every rule of the catalogue fits into a short message, in both languages, with its first line whole where it can be.
#[test]
fn every_alarm_fits_into_a_short_message() {
    use plantroom::model::page::PageItem;
    use plantroom::model::point::Language;
    use plantroom::presentation::message::{MessageSubject, SHORT, message};
    let catalogue = plantroom::config::builtin::read(None, &mut plantroom::config::doc::Problems::default());
    let fill = |text: &str| text.replace("{v}", "1.82").replace("{limit}", "1.6").replace("{n}", "2");
    let mut count = 0;
    for (name, template) in catalogue.rules.values().flatten() {
        let rule = &template.rule;
        let text = |t: &str, device: &str| fill(t).replace("{device}", device).replace("{area}", "3");
        let subject = MessageSubject {
            text: LocalizedText { zh: text(&rule.zh, "2#集水井"), en: text(&rule.en, "Sump 2") },
            area: "3号楼地库".into(),
            name: LocalizedText { zh: "2#集水井".into(), en: "Sump 2".into() },
            action: rule.action.clone(),
            since: "11-22 14:00".into(),
            ..MessageSubject::default()
        };
        let about = PageItem {
            page: 7,
            kind: PageKind::Raised,
            key: format!("{name}.sump-2").into(),
            occurrence: 3,
            priority: rule.priority,
            actor: String::new(),
            condition: ConditionStatus::Active,
            alarm_flood: (0, 0),
            is_test: false,
            reply_result: LocalizedText::default(),
            can_arrive: false,
        };
        for (language, answer) in [(Language::Zh, "回37确认"), (Language::En, "reply 37")] {
            let said = message(&[(about.clone(), subject.clone())], language, false, answer);
            assert!(
                said.short.encode_utf16().count() <= SHORT,
                "{name}: {} {}",
                said.short.chars().count(),
                said.short
            );
            assert!(said.short.ends_with(answer) && !said.short.contains('\n'), "{name}: {}", said.short);
            assert!(said.title.starts_with(&format!("[{}] ", rule.priority.word())), "{name}: {}", said.title);
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn messages_in_both_languages() {
    use plantroom::model::page::PageItem;
    use plantroom::model::point::Language;
    use plantroom::presentation::message::{MessageSubject, message};
    let about = |kind, key: &str, by: &str| PageItem {
        page: 7,
        kind,
        key: key.into(),
        occurrence: 3,
        priority: Priority::P1,
        actor: by.into(),
        condition: ConditionStatus::Active,
        alarm_flood: (11, 600_000),
        is_test: false,
        reply_result: if kind == PageKind::ReplyResult {
            LocalizedText::both("已确认，由你负责：", "YOURS NOW: ")
        } else {
            LocalizedText::default()
        },
        can_arrive: kind == PageKind::ReplyResult,
    };
    let lift = MessageSubject {
        area: "3号楼".into(),
        name: LocalizedText { zh: "1号梯".into(), en: "Lift 1".into() },
        text: LocalizedText { zh: "1号梯 困人".into(), en: "Lift 1: somebody is trapped".into() },
        action: LocalizedText { zh: "安抚乘客".into(), en: "Talk to them".into() },
        since: "11-22 14:00".into(),
        ..MessageSubject::default()
    };
    let one = |kind, by: &str, language, repeat| {
        let said = message(&[(about(kind, "entrapment.lift-1", by), lift.clone())], language, repeat, "reply 1");
        format!("{} | {} | {}", said.title, said.body.trim_end().replace('\n', " / "), said.short)
    };
    let (zh, en) = (Language::Zh, Language::En);
    let said = [
        one(PageKind::Raised, "", zh, false),
        one(PageKind::Raised, "", en, true),
        one(PageKind::Escalated, "", en, false),
        one(PageKind::Reminded, "", zh, false),
        one(PageKind::HandedOver, "", en, false),
        one(PageKind::ArrivalOverdue, "", zh, false),
        one(PageKind::Acknowledged, "li", zh, false),
        one(PageKind::Resolved, "", en, false),
        one(PageKind::ReplyResult, "", zh, false),
        one(PageKind::ReplyResult, "", en, false),
        one(PageKind::Test, "", zh, false),
        one(PageKind::AlarmFlood, "11 alarms in 10m", en, false),
    ];
    let many: Vec<_> = (1..=7).map(|n| (about(PageKind::Raised, &format!("a{n}.lift-1"), ""), lift.clone())).collect();
    let many = message(&many, en, false, "");
    let text = format!("{}\n{} | {}\n{}\n", said.join("\n"), many.title, many.short, many.body);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pure/pages/messages.md");
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if text != expected {
        assert!(std::env::var_os("UPDATE").is_some(), "this came\n{text}\nand this was expected\n{expected}");
        std::fs::write(path, text).unwrap();
    }
}

/// What `check` says of the next two weeks.
#[test]
fn gaps_are_seen_two_weeks_ahead() {
    let (plan, begin) = plan(
        "[oncall]\ncalendar = \"cn\"\n[[rota]]\nid = \"duty\"\n[[rota.shift]]\npeople = [\"wang\"]\ndays = \"working\"\n\
         [[chain]]\nid = \"all\"\n[[chain.step]]\ntell = [\"duty\"]\n[world]\nbegin = \"2026-12-24T10:00\"\n",
    );
    assert_eq!(
        plantroom::oncall::ahead::upcoming_problems(&plan, &[], begin, 14),
        [
            "rota duty: nobody is on call from Sat 2026-12-26 08:00 to Mon 2026-12-28 08:00",
            "rota duty: nobody is on call from Sat 2027-01-02 08:00 to Mon 2027-01-04 08:00",
            "chain all ends with nobody from Sat 2026-12-26 08:00 on",
            "rota duty: the calendar of holidays ends on 2026-12-31: after that Saturday and Sunday are free",
        ]
    );
    // National Day 2026: the first to the seventh of October are free, Saturday the tenth makes up for it.
    let (plan, begin) = self::plan(
        "[oncall]\ncalendar = \"cn\"\n[[rota]]\nid = \"duty\"\n[[rota.shift]]\npeople = [\"wang\"]\ndays = \"working\"\n\
         [[rota.shift]]\npeople = [\"li\"]\n[[chain]]\nid = \"all\"\n[[chain.step]]\ntell = [\"duty\"]\n\
         [world]\nbegin = \"2026-09-30T10:00\"\n",
    );
    let to = UnixMillis(begin.0 + 13 * 86_400_000);
    let said: Vec<String> = plantroom::oncall::rota::on_call_periods(&plan, "duty", &[], begin, to)
        .iter()
        .map(|s| {
            let at = jiff::Timestamp::from_millisecond(s.from.0).unwrap().to_zoned(plan.zone.clone());
            format!("{} {}", at.strftime("%m-%d %H:%M"), s.person.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(said, ["09-30 10:00 wang", "10-01 08:00 li", "10-08 08:00 wang", "10-11 08:00 li", "10-12 08:00 wang"]);
}

/// A chain that is shorter, or called otherwise, after a reload: whoever is wanted is told by what is meant for it now.
#[test]
fn an_incident_goes_on_when_its_chain_changes() {
    let chain = |id: &str, steps: usize| {
        let step = "[[chain.step]]\ntell = [\"person:wang\"]\nwait = \"1h\"\n".repeat(steps);
        format!("[[chain]]\nid = \"{id}\"\n{step}[world]\nbegin = \"2026-06-01T18:00\"\n")
    };
    for (id, steps) in [("long", 1), ("other", 2)] {
        let mut world = World::new(&chain("long", 5));
        world.happens("raise filter.sump P3");
        // In quiet hours, at its last step.
        world.go(4 * 3_600_000);
        let now = world.now();
        world.oncall.reconfigure(plan(&chain(id, steps)).0, now);
        world.go(15 * 3_600_000);
        let told = world.out.lines().filter(|l| l.contains("-> wang push P3 raised filter.sump")).count();
        assert!(told >= 4, "{id}: {}", world.out);
    }
}
