//! Classifies the answers of a store to a write. Pure.

use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteAnswer {
    pub status: u16,
    /// Value of the `Retry-After` header.
    pub retry_after: Option<Duration>,
    pub body: String,
}

/// What an answer means for the body that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteVerdict {
    /// All lines are stored.
    Stored,
    /// All lines are stored except so many that are older than the store's retention.
    TooOld(u64),
    /// All lines are stored except these (counted from one), each with the store's reason.
    PartiallyStored(Vec<(usize, String)>),
    /// Something in the body is rejected; bisection finds it.
    Rejected,
    /// The body is too large.
    TooLarge,
    /// A temporary error: the same body is sent again later.
    Retry,
    /// An error of the configuration: token, address, bucket.
    Paused,
}

/// Texts by which a store reports an error of the body, whatever the status is. `LIMITS` do not count with 503, where the
/// store may only be busy.
const BODY_ERRORS: [&str; 4] = ["partial write", "conflict", "retention policy", "unable to parse"];
const LIMITS: [&str; 3] = ["max-series", "max-values", "limit exceeded"];

/// Classifies an answer. 408, 425, 429: later; 5xx too, unless the text is about the body. 400, 422: something in the body. 413: too large.
/// 401, 403, 404 and all others, which no retry remedies: paused.
pub fn classify(answer: &WriteAnswer) -> WriteVerdict {
    let contains_any = |list: &[&str]| list.iter().any(|words| answer.body.contains(words));
    let is_of_body = || contains_any(&BODY_ERRORS) || (answer.status != 503 && contains_any(&LIMITS));
    match answer.status {
        200..=299 => WriteVerdict::Stored,
        500..=599 if is_of_body() => classify_rejection(&answer.body),
        408 | 425 | 429 | 500..=599 => WriteVerdict::Retry,
        413 => WriteVerdict::TooLarge,
        400 | 422 => classify_rejection(&answer.body),
        _ => WriteVerdict::Paused,
    }
}

/// InfluxDB 1.x and 2 answer `partial write: … dropped=N` and have stored the rest; InfluxDB 3 lists the rejected lines.
fn classify_rejection(body: &str) -> WriteVerdict {
    if let Some(lines) = rejected_lines(body) {
        return WriteVerdict::PartiallyStored(lines);
    }
    match dropped_lines(body) {
        // Backfill reached the store's retention (1.x and 2 word it differently): no value is at fault.
        Some(n) if ["beyond", "outside"].iter().any(|w| body.contains(&format!("{w} retention policy"))) => {
            WriteVerdict::TooOld(n)
        }
        _ => WriteVerdict::Rejected,
    }
}

/// The rejected lines that InfluxDB 3 lists in its answer to a partial write, with their errors.
fn rejected_lines(body: &str) -> Option<Vec<(usize, String)>> {
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let is_partial = json["error"].as_str().is_some_and(|e| e.starts_with("partial write"));
    let of = |line: &serde_json::Value| {
        let number = usize::try_from(line["line_number"].as_u64()?).ok()?;
        Some((number, line["error_message"].as_str().unwrap_or("refused").to_string()))
    };
    let lines: Vec<(usize, String)> = json["data"].as_array()?.iter().map(of).collect::<Option<_>>()?;
    (is_partial && !lines.is_empty()).then_some(lines)
}

/// How many lines of a body InfluxDB 1.x and 2 dropped; the others are stored.
fn dropped_lines(body: &str) -> Option<u64> {
    let number = |n: &str| n.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    let after = |word: &str| body.split(word).nth(1).and_then(number);
    after("dropped=").or_else(|| after("dropped "))
}

/// Whether an answer reports a partial write of a body of `lines` lines, with at least one line stored.
pub fn is_partly_stored(answer: &WriteAnswer, lines: usize) -> bool {
    answer.body.contains("partial write") && dropped_lines(&answer.body).is_some_and(|n| n < lines as u64)
}

/// Whether a reason is a limit on the number of series; writes to existing series still succeed.
pub fn is_series_limit(said: &str) -> bool {
    ["max-series", "max-values", "series limit", "cardinality"].iter().any(|words| said.contains(words))
}

/// Status and message of an answer in one line; the message is cut after 300 characters.
pub fn reason_text(said: &WriteAnswer) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(&said.body).ok();
    let message = json.and_then(|j| j["message"].as_str().or_else(|| j["error"].as_str()).map(str::to_string));
    let text = message.unwrap_or_else(|| said.body.clone());
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    if text.is_empty() { format!("status {}", said.status) } else { format!("status {}: {text}", said.status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> WriteVerdict {
        classify(&WriteAnswer { status, body: body.to_string(), retry_after: None })
    }

    #[test]
    fn every_answer_has_its_meaning() {
        for (status, verdict) in [
            (204, WriteVerdict::Stored),
            (200, WriteVerdict::Stored),
            (301, WriteVerdict::Paused),
            (400, WriteVerdict::Rejected),
            (401, WriteVerdict::Paused),
            (403, WriteVerdict::Paused),
            (404, WriteVerdict::Paused),
            (405, WriteVerdict::Paused),
            (408, WriteVerdict::Retry),
            (413, WriteVerdict::TooLarge),
            (422, WriteVerdict::Rejected),
            (429, WriteVerdict::Retry),
            (500, WriteVerdict::Retry),
            (503, WriteVerdict::Retry),
        ] {
            assert_eq!(of(status, ""), verdict, "{status}");
        }
        // influxdb#19779, telegraf#10410: an error of the body with a 5xx status.
        assert_eq!(of(500, r#"{"error":"partial write: field type conflict dropped=1"}"#), WriteVerdict::Rejected);
        let old = r#"{"message":"unexpected error writing points to database: partial write: points beyond retention policy dropped=3"}"#;
        assert_eq!(of(500, old), WriteVerdict::TooOld(3));
        assert_eq!(of(503, "engine: cache-max-memory-size exceeded"), WriteVerdict::Retry);
    }

    #[test]
    fn partial_writes_are_recognised() {
        // As captured from InfluxDB 1.6.7.
        let conflict = r#"{"error":"partial write: field type conflict: input field \"a\" on measurement \"m\" is type float, already exists as type integer dropped=1"}"#;
        assert_eq!(of(400, conflict), WriteVerdict::Rejected);
        assert!(
            reason_text(&WriteAnswer { status: 400, body: conflict.into(), retry_after: None })
                .contains("field type conflict")
        );
        let old = r#"{"error":"partial write: points beyond retention policy dropped=12"}"#;
        assert_eq!(of(400, old), WriteVerdict::TooOld(12));
        // As in InfluxDB 3's documentation.
        let three = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"m a=1i","line_number":2,"error_message":"invalid type"}]}"#;
        assert_eq!(of(400, three), WriteVerdict::PartiallyStored(vec![(2, "invalid type".into())]));
        assert_eq!(of(400, r#"{"error":"partial write of line protocol occurred","data":[]}"#), WriteVerdict::Rejected);
    }
}
