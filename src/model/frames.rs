//! Text format of recorded frames, one per line: written by `read --record`, read by `simulate --play`.
//!
//! `0.012345 em-bus tcp < 00 01 00 00 00 07 01 03 04 00 01 00 02`: seconds, link, framing (`tcp` or `rtu`), direction (`>` sent by
//! us), bytes.

/// The first line of a recording, with the version of the format.
pub const HEAD: &str = "# plantroom frames 1";

/// Bytes that were sent or received together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Microseconds since the record began.
    pub at_us: u64,
    /// Name of the link in the configuration.
    pub link: String,
    /// RTU framing; else Modbus TCP.
    pub is_rtu: bool,
    /// Sent by this side; else received.
    pub is_sent: bool,
    /// One frame or a part of one, as read from or written to the transport.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// One line, without the line end.
    pub fn to_line(&self) -> String {
        let (s, us) = (self.at_us / 1_000_000, self.at_us % 1_000_000);
        let framing = if self.is_rtu { "rtu" } else { "tcp" };
        let hex: Vec<String> = self.bytes.iter().map(|b| format!("{b:02x}")).collect();
        let arrow = if self.is_sent { '>' } else { '<' };
        format!("{s}.{us:06} {} {framing} {arrow} {}", self.link, hex.join(" "))
    }

    /// The inverse of [`Frame::to_line`]; `None` if the line is malformed.
    pub fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (s, us) = words.next()?.split_once('.')?;
        let at_us = s.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(us.parse().ok()?)?;
        let link = words.next()?.to_string();
        let is_rtu = match words.next()? {
            "rtu" => true,
            "tcp" => false,
            _ => return None,
        };
        let is_sent = match words.next()? {
            ">" => true,
            "<" => false,
            _ => return None,
        };
        let bytes = words.map(|w| u8::from_str_radix(w, 16).ok()).collect::<Option<Vec<u8>>>()?;
        Some(Self { at_us, link, is_rtu, is_sent, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back() {
        let frame =
            Frame { at_us: 12_000_345, link: "bus-1".into(), is_rtu: true, is_sent: false, bytes: vec![1, 0xab] };
        assert_eq!(frame.to_line(), "12.000345 bus-1 rtu < 01 ab");
        assert_eq!(Frame::from_line(&frame.to_line()), Some(frame));
        for bad in ["", "# x", "1.0 l tcp ? 00", "1.0 l udp > 00", "1.0 l tcp > zz", "1 l tcp > 00"] {
            assert_eq!(Frame::from_line(bad), None, "{bad}");
        }
    }
}
