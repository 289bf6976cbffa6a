//! What the driver and the server say, sorted into the kinds that callers handle differently.

use std::error::Error as _;

use redis::{ErrorKind as Driver, RedisError, ServerErrorKind as Server};

use crate::error::{Error, ErrorKind};

/// An error of a call or of connecting.
pub(super) fn from_driver(error: RedisError) -> Error {
    // Only its text tells.
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

/// Whether a server is only away for now, as far as one can tell.
pub(super) fn is_away(error: &Error) -> bool {
    let Some(driver) = error.source().and_then(|source| source.downcast_ref::<RedisError>()) else {
        return false;
    };
    error.is_retryable()
        && (driver.is_timeout()
            || driver.is_connection_refusal()
            || matches!(
                driver.kind(),
                Driver::Server(Server::BusyLoading | Server::MasterDown | Server::ReadOnly)
            ))
}

/// The driver knows TLS errors only by their text.
fn is_refused_tls(error: &RedisError) -> bool {
    let text = error.to_string();
    error.is_io_error()
        && ["certificate", "TLS", "tls", "InvalidContentType", "corrupt message"]
            .iter()
            .any(|word| text.contains(word))
}
