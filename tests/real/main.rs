//! The real binary against real parts: Mosquitto, pymodbus, mbpoll, socat. `scripts/setup-tests.sh` installs them; where one
//! is missing the test fails and says so.

mod broker;
mod commands;
mod crash;
mod faults;
mod field;
mod support;
