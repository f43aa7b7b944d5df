//! Which bytes on the wire answer the request in flight. Pure; bytes sent by devices are parsed only here.
//!
//! Over TCP the answer is searched at every offset, so that surplus bytes of a sloppy device never shift the frame borders; the
//! random transaction id keeps a foreign frame from being accepted. On a serial line unit, function, byte count and CRC must fit,
//! and bytes equal to the request are its echo.

use std::fmt;

/// Longest read request on the wire: unit, function, address, count, CRC.
const RTU_REQUEST: usize = 8;

/// The request in flight, parsed from the bytes that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Transaction id (TCP only).
    pub transaction: u16,
    pub unit: u8,
    pub function: u8,
    /// Data bytes that the answer to this read must carry; `None` for functions whose answer has another form.
    pub data_bytes: Option<u8>,
    /// Deviations that are accepted in an answer.
    pub lenient: Lenient,
    /// The request as sent on a serial line: equal bytes are its echo.
    echo: Option<[u8; RTU_REQUEST]>,
}

/// Deviations that are accepted in the answers of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lenient {
    /// Answers may carry any unit id.
    pub any_unit: bool,
    /// Answers may carry any transaction id.
    pub any_transaction: bool,
}

impl Expect {
    /// Parses a Modbus TCP request; `None` if it is not one.
    pub fn of_tcp(request: &[u8], lenient: Lenient) -> Option<Expect> {
        let transaction = word(request, 0)?;
        let (unit, pdu) = request.get(6..)?.split_first()?;
        let function = *pdu.first()?;
        Some(Expect { transaction, unit: *unit, function, data_bytes: data_bytes(pdu), lenient, echo: None })
    }

    /// Parses an RTU request; `None` if it is not one.
    pub fn of_rtu(request: &[u8]) -> Option<Expect> {
        let (unit, pdu) = request.split_first()?;
        let (function, data_bytes) = (*pdu.first()?, data_bytes(pdu));
        let (lenient, echo) = (Lenient::default(), request.try_into().ok());
        Some(Expect { transaction: 0, unit: *unit, function, data_bytes, lenient, echo })
    }

    fn unit_fits(&self, unit: u8) -> bool {
        unit == self.unit || self.lenient.any_unit
    }

    /// Bytes of the complete answer on a serial line.
    fn rtu_len(&self) -> Option<usize> {
        self.data_bytes.map(|bytes| usize::from(bytes) + 5)
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

/// What was wrong with a frame that is not the answer to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// It carries another transaction id: the answer to an earlier request, or to none.
    Transaction,
    /// It comes from another unit.
    Unit,
    /// It answers another function.
    Function,
    /// It carries another number of data bytes.
    ByteCount,
    /// Its length field does not fit what it carries (TCP).
    Length,
    /// Its checksum does not fit.
    Crc,
    /// No request was in flight.
    Unsolicited,
}

/// A frame that was not accepted: the first field that did not fit, its value and the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub field: Field,
    pub got: u16,
    /// For a frame without a request: its transaction id, 0 on RTU.
    pub expected: u16,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, got, expected } = self;
        match field {
            Field::Transaction => write!(
                f,
                "transaction id {got} where {expected} was expected (if all answers are so: transaction_id = \"ignore\")"
            ),
            Field::Unit => write!(f, "unit id {got} where {expected} was expected (any_unit = true accepts it)"),
            Field::Function => write!(f, "function {got} where {expected} was expected"),
            Field::Length => write!(f, "length field {got} where {expected} was expected"),
            Field::ByteCount => write!(f, "{got} data bytes where {expected} were expected"),
            Field::Crc => write!(f, "checksum {got:04X} where {expected:04X} was expected"),
            Field::Unsolicited => write!(f, "a frame of unit {got} that nobody asked for"),
        }
    }
}

/// What the bytes received over TCP begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// Not yet a complete frame.
    Partial,
    /// These bytes answer the request; those before them are surplus.
    Answer {
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// A complete frame of so many bytes that does not answer it.
    Rejected(usize, Rejection),
    /// So many bytes that belong to no frame.
    Surplus(usize),
}

