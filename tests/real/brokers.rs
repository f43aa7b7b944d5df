//! Brokers that refuse one thing, in every way that was reported of one, and brokers that can less: the rest goes on, nothing is
//! lost, and it is said in words.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Counting, Dir, Mosquitto, Process, Subscriber, gateway, is_up, plantroom, site, wait};

/// What a broker does that no broker should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing odd.
    Plain,
    /// Closes without a word at a message of the refused topic.
    Closes,
    /// Ends the connection there with DISCONNECT 0x87.
    Disconnects,
    /// Never acknowledges messages there.
    KeepsSilent,
    /// Answers 0x97 there: over quota.
    OverQuota,
    /// Acknowledges what was never sent, each fifth time.
    WrongId,
    /// Closes every connection at the first message, whatever it is.
    ClosesAtAll,
    /// Speaks 3.1.1 only: answers a connect of 5 as 3.1.1 has it.
    Only311,
    /// Speaks 3.1.1 only: closes at a connect of 5.
    Only311Closes,
    /// Takes packets of at most 450 bytes, and says so.
    Small,
    /// Ends each connection after a second with DISCONNECT 0x8E.
    TakesOver,
}

#[derive(Default)]
struct Log {
    connects: usize,
    /// Topic and payload.
    taken: Vec<(String, String)>,
    versions: BTreeSet<u8>,
    largest: usize,
    acks: usize,
}

/// A broker for publishers, on threads of its own.
struct Odd {
    port: u16,
    mode: Arc<Mutex<Mode>>,
    log: Arc<Mutex<Log>>,
}

/// The topic that is refused, where the mode refuses one.
const REFUSED: &str = "plantroom/test/counter-3/telemetry";

impl Odd {
    fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, log) = (Arc::new(Mutex::new(mode)), Arc::new(Mutex::new(Log::default())));
        let odd = Self { port, mode: Arc::clone(&mode), log: Arc::clone(&log) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mode, log) = (Arc::clone(&mode), Arc::clone(&log));
                std::thread::spawn(move || {
                    let _gone = serve(stream, &mode, &log);
                });
            }
        });
        odd
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Numbers that a counter's messages brought, in order of their values.
    fn values(&self, counter: &str) -> Vec<u64> {
        let topic = format!("plantroom/test/{counter}/telemetry");
        let log = self.log.lock().unwrap();
        let of = |(_, payload): &(String, String)| -> Option<u64> {
            let json: serde_json::Value = serde_json::from_str(payload).unwrap();
            json["values"]["x_n"].as_u64()
        };
        let values: BTreeSet<u64> = log.taken.iter().filter(|(t, _)| *t == topic).filter_map(of).collect();
        values.into_iter().collect()
    }

    fn connects(&self) -> usize {
        self.log.lock().unwrap().connects
    }
}

fn frame(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0u8; 1];
    stream.read_exact(&mut head)?;
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let mut byte = [0u8; 1];
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 127) << shift;
        shift += 7;
        if byte[0] < 128 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((head[0], body))
}

/// The connection ends here.
type Ended = std::io::Result<bool>;

fn serve(mut stream: TcpStream, mode: &Mutex<Mode>, log: &Mutex<Log>) -> std::io::Result<()> {
    let mut is_5 = false;
    stream.set_nodelay(true)?;
    loop {
        let (head, body) = frame(&mut stream)?;
        let now = *mode.lock().unwrap();
        let goes_on = match head >> 4 {
            1 => {
                let name = usize::from(u16::from_be_bytes([body[0], body[1]]));
                is_5 = body[2 + name] == 5;
                connect(&mut stream, now, body[2 + name], log)?
            }
            3 => publish(&mut stream, now, is_5, (head, &body), log)?,
            12 => stream.write_all(&[0xD0, 0]).map(|()| true)?,
            14 => false,
            _ => true,
        };
        if !goes_on {
            return stream.shutdown(Shutdown::Both);
        }
    }
}

fn connect(stream: &mut TcpStream, mode: Mode, version: u8, log: &Mutex<Log>) -> Ended {
    let mut log = log.lock().unwrap();
    log.connects += 1;
    log.versions.insert(version);
    match (mode, version == 5) {
        (Mode::Only311, true) => return stream.write_all(&[0x20, 2, 0, 1]).map(|()| false),
        (Mode::Only311Closes, true) => return Ok(false),
        (Mode::Small, true) => stream.write_all(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 1, 0xC2])?,
        (_, true) => stream.write_all(&[0x20, 3, 0, 0, 0])?,
        (_, false) => stream.write_all(&[0x20, 2, 0, 0])?,
    }
    if mode == Mode::TakesOver {
        let mut other = stream.try_clone()?;
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            let _gone = other.write_all(&[0xE0, 2, 0x8E, 0]);
            let _gone = other.shutdown(Shutdown::Both);
        });
    }
    Ok(true)
}

