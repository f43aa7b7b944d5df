//! Text from outside, before it reaches logs, terminals, chat services or mail.

/// Characters of a name or a remark at most.
pub const REMARK: usize = 40;
/// Characters of an alarm's key at most, before it is looked up.
pub const KEY: usize = 120;

/// One line of at most `most` characters, without control characters and marks of writing direction.
pub fn one_line(text: &str, most: usize) -> String {
    let is_hidden = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let mut out = String::new();
    for c in text.chars().filter(|c| !is_hidden(*c)) {
        // Any run of whitespace becomes one space.
        let c = if c.is_control() || c.is_whitespace() { ' ' } else { c };
        if c != ' ' || !(out.is_empty() || out.ends_with(' ')) {
            out.push(c);
        }
    }
    out.chars().take(most).collect::<String>().trim_end().to_string()
}

/// A number for people: at most three decimals, no trailing zeros.
pub fn format_number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// A value as a code, which is a whole number.
pub fn whole(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "codes are small")]
    let code = value as i64;
    (value.fract() == 0.0).then_some(code)
}

/// Bytes in hexadecimal digits, two each, without spaces.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_one_short_line_without_control_characters() {
        assert_eq!(one_line("  on\tmy\r\n\nway \u{1b}[31m", REMARK), "on my way [31m");
        assert_eq!(one_line("wang\u{202e}gnaw\u{0}\u{7f}\u{9b}", REMARK), "wanggnaw");
        assert_eq!(one_line(&"王".repeat(50), REMARK).chars().count(), 40);
        assert_eq!(one_line("", REMARK), "");
    }
}
