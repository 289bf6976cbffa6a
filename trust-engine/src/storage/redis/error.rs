//! What the driver and the server say, sorted into the kinds that callers handle differently.

use redis::{ErrorKind as Driver, RedisError};

use crate::error::{Error, ErrorKind};

/// An error of a call or of connecting.
pub(super) fn from_driver(error: RedisError) -> Error {
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

/// The driver knows TLS errors only by their text.
fn is_refused_tls(error: &RedisError) -> bool {
    let text = error.to_string();
    error.is_io_error() && ["certificate", "TLS", "tls", "InvalidContentType", "corrupt message"].iter().any(|word| text.contains(word))
}
