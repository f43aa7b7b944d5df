//! Errors of opening a link. Failed requests have a [`crate::model::quality::Cause`] instead.

use crate::model::failure::{Failure, FailureKind};

/// Why a port cannot be opened or a connection cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The name has no address.
    #[error("cannot find the address of {address}: {reason}")]
    NoAddress { address: String, reason: String },
    /// No address of the name takes a connection.
    #[error("cannot connect to {address}: {reason}")]
    NoConnection { address: String, reason: String },
    /// The serial port.
    #[error("cannot open {path}: {reason} (is it there, does another program hold it, may we open it?)")]
    Port { path: String, reason: String },
    /// The operating system gives no timer.
    #[error("cannot make a timer: {0}")]
    Timer(String),
    /// A simulated bus.
    #[error("cannot open the simulated bus: {0}")]
    Simulated(String),
}

impl Failure for LinkError {
    fn kind(&self) -> FailureKind {
        FailureKind::Retry
    }
}
