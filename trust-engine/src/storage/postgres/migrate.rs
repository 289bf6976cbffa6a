//! Migrations, which bring the schema up to this version, also while other engines do the same.

use std::time::Duration;

use deadpool_postgres::Object;

use super::error::from_driver;
use crate::error::{Error, ErrorKind, Result};

/// Scripts in order; the number of the last one is the schema's version. A released script never changes. Schemas of lower
/// numbers were never released.
const MIGRATIONS: [(i32, &str); 1] = [(4, include_str!("migrations/4.sql"))];
/// PostgreSQL 14.
const OLDEST_SERVER: i32 = 140_000;
/// Attempts while other engines create the same schema.
const ATTEMPTS: u32 = 20;

pub(super) async fn migrate(mut connection: Object, schema: String) -> Result<()> {
    check_server(&connection).await?;
    let mut attempt = 1;
    loop {
        match to_current(&mut connection, &schema).await {
            // Two engines that create the same schema or table meet in the system's catalog.
            Err(error) if attempt < ATTEMPTS && is_race(&error) => {
                tokio::time::sleep(Duration::from_millis(10) * attempt).await;
                attempt += 1;
            }
            done => return done,
        }
    }
}

async fn check_server(connection: &Object) -> Result<()> {
    let row = connection
        .query_one(
            "select current_setting('server_version_num')::int, current_setting('server_version')",
            &[],
        )
        .await
        .map_err(from_driver)?;
    let (number, name): (i32, String) = (row.get(0), row.get(1));
    if number < OLDEST_SERVER {
        let issue = format!("the server is PostgreSQL {name}; this version needs 14 or later");
        return Err(Error::new(ErrorKind::Unsupported, issue));
    }
    Ok(())
}

fn is_race(error: &Error) -> bool {
    let state = error.context().find(|(key, _)| *key == "sqlState").map(|(_, state)| state);
    // Duplicate schema, table, type or row, and a row of the catalog that was updated at the same time.
    matches!(state, Some("42P06" | "42P07" | "42710" | "23505" | "XX000" | "40001" | "40P01"))
}

async fn to_current(connection: &mut Object, schema: &str) -> Result<()> {
    let newest = newest_version();
    let table = format!("{schema}.migrations");
    let known =
        connection.query_one("select to_regclass($1) is not null", &[&table]).await.map_err(from_driver)?;
    // An engine that finds everything in place needs no permission to create anything.
    if known.get(0) && check_version(version(connection, &table).await?)? == newest {
        return Ok(());
    }
    let transaction = connection.transaction().await.map_err(from_driver)?;
    let create = format!(
        "create schema if not exists {schema};
         create table if not exists {table} (version int primary key, applied_at timestamptz not null default now());
         lock table {table} in exclusive mode;"
    );
    transaction.batch_execute(&create).await.map_err(from_driver)?;
    let from = check_version(version(&transaction, &table).await?)?;
    for (number, script) in MIGRATIONS.into_iter().filter(|(number, _)| *number > from) {
        transaction.batch_execute(script).await.map_err(from_driver)?;
        let insert = format!("insert into {table} (version) values ($1)");
        transaction.execute(&insert, &[&number]).await.map_err(from_driver)?;
    }
    transaction.commit().await.map_err(from_driver)
}

/// Whether the schema was made by an engine.
pub(super) async fn is_made(connection: Object, schema: String) -> Result<bool> {
    let select = "select to_regclass($1) is not null";
    let table = format!("{schema}.migrations");
    Ok(connection.query_one(select, &[&table]).await.map_err(from_driver)?.get(0))
}

/// The schema's version.
pub(super) async fn version(client: &impl deadpool_postgres::GenericClient, table: &str) -> Result<i32> {
    let query = format!("select coalesce(max(version), 0) from {table}");
    Ok(client.query_one(&query, &[]).await.map_err(from_driver)?.get(0))
}

pub(super) fn newest_version() -> i32 {
    MIGRATIONS.last().map_or(0, |(number, _)| *number)
}

fn check_version(found: i32) -> Result<i32> {
    let newest = newest_version();
    if found > newest {
        let issue = format!(
            "the schema has version {found}; this version of trust-engine knows versions up to {newest}"
        );
        return Err(Error::new(ErrorKind::Unsupported, issue));
    }
    if found != 0 && MIGRATIONS.iter().all(|(number, _)| *number > found) {
        let issue = format!("the schema has version {found}, which no release had; make a new one");
        return Err(Error::new(ErrorKind::Unsupported, issue));
    }
    Ok(found)
}
