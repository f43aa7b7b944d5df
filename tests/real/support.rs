//! Directories, processes, ports: everything ends with its test.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The binary under test.
pub const PLANTROOM: &str = env!("CARGO_BIN_EXE_plantroom");

/// A directory that is removed when the test ends well, and kept for a look when it fails.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new(name: &str) -> Self {
        static N: AtomicU32 = AtomicU32::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("plantroom-test-{}-{n}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _best_effort = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A process that is killed when it goes out of scope.
pub struct Process {
    pub child: Child,
    name: String,
}

impl Process {
    pub fn start(name: &str, command: &mut Command) -> Self {
        let child =
            command.spawn().unwrap_or_else(|e| panic!("{name} cannot be started ({e}): run scripts/setup-tests.sh"));
        Self { child, name: name.to_string() }
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {signal} {}", self.name);
    }

    pub fn kill(&mut self) {
        let _may_be_gone = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// SIGTERM, and how long it took to end well.
    pub fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.signal("-TERM");
        let name = self.name.clone();
        wait(&format!("{name} to end"), 15, || self.child.try_wait().unwrap());
        began.elapsed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something is there.
pub fn wait<T>(what: &str, seconds: u64, mut f: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = f() {
            return found;
        }
        assert!(Instant::now() < end, "waited {seconds} s for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

pub fn wait_port(port: u16) {
    wait(&format!("port {port}"), 20, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
}

/// A Mosquitto of our own.
pub struct Mosquitto {
    /// More lines of its configuration.
    pub extra: String,
    pub port: u16,
    dir: Dir,
    process: Option<Process>,
}

impl Mosquitto {
    pub fn start() -> Self {
        let mut broker = Self { extra: String::new(), port: free_port(), dir: Dir::new("mosquitto"), process: None };
        broker.start_again();
        broker
    }

    pub fn start_again(&mut self) {
        let text = format!("listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n", self.port);
        let conf = self.dir.write("mosquitto.conf", &format!("{text}{}", self.extra));
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(conf).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process::start("mosquitto", &mut command));
        wait_port(self.port);
    }

    pub fn stop(&mut self) {
        self.process.take().unwrap().stop();
    }

    pub fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }
}

/// A message as `mosquitto_sub` saw it.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub payload: String,
}

/// `mosquitto_sub`, reading into a list.
pub struct Subscriber {
    _process: Process,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Subscriber {
    pub fn start(port: u16, topic: &str, version: &str) -> Self {
        let mut command = Command::new("mosquitto_sub");
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-V",
            version,
            "-q",
            "1",
            "-t",
            topic,
            "-t",
            "ping",
            "-v",
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start("mosquitto_sub", &mut command);
        let messages: Arc<Mutex<Vec<Message>>> = Arc::default();
        let (into, out) = (Arc::clone(&messages), process.child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let (topic, payload) = line.split_once(' ').unwrap_or((&line, ""));
                into.lock().unwrap().push(Message { topic: topic.into(), payload: payload.into() });
            }
        });
        let subscriber = Self { _process: process, messages };
        subscriber.is_there(port);
        subscriber
    }

    /// Waits until it is subscribed (again): a message of ours comes through.
    pub fn is_there(&self, port: u16) {
        let before = self.count("ping");
        wait("the subscriber to be there", 20, || {
            let sent = Command::new("mosquitto_pub")
                .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "ping", "-m", "x"])
                .stderr(Stdio::null())
                .status();
            assert!(sent.is_ok(), "mosquitto_pub cannot be started: run scripts/setup-tests.sh");
            std::thread::sleep(Duration::from_millis(50));
            (self.count("ping") > before).then_some(())
        });
    }

    pub fn count(&self, topic: &str) -> usize {
        self.messages.lock().unwrap().iter().filter(|m| m.topic == topic).count()
    }

    pub fn all(&self) -> Vec<Message> {
        self.messages.lock().unwrap().iter().filter(|m| m.topic != "ping").cloned().collect()
    }

    /// The newest message of a topic, as it came.
    pub fn newest_text(&self, topic: &str) -> Option<String> {
        let all = self.messages.lock().unwrap();
        all.iter().rev().find(|m| m.topic == topic).map(|m| m.payload.clone())
    }

    /// The newest message of a topic.
    pub fn newest(&self, topic: &str) -> Option<serde_json::Value> {
        serde_json::from_str(&self.newest_text(topic)?).ok()
    }
}

/// Starts the demo without a past; its broker's port and the state directory.
pub fn demo(args: &[&str]) -> (Process, u16, String) {
    let args: Vec<&str> = ["--fresh"].into_iter().chain(args.iter().copied()).collect();
    demo_with_past(&args)
}

