//! Maximum demand over windows of any start (sliding), from all readings of a register.

use rust_decimal::Decimal;

use crate::energy::profile::Profile;
use crate::energy::register::NEAR_MS;
use crate::model::metering::RegisterReading;
use crate::model::time::UnixMillis;

/// A window with its mean rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemandWindow {
    pub from: RegisterReading,
    pub to: RegisterReading,
    /// Mean rate in the register's unit per hour.
    pub rate: Decimal,
}

/// The window of `length_ms` with the greatest mean rate. `readings` are in order of their dates; both ends of a window are readings, half a minute
/// at most from its length. A window counts only where the register's `profile` has counted at least as much meanwhile: a reading that
/// was not believed, or that belongs to another register, sets no maximum.
pub fn sliding_maximum(readings: &[RegisterReading], length_ms: i64, profile: &Profile) -> Option<DemandWindow> {
    let mut begin = 0;
    let mut best: Option<DemandWindow> = None;
    for to in readings {
        let wanted = UnixMillis(to.at.0 - length_ms);
        while readings.get(begin).is_some_and(|from| from.at < wanted) {
            begin += 1;
        }
        let after = readings.get(begin).filter(|from| from.at < to.at);
        let before = begin.checked_sub(1).and_then(|i| readings.get(i));
        let distance = |from: &&RegisterReading| (from.at.0 - wanted.0).abs();
        let nearest =
            [before, after].into_iter().flatten().min_by_key(distance).filter(|from| distance(from) <= NEAR_MS);
        let Some(from) = nearest else { continue };
        let consumed = to.value - from.value;
        let rate = (consumed * Decimal::from(3_600_000)).checked_div(Decimal::from(to.at.0 - from.at.0));
        let Some(rate) = rate.filter(|rate| best.is_none_or(|best| *rate > best.rate) && *rate >= Decimal::ZERO) else {
            continue;
        };
        if counted_around(profile, from.at, to.at).is_some_and(|counted| counted >= consumed) {
            best = Some(DemandWindow { from: *from, to: *to, rate });
        }
    }
    best
}

/// What was counted from the kept reading before a moment to the one after another; `None`: a boundary that nobody has explained, or a correction,
/// lies in it.
fn counted_around(profile: &Profile, from: UnixMillis, to: UnixMillis) -> Option<Decimal> {
    let (before, after) = (profile.kept_before(from)?, profile.kept_after(to)?);
    let (is_pending, is_decided) = profile.boundaries_between(before, after);
    if is_pending || is_decided {
        return None;
    }
    Some(profile.at_or_end(after)?.counted - profile.at_or_end(before)?.counted)
}
