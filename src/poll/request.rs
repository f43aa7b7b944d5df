//! One block of a cycle, read until the answer is settled: busy units are waited for, spoilt answers are requested again, ambiguous
//! answers are read until two agree.

use std::time::Duration;

use crate::clock::Clock;
use crate::decode;
use crate::link::{Link, LinkAnswer};
use crate::model::quality::Cause;
use crate::model::reading::Stamp;
use crate::model::registers::{RegisterBlock, RegisterRange};
use crate::poll::health::UnitHealth;
use crate::profile::PointDef;

/// How often an ambiguous answer is read again before it is given up.
const CONFIRM_MAX: usize = 4;
/// Share of a bus's time that retries may take: one in three.
const RETRY_TIME_DIVISOR: u64 = 3;
/// Most time that is saved up for retries.
const RETRY_CREDIT_MAX_US: i64 = 3_000_000;

/// Parameters of the requests to one unit.
#[derive(Clone, Copy, Debug)]
pub struct RequestParams {
    /// Unit id on the wire.
    pub address: u8,
    /// Longest wait for an answer.
    pub timeout_ms: u64,
    /// Silence before each request.
    pub pause_ms: u64,
    /// How often a spoilt or missing answer is requested again in the same cycle.
    pub retries: u32,
}

/// Bus time that retries may take: a share of what passes, so that a bad line does not starve the other units.
#[derive(Debug)]
pub struct RetryBudget {
    credit_us: i64,
    credit_updated_us: u64,
}

impl RetryBudget {
    /// The credit is full at the beginning.
    pub fn new(now_us: u64) -> Self {
        Self { credit_us: RETRY_CREDIT_MAX_US, credit_updated_us: now_us }
    }

    /// Whether there is time for a retry that takes so long.
    fn allows(&mut self, cost_us: u64, now_us: u64) -> bool {
        let share =
            i64::try_from(now_us.saturating_sub(self.credit_updated_us) / RETRY_TIME_DIVISOR).unwrap_or(i64::MAX);
        self.credit_us = self.credit_us.saturating_add(share).min(RETRY_CREDIT_MAX_US);
        self.credit_updated_us = now_us;
        self.credit_us >= i64::try_from(cost_us).unwrap_or(i64::MAX)
    }

    fn spend(&mut self, us: u64) {
        self.credit_us = self.credit_us.saturating_sub(i64::try_from(us).unwrap_or(i64::MAX));
    }
}

/// The settled answer to the read of one block.
pub struct BlockResponse {
    pub words: RegisterBlock,
    /// When the answer was received.
    pub at: Stamp,
}

/// Sends the requests of one cycle to one unit, with retries.
pub struct Requester<'a> {
    pub link: &'a mut Link,
    pub clock: &'a Clock,
    pub params: RequestParams,
    /// A late answer came within the last minute: what is missing now may still be on its way.
    pub is_late: bool,
    /// Shared by all units of the bus.
    pub budget: &'a mut RetryBudget,
    pub health: &'a mut UnitHealth,
}

impl Requester<'_> {
    /// Reads one block. `retries_timeout`: a missing answer is requested again too, not only a spoilt one.
    pub async fn read_with_retry(
        &mut self,
        defs: &[PointDef],
        span: RegisterRange,
        retries_timeout: bool,
    ) -> Result<BlockResponse, Cause> {
        let mut result = self.read_settled(defs, span).await;
        for _ in 0..self.params.retries {
            let cost_us = match &result {
                Err(Cause::Timeout) if retries_timeout => {
                    self.params.timeout_ms * if self.link.is_rtu() { 2_000 } else { 1_000 }
                }
                Err(Cause::BadFrame | Cause::GatewayNoAnswer) => 0,
                _ => break,
            };
            let began_us = self.clock.mono_us();
            if !self.budget.allows(cost_us, began_us) {
                break;
            }
            self.health.retries += 1;
            result = self.read_settled(defs, span).await;
            self.budget.spend(self.clock.mono_us().saturating_sub(began_us));
        }
        result
    }

    /// Reads once, without a retry, and drops the words.
    pub async fn read_once(&mut self, span: RegisterRange) -> Result<(), Cause> {
        self.read_when_ready(span).await.map(drop)
    }

    /// Reads again while the answer is ambiguous, until two agree.
    async fn read_settled(&mut self, defs: &[PointDef], span: RegisterRange) -> Result<BlockResponse, Cause> {
        let mut last: Option<LinkAnswer> = None;
        for _ in 0..=CONFIRM_MAX {
            let answer = self.read_when_ready(span).await?;
            let agrees = last.as_ref().is_none_or(|before| blocks_agree(defs, &before.words, &answer.words));
            if !answer.is_ambiguous && agrees {
                return Ok(BlockResponse { words: answer.words, at: answer.at });
            }
            // The next read must not get a copy of this answer.
            self.link.delay_until_settled(self.params.address);
            last = Some(answer);
        }
        Err(Cause::Unsettled)
    }

    /// Reads until the unit is no longer busy or its time-out is over; counts the result.
    async fn read_when_ready(&mut self, span: RegisterRange) -> Result<LinkAnswer, Cause> {
        let RequestParams { address, timeout_ms, pause_ms, .. } = self.params;
        let mut waited_ms = 0;
        loop {
            let result = self.link.read(address, span, timeout_ms, pause_ms).await;
            match &result {
                Ok(answer) => self.health.add_round_trip(answer.round_trip_us),
                Err(Cause::Busy) if waited_ms < timeout_ms => {
                    self.health.exceptions += 1;
                    let pause = 50.max(waited_ms).min(timeout_ms - waited_ms).max(1);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    waited_ms += pause;
                    continue;
                }
                Err(Cause::Timeout | Cause::BadFrame) => self.health.timeouts += 1,
                Err(cause) if cause.unit_answered() => self.health.exceptions += 1,
                Err(_) => {}
            }
            return result;
        }
    }

    /// Reads the ident register of a unit, as text.
    ///
    /// # Errors
    /// The cause of the failed read, or of a bad value.
    pub async fn read_ident(&mut self, def: &PointDef) -> Result<String, Cause> {
        let response = self.read_with_retry(std::slice::from_ref(def), def.span, true).await?;
        Ok(decode::decode_words(def, &response.words.words, &[])?.to_string())
    }
}

/// Whether every point of two reads of the same block can be true in both.
fn blocks_agree(defs: &[PointDef], a: &RegisterBlock, b: &RegisterBlock) -> bool {
    let (one, two) = (std::slice::from_ref(a), std::slice::from_ref(b));
    defs.iter().all(|def| match (a.slice(&def.span), b.slice(&def.span)) {
        (Some(x), Some(y)) => {
            let (p, q) = (decode::decode_words(def, x, one), decode::decode_words(def, y, two));
            if p == Err(Cause::NoScale) {
                // The scale lies in another block: the numbers are compared without it.
                let unscaled = PointDef { scale_registers: Vec::new(), ..def.clone() };
                let (p, q) = (decode::decode_words(&unscaled, x, one), decode::decode_words(&unscaled, y, two));
                return decode::are_consistent(&unscaled, &p, &q);
            }
            decode::are_consistent(def, &p, &q)
        }
        _ => true,
    })
}
