//! Reading the ledger: registers, their spans and events, and what they consumed.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use crate::energy::decision::Decisions;
use crate::energy::profile::Profile;
use crate::energy::span::{Mark, RegisterEvent, Span};
use crate::ledger::error::{LedgerError, at, corrupt};
use crate::ledger::{DAY_MS, Ledger, Series, codec};
use crate::model::time::UnixMillis;

impl Ledger {
    /// Every register, by device and point.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn series(&self) -> Result<Vec<Series>, LedgerError> {
        let query = "SELECT id, device, meta FROM series ORDER BY device, point";
        let mut query = self.db.prepare(query).map_err(at(&self.path))?;
        let rows = query.query_map([], |r| Ok((r.get(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?)));
        let mut out = Vec::new();
        for row in rows.map_err(at(&self.path))? {
            let (id, device, meta) = row.map_err(at(&self.path))?;
            let meta = serde_json::from_str(&meta).map_err(|e| corrupt(&self.path, &format!("register {id}: {e}")))?;
            out.push(Series { id, device: Arc::from(device), meta });
        }
        Ok(out)
    }

    /// All spans of a register.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn spans(&self, series: i64) -> Result<Vec<Span>, LedgerError> {
        let query = "SELECT body FROM span WHERE series = ?1 ORDER BY number";
        let mut query = self.db.prepare_cached(query).map_err(at(&self.path))?;
        let rows = query.query_map([series], |r| r.get::<_, String>(0)).map_err(at(&self.path))?;
        let mut out = Vec::new();
        for row in rows {
            let span = serde_json::from_str(&row.map_err(at(&self.path))?);
            out.push(span.map_err(|e| corrupt(&self.path, &format!("a span of register {series}: {e}")))?);
        }
        Ok(out)
    }

    /// What happened to a register from one moment to before another, the oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn events(&self, series: i64, from: UnixMillis, to: UnixMillis) -> Result<Vec<RegisterEvent>, LedgerError> {
        let query = "SELECT body FROM event WHERE series = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY id";
        let mut query = self.db.prepare_cached(query).map_err(at(&self.path))?;
        let rows = query.query_map(params![series, from.0, to.0], |r| r.get::<_, String>(0)).map_err(at(&self.path))?;
        let mut out = Vec::new();
        for row in rows {
            let event = serde_json::from_str(&row.map_err(at(&self.path))?);
            out.push(event.map_err(|e| corrupt(&self.path, &format!("an event of register {series}: {e}")))?);
        }
        Ok(out)
    }

    /// Marks of a register from a day before `from` to a day after `to`, and the nearest days with marks before and after these.
    fn marks(&self, series: i64, from: UnixMillis, to: UnixMillis) -> Result<Vec<Mark>, LedgerError> {
        let day = |at: UnixMillis| at.0.div_euclid(DAY_MS);
        let (first, last) = (day(from).saturating_sub(1), day(to).saturating_add(1));
        let nearest = |sql: &str, bound: i64| {
            let row = self
                .db
                .prepare_cached(sql)
                .and_then(|mut p| p.query_row(params![series, bound], |r| r.get(0)).optional());
            row.map_err(at(&self.path)).map(|found: Option<Option<i64>>| found.flatten().unwrap_or(bound))
        };
        let first = nearest("SELECT max(day) FROM marks WHERE series = ?1 AND day <= ?2", first)?.min(first);
        let last = nearest("SELECT min(day) FROM marks WHERE series = ?1 AND day >= ?2", last)?.max(last);
        let query = "SELECT day, body FROM marks WHERE series = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day";
        let mut query = self.db.prepare_cached(query).map_err(at(&self.path))?;
        let rows =
            query.query_map(params![series, first, last], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, Vec<u8>>(1)?)));
        let mut out = Vec::new();
        for row in rows.map_err(at(&self.path))? {
            let (day, body) = row.map_err(at(&self.path))?;
            let marks = codec::decode(&body, day * DAY_MS);
            let damaged = || corrupt(&self.path, &format!("the readings of register {series} of day {day}"));
            out.extend(marks.ok_or_else(damaged)?);
        }
        Ok(out)
    }

    /// The kept readings of a register from one moment to before another, in order of their dates: marks, and the ends of spans.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn readings(&self, series: i64, from: UnixMillis, to: UnixMillis) -> Result<Vec<Mark>, LedgerError> {
        let mut all = self.marks(series, from, to)?;
        for span in self.spans(series)? {
            all.extend([span.first, span.last].map(|reading| Mark { span: span.number, reading }));
        }
        all.retain(|mark| from <= mark.reading.at && mark.reading.at < to);
        all.sort_by_key(|mark| (mark.reading.at, mark.span));
        all.dedup();
        Ok(all)
    }

    /// Consumption of a register over time, with everything that the time from `from` to `to` needs. `grid_ms`: the grid of its marks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn profile(
        &self,
        series: i64,
        (from, to): (UnixMillis, UnixMillis),
        decisions: &Decisions,
        grid_ms: i64,
    ) -> Result<Profile, LedgerError> {
        Ok(Profile::new(&self.spans(series)?, &self.marks(series, from, to)?, decisions, grid_ms))
    }
}