/// Starts the demo with a year behind it; the same.
pub fn demo_with_past(args: &[&str]) -> (Process, u16, String) {
    let mut command = Command::new(PLANTROOM);
    command.arg("demo").args(args).current_dir("/").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start("demo", &mut command);
    let mut out = BufReader::new(process.child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    let port = first
        .trim()
        .strip_prefix("mqtt://127.0.0.1:")
        .unwrap_or_else(|| panic!("first line: {first}"))
        .parse()
        .unwrap();
    let mut state = String::new();
    while !state.starts_with("status: ") {
        state.clear();
        assert!(out.read_line(&mut state).unwrap() > 0, "the demo ended");
    }
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let state = state.trim().trim_start_matches("status: plantroom --state ").trim_end_matches(" status").to_string();
    (process, port, state)
}

/// Starts the gateway on a configuration.
pub fn gateway(config: &Path, state: &Path) -> Process {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(config.join("gateway.log")).unwrap();
    let mut command = Command::new(PLANTROOM);
    command.arg("--config").arg(config).arg("--state").arg(state).arg("run");
    command.stdout(Stdio::null()).stderr(log);
    Process::start("plantroom", &mut command)
}

/// Waits until a gateway can be asked.
pub fn is_up(state: &Path) {
    wait("the gateway", 20, || state.join("control.sock").exists().then_some(()));
}

/// Runs a command of the gateway; its standard output, whatever its exit code.
pub fn says(config: &Path, state: &Path, args: &[&str]) -> String {
    let mut command = Command::new(PLANTROOM);
    let out = command.arg("--config").arg(config).arg("--state").arg(state).args(args).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Runs a command of the gateway; its standard output. Panics with its errors if it fails.
pub fn plantroom(config: &Path, state: &Path, args: &[&str]) -> String {
    let mut command = Command::new(PLANTROOM);
    let out = command.arg("--config").arg(config).arg("--state").arg(state).args(args).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned());
    assert!(out.status.success(), "plantroom {args:?}: {}\n{stdout}\n{stderr}", out.status);
    stdout
}

/// A site with one broker; the rest is the test's.
pub fn site(broker: u16, version: &str, rest: &str) -> String {
    format!(
        "[site]\nid = \"test\"\nzh = \"测试\"\nen = \"Test\"\ntime_zone = \"Asia/Shanghai\"\n[clock]\nsource = \"rtc\"\n\
         [journal]\nmax_gb = 0.1\n[health]\nlisten = \"\"\n\
         [[sink.mqtt]]\nname = \"broker\"\nurl = \"mqtt://127.0.0.1:{broker}\"\nversion = \"{version}\"\n{rest}\n"
    )
}

/// A Modbus server whose first two holding registers count its reads: every answer is different and none can be missing
/// unseen. It lives in the test's process.
pub struct Counting {
    pub port: u16,
    pub served: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Counting {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let served = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&served);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                    let mut ask = [0u8; 12];
                    while stream.read_exact(&mut ask).await.is_ok() {
                        let n = u32::try_from(count.fetch_add(1, Ordering::SeqCst) + 1).unwrap();
                        // The third register, where it is asked for, counts in sixteen bits.
                        let bytes = ask[11] * 2;
                        let mut answer = vec![ask[0], ask[1], 0, 0, 0, 3 + bytes, ask[6], ask[7], bytes];
                        answer.extend(n.to_be_bytes());
                        answer.extend(n.to_be_bytes().into_iter().skip(2));
                        answer.truncate(9 + usize::from(bytes));
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, served, _runtime: runtime }
    }

    /// The part of the configuration that reads it every `every`.
    pub fn config(&self, dir: &Dir, every: &str) -> String {
        dir.write(
            "profiles/counting.toml",
            &format!(
                "format = 1\nname = \"counting\"\nmaker = \"test\"\nmodel = \"test\"\nclass = \"any\"\nsource = \"test\"\n\
                 checked_on_hardware = false\n[groups]\nfast = \"{every}\"\n[points.x_n]\naddress = 0\ntype = \"u32\"\n"
            ),
        );
        format!(
            "[[link.tcp]]\nid = \"l\"\nhost = \"127.0.0.1\"\nport = {}\noverload = true\n\
             [[unit]]\nid = \"u\"\nlink = \"l\"\naddress = 1\nprofile = \"counting\"\n\
             [[device]]\nid = \"counter\"\nclass = \"environment\"\nzh = \"计\"\nen = \"Counter\"\n[device.points]\nx_n = \"u.x_n\"\n",
            self.port
        )
    }
}

/// What was delivered of the counting server: value of each sequence number; checks order and duplicates.
pub fn delivered(messages: &[Message]) -> BTreeMap<u64, u64> {
    let mut by_seq = BTreeMap::new();
    let mut highest = 0;
    for message in messages.iter().filter(|m| m.topic.ends_with("/counter/telemetry")) {
        let json: serde_json::Value =
            serde_json::from_str(&message.payload).unwrap_or_else(|e| panic!("{e}: {}", message.payload));
        let seq = json["seq"].as_u64().unwrap();
        let Some(n) = json["values"]["x_n"].as_u64() else { continue };
        if let Some(before) = by_seq.insert(seq, n) {
            assert_eq!(before, n, "a duplicate says the same");
        }
        // After dropping numbers not above the last one seen, the rest rises: so a number seen late must be a duplicate.
        if seq > highest {
            highest = seq;
        }
    }
    let values: Vec<u64> = by_seq.values().copied().collect();
    assert!(values.windows(2).all(|w| w[0] < w[1]), "values rise with their numbers");
    by_seq
}