/// Classifies the bytes received over TCP.
pub fn tcp(bytes: &[u8], expect: Option<&Expect>) -> Tcp {
    if let Some(expect) = expect {
        let found = (0..bytes.len()).find_map(|start| Some((start, start + tcp_answer(&bytes[start..], expect)?)));
        if let Some((start, end)) = found {
            return Tcp::Answer { start, end };
        }
    }
    if !may_begin_tcp(bytes) {
        let next = (1..bytes.len()).find(|at| may_begin_tcp(&bytes[*at..]));
        return Tcp::Surplus(next.unwrap_or(bytes.len()));
    }
    let Some(length) = word(bytes, 4) else { return Tcp::Partial };
    let end = 6 + usize::from(length);
    match bytes.get(6..end) {
        None => Tcp::Partial,
        Some(body) => Tcp::Rejected(end, tcp_rejection(word(bytes, 0).unwrap_or(0), body, expect)),
    }
}

/// Whether these bytes can be the beginning of a Modbus TCP frame: protocol 0, a length that a frame can have.
fn may_begin_tcp(bytes: &[u8]) -> bool {
    let is_zero = |at: usize| bytes.get(at).is_none_or(|b| *b == 0);
    let length_fits = word(bytes, 4).is_none_or(|length| (3..=254).contains(&length));
    !bytes.is_empty() && is_zero(2) && is_zero(3) && is_zero(4) && length_fits
}

/// The length of the answer that begins with the first byte; `None` if none does, or it is incomplete.
fn tcp_answer(bytes: &[u8], expect: &Expect) -> Option<usize> {
    let transaction_fits = expect.lenient.any_transaction || word(bytes, 0)? == expect.transaction;
    if !transaction_fits || word(bytes, 2)? != 0 {
        return None;
    }
    let end = 6 + usize::from(word(bytes, 4)?);
    let (unit, pdu) = bytes.get(6..end)?.split_first()?;
    (expect.unit_fits(*unit) && pdu_fits(pdu, expect)).then_some(end)
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

fn tcp_rejection(transaction: u16, body: &[u8], expect: Option<&Expect>) -> Rejection {
    let unit = u16::from(body.first().copied().unwrap_or(0));
    let Some(expect) = expect else { return Rejection { field: Field::Unsolicited, got: unit, expected: transaction } };
    if transaction != expect.transaction && !expect.lenient.any_transaction {
        return Rejection { field: Field::Transaction, got: transaction, expected: expect.transaction };
    }
    rejection(body, expect, expect.lenient.any_unit)
}

/// The first field of a frame (unit, function, …) that does not fit.
fn rejection(body: &[u8], expect: &Expect, any_unit: bool) -> Rejection {
    let at = |i: usize| u16::from(body.get(i).copied().unwrap_or(0));
    if at(0) != u16::from(expect.unit) && !any_unit {
        return Rejection { field: Field::Unit, got: at(0), expected: expect.unit.into() };
    }
    if at(1) & 0x7F != u16::from(expect.function) {
        return Rejection { field: Field::Function, got: at(1), expected: expect.function.into() };
    }
    let fits = at(1) == u16::from(expect.function) && expect.data_bytes.is_some_and(|bytes| at(2) == u16::from(bytes));
    if fits {
        let expected = at(2) + 3;
        return Rejection { field: Field::Length, got: u16::try_from(body.len()).unwrap_or(u16::MAX), expected };
    }
    Rejection { field: Field::ByteCount, got: at(2), expected: expect.data_bytes.unwrap_or(0).into() }
}

/// Where the answer lies in the bytes received over a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtu {
    /// No answer yet; more bytes may follow.
    Partial,
    /// The answer; bytes before it are noise or the echo of the request.
    Answer {
        start: usize,
        /// One past the last byte.
        end: usize,
        /// Bytes before it that are no echo. With as many as a frame has, it may be a second frame behind a spoilt answer.
        noise: usize,
    },
    /// As long as the answer and with its head, but the checksum is wrong: if nothing follows, nothing more is on its way.
    Spoilt,
}

