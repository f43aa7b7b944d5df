//! One contract for all channels: what each says of a service that takes it, refuses it in a good answer, refuses it, has enough,
//! is broken, hangs, closes, talks nonsense, or is somebody else.

use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plantroom::channel::kinds::ChannelSettings;
use plantroom::channel::{self, InboundReply};
use plantroom::http::files::LoadedFiles;
use plantroom::model::notification::{Button, DeliveryOutcome, Notification};
use plantroom::model::priority::Priority;
use plantroom::model::time::UnixMillis;

use crate::service::{Mode, Service};
use crate::support::*;
use crate::tls::certificates;

/// 2026-11-22T06:00:00Z.
const NOW: UnixMillis = UnixMillis(1_795_327_200_000);

fn letter(to: &str) -> Notification {
    Notification {
        id: "page-7".into(),
        address: to.into(),
        title: "[P1] 3号楼 1号梯 困人，安抚乘客".into(),
        body: "时间 11-22 14:00\nentrapment.lift-1 #3\n".into(),
        summary: "[P1] 3号楼 1号梯 困人，安抚乘客 回1确认".into(),
        priority: Priority::P1,
        requires_ack: true,
        token: Some("TOKEN".into()),
        link: Some("https://box.example/a/TOKEN".into()),
        buttons: vec![Button { label: "确认收到".into(), reports_arrival: false }],
        payload: serde_json::json!([{ "alarm": "entrapment.lift-1" }]),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let _already = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn attempt(settings: &ChannelSettings, letter: &Notification) -> DeliveryOutcome {
    let one =
        || runtime().block_on(async { settings.open(&LoadedFiles::read(&settings.files())).send(letter, NOW).await });
    // Another test's child may hold a script open for a moment that was just written here.
    let is_busy = |a: &DeliveryOutcome| matches!(a, DeliveryOutcome::RetryLater { reason, .. } if reason.contains("Text file busy"));
    (0..20).map(|_| one()).find(|a| !is_busy(a)).unwrap_or_else(one)
}

/// Settings as a file has them.
fn settings<T: serde::de::DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Every channel that speaks HTTP, on an address.
fn over_http(url: &str, ca: &str) -> Vec<(&'static str, ChannelSettings)> {
    let more = if ca.is_empty() { String::new() } else { format!("ca_file = \"{ca}\"\n") };
    let with = |rest: &str| format!("id = \"c\"\nurl = \"{url}\"\n{rest}{more}");
    let robot = || settings(&with("key = \"KEY\"\nsecret = \"this is secret\"\n"));
    vec![
        ("ntfy", ChannelSettings::Ntfy(settings(&with("topic = \"t\"\n")))),
        ("wecom", ChannelSettings::Wecom(robot())),
        ("dingtalk", ChannelSettings::Dingtalk(robot())),
        ("feishu", ChannelSettings::Feishu(robot())),
        ("webhook", ChannelSettings::Webhook(settings(&with("secret = \"s\"\n")))),
    ]
}

/// What a service says when all is well, in its own way.
fn well(name: &str) -> &'static str {
    match name {
        "wecom" | "dingtalk" => r#"{"errcode":0,"errmsg":"ok"}"#,
        "feishu" => r#"{"code":0,"msg":"success"}"#,
        _ => "{}",
    }
}

fn is_robot(name: &str) -> bool {
    matches!(name, "wecom" | "dingtalk" | "feishu")
}

#[test]
fn over_http_each_says_what_became_of_it() {
    let service = Service::start();
    let says = |status: u16, more: &'static str, body: &str| Mode::Says(status, more, body.to_string());
    for (name, settings) in over_http(&service.url(), "") {
        let of = |mode: Mode| {
            service.set(mode);
            attempt(&settings, &letter("13800001111"))
        };
        assert_eq!(of(says(200, "", well(name))), DeliveryOutcome::Accepted, "{name}");
        let sent = service.all().last().unwrap().clone();
        assert!(sent.body.contains("困人"), "{name}: {}", sent.body);
        if is_robot(name) {
            let refused =
                of(says(200, "", r#"{"errcode":310000,"errmsg":"sign not match","code":19021,"msg":"sign"}"#));
            assert!(
                matches!(&refused, DeliveryOutcome::Rejected { reason } if reason.contains("refused (")),
                "{name}: {refused:?}"
            );
            let rate = of(says(200, "", &format!("{{\"errcode\":{0},\"code\":{0}}}", rate_code(name))));
            assert!(matches!(rate, DeliveryOutcome::RetryLater { after_ms: None, .. }), "{name}: {rate:?}");
            let garbled = of(says(200, "", "<html>hello</html>"));
            assert!(matches!(garbled, DeliveryOutcome::Unknown { .. }), "{name}: {garbled:?}");
            let late = of(says(200, "date: Sun, 22 Nov 2026 08:00:00 GMT\r\n", r#"{"errcode":310000,"code":19021}"#));
            assert!(
                matches!(&late, DeliveryOutcome::Rejected { reason } if reason.contains("120 min off")),
                "{name}: {late:?}"
            );
        }
        for status in [400, 401, 403, 404] {
            let refused = of(says(status, "", "no such thing"));
            assert!(
                matches!(&refused, DeliveryOutcome::Rejected { reason } if reason.contains(&status.to_string())),
                "{name}: {refused:?}"
            );
        }
        let enough = of(says(429, "retry-after: 7\r\n", ""));
        assert!(matches!(enough, DeliveryOutcome::RetryLater { after_ms: Some(7_000), .. }), "{name}: {enough:?}");
        let broken = of(says(503, "", "down"));
        assert!(matches!(broken, DeliveryOutcome::RetryLater { after_ms: Some(_), .. }), "{name}: {broken:?}");
        for mode in [Mode::Closes, Mode::Garbage] {
            let answer = of(mode.clone());
            assert!(matches!(answer, DeliveryOutcome::Unknown { .. }), "{name} {mode:?}: {answer:?}");
        }
    }
    dialects(&service);
}

fn rate_code(name: &str) -> u32 {
    match name {
        "wecom" => 45_009,
        "dingtalk" => 130_101,
        _ => 11_232,
    }
}

/// Each service is spoken to in its own way.
fn dialects(service: &Service) {
    let of = |name: &str| {
        let all = over_http(&service.url(), "");
        let settings = &all.iter().find(|(n, _)| *n == name).unwrap().1;
        service.set(Mode::Says(200, "", well(name).into()));
        assert_eq!(attempt(settings, &letter("13800001111")), DeliveryOutcome::Accepted);
        let got = service.all().last().unwrap().clone();
        (got.path.clone(), got.json(), got)
    };
    let (path, body, _) = of("ntfy");
    assert_eq!((path.as_str(), body["topic"].as_str(), &body["priority"]), ("/", Some("13800001111"), &5.into()));
    assert_eq!(
        body["actions"][0]["url"], "https://box.example/a/TOKEN",
        "without a reply topic the button posts to the page"
    );
    let there =
        Notification { buttons: vec![Button { label: "我已到场".into(), reports_arrival: true }], ..letter("t") };
    assert_eq!(attempt(&over_http(&service.url(), "")[0].1, &there), DeliveryOutcome::Accepted);
    assert_eq!(service.all().last().unwrap().json()["actions"][0]["body"], "do=arrive&from=button");
    let (path, body, _) = of("wecom");
    assert_eq!(path, "/cgi-bin/webhook/send?key=KEY");
    assert_eq!(body["text"]["mentioned_mobile_list"][0], "13800001111");
    let (path, body, _) = of("dingtalk");
    assert!(path.starts_with("/robot/send?access_token=KEY&timestamp=1795327200000&sign="), "{path}");
    assert!(
        body["at"]["atMobiles"][0] == "13800001111"
            && body["text"]["content"].as_str().unwrap().contains("@13800001111")
    );
    let (path, body, _) = of("feishu");
    assert_eq!((path.as_str(), body["timestamp"].as_str()), ("/open-apis/bot/v2/hook/KEY", Some("1795327200")));
    assert_eq!(body["sign"], channel::group_webhook::feishu_sign("this is secret", 1_795_327_200));
    let (_, body, got) = of("webhook");
    assert_eq!((body["id"].as_str(), body["alarms"][0]["alarm"].as_str()), (Some("page-7"), Some("entrapment.lift-1")));
    assert_eq!(got.header("x-plantroom-signature"), channel::webhook::sign("s", 1_795_327_200, &got.body));
}

#[test]
fn a_service_that_hangs_is_left_in_time() {
    let service = Service::start();
    service.set(Mode::Hangs);
    let began = std::time::Instant::now();
    let answers: Vec<(&str, DeliveryOutcome)> = std::thread::scope(|scope| {
        let asked: Vec<_> = over_http(&service.url(), "")
            .into_iter()
            .map(|(name, settings)| (name, scope.spawn(move || attempt(&settings, &letter("x")))))
            .collect();
        asked.into_iter().map(|(name, thread)| (name, thread.join().unwrap())).collect()
    });
    for (name, answer) in answers {
        assert!(
            matches!(&answer, DeliveryOutcome::Unknown { reason } if reason.contains("no answer in time")),
            "{name}: {answer:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Nobody there at all.
    for (name, settings) in over_http(&format!("http://127.0.0.1:{}", free_port()), "") {
        let answer = attempt(&settings, &letter("x"));
        assert!(
            matches!(&answer, DeliveryOutcome::RetryLater { after_ms: Some(_), reason } if reason.contains("no connection")),
            "{name}: {answer:?}"
        );
    }
}

#[test]
fn somebody_elses_certificate_is_not_believed() {
    let (ours, theirs) = (Dir::new("ours"), Dir::new("theirs"));
    certificates(&ours);
    certificates(&theirs);
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &port.to_string(), "-cert"]).arg(theirs.path("broker.pem"));
    command.arg("-key").arg(theirs.path("broker.key")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Process::start("openssl", &mut command);
    wait_port(port);
    let ca = ours.path("ca.pem").display().to_string();
    for (name, settings) in over_http(&format!("https://127.0.0.1:{port}"), &ca) {
        let answer = attempt(&settings, &letter("x"));
        assert!(
            matches!(&answer, DeliveryOutcome::RetryLater { reason, .. } if reason.contains("certificate")),
            "{name}: {answer:?}"
        );
    }
    let mail = email("127.0.0.1", port, "tls", &format!("ca_file = \"{ca}\"\n"));
    let answer = attempt(&mail, &letter("wang@example.com"));
    assert!(
        matches!(&answer, DeliveryOutcome::RetryLater { reason, .. } if reason.to_lowercase().contains("certificate")),
        "{answer:?}"
    );
}

fn email(host: &str, port: u16, security: &str, more: &str) -> ChannelSettings {
    let text = format!(
        "id = \"m\"\nhost = \"{host}\"\nport = {port}\nsecurity = \"{security}\"\nfrom = \"Box <box@example.com>\"\n{more}"
    );
    ChannelSettings::Email(settings(&text))
}

/// A mail server of somebody else's (aiosmtpd), with TLS from the first byte if it has a certificate.
fn mail_server(dir: &Dir, tls: bool) -> (u16, Process) {
    let port = free_port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/mail_server.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(port.to_string()).arg(dir.path("mail"));
    if tls {
        command.arg(dir.path("broker.pem")).arg(dir.path("broker.key"));
    }
    let process = Process::start("aiosmtpd", &mut command);
    wait_port(port);
    (port, process)
}

#[test]
fn mail_goes_to_a_real_server() {
    let dir = Dir::new("mail");
    certificates(&dir);
    std::fs::create_dir_all(dir.path("mail")).unwrap();
    let ca = format!("ca_file = \"{}\"\n", dir.path("ca.pem").display());
    for (tls, security) in [(false, "none"), (true, "tls")] {
        let (port, _server) = mail_server(&dir, tls);
        let mail = email(if tls { "localhost" } else { "127.0.0.1" }, port, security, &ca);
        assert_eq!(attempt(&mail, &letter("wang@example.com")), DeliveryOutcome::Accepted, "{security}");
        let text = std::fs::read_to_string(dir.path("mail/last.txt")).unwrap();
        assert!(
            text.contains("subject: [P1] 3号楼 1号梯 困人，安抚乘客") && text.contains("entrapment.lift-1 #3"),
            "{text}"
        );
        assert!(text.contains("message-id: <page-7@example.com>"), "{text}");
        // What the server refuses for good, and for now.
        let refused = attempt(&mail, &letter("nobody@example.com"));
        assert!(matches!(&refused, DeliveryOutcome::Rejected { reason } if reason.contains("550")), "{refused:?}");
        let full = attempt(&mail, &letter("full@example.com"));
        assert!(matches!(&full, DeliveryOutcome::RetryLater { reason, .. } if reason.contains("452")), "{full:?}");
        assert!(matches!(attempt(&mail, &letter("no address")), DeliveryOutcome::Rejected { .. }));
    }
    let (port, _server) = mail_server(&dir, false);
    let none = attempt(&email("127.0.0.1", port, "starttls", &ca), &letter("wang@example.com"));
    assert!(!matches!(none, DeliveryOutcome::Accepted), "a server without TLS gets nothing: {none:?}");
    let nobody = attempt(&email("127.0.0.1", free_port(), "none", ""), &letter("wang@example.com"));
    assert!(matches!(nobody, DeliveryOutcome::RetryLater { .. }), "{nobody:?}");
    let service = Service::start();
    service.set(Mode::Garbage);
    let garbage = attempt(&email("127.0.0.1", service.port, "none", ""), &letter("wang@example.com"));
    assert!(!matches!(garbage, DeliveryOutcome::Accepted), "{garbage:?}");
}

#[test]
fn a_program_says_it_by_how_it_ends() {
    let dir = Dir::new("siren");
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.write(name, &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        ChannelSettings::Command(settings(&format!(
            "id = \"s\"\nprogram = \"{}\"\ntimeout_ms = 1000\n",
            path.display()
        )))
    };
    let out = dir.path("out").display().to_string();
    let good =
        script("good", &format!("cat > {out}; echo \"$PLANTROOM_PRIORITY $PLANTROOM_ASKS $PLANTROOM_SHORT\" >> {out}"));
    assert_eq!(attempt(&good, &letter("")), DeliveryOutcome::Accepted);
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.contains("entrapment.lift-1") && text.contains("P1 1 [P1] 3号楼"), "{text}");
    let later = attempt(&script("later", "echo busy >&2; exit 75"), &letter(""));
    assert!(matches!(&later, DeliveryOutcome::RetryLater { reason, .. } if reason.contains("busy")), "{later:?}");
    let refused = attempt(&script("bad", "echo broken >&2; exit 3"), &letter(""));
    assert!(matches!(&refused, DeliveryOutcome::Rejected { reason } if reason.contains("broken")), "{refused:?}");
    // What it began ends with it, and it knows nothing of the gateway's environment.
    let pid = dir.path("pid").display().to_string();
    let hangs = format!("env > {out}; sleep 31 & echo $! > {pid}; wait");
    assert!(matches!(attempt(&script("hangs", &hangs), &letter("")), DeliveryOutcome::Unknown { .. }));
    let pid = std::fs::read_to_string(pid).unwrap();
    wait("its child to end", 5, || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        (state.is_empty() || state.contains(") Z")).then_some(())
    });
    let environment = std::fs::read_to_string(&out).unwrap();
    let names: Vec<&str> = environment.lines().filter_map(|l| l.split_once('=')).map(|(n, _)| n).collect();
    assert!(names.iter().all(|n| n.starts_with("PLANTROOM_") || ["PATH", "LANG", "PWD", "_", "SHLVL"].contains(n)));
    assert!(names.contains(&"PLANTROOM_TITLE"), "{names:?}");
    let none = ChannelSettings::Command(settings("id = \"s\"\nprogram = \"/no/such/program\"\n"));
    assert!(matches!(attempt(&none, &letter("")), DeliveryOutcome::Rejected { .. }));
}

/// A modem on a pseudo terminal: what it is told is kept, what it says is the test's.
pub struct FakeModem {
    pub path: String,
    pub heard: Arc<Mutex<Vec<String>>>,
    /// Messages that came in, as PDUs.
    pub inbox: Arc<Mutex<Vec<String>>>,
    /// `ok`, `refuses`, `silent`.
    pub mode: Arc<Mutex<&'static str>>,
    _pair: Process,
}

impl FakeModem {
    pub fn start(dir: &Dir) -> Self {
        let (ours, theirs) = (dir.path("modem"), dir.path("modem-other"));
        let mut command = Command::new("socat");
        command.arg(format!("pty,rawer,echo=0,link={}", ours.display()));
        command.arg(format!("pty,rawer,echo=0,link={}", theirs.display()));
        let pair = Process::start("socat", &mut command);
        let line = wait("the pseudo terminals", 10, || {
            if !ours.exists() {
                return None;
            }
            std::fs::OpenOptions::new().read(true).write(true).open(&theirs).ok()
        });
        let modem = Self {
            path: ours.display().to_string(),
            heard: Arc::default(),
            inbox: Arc::default(),
            mode: Arc::new(Mutex::new("ok")),
            _pair: pair,
        };
        let (heard, inbox, mode) = (Arc::clone(&modem.heard), Arc::clone(&modem.inbox), Arc::clone(&modem.mode));
        std::thread::spawn(move || play(line, &heard, &inbox, &mode));
        modem
    }

    /// The messages that went out, read by a decoder of somebody else's.
    pub fn texts(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap().clone();
        let pdus: Vec<&String> = heard.iter().filter(|h| h.starts_with("0011")).collect();
        let script = "import sys\nfrom gsmmodem.pdu import decodeSmsPdu\n\
                      for pdu in sys.argv[1:]: print(decodeSmsPdu(pdu)['text'])";
        let out = Command::new("python3").args(["-c", script]).args(pdus).output().unwrap();
        String::from_utf8_lossy(&out.stdout).lines().map(str::to_string).collect()
    }
}

fn play(line: std::fs::File, heard: &Mutex<Vec<String>>, inbox: &Mutex<Vec<String>>, mode: &Mutex<&'static str>) {
    let mut write = line.try_clone().unwrap();
    let mut read = BufReader::new(line);
    loop {
        let mut bytes = Vec::new();
        // A command ends with a carriage return, a message with Ctrl-Z.
        loop {
            let mut byte = [0u8; 1];
            if read.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            if matches!(byte[0], b'\r' | 0x1a) {
                break;
            }
            bytes.push(byte[0]);
        }
        let said = String::from_utf8_lossy(&bytes).trim().to_string();
        heard.lock().unwrap().push(said.clone());
        let mode = *mode.lock().unwrap();
        let answer = match said.as_str() {
            _ if mode == "silent" => continue,
            s if s.starts_with("AT+CMGS=") => "\r\n> ".to_string(),
            s if s.starts_with("AT+CMGL") => {
                let list: Vec<String> =
                    inbox.lock().unwrap().iter().map(|pdu| format!("+CMGL: 3,1,,24\r\n{pdu}\r\n")).collect();
                format!("\r\n{}\r\nOK\r\n", list.concat())
            }
            s if s.starts_with("AT+CMGD") => {
                inbox.lock().unwrap().clear();
                "\r\nOK\r\n".to_string()
            }
            s if s.starts_with("ATD") => "\r\nNO ANSWER\r\n".to_string(),
            s if s.starts_with("AT") => "\r\nOK\r\n".to_string(),
            _ if mode == "refuses" => "\r\n+CMS ERROR: 38\r\n".to_string(),
            _ => "\r\n+CMGS: 12\r\n\r\nOK\r\n".to_string(),
        };
        if write.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn a_modem_sends_rings_and_hears_the_answer() {
    let dir = Dir::new("modem");
    let modem = FakeModem::start(&dir);
    let sms = ChannelSettings::Sms(settings(&format!("id = \"s\"\nport = \"{}\"\n", modem.path)));
    assert_eq!(attempt(&sms, &letter("+8613800001111")), DeliveryOutcome::Accepted);
    let heard = modem.heard.lock().unwrap().clone();
    assert!(heard.contains(&"ATD+8613800001111;".to_string()), "a P1 rings: {heard:?}");
    // Read by a decoder of somebody else's.
    let pdu = heard.iter().find(|h| h.starts_with("0011")).unwrap();
    let script = "import sys\nfrom gsmmodem.pdu import decodeSmsPdu\nd = decodeSmsPdu(sys.argv[1])\nprint(d['number'], d['text'])";
    let out = Command::new("python3").args(["-c", script, pdu]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(text.trim(), "+8613800001111 [P1] 3号楼 1号梯 困人，安抚乘客 回1确认", "{out:?}");
    *modem.mode.lock().unwrap() = "refuses";
    let refused = attempt(&sms, &letter("13800001111"));
    assert!(
        matches!(&refused, DeliveryOutcome::Rejected { reason } if reason.contains("CMS ERROR: 38")),
        "{refused:?}"
    );
    assert!(matches!(attempt(&sms, &letter("call me")), DeliveryOutcome::Rejected { .. }));
    *modem.mode.lock().unwrap() = "silent";
    let silent = attempt(&sms, &letter("13800001111"));
    assert!(matches!(silent, DeliveryOutcome::RetryLater { .. }), "nothing was sent: {silent:?}");
    let probe = || runtime().block_on(sms.open(&LoadedFiles::default()).probe());
    assert!(probe().is_some_and(|said| said.is_err()), "what `check --online` says of a modem that is silent");
    *modem.mode.lock().unwrap() = "ok";
    assert_eq!(probe(), Some(Ok("the modem answers".to_string())));
    modem.inbox.lock().unwrap().push("0891683108200505F0040D91683108001011F10000622111028540230131".into());
    let (said, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let mut heard: Vec<InboundReply> = Vec::new();
    runtime().block_on(async {
        let channel = sms.open(&LoadedFiles::default());
        let hear: channel::ReplyHandler = Arc::new(move |heard| drop(said.send(heard)));
        let answered = async {
            while !heard.iter().any(|h| matches!(h, InboundReply::Text { .. })) {
                heard.extend(answers.recv().await);
            }
        };
        tokio::select! {
            () = answered => {}
            () = channel.listen(None, hear) => panic!("it does not listen any more"),
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    });
    assert!(heard.contains(&InboundReply::Listening(Ok(()))), "{heard:?}");
    assert!(heard.contains(&InboundReply::Text { from: "+8613800001111".into(), text: "1".into() }), "{heard:?}");
    let none = ChannelSettings::Sms(settings("id = \"s\"\nport = \"/dev/none\"\n"));
    assert!(matches!(attempt(&none, &letter("13800001111")), DeliveryOutcome::RetryLater { .. }));
    let no_number = attempt(&none, &letter("call me"));
    assert!(matches!(no_number, DeliveryOutcome::Rejected { .. }), "without a modem too: {no_number:?}");
}
