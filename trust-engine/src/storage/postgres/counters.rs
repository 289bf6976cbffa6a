//! Counters in PostgreSQL: a grant is answered when the transaction that charges it is committed.
//!
//! Checks that wait together travel together: one transaction locks their rows in order, the ledger decides in memory,
//! one statement writes what changed. The server's clock decides which slice is running, read after the rows are locked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::{Object, Transaction};
use futures_channel::oneshot;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::connection::Database;
use super::error::from_driver;
use crate::ceiling::{Account, CounterKey, Window};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::counters::{Answer, Asks, Charged, CounterStore, Leased, Unspent};
use crate::storage::ledger::{Ledger, Older};

/// Checks that may wait; what is given back beyond it stays charged.
const MAX_WAITING: usize = 65_536;
/// Checks of one transaction.
const MAX_ROUND: usize = 1024;

/// Whose clock decides.
#[derive(Clone)]
pub(super) enum Time {
    Server,
    #[cfg_attr(not(any(test, feature = "testing")), allow(dead_code, reason = "for tests"))]
    Given(Arc<dyn Clock>),
}

pub(super) struct PostgresCounters {
    shared: Arc<Shared>,
    database: Arc<Database>,
}

struct Shared {
    book: Mutex<Book>,
    work: Notify,
    time: Time,
}

#[derive(Default)]
struct Book {
    checks: Vec<(Asks, Answer)>,
    unspent: Vec<Unspent>,
    flushes: Vec<oneshot::Sender<Result<()>>>,
    closed: bool,
}

impl PostgresCounters {
    pub(super) fn open(database: Arc<Database>, time: Time) -> Self {
        let shared = Arc::new(Shared { book: Mutex::default(), work: Notify::new(), time });
        let (worker, connections) = (Arc::clone(&shared), Arc::clone(&database));
        database.spawn(async move { worker.run(&connections).await });
        Self { shared, database }
    }

    /// Adds to what waits, or gives it back if it cannot.
    fn enter<T>(&self, item: T, add: impl FnOnce(&mut Book, T)) -> Result<(), (T, Error)> {
        let mut book = self.shared.book.lock();
        if book.closed {
            return Err((item, closed()));
        }
        if book.checks.len() >= MAX_WAITING || book.unspent.len() >= MAX_WAITING {
            return Err((item, Error::new(ErrorKind::Overloaded, "too many checks wait for the counters")));
        }
        add(&mut book, item);
        drop(book);
        self.shared.work.notify_one();
        Ok(())
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the counters were closed")
}

#[async_trait]
impl CounterStore for PostgresCounters {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn is_local(&self) -> bool {
        false
    }

    fn lease(&self, asks: Asks, answer: Answer) {
        if let Err(((_, answer), error)) = self.enter((asks, answer), |book, check| book.checks.push(check)) {
            answer(Err(error));
        }
    }

    fn give_back(&self, unspent: Unspent) {
        // Otherwise it stays charged.
        let _ = self.enter(unspent, |book, unspent| book.unspent.push(unspent));
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        // What was given back before is seen.
        self.flush().await?;
        let (counters, time) = (counters.to_vec(), self.shared.time.clone());
        self.database.run(move |connection| charged(connection, counters, time)).await
    }

