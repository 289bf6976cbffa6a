//! Counters in PostgreSQL: a grant is answered when the transaction that charges it is committed.
//!
//! Checks that wait at the same time share a transaction: it locks their rows in order, the ledger decides in memory,
//! and one statement writes the changed accounts. The server's clock, read with the rows as they are locked, decides
//! which slice is running.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::{Object, Transaction};

use super::connection::{Database, Purpose};
use super::error::from_driver;
use crate::ceiling::{
    Account, AccountSource, Charged, CounterKey, LeaseAnswer, LeaseRequests, Ledger, Unspent, Window,
};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::coalescer::{Coalescer, Round};
use crate::storage::counters::{CounterStore, LeaseCallback, StoredAccount};
use crate::storage::runtime::Time;

pub(super) struct PostgresCounters {
    coalescer: Arc<Coalescer>,
    database: Arc<Database>,
    time: Time,
}

impl PostgresCounters {
    pub(super) fn open(database: Arc<Database>, time: Time) -> Self {
        let coalescer = Arc::new(Coalescer::default());
        let (worker, connections, clock) = (Arc::clone(&coalescer), Arc::clone(&database), time.clone());
        let settle = move |round| {
            let (connections, time) = (Arc::clone(&connections), clock.clone());
            async move { connections.write_here(move |connection| settle(connection, round, time)).await }
        };
        database.spawn(async move { worker.run(settle).await });
        Self { coalescer, database, time }
    }
}

#[async_trait]
impl CounterStore for PostgresCounters {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn is_local(&self) -> bool {
        false
    }

    async fn lineage(&self) -> Result<Option<String>> {
        self.database.run(Purpose::Search, lineage).await.map(Some)
    }

    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback) {
        self.coalescer.lease(requests, answer);
    }

    fn give_back(&self, unspent: Unspent) {
        self.coalescer.give_back(unspent);
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        // The flush makes the amounts that were given back before visible.
        self.flush().await?;
        let (counters, time) = (counters.to_vec(), self.time.clone());
        self.database.run(Purpose::Search, move |connection| charged(connection, counters, time)).await
    }

    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        self.flush().await?;
        let (counters, time) = (counters.to_vec(), self.time.clone());
        self.database.run(Purpose::Write, move |connection| reset(connection, counters, time)).await
    }

    async fn accounts(&self, after: Option<&[u8]>, limit: usize) -> Result<Vec<StoredAccount>> {
        self.flush().await?;
        let after = after.unwrap_or_default().to_vec();
        self.database.run(Purpose::Search, move |connection| accounts(connection, after, limit)).await
    }

    async fn put_accounts(&self, accounts: Vec<StoredAccount>) -> Result<()> {
        self.database.run(Purpose::Write, move |connection| put_accounts(connection, accounts)).await
    }

    async fn flush(&self) -> Result<()> {
        self.coalescer.flush().await
    }
}

impl Drop for PostgresCounters {
    fn drop(&mut self) {
        self.coalescer.close();
    }
}

/// Accounts as their rows were read; a round locks the rows as it reads them.
#[derive(Default)]
struct Locked(HashMap<Vec<u8>, Account>);

impl AccountSource for Locked {
    fn load(&self, key: &CounterKey) -> Result<Option<Account>> {
        Ok(self.0.get(key.as_bytes()).cloned())
    }
}

impl Locked {
    fn read(rows: &[tokio_postgres::Row]) -> Result<Self> {
        let mut accounts = HashMap::with_capacity(rows.len());
        for row in rows {
            let (key, account): (Vec<u8>, &[u8]) = (row.get(0), row.get(1));
            // A row with an empty account was made only to be locked, and was never charged.
            if !account.is_empty() {
                accounts.insert(key, Account::parse(account)?);
            }
        }
        Ok(Self(accounts))
    }
}

/// Settles a round in one transaction. After an error before the commit nothing is charged. After an error of the
/// commit itself the round may be charged, but no check is granted anything.
async fn settle(mut connection: Object, round: Arc<Round>, time: Time) -> Result<Vec<Result<LeaseAnswer>>> {
    let Round { checks, unspent } = &*round;
    // The keys are in order, so that two engines never deadlock.
    let keys: BTreeSet<&[u8]> = checks
        .iter()
        .flatten()
        .map(|request| request.key.as_bytes())
        .chain(unspent.iter().map(|unspent| unspent.key.as_bytes()))
        .collect();
    let keys: Vec<&[u8]> = keys.into_iter().collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    make_rows(&connection, &keys).await?;
    let transaction = connection.transaction().await.map_err(from_driver)?;
    let (locked, now) = lock(&transaction, &keys, &time).await?;
    let mut ledger = Ledger::default();
    for unspent in unspent {
        ledger.give_back(unspent, &locked)?;
    }
    let leased: Vec<Result<LeaseAnswer>> =
        checks.iter().map(|requests| ledger.lease(requests, now, &locked)).collect();
    write(&transaction, &ledger).await?;
    transaction.commit().await.map_err(from_driver)?;
    Ok(leased)
}