/// Finds the answer among the bytes received over a serial line: a frame with the right unit, function, byte count and CRC at any
/// offset (adapters put junk before it, some units behind it). Bytes equal to the request are its echo and never its answer.
pub fn rtu(bytes: &[u8], expect: &Expect) -> Rtu {
    let (mut start, mut after_echo) = (0, 0);
    while let Some(rest) = bytes.get(start..).filter(|r| !r.is_empty()) {
        if let Some(echo) = &expect.echo {
            if rest.starts_with(echo) {
                start += echo.len();
                after_echo = start;
                continue;
            }
            if rest.len() > 2 && echo.starts_with(rest) {
                return Rtu::Partial;
            }
        }
        if let Some(length) = rtu_answer_len(rest, expect)
            && rest.get(..length).is_some_and(crc_fits)
        {
            return Rtu::Answer { start, end: start + length, noise: start - after_echo };
        }
        start += 1;
    }
    if is_spoilt(&bytes[after_echo..], expect) { Rtu::Spoilt } else { Rtu::Partial }
}

/// The length of the answer that begins here, from its head; `None` if none can begin here.
fn rtu_answer_len(rest: &[u8], expect: &Expect) -> Option<usize> {
    if rest[0] != expect.unit {
        return None;
    }
    match *rest.get(1)? {
        f if f == expect.function | 0x80 => Some(5),
        f if f == expect.function && rest.get(2).copied() == expect.data_bytes => expect.rtu_len(),
        _ => None,
    }
}

/// Whether these bytes are a complete answer with a corrupted byte: exactly as long, and at most one byte of its head differs.
/// A shorter frame may be incomplete; a longer one is not recognised.
fn is_spoilt(bytes: &[u8], expect: &Expect) -> bool {
    // A complete frame with a good checksum is another unit's, and the answer may be on its way.
    let Some(data_bytes) = expect.data_bytes.filter(|_| !crc_fits(bytes)) else { return false };
    let same = |head: &[u8]| head.iter().zip(bytes).filter(|(a, b)| a == b).count();
    if Some(bytes.len()) == expect.rtu_len() {
        return same(&[expect.unit, expect.function, data_bytes]) >= 2;
    }
    let is_exception = bytes.len() == 5 && bytes[1] == expect.function | 0x80;
    is_exception && bytes[2] != data_bytes && (bytes[0] == expect.unit || bytes[2] < 12)
}

/// Whether bytes before an answer may contain another, spoilt one; then the frame behind them may answer nothing.
pub fn may_hold_spoilt(noise: &[u8], expect: &Expect) -> bool {
    let Some(length) = expect.rtu_len() else { return false };
    let same = |a: u8, b: u8| usize::from(a == b);
    (0..noise.len()).any(|start| {
        let rest = &noise[start..];
        let head = |i: usize| rest.get(i).copied().unwrap_or(0);
        let bytes = expect.data_bytes.unwrap_or(0);
        let is_answer = rest.len() >= length
            && same(head(0), expect.unit) + same(head(1), expect.function) + same(head(2), bytes) >= 2;
        let is_exception = rest.len() >= 5 && (head(0) == expect.unit || head(1) == expect.function | 0x80);
        is_answer || is_exception
    })
}

/// What was wrong with bytes on a serial line that gave no answer: the first complete frame with a good checksum determines the
/// field; without one it is the checksum. `None`: only noise.
pub fn rtu_rejection(bytes: &[u8], expect: Option<&Expect>) -> Option<Rejection> {
    let echo = expect.and_then(|e| e.echo);
    let mut start = 0;
    let frame = loop {
        let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) else { break None };
        if echo.is_some_and(|echo| rest.starts_with(&echo)) {
            start += RTU_REQUEST;
            continue;
        }
        match any_rtu_frame(rest) {
            Some(frame) => break Some(frame),
            None => start += 1,
        }
    };
    match (frame, expect) {
        (Some(frame), Some(expect)) => Some(rejection(frame, expect, false)),
        (Some(frame), None) => Some(Rejection { field: Field::Unsolicited, got: frame[0].into(), expected: 0 }),
        (None, Some(expect)) => {
            let length = rtu_answer_len(bytes.first().map(|_| bytes)?, expect)?;
            let (data, crc) = bytes.get(..length)?.split_last_chunk::<2>()?;
            Some(Rejection { field: Field::Crc, got: u16::from_le_bytes(*crc), expected: crc16(data) })
        }
        (None, None) => None,
    }
}

