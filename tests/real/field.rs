//! A Modbus stack that we did not write: pymodbus serves every type and order, mbpoll reads our simulator.

use std::process::{Command, Stdio};

use crate::support::{
    Dir, Mosquitto, PLANTROOM, Process, Subscriber, free_port, gateway, plantroom, says, site, wait, wait_port,
};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/pymodbus_server.py");

fn python(args: &[&str]) -> String {
    let out = Command::new("python3").arg(SERVER).args(args).output().expect("python3: run scripts/setup-tests.sh");
    assert!(out.status.success(), "{}: run scripts/setup-tests.sh", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Starts pymodbus; it ends when its standard input is closed.
pub fn pymodbus(args: &[&str]) -> Process {
    let mut command = Command::new("python3");
    command.arg(SERVER).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start("pymodbus", &mut command);
    let mut line = String::new();
    let mut out = std::io::BufReader::new(process.child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line.trim(), "ready");
    process
}

/// The configuration of unit 1 with every point of the profile.
pub fn all_types(dir: &Dir, link: &str) -> String {
    dir.write("profiles/test-all-types.toml", &python(&["profile"]));
    format!(
        "{link}\n[[unit]]\nid = \"u\"\nlink = \"l\"\naddress = 1\nprofile = \"test-all-types\"\n\
         [[device]]\nid = \"types\"\nclass = \"environment\"\nzh = \"型\"\nen = \"Types\"\nunit = \"u\"\n"
    )
}

/// A number or boolean as it stands in the message: parsing it would round what it must not.
pub fn digits(message: &str, point: &str) -> String {
    let key = format!("\"{point}\":");
    let Some(at) = message.find(&key) else { return "nothing".to_string() };
    message[at + key.len()..].chars().take_while(|c| !",}".contains(*c)).collect()
}

/// What pymodbus put into each point.
pub fn expected() -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(&python(&["expect"])).unwrap()
}

/// Compares what `read` prints and what MQTT carries with what pymodbus put in.
fn compare(dir: &Dir, broker: &Mosquitto) {
    let expect = expected();
    let subscriber = Subscriber::start(broker.port, "plantroom/test/types/telemetry", "mqttv5");
    let state = dir.path("state");
    let _gateway = gateway(&dir.0, &state);
    let (text_of_message, message) = wait("a message", 60, || {
        let text = subscriber.newest_text("plantroom/test/types/telemetry")?;
        let message: serde_json::Value = serde_json::from_str(&text).ok()?;
        let quality = message["quality"].as_object()?;
        // The first cycle may still be busy with finding the holes.
        (!quality.values().any(|q| q == "illegal_address" || q == "timeout" || q == "link_down"))
            .then_some((text, message.clone()))
    });
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&plantroom(&dir.0, &state, &["read", "types", "--format", "json"])).unwrap();
    let mut wrong = Vec::new();
    for (point, value) in &expect {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let row = rows.iter().find(|r| r["point"] == **point);
        let read = row.map_or("nothing".to_string(), |r| r["value"].as_str().unwrap_or_default().to_string());
        let sent = match message["quality"].get(point).and_then(|q| q.as_str()) {
            Some(reason) => format!("bad: {reason}"),
            None => match &message["values"][point] {
                serde_json::Value::String(s) => s.clone(),
                _ => digits(&text_of_message, point),
            },
        };
        let read = text.strip_prefix("bad: ").map_or(read.clone(), |_| format!("bad: {read}"));
        for (way, got) in [("read", read), ("MQTT", sent)] {
            if got.trim() != text.trim() {
                wrong.push(format!("{point}: {way} says {got}, pymodbus put in {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), expect.len(), wrong.join("\n"));
    assert!(expect.len() > 100, "every type in every order");
}

#[test]
fn every_type_and_order_over_tcp() {
    let (broker, port, dir) = (Mosquitto::start(), free_port(), Dir::new("types-tcp"));
    let _server = pymodbus(&["tcp", "127.0.0.1", &port.to_string()]);
    let link = format!("[[link.tcp]]\nid = \"l\"\nhost = \"127.0.0.1\"\nport = {port}\noverload = true");
    dir.write("site.toml", &site(broker.port, "5", &all_types(&dir, &link)));
    compare(&dir, &broker);
}

#[test]
fn every_type_and_order_over_rtu_on_a_socat_pair() {
    let (broker, dir) = (Mosquitto::start(), Dir::new("types-rtu"));
    let (ours, theirs) = (dir.path("ours"), dir.path("theirs"));
    let mut socat = Command::new("socat");
    socat
        .arg(format!("pty,raw,echo=0,link={}", ours.display()))
        .arg(format!("pty,raw,echo=0,link={}", theirs.display()));
    let _socat = Process::start("socat", &mut socat);
    wait("the pair", 10, || (ours.exists() && theirs.exists()).then_some(()));
    let _server = pymodbus(&["rtu", &theirs.display().to_string(), "115200"]);
    let link = format!("[[link.serial]]\nid = \"l\"\nport = \"{}\"\nbaud = 115200\noverload = true", ours.display());
    dir.write("site.toml", &site(broker.port, "5", &all_types(&dir, &link)));
    compare(&dir, &broker);
}

#[test]
fn holes_are_found_in_the_same_cycle_and_a_silent_unit_does_not_hold_up_the_others() {
    let (broker, port, dir) = (Mosquitto::start(), free_port(), Dir::new("holes"));
    let _server = pymodbus(&["tcp", "127.0.0.1", &port.to_string()]);
    let points: String =
        [2, 9, 12, 15, 20, 29].iter().map(|a| format!("[points.x_a{a}]\naddress = {a}\ntype = \"u16\"\n")).collect();
    dir.write(
        "profiles/holes.toml",
        &format!(
            "format = 1\nname = \"holes\"\nmaker = \"t\"\nmodel = \"t\"\nclass = \"any\"\nsource = \"t\"\nchecked_on_hardware = false\n\
             [groups]\nfast = \"1s\"\n{points}"
        ),
    );
    let mut rest = format!("[[link.tcp]]\nid = \"l\"\nhost = \"127.0.0.1\"\nport = {port}\ntimeout_ms = 300\n");
    for (name, address) in [("holes", 2), ("silent", 77)] {
        rest.push_str(&format!(
            "[[unit]]\nid = \"{name}\"\nlink = \"l\"\naddress = {address}\nprofile = \"holes\"\n\
             [[device]]\nid = \"{name}\"\nclass = \"environment\"\nzh = \"x\"\nen = \"x\"\nunit = \"{name}\"\n"
        ));
    }
    dir.write("site.toml", &site(broker.port, "5", &rest));
    let subscriber = Subscriber::start(broker.port, "plantroom/test/+/telemetry", "mqttv5");
    let state = dir.path("state");
    let _gateway = gateway(&dir.0, &state);
    wait("six cycles", 20, || (subscriber.count("plantroom/test/holes/telemetry") >= 6).then_some(()));
    let first = subscriber.all().into_iter().find(|m| m.topic.contains("holes")).unwrap();
    let first: serde_json::Value = serde_json::from_str(&first.payload).unwrap();
    for (point, value) in [("x_a2", 1002), ("x_a9", 1009), ("x_a20", 1020), ("x_a29", 1029)] {
        assert_eq!(first["values"][point], value, "in the very first cycle: {first}");
    }
    assert_eq!(first["quality"]["x_a12"], "illegal_address");
    let status = plantroom(&dir.0, &state, &["status"]);
    assert!(status.contains("function 3 address 12+1"), "the hole is remembered: {status}");
    let plan = plantroom(&dir.0, &state, &["check", "--plan"]);
    assert!(
        plan.contains("unit `holes` leaves out (learned by the running gateway): function 3 address 12+1"),
        "{plan}"
    );
    let silent = subscriber.newest("plantroom/test/silent/telemetry").expect("a failed cycle is a reading too");
    assert_eq!(silent["quality"]["x_a2"], "unit_offline");
}

#[test]
fn what_was_recorded_is_played_back_and_reads_the_same() {
    let (port, dir) = (free_port(), Dir::new("record"));
    let server = pymodbus(&["tcp", "127.0.0.1", &port.to_string()]);
    let link = |port: u16| format!("[[link.tcp]]\nid = \"l\"\nhost = \"127.0.0.1\"\nport = {port}\noverload = true");
    let first = all_types(&dir, &link(port));
    dir.write("site.toml", &site(1, "5", &first));
    let (state, record) = (dir.path("state"), dir.path("frames.txt").display().to_string());
    let online = says(&dir.0, &state, &["check", "--online"]);
    // No broker is there.
    assert!(online.contains(" ms") && online.contains("sink broker: connect: DOES NOT WORK"), "{online}");
    let read = |more: &[&str]| -> Vec<serde_json::Value> {
        let text = plantroom(&dir.0, &state, &[&["read", "types", "--format", "json"], more].concat());
        serde_json::from_str(&text).unwrap()
    };
    let live = read(&["--record", &record]);
    drop(server);
    let frames = std::fs::read_to_string(&record).unwrap();
    assert!(frames.starts_with("# plantroom frames 1\n") && frames.lines().count() > 10, "{frames}");
    let mut command = Command::new(PLANTROOM);
    command.args(["simulate", "--play", &record]).stdout(Stdio::piped());
    let mut player = Process::start("player", &mut command);
    let mut line = String::new();
    let mut out = std::io::BufReader::new(player.child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let played: u16 = line.split(['/', ':', ' ']).nth(4).unwrap().parse().unwrap_or_else(|e| panic!("{e}: {line}"));
    dir.write("site.toml", &site(1, "5", &first.replace(&link(port), &link(played))));
    assert_eq!(read(&[]), live, "the same values from the same bytes");
    let out = Command::new(PLANTROOM)
        .args(["simulate", "--play", &dir.path("site.toml").display().to_string()])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&out.stderr).contains("is no record of frames"));
}

/// The plant on its fixed ports: one test at a time.
static PLANT: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn a_scan_finds_out_what_is_there_and_writes_what_check_accepts() {
    let _alone = PLANT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = Dir::new("scan");
    let line = dir.path("line");
    let mut command = Command::new(PLANTROOM);
    command.arg("simulate").arg("--line").arg(&line).stdout(Stdio::null());
    let _simulator = Process::start("simulate", &mut command);
    wait("the line", 20, || line.exists().then_some(()));
    wait_port(15_022);
    let state = dir.path("state");
    let scan = |args: &[&str]| -> Vec<serde_json::Value> {
        let text = plantroom(&dir.0, &state, &[&["scan"], args, &["--format", "json"]].concat());
        serde_json::from_str(&text[..=text.rfind(']').unwrap()]).unwrap()
    };
    let best = |rows: &[serde_json::Value], unit: &str| {
        let row = rows.iter().find(|r| r["unit"] == unit).unwrap_or_else(|| panic!("unit {unit}: {rows:?}"));
        (row["profile"].as_str().unwrap().to_string(), row["confidence %"].as_str().unwrap().parse::<u8>().unwrap())
    };
    let written = dir.path("written");
    let text = plantroom(
        &dir.0,
        &state,
        &["scan", "tcp://127.0.0.1:15022", "--units", "1,11-16", "--write", &written.display().to_string()],
    );
    assert!(text.contains("units.toml"), "{text}");
    let meters = scan(&["tcp://127.0.0.1:15022", "--units", "1,11-16,99"]);
    for (unit, profile) in
        [("1", "schneider-iem3000"), ("11", "eastron-sdm630"), ("13", "abb-b23"), ("15", "carlo-gavazzi-em340")]
    {
        let (found, confidence) = best(&meters, unit);
        assert!(found == profile && confidence >= 80, "unit {unit}: {found} {confidence} %");
    }
    assert!(meters.iter().all(|r| r["unit"] != "99"), "nobody is there");
    let checked = plantroom(&written, &state, &["check"]);
    assert!(checked.contains("no errors") && checked.contains("7 units, 7 devices"), "{checked}");
    // Little evidence stays little: sixteen contacts are no proof of anything.
    let serial = scan(&[&format!("serial:{}", line.display()), "--units", "1-2"]);
    let (contacts, confidence) = best(&serial, "2");
    assert!(contacts == "contact-module-16" && confidence < 20, "{contacts} {confidence}");
    assert_eq!(best(&serial, "1").0, "level-transmitter");
    // A gateway that holds the line reads for us, between its cycles.
    dir.write(
        "site.toml",
        &site(
            1,
            "5",
            &format!(
                "[[link.serial]]\nid = \"line\"\nport = \"{}\"\n\
                 [[unit]]\nid = \"level\"\nlink = \"line\"\naddress = 1\nprofile = \"level-transmitter\"\n\
                 [[device]]\nid = \"sump\"\nclass = \"sump\"\nunit = \"level\"\nzh = \"坑\"\nen = \"Sump\"\n",
                line.display()
            ),
        ),
    );
    let _gateway = gateway(&dir.0, &state);
    let online = || plantroom(&dir.0, &state, &["status"]).contains("online").then_some(());
    wait("the device to be online", 20, || state.join("control.sock").exists().then(online).flatten());
    let beside = scan(&[&format!("serial:{}", line.display()), "--units", "1-2"]);
    assert_eq!(best(&beside, "1"), best(&serial, "1"));
    assert_eq!(best(&beside, "2"), best(&serial, "2"));
    let online = says(&dir.0, &state, &["check", "--online"]);
    assert!(online.lines().any(|l| l.starts_with("line") && l.contains(" yes ")), "{online}");
    let status: serde_json::Value =
        serde_json::from_str(&plantroom(&dir.0, &state, &["status", "--format", "json"])).unwrap();
    assert_eq!(status["links"][0]["units"][0]["state"], "online", "{status}");
}

#[test]
fn mbpoll_reads_the_simulator() {
    let _alone = PLANT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = Dir::new("mbpoll");
    let mut command = Command::new(PLANTROOM);
    let line = dir.path("line");
    command.args(["simulate", "--line"]).arg(&line).stdout(Stdio::null());
    let _plant = Process::start("plantroom simulate", &mut command);
    wait_port(15_022);
    let mbpoll = |args: &[&str]| {
        let out = Command::new("mbpoll").args(args).output().expect("mbpoll: run scripts/setup-tests.sh");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "mbpoll {args:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
        text
    };
    // The lighting meter (SDM630, unit 11): voltage of phase 1, a float in input registers 0 and 1.
    let text = mbpoll(&[
        "-m",
        "tcp",
        "-a",
        "11",
        "-t",
        "3:float",
        "-B",
        "-r",
        "1",
        "-c",
        "1",
        "-1",
        "-p",
        "15022",
        "127.0.0.1",
    ]);
    let volts: f64 = text.lines().find_map(|l| l.strip_prefix("[1]:")).expect(&text).trim().parse().unwrap();
    assert!((229.0..231.0).contains(&volts), "{volts}");
    // The contact module of the lifts: sixteen inputs.
    let text = mbpoll(&["-m", "tcp", "-a", "1", "-t", "1", "-r", "1", "-c", "16", "-1", "-p", "15021", "127.0.0.1"]);
    assert_eq!(text.lines().filter(|l| l.starts_with('[')).count(), 16, "{text}");
    // The level transmitter on the serial line: unit 16 is metres, three decimals.
    let device = line.display().to_string();
    let text =
        mbpoll(&["-m", "rtu", "-b", "9600", "-P", "none", "-a", "1", "-t", "4", "-r", "3", "-c", "3", "-1", &device]);
    assert!(text.contains("[3]: \t16") && text.contains("[4]: \t3"), "{text}");
}
