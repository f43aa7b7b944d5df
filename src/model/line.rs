//! Parameters of a serial line, and the times that follow from them: per character, and of silence between frames.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    /// No parity bit in a character.
    #[default]
    None,
    /// Even parity: the ones of a character, parity bit included, are even in number.
    Even,
    /// Odd parity: the ones of a character, parity bit included, are odd in number.
    Odd,
}

/// Speed and form of the characters; eight data bits always (RTU needs them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialParams {
    /// Bits per second on the line.
    pub baud: u32,
    /// Parity bit of each character, if any.
    pub parity: Parity,
    /// Stop bits of each character, 1 or 2.
    pub stop_bits: u8,
}

impl SerialParams {
    /// Bits of a character: start, eight data bits, parity, stop bits.
    pub fn bits_per_char(&self) -> u32 {
        9 + u32::from(self.parity != Parity::None) + u32::from(self.stop_bits)
    }

    /// Microseconds that this many characters take.
    pub fn chars_us(&self, chars: u64) -> u64 {
        (chars * u64::from(self.bits_per_char()) * 1_000_000).div_ceil(u64::from(self.baud.max(1)))
    }

    /// Silence between frames, microseconds: 3.5 characters, 1.75 ms above 19,200 baud (MODBUS over Serial Line
    /// Specification 1.02, 2.5.1.1).
    pub fn silence_us(&self) -> u64 {
        if self.baud > 19_200 {
            return 1_750;
        }
        (u64::from(self.bits_per_char()) * 3_500_000).div_ceil(u64::from(self.baud.max(1)))
    }
}
