//! TLS with an authority of our own, a client certificate, user and password: on a Mosquitto that insists on all of them.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Counting, Dir, PLANTROOM, Process, free_port, gateway, plantroom, site, wait, wait_port};

fn openssl(dir: &Dir, args: &[&str]) {
    let out =
        Command::new("openssl").args(args).current_dir(&dir.0).output().expect("openssl: run scripts/setup-tests.sh");
    assert!(out.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// An authority, and certificates of it for the broker and for us.
pub fn certificates(dir: &Dir) {
    authority(dir);
    ["broker", "client"].iter().for_each(|name| certificate(dir, name, "2"));
}

const NEW: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority.
pub fn authority(dir: &Dir) {
    let ca = ["req", "-x509", "-subj", "/CN=test authority", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(dir, &[&ca[..], &NEW].concat());
}

/// A certificate of it, `broker` or `client`, that is good for so many days; less than none: it has expired.
pub fn certificate(dir: &Dir, name: &str, days: &str) {
    let san = if name == "broker" { "subjectAltName=IP:127.0.0.1,DNS:localhost" } else { "subjectAltName=DNS:client" };
    let (subject, csr, pem) = (format!("/CN={name}"), format!("{name}.csr"), format!("{name}.pem"));
    let key = format!("{name}.key");
    openssl(dir, &[&["req", "-subj", &subject, "-keyout", &key, "-out", &csr][..], &NEW].concat());
    let ext = dir.write(&format!("{name}.ext"), san).display().to_string();
    let sign = ["x509", "-req", "-in", &csr, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(dir, &[&sign[..], &["-days", days, "-extfile", &ext, "-out", &pem]].concat());
}

fn strict_mosquitto(dir: &Dir, port: u16) -> Process {
    let passwords = dir.path("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["plant", "s3cret"]).status();
    assert!(made.expect("mosquitto_passwd: run scripts/setup-tests.sh").success());
    let at = |name: &str| dir.path(name).display().to_string();
    // Mosquitto leaves root behind: it must still be able to read its files.
    for name in ["broker.key", "broker.pem", "ca.pem", "passwords"] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir.path(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let conf = format!(
        "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        at("passwords"),
        at("ca.pem"),
        at("broker.pem"),
        at("broker.key")
    );
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(dir.write("mosquitto.conf", &conf)).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::start("mosquitto", &mut command);
    wait_port(port);
    process
}

fn connects(version: &str) {
    let dir = Dir::new("tls");
    certificates(&dir);
    let port = free_port();
    let _broker = strict_mosquitto(&dir, port);
    let counting = Counting::start();
    let config = counting.config(&dir, "100ms");
    dir.write("password", "s3cret\n");
    let write = |ca: &str, user: &str| {
        let at = |name: &str| dir.path(name).display().to_string();
        let keys = format!(
            "username = \"{user}\"\npassword_file = \"{}\"\nca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            at("password"),
            at(ca),
            at("client.pem"),
            at("client.key")
        );
        let text = site(port, version, "").replace("mqtt://", "mqtts://");
        dir.write("site.toml", &format!("{text}{keys}{config}"));
    };
    let status = |state: &Path| {
        let out =
            Command::new(PLANTROOM).arg("--state").arg(state).args(["status", "--format", "json"]).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out.stdout).ok()?;
        Some(json["sinks"][0].clone())
    };
    // An authority that the broker's certificate is not of.
    let other = Dir::new("tls-other");
    certificates(&other);
    std::fs::copy(other.path("ca.pem"), dir.path("other.pem")).unwrap();
    for (ca, user, says) in [("other.pem", "plant", "certificate"), ("ca.pem", "nobody", "")] {
        write(ca, user);
        let state = dir.path(&format!("state-{ca}-{user}"));
        let mut running = gateway(&dir.0, &state);
        let sink = wait("a refusal", 20, || status(&state).filter(|s| !s["error"].as_str().unwrap().is_empty()));
        assert_eq!(sink["up"], false, "{sink}");
        assert!(sink["error"].as_str().unwrap().to_lowercase().contains(says), "{sink}");
        running.stop();
    }
    write("ca.pem", "plant");
    let state = dir.path("state");
    let _running = gateway(&dir.0, &state);
    wait("deliveries", 20, || (status(&state)?["delivered"].as_u64()? > 10).then_some(()));
    let all = format!(
        "{}{}",
        plantroom(&dir.0, &state, &["status"]),
        std::fs::read_to_string(dir.path("gateway.log")).unwrap()
    );
    assert!(!all.contains("s3cret"), "the password is told to nobody");
}

#[test]
fn mqtt_5_over_tls() {
    connects("5");
}

#[test]
fn mqtt_3_over_tls() {
    connects("3.1.1");
}
