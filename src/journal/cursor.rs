//! Where a reader stands. Raw rows are read in order of their numbers; sealed hours device by device, so that neither
//! pins the other and order holds per device.

/// A position: everything up to it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Every reading up to this number is done.
    pub floor: u64,
    /// Beyond that, within the sealed segment that follows.
    pub walk: Option<Walk>,
    /// Beyond both, what is done already by a reader that takes the newest first: rising, not touching each other.
    pub ahead: Vec<Done>,
}

/// A range of numbers that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The number before its first.
    pub after: u64,
    /// Its last number.
    pub upto: u64,
}

/// How far a reader has come in a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
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
        Self { floor, walk: None, ahead: Vec::new() }
    }

    /// Whether a number is done, as far as the floor and the ranges ahead say.
    pub fn has(&self, seq: u64) -> bool {
        seq <= self.floor || self.ahead.iter().any(|d| d.after < seq && seq <= d.upto)
    }

    /// How many numbers from `first` to `last` are not done.
    pub fn behind(&self, first: u64, last: u64) -> u64 {
        let after = self.floor.max(first.saturating_sub(1));
        let done = |d: &Done| d.upto.min(last).saturating_sub(d.after.max(after));
        last.saturating_sub(after).saturating_sub(self.ahead.iter().map(done).sum())
    }

    /// Nothing beyond this number.
    #[must_use]
    pub fn clamped(&self, committed: u64) -> Self {
        if self.floor > committed {
            return Self::at(committed);
        }
        let clamp = |d: &Done| Done { upto: d.upto.min(committed), ..*d };
        let ahead = self.ahead.iter().map(clamp).filter(|d| d.after < d.upto).collect();
        Self { ahead, ..self.clone() }
    }

    /// As stored beside the readings.
    pub fn to_text(&self) -> String {
        let mut head = self.floor.to_string();
        self.ahead.iter().for_each(|d| head.push_str(&format!("+{}-{}", d.after, d.upto)));
        match &self.walk {
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
            Some(Done { after: after.parse().ok()?, upto: upto.parse().ok()? })
        };
        let ahead = head.map(range).collect::<Option<Vec<Done>>>()?;
        let Some(segment) = words.next() else { return Some(Self { floor, walk: None, ahead }) };
        let done = words.next()?.parse().ok()?;
        let walk = Walk { segment: segment.parse().ok()?, done, device: words.next()?.to_string() };
        Some(Self { floor, walk: Some(walk), ahead })
    }

    /// Whether `self` is at least as far as `other`.
    pub fn reaches(&self, other: &Position) -> bool {
        let key = |p: &Position| {
            let walk = p.walk.clone().unwrap_or(Walk { segment: 0, device: String::new(), done: 0 });
            (p.floor, walk.segment, walk.device, walk.done, p.ahead.last().map_or(0, |d| d.upto))
        };
        key(self) >= key(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back() {
        let walk = Walk { segment: 7, device: "lift 1".into(), done: 9 };
        let walking = Position { floor: 6, walk: Some(walk), ahead: Vec::new() };
        let ahead = vec![Done { after: 20, upto: 30 }, Done { after: 40, upto: 41 }];
        let live = Position { ahead: ahead.clone(), ..walking.clone() };
        for p in [Position::at(5), walking.clone(), live.clone(), Position { ahead, ..Position::at(5) }] {
            assert_eq!(Position::from_text(&p.to_text()), Some(p));
        }
        assert_eq!((Position::from_text("x"), Position::from_text("5+7")), (None, None));
        assert!(Position::at(8).reaches(&walking) && live.reaches(&walking) && !walking.reaches(&live));
        assert_eq!((live.behind(1, 50), live.behind(25, 45), live.has(30), live.has(31)), (33, 14, true, false));
        assert_eq!(live.clamped(25).ahead, [Done { after: 20, upto: 25 }]);
        assert_eq!(live.clamped(5), Position::at(5));
    }
}
