//! Why a feed gives no warnings.

use thiserror::Error;

use crate::http::error::HttpError;
use crate::http::error_text;
use crate::intake::cap::CapError;
use crate::intake::json::JsonError;
use crate::intake::xml::BYTES_MAX;
use crate::model::failure::{Failure, FailureKind};

/// Why an answer or a document gives no warnings.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// The client cannot be built, or a file of its settings cannot be read.
    #[error("{0}")]
    Client(#[from] HttpError),
    /// No answer, or it broke off.
    #[error("{}", error_text(.0))]
    NoAnswer(#[from] reqwest::Error),
    /// The service answered with another status than success; where it says that it is elsewhere, where.
    #[error("HTTP status {0}{1}")]
    Status(u16, String),
    /// An answer beyond the limit of bytes.
    #[error("it has more than {BYTES_MAX} bytes")]
    TooLarge,
    /// No CAP document and no list of them.
    #[error("{0}")]
    Cap(#[from] CapError),
    /// Not the JSON that the mapping describes.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// A list where a warning was wanted.
    #[error("it is a list of warnings, not one: send or link the warnings themselves")]
    List,
    /// A document of a list is somewhere else than the list.
    #[error("it is on another host than the list: `hosts` of [[feed]] names those that are believed")]
    ForeignHost,
    /// A document of a list did not come.
    #[error("a document of its list does not come: {0}")]
    Document(Box<IntakeError>),
    /// The configured address is none.
    #[error("{0} is no address")]
    Address(String),
    /// Reading it was given up, since the process stops.
    #[error("reading it was given up: {0}")]
    GivenUp(#[from] tokio::task::JoinError),
}

impl Failure for IntakeError {
    fn kind(&self) -> FailureKind {
        match self {
            IntakeError::Client(error) => error.kind(),
            IntakeError::NoAnswer(_) | IntakeError::Status(..) | IntakeError::GivenUp(_) => FailureKind::Retry,
            IntakeError::Document(why) => why.kind(),
            _ => FailureKind::BadInput,
        }
    }
}
