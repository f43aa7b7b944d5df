//! Odd devices on real wires: Modbus TCP, RTU over TCP, and a serial line (a pty). The whole gateway reads them and publishes to
//! Mosquitto; no wrong value is ever published, and what lives is read.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use plantroom::link::frame::crc16;

use crate::support::{Dir, Mosquitto, PLANTROOM, Process, Subscriber, gateway, plantroom, site, wait};

#[derive(Clone, Copy)]
enum Way {
    Tcp,
    RtuOverTcp,
    Pty,
}

/// A request, and the frame that answers it truly.
struct Ask {
    n: u64,
    id: u16,
    unit: u8,
    pdu: Vec<u8>,
    raw: Vec<u8>,
    is_rtu: bool,
}

impl Ask {
    fn frame(&self, id: u16, pdu: &[u8]) -> Vec<u8> {
        if self.is_rtu {
            let out = [&[self.unit], pdu].concat();
            return [&out[..], &crc16(&out).to_le_bytes()].concat();
        }
        let length = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
        [&id.to_be_bytes()[..], &[0, 0], &length, &[self.unit], pdu].concat()
    }

    fn good(&self) -> Vec<u8> {
        self.frame(self.id, &self.pdu)
    }

    /// An answer of the same form whose values are all wrong.
    fn wrong(&self) -> Vec<u8> {
        let mut pdu = self.pdu.clone();
        pdu[2..].iter_mut().for_each(|b| *b ^= 0x5A);
        pdu
    }
}

fn truth(function: u8, address: u16) -> u16 {
    u16::from(function) * 257 + address.wrapping_mul(13) + 7
}

fn coil(address: u16) -> bool {
    address.is_multiple_of(3)
}

/// Calls the device with each request; it writes what it wants.
fn serve(mut from: impl std::io::Read, mut to: impl Write, is_rtu: bool, device: impl Fn(&Ask, &mut dyn Write)) {
    let (size, p) = if is_rtu { (8, 0) } else { (12, 6) };
    let mut raw = vec![0u8; size];
    let mut n = 0;
    while from.read_exact(&mut raw).is_ok() {
        let word = |i: usize| u16::from_be_bytes([raw[i], raw[i + 1]]);
        let (function, address, count) = (raw[p + 1], word(p + 2), word(p + 4));
        let data: Vec<u8> = if function < 3 {
            let mut bits = vec![0u8; usize::from(count.div_ceil(8))];
            (0..count).filter(|i| coil(address + i)).for_each(|i| bits[usize::from(i / 8)] |= 1 << (i % 8));
            bits
        } else {
            (0..count).flat_map(|i| truth(function, address + i).to_be_bytes()).collect()
        };
        let pdu = [&[function, u8::try_from(data.len()).unwrap()][..], &data].concat();
        let ask = Ask { n, id: word(0), unit: raw[p], pdu, raw: raw.clone(), is_rtu };
        device(&ask, &mut to);
        n += 1;
    }
}

/// Runs the gateway against a device for some seconds; share of good values of the last half, after checking that none was wrong.
fn run(name: &str, way: Way, points: &[(u8, u16)], seconds: u64, device: fn(&Ask, &mut dyn Write)) -> f64 {
    let (broker, dir) = (Mosquitto::start(), Dir::new(name));
    let mut pair: Option<Process> = None;
    let link = match way {
        Way::Tcp | Way::RtuOverTcp => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let is_rtu = matches!(way, Way::RtuOverTcp);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _quick = stream.set_nodelay(true);
                    let writer: TcpStream = stream.try_clone().unwrap();
                    std::thread::spawn(move || serve(stream, writer, is_rtu, device));
                }
            });
            let kind = if is_rtu { "rtu_over_tcp" } else { "tcp" };
            format!("[[link.{kind}]]\nid = \"l\"\nhost = \"127.0.0.1\"\nport = {port}\ntimeout_ms = 300\n")
        }
        Way::Pty => {
            let (ours, theirs) = (dir.path("ours"), dir.path("theirs"));
            let mut socat = Command::new("socat");
            socat
                .arg(format!("pty,raw,echo=0,link={}", ours.display()))
                .arg(format!("pty,raw,echo=0,link={}", theirs.display()));
            pair = Some(Process::start("socat", &mut socat));
            wait("the pair", 10, || (ours.exists() && theirs.exists()).then_some(()));
            let port = std::fs::OpenOptions::new().read(true).write(true).open(&theirs).unwrap();
            std::thread::spawn(move || serve(port.try_clone().unwrap(), port, true, device));
            format!("[[link.serial]]\nid = \"l\"\nport = \"{}\"\nbaud = 115200\ntimeout_ms = 300\n", ours.display())
        }
    };
    let mut profile = "format = 1\nname = \"p\"\nmaker = \"t\"\nmodel = \"t\"\nclass = \"any\"\nsource = \"t\"\n\
                       checked_on_hardware = false\n[groups]\ng = \"1s\"\n"
        .to_string();
    for (function, address) in points {
        let kind = if *function < 3 { "bool" } else { "u16" };
        profile.push_str(&format!(
            "[points.x_f{function}_{address}]\naddress = {address}\nfunction = {function}\ntype = \"{kind}\"\n"
        ));
    }
    dir.write("profiles/p.toml", &profile);
    let unit = "[[unit]]\nid = \"u\"\nlink = \"l\"\naddress = 1\nprofile = \"p\"\n\
                [[device]]\nid = \"odd\"\nclass = \"environment\"\nzh = \"x\"\nen = \"x\"\nunit = \"u\"\n";
    dir.write("site.toml", &site(broker.port, "5", &format!("{link}{unit}")));
    let subscriber = Subscriber::start(broker.port, "plantroom/test/odd/telemetry", "mqttv5");
    let _gateway = gateway(&dir.0, &dir.path("state"));
    std::thread::sleep(Duration::from_secs(seconds));
    let messages = subscriber.all();
    let (mut good, mut all) = (0u32, 0u32);
    for (i, message) in messages.iter().enumerate() {
        let json: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
        for (function, address) in points {
            let value = &json["values"][format!("x_f{function}_{address}")];
            let expect: serde_json::Value =
                if *function < 3 { coil(*address).into() } else { truth(*function, *address).into() };
            assert!(value.is_null() || *value == expect, "{name}: wrong: {}", message.payload);
            if i >= messages.len() / 2 {
                good += u32::from(!value.is_null());
                all += 1;
            }
        }
    }
    assert!(messages.len() as u64 >= seconds / 2, "{name}: {} messages", messages.len());
    drop(pair);
    f64::from(good) / f64::from(all.max(1))
}

