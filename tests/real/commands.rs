//! The commands as their users type them.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Counting, Dir, Mosquitto, PLANTROOM, Process, Subscriber, demo, gateway, plantroom, site, wait};

#[test]
fn the_demo_has_values_within_five_seconds_and_stops_cleanly() {
    let began = Instant::now();
    let (mut demo, port, state) = demo(&["--scenario", "blackout", "--speed", "20"]);
    let subscriber = Subscriber::start(port, "plantroom/demo/#", "mqttv311");
    wait("values", 20, || {
        let sump = subscriber.newest("plantroom/demo/sump-1/telemetry")?;
        let status = subscriber.newest("plantroom/demo/sump-1/status")?;
        (sump["values"].is_object() && status["state"] == "online").then_some(())
    });
    // A debug build on a busy machine gets some more; a person on a quiet one waits less than five seconds.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    wait("the generator to take over", 30, || {
        subscriber
            .all()
            .iter()
            .any(|m| m.topic.ends_with("ats-1/telemetry") && m.payload.contains("\"on_source2\":true"))
            .then_some(())
    });
    // Without the configuration at hand: every time in the zone of the site that runs, or in UTC.
    let said = |args: &[&str]| {
        let out = Command::new(PLANTROOM).args(["--state", &state]).args(args).current_dir("/").output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(said(&["status"]).contains("deepsea-dse"), "{}", said(&["status"]));
    let history = ["alarm", "history", "--from", "1h", "--to", "2100-01-01"];
    for command in [&["status"][..], &["alarm", "list", "--all"], &history] {
        let (local, utc) = (said(command), said(&[&["--utc"], command].concat()));
        assert!(local.contains("+08:00") && !local.contains("+00:00") && !local.contains("Z "), "{local}");
        assert!(utc.contains("+00:00") && !utc.contains("+08:00"), "{utc}");
    }
    let took = demo.stop();
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert!(!std::path::Path::new(&state).exists(), "it leaves nothing behind");
}

#[test]
fn a_calm_day_logs_no_warning() {
    let (mut demo, _port, _state) = demo(&["--speed", "20"]);
    std::thread::sleep(Duration::from_secs(15));
    demo.stop();
    let mut said = String::new();
    demo.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "twenty times fifteen seconds, the generator's test run included");
}

#[test]
fn what_demo_writes_checks_and_runs() {
    let dir = Dir::new("written");
    let config = dir.path("site");
    let written = plantroom(&config, &dir.path("state"), &["demo", "--write", &config.display().to_string()]);
    assert!(written.contains("devices.toml"), "{written}");
    let checked = plantroom(&config, &dir.path("state"), &["check", "--plan"]);
    assert!(checked.contains("no errors, 0 warnings") && checked.contains("telemetry"), "{checked}");
    for (name, text) in [("site.toml", "zh = \"示范小区\""), ("links.toml", "[[link.serial]]")] {
        assert!(std::fs::read_to_string(config.join(name)).unwrap().contains(text));
    }
}

