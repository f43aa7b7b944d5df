//! Finds which units answer on a bus and what they are: each unit id is probed, then read with each profile, and the result is
//! scored. Reads only.

pub mod score;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use crate::decode;
use crate::model::quality::Cause;
use crate::model::registers::{RegisterBlock, RegisterRange, RegisterType};
use crate::plan;
use crate::profile::{PointDef, Profile, ProfileVariant};
use crate::scan::score::ProfileScore;

/// A bus that can be read: a link of our own, or the running daemon that owns it.
pub trait RegisterReader {
    /// Reads once; opens the bus where it is ours and closed. [`Cause::LinkDown`] if that fails.
    fn read(
        &mut self,
        address: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> impl Future<Output = Result<RegisterBlock, Cause>>;
}

/// A unit that answers.
#[derive(Clone, Debug)]
pub struct FoundUnit {
    /// Its id on the wire.
    pub address: u8,
    /// Candidate profiles, the likeliest first; none with confidence 0.
    pub candidates: Vec<ProfileCandidate>,
}

/// A profile that a unit may have.
#[derive(Clone, Debug)]
pub struct ProfileCandidate {
    pub profile: Arc<str>,
    pub variant: Arc<str>,
    /// 0 to 100, from the evidence for and against.
    pub confidence: u8,
    /// Points of the variant that could be read.
    pub readable_points: usize,
    pub total_points: usize,
    /// The value of its ident register, where the profile has one and the unit answers.
    pub ident: Option<String>,
    /// The values that are the strongest evidence: point and value.
    pub evidence: Vec<(Arc<str>, String)>,
}

/// Blocks that are tried before a unit counts as refusing everything.
const BLOCKS_TRIED: usize = 8;

/// Whether a unit gives any register that a profile reads.
///
/// # Errors
/// It answers and refuses every block that was tried: the cause of the last refusal.
pub async fn gives_anything(
    bus: &mut impl RegisterReader,
    address: u8,
    variant: &ProfileVariant,
    timeout_ms: u64,
) -> Result<(), Cause> {
    let plan = plan::plan(&variant.points, &variant.read_rules);
    let mut refused = None;
    for block in plan.blocks.iter().take(BLOCKS_TRIED) {
        match bus.read(address, block.span, timeout_ms, variant.read_rules.pause_ms).await {
            Err(cause) if cause.unit_answered() => refused = Some(cause),
            // Read; or silent now, which is no refusal.
            Ok(_) | Err(_) => return Ok(()),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Checks whether a unit answers.
///
/// # Errors
/// The cause of its silence, as far as it is known.
pub async fn is_present(bus: &mut impl RegisterReader, address: u8, timeout_ms: u64) -> Result<(), Cause> {
    let mut last = Cause::Timeout;
    for area in [RegisterType::Holding, RegisterType::Input] {
        let answer =
            bus.read(address, RegisterRange { register_type: area, address: 0, count: 1 }, timeout_ms, 0).await;
        match answer {
            Ok(_) => return Ok(()),
            Err(cause) if cause.unit_answered() => return Ok(()),
            // No unit answers, or a gateway reports that: the other function would give the same.
            Err(cause @ (Cause::Timeout | Cause::GatewayNoAnswer | Cause::GatewayNoPath | Cause::LinkDown)) => {
                return Err(cause);
            }
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

/// The value of the ident register of a unit, as printed; `None` if it does not answer or has none.
pub async fn ident(
    bus: &mut impl RegisterReader,
    address: u8,
    timeout_ms: u64,
    pause_ms: u64,
    def: &PointDef,
) -> Option<String> {
    let words = bus.read(address, def.span, timeout_ms, pause_ms).await.ok()?;
    decode::decode(def, &[words])?.ok().map(|v| v.to_string())
}

/// What was read of a unit so far, because several profiles read the same registers.
#[derive(Default)]
struct ScanCache {
    blocks: BTreeMap<RegisterRange, RegisterBlock>,
    failures: BTreeMap<RegisterRange, Cause>,
    /// Requests without an answer in a row; at `SILENT_MAX` a profile is given up.
    silent_requests: u32,
}

/// Requests without an answer after which a profile is given up.
const SILENT_MAX: u32 = 4;

/// Reads a unit with every profile and returns those that fit, the likeliest first.
pub async fn identify(
    bus: &mut impl RegisterReader,
    address: u8,
    timeout_ms: u64,
    profiles: &BTreeMap<String, Arc<Profile>>,
) -> Vec<ProfileCandidate> {
    let mut cache = ScanCache::default();
    let mut out = Vec::new();
    for profile in profiles.values() {
        cache.silent_requests = 0;
        out.push(score_profile(bus, address, timeout_ms, profile, &mut cache).await);
    }
    out.retain(|g: &ProfileCandidate| g.confidence > 0);
    out.sort_by_key(|g| (std::cmp::Reverse(g.confidence), std::cmp::Reverse(g.readable_points)));
    out
}

async fn score_profile(
    bus: &mut impl RegisterReader,
    address: u8,
    timeout_ms: u64,
    profile: &Profile,
    cache: &mut ScanCache,
) -> ProfileCandidate {
    let mut total_score = ProfileScore::default();
    let mut ident = None;
    if let Some(def) = &profile.ident {
        let pause = profile.variant(None).read_rules.pause_ms;
        ident = self::ident(bus, address, timeout_ms, pause, def).await;
    }
    let variant = profile.variant(ident.as_deref());
    if ident.is_some() && !variant.ident_values.is_empty() {
        total_score.add_known_ident();
    }
    read(bus, address, timeout_ms, variant.read_rules.pause_ms, &variant.points, variant, cache).await;
    let words: Vec<RegisterBlock> = cache.blocks.values().cloned().collect();
    let mut good = 0;
    let mut evidence: Vec<(f64, Arc<str>, String)> = Vec::new();
    for point in &variant.points {
        let sample = decode::decode(point, &words).unwrap_or_else(|| {
            let refused = cache.failures.iter().find(|(span, _)| span.overlaps(&point.span));
            Err(refused.map_or(Cause::Timeout, |(_, cause)| *cause))
        });
        let score = total_score.add(point, &sample);
        if let Ok(value) = &sample {
            good += 1;
            if score > 0.0 {
                evidence.push((score, Arc::clone(&point.name), value.to_string()));
            }
        }
    }
    evidence.sort_by(|a, b| b.0.total_cmp(&a.0));
    ProfileCandidate {
        profile: Arc::clone(&profile.name),
        variant: Arc::clone(&variant.name),
        confidence: total_score.confidence(),
        readable_points: good,
        total_points: variant.points.len(),
        ident,
        evidence: evidence.into_iter().take(4).map(|(_, name, value)| (name, value)).collect(),
    }
}

/// Reads what these points need and what was not read before; refused blocks are split.
async fn read(
    bus: &mut impl RegisterReader,
    address: u8,
    timeout_ms: u64,
    pause_ms: u64,
    points: &[PointDef],
    variant: &ProfileVariant,
    cache: &mut ScanCache,
) {
    let mut plan = plan::plan(points, &variant.read_rules);
    let mut blocks = plan.blocks.clone();
    while let Some(block) = blocks.pop() {
        let is_known = cache.blocks.values().any(|w| w.slice(&block.span).is_some());
        if is_known || cache.failures.contains_key(&block.span) {
            continue;
        }
        if cache.silent_requests >= SILENT_MAX {
            return;
        }
        match bus.read(address, block.span, timeout_ms, pause_ms).await {
            Ok(words) => {
                cache.silent_requests = 0;
                cache.blocks.insert(block.span, words);
            }
            Err(cause @ (Cause::IllegalAddress | Cause::IllegalValue)) => {
                cache.silent_requests = 0;
                match plan.split(&block, cause, 0) {
                    Some((a, b)) => blocks.extend([b, a]),
                    None => drop(cache.failures.insert(block.span, cause)),
                }
            }
            Err(Cause::LinkDown) => return,
            Err(cause) => {
                cache.silent_requests += u32::from(!cause.unit_answered());
                cache.failures.insert(block.span, cause);
            }
        }
    }
}
