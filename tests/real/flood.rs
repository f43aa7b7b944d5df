//! Flood levels of the real binary: feeds over HTTP, warnings through the broker and the interface for programs, people, kill -9.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::*;

/// A weather office on loopback: documents by path, each with an entity tag; what was asked is counted.
struct Office {
    port: u16,
    documents: Arc<Mutex<BTreeMap<String, String>>>,
    /// Path and status of each answer.
    answers: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Office {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let documents: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let answers: Arc<Mutex<Vec<(String, u16)>>> = Arc::default();
        let (served, counted) = (Arc::clone(&documents), Arc::clone(&answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, counted) = (Arc::clone(&served), Arc::clone(&counted));
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let mut stream = stream;
                    while let Some(Ok(first)) = lines.next() {
                        let head: Vec<String> =
                            lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                        let path = first.split(' ').nth(1).unwrap_or_default().to_string();
                        let document = served.lock().unwrap().get(&path).cloned();
                        let tag = format!("\"{:x}\"", document.as_deref().unwrap_or_default().len());
                        let is_known = head.iter().any(|line| {
                            line.to_ascii_lowercase().starts_with("if-none-match") && line.contains(tag.as_str())
                        });
                        let (status, body) = match document {
                            None => (404, String::new()),
                            Some(_) if is_known => (304, String::new()),
                            Some(body) => (200, body),
                        };
                        counted.lock().unwrap().push((path, status));
                        let head =
                            format!("HTTP/1.1 {status} x\r\nETag: {tag}\r\nContent-Length: {}\r\n\r\n", body.len());
                        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, documents, answers }
    }

    fn put(&self, path: &str, text: String) {
        self.documents.lock().unwrap().insert(path.to_string(), text);
    }

    fn list(&self, names: &[&str]) {
        let item = |name: &&str| format!("<item><link>http://127.0.0.1:{}/{name}</link></item>", self.port);
        let items: String = names.iter().map(item).collect();
        self.put("/list", format!("<rss version=\"2.0\"><channel>{items}</channel></rss>"));
    }

    fn count(&self, path: &str, status: u16) -> usize {
        self.answers.lock().unwrap().iter().filter(|(of, code)| of == path && *code == status).count()
    }
}

/// A CAP document; `about`: `msgType` and what it refers to.
fn cap(identifier: &str, (kind, references): (&str, &str), headline: &str, geocode: &str) -> String {
    let sent = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S+00:00");
    let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(6)).strftime("%Y-%m-%dT%H:%M:%S+00:00");
    format!(
        "<alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"><identifier>{identifier}</identifier><sender>office</sender>\
         <sent>{sent}</sent><status>Actual</status><msgType>{kind}</msgType><scope>Public</scope>\
         <references>{references}</references><info><language>zh-CN</language><event>暴雨</event><urgency>Expected</urgency>\
         <severity>Severe</severity><certainty>Likely</certainty><expires>{expires}</expires><headline>{headline}</headline>\
         <area><areaDesc>x</areaDesc><geocode><valueName>c</valueName><value>{geocode}</value></geocode></area></info></alert>"
    )
}

fn level(dir: &Dir, state: &Path) -> serde_json::Value {
    serde_json::from_str(&plantroom(&dir.0, state, &["flood", "--format", "json"])).unwrap()
}