#[test]
fn reload_changes_what_changed_and_a_broken_file_changes_nothing() {
    let broker = Mosquitto::start();
    let (first, second) = (Counting::start(), Counting::start());
    let dir = Dir::new("reload");
    let one = first.config(&dir, "50ms");
    let two = second
        .config(&dir, "50ms")
        .replace("\"l\"", "\"l2\"")
        .replace("\"u\"", "\"u2\"")
        .replace("\"counter\"", "\"other\"")
        .replace("u.x_n", "u2.x_n");
    dir.write("site.toml", &site(broker.port, "5", &one));
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let mut running = gateway(&dir.0, &state);
    wait("the first", 20, || subscriber.newest("plantroom/test/counter/telemetry"));
    dir.write("site.toml", &site(broker.port, "5", &format!("{one}{two}")));
    let said = plantroom(&dir.0, &state, &["reload"]);
    assert_eq!(said.trim(), "alarm rule environment.offline is new for other\nlink l2 started");
    wait("the second", 20, || (subscriber.count("plantroom/test/other/telemetry") > 30).then_some(()));
    dir.write("broken.toml", "[[unit]]\nid = \"x\"\nlink = \"l\"\nadress = 3\nprofile = \"counting\"\n");
    let out =
        Command::new(PLANTROOM).arg("--config").arg(&dir.0).arg("--state").arg(&state).arg("reload").output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(78), "{stderr}");
    assert!(stderr.contains("broken.toml:4:1") && stderr.contains("did you mean `address`?"), "{stderr}");
    // A start with a configuration that does not check runs on the last good one.
    running.stop();
    let before = subscriber.count("plantroom/test/other/telemetry");
    let _running = gateway(&dir.0, &state);
    wait("the last good configuration", 20, || {
        (subscriber.count("plantroom/test/other/telemetry") > before + 5).then_some(())
    });
    let status = plantroom(&dir.0, &state, &["status"]);
    assert!(status.contains("LAST GOOD CONFIGURATION") && status.contains("broken.toml:4:1"), "{status}");
    // The untouched link missed no cycle through the reload: every value it served is in the history, one after another.
    let rows = plantroom(&dir.0, &state, &["history", "counter.x_n", "--from", "10m", "--format", "csv"]);
    let values: Vec<u64> = rows.lines().skip(1).filter_map(|l| l.split(',').nth(1)?.parse().ok()).collect();
    assert!(values.len() > 20 && values.windows(2).all(|w| w[1] == w[0] + 1), "{values:?}");
}

#[test]
fn history_is_read_back_with_completeness() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("history");
    dir.write("site.toml", &site(broker.port, "3.1.1", &counting.config(&dir, "100ms")));
    let state = dir.path("state");
    let mut running = gateway(&dir.0, &state);
    wait("readings", 20, || (counting.served.load(std::sync::atomic::Ordering::SeqCst) > 60).then_some(()));
    running.stop();
    let slots =
        plantroom(&dir.0, &state, &["history", "counter.x_n", "--from", "30s", "--every", "1s", "--format", "json"]);
    let slots: Vec<serde_json::Value> = serde_json::from_str(&slots).unwrap();
    // The last slot is the second that is not over.
    let over = &slots[..slots.len() - 1];
    let full: Vec<&serde_json::Value> = over.iter().filter(|s| s["good"] == 10).collect();
    assert!(!full.is_empty() && full.iter().all(|s| s["complete_pct"] == 100.0 && s["due"] == 10), "{slots:?}");
    let before = ["history", "counter.x_n", "--from", "2020-01-01", "--to", "2020-01-03", "--every", "1d"];
    let empty = plantroom(&dir.0, &state, &before);
    assert_eq!(empty.lines().count(), 3, "a head and two empty days: {empty}");
    for (args, said) in [
        (["counter.x_n", "--from", "gestern"], "`gestern` is not a date"),
        (["counter.x_m", "--from", "1h"], "`counter` has no point `x_m` in the journal\n  hint: did you mean `x_n`"),
        (["count.x_n", "--from", "1h"], "the journal has no device `count`\n  hint: did you mean `counter`"),
        (["counter.x_n", "--zone", "Mars"], "there is no time zone `Mars`"),
    ] {
        let mut command = Command::new(PLANTROOM);
        let out = command.arg("--state").arg(&state).arg("history").args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(64) && stderr.contains(said), "{said}: {stderr}");
    }
}

#[test]
fn health_pages_answer() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("health");
    let port = crate::support::free_port();
    let text = site(broker.port, "5", &counting.config(&dir, "100ms"));
    dir.write("site.toml", &text.replace("listen = \"\"", &format!("listen = \"127.0.0.1:{port}\"")));
    let _running = gateway(&dir.0, &dir.path("state"));
    crate::support::wait_port(port);
    let get = |path: &str| {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    wait("metrics with a round trip", 20, || {
        get("/metrics").contains("plantroom_unit_round_trip_seconds_bucket{link=\"l\",unit=\"u\"").then_some(())
    });
    assert!(get("/healthz").starts_with("HTTP/1.1 200") && get("/readyz").starts_with("HTTP/1.1 200"));
    // A broker acknowledged a message, and rooms of rules ran.
    let counts = ["plantroom_sink_write_seconds_count{sink=", "plantroom_rules_room_seconds_count{room=\"alarm\"}"];
    for name in counts {
        let is_counted = |page: &str| page.lines().any(|l| l.starts_with(name) && !l.ends_with(" 0"));
        wait(name, 10, || is_counted(&get("/metrics")).then_some(()));
    }
    assert!(get("/metrics").contains("Content-Type: text/plain; version=0.0.4".to_lowercase().as_str()));
    wait("the link", 10, || get("/metrics").contains("plantroom_link_up{link=\"l\"} 1").then_some(()));
}

