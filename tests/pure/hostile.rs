//! Decoding against a naive reference; every parser of foreign bytes under 200,000 mutations, seed printed.

use plantroom::decode;
use plantroom::intake::cap::{self, CapDocument};
use plantroom::journal::{aggregate, codec, column};
use plantroom::link::frame::{self, Expect, Lenient};
use plantroom::model::line::{Parity, SerialParams};
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::quality::Cause;
use plantroom::model::reading::{Body, Part, Reading, Sample, Stamp};
use plantroom::model::registers::{RegisterBlock, RegisterRange, RegisterType};
use plantroom::model::stream::Stream;
use plantroom::model::time::{MonotonicMillis, UnixMillis};
use plantroom::model::value::Value;
use plantroom::model::warning::Coordinates;
use plantroom::profile::{Order, PointDef, RegisterEncoding};
use proptest::prelude::*;
use rust_decimal::Decimal;

const MUTATIONS: u64 = 200_000;

/// Chance from a seed, printed so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let fixed = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
        let seed = fixed.unwrap_or_else(|| u64::from(std::process::id()) * 0x9E37_79B9 + 1);
        #[allow(clippy::print_stdout, reason = "how a failure is repeated")]
        {
            println!("SEED={seed}");
        }
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    /// Flips, cuts, repeats, inserts.
    fn mutate(&mut self, good: &[u8]) -> Vec<u8> {
        let mut out = good.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(out.len());
            let byte = self.next().to_le_bytes()[0];
            match self.below(5) {
                0 if !out.is_empty() => out[at] ^= 1 << (byte % 8),
                1 if !out.is_empty() => out[at] = byte,
                2 => out.truncate(at),
                3 => out.insert(at, byte),
                _ => out.extend_from_slice(&good[..self.below(good.len())]),
            }
        }
        out
    }
}

fn def(wire: RegisterEncoding, order: Order, scale: Decimal, offset: Decimal) -> PointDef {
    let span = RegisterRange { register_type: RegisterType::Holding, address: 0, count: wire.register_count() };
    PointDef {
        name: "p".into(),
        kind: PointKind::Number,
        retention: Retention::Telemetry,
        encoding: Encoding::F64,
        span,
        word_offsets: vec![],
        register_encoding: wire,
        order,
        poll_group: "g".into(),
        scale,
        offset,
        scale_registers: vec![],
        invert: false,
        true_when: vec![],
        sentinels: vec![],
        text_sentinels: vec![],
        range: None,
        modulus: None,
        texts: std::collections::BTreeMap::default(),
    }
}

/// The bytes of a value as the wire has them, put in order the slow way: a list of bytes, swapped by hand.
fn naive_bytes(words: &[u16], order: Order) -> Vec<u8> {
    let mut pairs: Vec<[u8; 2]> = words.iter().map(|w| w.to_be_bytes()).collect();
    if matches!(order, Order::Cdab | Order::Dcba) {
        pairs.reverse();
    }
    if matches!(order, Order::Badc | Order::Dcba) {
        pairs.iter_mut().for_each(|p| p.swap(0, 1));
    }
    pairs.concat()
}

