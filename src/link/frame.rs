//! Which bytes on the wire answer the request in flight. Pure: bytes in, verdict out; foreign bytes are parsed only here.

/// The request that is waiting for its answer, read off the bytes that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Transaction id (TCP only).
    pub transaction: u16,
    /// Unit id.
    pub unit: u8,
    /// Function code.
    pub function: u8,
    /// Data bytes that the answer to this read must carry; `None` for functions whose answer has another form.
    pub data_bytes: Option<u8>,
    /// Whether unit ids 0 and 255 in the answer are accepted too: some gateways answer so.
    pub any_unit: bool,
}

impl Expect {
    /// Reads a Modbus TCP request; `None` if it is none.
    pub fn of_tcp(request: &[u8], any_unit: bool) -> Option<Expect> {
        let transaction = word(request, 0)?;
        let (unit, pdu) = request.get(6..)?.split_first()?;
        Some(Expect { transaction, unit: *unit, function: *pdu.first()?, data_bytes: data_bytes(pdu), any_unit })
    }

    /// Reads an RTU request; `None` if it is none.
    pub fn of_rtu(request: &[u8]) -> Option<Expect> {
        let (unit, pdu) = request.split_first()?;
        let function = *pdu.first()?;
        Some(Expect { transaction: 0, unit: *unit, function, data_bytes: data_bytes(pdu), any_unit: false })
    }

    fn unit_fits(&self, unit: u8) -> bool {
        unit == self.unit || (self.any_unit && (unit == 0 || unit == 255))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn data_bytes(pdu: &[u8]) -> Option<u8> {
    let count = word(pdu, 3)?;
    match pdu.first()? {
        1 | 2 => u8::try_from(count.div_ceil(8)).ok(),
        3 | 4 => u8::try_from(count.checked_mul(2)?).ok(),
        _ => None,
    }
}

/// What stands at the beginning of the bytes that came over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// Not yet a whole frame.
    Partial,
    /// These bytes answer the request.
    Answer(usize),
    /// These bytes are the answer to an earlier request, or to none.
    Late(usize),
    /// These bytes bear our transaction id and are not an answer to our request.
    Crossed(usize),
    /// This is not Modbus TCP: the frame borders are lost.
    Unparseable,
}

/// Looks at the bytes that came over TCP.
pub fn tcp(bytes: &[u8], expect: Option<&Expect>) -> Tcp {
    let (Some(transaction), Some(protocol), Some(length)) = (word(bytes, 0), word(bytes, 2), word(bytes, 4)) else {
        return Tcp::Partial;
    };
    if protocol != 0 || !(3..=254).contains(&length) {
        return Tcp::Unparseable;
    }
    let end = 6 + usize::from(length);
    let Some(body) = bytes.get(6..end) else { return Tcp::Partial };
    let Some(expect) = expect.filter(|e| e.transaction == transaction) else { return Tcp::Late(end) };
    if expect.unit_fits(body[0]) && pdu_fits(&body[1..], expect) { Tcp::Answer(end) } else { Tcp::Crossed(end) }
}

/// Whether a whole PDU answers the request: function and byte count, and nothing after them.
fn pdu_fits(pdu: &[u8], expect: &Expect) -> bool {
    match (pdu.first(), expect.data_bytes) {
        (Some(f), _) if *f == expect.function | 0x80 => pdu.len() == 2,
        (Some(f), Some(bytes)) if *f == expect.function => {
            pdu.get(1) == Some(&bytes) && pdu.len() == usize::from(bytes) + 2
        }
        (Some(f), None) => *f == expect.function,
        _ => false,
    }
}

/// Where in the bytes that came over a serial line the answer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtu {
    /// Nowhere yet.
    Partial,
    /// Here: what stands before it is noise.
    Answer {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
}

/// Looks for the answer among the bytes that came over a serial line: anything with the right unit, function, byte count
/// and CRC, wherever it begins (adapters put junk before it, some units behind it).
pub fn rtu(bytes: &[u8], expect: &Expect) -> Rtu {
    for start in 0..bytes.len() {
        let rest = &bytes[start..];
        if rest[0] != expect.unit {
            continue;
        }
        let length = match rest.get(1) {
            Some(f) if *f == expect.function | 0x80 => 5,
            Some(f) if *f == expect.function => match expect.data_bytes {
                Some(bytes) if rest.get(2) == Some(&bytes) => usize::from(bytes) + 5,
                _ => continue,
            },
            _ => continue,
        };
        if let Some(frame) = rest.get(..length)
            && crc_fits(frame)
        {
            return Rtu::Answer { start, end: start + length };
        }
    }
    Rtu::Partial
}

/// Whether the last two bytes are the CRC of those before (MODBUS over Serial Line 1.02, 6.2.2), low byte first.
pub fn crc_fits(frame: &[u8]) -> bool {
    frame.split_last_chunk::<2>().is_some_and(|(data, crc)| crc16(data) == u16::from_le_bytes(*crc))
}

/// CRC-16 with the polynomial 0xA001.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read of two holding registers at 16 from unit 7, transaction 5.
    const ASK: [u8; 12] = [0, 5, 0, 0, 0, 6, 7, 3, 0, 16, 0, 2];
    const ANSWER: [u8; 13] = [0, 5, 0, 0, 0, 7, 7, 3, 4, 1, 2, 3, 4];

