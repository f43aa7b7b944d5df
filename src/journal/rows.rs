//! Rows of a stream before they become a slice of columns.

/// Rows of one stream on their way into a slice.
#[derive(Debug, Default)]
pub struct Rows {
    /// Numbers.
    pub seqs: Vec<i64>,
    /// Times: dates, or monotonic where there is none.
    pub times: Vec<i64>,
    /// For each row, how long after its time each of the slice's points came.
    pub offsets: Vec<Vec<u32>>,
}

impl Rows {
    /// In parts, each without a step of the time by more than so much.
    pub fn between_jumps(self, most_ms: i64) -> Vec<Rows> {
        let mut out: Vec<Rows> = Vec::new();
        let mut before = None;
        for ((seq, time), offsets) in self.seqs.into_iter().zip(self.times).zip(self.offsets) {
            if before.is_none_or(|before: i64| time.abs_diff(before) > most_ms.unsigned_abs()) {
                out.push(Rows::default());
            }
            before = Some(time);
            if let Some(part) = out.last_mut() {
                part.seqs.push(seq);
                part.times.push(time);
                part.offsets.push(offsets);
            }
        }
        out
    }

    /// When each sample of the slice's point number `lane` was received.
    pub fn times_of(&self, lane: usize) -> Vec<i64> {
        let after = |row: &Vec<u32>| row.get(lane).map_or(0, |ms| i64::from(*ms));
        let offsets = self.offsets.iter().map(after).chain(std::iter::repeat(0));
        self.times.iter().zip(offsets).map(|(time, after)| time + after).collect()
    }
}
