//! Register ranges: type, address, count; and the words that a read returned.

/// The four Modbus register types; each has its own function code for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterType {
    /// Single bits that can be written; read by function 1.
    Coil,
    /// Read-only single bits; read by function 2.
    Discrete,
    /// 16-bit registers that can be written; read by function 3.
    Holding,
    /// Read-only 16-bit registers; read by function 4.
    Input,
}

impl RegisterType {
    /// The function code that reads it.
    pub const fn function(self) -> u8 {
        match self {
            RegisterType::Coil => 1,
            RegisterType::Discrete => 2,
            RegisterType::Holding => 3,
            RegisterType::Input => 4,
        }
    }

    /// The register type that a function code reads.
    pub const fn of(function: u8) -> Option<RegisterType> {
        match function {
            1 => Some(RegisterType::Coil),
            2 => Some(RegisterType::Discrete),
            3 => Some(RegisterType::Holding),
            4 => Some(RegisterType::Input),
            _ => None,
        }
    }

    /// Whether it holds single bits instead of 16-bit registers.
    pub const fn is_bits(self) -> bool {
        matches!(self, RegisterType::Coil | RegisterType::Discrete)
    }
}

/// Consecutive registers or bits, by address on the wire (from 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterRange {
    /// The type of all registers of the range.
    pub register_type: RegisterType,
    /// First address on the wire, counted from 0.
    pub address: u16,
    /// Number of registers or bits.
    pub count: u16,
}

impl RegisterRange {
    /// One past the last address (up to 65536).
    pub const fn end(&self) -> u32 {
        self.address as u32 + self.count as u32
    }

    /// Whether both contain an address of the same register type.
    pub fn overlaps(&self, other: &RegisterRange) -> bool {
        self.register_type == other.register_type
            && u32::from(self.address) < other.end()
            && u32::from(other.address) < self.end()
    }
}

/// The words that one read returned. Bits are words of 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBlock {
    /// The range that was read.
    pub range: RegisterRange,
    /// One word for each register or bit of the range.
    pub words: Vec<u16>,
}

impl RegisterBlock {
    /// The words of a range within this block; `None` if it is not entirely inside.
    pub fn slice(&self, span: &RegisterRange) -> Option<&[u16]> {
        if span.register_type != self.range.register_type {
            return None;
        }
        let start = usize::from(span.address.checked_sub(self.range.address)?);
        self.words.get(start..start + usize::from(span.count))
    }
}
