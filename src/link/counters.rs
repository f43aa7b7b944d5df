//! Counters of a link, with the text that describes each, and the last rejected frame.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::link::frame::Field;
use crate::link::guard::GuardState;
use crate::lock::lock;

macro_rules! counters {
    ($( $name:ident $says:literal; )*) => {
        /// What happened on a link since the process started.
        #[derive(Debug, Default)]
        pub struct Counters {
            $( #[doc = $says] pub $name: AtomicU64, )*
            last_rejected: Mutex<String>,
        }

        impl Counters {
            /// Name, meaning and value of each.
            pub fn list(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![ $( (stringify!($name), $says, self.$name.load(Ordering::Relaxed)), )* ]
            }
        }
    };
}

counters! {
    requests "Requests sent.";
    answers "Answers received, exceptions included.";
    exceptions "Answers that were a Modbus exception.";
    timeouts "Requests that got no answer in time.";
    late "Answers that came after their request was given up, or to no request.";
    crossed "Frames that answered another request: other unit, function or byte count.";
    wrong_unit "Frames rejected for their unit id.";
    wrong_function "Frames rejected for their function.";
    wrong_length "Frames rejected for their byte count.";
    wrong_checksum "Frames rejected for their checksum.";
    surplus "Frames behind an answer, or while nothing was asked, on a wire that cannot tell them from answers.";
    noise_bytes "Bytes that belonged to no answer.";
    connects "Connections made, or ports opened.";
    failures "Attempts to connect or open that failed.";
    losses "Connections lost.";
}

pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    /// Adds what the guard counted.
    pub fn add_guard_counts(&self, state: &GuardState) {
        add(&self.noise_bytes, state.noise_bytes);
        for (rejection, _) in &state.rejections {
            let counter = match rejection.field {
                Field::Transaction | Field::Unsolicited => &self.late,
                Field::Unit => &self.wrong_unit,
                Field::Function => &self.wrong_function,
                Field::ByteCount | Field::Length => &self.wrong_length,
                Field::Crc => &self.wrong_checksum,
            };
            add(counter, 1);
            if matches!(rejection.field, Field::Unit | Field::Function | Field::ByteCount | Field::Length) {
                add(&self.crossed, 1);
            }
        }
        // The first of one exchange: after a frame with wrong borders the rest means little.
        if let Some((rejection, _)) = state.rejections.front() {
            *lock(&self.last_rejected) = rejection.to_string();
        }
    }

    /// What was wrong with the last rejected frame, as text; empty if there was none.
    pub fn last_rejected(&self) -> String {
        lock(&self.last_rejected).clone()
    }
}
