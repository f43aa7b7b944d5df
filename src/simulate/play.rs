//! Replays what `read --record` wrote: a request gets the recorded answer after the recorded delay, and silence where there was
//! none.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::lock::lock;
use crate::model::frames::{Frame, HEAD};
use crate::simulate::error::SimulateError;

/// Answer frames to one request, each with its delay after the request.
type PlayedAnswer = Vec<(Duration, Vec<u8>)>;

/// One link of a recording.
#[derive(Debug, Default)]
pub struct Recording {
    /// Whether frames are RTU.
    pub is_rtu: bool,
    /// Request without transaction id or CRC -> answers in recorded order; the last one is repeated for ever.
    answers: BTreeMap<Vec<u8>, VecDeque<(Vec<u8>, PlayedAnswer)>>,
}

/// Parses a recording; the result is by link name.
///
/// # Errors
/// What is wrong, with its line number.
pub fn read(text: &str) -> Result<BTreeMap<String, Recording>, SimulateError> {
    if text.lines().next() != Some(HEAD) {
        return Err(SimulateError::Recording { line: 1, problem: format!("it does not begin with `{HEAD}`") });
    }
    let mut out: BTreeMap<String, Recording> = BTreeMap::new();
    let mut last_requests: BTreeMap<String, (u64, Vec<u8>)> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.starts_with('#') && !l.is_empty()) {
        let frame = Frame::from_line(line)
            .ok_or_else(|| SimulateError::Recording { line: number + 1, problem: "not a frame".to_string() })?;
        let record = out.entry(frame.link.clone()).or_default();
        record.is_rtu = frame.is_rtu;
        if frame.is_sent {
            let request = frame.bytes.clone();
            let Some(key) = key(&request, frame.is_rtu) else { continue };
            record.answers.entry(key).or_default().push_back((request.clone(), Vec::new()));
            last_requests.insert(frame.link, (frame.at_us, request));
        } else if let Some((asked_us, request)) = last_requests.get(&frame.link)
            && let Some(queue) = key(request, frame.is_rtu).and_then(|k| record.answers.get_mut(&k))
            && let Some((_, answer)) = queue.back_mut()
        {
            answer.push((Duration::from_micros(frame.at_us.saturating_sub(*asked_us)), frame.bytes));
        }
    }
    Ok(out)
}

/// What identifies a request: unit and PDU, without transaction id or CRC.
fn key(request: &[u8], is_rtu: bool) -> Option<Vec<u8>> {
    if is_rtu { request.get(..request.len().checked_sub(2)?) } else { request.get(6..) }.map(<[u8]>::to_vec)
}

/// Serves one link on loopback until the process ends; returns its address.
///
/// # Errors
/// The port cannot be bound.
pub async fn serve(record: Recording, port: u16) -> Result<SocketAddr, SimulateError> {
    let no_port = |e: std::io::Error| SimulateError::Listen { port, reason: e.to_string() };
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = bound.map_err(no_port)?;
    let address = listener.local_addr().map_err(no_port)?;
    let record = Arc::new(Mutex::new(record));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&record)));
        }
    });
    Ok(address)
}

/// The next answer to a request; the last one is repeated.
fn next(record: &Mutex<Recording>, key: &[u8]) -> Option<(Vec<u8>, PlayedAnswer)> {
    let mut record = lock(record);
    let queue = record.answers.get_mut(key)?;
    if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() }
}

async fn answer(mut wire: TcpStream, record: Arc<Mutex<Recording>>) {
    let is_rtu = lock(&record).is_rtu;
    // Every read request has 12 bytes, or 8 with a CRC.
    let mut request = vec![0u8; if is_rtu { 8 } else { 12 }];
    while wire.read_exact(&mut request).await.is_ok() {
        let found = key(&request, is_rtu).and_then(|k| next(&record, &k));
        let Some((recorded_request, answers)) = found else { continue };
        let mut waited = Duration::ZERO;
        for (at, mut bytes) in answers {
            tokio::time::sleep(at.saturating_sub(waited)).await;
            waited = at.max(waited);
            if !is_rtu && bytes.len() >= 2 && bytes[..2] == recorded_request[..2] {
                // The answer has the recorded transaction id; replace it with that of this request.
                bytes[..2].copy_from_slice(&request[..2]);
            }
            if wire.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}
