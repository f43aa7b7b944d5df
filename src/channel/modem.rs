//! Drives a GSM/LTE modem with AT commands on a serial port, in PDU mode.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_serial::{SerialPortBuilderExt as _, SerialStream};

use crate::channel::error::ModemError;
use crate::channel::pdu;

/// Timeout of most commands.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for the network to accept a message.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(40);
/// How long unsolicited output is drained after opening, and before a command (`QUICK`).
const SETTLE: Duration = Duration::from_millis(300);
const QUICK: Duration = Duration::from_millis(20);
/// Maximum length of a response, bytes.
const ANSWER_MAX: usize = 65_536;

/// An open serial port with a responding modem.
pub struct Modem {
    port: SerialStream,
}

/// The final result code of a response: `Some(true)` for success, `Some(false)` for an error, `None` if it has not arrived yet.
fn final_result(text: &str) -> Option<bool> {
    // Unsolicited lines may stand before and after it.
    text.lines().map(str::trim).find_map(|line| match line {
        "OK" => Some(true),
        "ERROR" | "NO CARRIER" | "BUSY" | "NO ANSWER" | "NO DIALTONE" => Some(false),
        _ if line.starts_with("+CMS ERROR") || line.starts_with("+CME ERROR") => Some(false),
        _ => None,
    })
}

impl Modem {
    /// Opens a port and configures the modem: echo off, PDU mode.
    ///
    /// # Errors
    /// The port cannot be opened, or no modem responds on it.
    pub async fn open(path: &str, baud: u32) -> Result<Self, ModemError> {
        let opened = tokio_serial::new(path, baud).open_native_async();
        let port = opened.map_err(|e| ModemError::Away(format!("cannot open {path}: {e}")))?;
        let mut modem = Self { port };
        // After a crash the modem may still wait for the text of a message; escape cancels that.
        modem.write(b"\x1b\r").await?;
        modem.drain(SETTLE).await;
        for set_up in ["ATE0", "AT+CMGF=0"] {
            modem.execute(set_up, RESPONSE_TIMEOUT).await.map_err(|failure| match failure {
                ModemError::Away(why) | ModemError::Refused(why) | ModemError::Silent(why) => {
                    ModemError::Away(format!("{path}: {why}"))
                }
            })?;
        }
        Ok(modem)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ModemError> {
        let written = tokio::time::timeout(RESPONSE_TIMEOUT, self.port.write_all(bytes)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(ModemError::Away(e.to_string())),
            Err(_) => Err(ModemError::Away("the port takes nothing".to_string())),
        }
    }

    /// Discards pending input, so that an unsolicited or late line is not taken for the response to the next command.
    async fn drain(&mut self, wait: Duration) {
        let mut buffer = [0u8; 512];
        while let Ok(Ok(n)) = tokio::time::timeout(wait, self.port.read(&mut buffer)).await {
            if n == 0 {
                return;
            }
        }
    }

    /// Reads until `is_end` returns true for the text so far.
    async fn read(&mut self, what: &str, wait: Duration, is_end: impl Fn(&str) -> bool) -> Result<String, ModemError> {
        let mut bytes = Vec::new();
        let reading = async {
            let mut buffer = [0u8; 512];
            loop {
                let n = self.port.read(&mut buffer).await?;
                if n == 0 || bytes.len() > ANSWER_MAX {
                    return Err(std::io::Error::other("the port is closed, or never stops"));
                }
                bytes.extend_from_slice(&buffer[..n]);
                if is_end(&String::from_utf8_lossy(&bytes)) {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(wait, reading).await {
            Ok(Ok(())) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(Err(e)) => Err(ModemError::Silent(format!("{what}: {e}"))),
            Err(_) => Err(ModemError::Silent(format!("{what}: no answer in {} s", wait.as_secs()))),
        }
    }

    /// Sends a command and returns its response.
    async fn execute(&mut self, command: &str, wait: Duration) -> Result<String, ModemError> {
        self.drain(QUICK).await;
        self.write(format!("{command}\r").as_bytes()).await?;
        let text = self.read(command, wait, |text| final_result(text).is_some()).await?;
        if final_result(&text) == Some(true) {
            return Ok(text);
        }
        let words = text.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
        Err(ModemError::Refused(format!("{command}: {words}")))
    }

    /// Sends a short message: what [`pdu::submit`] made of it.
    ///
    /// # Errors
    /// `Away` or `Refused`: it was not sent. `Silent`: it may have been sent.
    pub async fn send(&mut self, (pdu, length): (&str, usize)) -> Result<(), ModemError> {
        let command = format!("AT+CMGS={length}");
        self.drain(QUICK).await;
        self.write(format!("{command}\r").as_bytes()).await?;
        let is_end = |text: &str| text.trim_end().ends_with('>') || final_result(text).is_some();
        let prompt = self.read(&command, RESPONSE_TIMEOUT, is_end).await.map_err(|t| match t {
            // The text has not been transferred yet, so nothing was sent.
            ModemError::Silent(why) => ModemError::Away(why),
            other => other,
        })?;
        if !prompt.trim_end().ends_with('>') {
            return Err(ModemError::Refused(format!("{command}: {}", prompt.trim())));
        }
        self.write(format!("{pdu}\u{1a}").as_bytes()).await?;
        let answer = self.read("message", NETWORK_TIMEOUT, |text| final_result(text).is_some()).await?;
        if final_result(&answer) == Some(true) && answer.contains("+CMGS:") {
            Ok(())
        } else {
            Err(ModemError::Refused(format!("message: {}", answer.trim())))
        }
    }

    /// Reads the received messages as sender and text, and deletes them from the SIM card.
    ///
    /// # Errors
    /// The modem does not respond.
    pub async fn take_messages(&mut self) -> Result<Vec<(String, String)>, ModemError> {
        let text = self.execute("AT+CMGL=4", RESPONSE_TIMEOUT).await?;
        let mut out = Vec::new();
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        while let Some(line) = lines.next() {
            let Some(head) = line.strip_prefix("+CMGL:") else { continue };
            let index: Option<u32> = head.split(',').next().and_then(|n| n.trim().parse().ok());
            let (Some(index), Some(pdu)) = (index, lines.next()) else { continue };
            // A message that cannot be deleted is read again next time, which is harmless; those deleted already are returned.
            if self.execute(&format!("AT+CMGD={index}"), RESPONSE_TIMEOUT).await.is_err() && !out.is_empty() {
                return Ok(out);
            }
            out.extend(pdu::deliver(pdu));
        }
        Ok(out)
    }

    /// Places a voice call of at most `length` and hangs up, to wake somebody.
    ///
    /// # Errors
    /// The modem cannot place the call, or the network rejects it.
    pub async fn call(&mut self, to: &str, length: Duration) -> Result<(), ModemError> {
        // `;` makes it a voice call. The result code may come at once or when the call ends.
        self.write(format!("ATD{to};\r").as_bytes()).await?;
        let answered = self.read("call", length, |text| final_result(text) == Some(false)).await;
        self.execute("AT+CHUP", RESPONSE_TIMEOUT).await?;
        match answered {
            Ok(text) => Err(ModemError::Refused(format!("call: {}", text.trim()))),
            // No error until the timeout: it rang.
            Err(_) => Ok(()),
        }
    }
}
