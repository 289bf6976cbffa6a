//! PostgreSQL: the whole store, and a durable authority over counters, for many engines on one database.
//!
//! A commit of records is one statement and one round trip; it is conditional on the log's head, whose row is also the
//! log's lock. The adapter brings a runtime of one thread; callers only wait for its answers.

mod config;
mod connection;
mod counters;
mod error;
mod log;
mod migrate;
mod scan;
mod state;
mod store;

use std::sync::Arc;

pub use config::Postgres;

use self::connection::Database;
use super::{CounterStore, Store};
use crate::error::Result;

/// Connects to a database, brings its schema up to this version, and gives its store and its counters.
///
/// # Errors
/// Within the connect timeout: [`InvalidInput`](crate::ErrorKind::InvalidInput) for the settings,
/// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) for a wrong password, a missing permission or a certificate
/// that is not trusted, [`NotFound`](crate::ErrorKind::NotFound) for a database that does not exist,
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a server before PostgreSQL 14 or a schema that is newer than this
/// version, [`Unavailable`](crate::ErrorKind::Unavailable) if it cannot be reached.
pub async fn postgres(database: &Postgres) -> Result<(Arc<dyn Store>, Arc<dyn CounterStore>)> {
    let database = connect(database).await?;
    let counters = counters::PostgresCounters::open(Arc::clone(&database), counters::Time::Server);
    Ok((Arc::new(store::PostgresStore { database }), Arc::new(counters)))
}

/// As [`postgres`], with counters that take the time from `clock` instead of the server.
///
/// # Errors
/// Those of [`postgres`].
#[cfg(any(test, feature = "testing"))]
pub async fn postgres_at(
    database: &Postgres,
    clock: Arc<dyn crate::Clock>,
) -> Result<(Arc<dyn Store>, Arc<dyn CounterStore>)> {
    let database = connect(database).await?;
    let counters = counters::PostgresCounters::open(Arc::clone(&database), counters::Time::Given(clock));
    Ok((Arc::new(store::PostgresStore { database }), Arc::new(counters)))
}

async fn connect(database: &Postgres) -> Result<Arc<Database>> {
    let config = database.check()?;
    let database = Arc::new(Database::new(&config)?);
    let schema = config.schema;
    database.run(move |connection| migrate::migrate(connection, schema)).await?;
    Ok(database)
}
