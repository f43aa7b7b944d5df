//! Faults at the wire, by a server of our own that misbehaves on purpose, and by a proxy of our own between the whole
//! gateway and a stack that we did not write: no wrong value ever comes out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use plantroom::clock::{self, Clock};
use plantroom::link::settings::{LinkSettings, LinkTransport};
use plantroom::link::{Counters, Link};
use plantroom::model::quality::Cause;
use plantroom::model::registers::{RegisterRange, RegisterType};
use plantroom::model::time::UnixMillis;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::field::{all_types, digits, expected, pymodbus};
use crate::support::{Dir, Mosquitto, Subscriber, free_port, gateway, plantroom, site, wait};

/// What the server does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Good,
    Late(u64),
    CrossedId,
    WrongUnit,
    WrongFunction,
    WrongLength,
    Truncated,
    Garbage,
    Reset,
    SlowLoris,
    Exception(u8),
    /// An exception code that no specification knows.
    Silence,
}

/// Where the server has its answers from.
#[derive(Clone, Copy)]
enum Source {
    /// [`truth`].
    Truth,
    /// A Modbus TCP server on this port: then ours is a proxy before it.
    Behind(u16),
}

/// The value that register `address` holds: wrong values are seen at once.
fn truth(address: u16) -> u16 {
    address.wrapping_mul(7).wrapping_add(3)
}

fn pdu(function: u8, address: u16, count: u16) -> Vec<u8> {
    let mut out = vec![function, u8::try_from(count * 2).unwrap()];
    (address..address + count).for_each(|a| out.extend(truth(a).to_be_bytes()));
    out
}

fn crc(frame: &[u8]) -> [u8; 2] {
    plantroom::link::frame::crc16(frame).to_le_bytes()
}

/// The true answer, and another one of the same form whose values are all wrong.
async fn answers(ask: &Ask, behind: Option<&mut TcpStream>) -> Option<(Vec<u8>, Vec<u8>)> {
    let good = match behind {
        None => pdu(ask.function, ask.address, ask.count),
        Some(server) => {
            let [ah, al] = ask.address.to_be_bytes();
            let [ch, cl] = ask.count.to_be_bytes();
            server.write_all(&frame(false, ask.id, ask.unit, &[ask.function, ah, al, ch, cl])).await.ok()?;
            let mut head = [0u8; 7];
            server.read_exact(&mut head).await.ok()?;
            let mut pdu = vec![0u8; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
            server.read_exact(&mut pdu).await.ok()?;
            pdu
        }
    };
    let mut other = good.clone();
    let data = if good[0] & 0x80 == 0 { 2 } else { good.len() };
    other[data..].iter_mut().for_each(|b| *b ^= 0x5A);
    Some((good, other))
}

struct Ask {
    id: [u8; 2],
    unit: u8,
    function: u8,
    address: u16,
    count: u16,
}

async fn ask(stream: &mut TcpStream, rtu: bool) -> Option<Ask> {
    let mut bytes = [0u8; 12];
    let wanted = if rtu { 8 } else { 12 };
    stream.read_exact(&mut bytes[..wanted]).await.ok()?;
    let p = if rtu { 0 } else { 6 };
    let word = |i: usize| u16::from_be_bytes([bytes[i], bytes[i + 1]]);
    Some(Ask {
        id: [bytes[0], bytes[1]],
        unit: bytes[p],
        function: bytes[p + 1],
        address: word(p + 2),
        count: word(p + 4),
    })
}

fn frame(rtu: bool, id: [u8; 2], unit: u8, pdu: &[u8]) -> Vec<u8> {
    if rtu {
        let mut out = [&[unit], pdu].concat();
        out.extend(crc(&out));
        return out;
    }
    let length = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
    [&id[..], &[0, 0], &length, &[unit], pdu].concat()
}

/// Serves connections; the faults come round and round over all of them.
async fn serve(listener: TcpListener, faults: Vec<Fault>, rtu: bool, source: Source) {
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    while let Ok((mut stream, _)) = listener.accept().await {
        let (faults, next) = (faults.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            let mut behind = match source {
                Source::Truth => None,
                Source::Behind(port) => Some(TcpStream::connect(("127.0.0.1", port)).await.unwrap()),
            };
            while let Some(ask) = ask(&mut stream, rtu).await {
                let fault = faults[next.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % faults.len()];
                let Some((good, other)) = answers(&ask, behind.as_mut()).await else { return };
                if answer(&mut stream, &ask, (&good, &other), fault, rtu).await.is_none() {
                    return;
                }
            }
        });
    }
}