const THREE: [(u8, u16); 6] = [(3, 0), (3, 1), (3, 1_000), (3, 1_001), (3, 2_000), (3, 2_001)];

#[test]
fn a_frame_ahead_of_its_question_is_never_its_answer() {
    let share = run("ahead-next", Way::Tcp, &THREE, 10, |ask, to| {
        let ahead = ask.frame(ask.id.wrapping_add(1), &ask.wrong());
        to.write_all(&[ask.good(), ahead].concat()).unwrap();
    });
    assert!(share >= 1.0, "{share}");
    // Ahead of its own, and every other one late.
    let share = run("ahead-late", Way::Tcp, &THREE, 12, |ask, to| {
        if ask.n % 2 == 1 {
            std::thread::sleep(Duration::from_millis(200));
        }
        to.write_all(&ask.frame(ask.id.wrapping_add(1), &ask.wrong())).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        to.write_all(&ask.good()).unwrap();
    });
    assert!(share >= 0.9, "{share}");
}

#[test]
fn an_answer_that_comes_twice_answers_once() {
    for way in [Way::RtuOverTcp, Way::Pty] {
        let share = run("twice", way, &THREE, 14, |ask, to| {
            to.write_all(&ask.good()).unwrap();
            std::thread::sleep(Duration::from_millis(8));
            to.write_all(&ask.good()).unwrap();
        });
        assert!(share >= 0.9, "{share}");
        let share = run("glued", way, &THREE, 12, |ask, to| to.write_all(&[ask.good(), ask.good()].concat()).unwrap());
        assert!(share >= 0.9, "{share}");
    }
}

#[test]
fn the_echo_of_a_request_for_coils_is_not_its_answer() {
    // Twenty coils from 0x0300: the request reads like an answer of three bytes with a good checksum.
    let coils: Vec<(u8, u16)> = (0x300..0x314).map(|a| (1, a)).collect();
    for way in [Way::RtuOverTcp, Way::Pty] {
        let share = run("echo", way, &coils, 10, |ask, to| {
            to.write_all(&ask.raw).unwrap();
            std::thread::sleep(Duration::from_millis(5));
            to.write_all(&ask.good()).unwrap();
        });
        assert!(share >= 1.0, "{share}");
    }
}

#[test]
fn a_line_that_spoils_one_frame_in_five_gives_nine_values_in_ten() {
    let share = run("spoilt", Way::Pty, &[(3, 0), (3, 1)], 50, |ask, to| {
        let mut frame = ask.good();
        if ask.n % 5 == 2 {
            let at = usize::try_from(ask.n).unwrap() * 7 % frame.len();
            frame[at] ^= 0x10;
        }
        to.write_all(&frame).unwrap();
    });
    assert!(share >= 0.9, "{share}");
}

#[test]
fn read_ends_with_75_when_nothing_could_be_read() {
    let dir = Dir::new("read-nothing");
    let rest = "[[link.tcp]]\nid = \"l\"\nhost = \"[::1]\"\nport = 1\ntimeout_ms = 100\n\
                [[unit]]\nid = \"u\"\nlink = \"l\"\naddress = 1\nprofile = \"eastron-sdm630\"\n\
                [[device]]\nid = \"m\"\nclass = \"meter\"\nzh = \"x\"\nen = \"x\"\nunit = \"u\"\n";
    dir.write("site.toml", &site(1, "5", rest));
    assert!(plantroom(&dir.0, &dir.path("state"), &["check"]).contains("no errors"), "[::1] is an address");
    let mut command = Command::new(PLANTROOM);
    command.arg("--config").arg(&dir.0).arg("--state").arg(dir.path("state")).args(["read", "m"]);
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(75), "{said}");
    assert!(said.contains("nothing could be read of `m`") && said.contains("hint"), "{said}");
}
