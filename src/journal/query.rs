//! What a question about the past asks for.

/// One point of one device in the range `from_ms..to_ms`, milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pub device: String,
    pub point: String,
    pub from_ms: i64,
    pub to_ms: i64,
}