    async fn flush(&self) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        self.enter(done, |book, done| book.flushes.push(done)).map_err(|(_, error)| error)?;
        flushed.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for PostgresCounters {
    fn drop(&mut self) {
        self.shared.book.lock().closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    async fn run(&self, database: &Database) {
        loop {
            let (round, closed) = self.take();
            if round.is_empty() {
                if closed {
                    return;
                }
                self.work.notified().await;
                continue;
            }
            let Round { checks, unspent, flushes } = round;
            let (asks, answers): (Vec<Asks>, Vec<Answer>) = checks.into_iter().unzip();
            let time = self.time.clone();
            let work = Arc::new((asks, unspent));
            let settled = {
                let work = Arc::clone(&work);
                database.call(move |connection| settle(connection, work, time)).await
            };
            let flushed = settled.as_ref().map(|_| ()).map_err(Clone::clone);
            match settled {
                Ok(leased) => answers.into_iter().zip(leased).for_each(|(answer, leased)| answer(leased)),
                // What was given back with it stays charged: perhaps it was taken back, and twice would be too much.
                Err(error) => answers.into_iter().for_each(|answer| answer(Err(error.clone()))),
            }
            for flush in flushes {
                // Whoever waited may have given up.
                let _ = flush.send(flushed.clone());
            }
        }
    }

    fn take(&self) -> (Round, bool) {
        let mut book = self.book.lock();
        let count = book.checks.len().min(MAX_ROUND);
        let checks = book.checks.drain(..count).collect();
        let unspent = std::mem::take(&mut book.unspent);
        // A flush waits for what was given back before it, which is in this round.
        let flushes = std::mem::take(&mut book.flushes);
        (Round { checks, unspent, flushes }, book.closed)
    }
}

/// What one transaction settles.
struct Round {
    checks: Vec<(Asks, Answer)>,
    unspent: Vec<Unspent>,
    flushes: Vec<oneshot::Sender<Result<()>>>,
}

impl Round {
    fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.unspent.is_empty() && self.flushes.is_empty()
    }
}

/// Accounts as they were when their rows were locked.
#[derive(Default)]
struct Locked(HashMap<Vec<u8>, Account>);

impl Older for Locked {
    fn load(&self, key: &CounterKey) -> Result<Option<Account>> {
        Ok(self.0.get(key.as_bytes()).cloned())
    }
}

impl Locked {
    fn read(rows: &[tokio_postgres::Row]) -> Result<Self> {
        let mut accounts = HashMap::with_capacity(rows.len());
        for row in rows {
            let (key, account): (Vec<u8>, &[u8]) = (row.get(0), row.get(1));
            // Made only to be locked, and never charged.
            if !account.is_empty() {
                accounts.insert(key, Account::parse(account)?);
            }
        }
        Ok(Self(accounts))
    }
}

/// One transaction. An error before its commit charges nothing; one of the commit itself may have charged, and nobody
/// was granted anything.
async fn settle(
    mut connection: Object,
    work: Arc<(Vec<Asks>, Vec<Unspent>)>,
    time: Time,
) -> Result<Vec<Result<Leased>>> {
    let (checks, unspent) = &*work;
    // In order, so that two engines never wait for each other.
    let keys: BTreeSet<&[u8]> = checks
        .iter()
        .flatten()
        .map(|ask| ask.key.as_bytes())
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
    let leased: Vec<Result<Leased>> = checks.iter().map(|asks| ledger.lease(asks, now, &locked)).collect();
    let (keys, accounts): (Vec<&[u8]>, Vec<Vec<u8>>) =
        ledger.rows().map(|(key, account)| (key.as_bytes(), account.to_bytes())).unzip();
    if !keys.is_empty() {
        let update = "update counters set account = n.account
            from unnest($1::bytea[], $2::bytea[]) as n (key, account) where counters.key = n.key";
        let statement = transaction.prepare_cached(update).await.map_err(from_driver)?;
        let written = transaction.execute(&statement, &[&keys, &accounts]).await.map_err(from_driver)?;
        if written != keys.len() as u64 {
            return Err(Error::new(ErrorKind::Corrupt, "a counter vanished while its row was locked"));
        }
    }
    transaction.commit().await.map_err(from_driver)?;
    Ok(leased)
}

/// Makes the rows that are missing, by itself: whoever waited for a new row while it held others could wait for ever.
async fn make_rows(connection: &Object, keys: &[&[u8]]) -> Result<()> {
    let insert = "insert into counters (key, account)
        select k, '' from unnest($1::bytea[]) as k where not exists (select from counters where key = k) order by k
        on conflict do nothing";
    let statement = connection.prepare_cached(insert).await.map_err(from_driver)?;
    connection.execute(&statement, &[&keys]).await.map_err(from_driver)?;
    Ok(())
}

/// Locks the rows of the keys, which must be in order.
async fn lock(transaction: &Transaction<'_>, keys: &[&[u8]], time: &Time) -> Result<(Locked, Timestamp)> {
    let select = "select key, account, (extract(epoch from clock_timestamp()) * 1000000)::bigint
        from counters where key = any($1) order by key for update";
    let statement = transaction.prepare_cached(select).await.map_err(from_driver)?;
    let rows = transaction.query(&statement, &[&keys]).await.map_err(from_driver)?;
    if rows.len() != keys.len() {
        return Err(Error::new(ErrorKind::Corrupt, "a counter's row cannot be locked"));
    }
    // The latest: a time that was read before another engine's grant would look like a clock set back.
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