fn publish(stream: &mut TcpStream, mode: Mode, is_5: bool, (head, body): (u8, &[u8]), log: &Mutex<Log>) -> Ended {
    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let topic = String::from_utf8_lossy(&body[2..2 + length]).into_owned();
    let is_acked = head & 6 != 0;
    let mut at = 2 + length;
    let packet = if is_acked { [body[at], body[at + 1]] } else { [0, 0] };
    at += usize::from(is_acked) * 2 + usize::from(is_5);
    let payload = String::from_utf8_lossy(&body[at..]).into_owned();
    let is_refused = topic == REFUSED;
    let mut reason = 0u8;
    match mode {
        Mode::ClosesAtAll => return Ok(false),
        Mode::Closes if is_refused => return Ok(false),
        Mode::Disconnects if is_refused => return stream.write_all(&[0xE0, 2, 0x87, 0]).map(|()| false),
        Mode::KeepsSilent if is_refused => return Ok(true),
        Mode::OverQuota if is_refused => reason = 0x97,
        Mode::Small if body.len() + 3 > 450 => return stream.write_all(&[0xE0, 2, 0x95, 0]).map(|()| false),
        _ => {}
    }
    let mut log = log.lock().unwrap();
    log.largest = log.largest.max(body.len() + 3);
    log.acks += usize::from(is_acked);
    if mode == Mode::WrongId && is_acked && log.acks.is_multiple_of(5) {
        return stream.write_all(&[0x40, 2, 0xFF, 0xF0]).map(|()| true);
    }
    if reason == 0 {
        log.taken.push((topic, payload));
    }
    match (is_acked, is_5 && reason > 0) {
        (false, _) => Ok(()),
        (true, true) => stream.write_all(&[0x40, 4, packet[0], packet[1], reason, 0]),
        (true, false) => stream.write_all(&[0x40, 2, packet[0], packet[1]]),
    }
    .map(|()| true)
}

/// Five counters at one broker, `more` in the sink's table.
struct Plant {
    dir: Dir,
    _counting: Counting,
    _running: Process,
}

impl Plant {
    fn start(name: &str, port: u16, every: &str, more: &str) -> Self {
        let (dir, counting) = (Dir::new(name), Counting::start());
        let mut text = counting.config(&dir, every);
        for n in 2..=5 {
            text.push_str(&format!(
                "[[unit]]\nid = \"u{n}\"\nlink = \"l\"\naddress = {n}\nprofile = \"counting\"\n\
                 [[device]]\nid = \"counter-{n}\"\nclass = \"environment\"\nzh = \"计{n}\"\nen = \"Counter {n}\"\n[device.points]\nx_n = \"u{n}.x_n\"\n"
            ));
        }
        let text = site(port, "5", &format!("{more}\n{text}"));
        // What is spoken is found out.
        dir.write("site.toml", &text.replace("version = \"5\"\n", ""));
        let running = gateway(&dir.0, &dir.path("state"));
        is_up(&dir.path("state"));
        Self { dir, _counting: counting, _running: running }
    }