#[test]
fn everything_may_be_absent_at_the_start() {
    let dir = Dir::new("absent");
    let rest = "[[link.tcp]]\nid = \"l\"\nhost = \"127.0.0.1\"\nport = 9\n[[link.serial]]\nid = \"s\"\nport = \"/dev/nothing\"\n\
        [[unit]]\nid = \"u\"\nlink = \"l\"\naddress = 1\nprofile = \"vfd-generic\"\n\
        [[unit]]\nid = \"v\"\nlink = \"s\"\naddress = 1\nprofile = \"vfd-generic\"\n\
        [[device]]\nid = \"p\"\nclass = \"pump\"\nzh = \"泵\"\nen = \"Pump\"\nunit = \"u\"\n\
        [[device]]\nid = \"q\"\nclass = \"pump\"\nzh = \"泵\"\nen = \"Pump\"\nunit = \"v\"\n";
    dir.write("site.toml", &site(crate::support::free_port(), "5", rest));
    let state = dir.path("state");
    let mut running = gateway(&dir.0, &state);
    let status = wait("a status", 20, || {
        let out = Command::new(PLANTROOM).arg("--state").arg(&state).arg("status").output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        (text.contains("refused") && text.contains("/dev/nothing") && text.contains("offline")).then_some(text)
    });
    assert!(status.contains("link_down"), "{status}");
    assert!(running.stop() < Duration::from_secs(9));
}

#[test]
fn systemd_is_told_ready_and_alive_and_stopping() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("notify");
    dir.write("site.toml", &site(broker.port, "5", &counting.config(&dir, "100ms")));
    let socket = dir.path("notify.sock");
    let told = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = Command::new(PLANTROOM);
    command.arg("--config").arg(&dir.0).arg("--state").arg(dir.path("state")).arg("run").stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "900000");
    let running = Process::start("plantroom", &mut command);
    let next = || {
        let mut buffer = [0u8; 256];
        let n = told.recv(&mut buffer).expect("systemd would be waiting");
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    assert!(next().contains("READY=1"));
    assert!(next().contains("WATCHDOG=1") && next().contains("WATCHDOG=1"));
    running.signal("-HUP");
    let mut words = String::new();
    wait("a reload", 10, || {
        words.push_str(&next());
        (words.contains("RELOADING=1") && words.contains("READY=1")).then_some(())
    });
    running.signal("-TERM");
    wait("the goodbye", 10, || next().contains("STOPPING=1").then_some(()));
}

#[test]
fn a_second_gateway_on_the_same_state_is_refused() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("second");
    dir.write("site.toml", &site(broker.port, "5", &counting.config(&dir, "100ms")));
    let state = dir.path("state");
    let _first = gateway(&dir.0, &state);
    wait("the first", 20, || state.join("control.sock").exists().then_some(()));
    let out =
        Command::new(PLANTROOM).arg("--config").arg(&dir.0).arg("--state").arg(&state).arg("run").output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(75), "{stderr}");
    assert!(stderr.contains("another gateway writes to"), "{stderr}");
    plantroom(&dir.0, &state, &["status"]);
}

