//! Description of unreadable history, reported with every answer that it affects.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::journal::sealed::{DayFile, Slice};
use crate::journal::segment::JournalError;

/// Something that is there and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Name of the file, without its directory.
    pub file: String,
    /// Whose readings; empty: of all devices.
    pub device: String,
    /// From when to when, milliseconds since 1970; none: nobody knows.
    #[serde(rename = "hours")]
    pub period: Option<(i64, i64)>,
    #[serde(rename = "why")]
    pub reason: String,
}

impl Damage {
    /// Damage of a file; the period is taken from its name or its file times.
    pub fn file(path: &Path, device: &str, reason: impl Into<String>) -> Self {
        let file = path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
        Self {
            period: day_of(&file).or_else(|| hour_of(&file, path)),
            file,
            device: device.to_string(),
            reason: reason.into(),
        }
    }

    /// Damage of one slice, with the period of its header.
    pub fn slice(path: &Path, device: &str, slice: &Slice, reason: impl Into<String>) -> Self {
        Self { period: Some((slice.first_ms, slice.last_ms)), ..Self::file(path, device, reason) }
    }

    /// Whether it overlaps any of these in time.
    pub fn overlaps_any(&self, others: &[Damage]) -> bool {
        let (first, last) = self.period.unwrap_or((i64::MIN, i64::MAX));
        others.iter().any(|other| other.overlaps(first, last.saturating_add(1)))
    }

    /// Whether it may affect the period from `from_ms` to before `to_ms`.
    pub fn overlaps(&self, from_ms: i64, to_ms: i64) -> bool {
        self.period.is_none_or(|(first, last)| first < to_ms && last >= from_ms)
    }
}

/// The period of a day file by its name: the day and one hour more, since an hour belongs to the day on which it began.
fn day_of(name: &str) -> Option<(i64, i64)> {
    let day: jiff::civil::Date = name.strip_prefix("day-")?.get(..8)?.parse().ok()?;
    let at = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    Some((at, at + 25 * 3_600_000))
}

/// The period of a raw file: from its creation, at least two hours before its last modification, to a minute after that.
fn hour_of(name: &str, path: &Path) -> Option<(i64, i64)> {
    let of = std::fs::metadata(path).ok().filter(|_| name.starts_with("raw-"))?;
    let ms = |at: std::time::SystemTime| i64::try_from(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok();
    let last = ms(of.modified().ok()?)?;
    // If no new file can be created, the old segment goes on beyond its hour.
    let first = of.created().ok().and_then(ms).unwrap_or(last);
    Some((first.min(last - 2 * 3_600_000), last + 60_000))
}

/// The `.damaged` files of the directory, as damage.
pub fn quarantined(dir: &Path) -> Vec<Damage> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let is_ours = |path: &std::path::PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        (name.starts_with("day-") || name.starts_with("raw-")) && name.ends_with(".damaged")
    };
    let mut out: Vec<Damage> = entries.filter(is_ours).map(|p| Damage::file(&p, "", "it was set aside")).collect();
    out.sort_by(|a, b| a.file.cmp(&b.file));
    out
}

/// Slices that match a condition. If a page of the table is damaged, each slice is read by its key, and those that fail are added to
/// `out`.
///
/// # Errors
/// The query fails for another reason than damage.
pub fn readable_slices(
    file: &DayFile,
    device: &str,
    filter: &str,
    args: &[i64],
    out: &mut Vec<Damage>,
) -> Result<Vec<Slice>, JournalError> {
    match file.slices(filter, args) {
        Err(e) if e.is_damage() => {}
        result => return result,
    }
    let (mut found, mut lost) = (Vec::new(), 0);
    let condition = filter.split(" ORDER BY").next().unwrap_or(filter);
    let by_key = format!("id = ?{} AND {condition}", args.len() + 1);
    let mut args = args.to_vec();
    args.push(0);
    for id in 1..=file.max_slice_id().unwrap_or(SLICES_MAX) {
        args.last_mut().into_iter().for_each(|key| *key = id);
        match file.slices(&by_key, &args) {
            Ok(slices) => found.extend(slices),
            Err(_) => lost += 1,
        }
        // Every key so far failed, more than one leaf page holds: the root page is damaged.
        if lost == GIVE_UP && lost == id {
            break;
        }
    }
    if lost > 0 {
        out.push(Damage::file(&file.path, device, format!("{lost} of its slices cannot be read")));
    }
    found.sort_by_key(|s| s.first_ms);
    Ok(found)
}

/// Number of unreadable slices, counted from the first key, after which the search ends.
const GIVE_UP: i64 = 2_000;
/// Most keys that are tried one by one if the highest key is unknown.
const SLICES_MAX: i64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_day_it_was() {
        let damage = Damage::file(Path::new("/j/day-20251009-register.db.damaged"), "", "set aside");
        let day = 1_759_968_000_000;
        assert_eq!(
            (damage.file.as_str(), damage.period),
            ("day-20251009-register.db.damaged", Some((day, day + 90_000_000)))
        );
        assert!(
            damage.overlaps(day - 1, day + 1)
                && !damage.overlaps(day - 10, day)
                && !damage.overlaps(day + 90_000_001, i64::MAX)
        );
        let raw = Damage::file(Path::new("/j/raw-7.db.damaged"), "", "set aside");
        assert!(raw.period.is_none() && raw.overlaps(0, 1));
    }
}
