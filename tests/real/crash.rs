//! kill -9 in a loop, a full disk and back: the journal intact, cursors right, no number given twice.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use plantroom::clock::{self, Clock};
use plantroom::journal::cursor::Position;
use plantroom::journal::fetch::Cursor;
use plantroom::journal::{Journal, JournalSettings};
use plantroom::model::time::UnixMillis;

use crate::support::{Counting, Dir, Mosquitto, Subscriber, delivered, gateway, plantroom, site, wait};

/// Number -> value of everything in the journal.
fn journaled(state: &std::path::Path) -> BTreeMap<u64, u64> {
    let clock = Clock::new(&clock::ClockSettings::default(), UnixMillis(0));
    let journal = Journal::open_read_only(&state.join("journal"), &JournalSettings::default(), &clock).unwrap();
    let mut cursor = Cursor::new(journal, Position::at(0));
    let mut out = BTreeMap::new();
    loop {
        let items = cursor.fetch(500);
        if items.is_empty() {
            return out;
        }
        // What is polled; the device's state is a reading of it too.
        for item in items.iter().filter(|i| i.entry.reading.stream.source == "u/fast".into()) {
            if let Some(Ok(value)) = item.entry.reading.sample(0) {
                let n = value.to_string().parse().unwrap();
                assert_eq!(out.insert(item.entry.seq, n), None, "number {} twice", item.entry.seq);
            }
        }
    }
}

/// Rounds of the loop: 1000 by hand (`PLANTROOM_KILLS=1000`), 50 otherwise.
fn rounds() -> u32 {
    std::env::var("PLANTROOM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

#[test]
fn kill_9_in_a_loop_loses_at_most_what_was_not_committed() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("kill");
    dir.write("site.toml", &site(broker.port, "5", &counting.config(&dir, "20ms")));
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let mut seed = 12_345u64;
    for round in 0..rounds() {
        let mut running = gateway(&dir.0, &state);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(250 + (seed >> 33) % 1_500));
        assert!(running.child.try_wait().unwrap().is_none(), "round {round}: the gateway ended by itself");
        running.kill();
    }
    let mut running = gateway(&dir.0, &state);
    let before = subscriber.count("plantroom/test/counter/telemetry");
    wait("the last run to flow", 30, || {
        (subscriber.count("plantroom/test/counter/telemetry") > before + 50).then_some(())
    });
    running.stop();
    let (journal, sent) = (journaled(&state), delivered(&subscriber.all()));
    let values: Vec<u64> = journal.values().copied().collect();
    assert!(values.len() > 100 && values.windows(2).all(|w| w[0] < w[1]), "what is journaled is in order");
    let lost: Vec<(&u64, &u64)> = journal.iter().filter(|(seq, _)| !sent.contains_key(seq)).collect();
    assert!(lost.is_empty(), "committed and not delivered: {lost:?}");
    for (seq, n) in &sent {
        assert!(journal.get(seq).is_none_or(|j| j == n), "number {seq} means two things");
    }
    // At most one commit interval (1 s, some 50 readings) of each run is with the broker and not in the history.
    let only_sent = sent.keys().filter(|seq| !journal.contains_key(seq)).count();
    assert!(only_sent <= 75 * (rounds() as usize + 1), "{only_sent} readings were sent and never committed");
    let damaged: Vec<_> = std::fs::read_dir(state.join("journal"))
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().contains("damaged"))
        .collect();
    assert!(damaged.is_empty(), "{damaged:?}");
}

#[test]
fn a_driver_that_panics_ends_the_process_and_after_three_times_it_starts_without_rules() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("driver");
    dir.write("site.toml", &site(broker.port, "5", &counting.config(&dir, "100ms")));
    let state = dir.path("state");
    let provoked = || {
        let mut command = Command::new(crate::support::PLANTROOM);
        command.arg("--config").arg(&dir.0).arg("--state").arg(&state).arg("run").env("PLANTROOM_PANIC", "driver");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        crate::support::Process::start("plantroom", &mut command)
    };
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    for round in 0..3 {
        let mut running = provoked();
        let ended = wait("the process to end", 20, || running.child.try_wait().unwrap());
        assert_eq!(ended.code(), Some(70), "round {round}");
    }
    // The driver is not even begun: what would make it panic is not met.
    let mut running = provoked();
    let before = subscriber.count("plantroom/test/counter/telemetry");
    wait("polling to go on", 20, || (subscriber.count("plantroom/test/counter/telemetry") > before + 10).then_some(()));
    let says_off = |off: bool| {
        wait("the retained state to say so", 20, || {
            let state = subscriber.newest("plantroom/test/gateway/status")?;
            (state["state"] == "online" && state["rules_off"] == off).then_some(())
        });
    };
    says_off(true);
    assert!(plantroom(&dir.0, &state, &["status"]).contains("RULES ARE OFF"));
    let device = subscriber.newest("plantroom/test/counter/status").unwrap();
    assert_eq!(device["state"], "unknown", "nobody decides whether it is there");
    assert!(running.child.try_wait().unwrap().is_none());
    running.stop();
    let mut running = gateway(&dir.0, &state);
    says_off(true);
    plantroom(&dir.0, &state, &["reload"]);
    says_off(false);
    wait("the rules to decide again", 20, || {
        (subscriber.newest("plantroom/test/counter/status")?["state"] == "online").then_some(())
    });
    running.stop();
}

/// A file system of three megabytes.
struct Small(Dir);

impl Small {
    fn mount() -> Self {
        let dir = Dir::new("small");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&dir.0).status().unwrap();
        assert!(mounted.success(), "this test mounts a small tmpfs: it needs to be root");
        Self(dir)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _best_effort = Command::new("umount").arg("-l").arg(&self.0.0).status();
    }
}

#[test]
fn a_full_disk_stops_nothing_and_is_over_when_there_is_room() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let small = Small::mount();
    let dir = Dir::new("full");
    let text = site(broker.port, "5", &counting.config(&dir, "20ms"));
    dir.write("site.toml", &text.replace("max_gb = 0.1", "max_gb = 0.1\nkeep_free_mb = 0"));
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let state = small.0.path("state");
    let mut running = gateway(&dir.0, &state);
    let flows = |n: usize| {
        let before = subscriber.count("plantroom/test/counter/telemetry");
        wait("data to flow", 30, || (subscriber.count("plantroom/test/counter/telemetry") > before + n).then_some(()));
    };
    flows(50);
    let ballast = small.0.path("ballast");
    {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }
    let says = |what: &str| {
        let status = plantroom(&dir.0, &state, &["status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        (status["journal"]["ok"] == (what == "ok")).then_some(())
    };
    wait("the journal to say that it cannot write", 30, || says("full"));
    flows(100);
    std::fs::remove_file(&ballast).unwrap();
    wait("the journal to write again", 60, || says("ok"));
    flows(50);
    running.stop();
    let values: Vec<u64> = delivered(&subscriber.all()).into_values().collect();
    let (first, last) = (values[0], values[values.len() - 1]);
    assert_eq!(values.len() as u64, last - first + 1, "nothing was lost on the way to the broker");
    let kept: Vec<u64> = journaled(&state).into_values().filter(|n| *n >= first && *n <= last).collect();
    assert_eq!(kept, values, "what memory held while the disk was full is in the history");
}
