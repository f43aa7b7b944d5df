//! What the flood rules keep over a restart, and the commands that change it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::flood::level::{FloodLevel, Inputs, LevelChange, MANUAL_MAX_MS};
use crate::flood::notices::IssuedNotice;
use crate::flood::plan::FloodPlan;
use crate::flood::readiness::Tick;
use crate::flood::scheme::Scheme;
use crate::flood::signed::Signed;
use crate::flood::warnings::{WarningEnd, Warnings};
use crate::model::command::Command;
use crate::model::failure::{FailureKind, Refusal};
use crate::model::flood::FloodOperation;
use crate::model::problem::unknown;
use crate::model::text::{REMARK, one_line};
use crate::model::time::{MonotonicMillis, Now, UnixMillis, rebase_offset};

/// Word for rank 0.
pub const NO_LEVEL: &str = "none";

/// What is kept, as one value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FloodState {
    /// Ids of the levels that ranks count in.
    pub levels: Vec<String>,
    pub level: FloodLevel,
    pub warnings: Warnings,
    pub manual: Option<ManualLevel>,
    /// Who forced the level down; meaningful while [`FloodLevel::forced`] is.
    pub forced_by: Option<Signed>,
    /// How the last warning ended that no other one replaced.
    pub last_ended: Option<LastEnded>,
    /// What people have looked at, by the item's id.
    #[serde(default)]
    pub ticks: BTreeMap<String, Tick>,
    /// What residents have been told and is valid.
    #[serde(default)]
    pub notice: Option<IssuedNotice>,
    /// How many notices there have been.
    #[serde(default)]
    pub notices: u64,
    /// When and in which boot it was kept.
    pub saved: Now,
    pub boot: String,
}

/// A level that a person set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualLevel {
    pub rank: u8,
    #[serde(flatten)]
    pub signed: Signed,
    /// When it was set; none: the date was not trusted.
    pub since: Option<UnixMillis>,
    pub until: MonotonicMillis,
}

/// How a warning ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEnded {
    pub why: WarningEnd,
    pub at: UnixMillis,
    pub headlines: Vec<(String, String)>,
}

impl FloodState {
    /// What was kept, on the monotonic scale of this boot. Ranks of another scheme mean something else: nothing of them is left.
    pub fn restored(kept: Option<FloodState>, scheme: &Scheme, (now, boot): (Now, &str)) -> Self {
        let levels = level_ids(scheme);
        let mut state = kept.unwrap_or_default();
        if state.levels != levels {
            return Self { levels, ticks: state.ticks, notices: state.notices, ..Self::default() };
        }
        let offset = rebase_offset((state.saved, &state.boot), (now, boot));
        state.level.rebase(offset);
        if let Some(manual) = &mut state.manual {
            manual.until = MonotonicMillis(manual.until.0.saturating_add_signed(offset));
        }
        state
    }

    /// The rank that a person demands.
    pub fn manual_rank(&self) -> u8 {
        self.manual.as_ref().map_or(0, |manual| manual.rank)
    }

    /// What the inputs demand, with that of the site's own alarms.
    pub fn inputs(&self, local: u8) -> Inputs {
        let external = self.warnings.gravest(false).map_or(0, |warning| warning.rank);
        Inputs { external, local, manual: self.manual_rank() }
    }

    /// Carries a command out; what changed the level, if anything did.
    ///
    /// # Errors
    /// There is no such level, no reason is given, or there is nothing to withdraw or to lower.
    pub fn command(
        &mut self,
        command: &Command,
        operation: &FloodOperation,
        (plan, scheme, local): (&FloodPlan, &Scheme, u8),
        now: Now,
    ) -> Result<Option<LevelChange>, Refusal> {
        let refuse = |kind, zh: &str, en: &str| Err(Refusal::new(kind, zh, en));
        let signed = Signed { person: one_line(&command.actor.id, REMARK), reason: one_line(&command.note, REMARK) };
        if let FloodOperation::Tick { item } = operation {
            return self.tick(item, signed, plan, now).map(|()| None);
        }
        if signed.reason.is_empty() {
            let en = "a flood level that a person sets, withdraws or forces down needs a reason (--note)";
            return refuse(FailureKind::BadInput, "请写明原因", en);
        }
        match operation {
            FloodOperation::Set { level, for_ms } => {
                let rank = rank_of(scheme, level)?;
                if rank == 0 {
                    let en = "`none` cannot be set: `withdraw` ends what was set, a manager may force the level down";
                    return refuse(FailureKind::BadInput, "“none”不能设定", en);
                }
                let since = now.wall_trusted.then_some(now.wall);
                self.manual = Some(ManualLevel { rank, signed, since, until: now.mono.plus(limited(*for_ms)?) });
                Ok(None)
            }
            FloodOperation::Tick { .. } => Ok(None),
            FloodOperation::Withdraw => match self.manual.take() {
                Some(_) => Ok(None),
                None => refuse(FailureKind::Refused, "没有人工设定的等级", "no person has set a level"),
            },
            FloodOperation::ForceDown { level, for_ms } => {
                let (rank, for_ms) = (rank_of(scheme, level)?, limited(*for_ms)?);
                let inputs = self.inputs(local);
                let Some(change) = self.level.force_down(rank, inputs, for_ms, now) else {
                    let own = level_id(scheme, self.level.rank);
                    let en = format!("the level is {own}: it cannot be forced down to {}", level_id(scheme, rank));
                    return Err(Refusal::new(FailureKind::Refused, "当前等级不高于该等级", en));
                };
                self.forced_by = Some(signed);
                Ok(Some(change))
            }
        }
    }
}

impl FloodState {
    /// # Errors
    /// There is no such item, or the date is not known.
    fn tick(&mut self, item: &str, signed: Signed, plan: &FloodPlan, now: Now) -> Result<(), Refusal> {
        if !plan.items.iter().any(|of| of.id == item) {
            let known = plan.items.iter().map(|of| of.id.as_str());
            let text = unknown(("检查项", "item"), &one_line(item, REMARK), known);
            return Err(Refusal { kind: FailureKind::BadInput, text });
        }
        if !now.wall_trusted {
            let en = "the date is not trusted yet: a tick needs one (plantroom clock accept)";
            return Err(Refusal::new(FailureKind::Retry, "日期尚不可信", en));
        }
        self.ticks.insert(item.to_string(), Tick { signed, at: now.wall });
        Ok(())
    }
}

/// Ids of the levels, in ascending rank.
pub fn level_ids(scheme: &Scheme) -> Vec<String> {
    scheme.levels.iter().map(|level| level.id.to_string()).collect()
}

/// The id of a rank's level.
pub fn level_id(scheme: &Scheme, rank: u8) -> &str {
    scheme.level(rank).map_or(NO_LEVEL, |level| &level.id)
}

fn rank_of(scheme: &Scheme, level: &str) -> Result<u8, Refusal> {
    if level == NO_LEVEL {
        return Ok(0);
    }
    let known = || scheme.levels.iter().map(|level| &*level.id).chain([NO_LEVEL]);
    let refusal = || {
        let text = unknown(("等级", "flood level"), &one_line(level, REMARK), known());
        Refusal { kind: FailureKind::BadInput, text }
    };
    scheme.rank_of(level).ok_or_else(refusal)
}

/// # Errors
/// No time, or too long a time.
fn limited(for_ms: u64) -> Result<u64, Refusal> {
    if (1..=MANUAL_MAX_MS).contains(&for_ms) {
        return Ok(for_ms);
    }
    Err(Refusal::new(FailureKind::BadInput, "时长须在 12 小时以内", "a person's level lasts at most 12 h (--for 2h)"))
}
