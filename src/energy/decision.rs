//! What people decide about boundaries: each decision is a version that stays; the last one of a boundary is in force.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::energy::closure::Signature;
use crate::energy::entry::{Entries, EntryVersion};
use crate::energy::span::{Link, Span, SpanState};
use crate::model::counter::decimal_text;
use crate::model::failure::{FailureKind, Refusal};
use crate::model::metering::{Classification, RegisterBoundary, RegisterReading, TimeRange};
use crate::model::time::UnixMillis;

/// A decision about a boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionVersion {
    /// The boundary, as it was decided upon.
    pub boundary: RegisterBoundary,
    /// What it was.
    pub classification: Classification,
    /// What is counted across it, in the register's unit; 0 where nothing is.
    #[serde(with = "decimal_text")]
    pub counted: Decimal,
    /// Who decided, when and why.
    #[serde(flatten)]
    pub signature: Signature,
}

/// What people said of one register, in force. A boundary is known by the last reading before it: that stays the same if the ledger is made anew,
/// or if what follows is in doubt again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    boundaries: BTreeMap<UnixMillis, (Decimal, Classification)>,
    /// Readings that people entered, and corrections.
    pub entries: Entries,
}

impl Decisions {
    /// What is in force of the versions of a register, which are in the order in which they were decided.
    pub fn in_force(versions: &[DecisionVersion]) -> Self {
        let mut out = BTreeMap::new();
        for DecisionVersion { boundary, classification, .. } in versions {
            match classification {
                Classification::Open => _ = out.remove(&boundary.before.at),
                _ => _ = out.insert(boundary.before.at, (boundary.before.value, *classification)),
            }
        }
        Self { boundaries: out, entries: Entries::default() }
    }

    /// The same with what was entered of the register.
    #[must_use]
    pub fn with_entries(self, versions: &[EntryVersion]) -> Self {
        Self { entries: Entries::in_force(versions), ..self }
    }

    /// What was decided about the boundary after this reading.
    pub fn after(&self, before: RegisterReading) -> Option<Classification> {
        self.boundaries
            .get(&before.at)
            .filter(|(value, _)| *value == before.value)
            .map(|(_, classification)| *classification)
    }

    /// Whether a person said what a boundary was, or what was consumed across it.
    pub fn explain(&self, boundary: &SpanBoundary) -> bool {
        let is_across = |range: TimeRange| range.from <= boundary.before.at && boundary.after.at <= range.to;
        self.after(boundary.before).is_some() || self.entries.corrections.iter().any(|c| is_across(c.range))
    }
}

/// Point of every device with cumulative registers: how many boundaries of them nobody has explained.
pub const UNEXPLAINED_POINT: &str = "registers_unexplained";

/// A boundary within a register: the readings on both sides of where a span begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanBoundary {
    /// Number of the span behind it.
    pub span: u32,
    /// The last reading before.
    pub before: RegisterReading,
    /// The first reading after.
    pub after: RegisterReading,
    /// What follows is not proven to be a register: the old one may come back.
    pub is_in_doubt: bool,
}

/// Boundaries that only a person can explain, decided or not, in order.
pub fn boundaries(spans: &[Span]) -> Vec<SpanBoundary> {
    let mut accepted: Vec<&Span> = spans.iter().filter(|span| span.state != SpanState::Withdrawn).collect();
    accepted.sort_by_key(|span| span.number);
    let is_known = |span: &Span| matches!(span.link, Link::RollOver { .. } | Link::ClockStep { .. });
    let pairs = accepted.windows(2).filter(|pair| !is_known(pair[1]));
    let of = |pair: &[&Span]| SpanBoundary {
        span: pair[1].number,
        before: pair[0].last,
        after: pair[1].first,
        is_in_doubt: pair[1].state == SpanState::Pending,
    };
    pairs.map(of).collect()
}

/// What a classification counts across a boundary, in the register's unit.
///
/// # Errors
/// The readings contradict it, in words.
pub fn counted(boundary: &RegisterBoundary, classification: Classification) -> Result<Decimal, Refusal> {
    counted_between(boundary.before.value, boundary.after.value, classification)
}

/// As [`counted`], of the readings alone.
///
/// # Errors
/// The same.
pub fn counted_between(before: Decimal, after: Decimal, classification: Classification) -> Result<Decimal, Refusal> {
    let refuse = |zh: String, en: String| Err(Refusal::new(FailureKind::BadInput, zh, en));
    match classification {
        Classification::Exchange { final_reading, .. } if final_reading < before => refuse(
            format!("旧表止码 {final_reading} 小于其最后读数 {before}"),
            format!("the final reading {final_reading} is below the last one that was read, {before}"),
        ),
        Classification::Exchange { initial_reading, .. } if initial_reading > after => refuse(
            format!("新表起码 {initial_reading} 大于其首次读数 {after}"),
            format!("the initial reading {initial_reading} is above the first one that was read, {after}"),
        ),
        Classification::Exchange { final_reading, initial_reading } => {
            Ok((final_reading - before) + (after - initial_reading))
        }
        Classification::RolledOver { modulus } if modulus <= before || after >= before => refuse(
            format!("从 {before} 到 {after} 不是在 {modulus} 处归零"),
            format!("from {before} to {after} is no roll-over at {modulus}"),
        ),
        Classification::RolledOver { modulus } => Ok(modulus - before + after),
        Classification::Reset if after < Decimal::ZERO => {
            refuse(format!("读数 {after} 为负"), format!("a register that began at 0 does not show {after}"))
        }
        Classification::Reset => Ok(after),
        Classification::Continued => Ok((after - before).max(Decimal::ZERO)),
        Classification::Open => Ok(Decimal::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_classification_counts() {
        let reading = |at: i64, value: &str| RegisterReading { at: UnixMillis(at), value: decimal(value) };
        let boundary = |before: &str, after: &str| RegisterBoundary {
            device: "meter".into(),
            point: "energy_import_kwh".into(),
            span: 2,
            before: reading(0, before),
            after: reading(60_000, after),
        };
        let exchange = |last: &str, first: &str| Classification::Exchange {
            final_reading: decimal(last),
            initial_reading: decimal(first),
        };
        let of = |before: &str, after: &str, as_what| counted(&boundary(before, after), as_what).map_err(|e| e.text.en);
        // Read 54,321.0 at 10:00, removed at 54,325.5; installed at 12.0, read 12.4 at 10:20.
        assert_eq!(of("54321.0", "12.4", exchange("54325.5", "12.0")), Ok(decimal("4.9")));
        let refused = of("54321.0", "12.4", exchange("54320", "12.0")).unwrap_err();
        assert_eq!(refused, "the final reading 54320 is below the last one that was read, 54321.0");
        assert!(of("54321.0", "12.4", exchange("54325.5", "12.5")).is_err());
        // At 99,999.9 a register of six digits has one tenth left.
        let modulus = Classification::RolledOver { modulus: decimal("100000.0") };
        assert_eq!(of("99999.9", "0.2", modulus), Ok(decimal("0.3")));
        assert!(of("5", "7", modulus).is_err() && of("100001", "7", modulus).is_err());
        assert_eq!(of("5000", "1.5", Classification::Reset), Ok(decimal("1.5")));
        assert_eq!(
            (of("17", "18", Classification::Continued), of("18", "17", Classification::Continued)),
            (Ok(decimal("1")), Ok(decimal("0")))
        );
    }
}