#[test]
fn a_backup_beside_the_running_gateway_comes_back_whole() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("backup");
    dir.write("site/site.toml", &site(broker.port, "5", ""));
    let config = Dir(dir.path("site"));
    let text = site(broker.port, "5", &counting.config(&config, "50ms"));
    config.write("site.toml", &text);
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let mut running = gateway(&config.0, &state);
    let topic = "plantroom/test/counter/telemetry";
    wait("data to flow", 20, || (subscriber.count(topic) > 60).then_some(()));
    std::thread::sleep(Duration::from_millis(1_200));
    let archive = dir.path("keep.tar.gz").display().to_string();
    let said = plantroom(&config.0, &state, &["backup", &archive]);
    assert!(said.contains("keep.tar.gz: ") && said.contains(" files, "), "{said}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&archive).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it may hold passwords");
    wait("more data", 20, || (subscriber.count(topic) > 120).then_some(()));
    let (new_config, new_state) = (dir.path("new/etc"), dir.path("new/var"));
    let refused = Command::new(PLANTROOM)
        .args([
            "--config",
            &config.0.display().to_string(),
            "--state",
            &state.display().to_string(),
            "restore",
            &archive,
        ])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(64), "a journal that is there is not overwritten");
    running.stop();
    let values = |config: &std::path::Path, state: &std::path::Path| -> Vec<u64> {
        let rows = plantroom(config, state, &["history", "counter.x_n", "--from", "10m", "--format", "csv"]);
        rows.lines().skip(1).filter_map(|l| l.split(',').nth(1)?.parse().ok()).collect()
    };
    let all = values(&config.0, &state);
    // As on a box: root restores what a service of another user reads and writes.
    std::fs::create_dir_all(&new_state).unwrap();
    std::os::unix::fs::chown(&new_state, Some(4_711), Some(4_711)).unwrap();
    let restored = plantroom(&new_config, &new_state, &["restore", &archive]);
    assert!(restored.contains("site test: 1 devices, a journal that opens"), "{restored}");
    let of = |path: &std::path::Path| std::fs::metadata(path).unwrap();
    let (uid, mode) = (std::os::unix::fs::MetadataExt::uid, std::os::unix::fs::MetadataExt::mode);
    assert_eq!((uid(&of(&new_state)), uid(&of(&new_state.join("journal")))), (4_711, 4_711), "the service's own");
    assert_eq!(mode(&of(&new_config.join("site.toml"))) & 0o777, 0o640, "the service can read it");
    let before = values(&new_config, &new_state);
    assert!(before.len() > 40 && all.starts_with(&before), "what was committed at the backup, in order");
    // It runs on, and no number that the first one gave after the backup is given again.
    let highest = subscriber.newest(topic).unwrap()["seq"].as_u64().unwrap();
    let mut running = gateway(&new_config, &new_state);
    let seq = wait("the restored one to run", 20, || {
        subscriber.newest(topic)?["seq"].as_u64().filter(|seq| *seq > highest + 1_000_000)
    });
    assert!(seq > highest);
    running.stop();
    std::fs::write(&archive, b"not an archive").unwrap();
    let broken = Command::new(PLANTROOM)
        .args(["--config", &dir.path("x").display().to_string(), "--state", &dir.path("y").display().to_string()])
        .args(["restore", &archive])
        .output()
        .unwrap();
    assert_eq!(broken.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("cannot be unpacked"));
}

#[test]
fn the_service_is_hardened() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/plantroom.service");
    let out = Command::new("systemd-analyze")
        .args(["security", "--no-pager", "--offline=true", "--threshold=20", unit])
        .output()
        .expect("systemd-analyze: run scripts/setup-tests.sh");
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    let last = said.lines().rfind(|l| l.contains("exposure level")).unwrap_or_default();
    assert!(out.status.success(), "at most 2.0: {last}");
    // And yet what it lives from is there.
    let text = std::fs::read_to_string(unit).unwrap();
    for needed in ["DeviceAllow=char-ttyUSB rw", "SupplementaryGroups=dialout", "AF_INET", "adjtimex"] {
        assert!(text.contains(needed), "{needed}");
    }
}

/// Puts something into an archive.
type Add<'a> = &'a dyn Fn(&mut tar::Builder<Vec<u8>>);

