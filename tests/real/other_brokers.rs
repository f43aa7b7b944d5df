//! Brokers that others wrote (amqtt, aedes), Mosquitto with limits that it does not announce, and certificates that have expired.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{
    Counting, Dir, Mosquitto, Process, Subscriber, free_port, gateway, is_up, plantroom, says, site, wait, wait_port,
};
use crate::tls::{authority, certificate};

/// A gateway with one counter at a broker; version 5 or 3.1.1 is found out.
fn plant(name: &str, port: u16, more: &str) -> (Dir, Counting, Process) {
    let (dir, counting) = (Dir::new(name), Counting::start());
    let config = counting.config(&dir, "100ms");
    let text = site(port, "5", &format!("{more}\n{config}")).replace("version = \"5\"\n", "");
    dir.write("site.toml", &text);
    let running = gateway(&dir.0, &dir.path("state"));
    is_up(&dir.path("state"));
    (dir, counting, running)
}

fn sink(dir: &Dir) -> serde_json::Value {
    let json = plantroom(&dir.0, &dir.path("state"), &["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    status["sinks"][0].clone()
}

/// Readings of the counter rise without a gap.
fn whole(subscriber: &Subscriber, least: u64) {
    // What arrives twice bears a number that is not above the last one.
    let values = || -> Vec<u64> {
        let of = |m: &crate::support::Message| {
            let json: serde_json::Value = serde_json::from_str(&m.payload).ok()?;
            json["values"]["x_n"].as_u64()
        };
        let all = subscriber.all();
        let mut out = Vec::new();
        for value in all.iter().filter(|m| m.topic == "plantroom/test/counter/telemetry").filter_map(of) {
            if out.last().is_none_or(|last| value > *last) {
                out.push(value);
            }
        }
        out
    };
    let all = wait("readings", 60, || Some(values()).filter(|all| all.len() as u64 >= least));
    assert!(all.windows(2).all(|w| w[1] == w[0] + 1), "{all:?}");
}

/// Mosquitto refuses a message that is larger than `message_size_limit`, which it does not announce: the others go on.
#[test]
fn a_size_limit_that_is_not_announced_costs_only_what_is_larger() {
    let mut broker = Mosquitto::start();
    broker.stop();
    broker.extra = "message_size_limit 400\n".to_string();
    broker.start_again();
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let (dir, _counting, _running) = plant("size-limit", broker.port, "");
    whole(&subscriber, 60);
    let aside = wait("what is larger to be set aside", 90, || {
        let aside = plantroom(&dir.0, &dir.path("state"), &["set-aside", "--format", "json"]);
        let aside: Vec<serde_json::Value> = serde_json::from_str(&aside).unwrap();
        (!aside.is_empty()).then_some(aside)
    });
    assert!(aside.iter().all(|r| r["topic"] == "plantroom/test/gateway/telemetry"), "{aside:?}");
    wait("it to be up", 120, || (sink(&dir)["up"] == true).then_some(()));
}

/// A broker that takes one connection: it is the one of the readings, and `status` says that commands are not heard.
#[test]
fn one_connection_is_for_the_readings() {
    let mut broker = Mosquitto::start();
    let (dir, counting, mut running) = plant("one-connection", broker.port, "commands = true\n");
    let status = || says(&dir.0, &dir.path("state"), &["status"]);
    wait("commands to be heard", 20, || status().contains("commands are heard").then_some(()));
    broker.stop();
    // Not looked at by a connection of ours: this Mosquitto would take one more for that.
    let limited = dir.write(
        "limited.conf",
        &format!("listener {} 127.0.0.1\nallow_anonymous true\nmax_connections 1\n", broker.port),
    );
    let start = || {
        Process::start(
            "mosquitto",
            Command::new("mosquitto").arg("-c").arg(&limited).stdout(Stdio::null()).stderr(Stdio::null()),
        )
    };
    for _ in 0..2 {
        let mut limited = start();
        let before = sink(&dir)["delivered"].as_u64().unwrap();
        wait("deliveries", 60, || (sink(&dir)["delivered"].as_u64()? > before + 30).then_some(()));
        wait("what is not heard", 30, || status().contains("commands are NOT HEARD").then_some(()));
        limited.kill();
    }
    running.stop();
    drop(counting);
}

/// A broker's certificate that has expired: its words say so, nothing is lost, and a new one is enough.
#[test]
fn an_expired_certificate_is_called_that() {
    let dir = Dir::new("expired");
    authority(&dir);
    let counting = Counting::start();
    let config = counting.config(&dir, "100ms");
    let port = free_port();
    let text = site(port, "5", "").replace("mqtt://", "mqtts://");
    let ca = dir.path("ca.pem").display().to_string();
    dir.write(
        "site.toml",
        &format!(
            "{text}ca_file = \"{ca}\"\ncert_file = \"{d}/client.pem\"\nkey_file = \"{d}/client.key\"\n{config}",
            d = dir.0.display()
        ),
    );
    for (name, days) in [("broker", "-1"), ("client", "-1")] {
        certificate(&dir, name, days);
    }
    let checked =
        Command::new(env!("CARGO_BIN_EXE_plantroom")).arg("--config").arg(&dir.0).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("client.pem") && said.contains("expired"), "{said}");
    let broker = tls_broker(&dir, port);
    let mut running = gateway(&dir.0, &dir.path("state"));
    is_up(&dir.path("state"));
    let error = wait("a refusal", 30, || sink(&dir)["error"].as_str().filter(|e| !e.is_empty()).map(str::to_string));
    assert!(error.to_lowercase().contains("expired"), "{error}");
    drop(broker);
    for name in ["broker", "client"] {
        certificate(&dir, name, "2");
    }
    let _broker = tls_broker(&dir, port);
    wait("everything to be delivered", 40, || {
        let sink = sink(&dir);
        (sink["up"] == true && sink["lag"].as_u64()? < 20 && sink["delivered"].as_u64()? > 50).then_some(())
    });
    running.stop();
}

fn tls_broker(dir: &Dir, port: u16) -> Process {
    let at = |name: &str| dir.path(name).display().to_string();
    let conf = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        at("ca.pem"),
        at("broker.pem"),
        at("broker.key")
    );
    for name in ["broker.key", "broker.pem", "ca.pem"] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir.path(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(dir.write("mosquitto.conf", &conf)).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::start("mosquitto", &mut command);
    wait_port(port);
    process
}

/// amqtt (Python) and aedes (Node.js): found out what they speak, everything arrives, also over their death.
#[test]
fn brokers_of_others_get_everything() {
    let amqtt = |dir: &Dir, port: u16| {
        let text = format!(
            "listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\nplugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        );
        let mut command = Command::new("python3");
        command.args(["-m", "amqtt.scripts.broker_script", "-c"]).arg(dir.write("amqtt.yaml", &text));
        command
    };
    let aedes = |dir: &Dir, port: u16| {
        let text = "const broker = require(process.argv[2] + '/node_modules/aedes')();\n\
            require('net').createServer(broker.handle).listen(Number(process.argv[3]), '127.0.0.1');\n";
        let mut command = Command::new("node");
        command.arg(dir.write("aedes.js", text)).arg(aedes_packages()).arg(port.to_string());
        command
    };
    for (name, make) in [("amqtt", &amqtt as &dyn Fn(&Dir, u16) -> Command), ("aedes", &aedes)] {
        let (dir, port) = (Dir::new(name), free_port());
        let start = || {
            let log = std::fs::File::create(dir.path("broker.log")).unwrap();
            let process = Process::start(name, make(&dir, port).stdout(Stdio::null()).stderr(log));
            wait_port(port);
            process
        };
        let mut broker = start();
        let subscriber = Subscriber::start(port, "plantroom/#", "mqttv311");
        let (plant_dir, _counting, mut running) = plant(&format!("{name}-plant"), port, "");
        whole(&subscriber, 60);
        let limits = sink(&plant_dir)["limits"].as_str().unwrap().to_string();
        assert!(limits.contains("3.1.1"), "{name}: {limits}");
        broker.kill();
        std::thread::sleep(std::time::Duration::from_secs(2));
        let _broker = start();
        let before = sink(&plant_dir)["delivered"].as_u64().unwrap();
        wait("it to go on", 60, || {
            let sink = sink(&plant_dir);
            (sink["delivered"].as_u64()? > before + 40 && sink["lag"].as_u64()? < 20).then_some(())
        });
        running.stop();
    }
}

/// The packages of aedes, kept between runs.
fn aedes_packages() -> String {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aedes");
    std::fs::create_dir_all(&dir).unwrap();
    if !dir.join("node_modules/aedes").exists() {
        std::fs::write(dir.join("package.json"), "{}").unwrap();
        let out = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "aedes@0.51.3"])
            .current_dir(&dir)
            .output()
            .expect("npm: run scripts/setup-tests.sh");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    dir.display().to_string()
}
