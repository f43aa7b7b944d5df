//! Where a reader stands. Raw rows are read in order of their numbers; sealed hours device by device, so that neither
//! pins the other and order holds per device.

/// A position: everything up to it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Every reading up to this number is done.
    pub low_watermark: u64,
    /// Beyond that, within the sealed segment that follows.
    pub sealed_cursor: Option<SealedCursor>,
    /// Beyond both, what is done already by a reader that takes the newest first: rising, not touching each other.
    pub acked_ranges: Vec<AckedRange>,
}

/// A range of numbers that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckedRange {
    /// The number before its first.
    pub after: u64,
    /// Its last number.
    pub upto: u64,
}

/// How far a reader has come in a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCursor {
    /// The segment, by its first number.
    pub segment: u64,
    /// Devices before this one (by name) are done.
    pub device: String,
    /// Of this device, everything up to this number is done.
    pub done: u64,
}

impl Position {
    /// Everything up to a number.
    pub fn at(floor: u64) -> Self {
        Self { low_watermark: floor, sealed_cursor: None, acked_ranges: Vec::new() }
    }

    /// Whether a number is done, as far as the floor and the ranges ahead say.
    pub fn has(&self, seq: u64) -> bool {
        seq <= self.low_watermark || self.acked_ranges.iter().any(|d| d.after < seq && seq <= d.upto)
    }

    /// How many numbers from `first` to `last` are not done.
    pub fn behind(&self, first: u64, last: u64) -> u64 {
        let after = self.low_watermark.max(first.saturating_sub(1));
        let done = |d: &AckedRange| d.upto.min(last).saturating_sub(d.after.max(after));
        last.saturating_sub(after).saturating_sub(self.acked_ranges.iter().map(done).sum())
    }

    /// Nothing beyond this number.
    #[must_use]
    pub fn clamped(&self, committed: u64) -> Self {
        if self.low_watermark > committed {
            return Self::at(committed);
        }
        let clamp = |d: &AckedRange| AckedRange { upto: d.upto.min(committed), ..*d };
        let ahead = self.acked_ranges.iter().map(clamp).filter(|d| d.after < d.upto).collect();
        Self { acked_ranges: ahead, ..self.clone() }
    }

    /// As stored beside the readings.
    pub fn to_text(&self) -> String {
        let mut head = self.low_watermark.to_string();
        self.acked_ranges.iter().for_each(|d| head.push_str(&format!("+{}-{}", d.after, d.upto)));
        match &self.sealed_cursor {
            None => head,
            Some(w) => format!("{head} {} {} {}", w.segment, w.done, w.device),
        }
    }

    /// The inverse of [`Position::to_text`].
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let mut head = words.next()?.split('+');
        let floor = head.next()?.parse().ok()?;
        let range = |text: &str| {
            let (after, upto) = text.split_once('-')?;
            Some(AckedRange { after: after.parse().ok()?, upto: upto.parse().ok()? })
        };
        let ahead = head.map(range).collect::<Option<Vec<AckedRange>>>()?;
        let Some(segment) = words.next() else {
            return Some(Self { low_watermark: floor, sealed_cursor: None, acked_ranges: ahead });
        };
        let done = words.next()?.parse().ok()?;
        let walk = SealedCursor { segment: segment.parse().ok()?, done, device: words.next()?.to_string() };
        Some(Self { low_watermark: floor, sealed_cursor: Some(walk), acked_ranges: ahead })
    }

    /// Whether `self` is at least as far as `other`.
    pub fn reaches(&self, other: &Position) -> bool {
        let key = |p: &Position| {
            let walk = p.sealed_cursor.clone().unwrap_or(SealedCursor { segment: 0, device: String::new(), done: 0 });
            (p.low_watermark, walk.segment, walk.device, walk.done, p.acked_ranges.last().map_or(0, |d| d.upto))
        };
        key(self) >= key(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back() {
        let walk = SealedCursor { segment: 7, device: "lift 1".into(), done: 9 };
        let walking = Position { low_watermark: 6, sealed_cursor: Some(walk), acked_ranges: Vec::new() };
        let ahead = vec![AckedRange { after: 20, upto: 30 }, AckedRange { after: 40, upto: 41 }];
        let live = Position { acked_ranges: ahead.clone(), ..walking.clone() };
        for p in [Position::at(5), walking.clone(), live.clone(), Position { acked_ranges: ahead, ..Position::at(5) }] {
            assert_eq!(Position::from_text(&p.to_text()), Some(p));
        }
        assert_eq!((Position::from_text("x"), Position::from_text("5+7")), (None, None));
        assert!(Position::at(8).reaches(&walking) && live.reaches(&walking) && !walking.reaches(&live));
        assert_eq!((live.behind(1, 50), live.behind(25, 45), live.has(30), live.has(31)), (33, 14, true, false));
        assert_eq!(live.clamped(25).acked_ranges, [AckedRange { after: 20, upto: 25 }]);
        assert_eq!(live.clamped(5), Position::at(5));
    }
}
