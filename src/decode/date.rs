//! Date and time in registers, as the text `2026-11-26 01:02:03`; a date that does not exist is bad.

use crate::decode::combine_words;
use crate::model::quality::Cause;
use crate::model::reading::Sample;
use crate::model::value::Value;
use crate::profile::{DateLayout, Order};

/// The date that these words hold.
pub fn date(words: &[u16], layout: DateLayout, order: Order) -> Sample {
    let moment = match layout {
        DateLayout::Unix => {
            let seconds = i64::try_from(combine_words(words, order)).map_err(|_| Cause::BadText)?;
            let at = jiff::Timestamp::from_second(seconds).map_err(|_| Cause::BadText)?;
            Some(at.to_zoned(jiff::tz::TimeZone::UTC).datetime())
        }
        DateLayout::Words => match words {
            [year, rest @ ..] if rest.len() == 5 => {
                let year = if *year < 100 { year + 2_000 } else { *year };
                let small = |i: usize| u8::try_from(rest[i]).unwrap_or(u8::MAX);
                moment(year, [small(0), small(1), small(2), small(3), small(4)])
            }
            _ => None,
        },
        DateLayout::Bytes | DateLayout::Bcd => {
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
            let bytes = if layout == DateLayout::Bcd { from_bcd(&bytes)? } else { bytes };
            match bytes[..] {
                [year, month, day, hour, minute, second] => {
                    moment(2_000 + u16::from(year), [month, day, hour, minute, second])
                }
                _ => None,
            }
        }
        DateLayout::Iec => match words {
            [year, date, time, millis] => iec(*year, date.to_be_bytes(), time.to_be_bytes(), *millis),
            _ => None,
        },
    };
    let moment = moment.ok_or(Cause::BadText)?;
    Ok(Value::Text(moment.strftime("%Y-%m-%d %H:%M:%S").to_string().into()))
}

fn moment(year: u16, [month, day, hour, minute, second]: [u8; 5]) -> Option<jiff::civil::DateTime> {
    let small = |n: u8| i8::try_from(n).ok();
    let year = i16::try_from(year).ok().filter(|y| *y <= 9_999)?;
    jiff::civil::DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?, 0).ok()
}

/// IEC 60870-5-4: flags in the upper bits are ignored, except the one that marks the time as invalid (bit 7 of the minute).
fn iec(year: u16, [month, day]: [u8; 2], [hour, minute]: [u8; 2], millis: u16) -> Option<jiff::civil::DateTime> {
    if minute & 0x80 != 0 {
        return None;
    }
    let second = u8::try_from(millis / 1_000).ok()?;
    moment(2_000 + (year & 0x7F), [month & 0x0F, day & 0x1F, hour & 0x1F, minute & 0x3F, second])
}

fn from_bcd(bytes: &[u8]) -> Result<Vec<u8>, Cause> {
    let digits = |b: &u8| if b >> 4 > 9 || b & 0xF > 9 { Err(Cause::BadDigits) } else { Ok((b >> 4) * 10 + (b & 0xF)) };
    bytes.iter().map(digits).collect()
}
