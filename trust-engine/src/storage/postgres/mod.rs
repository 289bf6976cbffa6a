//! PostgreSQL: the whole store, and a durable authority over counters, for many engines on one database.
//!
//! A commit of records is one statement and one round trip; it is conditional on the log's head, whose row is also the
//! log's lock. The adapter brings a runtime of one thread; callers only wait for its answers.

mod codes;
mod config;
mod connection;
mod counters;
mod documents;
mod error;
mod followers;
mod listen;
mod log;
mod migrate;
mod replication;
mod scan;
mod session;
mod shards;
mod stats;
mod store;

use std::sync::Arc;

pub use config::Postgres;

use self::connection::{Database, Purpose};
use self::store::PostgresStore;
use super::runtime::Time;
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
    open(database, Time::Server).await
}

/// Whether the database holds a store in the schema of the settings. Nothing is made.
///
/// # Errors
/// Those of [`postgres`].
pub async fn is_postgres_store(database: &Postgres) -> Result<bool> {
    let config = database.check()?;
    let database = Arc::new(Database::new(&config)?);
    database.check_pooler(&config).await?;
    let schema = config.schema.clone();
    database.run(Purpose::Search, move |connection| migrate::is_made(connection, schema)).await
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
    open(database, Time::Given(clock)).await
}

async fn open(settings: &Postgres, time: Time) -> Result<(Arc<dyn Store>, Arc<dyn CounterStore>)> {
    let config = settings.check()?;
    let replica = settings.of_replica().map(|replica| replica.check()).transpose()?;
    let database = Arc::new(Database::new(&config)?);
    database.check_pooler(&config).await?;
    let schema = config.schema.clone();
    database.run(Purpose::Search, move |connection| migrate::migrate(connection, schema)).await?;
    let mut warnings = database.run(Purpose::Search, replication::warnings).await?;
    let replica = match replica {
        Some(config) => {
            let database = Arc::new(Database::new(&config)?);
            database.check_pooler(&config).await.map_err(|error| error.with("field", "replica"))?;
            let schema = config.schema.clone();
            let found = database
                .run(Purpose::Search, move |connection| replication::check_replica(connection, schema))
                .await;
            warnings.extend(found.map_err(|error| error.with("field", "replica"))?);
            Some(Box::new(PostgresStore { database, config, replica: None, warnings: Vec::new() }))
        }
        None => None,
    };
    let counters = counters::PostgresCounters::open(Arc::clone(&database), time);
    Ok((Arc::new(PostgresStore { database, config, replica, warnings }), Arc::new(counters)))
}
