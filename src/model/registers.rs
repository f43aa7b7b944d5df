//! Where a value lies on the wire: area, address, count; and the words that a read brought.

/// The four Modbus areas; each is read by its own function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterType {
    /// Function 1.
    Coil,
    /// Function 2.
    Discrete,
    /// Function 3.
    Holding,
    /// Function 4.
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

    /// The area of a function code.
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

/// A run of registers or bits: wire address and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterRange {
    /// Where.
    pub area: RegisterType,
    /// First wire address.
    pub address: u16,
    /// How many registers or bits.
    pub count: u16,
}

impl RegisterRange {
    /// One past the last address (up to 65536).
    pub const fn end(&self) -> u32 {
        self.address as u32 + self.count as u32
    }

    /// Whether both share an address in the same area.
    pub fn overlaps(&self, other: &RegisterRange) -> bool {
        self.area == other.area && u32::from(self.address) < other.end() && u32::from(other.address) < self.end()
    }
}

/// The words that one read brought. Bits come as words of 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBlock {
    /// What was read.
    pub span: RegisterRange,
    /// As many as `span.count`.
    pub words: Vec<u16>,
}

impl RegisterBlock {
    /// The words of a run within; `None` if it is not wholly inside.
    pub fn slice(&self, span: &RegisterRange) -> Option<&[u16]> {
        if span.area != self.span.area {
            return None;
        }
        let start = usize::from(span.address.checked_sub(self.span.address)?);
        self.words.get(start..start + usize::from(span.count))
    }
}
