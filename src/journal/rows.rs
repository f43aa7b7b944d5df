//! Rows of a stream, collected before they are written as the columns of a slice.

/// Three vectors of equal length, one element per row.
#[derive(Debug, Default)]
pub struct Rows {
    pub seqs: Vec<i64>,
    /// Milliseconds since 1970, or monotonic milliseconds if undated.
    pub times: Vec<i64>,
    /// Per row: delay in milliseconds of each point of the slice after the row's time.
    pub offsets: Vec<Vec<u32>>,
}

impl Rows {
    /// Splits the rows where the time of consecutive rows differs by more than this many milliseconds.
    pub fn split_at_jumps(self, most_ms: i64) -> Vec<Rows> {
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

    /// Time of receipt of each sample of a point, milliseconds. The point is an index into the slice's points, not the stream's.
    pub fn sample_times(&self, index: usize) -> Vec<i64> {
        let after = |row: &Vec<u32>| row.get(index).map_or(0, |ms| i64::from(*ms));
        let offsets = self.offsets.iter().map(after).chain(std::iter::repeat(0));
        self.times.iter().zip(offsets).map(|(time, after)| time + after).collect()
    }
}