/// Writes the accounts of a ledger over the rows that are locked.
async fn write(transaction: &Transaction<'_>, ledger: &Ledger) -> Result<()> {
    let (keys, accounts): (Vec<&[u8]>, Vec<Vec<u8>>) =
        ledger.rows().map(|(key, account)| (key.as_bytes(), account.to_bytes())).unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let update = "update counters set account = n.account
        from unnest($1::bytea[], $2::bytea[]) as n (key, account) where counters.key = n.key";
    let statement = transaction.prepare_cached(update).await.map_err(from_driver)?;
    let written = transaction.execute(&statement, &[&keys, &accounts]).await.map_err(from_driver)?;
    if written != keys.len() as u64 {
        return Err(Error::new(ErrorKind::Corrupt, "a counter vanished while its row was locked"));
    }
    Ok(())
}

async fn reset(mut connection: Object, counters: Vec<(CounterKey, Window)>, time: Time) -> Result<Vec<bool>> {
    let keys: BTreeSet<&[u8]> = counters.iter().map(|(key, _)| key.as_bytes()).collect();
    let keys: Vec<&[u8]> = keys.into_iter().collect();
    make_rows(&connection, &keys).await?;
    let transaction = connection.transaction().await.map_err(from_driver)?;
    let (locked, now) = lock(&transaction, &keys, &time).await?;
    let mut ledger = Ledger::default();
    let ahead: Vec<bool> =
        counters.iter().map(|(key, _)| ledger.reset(key, now, &locked)).collect::<Result<_>>()?;
    write(&transaction, &ledger).await?;
    transaction.commit().await.map_err(from_driver)?;
    Ok(ahead)
}

/// Makes the rows that are missing, in a transaction of its own: a transaction that waited for a new row while it held
/// others could wait for ever.
async fn make_rows(connection: &Object, keys: &[&[u8]]) -> Result<()> {
    let insert = "insert into counters (key, account)
        select k, '' from unnest($1::bytea[]) as k where not exists (select from counters where key = k) order by k
        on conflict do nothing";
    let statement = connection.prepare_cached(insert).await.map_err(from_driver)?;
    connection.execute(&statement, &[&keys]).await.map_err(from_driver)?;
    Ok(())
}

/// Locks the rows of the keys in the order of the keys, and gives their accounts and the time.
async fn lock(transaction: &Transaction<'_>, keys: &[&[u8]], time: &Time) -> Result<(Locked, Timestamp)> {
    let select = "select key, account, (extract(epoch from clock_timestamp()) * 1000000)::bigint
        from counters where key = any($1) order by key for update";
    let statement = transaction.prepare_cached(select).await.map_err(from_driver)?;
    let rows = transaction.query(&statement, &[&keys]).await.map_err(from_driver)?;
    if rows.len() != keys.len() {
        return Err(Error::new(ErrorKind::Corrupt, "a counter's row cannot be locked"));
    }
    // The latest time counts: a time that was read before another engine's grant would look like a clock set back.
    let server = rows.iter().map(|row| row.get::<_, i64>(2)).max().unwrap_or_default();
    let now = match time {
        Time::Server => Timestamp::from_micros(server),
        Time::Given(clock) => clock.now(),
    };
    Ok((Locked::read(&rows)?, now))
}

async fn charged(
    connection: Object,
    counters: Vec<(CounterKey, Window)>,
    time: Time,
) -> Result<Vec<Charged>> {
    let keys: Vec<&[u8]> = counters.iter().map(|(key, _)| key.as_bytes()).collect();
    let select = "select key, account from counters where key = any($1)";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let stored = Locked::read(&connection.query(&statement, &[&keys]).await.map_err(from_driver)?)?;
    let now = match time {
        Time::Server => {
            let select = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
            let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
            Timestamp::from_micros(connection.query_one(&statement, &[]).await.map_err(from_driver)?.get(0))
        }
        Time::Given(clock) => clock.now(),
    };
    let ledger = Ledger::default();
    counters.iter().map(|(key, window)| ledger.charged(key, *window, now, &stored)).collect()
}

async fn accounts(connection: Object, after: Vec<u8>, limit: usize) -> Result<Vec<StoredAccount>> {
    // A row with an empty account was made only to be locked, and was never charged.
    let select = "select key, account from counters where key > $1 and account <> '' order by key limit $2";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = connection.query(&statement, &[&after, &limit]).await.map_err(from_driver)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn put_accounts(connection: Object, accounts: Vec<StoredAccount>) -> Result<()> {
    for (_, account) in &accounts {
        Account::parse(account)?;
    }
    let (keys, accounts): (Vec<Vec<u8>>, Vec<Vec<u8>>) = accounts.into_iter().unzip();
    let put = "insert into counters (key, account) select k, a from unnest($1::bytea[], $2::bytea[]) as n (k, a) order by k
        on conflict (key) do update set account = excluded.account";
    let statement = connection.prepare_cached(put).await.map_err(from_driver)?;
    connection.execute(&statement, &[&keys, &accounts]).await.map_err(from_driver)?;
    Ok(())
}

async fn lineage(connection: Object) -> Result<String> {
    let statement = connection.prepare_cached("select id::text from lineage").await.map_err(from_driver)?;
    Ok(connection.query_one(&statement, &[]).await.map_err(from_driver)?.get(0))
}
