//! What an answer of the store means. Pure.

use std::time::Duration;

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteAnswer {
    /// HTTP status.
    pub status: u16,
    /// How long the store wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Its words.
    pub body: String,
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteVerdict {
    /// Everything is stored.
    Stored,
    /// Stored but for so many lines, which are older than what the store keeps.
    TooOld(u64),
    /// Stored but for these lines (counted from one), each with the store's words.
    StoredBut(Vec<(usize, String)>),
    /// Something in it is refused: which, only smaller bodies tell.
    Refused,
    /// The body is too large.
    TooLarge,
    /// Not now.
    Later,
    /// Not with this configuration: token, address, bucket.
    Paused,
}

/// Words by which a store says that it is the body, whatever its status. A limit may be one of the
/// moment where it is only busy (503).
const OF_THE_BODY: [&str; 4] = ["partial write", "conflict", "retention policy", "unable to parse"];
const LIMITS: [&str; 3] = ["max-series", "max-values", "limit exceeded"];

/// Judges an answer. 408, 429: later, 5xx too unless it speaks of the body. 400, 422: something in the body. 413: smaller. 401,
/// 403, 404 and what else no retry can mend: paused until somebody has looked.
pub fn judge(answer: &WriteAnswer) -> WriteVerdict {
    let speaks_of = |list: &[&str]| list.iter().any(|words| answer.body.contains(words));
    let is_of_body = || speaks_of(&OF_THE_BODY) || (answer.status != 503 && speaks_of(&LIMITS));
    match answer.status {
        200..=299 => WriteVerdict::Stored,
        500..=599 if is_of_body() => refused(&answer.body),
        408 | 425 | 429 | 500..=599 => WriteVerdict::Later,
        413 => WriteVerdict::TooLarge,
        400 | 422 => refused(&answer.body),
        _ => WriteVerdict::Paused,
    }
}

/// InfluxDB 1.x and 2 say `partial write: … dropped=N` and have stored the rest; InfluxDB 3 lists the lines.
fn refused(body: &str) -> WriteVerdict {
    if let Some(lines) = listed(body) {
        return WriteVerdict::StoredBut(lines);
    }
    match dropped(body) {
        // Backfill meets the store's own limit of age (1.x and 2 word it differently): that is no fault of a value.
        Some(n) if ["beyond", "outside"].iter().any(|w| body.contains(&format!("{w} retention policy"))) => {
            WriteVerdict::TooOld(n)
        }
        _ => WriteVerdict::Refused,
    }
}

/// The lines that InfluxDB 3 names in its answer to a partial write.
fn listed(body: &str) -> Option<Vec<(usize, String)>> {
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let is_partial = json["error"].as_str().is_some_and(|e| e.starts_with("partial write"));
    let of = |line: &serde_json::Value| {
        let number = usize::try_from(line["line_number"].as_u64()?).ok()?;
        Some((number, line["error_message"].as_str().unwrap_or("refused").to_string()))
    };
    let lines: Vec<(usize, String)> = json["data"].as_array()?.iter().map(of).collect::<Option<_>>()?;
    (is_partial && !lines.is_empty()).then_some(lines)
}

/// How many lines InfluxDB 1.x dropped of a body; the others are stored.
fn dropped(body: &str) -> Option<u64> {
    let number = |n: &str| n.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    let after = |word: &str| body.split(word).nth(1).and_then(number);
    after("dropped=").or_else(|| after("dropped "))
}

/// Whether an answer that refuses something says that the rest of so many lines is stored.
pub fn is_partly_stored(answer: &WriteAnswer, lines: usize) -> bool {
    answer.body.contains("partial write") && dropped(&answer.body).is_some_and(|n| n < lines as u64)
}

/// Whether the store takes no new series: one that it has goes on.
pub fn is_series_limit(said: &str) -> bool {
    ["max-series", "max-values", "series limit", "cardinality"].iter().any(|words| said.contains(words))
}

/// The store's words in one line of at most 300 characters.
pub fn words(answer: &WriteAnswer) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(&answer.body).ok();
    let message = json.and_then(|j| j["message"].as_str().or_else(|| j["error"].as_str()).map(str::to_string));
    let text = message.unwrap_or_else(|| answer.body.clone());
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    if text.is_empty() { format!("status {}", answer.status) } else { format!("status {}: {text}", answer.status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> WriteVerdict {
        judge(&WriteAnswer { status, body: body.to_string(), retry_after: None })
    }

    #[test]
    fn every_answer_has_its_meaning() {
        for (status, verdict) in [
            (204, WriteVerdict::Stored),
            (200, WriteVerdict::Stored),
            (301, WriteVerdict::Paused),
            (400, WriteVerdict::Refused),
            (401, WriteVerdict::Paused),
            (403, WriteVerdict::Paused),
            (404, WriteVerdict::Paused),
            (405, WriteVerdict::Paused),
            (408, WriteVerdict::Later),
            (413, WriteVerdict::TooLarge),
            (422, WriteVerdict::Refused),
            (429, WriteVerdict::Later),
            (500, WriteVerdict::Later),
            (503, WriteVerdict::Later),
        ] {
            assert_eq!(of(status, ""), verdict, "{status}");
        }
        // influxdb#19779, telegraf#10410: a fault of the body with a status of the server.
        assert_eq!(of(500, r#"{"error":"partial write: field type conflict dropped=1"}"#), WriteVerdict::Refused);
        let old = r#"{"message":"unexpected error writing points to database: partial write: points beyond retention policy dropped=3"}"#;
        assert_eq!(of(500, old), WriteVerdict::TooOld(3));
        assert_eq!(of(503, "engine: cache-max-memory-size exceeded"), WriteVerdict::Later);
    }

    #[test]
    fn partial_writes_are_recognised() {
        // InfluxDB 1.6.7, as it was seen.
        let conflict = r#"{"error":"partial write: field type conflict: input field \"a\" on measurement \"m\" is type float, already exists as type integer dropped=1"}"#;
        assert_eq!(of(400, conflict), WriteVerdict::Refused);
        assert!(
            words(&WriteAnswer { status: 400, body: conflict.into(), retry_after: None })
                .contains("field type conflict")
        );
        let old = r#"{"error":"partial write: points beyond retention policy dropped=12"}"#;
        assert_eq!(of(400, old), WriteVerdict::TooOld(12));
        // InfluxDB 3, as its documentation has it.
        let three = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"m a=1i","line_number":2,"error_message":"invalid type"}]}"#;
        assert_eq!(of(400, three), WriteVerdict::StoredBut(vec![(2, "invalid type".into())]));
        assert_eq!(of(400, r#"{"error":"partial write of line protocol occurred","data":[]}"#), WriteVerdict::Refused);
    }
}
