//! The settings of a session, and the poolers that take them away.
//!
//! A pooler between engine and server may drop the options that a connection starts with, and in transaction mode it gives
//! each transaction another of its own connections to the server: settings and prepared statements then belong to whoever
//! comes next. So the settings are made by statements, are read back, and a pooler in transaction mode is refused before
//! the first of them.

use std::time::Duration;

use deadpool_postgres::HookError;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::config::Checked;
use super::error::from_driver;
use crate::error::{Error, ErrorKind, Result};

/// The settings that promises rest on, and their values.
///
/// The search path is all that tells two deployments in one database apart. Durability is not left to a server whose
/// default was set to lose commits. The rest of the settings are in [`set_up`].
fn promised(config: &Checked) -> [(&'static str, &str); 3] {
    [
        ("search_path", &config.schema),
        ("synchronous_commit", "on"),
        ("default_transaction_isolation", "read committed"),
    ]
}

/// Makes the settings of a session that has just begun. A message as error says which of them does not stay.
pub(super) async fn set_up(client: &Client, config: &Checked) -> std::result::Result<(), HookError> {
    let promised = promised(config);
    let set: String = promised.iter().map(|(name, value)| format!("set {name} = '{value}';")).collect();
    // A stopped engine must not hold its locks for ever. Searches go along an index and end early; a bitmap of all matching
    // rows would have to be made whole first, and a plan to read a small table from end to end would be kept while it
    // grows. No statement runs long enough to be worth compiling.
    let set = format!(
        "{set} set statement_timeout = {}; set idle_in_transaction_session_timeout = 3000; set enable_bitmapscan = off; \
         set enable_seqscan = off; set jit = off",
        config.statement_timeout.as_millis()
    );
    client.batch_execute(&set).await.map_err(HookError::Backend)?;
    for (name, value) in promised {
        let found = shown(client, &format!("show {name}")).await.map_err(HookError::Backend)?;
        // A name that is a keyword too is shown in quotes.
        if found.trim_matches('"') != value {
            return Err(HookError::message(format!(
                "the setting {name} is {found:?} right after it was set to {value:?}: {POOLER} between engine and server \
                 does not keep a session's settings. {ADVICE}"
            )));
        }
    }
    Ok(())
}

const POOLER: &str = "a pooler (PgBouncer, pgcat, Supavisor, RDS Proxy or the like)";
const ADVICE: &str = "Set it to pool by session (pool_mode = session), or connect to PostgreSQL itself";

/// Rounds of comparing the sessions of two connections: on a busy pooler one round may prove nothing.
const ROUNDS: u32 = 8;

/// Refuses a pooler that gives transactions of one connection different sessions, or knows no transactions. Nothing is set
/// before this is known: the settings would stay in a session that others use.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for such a pooler; those of the connection.
pub(super) async fn refuse_transaction_pooling(config: &Checked) -> Result<()> {
    let (mut one, mut other) = (connect(config).await?, connect(config).await?);
    let by_transaction = || {
        let issue = format!(
            "{POOLER} between engine and server pools by transaction: settings and prepared statements do not stay with a \
             connection. {ADVICE}"
        );
        Error::new(ErrorKind::Unsupported, issue)
    };
    for _ in 0..ROUNDS {
        let first = session(&one).await?;
        // While a transaction is open on the other connection, its session cannot be this one's.
        if let Err(error) = other.batch_execute("begin").await {
            let no_transactions =
                error.as_db_error().is_some_and(|told| told.message().contains("transaction"));
            return Err(if no_transactions { by_transaction() } else { from_driver(error) });
        }
        let taken = session(&other).await?;
        let again = {
            let mut again = std::pin::pin!(session(&one));
            let at_once = tokio::time::timeout(Duration::from_secs(1), again.as_mut()).await;
            other.batch_execute("rollback").await.map_err(from_driver)?;
            match at_once {
                Ok(again) => again?,
                // A pool of one session had none left until now.
                Err(_) => again.await?,
            }
        };
        if taken == first || again != first {
            return Err(by_transaction());
        }
        std::mem::swap(&mut one, &mut other);
    }
    Ok(())
}

async fn connect(config: &Checked) -> Result<Client> {
    let connecting = config.driver.connect(config.tls()?);
    let connected = tokio::time::timeout(config.connect_timeout, connecting).await;
    let late =
        |_| Error::new(ErrorKind::Unavailable, "PostgreSQL gave no connection within the connect timeout");
    let (client, connection) = connected.map_err(late)?.map_err(from_driver)?;
    // It ends with its client.
    tokio::spawn(connection);
    Ok(client)
}

/// The server's process that serves a session.
async fn session(client: &Client) -> Result<String> {
    shown(client, "select pg_backend_pid()").await.map_err(from_driver)
}

/// The one value that a statement gives, without preparing the statement.
async fn shown(client: &Client, statement: &str) -> std::result::Result<String, tokio_postgres::Error> {
    let messages = client.simple_query(statement).await?;
    let value = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(value.unwrap_or_default())
}
