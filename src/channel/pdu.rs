//! Encodes and decodes SMS PDUs (3GPP TS 23.040): SMS-SUBMIT in UCS-2, SMS-DELIVER in UCS-2 or the 7-bit alphabet.

use crate::channel::error::ChannelError;

/// Maximum length of one short message, UTF-16 code units.
pub const MESSAGE_MAX: usize = 70;

/// Encodes an SMS-SUBMIT: the PDU in hexadecimal and the length in octets that `AT+CMGS` takes. Text beyond one message is cut.
///
/// # Errors
/// `to` is no telephone number.
pub fn submit(to: &str, text: &str) -> Result<(String, usize), ChannelError> {
    let digits = to.trim_start_matches('+');
    if digits.is_empty() || digits.len() > 20 || !digits.chars().all(|c| c.is_ascii_digit()) {
        return Err(ChannelError::Address(format!("`{to}` is no telephone number")));
    }
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut most = units.len().min(MESSAGE_MAX);
    if most < units.len() && (0xD800..0xDC00).contains(&units[most - 1]) {
        // A surrogate pair must not be split.
        most -= 1;
    }
    let data: Vec<u8> = units[..most].iter().flat_map(|u| u.to_be_bytes()).collect();
    // Service centre of the SIM card; SMS-SUBMIT with relative validity; the modem assigns the message reference.
    let mut pdu: Vec<u8> = vec![0x00, 0x11, 0x00];
    #[expect(clippy::cast_possible_truncation, reason = "at most 20 digits, at most 140 octets")]
    let (digit_count, octets) = (digits.len() as u8, data.len() as u8);
    pdu.push(digit_count);
    pdu.push(if to.starts_with('+') { 0x91 } else { 0x81 });
    pdu.extend(swapped(digits));
    // Default protocol identifier; UCS-2; validity period of one day.
    pdu.extend([0x00, 0x08, 0xA7, octets]);
    pdu.extend(data);
    let length = pdu.len() - 1;
    Ok((pdu.iter().map(|b| format!("{b:02X}")).collect(), length))
}

/// Semi-octets: two digits per byte, low nibble first, padded with 0xF.
fn swapped(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().map(|b| b - b'0').collect();
    digits.chunks(2).map(|pair| pair.get(1).copied().unwrap_or(0x0F) << 4 | pair[0]).collect()
}

/// Decodes an SMS-DELIVER into sender and text; `None` for anything else, 8-bit data included.
pub fn deliver(hex: &str) -> Option<(String, String)> {
    let hex = hex.trim();
    if !hex.len().is_multiple_of(2) || hex.len() > 1_024 || !hex.is_ascii() {
        return None;
    }
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()).collect::<Option<_>>()?;
    let mut rest = bytes.as_slice();
    let mut take = |n: usize| {
        let (head, tail) = rest.split_at_checked(n)?;
        rest = tail;
        Some(head)
    };
    let centre = usize::from(take(1)?[0]);
    take(centre)?;
    let first = take(1)?[0];
    if first & 0x03 != 0 {
        return None;
    }
    let (count, kind) = (usize::from(take(1)?[0]), take(1)?[0]);
    let address = take(count.div_ceil(2))?;
    let from = if kind & 0x70 == 0x50 {
        septets(address, count * 4 / 7, 0)
    } else {
        let digits: String = address
            .iter()
            .flat_map(|b| [b & 0x0F, b >> 4])
            .take(count)
            .filter_map(|d| char::from_digit(u32::from(d), 10))
            .collect();
        if kind & 0x70 == 0x10 { format!("+{digits}") } else { digits }
    };
    let coding = take(2)?[1];
    take(7)?;
    let length = usize::from(take(1)?[0]);
    let has_header = first & 0x40 != 0;
    let is_wide = coding & 0x0C == 0x08;
    if coding & 0x0C == 0x04 {
        return None;
    }
    let octets = if is_wide { length } else { (length * 7).div_ceil(8) };
    let data = take(octets)?;
    let header = if has_header { usize::from(*data.first()?) + 1 } else { 0 };
    let text = if is_wide {
        let units = data.get(header..)?.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    } else {
        septets(data, length, (header * 8).div_ceil(7))
    };
    Some((from, text))
}

/// Unpacks 7-bit characters `from..count`. Characters of the GSM alphabet that differ from ASCII become `?`, except `@` and `$`: replies
/// are digits and letters.
fn septets(bytes: &[u8], count: usize, from: usize) -> String {
    let bit = |i: usize| bytes.get(i / 8).is_some_and(|b| b >> (i % 8) & 1 == 1);
    let of = |n: usize| (0..7).fold(0u8, |c, k| c | u8::from(bit(n * 7 + k)) << k);
    let character = |c: u8| match c {
        0x20..=0x23 | 0x25..=0x3F | 0x41..=0x5A | 0x61..=0x7A => char::from(c),
        0x00 => '@',
        0x02 => '$',
        0x0A | 0x0D => '\n',
        _ => '?',
    };
    (from..count).map(of).map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_in_ucs2() {
        let (pdu, length) = submit("+8613800001111", "[P1] 水").unwrap();
        assert_eq!(pdu, "0011000D91683108001011F1000 8A70C005B005000310 05D00206C34".replace(' ', ""));
        assert_eq!(length, pdu.len() / 2 - 1);
        let long = "水".repeat(100);
        assert_eq!(submit("13800001111", &long).unwrap().1, 14 + 140);
        let pairs = "😀".repeat(36);
        let odd = format!("a{pairs}");
        assert_eq!(submit("1380000", &odd).unwrap().1, 12 + 138, "no half of a character");
        assert!(submit("call me", "x").is_err() && submit("", "x").is_err());
    }

    #[test]
    fn in_as_it_comes() {
        // "1" in seven bits from +8613800001111, and "收到 1" in UCS-2.
        let head = "0891683108200505F0040D91683108001011F1";
        assert_eq!(deliver(&format!("{head}0000622111028540230131")).unwrap(), ("+8613800001111".into(), "1".into()));
        let wide = format!("{head}000862211102854023086536523000200031");
        assert_eq!(deliver(&wide).unwrap(), ("+8613800001111".into(), "收到 1".into()));
        // "hellohello", from 3GPP's favourite example.
        assert_eq!(septets(&[0xE8, 0x32, 0x9B, 0xFD, 0x46, 0x97, 0xD9, 0xEC, 0x37], 10, 0), "hellohello");
        for bad in ["", "00", "zz", "0", "08916831", &format!("{head}0004622111028540230131")] {
            assert_eq!(deliver(bad), None, "{bad}");
        }
    }
}
