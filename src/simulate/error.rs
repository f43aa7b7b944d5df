//! Errors of the simulated plant.

use crate::model::failure::{Failure, FailureKind};

/// Why a plant or a recording cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulateError {
    /// A line of a recording.
    #[error("line {line}: {problem}")]
    Recording { line: usize, problem: String },
    #[error("cannot listen on 127.0.0.1:{port}: {reason}")]
    Listen { port: u16, reason: String },
    #[error("cannot make a pseudo-terminal: {0}")]
    Terminal(String),
}

impl Failure for SimulateError {
    fn kind(&self) -> FailureKind {
        match self {
            SimulateError::Recording { .. } => FailureKind::BadInput,
            SimulateError::Listen { .. } | SimulateError::Terminal(_) => FailureKind::Retry,
        }
    }
}
