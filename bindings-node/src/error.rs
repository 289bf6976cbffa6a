//! Errors as `errors.cjs` makes classes of them.

use std::collections::HashMap;

use napi_derive::napi;
use trust_engine::{Error, ErrorKind};

use crate::output::Value;

/// An error of the engine.
#[napi(object, object_from_js = false)]
pub struct Failure {
    /// `TE_INVALID_INPUT`…
    pub failure: String,
    /// One line.
    pub message: String,
    /// Whether to try again.
    pub retryable: bool,
    /// Values that help to find the cause.
    pub details: HashMap<String, String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            failure: error.kind().code().into(),
            message: error.to_string(),
            retryable: error.is_retryable(),
            details: error.context().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

pub(crate) fn failed(error: Error) -> Value {
    Value::B(Failure::from(&error))
}

/// The error where an engine cannot be used.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the engine is not open")
}

/// The error of a call that panicked: a defect of ours.
pub(crate) fn panicked() -> Error {
    Error::new(ErrorKind::Corrupt, "the call failed in a way that it must not; please report it")
}
