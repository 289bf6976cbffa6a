//! Counters over an ordered key–value engine: a grant is answered when its account is durable.
//!
//! Accounts are read from the engine and kept in memory only until what was charged to them is durable, so memory is
//! bounded by what waits. One thread writes whatever gathered while the last write ran: a thousand checks that wait
//! cost one write. A refusal changes nothing and is answered at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use foldhash::fast::RandomState;
use futures_channel::oneshot;
use parking_lot::{Condvar, Mutex};

use super::{Kv, Puts, Table};
use crate::ceiling::{Account, CounterKey, Window};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::storage::counters::{Answer, Asks, Charged, CounterStore, Leased, Unspent};
use crate::storage::ledger::{Ledger, Older};

/// Accounts that only something was given back to wait for a write in company, up to this many.
const MAX_IDLE: usize = 4096;
/// Pause between attempts to write again.
const RETRY: Duration = Duration::from_millis(250);

pub(in crate::storage) struct KvCounters<K: Kv> {
    shared: Arc<Shared<K>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<K> {
    kv: Arc<K>,
    clock: Arc<dyn Clock>,
    book: Mutex<Book>,
    work: Condvar,
}

#[derive(Default)]
struct Book {
    /// Accounts that differ from what is durable.
    ledger: Ledger,
    /// Grants that wait for it.
    waiting: Vec<(Answer, Leased)>,
    flushes: Vec<oneshot::Sender<Result<()>>>,
    /// Set by a failed write until one succeeds.
    down: bool,
    closed: bool,
}

impl<K: Kv> Older for K {
    fn load(&self, key: &CounterKey) -> Result<Option<Account>> {
        self.get(Table::Counters, key.as_bytes())?.map(|bytes| Account::parse(&bytes)).transpose()
    }
}

impl<K: Kv> KvCounters<K> {
    pub(in crate::storage) fn open(kv: Arc<K>, clock: Arc<dyn Clock>) -> Result<Self> {
        let shared = Arc::new(Shared { kv, clock, book: Mutex::default(), work: Condvar::new() });
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("trust-engine-counters".into())
            .spawn(move || writer.run())
            .map_err(|error| from_io(error, "the counters' thread cannot be started"))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }
}

#[async_trait]
impl<K: Kv> CounterStore for KvCounters<K> {
    fn name(&self) -> &'static str {
        self.shared.kv.name()
    }

    fn is_local(&self) -> bool {
        true
    }

    fn lease(&self, asks: Asks, answer: Answer) {
        let leased = {
            let mut book = self.shared.book.lock();
            match book
                .check()
                .and_then(|()| book.ledger.lease(&asks, self.shared.clock.now(), &*self.shared.kv))
            {
                Ok(granted @ Leased::Granted(_)) => {
                    book.waiting.push((answer, granted));
                    self.shared.work.notify_one();
                    return;
                }
                other => other,
            }
        };
        answer(leased);
    }

    fn give_back(&self, unspent: Unspent) {
        let mut book = self.shared.book.lock();
        // What cannot be read stays charged.
        let _ = book.ledger.give_back(&unspent, &*self.shared.kv);
        if book.ledger.len() >= MAX_IDLE {
            self.shared.work.notify_one();
        }
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let now = self.shared.clock.now();
        let book = self.shared.book.lock();
        let of =
            |(key, window): &(CounterKey, Window)| book.ledger.charged(key, *window, now, &*self.shared.kv);
        counters.iter().map(of).collect()
    }

    async fn flush(&self) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        {
            let mut book = self.shared.book.lock();
            book.check()?;
            book.flushes.push(done);
            self.shared.work.notify_one();
        }
        flushed.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl<K: Kv> Drop for KvCounters<K> {
    fn drop(&mut self) {
        self.shared.book.lock().closed = true;
        self.shared.work.notify_one();
        let thread = self.thread.lock().take();
        // The last owner may be an answer that runs on the thread itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Book {
    fn check(&self) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        match self.down {
            true => {
                Err(Error::new(ErrorKind::Unavailable, "the counters cannot be written; it is tried again"))
            }
            false => Ok(()),
        }
    }

    fn has_work(&self) -> bool {
        let waits = !self.waiting.is_empty() || !self.flushes.is_empty() || self.ledger.len() >= MAX_IDLE;
        waits || self.down || self.closed
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the counters were closed")
}

impl<K: Kv> Shared<K> {
    fn run(&self) {
        loop {
            let mut book = self.book.lock();
            while !book.has_work() {
                self.work.wait(&mut book);
            }
            let (waiting, flushes) = (std::mem::take(&mut book.waiting), std::mem::take(&mut book.flushes));
            let closed = book.closed;
            let down = book.down;
            let accounts: Vec<(CounterKey, Account)> =
                book.ledger.rows().map(|(key, account)| (key.clone(), account.clone())).collect();
            drop(book);
            let written = if down { self.kv.recover() } else { Ok(()) }.and_then(|()| self.write(&accounts));
            self.wrote(accounts, &written);
            for (answer, leased) in waiting {
                // After an error the grant may be durable; it is not used and stays charged.
                answer(written.clone().map(|()| leased));
            }
            for flush in flushes {
                // Whoever waited may have given up.
                let _ = flush.send(written.clone());
            }
            if closed {
                return;
            }
            if written.is_err() {
                let mut book = self.book.lock();
                if !book.closed {
                    self.work.wait_for(&mut book, RETRY);
                }
            }
        }
    }

    fn write(&self, accounts: &[(CounterKey, Account)]) -> Result<()> {
        if accounts.is_empty() {
            return Ok(());
        }
        let mut puts = Puts::with_capacity(accounts.len(), accounts.len() * 96);
        for (key, account) in accounts {
            puts.put(Table::Counters, &[key.as_bytes()], &[&account.to_bytes()]);
        }
        self.kv.write(&puts)
    }

    /// Forgets the accounts that are durable as they are.
    fn wrote(&self, accounts: Vec<(CounterKey, Account)>, written: &Result<()>) {
        let mut book = self.book.lock();
        book.down = written.is_err();
        if book.down {
            return;
        }
        let durable: HashMap<_, _, RandomState> = accounts.into_iter().collect();
        book.ledger.retain(|key, account| durable.get(key) != Some(account));
    }
}