    fn sink(&self) -> serde_json::Value {
        let json = plantroom(&self.dir.0, &self.dir.path("state"), &["status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_str(&json).unwrap();
        status["sinks"][0].clone()
    }

    /// What is set aside of the refused topic, as values.
    fn set_aside(&self) -> BTreeMap<u64, String> {
        let json = plantroom(&self.dir.0, &self.dir.path("state"), &["set-aside", "--format", "json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        let of = |row: &serde_json::Value| {
            assert_eq!(row["topic"], REFUSED);
            let message: serde_json::Value = serde_json::from_str(row["what"].as_str().unwrap()).unwrap();
            (message["values"]["x_n"].as_u64().unwrap_or(0), row["said"].as_str().unwrap().to_string())
        };
        rows.iter().map(of).collect()
    }
}

/// A topic is refused in some way; the other four go on, what is refused is kept with words, and goes again when it may.
fn one_topic_is_refused(mode: Mode, words: &str, within: u64) {
    let odd = Odd::start(mode);
    let plant = Plant::start(&format!("odd-{mode:?}"), odd.port, "500ms", "ack_timeout_s = 3");
    let sink = wait("the topic to be refused", within, || {
        let sink = plant.sink();
        (sink["refused"].as_u64()? == 1 && sink["set_aside"].as_u64()? >= 3).then_some(sink)
    });
    assert!(sink["refused_what"].as_str().unwrap().starts_with(&format!("{REFUSED} refused: ")), "{sink}");
    let aside = plant.set_aside();
    assert!(aside.values().all(|said| said.contains(words)), "{words}: {aside:?}");
    // From now on nothing disturbs the others.
    let (connects, before) = (odd.connects(), odd.values("counter-2").len());
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(odd.connects(), connects, "the connection stays");
    assert!(odd.values("counter-2").len() >= before + 8, "live goes on");
    assert!(odd.values("counter-3").is_empty());
    // The broker changes its mind, somebody sends it again: each value once or more, none missing.
    odd.set(Mode::Plain);
    let before = plant.set_aside();
    plantroom(&plant.dir.0, &plant.dir.path("state"), &["set-aside", "--send"]);
    wait("what was set aside", 20, || {
        let values = odd.values("counter-3");
        before.keys().all(|n| values.binary_search(n).is_ok()).then_some(())
    });
    for counter in ["counter", "counter-2", "counter-4", "counter-5"] {
        let values = odd.values(counter);
        let gaps: Vec<_> = values.windows(2).filter(|w| w[1] - w[0] > 15).collect();
        assert!(values.len() > 20 && gaps.is_empty(), "{counter}: {gaps:?}");
    }
}

fn a_broker_that_closes_at_a_topic_gets_everything_else() {
    one_topic_is_refused(Mode::Closes, "closed the connection without a word", 90);
}

fn a_broker_that_disconnects_at_a_topic_gets_everything_else() {
    one_topic_is_refused(Mode::Disconnects, "NotAuthorized (0x87)", 90);
}

fn a_broker_that_keeps_silent_about_a_topic_gets_everything_else() {
    one_topic_is_refused(Mode::KeepsSilent, "has not acknowledged", 150);
}

fn a_topic_over_quota_waits_for_itself_only() {
    let odd = Odd::start(Mode::OverQuota);
    let plant = Plant::start("odd-quota", odd.port, "500ms", "");
    wait("the topic to wait", 30, || (plant.sink()["refused"] == 1).then_some(()));
    let (connects, before) = (odd.connects(), odd.values("counter-2").len());
    std::thread::sleep(Duration::from_secs(5));
    assert!(odd.values("counter-2").len() >= before + 8, "live goes on");
    assert!(plant.sink()["refused_what"].as_str().unwrap().contains("over quota: QuotaExceeded"));
    odd.set(Mode::Plain);
    // Nothing of what waited is missing, and it comes in order.
    wait("what waited", 40, || (odd.values("counter-3").len() + 3 > odd.values("counter-2").len()).then_some(()));
    assert_eq!((odd.connects(), plant.set_aside().len()), (connects, 0));
    let log = odd.log.lock().unwrap();
    let of =
        |(_, payload): &(String, String)| serde_json::from_str::<serde_json::Value>(payload).unwrap()["seq"].as_u64();
    let numbers: Vec<u64> = log.taken.iter().filter(|(t, _)| t == REFUSED).filter_map(of).collect();
    assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{numbers:?}");
}

fn a_broker_that_takes_nothing_costs_no_message() {
    let odd = Odd::start(Mode::ClosesAtAll);
    let plant = Plant::start("odd-nothing", odd.port, "500ms", "");
    std::thread::sleep(Duration::from_secs(40));
    let connects = odd.connects();
    assert!(connects < 40, "the pause grows: {connects}");
    assert_eq!(plant.set_aside().len(), 0, "it is the broker that is to blame");
    odd.set(Mode::Plain);
    wait("everything", 30, || (odd.values("counter-3").len() > 60).then_some(()));
    let values = odd.values("counter-3");
    assert!(values[0] < 12, "from the first reading on: {values:?}");
}

fn a_broker_that_acknowledges_what_was_never_sent_gets_everything() {
    let odd = Odd::start(Mode::WrongId);
    let plant = Plant::start("odd-id", odd.port, "500ms", "");
    let sink = wait("what follows to be said", 60, || {
        let sink = plant.sink();
        sink["limits"].as_str()?.contains("acknowledges what was never sent").then_some(sink)
    });
    assert!(sink["limits"].as_str().unwrap().contains("is lost"), "{sink}");
    let (connects, before) = (odd.connects(), odd.values("counter-2").len());
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(odd.connects(), connects);
    assert!(odd.values("counter-2").len() >= before + 8);
}

fn a_broker_of_3_1_1_is_spoken_to_as_it_understands() {
    for mode in [Mode::Only311, Mode::Only311Closes] {
        let odd = Odd::start(mode);
        let plant = Plant::start(&format!("odd-{mode:?}"), odd.port, "500ms", "");
        wait("readings", 60, || (odd.values("counter-3").len() > 5).then_some(()));
        let sink = plant.sink();
        assert!(sink["limits"].as_str().unwrap().contains("does not understand MQTT 5"), "{sink}");
        assert_eq!(odd.log.lock().unwrap().versions.iter().copied().collect::<Vec<_>>(), [4, 5]);
    }
}

fn a_small_packet_limit_splits_readings_and_wedges_nothing() {
    let odd = Odd::start(Mode::Small);
    let plant = Plant::start("odd-small", odd.port, "500ms", "");
    // The gateway's own reading has some sixty points.
    let own = "plantroom/test/gateway/telemetry";
    wait("the gateway's own reading", 60, || {
        let log = odd.log.lock().unwrap();
        log.taken.iter().any(|(t, p)| t == own && p.contains("\"part\":2")).then_some(())
    });
    wait("the others", 20, || (odd.values("counter-3").len() > 5).then_some(()));
    assert_eq!(odd.connects(), 1, "nothing that is too large is sent");
    let log = odd.log.lock().unwrap();
    let parts: Vec<serde_json::Value> =
        log.taken.iter().filter(|(t, _)| t == own).map(|(_, p)| serde_json::from_str(p).unwrap()).collect();
    let first = parts[0]["seq"].as_u64();
    let of_first: Vec<_> = parts.iter().filter(|p| p["seq"].as_u64() == first).collect();
    assert_eq!(Some(of_first.len() as u64), parts[0]["parts"].as_u64(), "each part is there");
    let points: usize = of_first.iter().map(|p| p["values"].as_object().unwrap().len()).sum();
    assert!(points > 40 && log.largest <= 450, "{points} points, {} bytes", log.largest);
    drop(log);
    assert_eq!(plant.sink()["refused"], 0);
}

fn another_client_of_the_same_id_is_named() {
    let odd = Odd::start(Mode::TakesOver);
    let plant = Plant::start("odd-clash", odd.port, "500ms", "client_id = \"box-7\"");
    let sink = wait("the cause", 60, || {
        let sink = plant.sink();
        (sink["clashes"] == true).then_some(sink)
    });
    assert!(sink["error"].as_str().unwrap().contains("SessionTakenOver (0x8E)"), "{sink}");
    let connects = odd.connects();
    std::thread::sleep(Duration::from_secs(15));
    assert!(odd.connects() - connects < 5, "the pause grows: the other one has a chance to be seen");
}

/// Mosquitto that can less; what it cannot do is said, the readings come.
fn mosquitto_that_can_less_gets_what_it_can() {
    let cases = [
        ("max_qos 0\n", "takes QoS 0 only"),
        ("retain_available false\n", "retains nothing"),
        ("max_packet_size 300\n", ""),
    ];
    for (line, words) in cases {
        let mut broker = Mosquitto::start();
        broker.stop();
        broker.extra = line.to_string();
        broker.start_again();
        let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
        let plant = Plant::start("less", broker.port, "500ms", "");
        wait(line, 40, || (subscriber.count("plantroom/test/counter-3/telemetry") > 3).then_some(()));
        wait("states", 20, || subscriber.newest("plantroom/test/gateway/status"));
        let sink = plant.sink();
        let limits = sink["limits"].as_str().unwrap();
        assert!(limits.contains(words) && (words.is_empty() == limits.is_empty()), "{line}: {sink}");
    }
}

/// Each waits most of its time: they run beside each other.
#[test]
fn brokers_that_refuse_one_thing_or_can_less() {
    let all: [(&str, fn()); 10] = [
        ("a_broker_that_closes_at_a_topic_gets_everything_else", a_broker_that_closes_at_a_topic_gets_everything_else),
        (
            "a_broker_that_disconnects_at_a_topic_gets_everything_else",
            a_broker_that_disconnects_at_a_topic_gets_everything_else,
        ),
        (
            "a_broker_that_keeps_silent_about_a_topic_gets_everything_else",
            a_broker_that_keeps_silent_about_a_topic_gets_everything_else,
        ),
        ("a_topic_over_quota_waits_for_itself_only", a_topic_over_quota_waits_for_itself_only),
        ("a_broker_that_takes_nothing_costs_no_message", a_broker_that_takes_nothing_costs_no_message),
        (
            "a_broker_that_acknowledges_what_was_never_sent_gets_everything",
            a_broker_that_acknowledges_what_was_never_sent_gets_everything,
        ),
        ("a_broker_of_3_1_1_is_spoken_to_as_it_understands", a_broker_of_3_1_1_is_spoken_to_as_it_understands),
        (
            "a_small_packet_limit_splits_readings_and_wedges_nothing",
            a_small_packet_limit_splits_readings_and_wedges_nothing,
        ),
        ("another_client_of_the_same_id_is_named", another_client_of_the_same_id_is_named),
        ("mosquitto_that_can_less_gets_what_it_can", mosquitto_that_can_less_gets_what_it_can),
    ];
    let running: Vec<_> = all.into_iter().map(|(name, run)| (name, std::thread::spawn(run))).collect();
    let failed: Vec<&str> = running.into_iter().filter_map(|(name, t)| t.join().is_err().then_some(name)).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
