//! Where a reader stands. Raw rows are read in order of their numbers; sealed hours device by device, so that neither
//! pins the other and order holds per device.

/// A position: everything up to it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Every reading up to this number is done.
    pub floor: u64,
    /// Beyond that, within the sealed segment that follows.
    pub walk: Option<Walk>,
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
        Self { floor, walk: None }
    }

    /// As stored beside the readings.
    pub fn to_text(&self) -> String {
        match &self.walk {
            None => self.floor.to_string(),
            Some(w) => format!("{} {} {} {}", self.floor, w.segment, w.done, w.device),
        }
    }

    /// The inverse of [`Position::to_text`].
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let floor = words.next()?.parse().ok()?;
        let Some(segment) = words.next() else { return Some(Self::at(floor)) };
        let done = words.next()?.parse().ok()?;
        let walk = Walk { segment: segment.parse().ok()?, done, device: words.next()?.to_string() };
        Some(Self { floor, walk: Some(walk) })
    }

    /// Whether `self` is at least as far as `other`.
    pub fn reaches(&self, other: &Position) -> bool {
        let key = |p: &Position| {
            let walk = p.walk.clone().unwrap_or(Walk { segment: 0, device: String::new(), done: 0 });
            (p.floor, walk.segment, walk.device, walk.done)
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
        for p in [Position::at(5), Position { floor: 6, walk: Some(walk) }] {
            assert_eq!(Position::from_text(&p.to_text()), Some(p));
        }
        assert_eq!(Position::from_text("x"), None);
        assert!(
            Position::at(8)
                .reaches(&Position { floor: 7, walk: Some(Walk { segment: 8, device: "z".into(), done: 99 }) })
        );
    }
}
