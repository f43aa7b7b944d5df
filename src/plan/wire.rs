//! How long a read takes on the wire, and what share of its time a bus has given away.

use crate::plan::Block;

/// What is known of a bus before it is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bus {
    /// A serial line: character time in microseconds, and the unit's own time to answer.
    Serial {
        /// Bits a second.
        baud: u32,
        /// Start, data, parity and stop bits of a character: 10 or 11.
        bits_per_char: u32,
        /// Microseconds that a unit takes to begin its answer.
        turnaround_us: u64,
    },
    /// A network connection: microseconds of a round trip, the unit's own time included.
    Network {
        /// Microseconds.
        round_trip_us: u64,
    },
}

/// Silence between frames on a serial line: 3.5 characters, at least 1.75 ms above 19,200 baud
/// (MODBUS over Serial Line Specification 1.02, 2.5.1.1). Microseconds.
pub fn silence_us(baud: u32, bits_per_char: u32) -> u64 {
    if baud > 19_200 {
        return 1_750;
    }
    (u64::from(bits_per_char) * 3_500_000).div_ceil(u64::from(baud.max(1)))
}

/// Bytes of the answer to a read on a serial line: unit, function, count, data, CRC.
pub fn answer_bytes(block: &Block) -> u64 {
    let count = u64::from(block.span.count);
    5 + if block.span.area.is_bits() { count.div_ceil(8) } else { count * 2 }
}

/// Microseconds that one read occupies the bus, silence and pause included.
pub fn read_us(bus: Bus, block: &Block, pause_ms: u64) -> u64 {
    match bus {
        Bus::Network { round_trip_us } => round_trip_us + pause_ms * 1_000,
        Bus::Serial { baud, bits_per_char, turnaround_us } => {
            let chars = 8 + answer_bytes(block);
            let line = (chars * u64::from(bits_per_char) * 1_000_000).div_ceil(u64::from(baud.max(1)));
            let silence = silence_us(baud, bits_per_char);
            line + silence + turnaround_us.max(silence) + pause_ms * 1_000
        }
    }
}
