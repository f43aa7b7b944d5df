//! How long a read takes on the wire.

use crate::model::line::SerialParams;
use crate::plan::ReadBlock;

/// The timing of a bus, known before it is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BusTiming {
    Serial {
        /// Speed and form of the characters.
        line: SerialParams,
        /// Microseconds that a unit takes to begin its answer.
        turnaround_us: u64,
    },
    /// A network connection: microseconds of a round trip, the unit's own time included.
    Network { round_trip_us: u64 },
}

/// Bytes of the answer to a read on a serial line: unit, function, count, data, CRC.
pub fn answer_bytes(block: &ReadBlock) -> u64 {
    let count = u64::from(block.span.count);
    5 + if block.span.register_type.is_bits() { count.div_ceil(8) } else { count * 2 }
}

/// Microseconds that one read occupies the bus, silence and pause included.
pub fn read_us(bus: BusTiming, block: &ReadBlock, pause_ms: u64) -> u64 {
    match bus {
        BusTiming::Network { round_trip_us } => round_trip_us + pause_ms * 1_000,
        BusTiming::Serial { line, turnaround_us } => {
            let silence = line.silence_us();
            line.chars_us(8 + answer_bytes(block)) + silence + turnaround_us.max(silence) + pause_ms * 1_000
        }
    }
}