/// The answer to any read, with a good checksum, that these bytes begin with.
fn any_rtu_frame(bytes: &[u8]) -> Option<&[u8]> {
    let length = match *bytes.get(1)? {
        1..=4 => usize::from(*bytes.get(2)?) + 5,
        0x81..=0x84 => 5,
        _ => return None,
    };
    bytes.get(..length).filter(|frame| crc_fits(frame))
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
    const WHOLE: Tcp = Tcp::Answer { start: 0, end: 13 };

    fn changed(at: usize, to: u8) -> Vec<u8> {
        let mut bytes = ANSWER.to_vec();
        bytes[at] = to;
        bytes
    }

    fn rejected(bytes: &[u8], expect: Option<&Expect>) -> Option<Field> {
        match tcp(bytes, expect) {
            Tcp::Rejected(13, why) => Some(why.field),
            _ => None,
        }
    }

    #[test]
    fn tcp_takes_only_the_answer_to_the_request() {
        let ask = Expect::of_tcp(&ASK, Lenient::default()).unwrap();
        assert_eq!(ask.data_bytes, Some(4));
        assert_eq!(tcp(&ANSWER, Some(&ask)), WHOLE);
        assert_eq!(tcp(&ANSWER[..12], Some(&ask)), Tcp::Partial);
        assert_eq!(rejected(&changed(1, 4), Some(&ask)), Some(Field::Transaction));
        assert_eq!(rejected(&changed(6, 8), Some(&ask)), Some(Field::Unit));
        assert_eq!(rejected(&changed(7, 4), Some(&ask)), Some(Field::Function));
        assert_eq!(rejected(&changed(8, 2), Some(&ask)), Some(Field::ByteCount), "a byte count that lies");
        assert_eq!(rejected(&ANSWER, None), Some(Field::Unsolicited));
        let longer = [&changed(5, 9)[..], &[0, 0]].concat();
        assert!(matches!(tcp(&longer, Some(&ask)), Tcp::Rejected(15, why) if why.field == Field::Length));
        assert!(matches!(tcp(&changed(2, 1), Some(&ask)), Tcp::Surplus(_)), "not Modbus");
        assert!(matches!(tcp(&changed(4, 9), Some(&ask)), Tcp::Surplus(_)), "longer than a frame can be");
        let exception = [0, 5, 0, 0, 0, 3, 7, 0x83, 2];
        assert_eq!(tcp(&exception, Some(&ask)), Tcp::Answer { start: 0, end: 9 });
    }

    #[test]
    fn surplus_bytes_do_not_shift_the_frame_borders() {
        let ask = Expect::of_tcp(&ASK, Lenient::default()).unwrap();
        for surplus in [&[0u8, 0][..], &[0], &[0, 0, 0, 0, 0], &[0xFF, 3], &[0, 4, 0, 0, 0, 7, 7, 3, 4, 9]] {
            let bytes = [surplus, &ANSWER].concat();
            let expect = Tcp::Answer { start: surplus.len(), end: bytes.len() };
            assert_eq!(tcp(&bytes, Some(&ask)), expect, "{surplus:?} before it");
        }
    }

    #[test]
    fn other_units_and_transactions_are_accepted_only_where_the_link_says_so() {
        let strict = Expect::of_tcp(&ASK, Lenient::default()).unwrap();
        let any_unit = Expect::of_tcp(&ASK, Lenient { any_unit: true, ..Lenient::default() }).unwrap();
        let any_id = Expect::of_tcp(&ASK, Lenient { any_transaction: true, ..Lenient::default() }).unwrap();
        for unit in [0, 1, 255] {
            assert_eq!(rejected(&changed(6, unit), Some(&strict)), Some(Field::Unit));
            assert_eq!(tcp(&changed(6, unit), Some(&any_unit)), WHOLE);
            assert_eq!(rejected(&changed(6, unit), Some(&any_id)), Some(Field::Unit));
        }
        assert_eq!(tcp(&changed(1, 0), Some(&any_id)), WHOLE);
        assert_eq!(rejected(&changed(1, 0), Some(&any_unit)), Some(Field::Transaction));
    }

    fn with_crc(bytes: &[u8]) -> Vec<u8> {
        [bytes, &crc16(bytes).to_le_bytes()].concat()
    }

    #[test]
    fn rtu_finds_the_answer_behind_noise_and_nothing_else() {
        let ask = Expect::of_rtu(&[7, 3, 0, 16, 0, 2]).unwrap();
        let frame = with_crc(&[7, 3, 4, 1, 2, 3, 4]);
        assert_eq!(rtu(&frame, &ask), Rtu::Answer { start: 0, end: 9, noise: 0 });
        let noisy = [&[0xFF, 7, 3][..], &frame, &[0]].concat();
        assert_eq!(rtu(&noisy, &ask), Rtu::Answer { start: 3, end: 12, noise: 3 });
        for bit in 0..frame.len() * 8 {
            let mut wrong = frame.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(rtu(&wrong, &ask), Rtu::Spoilt, "bit {bit} flipped");
            assert_eq!(rtu(&wrong[..8], &ask), Rtu::Partial, "its rest may be on its way");
        }
    }

    #[test]
    fn bytes_equal_to_the_request_are_its_echo_also_where_they_would_answer_it() {
        // 17 coils from 0x0302: the request reads like an answer of three data bytes.
        let request = with_crc(&[1, 1, 3, 2, 0, 17]);
        let ask = Expect::of_rtu(&request).unwrap();
        let answer = with_crc(&[1, 1, 3, 0xAA, 0x55, 1]);
        for cut in 1..=request.len() {
            assert_eq!(rtu(&request[..cut], &ask), Rtu::Partial, "{cut} bytes of the echo");
        }
        assert_eq!(rtu(&[&request[..], &answer].concat(), &ask), Rtu::Answer { start: 8, end: 16, noise: 0 });
        assert_eq!(rtu(&answer, &ask), Rtu::Answer { start: 0, end: 8, noise: 0 });
    }

    #[test]
    fn a_whole_frame_of_another_unit_is_not_ours_spoilt() {
        let ask = Expect::of_rtu(&with_crc(&[7, 3, 0, 16, 0, 2])).unwrap();
        assert_eq!(rtu(&with_crc(&[8, 3, 4, 1, 2, 3, 4]), &ask), Rtu::Partial);
    }

    #[test]
    fn what_was_wrong_with_a_frame_is_said() {
        let ask = Expect::of_rtu(&with_crc(&[7, 3, 0, 16, 0, 2])).unwrap();
        let says = |bytes: &[u8]| rtu_rejection(bytes, Some(&ask)).map(|why| why.to_string());
        assert_eq!(
            says(&with_crc(&[8, 3, 4, 1, 2, 3, 4])).as_deref(),
            Some("unit id 8 where 7 was expected (any_unit = true accepts it)")
        );
        assert_eq!(says(&with_crc(&[7, 4, 4, 1, 2, 3, 4])).as_deref(), Some("function 4 where 3 was expected"));
        assert_eq!(says(&with_crc(&[7, 3, 2, 1, 2])).as_deref(), Some("2 data bytes where 4 were expected"));
        assert!(says(&[7, 3, 4, 1, 2, 3, 4, 0, 0]).unwrap().starts_with("checksum 0000 where "));
        assert_eq!(says(&[1, 2, 3]), None, "noise");
        // The echo of a read from 0x0300 has the form of an answer of three bytes.
        let request = with_crc(&[1, 4, 3, 0, 0, 2]);
        assert_eq!(rtu_rejection(&request, Expect::of_rtu(&request).as_ref()), None);
    }

    #[test]
    fn crc_of_the_specification() {
        // MODBUS over Serial Line 1.02, 6.2.2: the frame 02 07 has the CRC 41 12 on the wire.
        assert_eq!(crc16(&[0x02, 0x07]).to_le_bytes(), [0x41, 0x12]);
    }
}
