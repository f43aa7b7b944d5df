#!/usr/bin/env python3
"""What one more of each kind costs: adds a dummy sink, channel, condition, configuration table and room of rules to a copy of the
tree, compiles it, lets `plantroom check` and `plantroom reference` read the new tables, and prints the places that were edited.

    scripts/one-more.py        (uses target/ of this checkout; about a minute)
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

CHANNEL = '''//! A channel that drops what it is given.
use schemars::JsonSchema;
use serde::Deserialize;

use crate::channel::{BoxFuture, Channel, ChannelKind};
use crate::http::files::LoadedFiles;
use crate::model::notification::{DeliveryOutcome, Notification, RateLimit};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;

/// A dummy: `[[channel.dummy]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DummySettings {
    /// The channel's id.
    pub id: String,
}

impl ChannelKind for DummySettings {
    fn id(&self) -> &str {
        &self.id
    }
    fn per_min(&self) -> Option<u32> {
        None
    }
    fn service_limit(&self, _kind: &str) -> RateLimit {
        RateLimit { per_min: 60.0, burst: 1.0, cooldown_ms: 1_000 }
    }
    fn problems(&self) -> Vec<SettingsProblem> {
        Vec::new()
    }
    fn open(&self, _kind: &str, _files: &LoadedFiles) -> Box<dyn Channel> {
        Box::new(Dummy)
    }
}

struct Dummy;

impl Channel for Dummy {
    fn send<'a>(&'a self, _: &'a Notification, _: UnixMillis) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(async { DeliveryOutcome::Accepted })
    }
}
'''

SINK = '''//! A sink that acknowledges nothing.
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::http::files::NamedFile;
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;
use crate::sink::SinkContext;
use crate::sink::kind::{ProbeResults, SinkFuture, SinkKind};

/// A dummy: `[[sink.dummy]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DummySettings {
    /// The sink's name.
    pub name: String,
}

impl SinkKind for DummySettings {
    fn name(&self) -> &str {
        &self.name
    }
    fn url(&self) -> &str {
        "dummy"
    }
    fn cursor(&self) -> String {
        format!("dummy {}", self.name)
    }
    fn files(&self) -> Vec<NamedFile> {
        Vec::new()
    }
    fn problems(&self) -> Vec<SettingsProblem> {
        Vec::new()
    }
    fn probe<'a>(&'a self, _: &'a str, _: UnixMillis) -> SinkFuture<'a, ProbeResults> {
        Box::pin(async { Vec::new() })
    }
    fn run(&self, _: SinkContext, stop: CancellationToken) -> SinkFuture<'static, ()> {
        Box::pin(async move { stop.cancelled().await })
    }
}
'''

CONDITION = '''//! A condition that never holds.
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};

/// A dummy of one point.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dummy {
    /// The point that it looks at.
    pub point: String,
}

/// The same for one device.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedDummy {
    input: ConditionInput,
}

impl<C: NestedCondition> ConditionSettings<C> for Dummy {
    type Resolved = ResolvedDummy;
    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }
    fn resolve(&self, _: &str, b: &RuleBuilder<'_>) -> Result<ResolvedDummy, Missing> {
        Ok(ResolvedDummy { input: b.input(&self.point)? })
    }
}

impl<R> ResolvedKind<R> for ResolvedDummy {
    type Memory = ();
    fn memory(&self) {}
    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![&self.input]
    }
    fn evaluate(&self, (): &mut (), c: &mut EvaluationContext<'_>, slots: &[usize], _: &[Evaluation]) -> Evaluation {
        evaluation(Truth::No, c.number(slots[0]).ok(), None)
    }
    fn describe(&self) -> String {
        "never".to_string()
    }
}
'''

ROOM = '''//! A room of rules that finds something at every reading.
use crate::model::effects::Effects;
use crate::model::room::{Board, Finding, Input, Reconfiguration, Room, Start};
use crate::model::time::{MonotonicMillis, Now};

/// The room.
#[derive(Debug)]
pub struct DummyRoom;

impl Room for DummyRoom {
    const ID: &'static str = "dummy";
    type Plan = ();
    fn build((): &(), _: Start<'_>, _: &mut Vec<String>) -> Self {
        Self
    }
    fn reconfigure(&mut self, (): &(), _: Reconfiguration<'_>, _: &mut Board, _: &mut Effects) {}
    fn step(&mut self, _: Now, input: Input<'_>, board: &mut Board, _: &mut Effects) {
        if let Input::Reading(reading) = input {
            let device = reading.stream.device.clone();
            board.findings.push(Finding { device, name: "dummy".into(), state: Ok(true) });
        }
    }
    fn next_wake(&self) -> Option<MonotonicMillis> {
        None
    }
}
'''

TABLE = '''
/// A dummy table: `[dummy]`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DummyTable {
    /// A number of something.
    pub number: u32,
}
'''

SITE = '''[site]
id = "s"
zh = "s"
en = "s"
time_zone = "UTC"
[dummy]
number = 3
[[sink.dummy]]
name = "d"
[[channel.dummy]]
id = "d"
'''


def main():
    tree = pathlib.Path(tempfile.mkdtemp(prefix="plantroom-one-more-"))
    try:
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
        cost = {}

        def file(kind, path, text):
            (tree / path).write_text(text)
            cost.setdefault(kind, []).append(path + " (new)")

        def line(kind, path, after, new):
            text = (tree / path).read_text()
            assert text.count(after) == 1, f"{path} has {text.count(after)} times: {after!r}"
            (tree / path).write_text(text.replace(after, after + new))
            cost.setdefault(kind, []).append(f"{path}: {new.strip().splitlines()[-1].strip()}")

        file("channel", "src/channel/dummy.rs", CHANNEL)
        line("channel", "src/channel/mod.rs", "pub mod command;\n", "pub mod dummy;\n")
        line("channel", "src/channel/kinds.rs", "\nchannel_kinds! {\n", "    /// A dummy.\n    dummy: Dummy(crate::channel::dummy::DummySettings),\n")
        file("sink", "src/sink/dummy.rs", SINK)
        line("sink", "src/sink/mod.rs", "pub mod dead_letters;\n", "pub mod dummy;\n")
        line("sink", "src/sink/kinds.rs", "\nsink_kinds! {\n", "    /// A dummy.\n    dummy: Dummy(crate::sink::dummy::DummySettings),\n")
        file("alarm condition", "src/alarm/condition/dummy.rs", CONDITION)
        line("alarm condition", "src/alarm/condition/mod.rs", "pub mod deviation;\n", "pub mod dummy;\n")
        line("alarm condition", "src/alarm/condition/mod.rs", "\nconditions! {\n", "    /// A dummy.\n    dummy: Dummy(dummy::Dummy => dummy::ResolvedDummy),\n")
        file("room of rules", "src/dummy.rs", ROOM)
        line("room of rules", "src/lib.rs", "pub mod derive;\n", "pub mod dummy;\n")
        line("room of rules", "src/engine/mod.rs", "\nrooms! {\n", "    dummy: crate::dummy::DummyRoom,\n")
        line("configuration table", "src/config/tables.rs", "\ntables! {\n", "    /// A dummy.\n    #[serde(default)]\n    dummy: single crate::journal::DummyTable,\n")
        settings = tree / "src/journal/mod.rs"
        settings.write_text(settings.read_text() + TABLE)
        cost["configuration table"].append("src/journal/mod.rs: its settings (new)")
        environment = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target" / "one-more")}

        def run(*command):
            done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
            return done.stdout

        run("cargo", "build", "--quiet")
        binary = environment["CARGO_TARGET_DIR"] + "/debug/plantroom"
        site = tree / "site"
        site.mkdir()
        (site / "site.toml").write_text(SITE)
        print(run(binary, "--config", str(site), "check").strip().splitlines()[-1])
        reference = run(binary, "reference")
        for word in ("DummyTable", "DummySettings", "`dummy` = Dummy"):
            assert word in reference, f"the reference does not know {word}"
        for kind, places in cost.items():
            print(f"{kind}: {len(places)} places")
            for place in places:
                print(f"    {place}")
    finally:
        shutil.rmtree(tree)


main()
