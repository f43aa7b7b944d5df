//! Mosquitto stopped, killed and started while data flows, and connections cut in between: nothing missing, order kept,
//! duplicates recognisable.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Counting, Dir, Message, Mosquitto, Subscriber, delivered, gateway, site, wait};

/// A TCP proxy that can be cut and shut.
struct Proxy {
    port: u16,
    open: Arc<AtomicBool>,
    live: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, live) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
        let (is_open, keep) = (Arc::clone(&open), Arc::clone(&live));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !is_open.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(there) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                keep.lock().unwrap().extend([stream.try_clone().unwrap(), there.try_clone().unwrap()]);
                for (mut from, mut into) in [(stream.try_clone().unwrap(), there.try_clone().unwrap()), (there, stream)]
                {
                    std::thread::spawn(move || {
                        let mut buffer = [0u8; 4096];
                        while let Ok(n @ 1..) = from.read(&mut buffer) {
                            if into.write_all(&buffer[..n]).is_err() {
                                break;
                            }
                        }
                        let _both_ends = (from.shutdown(Shutdown::Both), into.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        Self { port, open, live }
    }

    fn cut(&self) {
        for stream in self.live.lock().unwrap().drain(..) {
            let _may_be_gone = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The values that are missing between the first and the last delivered one.
fn missing(messages: &[Message]) -> Vec<u64> {
    let values: Vec<u64> = delivered(messages).into_values().collect();
    let (first, last) = (values[0], values[values.len() - 1]);
    (first..=last).filter(|n| values.binary_search(n).is_err()).collect()
}

fn flows_through_everything(version: &str, mosquitto_version: &str) {
    let mut broker = Mosquitto::start();
    let proxy = Proxy::start(broker.port);
    let counting = Counting::start();
    let dir = Dir::new("broker");
    dir.write("site.toml", &site(proxy.port, version, &counting.config(&dir, "20ms")));
    let subscriber = Subscriber::start(broker.port, "plantroom/#", mosquitto_version);
    let mut gateway = gateway(&dir.0, &dir.path("state"));
    let flows = || {
        let before = subscriber.count("plantroom/test/counter/telemetry");
        wait("data to flow", 30, || (subscriber.count("plantroom/test/counter/telemetry") > before + 30).then_some(()));
    };
    flows();
    for _ in 0..8 {
        proxy.cut();
        std::thread::sleep(Duration::from_millis(150));
    }
    flows();
    for kill in [false, true, false, true] {
        // The subscriber must be back before the gateway: what a broker delivers to nobody is nobody's loss here.
        proxy.open.store(false, Ordering::SeqCst);
        proxy.cut();
        std::thread::sleep(Duration::from_millis(200));
        if kill {
            broker.kill();
        } else {
            broker.stop();
        }
        std::thread::sleep(Duration::from_millis(300));
        broker.start_again();
        subscriber.is_there(broker.port);
        proxy.open.store(true, Ordering::SeqCst);
        flows();
    }
    // A stop waits four seconds for a sink: on a busy machine that is less than what the outages left behind.
    wait("what the outages left behind", 30, || {
        let last = *delivered(&subscriber.all()).values().last()?;
        (counting.served.load(Ordering::SeqCst) - last < 25).then_some(())
    });
    // Killed with everything in flight: the broker's kernel buffers are all that may hold a message back.
    let stopped = gateway.stop();
    assert!(stopped < Duration::from_secs(9), "an ordered stop took {stopped:?}");
    wait("the goodbye", 10, || {
        let status = subscriber.newest("plantroom/test/gateway/status")?;
        (status["state"] == "offline" && status["why"] == "stopped").then_some(())
    });
    let messages = subscriber.all();
    assert_eq!(missing(&messages), Vec::<u64>::new());
    let last = *delivered(&messages).values().last().unwrap();
    let served = counting.served.load(Ordering::SeqCst);
    assert!(served - last <= 1, "the last reading was delivered before the stop: {last} of {served}");
}

#[test]
fn mqtt_5_loses_nothing() {
    flows_through_everything("5", "mqttv5");
}

#[test]
fn mqtt_3_loses_nothing() {
    flows_through_everything("3.1.1", "mqttv311");
}

#[test]
fn a_broker_that_was_never_there_gets_everything_when_it_comes() {
    let mut broker = Mosquitto::start();
    let port = broker.port;
    broker.stop();
    let counting = Counting::start();
    let dir = Dir::new("absent");
    dir.write("site.toml", &site(port, "5", &counting.config(&dir, "20ms")));
    let _gateway = gateway(&dir.0, &dir.path("state"));
    wait("readings", 20, || (counting.served.load(Ordering::SeqCst) > 100).then_some(()));
    let proxy_free = counting.served.load(Ordering::SeqCst);
    broker.start_again();
    let subscriber = Subscriber::start(port, "plantroom/#", "mqttv5");
    wait("the past", 30, || {
        let values = delivered(&subscriber.all());
        (*values.values().last()? > proxy_free + 50).then_some(())
    });
    // Retained states came first.
    let all = subscriber.all();
    let first_state = all.iter().position(|m| m.topic.ends_with("/status")).expect("a retained state");
    let first_reading = all.iter().position(|m| m.topic.ends_with("/telemetry")).expect("a reading");
    assert!(first_state < first_reading, "states before readings");
}

#[test]
fn what_configuration_removes_is_cleared_and_the_last_will_speaks() {
    let broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("removed");
    let config = counting.config(&dir, "100ms");
    dir.write("site.toml", &site(broker.port, "5", &config));
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let mut running = gateway(&dir.0, &dir.path("state"));
    let online = |topic: &str| subscriber.newest(topic).is_some_and(|s| s["state"] == "online");
    wait("the device", 20, || online("plantroom/test/counter/status").then_some(()));
    running.kill();
    wait("the last will", 20, || {
        let status = subscriber.newest("plantroom/test/gateway/status")?;
        (status["why"] == "connection lost").then_some(())
    });
    dir.write("site.toml", &site(broker.port, "5", &config.replace("id = \"counter\"", "id = \"counter-2\"")));
    let _running = gateway(&dir.0, &dir.path("state"));
    wait("the new device", 20, || online("plantroom/test/counter-2/status").then_some(()));
    let late = Subscriber::start(broker.port, "plantroom/+/+/status", "mqttv5");
    wait("retained states", 10, || late.newest("plantroom/test/counter-2/status"));
    assert!(late.newest("plantroom/test/counter/status").is_none(), "cleared");
}

#[test]
fn what_the_broker_refuses_is_set_aside_and_the_rest_goes_on() {
    let mut broker = Mosquitto::start();
    let counting = Counting::start();
    let dir = Dir::new("refused");
    let acl = dir.write("acl", "topic read #\ntopic write ping\ntopic write plantroom/test/+/status\ntopic write plantroom/test/gateway/telemetry\n");
    std::fs::set_permissions(&acl, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    broker.stop();
    broker.extra = format!("acl_file {}\n", acl.display());
    broker.start_again();
    // One message on the way at a time: the one that is refused is the whole window.
    let text = site(broker.port, "5", "inflight = 1\n");
    dir.write("site.toml", &format!("{text}{}", counting.config(&dir, "200ms")));
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let _running = gateway(&dir.0, &state);
    wait("the gateway's own readings", 40, || subscriber.newest("plantroom/test/gateway/telemetry"));
    let status = wait("messages set aside", 40, || {
        let json = crate::support::plantroom(&dir.0, &state, &["status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_str(&json).unwrap();
        (status["sinks"][0]["set_aside"].as_u64()? > 10).then(|| status["sinks"][0].clone())
    });
    let words = status["last_set_aside"].as_str().unwrap();
    assert!(
        words.starts_with("counter number ") && words.contains("refused 3 times") && words.contains("NotAuthorized"),
        "{words}"
    );
    assert_eq!(subscriber.count("plantroom/test/counter/telemetry"), 0);
}
