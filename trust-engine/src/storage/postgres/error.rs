//! The errors of the driver and the server, sorted into the kinds that callers handle differently.

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::SqlState;

use crate::error::{Error, ErrorKind};

/// An error of a statement or of connecting.
pub(super) fn from_driver(error: tokio_postgres::Error) -> Error {
    let Some(server) = error.as_db_error() else {
        let cause = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        let kind = if is_refused_tls(&error) { ErrorKind::PermissionDenied } else { ErrorKind::Unavailable };
        return Error::new(kind, format!("PostgreSQL cannot be reached: {cause}")).caused_by(error);
    };
    let kind = kind_of(server.code());
    // Prepared statements belong to a session, and this one is not the one that prepared it.
    let strange = ["26000", "42P05"].contains(&server.code().code());
    let hint = if strange {
        ": a pooler between engine and server pools by transaction; it has to pool by session"
    } else {
        ""
    };
    let message = format!("PostgreSQL says: {}{hint}", server.message());
    Error::new(kind, message).with("sqlState", server.code().code().to_owned()).caused_by(error)
}

/// Whether the server rolled a transaction back because of others: a serialization failure or a deadlock.
pub(super) fn is_rolled_back(error: &Error) -> bool {
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    let code = source.and_then(tokio_postgres::Error::code);
    code.is_some_and(|code| {
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
    })
}

/// Whether TLS was refused. The driver calls every error while TLS begins an error of TLS, but a connection that breaks
/// off then is none.
fn is_refused_tls(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::InvalidData;
        }
        cause = inner.source();
    }
    // The server refused TLS itself, and the driver says so.
    error.to_string().contains("TLS")
}

fn kind_of(code: &SqlState) -> ErrorKind {
    match code.code() {
        // Wrong password or user, missing permission.
        "28000" | "28P01" | "42501" => ErrorKind::PermissionDenied,
        // No such database or schema.
        "3D000" | "3F000" => ErrorKind::NotFound,
        "53100" => ErrorKind::NoSpace,
        // Tables that are not as this version makes them, or bytes that the server could not read back.
        "42P01" | "42703" | "XX001" | "XX002" => ErrorKind::Corrupt,
        "23505" => ErrorKind::Conflict,
        // Connections, resources, restarts, timeouts, conflicts between transactions, a standby.
        _ => ErrorKind::Unavailable,
    }
}

pub(super) fn from_pool(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            from_driver(error)
        }
        PoolError::PostCreateHook(HookError::Message(issue)) => Error::new(ErrorKind::Unsupported, issue),
        PoolError::Timeout(_) => late(),
        PoolError::Closed => Error::new(ErrorKind::Closed, "the store was closed"),
        other => Error::new(ErrorKind::Unavailable, format!("PostgreSQL cannot be reached: {other}")),
    }
}

/// The error of a connection that did not come in time.
pub(super) fn late() -> Error {
    Error::new(ErrorKind::Unavailable, "PostgreSQL gave no connection within the connect timeout")
}

/// The error of a row whose content this code does not write.
pub(super) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a stored {what} cannot be read"))
}