/// A naive reading of an integer, by its bytes.
fn naive_integer(bytes: &[u8], signed: bool) -> i128 {
    let mut n: i128 = 0;
    for byte in bytes {
        n = n * 256 + i128::from(*byte);
    }
    let top = 1i128 << (bytes.len() * 8 - 1);
    if signed && n >= top { n - 2 * top } else { n }
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Abcd), Just(Order::Cdab), Just(Order::Badc), Just(Order::Dcba)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn integers_of_every_width_order_and_scale(
        words in prop::array::uniform4(any::<u16>()), order in orders(), size in 0usize..3, signed: bool,
        mantissa in -100_000i64..100_000, decimals in 0u32..8, offset in -1_000_000i64..1_000_000,
    ) {
        let registers = [1u8, 2, 4][size];
        let words = &words[..usize::from(registers)];
        let (scale, offset) = (Decimal::new(mantissa, decimals), Decimal::new(offset, 3));
        let point = def(RegisterEncoding::Int { registers, signed }, order, scale, offset);
        let raw = naive_integer(&naive_bytes(words, order), signed);
        let expect = Decimal::try_from_i128_with_scale(raw, 0).unwrap() * scale + offset;
        prop_assert_eq!(decode::decode_words(&point, words, &[]), Ok(Value::Exact(expect)));
    }

    #[test]
    fn floats_of_every_order(words in prop::array::uniform4(any::<u16>()), order in orders(), double: bool) {
        let registers = if double { 4u8 } else { 2 };
        let words = &words[..usize::from(registers)];
        let bytes = naive_bytes(words, order);
        let point = def(RegisterEncoding::Float { registers }, order, Decimal::ONE, Decimal::ZERO);
        let expect = if double {
            let x = f64::from_be_bytes(bytes.try_into().unwrap());
            if x.is_finite() { Ok(Value::F64(x)) } else { Err(Cause::NotFinite) }
        } else {
            let x = f32::from_be_bytes(bytes.try_into().unwrap());
            if x.is_finite() { Ok(Value::F32(x)) } else { Err(Cause::NotFinite) }
        };
        prop_assert_eq!(decode::decode_words(&point, words, &[]), expect);
    }

    #[test]
    fn halves(bits: u16) {
        let point = def(RegisterEncoding::Float { registers: 1 }, Order::Abcd, Decimal::ONE, Decimal::ZERO);
        // By the definition in IEEE 754: sign, five bits of exponent, ten of fraction.
        let (sign, e, f) = (if bits >> 15 == 1 { -1.0 } else { 1.0 }, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        let expect = match e {
            31 => Err(Cause::NotFinite),
            0 => Ok(sign * f / 1024.0 * 2f64.powi(-14)),
            _ => Ok(sign * (1.0 + f / 1024.0) * 2f64.powi(e - 15)),
        };
        // A half has fewer digits than a single, which is what it is decoded to: exactly.
        #[expect(clippy::cast_possible_truncation, reason = "every half is a single")]
        let expect = expect.map(|x: f64| Value::F32(x as f32));
        prop_assert_eq!(decode::decode_words(&point, &[bits], &[]), expect);
    }

    #[test]
    fn bits_bytes_and_digits(words in prop::array::uniform4(any::<u16>()), order in orders(), low in 0u8..32, count in 1u8..32, high: bool) {
        let bytes = naive_bytes(&words[..2], order);
        let all = naive_integer(&bytes, false);
        if low + count <= 32 {
            let point = def(RegisterEncoding::Bits { low, count, registers: 2 }, order, Decimal::ONE, Decimal::ZERO);
            let expect = (all >> low) % (1i128 << count);
            prop_assert_eq!(decode::decode_words(&point, &words[..2], &[]), Ok(Value::Exact(Decimal::from(i64::try_from(expect).unwrap()))));
        }
        let one = naive_bytes(&words[..1], order);
        let byte = def(RegisterEncoding::Byte { is_high_byte: high, signed: true }, order, Decimal::ONE, Decimal::ZERO);
        let expect = naive_integer(&one[usize::from(!high)..=usize::from(!high)], true);
        prop_assert_eq!(decode::decode_words(&byte, &words[..1], &[]), Ok(Value::Exact(Decimal::from(i64::try_from(expect).unwrap()))));
        let bcd = def(RegisterEncoding::Bcd { registers: 2 }, order, Decimal::ONE, Decimal::ZERO);
        let text: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
        let expect = text.parse::<i64>().map(|n| Value::Exact(Decimal::from(n))).map_err(|_| Cause::BadDigits);
        prop_assert_eq!(decode::decode_words(&bcd, &words[..2], &[]), expect);
    }
}

#[test]
fn modbus_tcp_under_mutation() {
    let mut random = Random::new();
    let ask = Expect::of_tcp(&[0, 5, 0, 0, 0, 6, 7, 3, 0, 16, 0, 2], Lenient::default()).unwrap();
    let good = [0u8, 5, 0, 0, 0, 7, 7, 3, 4, 1, 2, 3, 4];
    for _ in 0..MUTATIONS {
        let bytes = random.mutate(&good);
        if let frame::Tcp::Answer { start, end } = frame::tcp(&bytes, Some(&ask)) {
            // Whatever passes has our transaction, unit, function and byte count, or is an exception to it.
            let head = &bytes[start..end];
            assert_eq!((&head[..4], head[6]), (&good[..4], 7));
            assert!(
                head[7] == 0x83 && head.len() == 9 || head[7] == 3 && head[8] == 4 && head.len() == 13,
                "{bytes:?}"
            );
        }
        let _no_panic = Expect::of_tcp(&bytes, Lenient::default());
    }
}

#[test]
fn modbus_rtu_under_mutation() {
    let mut random = Random::new();
    let ask = Expect::of_rtu(&[7, 3, 0, 16, 0, 2]).unwrap();
    let mut good = vec![7, 3, 4, 1, 2, 3, 4];
    good.extend(frame::crc16(&good).to_le_bytes());
    for _ in 0..MUTATIONS {
        let bytes = random.mutate(&good);
        if let frame::Rtu::Answer { start, end, .. } = frame::rtu(&bytes, &ask) {
            assert!(frame::crc_fits(&bytes[start..end]) && bytes[start] == 7, "{bytes:?}");
        }
        let _no_panic = Expect::of_rtu(&bytes);
    }
}

fn reading() -> Reading {
    let point = |name: &str, form| PointMeta::new(name, PointKind::Number, Retention::Telemetry, form);
    let points = vec![
        point("a", Encoding::Exact(1)),
        point("b", Encoding::F32),
        point("c", Encoding::Text),
        point("d", Encoding::Bool),
    ];
    let stream = Stream::new("d", "s".into(), 1, points);
    let samples: Vec<Option<Sample>> = vec![
        Some(Ok(Value::Exact(Decimal::new(2302, 1)))),
        Some(Ok(Value::F32(1.5))),
        Some(Err(Cause::Timeout)),
        Some(Ok(Value::Bool(true))),
    ];
    let at = Stamp { mono: MonotonicMillis(123_456), wall: UnixMillis(1_700_000_000_000), trusted: true };
    Reading {
        stream,
        at,
        body: Body::Samples { samples, parts: vec![Part { len: 2, after_ms: 0 }, Part { len: 2, after_ms: 20 }] },
    }
}