    fn changed(at: usize, to: u8) -> Vec<u8> {
        let mut bytes = ANSWER.to_vec();
        bytes[at] = to;
        bytes
    }

    #[test]
    fn tcp_takes_only_the_answer_to_the_request() {
        let ask = Expect::of_tcp(&ASK, false).unwrap();
        assert_eq!(ask.data_bytes, Some(4));
        assert_eq!(tcp(&ANSWER, Some(&ask)), Tcp::Answer(13));
        assert_eq!(tcp(&ANSWER[..12], Some(&ask)), Tcp::Partial);
        assert_eq!(tcp(&changed(1, 4), Some(&ask)), Tcp::Late(13), "an earlier transaction");
        assert_eq!(tcp(&changed(6, 8), Some(&ask)), Tcp::Crossed(13), "another unit");
        assert_eq!(tcp(&changed(7, 4), Some(&ask)), Tcp::Crossed(13), "another function");
        assert_eq!(tcp(&changed(8, 2), Some(&ask)), Tcp::Crossed(13), "a byte count that lies");
        assert_eq!(tcp(&changed(2, 1), Some(&ask)), Tcp::Unparseable, "not Modbus");
        assert_eq!(tcp(&changed(4, 9), Some(&ask)), Tcp::Unparseable, "longer than a frame can be");
        assert_eq!(tcp(&ANSWER, None), Tcp::Late(13), "nobody asked");
        let exception = [0, 5, 0, 0, 0, 3, 7, 0x83, 2];
        assert_eq!(tcp(&exception, Some(&ask)), Tcp::Answer(9));
    }

    #[test]
    fn a_gateway_that_answers_as_unit_255_is_accepted_only_where_the_link_says_so() {
        let strict = Expect::of_tcp(&ASK, false).unwrap();
        let lenient = Expect::of_tcp(&ASK, true).unwrap();
        assert_eq!(tcp(&changed(6, 255), Some(&strict)), Tcp::Crossed(13));
        assert_eq!(tcp(&changed(6, 255), Some(&lenient)), Tcp::Answer(13));
        assert_eq!(tcp(&changed(6, 8), Some(&lenient)), Tcp::Crossed(13));
    }

    #[test]
    fn rtu_finds_the_answer_behind_noise_and_nothing_else() {
        let ask = Expect::of_rtu(&[7, 3, 0, 16, 0, 2]).unwrap();
        let mut frame = vec![7, 3, 4, 1, 2, 3, 4];
        frame.extend(crc16(&frame).to_le_bytes());
        assert_eq!(rtu(&frame, &ask), Rtu::Answer { start: 0, end: 9 });
        let noisy = [&[0xFF, 7, 3][..], &frame, &[0]].concat();
        assert_eq!(rtu(&noisy, &ask), Rtu::Answer { start: 3, end: 12 });
        for bit in 0..frame.len() * 8 {
            let mut wrong = frame.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(rtu(&wrong, &ask), Rtu::Partial, "bit {bit} flipped");
        }
    }

    #[test]
    fn crc_of_the_specification() {
        // MODBUS over Serial Line 1.02, 6.2.2: the frame 02 07 has the CRC 41 12 on the wire.
        assert_eq!(crc16(&[0x02, 0x07]).to_le_bytes(), [0x41, 0x12]);
    }
}
