//! `plantroom read BUS --unit … --address …`: raw registers of any unit without a profile, in every type and word order beside each other.

use crate::cli::bus::{self, BusAccess};
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output, runtime};
use crate::clock::{self, Clock};
use crate::decode::word_order::is_plausible;
use crate::model::line::SerialParams;
use crate::model::quality::Cause;
use crate::model::registers::{RegisterBlock, RegisterRange, RegisterType};
use crate::model::time::UnixMillis;
use crate::model::value::Value;
use crate::scan::RegisterReader as _;

/// Which registers are read, where a bus is named instead of a device.
#[derive(Debug, clap::Args)]
pub struct RawArgs {
    /// Unit id, where a bus is named instead of a device.
    #[arg(long, value_name = "ID")]
    pub unit: Option<u8>,
    /// First address on the wire: 0 is what documents call 40001 (function 3), 30001 (function 4), 1 (function 1) or 10001 (function 2).
    #[arg(long, default_value_t = 0)]
    address: u16,
    /// How many registers or bits.
    #[arg(long, default_value_t = 10)]
    count: u16,
    /// 1: coils, 2: discrete inputs, 3: holding registers, 4: input registers.
    #[arg(long, default_value_t = 3)]
    function: u8,
    /// Serial: speed.
    #[arg(long, default_value_t = 9_600)]
    baud: u32,
    /// Serial: none, even or odd.
    #[arg(long, default_value = "none")]
    parity: String,
    /// Longest wait for an answer, milliseconds.
    #[arg(long, default_value_t = 1_000)]
    timeout_ms: u64,
}

/// Whether a text names a bus, and not a device.
pub fn is_bus(text: &str) -> bool {
    ["tcp://", "rtu://", "serial:"].iter().any(|scheme| text.starts_with(scheme))
}

pub fn run(global: &Global, bus_text: &str, args: &RawArgs, format: output::Format) -> CommandOutcome {
    let Some(unit) = args.unit else {
        return Err(
            CommandFailure::usage("which unit of the bus?").hint("--unit 1; `plantroom scan` finds who answers")
        );
    };
    let Some(register_type) = RegisterType::of(args.function) else {
        return Err(CommandFailure::usage(format!("function {} does not read", args.function)).hint("1, 2, 3 or 4"));
    };
    let most: u16 = if register_type.is_bits() { 2_000 } else { 125 };
    if !(1..=most).contains(&args.count) || u32::from(args.address) + u32::from(args.count) > 65_536 {
        let what = format!("{} from address {} cannot be read at once", args.count, args.address);
        return Err(CommandFailure::usage(what).hint(format!("--count 1 to {most}, and no address beyond 65535")));
    }
    let range = RegisterRange { register_type, address: args.address, count: args.count };
    let line = SerialParams { baud: args.baud, parity: bus::parity(&args.parity)?, stop_bits: 1 };
    let transport = bus::transport(bus_text, line)?;
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let read = runtime()?.block_on(async {
        let polled_links = bus::gateway_links(global).await?;
        let mut bus = BusAccess::connect(global, &polled_links, bus::settings(&transport, args.timeout_ms), clock);
        bus.open().await.map_err(|e| CommandFailure::caused(format!("{bus_text} cannot be opened"), &e))?;
        Ok::<_, CommandFailure>(bus.read(unit, range, args.timeout_ms, 0).await)
    })?;
    let block = read.map_err(|cause| failure(unit, &range, cause))?;
    if register_type.is_bits() {
        let row = |(i, bit): (usize, &u16)| vec![address(&range, i), bit.to_string()];
        let rows: Vec<Vec<String>> = block.words.iter().enumerate().map(row).collect();
        output::list(format, &["address", "bit"], &rows);
    } else {
        let head = [
            "address", "hex", "u16", "i16", "u32 ABCD", "i32 ABCD", "f32 ABCD", "u32 CDAB", "f32 CDAB", "f32 BADC",
            "f32 DCBA", "text",
        ];
        let rows: Vec<Vec<String>> = (0..block.words.len()).map(|i| row(&block, i)).collect();
        output::list(format, &head, &rows);
    }
    Ok(())
}

fn address(range: &RegisterRange, index: usize) -> String {
    (usize::from(range.address) + index).to_string()
}

/// One register in every type that begins with it.
fn row(block: &RegisterBlock, i: usize) -> Vec<String> {
    let word = block.words[i];
    let mut out =
        vec![address(&block.range, i), format!("{word:04x}"), word.to_string(), word.cast_signed().to_string()];
    let [a, b] = word.to_be_bytes();
    match block.words.get(i + 1).map(|next| next.to_be_bytes()) {
        Some([c, d]) => {
            let float = |bytes: [u8; 4]| {
                let float = f32::from_be_bytes(bytes);
                // Seven digits are all that it has; what is far from any quantity of a building is shown short.
                if is_plausible(float.into()) { Value::F32(float).to_string() } else { format!("{float:.1e}") }
            };
            out.push(u32::from_be_bytes([a, b, c, d]).to_string());
            out.push(i32::from_be_bytes([a, b, c, d]).to_string());
            out.push(float([a, b, c, d]));
            out.push(u32::from_be_bytes([c, d, a, b]).to_string());
            out.extend([[c, d, a, b], [b, a, d, c], [d, c, b, a]].map(float));
        }
        None => out.extend(std::iter::repeat_n(String::new(), 7)),
    }
    out.push([a, b].map(|byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }).iter().collect());
    out
}

fn failure(unit: u8, range: &RegisterRange, cause: Cause) -> CommandFailure {
    let (first, last) = (range.address, u32::from(range.address) + u32::from(range.count.max(1)) - 1);
    let what = format!("unit {unit} gives nothing for {first} to {last} (function {})", range.register_type.function());
    let other = if range.register_type == RegisterType::Input { 3 } else { 4 };
    let hint = match cause {
        Cause::IllegalAddress | Cause::IllegalFunction | Cause::IllegalValue => format!(
            "it is there and refuses: is the address right? Documents count from 40001 where the wire counts from 0; try --function {other}, a smaller --count"
        ),
        Cause::Timeout => {
            "nobody answers with this unit id: `plantroom scan` tries others; on a serial line --baud and --parity"
                .to_string()
        }
        _ => "is the way to it right?".to_string(),
    };
    CommandFailure::later(what).because(cause.says()).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_shown_in_every_type() {
        let [a, b] = [0x4366, 0x8000]; // 230.5 as ABCD
        let range = RegisterRange { register_type: RegisterType::Holding, address: 99, count: 3 };
        let cells = row(&RegisterBlock { range, words: vec![a, b, 0xFFFE] }, 0);
        assert_eq!(cells[..7], ["99", "4366", "17254", "17254", "1130790912", "1130790912", "230.5"].map(String::from));
        let swapped = row(&RegisterBlock { range, words: vec![b, a, 0] }, 0);
        assert_eq!((swapped[6].as_str(), swapped[8].as_str()), ("-2.4e-41", "230.5"), "CDAB gives 230.5");
        let last = row(&RegisterBlock { range, words: vec![a, b, 0xFFFE] }, 2);
        assert_eq!((last[3].as_str(), last[4].as_str(), last.len()), ("-2", "", 12));
    }
}
