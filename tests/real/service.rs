//! A service that people are told through, played by the test: it keeps what it gets and answers as it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What came.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub at: Instant,
}

impl Got {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// How it answers.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Status, more headers, body.
    Says(u16, &'static str, String),
    /// Takes everything and says nothing.
    Hangs,
    /// Takes everything and closes.
    Closes,
    /// Says what is no HTTP.
    Garbage,
}

pub fn ok() -> Mode {
    Mode::Says(200, "", "{}".to_string())
}

/// Topics that are read, and what was said in them.
#[derive(Default)]
struct Topics {
    readers: Vec<(String, TcpStream)>,
    /// Topic, id and line, the oldest first.
    said: Vec<(String, String, String)>,
}

pub struct Service {
    pub port: u16,
    pub mode: Arc<Mutex<Mode>>,
    got: Arc<Mutex<Vec<Got>>>,
    topics: Arc<Mutex<Topics>>,
    said: AtomicU64,
}

impl Service {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, got, topics) = (Arc::new(Mutex::new(ok())), Arc::default(), Arc::default());
        let service = Self { port, mode, got, topics, said: AtomicU64::new(1) };
        let (mode, got, topics) = (Arc::clone(&service.mode), Arc::clone(&service.got), Arc::clone(&service.topics));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mode, got, topics) = (Arc::clone(&mode), Arc::clone(&got), Arc::clone(&topics));
                std::thread::spawn(move || serve(stream, &mode, &got, &topics));
            }
        });
        service
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Everything that was posted.
    pub fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Somebody presses a button: a message in a topic.
    pub fn press(&self, topic: &str, text: &str) {
        let id = self.said.fetch_add(1, Ordering::Relaxed);
        let line = serde_json::json!({ "id": format!("m{id}"), "event": "message", "topic": topic, "message": text });
        let mut topics = self.topics.lock().unwrap();
        assert!(topics.readers.iter().any(|(t, _)| t == topic), "nobody reads {topic}");
        topics.readers.retain_mut(|(t, stream)| t != topic || writeln!(stream, "{line}").is_ok());
        topics.said.push((topic.to_string(), format!("m{id}"), line.to_string()));
    }

    /// Every connection to whoever reads is closed.
    pub fn hang_up(&self) {
        self.topics.lock().unwrap().readers.clear();
    }

    /// Whether somebody reads a topic.
    pub fn is_read(&self, topic: &str) -> bool {
        self.topics.lock().unwrap().readers.iter().any(|(t, _)| t == topic)
    }
}

fn serve(stream: TcpStream, mode: &Mutex<Mode>, got: &Mutex<Vec<Got>>, topics: &Mutex<Topics>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_string();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_lowercase(), value.to_string()));
        }
        if first.starts_with("GET") {
            let topic = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_string();
            if topic.starts_with("forbidden") {
                let _may_be_gone =
                    stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                return;
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n")
                .unwrap();
            stream.write_all(b"{\"id\":\"o1\",\"event\":\"open\"}\n").unwrap();
            let mut topics = topics.lock().unwrap();
            // What came after that message, or all that is kept.
            let since = path.split_once("since=").map_or("", |(_, since)| since);
            let after = topics.said.iter().position(|(_, id, _)| id == since).map_or(0, |i| i + 1);
            for (_, _, line) in topics.said[after..].iter().filter(|(t, ..)| *t == topic) {
                writeln!(stream, "{line}").unwrap();
            }
            topics.readers.push((topic, stream));
            return;
        }
        let length = headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).unwrap();
        got.lock().unwrap().push(Got { path, headers, body, at: Instant::now() });
        let mode = mode.lock().unwrap().clone();
        match mode {
            Mode::Says(status, more, body) => {
                let text = format!("HTTP/1.1 {status} X\r\n{more}content-length: {}\r\n\r\n{body}", body.len());
                if stream.write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
            Mode::Hangs => std::thread::sleep(Duration::from_secs(60)),
            Mode::Closes => return,
            Mode::Garbage => {
                let _may_be_gone = stream.write_all(b"\x00\xff\x16\x03 what?\r\n\r\n");
                return;
            }
        }
    }
}
