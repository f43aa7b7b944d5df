//! The Modbus servers in front of the plant: TCP on loopback, RTU on a pseudo-terminal.

#![allow(clippy::disallowed_methods, reason = "a simulated plant waits for its files")]

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_modbus::server::{Service, rtu, tcp};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};
use tokio_serial::{SerialPort as _, SerialStream};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::lock::lock;
use crate::model::registers::{RegisterRange, RegisterType};
use crate::profile::Profile;
use crate::simulate::Scenario;
use crate::simulate::error::SimulateError;
use crate::simulate::image::Image;
use crate::simulate::plant::Plant;

/// A simulated unit: its server, address and profile.
#[derive(Clone, Debug)]
pub struct SimulatedUnit {
    /// Its name in the plant's signals.
    pub name: &'static str,
    /// The server that it is behind.
    pub server: &'static str,
    pub address: u8,
    pub profile: Arc<Profile>,
}

/// Register images by server and unit id.
type Images = Arc<Mutex<BTreeMap<(&'static str, u8), Image>>>;

/// Answers for the units behind one server. Requests to other units get no answer, as on a real line.
#[derive(Clone)]
struct Answers {
    images: Images,
    server: &'static str,
}

impl Service for Answers {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Option<Response>, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(self.answer(&request))
    }
}

impl Answers {
    fn answer(&self, request: &SlaveRequest<'_>) -> Result<Option<Response>, ExceptionCode> {
        let images = lock(&self.images);
        let Some(image) = images.get(&(self.server, request.slave)) else { return Ok(None) };
        let words = |area, address, count: u16, most: u16| {
            if count == 0 || count > most {
                return Err(ExceptionCode::IllegalDataValue);
            }
            image.get(RegisterRange { register_type: area, address, count }).ok_or(ExceptionCode::IllegalDataAddress)
        };
        let bits = |words: Vec<u16>| words.into_iter().map(|w| w != 0).collect();
        Ok(Some(match request.request {
            Request::ReadCoils(a, n) => Response::ReadCoils(bits(words(RegisterType::Coil, a, n, 2000)?)),
            Request::ReadDiscreteInputs(a, n) => {
                Response::ReadDiscreteInputs(bits(words(RegisterType::Discrete, a, n, 2000)?))
            }
            Request::ReadHoldingRegisters(a, n) => {
                Response::ReadHoldingRegisters(words(RegisterType::Holding, a, n, 125)?)
            }
            Request::ReadInputRegisters(a, n) => Response::ReadInputRegisters(words(RegisterType::Input, a, n, 125)?),
            _ => return Err(ExceptionCode::IllegalFunction),
        }))
    }
}

/// A running plant with its servers.
pub struct RunningPlant {
    /// TCP servers: name -> address.
    pub tcp: BTreeMap<&'static str, SocketAddr>,
    /// Serial servers: name -> device file to open.
    pub serial: BTreeMap<&'static str, String>,
    /// Keeps the far ends of the pseudo-terminals open.
    ends: Vec<std::fs::File>,
}

/// Starts servers and plant. `ports` gives TCP servers their port (0 or absent: any free one). Everything ends with `stop`.
///
/// # Errors
/// A port or pseudo-terminal is not available.
pub async fn start(
    units: &[SimulatedUnit],
    ports: &BTreeMap<&'static str, u16>,
    scenario: Scenario,
    clock: Clock,
    stop: CancellationToken,
) -> Result<RunningPlant, SimulateError> {
    let mut images = BTreeMap::new();
    for unit in units {
        images.insert((unit.server, unit.address), Image::new(&unit.profile.variants[0]));
    }
    let images: Images = Arc::new(Mutex::new(images));
    let names: Vec<(&'static str, &'static str, u8)> = units.iter().map(|u| (u.name, u.server, u.address)).collect();
    let mut plant = Plant::new(scenario, 42);
    write(&mut plant, &names, &images);
    let mut running = RunningPlant { tcp: BTreeMap::new(), serial: BTreeMap::new(), ends: Vec::new() };
    let mut servers: Vec<&'static str> = units.iter().map(|u| u.server).collect();
    servers.sort_unstable();
    servers.dedup();
    for server in servers {
        let answers = Answers { images: Arc::clone(&images), server };
        if server.starts_with("line") {
            let (name, end) = serve_serial(answers, stop.clone())?;
            running.serial.insert(server, name);
            running.ends.push(end);
        } else {
            let port = ports.get(server).copied().unwrap_or(0);
            running.tcp.insert(server, serve_tcp(answers, port, stop.clone()).await?);
        }
    }
    tokio::spawn(advance_with_clock(plant, names, images, clock, stop));
    Ok(running)
}

/// Advances the plant with the clock.
async fn advance_with_clock(
    mut plant: Plant,
    names: Vec<(&'static str, &'static str, u8)>,
    images: Images,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut before = clock.mono_us();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        let now = clock.mono_us();
        #[expect(clippy::cast_precision_loss, reason = "a tenth of a second")]
        let seconds = (now - before) as f64 / 1e6;
        before = now;
        plant.advance(seconds.min(60.0));
        write(&mut plant, &names, &images);
    }
}

/// Copies the plant's signals into the registers.
fn write(plant: &mut Plant, names: &[(&'static str, &'static str, u8)], images: &Images) {
    let signals = plant.signals();
    let mut images = lock(images);
    for (name, server, address) in names {
        let Some(image) = images.get_mut(&(*server, *address)) else { continue };
        if *name == "lt1" {
            // The transmitter shows metres with three decimals.
            image.set_word(RegisterType::Holding, 2, 16);
            image.set_word(RegisterType::Holding, 3, 3);
        }
        for (point, value) in signals.by_unit.get(*name).into_iter().flatten() {
            image.set(point, *value);
        }
    }
}

async fn serve_tcp(answers: Answers, port: u16, stop: CancellationToken) -> Result<SocketAddr, SimulateError> {
    let no_port = |e: std::io::Error| SimulateError::Listen { port, reason: e.to_string() };
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = bound.map_err(no_port)?;
    let address = listener.local_addr().map_err(no_port)?;
    tokio::spawn(async move {
        let server = tcp::Server::new(listener);
        let on_connected = |stream: tokio::net::TcpStream, from| {
            let answers = answers.clone();
            async move {
                stream.set_nodelay(true)?;
                tcp::accept_tcp_connection(stream, from, |_| Ok(Some(answers.clone())))
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ended = server.serve(&on_connected, |_| {}) => {}
        }
    });
    Ok(address)
}

fn serve_serial(answers: Answers, stop: CancellationToken) -> Result<(String, std::fs::File), SimulateError> {
    let (ours, mut theirs) = SerialStream::pair().map_err(|e| SimulateError::Terminal(e.to_string()))?;
    let _may_be_opened_by_others = theirs.set_exclusive(false);
    let name = theirs.name().ok_or_else(|| SimulateError::Terminal("it has no name".to_string()))?;
    // The far end must stay open, or reading ours fails. It is opened without the library's exclusive lock, which the gateway
    // takes.
    let end = std::fs::OpenOptions::new().read(true).write(true).open(&name);
    let end = end.map_err(|e| SimulateError::Terminal(format!("{name}: {e}")))?;
    drop(theirs);
    tokio::spawn(async move {
        let server = rtu::Server::new(ours);
        tokio::select! {
            () = stop.cancelled() => {}
            _ended = server.serve_forever(answers) => {}
        }
    });
    Ok((name, end))
}
