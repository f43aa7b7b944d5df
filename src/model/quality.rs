//! Why a sample is bad. A closed list: the codes are written to disk and to the time-series store and never change meaning.

use serde::{Deserialize, Serialize};

macro_rules! causes {
    ($( $code:literal $name:ident $word:literal $says:literal; )*) => {
        /// The cause of a bad sample.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum Cause { $( #[doc = $says] $name = $code, )* }

        impl Cause {
            /// Every cause, in order of its code.
            pub const ALL: &'static [Cause] = &[ $( Cause::$name, )* ];

            /// The word used in MQTT, history and profiles.
            pub const fn word(self) -> &'static str {
                match self { $( Cause::$name => $word, )* }
            }

            /// One sentence for a person.
            pub const fn says(self) -> &'static str {
                match self { $( Cause::$name => $says, )* }
            }

            /// The number used on disk and in the time-series store.
            pub const fn code(self) -> u8 { self as u8 }

            /// The cause of a number from disk; `None` if a newer version wrote it.
            pub const fn from_code(code: u8) -> Option<Cause> {
                match code { $( $code => Some(Cause::$name), )* _ => None }
            }

            /// The cause of a word.
            pub fn from_word(word: &str) -> Option<Cause> {
                match word { $( $word => Some(Cause::$name), )* _ => None }
            }
        }
    };
}

causes! {
    1 LinkDown "link_down" "The connection or the serial port is not open.";
    2 Timeout "timeout" "No answer came within the time allowed.";
    3 UnitOffline "unit_offline" "The unit has not answered for a while and is only probed.";
    4 BadFrame "bad_frame" "An answer came that was not one to this request.";
    5 IllegalFunction "illegal_function" "The unit refused the function (exception 1).";
    6 IllegalAddress "illegal_address" "The unit refused the address (exception 2).";
    7 IllegalValue "illegal_value" "The unit refused the request (exception 3).";
    8 DeviceFailure "device_failure" "The unit reported a failure (exception 4).";
    9 Busy "busy" "The unit was still busy (exception 5 or 6) when the time allowed was over.";
    10 GatewayNoPath "gateway_no_path" "The Modbus gateway has no path to the unit (exception 10).";
    11 GatewayNoAnswer "gateway_no_answer" "The Modbus gateway got no answer from the unit (exception 11).";
    12 OtherException "other_exception" "The unit answered with another exception.";
    13 Unsettled "unsettled" "Reads that were in doubt did not agree.";
    14 Skipped "skipped" "The bus had no time for this read.";
    15 Closed "closed" "The unit's side closed the connection instead of answering.";
    20 NotAvailable "not_available" "The device says that it does not have this value.";
    21 NotFitted "not_fitted" "The device says that the sensor is not fitted.";
    22 OverRange "over_range" "The device says that the value is above its range.";
    23 UnderRange "under_range" "The device says that the value is below its range.";
    24 SensorFault "sensor_fault" "The device reports a sensor fault.";
    25 TransducerFault "transducer_fault" "The device reports a transducer fault.";
    26 ShortCircuit "short_circuit" "The device reports a short circuit at the sensor.";
    27 OpenCircuit "open_circuit" "The device reports an open circuit at the sensor.";
    28 BadData "bad_data" "The device marks the value as bad.";
    29 StartingUp "starting_up" "The device is starting up.";
    40 OutOfRange "out_of_range" "The value is outside the range that can be true.";
    41 NotFinite "not_finite" "The float is not a number or infinite.";
    42 NoScale "no_scale" "The register that gives the scale holds no known value, or was not read.";
    43 BadDigits "bad_digits" "The BCD digits are not decimal.";
    44 Overflow "overflow" "The scaled value does not fit.";
    45 BadText "bad_text" "The text is not readable.";
    60 InputBad "input_bad" "A point that this one is derived from is bad.";
    61 Stale "stale" "The last reading is too old.";
    62 CounterZero "counter_zero" "The register reads 0 where it did not; whether that is true is not known yet.";
    63 CounterFell "counter_fell" "The register fell and has not come back: reset, exchange or fault, and what was used is not known.";
    64 CounterJump "counter_jump" "The register rose by more than can be true in that time.";
}

impl Cause {
    /// Whether a device's own special value may carry this reason (the closed list of `docs/profiles.md`).
    pub const fn is_sentinel(self) -> bool {
        let code = self.code();
        code >= 20 && code <= 29
    }

    /// Whether it may concern only this read, so that a shorter read may succeed.
    pub const fn is_of_block(self) -> bool {
        matches!(
            self,
            Cause::IllegalFunction | Cause::IllegalAddress | Cause::IllegalValue | Cause::DeviceFailure | Cause::Closed
        )
    }

    /// Whether the unit itself answered: it is alive, whatever it said.
    pub const fn unit_answered(self) -> bool {
        let code = self.code();
        (code >= 5 && code <= 9) || code == 12 || (code >= 20 && code < 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_words_are_unique_and_come_back() {
        for &cause in Cause::ALL {
            assert_eq!(Cause::from_code(cause.code()), Some(cause));
            assert_eq!(Cause::from_word(cause.word()), Some(cause));
        }
        assert_eq!(Cause::from_code(0), None, "0 is good");
        assert_eq!(Cause::from_code(255), None, "255 marks a thinned sample on disk");
    }
}
