//! Position of a reader. Raw segments are read in order of numbers, sealed hours device by device. A lagging reader therefore needs no
//! raw rows once their hour is sealed, and order holds per device.

/// Which readings a reader has acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Every reading up to this number is acknowledged.
    pub low_watermark: u64,
    /// Progress beyond it within the sealed segment that follows.
    pub sealed_cursor: Option<SealedCursor>,
    /// Ranges beyond both that a reader which takes the newest first has acknowledged: in rising order, disjoint and not adjacent.
    pub acked_ranges: Vec<AckedRange>,
}

/// Acknowledged numbers `after + 1 ..= upto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckedRange {
    pub after: u64,
    pub upto: u64,
}

/// Progress of a reader in a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCursor {
    /// First number of the segment.
    pub segment: u64,
    /// Devices whose names sort before this one are finished.
    pub device: String,
    /// Last acknowledged number of this device; 0: none.
    pub acked_seq: u64,
}

impl Position {
    /// Acknowledges everything up to a number and nothing beyond.
    pub fn at(low_watermark: u64) -> Self {
        Self { low_watermark, sealed_cursor: None, acked_ranges: Vec::new() }
    }

    /// Whether a number is acknowledged by the low watermark or a range; ignores the sealed cursor.
    pub fn is_acked(&self, seq: u64) -> bool {
        seq <= self.low_watermark || self.acked_ranges.iter().any(|d| d.after < seq && seq <= d.upto)
    }

    /// How many numbers from `first` to `last` are not acknowledged; ignores the sealed cursor.
    pub fn unacked_between(&self, first: u64, last: u64) -> u64 {
        let after = self.low_watermark.max(first.saturating_sub(1));
        let acked = |d: &AckedRange| d.upto.min(last).saturating_sub(d.after.max(after));
        last.saturating_sub(after).saturating_sub(self.acked_ranges.iter().map(acked).sum())
    }

    /// The same position without anything beyond `committed`.
    #[must_use]
    pub fn clamped(&self, committed: u64) -> Self {
        if self.low_watermark > committed {
            return Self::at(committed);
        }
        let clamp = |d: &AckedRange| AckedRange { upto: d.upto.min(committed), ..*d };
        let acked_ranges = self.acked_ranges.iter().map(clamp).filter(|d| d.after < d.upto).collect();
        Self { acked_ranges, ..self.clone() }
    }

    /// Stored form: `watermark[+after-upto]...[ segment acknowledged device]`. The device comes last because it may contain spaces.
    pub fn to_text(&self) -> String {
        let mut head = self.low_watermark.to_string();
        self.acked_ranges.iter().for_each(|d| head.push_str(&format!("+{}-{}", d.after, d.upto)));
        match &self.sealed_cursor {
            None => head,
            Some(w) => format!("{head} {} {} {}", w.segment, w.acked_seq, w.device),
        }
    }

    /// The inverse of [`Position::to_text`].
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let mut head = words.next()?.split('+');
        let low_watermark = head.next()?.parse().ok()?;
        let range = |text: &str| {
            let (after, upto) = text.split_once('-')?;
            Some(AckedRange { after: after.parse().ok()?, upto: upto.parse().ok()? })
        };
        let acked_ranges = head.map(range).collect::<Option<Vec<AckedRange>>>()?;
        let Some(segment) = words.next() else {
            return Some(Self { low_watermark, sealed_cursor: None, acked_ranges });
        };
        let acked_seq = words.next()?.parse().ok()?;
        let sealed_cursor =
            SealedCursor { segment: segment.parse().ok()?, acked_seq, device: words.next()?.to_string() };
        Some(Self { low_watermark, sealed_cursor: Some(sealed_cursor), acked_ranges })
    }

    /// Whether `self` is at least as far as `other`. Of the acknowledged ranges only the last is compared.
    pub fn is_at_least(&self, other: &Position) -> bool {
        let key = |p: &Position| {
            let sealed =
                p.sealed_cursor.clone().unwrap_or(SealedCursor { segment: 0, device: String::new(), acked_seq: 0 });
            (
                p.low_watermark,
                sealed.segment,
                sealed.device,
                sealed.acked_seq,
                p.acked_ranges.last().map_or(0, |d| d.upto),
            )
        };
        key(self) >= key(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back() {
        let walk = SealedCursor { segment: 7, device: "lift 1".into(), acked_seq: 9 };
        let walking = Position { low_watermark: 6, sealed_cursor: Some(walk), acked_ranges: Vec::new() };
        let ahead = vec![AckedRange { after: 20, upto: 30 }, AckedRange { after: 40, upto: 41 }];
        let live = Position { acked_ranges: ahead.clone(), ..walking.clone() };
        for p in [Position::at(5), walking.clone(), live.clone(), Position { acked_ranges: ahead, ..Position::at(5) }] {
            assert_eq!(Position::from_text(&p.to_text()), Some(p));
        }
        assert_eq!((Position::from_text("x"), Position::from_text("5+7")), (None, None));
        assert!(Position::at(8).is_at_least(&walking) && live.is_at_least(&walking) && !walking.is_at_least(&live));
        assert_eq!(
            (live.unacked_between(1, 50), live.unacked_between(25, 45), live.is_acked(30), live.is_acked(31)),
            (33, 14, true, false)
        );
        assert_eq!(live.clamped(25).acked_ranges, [AckedRange { after: 20, upto: 25 }]);
        assert_eq!(live.clamped(5), Position::at(5));
    }
}