#[test]
fn journal_rows_under_mutation() {
    let mut random = Random::new();
    let reading = reading();
    let good = codec::encode(&reading);
    assert_eq!(codec::decode(&good, &reading.stream).as_ref(), Some(&reading));
    for _ in 0..MUTATIONS {
        let bytes = random.mutate(&good);
        if bytes != good {
            assert_eq!(codec::decode(&bytes, &reading.stream), None, "the CRC sees it");
        }
        // And behind the CRC: what a newer or older version may have written on purpose.
        let sealed = codec::append_crc(random.mutate(&good[..good.len() - 4]));
        let _no_panic = codec::decode(&sealed, &reading.stream);
    }
}

#[test]
fn short_messages_under_mutation() {
    let mut random = Random::new();
    let goods = [
        "0891683108200505F0040D91683108001011F10000622111028540230131",
        "0891683108200505F0040D91683108001011F1000862211102854023086536523000200031",
        "0891683108200505F0440D91683108001011F100006221110285402309050003010101E8320A",
    ];
    for _ in 0..MUTATIONS {
        let good = goods[random.below(goods.len())];
        let bytes = random.mutate(good.as_bytes());
        let text = String::from_utf8_lossy(&bytes);
        if let Some((from, text)) = plantroom::channel::pdu::deliver(&text) {
            assert!(from.chars().count() <= 256 && text.chars().count() <= 300, "{from} {text}");
        }
    }
}

#[test]
fn journal_columns_under_mutation() {
    let mut random = Random::new();
    let exact = |m: i64| Some(Ok(Value::Exact(Decimal::new(m, 2))));
    let numbers: Vec<Option<Sample>> =
        (0..40).map(|i| if i % 9 == 4 { Some(Err(Cause::Busy)) } else { exact(i * i) }).collect();
    let texts: Vec<Option<Sample>> = (0..40).map(|i| Some(Ok(Value::Text(format!("t{}", i / 20).into())))).collect();
    let floats: Vec<Option<Sample>> = (0..40u16).map(|i| Some(Ok(Value::F32(f32::from(i) * 0.1)))).collect();
    let goods = [
        column::encode_samples(&numbers),
        column::encode_samples(&texts),
        column::encode_samples(&floats),
        column::encode_integers(&[1, 5, 9]),
    ];
    let offsets = column::encode_offsets(&[vec![0, 5], vec![0, 6]]);
    for i in 0..MUTATIONS {
        let good = &goods[random.below(goods.len())];
        assert!(column::decode_samples(&random.mutate(good), 40).is_none_or(|s| s.count() == 40));
        // Behind the CRC the compressed bytes themselves are foreign. Dearer, so fewer.
        if i % 10 == 0 {
            let sealed = codec::append_crc(random.mutate(&good[..good.len() - 4]));
            let _no_panic = column::decode_samples(&sealed, 40).map(Iterator::count);
            let _no_panic = column::decode_integers(&sealed, 3);
            let sealed = codec::append_crc(random.mutate(&offsets[..offsets.len() - 4]));
            let _no_panic = column::decode_offsets(&sealed, 2, 2);
            let _no_panic = aggregate::decode_aggregates(&sealed);
        }
    }
}

#[test]
fn words_that_are_too_few_are_no_value() {
    let line = SerialParams { baud: 9600, parity: Parity::Even, stop_bits: 1 };
    assert_eq!((line.bits_per_char(), line.silence_us()), (11, 4_011));
    let reads = [RegisterBlock {
        range: RegisterRange { register_type: RegisterType::Holding, address: 0, count: 1 },
        words: vec![1],
    }];
    let point = def(RegisterEncoding::Int { registers: 2, signed: false }, Order::Abcd, Decimal::ONE, Decimal::ZERO);
    assert_eq!(decode::decode(&point, &reads), None);
}

#[test]
fn warnings_under_mutation() {
    let mut random = Random::new();
    let goods = crate::flood::fixtures();
    for _ in 0..MUTATIONS {
        let (name, good) = &goods[random.below(goods.len())];
        match cap::read(&random.mutate(good)) {
            Ok(CapDocument::Warning(warning)) => {
                let corners = warning.infos.iter().flat_map(|info| &info.areas).flat_map(|area| &area.polygons);
                let is_on_earth = |at: &Coordinates| at.latitude.abs() <= 90.0 && at.longitude.abs() <= 180.0;
                assert!(corners.flatten().all(is_on_earth) && !warning.id.identifier.is_empty(), "{name}: {warning:?}");
            }
            Ok(CapDocument::List(list)) => assert!(list.len() <= 4, "{name}"),
            Err(refused) => assert!(refused.to_string().len() < 1_000, "{name}: {refused}"),
        }
    }
}
