//! The errors of the driver and the server, sorted into the kinds that callers handle differently.

use std::error::Error as _;
use std::fmt;

use redis::{ErrorKind as Driver, RedisError};

use crate::error::{Error, ErrorKind};

/// An error of a call or of connecting.
pub(super) fn from_driver(error: RedisError) -> Error {
    // Only the text tells this error from others.
    if error.to_string().contains("refused to switch database") {
        return Error::invalid("redis", "names a database that the server does not have").caused_by(error);
    }
    let kind = match (error.kind(), error.code()) {
        (Driver::AuthenticationFailed, _) | (_, Some("NOPERM" | "WRONGPASS" | "NOAUTH" | "DENIED")) => {
            ErrorKind::PermissionDenied
        }
        (Driver::InvalidClientConfig, _) => ErrorKind::InvalidInput,
        (Driver::UnexpectedReturnType | Driver::Parse, _) => ErrorKind::Corrupt,
        _ if is_refused_tls(&error) => ErrorKind::PermissionDenied,
        // Connections, timeouts, a server that loads, is a replica, or has no memory.
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("Redis: {error}")).caused_by(error)
}

/// The cause of a call that was not sent, because its connection broke while it waited.
#[derive(Debug)]
struct NotSent;

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was not sent")
    }
}

impl std::error::Error for NotSent {}

pub(super) fn not_sent() -> Error {
    Error::new(ErrorKind::Unavailable, "Redis does not answer; it is tried again").caused_by(NotSent)
}

/// Whether a call certainly did not run: it was not sent, or the server has said so. In every other case it may have
/// run.
pub(super) fn is_not_run(error: &Error) -> bool {
    if error.source().is_some_and(|source| source.is::<NotSent>()) {
        return true;
    }
    let driver = error.source().and_then(|source| source.downcast_ref::<RedisError>());
    // The server has refused a command within the script: the commands before it are done, and none of them is undone.
    if driver.is_some_and(|error| error.to_string().contains("@user_script")) {
        return false;
    }
    let code = driver.and_then(RedisError::code);
    // With these codes the server has refused the script before it began; see the first line of `chunk.lua`.
    code.is_some_and(|code| {
        [
            "OOM",
            "MISCONF",
            "READONLY",
            "NOREPLICAS",
            "NOPERM",
            "NOSCRIPT",
            "LOADING",
            "MASTERDOWN",
            "BUSY",
            "NOAUTH",
        ]
        .contains(&code)
    })
}

/// Whether TLS was refused. Only their text tells the driver's TLS errors from others; a connection that breaks off
/// is none of them.
fn is_refused_tls(error: &RedisError) -> bool {
    let text = error.to_string();
    let refused = ["certificate", "InvalidContentType", "corrupt message", "received fatal alert"];
    error.is_io_error() && refused.iter().any(|words| text.contains(words))
}
