//! Strings: up to the first NUL, without blanks at their ends; a control character or an invalid byte makes them bad.

use rust_decimal::Decimal;

use crate::decode::{in_range_exact, product_of_factors};
use crate::model::quality::Cause;
use crate::model::reading::Sample;
use crate::model::registers::RegisterBlock;
use crate::model::value::Value;
use crate::profile::{CharPacking, Charset, PointDef};

/// The text in these words, or the number that it contains.
pub fn text(
    point: &PointDef,
    words: &[u16],
    chars: CharPacking,
    charset: Charset,
    is_number: bool,
    reads: &[RegisterBlock],
) -> Sample {
    let mut bytes: Vec<u8> = Vec::with_capacity(words.len() * 2);
    for word in words {
        let [high, low] = word.to_be_bytes();
        match chars {
            CharPacking::Two => bytes.extend([high, low]),
            CharPacking::TwoSwapped => bytes.extend([low, high]),
            CharPacking::One => bytes.push(low),
        }
    }
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let decoded = characters(&bytes[..end], charset)?;
    let text = decoded.trim();
    if text.chars().any(char::is_control) {
        return Err(Cause::BadText);
    }
    if let Some((_, cause)) = point.text_sentinels.iter().find(|(t, _)| **t == *text) {
        return Err(*cause);
    }
    if is_number { number(point, text, reads) } else { Ok(Value::Text(text.into())) }
}

fn characters(bytes: &[u8], charset: Charset) -> Result<String, Cause> {
    match charset {
        Charset::Utf8 => std::str::from_utf8(bytes).map(str::to_string).map_err(|_| Cause::BadText),
        Charset::Latin1 => Ok(bytes.iter().map(|b| char::from(*b)).collect()),
        Charset::Gbk => {
            let text = encoding_rs::GBK.decode_without_bom_handling_and_without_replacement(bytes);
            text.map(std::borrow::Cow::into_owned).ok_or(Cause::BadText)
        }
    }
}

/// A number as devices write it: sign, digits, one decimal point; exact.
fn number(point: &PointDef, text: &str, reads: &[RegisterBlock]) -> Sample {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-');
    let value = Decimal::from_str_exact(digits).ok().filter(|_| is_plain).ok_or(Cause::BadText)?;
    let factor = product_of_factors(point, reads)?.unwrap_or(Decimal::ONE);
    let scaled = value.checked_mul(point.scale).and_then(|v| v.checked_mul(factor)?.checked_add(point.offset));
    in_range_exact(point, scaled.ok_or(Cause::Overflow)?).map(Value::Exact)
}