async fn answer(
    stream: &mut TcpStream,
    ask: &Ask,
    (good, other): (&[u8], &[u8]),
    fault: Fault,
    rtu: bool,
) -> Option<()> {
    let bytes = match fault {
        Fault::Good | Fault::SlowLoris => frame(rtu, ask.id, ask.unit, good),
        Fault::Late(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            frame(rtu, ask.id, ask.unit, good)
        }
        Fault::CrossedId => frame(rtu, [ask.id[0], ask.id[1] ^ 0x55], if rtu { ask.unit ^ 1 } else { ask.unit }, other),
        Fault::WrongUnit => frame(rtu, ask.id, ask.unit ^ 2, other),
        Fault::WrongFunction => frame(rtu, ask.id, ask.unit, &[&[ask.function ^ 1][..], &other[1..]].concat()),
        // As an answer to a read of one register (or eight bits) less.
        Fault::WrongLength if other.len() > 4 => {
            let shorter = other.len() - if other.len().is_multiple_of(2) { 2 } else { 1 };
            let mut pdu = other[..shorter].to_vec();
            pdu[1] = u8::try_from(shorter - 2).unwrap();
            frame(rtu, ask.id, ask.unit, &pdu)
        }
        Fault::Truncated => {
            let whole = frame(rtu, ask.id, ask.unit, other);
            whole[..whole.len() - 3].to_vec()
        }
        Fault::Garbage => (0..37u8).map(|i| i.wrapping_mul(91) ^ 0xA5).collect(),
        Fault::Reset => return None,
        Fault::Exception(code) => frame(rtu, ask.id, ask.unit, &[ask.function | 0x80, code]),
        // Nothing is shorter than one register.
        Fault::WrongLength | Fault::Silence => return Some(()),
    };
    if fault == Fault::SlowLoris {
        for byte in bytes {
            stream.write_all(&[byte]).await.ok()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        return Some(());
    }
    stream.write_all(&bytes).await.ok()
}

async fn link(faults: Vec<Fault>, rtu: bool) -> Link {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Byte by byte an answer takes as long as a loaded machine likes.
    let timeout_ms = if faults.contains(&Fault::SlowLoris) { 1_000 } else { 100 };
    tokio::spawn(serve(listener, faults, rtu, Source::Truth));
    let settings = LinkSettings {
        id: "l".into(),
        transport: if rtu { LinkTransport::RtuOverTcp { address } } else { LinkTransport::Tcp { address } },
        connect_timeout_ms: 1_000,
        timeout_ms,
        settle_ms: 0,
        lenient: plantroom::link::frame::Lenient::default(),
        close_after_cycle: false,
        timeout_max_ms: None,
        expected_round_trip_ms: 1,
        gateway_line: None,
        overload: false,
        groups_ms: std::collections::BTreeMap::default(),
    };
    let clock = Clock::new(&clock::ClockSettings::default(), UnixMillis(0));
    Link::new(settings, clock, Arc::new(Counters::default()))
}

/// Reads different runs as a poller does, reopening what was lost; every word that comes out must be true.
async fn drive(faults: Vec<Fault>, rtu: bool, reads: u16) -> (u32, Vec<Cause>) {
    let mut link = link(faults, rtu).await;
    let (mut good, mut causes) = (0, Vec::new());
    for i in 0..reads {
        if !link.is_open() {
            link.open().await.unwrap();
        }
        let span = RegisterRange { register_type: RegisterType::Holding, address: i * 11 % 400, count: 4 + i % 3 };
        let mut last: Option<Vec<u16>> = None;
        for _ in 0..5 {
            match link.read(1, span, 100, 0).await {
                // As poll does: an unsure answer counts only if the next one agrees.
                Ok(answer) if answer.is_ambiguous => last = Some(answer.words.words),
                Ok(answer) => {
                    if last.take().is_none_or(|before| before == answer.words.words) {
                        let expect: Vec<u16> = (span.address..span.address + span.count).map(truth).collect();
                        assert_eq!(answer.words.words, expect, "a wrong value came out at read {i}");
                        good += 1;
                        break;
                    }
                    link.mark_ambiguous(1, span);
                }
                Err(cause) => {
                    causes.push(cause);
                    break;
                }
            }
        }
    }
    (good, causes)
}

#[tokio::test]
async fn tcp_faults_cost_an_error_and_never_a_value() {
    use Fault::*;
    for fault in [Late(130), CrossedId, WrongUnit, WrongFunction, WrongLength, Truncated, Garbage, Silence] {
        let (good, causes) = drive(vec![Good, fault, Good, Good], false, 24).await;
        assert!(!causes.is_empty(), "{fault:?} must be seen");
        assert!(good >= 17, "{fault:?}: only {good} of 24 came through, {causes:?}");
    }
    // A connection that ends instead of an answer is made anew and the request sent again.
    assert_eq!(drive(vec![Good, Reset, Good, Good], false, 24).await, (24, vec![]));
}

#[tokio::test]
async fn rtu_faults_cost_an_error_and_never_a_value() {
    use Fault::*;
    for fault in
        [Late(130), Late(190), Late(260), CrossedId, WrongUnit, WrongFunction, WrongLength, Truncated, Garbage, Silence]
    {
        let (good, causes) = drive(vec![Good, fault, Good, Good], true, 16).await;
        assert!(!causes.is_empty(), "{fault:?} must be seen");
        assert!(good >= 8, "{fault:?}: only {good} of 16 came through, {causes:?}");
    }
}

#[tokio::test]
async fn a_slow_loris_is_waited_for_as_long_as_allowed() {
    for rtu in [false, true] {
        let (good, causes) = drive(vec![Fault::SlowLoris], rtu, 6).await;
        assert_eq!((good, causes), (6, vec![]), "a slow answer within the time is an answer");
    }
}

#[tokio::test]
async fn each_exception_has_its_cause_and_closes_nothing() {
    let expect = [
        (1, Cause::IllegalFunction),
        (2, Cause::IllegalAddress),
        (3, Cause::IllegalValue),
        (4, Cause::DeviceFailure),
        (5, Cause::Busy),
        (6, Cause::Busy),
        (10, Cause::GatewayNoPath),
        (11, Cause::GatewayNoAnswer),
        (66, Cause::OtherException),
    ];
    for rtu in [false, true] {
        for (code, cause) in expect {
            let mut link = link(vec![Fault::Exception(code), Fault::Good], rtu).await;
            link.open().await.unwrap();
            let span = RegisterRange { register_type: RegisterType::Holding, address: 5, count: 2 };
            assert_eq!(link.read(1, span, 200, 0).await.unwrap_err(), cause);
            assert!(link.is_open(), "an exception never closes a link");
            assert_eq!(link.read(1, span, 200, 0).await.unwrap().words.words, [truth(5), truth(6)]);
        }
    }
}

#[tokio::test]
async fn a_read_that_no_frame_can_carry_is_refused_before_it_is_sent() {
    let mut link = link(vec![Fault::Good], false).await;
    link.open().await.unwrap();
    for count in [0, 126, 65_535] {
        let span = RegisterRange { register_type: RegisterType::Holding, address: 0, count };
        assert_eq!(link.read(1, span, 100, 0).await.unwrap_err(), Cause::IllegalValue);
    }
    let counters = link.counters.list();
    assert_eq!(counters.iter().find(|c| c.0 == "requests").unwrap().2, 0);
}

/// What the whole gateway publishes while every fault comes round and round between it and pymodbus.
fn whole_gateway(rtu: bool) {
    use Fault::*;
    let all = [
        Late(130),
        Late(190),
        Late(260),
        CrossedId,
        WrongUnit,
        WrongFunction,
        WrongLength,
        Truncated,
        Garbage,
        Reset,
        SlowLoris,
        Silence,
        Exception(1),
        Exception(4),
        Exception(5),
        Exception(6),
        Exception(10),
        Exception(11),
    ];
    // A good answer after each, and one more now and then: so that every block meets every fault.
    let faults: Vec<Fault> = all
        .iter()
        .enumerate()
        .flat_map(|(i, f)| [Some(*f), Some(Good), (i % 3 == 0).then_some(Good)])
        .flatten()
        .collect();
    let (broker, port, dir) = (Mosquitto::start(), free_port(), Dir::new("proxy"));
    let _server = pymodbus(&["tcp", "127.0.0.1", &port.to_string()]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let proxy = listener.local_addr().unwrap().port();
    runtime.spawn(serve(listener, faults, rtu, Source::Behind(port)));
    let kind = if rtu { "rtu_over_tcp" } else { "tcp" };
    let link =
        format!("[[link.{kind}]]\nid = \"l\"\nhost = \"127.0.0.1\"\nport = {proxy}\ntimeout_ms = 100\noverload = true");
    let units = all_types(&dir, &link).replace("profile =", "groups = { all = \"200ms\" }\nprofile =");
    dir.write("site.toml", &site(broker.port, "5", &units));
    let subscriber = Subscriber::start(broker.port, "plantroom/test/types/telemetry", "mqttv5");
    let state = dir.path("state");
    let _gateway = gateway(&dir.0, &state);
    let (causes, counters) = watch(&subscriber, &expected(), || {
        let status = plantroom(&dir.0, &state, &["status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["links"][0]["counters"].clone()
    });
    assert!(causes.contains("timeout") && causes.len() >= 3, "faults were seen: {causes:?}");
    // A serial frame that does not fit is bytes that do not fit: it has no number by which to know it.
    let strange: &[&str] = if rtu { &["noise_bytes"] } else { &["crossed", "late"] };
    for counter in [&["timeouts", "exceptions"], strange].concat() {
        assert!(counters[counter].as_u64().unwrap() > 0, "{counter}: {counters}");
    }
}

/// Compares every value of every message with what pymodbus put in; the reasons that came, and the link's counters.
fn watch(
    subscriber: &Subscriber,
    expect: &serde_json::Map<String, serde_json::Value>,
    counters: impl Fn() -> serde_json::Value,
) -> (BTreeSet<String>, serde_json::Value) {
    let (mut seen, mut causes, mut values) = (0, BTreeSet::new(), 0u64);
    // A cycle goes on past blocks that are silent: fewer and fuller messages than cycles that end at the second one.
    wait("twelve messages with at least two thousand values", 120, || {
        let messages = subscriber.all();
        for message in &messages[seen..] {
            let json: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
            // What the ledger says of the device's registers comes from no wire.
            let of_wire = json["values"].as_object().unwrap().keys().filter(|point| *point != "registers_unexplained");
            for point in of_wire {
                if let Some(reason) = json["quality"][point].as_str() {
                    causes.insert(reason.to_string());
                    continue;
                }
                let expect = expect[point].as_str().map_or_else(|| expect[point].to_string(), str::to_string);
                let got = match &json["values"][point] {
                    serde_json::Value::String(s) => s.clone(),
                    _ => digits(&message.payload, point),
                };
                assert_eq!(got.trim(), expect.trim(), "{point}: a wrong value was published: {}", message.payload);
                values += 1;
            }
        }
        seen = messages.len();
        (seen >= 12 && values >= 2_000).then_some(())
    });
    (causes, counters())
}

#[test]
fn the_whole_gateway_publishes_no_wrong_value_through_a_proxy_that_misbehaves_on_tcp() {
    whole_gateway(false);
}

#[test]
fn the_whole_gateway_publishes_no_wrong_value_through_a_proxy_that_misbehaves_on_rtu() {
    whole_gateway(true);
}
