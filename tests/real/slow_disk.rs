//! A disk that takes half a second for each fsync: polling, reload, dead letters and decisions do not wait for it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::alarms::counting_rules;
use crate::support::*;

/// Every fsync and fdatasync takes 500 ms more and appends a byte to the file that `SYNCED` names.
const SLOW: &str = "
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static void slow(void) {
    const char *path = getenv(\"SYNCED\");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file >= 0) { if (write(file, \".\", 1) != 1) { abort(); } close(file); }
    usleep(500000);
}
int fsync(int fd) { slow(); return (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { slow(); return (int)syscall(SYS_fdatasync, fd); }
";

/// Compiles [`SLOW`] to a library to be loaded before all others.
fn slow_library(dir: &Dir) -> PathBuf {
    let (source, library) = (dir.write("slow.c", SLOW), dir.path("slow.so"));
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(made.is_ok_and(|status| status.success()), "a C compiler is needed: run scripts/setup-tests.sh");
    library
}

#[test]
fn a_disk_that_takes_half_a_second_for_each_fsync_costs_no_poll() {
    let (broker, counting, dir) = (Mosquitto::start(), Counting::start(), Dir::new("slow-disk"));
    let state = dir.path("state");
    dir.write("password", "secret\n");
    // A store that nobody serves, with a secret in a file.
    let store = format!(
        "[[sink.influx]]\nname = \"away\"\nurl = \"http://127.0.0.1:{}\"\nbucket = \"b\"\ntoken_file = \"{}\"\n",
        free_port(),
        dir.path("password").display()
    );
    dir.write("site.toml", &site(broker.port, "5", &format!("{}{store}", counting.config(&dir, "250ms"))));
    counting_rules(&dir, 20);
    let synced = dir.path("synced");
    let log = std::fs::File::create(dir.path("gateway.log")).unwrap();
    let mut command = Command::new(PLANTROOM);
    command.arg("--config").arg(&dir.0).arg("--state").arg(&state).arg("run").stdout(Stdio::null()).stderr(log);
    command.env("LD_PRELOAD", slow_library(&dir)).env("SYNCED", &synced);
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let mut running = Process::start("plantroom", &mut command);
    is_up(&state);
    wait("values", 60, || subscriber.newest("plantroom/test/counter/telemetry"));
    let syncs = || std::fs::metadata(&synced).map_or(0, |m| m.len());
    let begun = syncs();
    for round in 0..4 {
        std::thread::sleep(Duration::from_secs(4));
        dir.write("password", &format!("secret{round}\n"));
        let done = plantroom(&dir.0, &state, &["reload"]);
        assert!(done.contains("sink away started"), "its secret changed: {done}");
    }
    let status: serde_json::Value =
        serde_json::from_str(&plantroom(&dir.0, &state, &["status", "--format", "json"])).unwrap();
    let unit = &status["links"][0]["units"][0];
    let (cycles, skipped) = (unit["cycles"].as_u64().unwrap(), unit["skipped"].as_u64().unwrap());
    let waited = syncs() - begun;
    assert!(waited >= 20, "only {waited} fsyncs: the test shows nothing");
    assert!(cycles >= 60, "{cycles} cycles");
    // Each fsync on the polling thread would skip at least one cycle.
    assert!(skipped <= 2, "{skipped} of {cycles} cycles were skipped while the disk took {waited} times half a second");
    wait("the decisions to be recorded", 60, || {
        let rows = plantroom(&dir.0, &state, &["alarm", "history", "--from", "1h", "--format", "json"]);
        (rows.matches("\"raised\"").count() >= 5).then_some(())
    });
    running.stop();
}
