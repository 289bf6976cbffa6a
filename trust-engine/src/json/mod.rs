//! The calls of the REST contract as JSON: the body of a request goes in, the body of its answer comes out. Bodies are
//! parsed once and answers written once, so a host that holds bytes and wants bytes needs no objects in between.
//!
//! Bodies are read strictly: at most 64 KiB of UTF-8, no unknown and no repeated names, metadata at most 8 levels deep,
//! and no integer that would lose digits. A mistake gives an error of the contract, with the field and the issue.

mod answer;
mod body;
mod call;
mod caller;
mod calls;
mod error;
mod options;
mod parameters;
mod permission;
mod read;
mod receipt;
mod record;
mod schema;
mod strict;
mod subscription;
mod table;
mod verbs;

use crate::error::{Error, Result};

pub use answer::Answer;
pub use caller::Caller;
pub use calls::JsonCalls;
pub use parameters::{Kind, Parameter};

pub use permission::Permission;
pub use schema::schemas;
pub use subscription::{SharedSubscription, Subscription};
pub use table::{CALLS, Call, Route};

/// Largest body in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The content types of answers.
const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// Longest id of a request in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Reads an object of JSON as strictly as the objects in bodies: no name may repeat, at any depth, and no number may lose digits.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the name `field`.
pub fn object(field: &'static str, text: &str) -> Result<serde_json::Map<String, serde_json::Value>> {
    match read::read_as::<strict::StrictMap>(field, text.as_bytes()) {
        Ok(object) => Ok(object.0),
        Err(error) => Err(Error::invalid(field, error.message().trim_start_matches([':', ' ']).to_owned())),
    }
}