fn fails(dir: &Dir, state: &Path, args: &[&str]) -> (Option<i32>, String) {
    let out =
        Command::new(PLANTROOM).arg("--config").arg(&dir.0).arg("--state").arg(state).args(args).output().unwrap();
    assert!(!out.status.success(), "{args:?}");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn warnings_of_a_list_a_broker_and_a_program_raise_the_level() {
    let (broker, office, counting, dir) = (Mosquitto::start(), Office::start(), Counting::start(), Dir::new("flood"));
    let token = dir.write("token", "a-token-of-a-program");
    let web = free_port();
    let more = format!(
        "commands = true\n{}[web]\nlisten = \"127.0.0.1:{web}\"\n[[web.token]]\nid = \"relay\"\ntoken_file = \"{}\"\nmay = \"warn\"\n\
         [flood]\ngeocodes = [\"370614\"]\n[[feed]]\nname = \"office\"\nurl = \"http://127.0.0.1:{}/list\"\nevery = \"1m\"\n\
         [[feed]]\nname = \"sent\"\n",
        counting.config(&dir, "1s"),
        token.display(),
        office.port
    );
    dir.write("site.toml", &site(broker.port, "5", &more));
    office.put("/a", cap("a", ("Alert", ""), "暴雨蓝色预警", "370614000000"));
    office.put("/b", cap("b", ("Alert", ""), "暴雨红色预警", "110000000000"));
    office.put("/broken", "<alert>".to_string());
    office.list(&["broken", "b", "a", "gone"]);
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let running = gateway(&dir.0, &state);
    let topic = "plantroom/test/flood";
    let at = |wanted: &str| wait(wanted, 20, || subscriber.newest(topic).filter(|flood| flood["level"] == wanted));
    // Of two warnings one is of another province; what cannot be read is left out.
    let told = at("blue");
    assert_eq!((&told["zh"], &told["external"]["feed"]), (&"蓝色".into(), &"office".into()), "{told}");
    assert_eq!(told["warnings"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["warnings"][0]["document"].as_str().unwrap().len(), 64, "{told}");
    assert_eq!(office.count("/a", 200), 1);
    let alarm = wait("its alarm", 10, || subscriber.newest("plantroom/test/alarm/level.flood"));
    assert_eq!((&alarm["priority"], &alarm["text"]["zh"]), (&"P4".into(), &"防汛等级：蓝色".into()), "{alarm}");
    // Through the broker, with an answer; a list sends nobody elsewhere.
    let publish = |topic: &str, payload: &str| {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-p", &broker.port.to_string(), "-V", "5", "-t", topic, "-m", payload]);
        assert!(command.status().unwrap().success());
    };
    let yellow = cap("c", ("Alert", ""), "暴雨黄色预警", "370600000000");
    wait("yellow", 20, || {
        publish("plantroom/test/command/warning/sent", &yellow);
        subscriber.newest(topic).filter(|flood| flood["level"] == "yellow")
    });
    publish("plantroom/test/command/warning/office", &cap("d", ("Alert", ""), "暴雨红色预警", "370600000000"));
    // Through the interface for programs.
    let post = |feed: &str, body: &str, token: &str| {
        let file = dir.write("body.xml", body);
        let out = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Authorization: Bearer {token}")])
            .args(["--data-binary", &format!("@{}", file.display())])
            .arg(format!("http://127.0.0.1:{web}/api/v1/warnings/{feed}"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let orange = cap("e", ("Update", "office,c,2026-08-01T00:00:00+08:00"), "暴雨橙色预警", "370614000000");
    assert_eq!(post("sent", &orange, "nobody-s-token-here"), "401");
    assert_eq!(post("sent", "<html/>", "a-token-of-a-program"), "400");
    assert_eq!(post("nowhere", &orange, "a-token-of-a-program"), "400");
    assert_eq!(post("office", &orange, "a-token-of-a-program"), "409");
    assert_eq!(post("sent", &"x".repeat(300_000), "a-token-of-a-program"), "413");
    assert_eq!(post("sent", &orange, "a-token-of-a-program"), "204");
    let told = at("orange");
    assert_eq!(told["warnings"].as_array().unwrap().len(), 2, "the yellow one was replaced: {told}");
    people(&dir, &state, running, &subscriber);
}

/// People: with a reason, within limits, and down by a manager only: root is one. What they set survives kill -9.
fn people(dir: &Dir, state: &Path, mut running: Process, subscriber: &Subscriber) {
    let refused = fails(dir, state, &["flood", "set", "purple", "--note", "x"]);
    assert!(refused.0 == Some(64) && refused.1.contains("known: blue"), "{refused:?}");
    let said = plantroom(&dir.0, state, &["flood", "set", "red", "--for", "1h", "--note", "river over the wall"]);
    assert!(said.starts_with("flood level red (红色 red)"), "{said}");
    running.kill();
    let mut running = gateway(&dir.0, state);
    let kept = wait("it to answer", 20, || {
        let mut command = Command::new(PLANTROOM);
        command.arg("--config").arg(&dir.0).arg("--state").arg(state).args(["flood", "--format", "json"]);
        let out = command.output().unwrap();
        out.status.success().then(|| serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap())
    });
    assert_eq!((&kept["level"], &kept["manual"]["reason"]), (&"red".into(), &"river over the wall".into()), "{kept}");
    plantroom(&dir.0, state, &["flood", "force-down", "none", "--for", "1h", "--note", "test is over"]);
    assert_eq!(level(dir, state)["level"], "none");
    let told = || subscriber.newest("plantroom/test/flood").filter(|flood| flood["level"] == "none");
    wait("the broker to know", 20, told);
    let log = plantroom(&dir.0, state, &["flood", "log", "--from", "1h"]);
    for word in ["warning_updated", "set", "forced_down", "orange -> red", "red -> none", "river over the wall"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    wait("its history", 10, || {
        let history = plantroom(&dir.0, state, &["history", "flood.level_rank", "--from", "1h", "--format", "csv"]);
        // What was read in the last second before kill -9 may be lost; the log has each change of the level.
        [",0,good", ",1,good", ",2,good", ",4,good"].iter().all(|row| history.contains(row)).then_some(())
    });
    running.stop();
}

#[test]
fn a_feed_is_asked_with_its_tag_and_its_silence_is_seen() {
    let (broker, office, counting, dir) = (Mosquitto::start(), Office::start(), Counting::start(), Dir::new("feed"));
    // The clock of a demo could run faster; here a minute is a minute, so the JSON of a service is read once.
    let more = format!(
        "{}[flood]\n[[feed]]\nname = \"json\"\nurl = \"http://127.0.0.1:{}/alerts\"\nevery = \"1m\"\nconcerns_site = true\n\
         [feed.json]\nlist = \"/alerts\"\nidentifier = \"/id\"\nsent = \"/issuedTime\"\nkind = \"/messageType/code\"\n\
         references = \"/messageType/supersedes\"\nevent_code = \"/eventType/code\"\nheadline = \"/headline\"\ncolour = \"/color/code\"\n\
         expires = \"/expireTime\"\nlanguage = \"zh\"\n\
         [[feed]]\nname = \"away\"\nurl = \"http://127.0.0.1:1/x\"\n\
         [[feed]]\nname = \"foreign\"\nurl = \"http://127.0.0.1:{}/list\"\nconcerns_site = true\n",
        counting.config(&dir, "1s"),
        office.port,
        office.port
    );
    dir.write("site.toml", &site(broker.port, "5", &more));
    let sent = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M+00:00").to_string();
    let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(6)).strftime("%Y-%m-%dT%H:%M+00:00");
    office.put(
        "/alerts",
        format!(
            "{{\"alerts\":[{{\"id\":\"q1\",\"issuedTime\":\"{sent}\",\"messageType\":{{\"code\":\"alert\"}},\
             \"eventType\":{{\"code\":\"1003\"}},\"color\":{{\"code\":\"orange\"}},\"headline\":\"暴雨橙色预警\",\"expireTime\":\"{expires}\"}}]}}"
        ),
    );
    office.put(
        "/list",
        "<rss version=\"2.0\"><channel><item><link>http://169.254.169.254/latest</link></item></channel></rss>".into(),
    );
    let state = dir.path("state");
    let running = gateway(&dir.0, &state);
    wait("its socket", 20, || state.join("control.sock").exists().then_some(()));
    let told = wait("the level", 20, || Some(level(&dir, &state)).filter(|told| told["level"] == "orange"));
    assert_eq!(told["warnings"][0]["zh"], "暴雨橙色预警", "{told}");
    let feeds = wait("both to fail", 20, || {
        let told = level(&dir, &state);
        let feeds = told["feeds"].as_array().unwrap().clone();
        (feeds.iter().filter(|feed| feed["is_answering"] == false).count() == 2).then_some(feeds)
    });
    let why = |name: &str| feeds.iter().find(|feed| feed["name"] == name).unwrap()["why"].as_str().unwrap().to_string();
    assert!(why("away").contains("no connection"), "{feeds:?}");
    assert!(why("foreign").contains("another host"), "{feeds:?}");
    wait("the second look", 100, || (office.count("/alerts", 304) > 0).then_some(()));
    let mut running = running;
    running.stop();
}