#[test]
fn a_hostile_archive_is_refused_and_touches_nothing() {
    use std::io::Write as _;
    let dir = Dir::new("hostile-archive");
    let victim = dir.write("victim.txt", "mine");
    std::os::unix::fs::chown(&victim, Some(4_711), Some(4_711)).unwrap();
    let archive = |name: &str, add: &dyn Fn(&mut tar::Builder<Vec<u8>>)| -> String {
        let mut tar = tar::Builder::new(Vec::new());
        let file = |tar: &mut tar::Builder<Vec<u8>>, name: &str, text: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o666);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        };
        file(&mut tar, "format", "plantroom backup 1\n");
        file(&mut tar, "config/site.toml", &site(1, "5", ""));
        add(&mut tar);
        let path = dir.path(name);
        let mut gz = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        gz.write_all(&tar.into_inner().unwrap()).unwrap();
        gz.finish().unwrap();
        path.display().to_string()
    };
    let link = |tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        tar.append_link(&mut header, "state/evil.txt", &victim).unwrap();
    };
    let raw = |tar: &mut tar::Builder<Vec<u8>>, name: &str| {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(4);
        header.set_cksum();
        tar.append(&header, &b"evil"[..]).unwrap();
    };
    let outside = "which leads outside of a backup";
    let odd = "which is neither a file nor a directory";
    let cases: [(&str, Add<'_>, &str); 6] = [
        ("symlink", &|tar| link(tar, tar::EntryType::Symlink), odd),
        ("hard-link", &|tar| link(tar, tar::EntryType::Link), odd),
        ("fifo", &|tar| link(tar, tar::EntryType::Fifo), odd),
        ("up", &|tar| raw(tar, "state/../../up.txt"), outside),
        ("root", &|tar| raw(tar, "/tmp/plantroom-evil.txt"), outside),
        ("other", &|tar| raw(tar, "elsewhere/x.txt"), outside),
    ];
    for (name, add, why) in cases {
        let state = dir.path(&format!("state-{name}"));
        let mut command = Command::new(PLANTROOM);
        command.arg("--config").arg(dir.path("etc")).arg("--state").arg(&state).arg("restore").arg(archive(name, add));
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(why), "{name}: {said}");
        assert!(!state.join("restoring").exists() && !dir.path("etc/site.toml").exists(), "{name}: nothing is left");
    }
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&victim).unwrap());
    assert_eq!((owner, std::fs::read_to_string(&victim).unwrap().as_str()), (4_711, "mine"));
    assert!(!dir.path("up.txt").exists() && !std::path::Path::new("/tmp/plantroom-evil.txt").exists());
}

/// `check` looks at files, `check --online` tries each sink: what works and what does not, in words.
#[test]
fn check_tries_every_sink_and_looks_at_its_files() {
    let (mut strict, counting, dir) = (Mosquitto::start(), Counting::start(), Dir::new("doors"));
    let acl = dir.write("acl", "topic read #\ntopic write plantroom/test/+/status\n");
    std::fs::set_permissions(&acl, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    strict.stop();
    strict.extra = format!("acl_file {}\n", acl.display());
    strict.start_again();
    let open = Mosquitto::start();
    let empty = dir.write("empty", "\n");
    let sinks = format!(
        "commands = true\n\
         [[sink.mqtt]]\nname = \"strict\"\nurl = \"mqtt://127.0.0.1:{}\"\n\
         [[sink.mqtt]]\nname = \"away\"\nurl = \"mqtt://127.0.0.1:1\"\nusername = \"u\"\npassword_file = \"/no/such\"\n\
         [[sink.influx]]\nname = \"store\"\nurl = \"http://127.0.0.1:1\"\nbucket = \"b\"\ntoken_file = \"{}\"\n",
        strict.port,
        empty.display()
    );
    dir.write("site.toml", &site(open.port, "5", &format!("{sinks}{}", counting.config(&dir, "1s"))));
    let check = |more: &[&str]| {
        let mut command = std::process::Command::new(PLANTROOM);
        command.arg("--config").arg(&dir.0).arg("--state").arg(dir.path("state")).arg("check").args(more);
        let out = command.output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code(), text)
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "warning: sink `away`: password_file = \"/no/such\": cannot be read: No such file",
        "warning: sink `store`: token_file = \"",
        ": is empty",
        "no errors, 2 warnings",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = check(&["--online"]);
    assert_eq!(code, Some(75), "{said}");
    for part in [
        "sink broker: connect: accepted",
        "sink broker: publish to plantroom/test/gateway/check: acknowledged",
        "sink broker: subscribe to plantroom/test/command/#: allowed",
        "sink strict: publish to plantroom/test/gateway/check: DOES NOT WORK: NotAuthorized",
        "sink away: connect: DOES NOT WORK: cannot read /no/such",
        "sink store: a value is written: DOES NOT WORK: no connection",
        "3 of what was tried at sinks and channels does not work",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
