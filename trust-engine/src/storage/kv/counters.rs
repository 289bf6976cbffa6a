//! Counters over an ordered key–value engine: a grant is answered when its account is durable.
//!
//! Accounts are read from the engine and kept in memory only until the charges to them are durable, so memory is
//! bounded by the changes that wait. One thread writes all changes that gathered while the last write ran: a thousand
//! checks that wait cost one write. A refusal charges nothing and is answered at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use foldhash::fast::RandomState;
use futures_channel::oneshot;
use parking_lot::{Condvar, Mutex};
use smallvec::SmallVec;

use super::{Kv, Table, WriteBatch};
use crate::ceiling::{
    Account, AccountSource, Charged, CounterKey, Grant, LeaseAnswer, LeaseRequest, LeaseRequests, Ledger,
    Unspent, Window,
};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::storage::counters::{CounterStore, LeaseCallback, StoredAccount};

/// Number of changed accounts from which on they are written although no grant and no flush waits for them.
const MAX_IDLE: usize = 4096;
/// Most grants that may wait for a write.
const MAX_WAITING: usize = 65_536;
/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// The counters and the thread that writes them. Dropping them lets the thread write the changes that wait, and waits
/// for its end.
pub(in crate::storage) struct KvCounters<K: Kv> {
    shared: Arc<Shared<K>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The state that callers share with the writing thread.
struct Shared<K> {
    kv: Arc<K>,
    clock: Arc<dyn Clock>,
    /// Held while a check reads the clock and its accounts and is decided. The thread releases it before it writes and
    /// before it answers, so checks are decided while a write runs.
    pending: Mutex<Pending>,
    /// Wakes the thread; it waits with the lock of `pending`.
    work: Condvar,
}

/// A grant that is not durable yet.
struct WaitingGrant {
    answer: LeaseCallback,
    requests: LeaseRequests,
    grants: SmallVec<[Grant; 1]>,
}

#[derive(Default)]
struct Pending {
    /// Accounts whose durable rows may be out of date; an account here takes precedence over its row.
    ledger: Ledger,
    /// Grants that wait until the ledger is durable.
    waiting: Vec<WaitingGrant>,
    flushes: Vec<oneshot::Sender<Result<()>>>,
    /// Set by a failed write until a write succeeds; checks and flushes are refused meanwhile.
    down: bool,
    closed: bool,
}

impl<K: Kv> AccountSource for K {
    fn load(&self, key: &CounterKey) -> Result<Option<Account>> {
        self.get(Table::Counters, key.as_bytes())?.map(|bytes| Account::parse(&bytes)).transpose()
    }
}

impl<K: Kv> KvCounters<K> {
    pub(in crate::storage) fn open(kv: Arc<K>, clock: Arc<dyn Clock>) -> Result<Self> {
        let shared = Arc::new(Shared { kv, clock, pending: Mutex::default(), work: Condvar::new() });
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

    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback) {
        let refused = {
            let mut pending = self.shared.pending.lock();
            match pending.check() {
                Ok(()) => match pending.ledger.lease(&requests, self.shared.clock.now(), &*self.shared.kv) {
                    Ok(LeaseAnswer::Granted(grants)) => {
                        pending.waiting.push(WaitingGrant { answer, requests, grants });
                        self.shared.work.notify_one();
                        return;
                    }
                    refused => refused,
                },
                Err(error) => {
                    pending.take_back_unspent(&requests, &*self.shared.kv);
                    Err(error)
                }
            }
        };
        answer(refused);
    }

    fn give_back(&self, unspent: Unspent) {
        let mut pending = self.shared.pending.lock();
        // An account that cannot be read stays charged.
        let _ = pending.ledger.give_back(&unspent, &*self.shared.kv);
        if pending.ledger.len() >= MAX_IDLE {
            self.shared.work.notify_one();
        }
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let pending = self.shared.pending.lock();
        let now = self.shared.clock.now();
        let of = |(key, window): &(CounterKey, Window)| {
            pending.ledger.charged(key, *window, now, &*self.shared.kv)
        };
        counters.iter().map(of).collect()
    }

    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        let ahead = {
            let mut pending = self.shared.pending.lock();
            pending.check()?;
            let now = self.shared.clock.now();
            let reset = |(key, _): &(CounterKey, Window)| pending.ledger.reset(key, now, &*self.shared.kv);
            counters.iter().map(reset).collect::<Result<_>>()?
        };
        self.flush().await?;
        Ok(ahead)
    }

    async fn accounts(&self, after: Option<&[u8]>, limit: usize) -> Result<Vec<StoredAccount>> {
        let from = after.map(|after| [after, &[0]].concat()).unwrap_or_default();
        self.shared.kv.range(Table::Counters, &from, &[0xFF], false, limit)
    }

    async fn flush(&self) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        {
            let mut pending = self.shared.pending.lock();
            pending.check()?;
            pending.flushes.push(done);
            self.shared.work.notify_one();
        }
        flushed.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl<K: Kv> Drop for KvCounters<K> {
    fn drop(&mut self) {
        self.shared.pending.lock().closed = true;
        self.shared.work.notify_one();
        let thread = self.thread.lock().take();
        // The last owner may be an answer that runs on the thread itself, and a thread cannot join itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Pending {
    fn check(&self) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        match self.down {
            true => {
                Err(Error::new(ErrorKind::Unavailable, "the counters cannot be written; it is tried again"))
            }
            false if self.waiting.len() >= MAX_WAITING => {
                Err(Error::new(ErrorKind::Overloaded, "too many checks wait for the counters"))
            }
            false => Ok(()),
        }
    }

    /// Takes back the unspent amounts of requests that cannot be granted now, so that these amounts are not lost.
    fn take_back_unspent(&mut self, requests: &LeaseRequests, source: &impl AccountSource) {
        for LeaseRequest { key, window, unspent, .. } in requests {
            if let Some((slice, amount)) = *unspent {
                let unspent = Unspent { key: key.clone(), window: *window, slice, amount };
                // An account that cannot be read stays charged.
                let _ = self.ledger.give_back(&unspent, source);
            }
        }
    }

    /// Takes back the grants of a failed write: they were not handed out, so they were certainly not used, even if the
    /// write should be durable.
    fn take_back_grants(&mut self, waiting: &WaitingGrant, source: &impl AccountSource) {
        for (request, grant) in waiting.requests.iter().zip(&waiting.grants) {
            let (key, window) = (request.key.clone(), request.window);
            let unspent = Unspent { key, window, slice: grant.slice, amount: grant.amount };
            let _ = self.ledger.give_back(&unspent, source);
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
    /// Writes until the counters are closed: takes the changes that wait under the lock, writes them without it, takes
    /// the lock again to settle the outcome, and answers without it.
    ///
    /// A failed write is not fatal: its grants are taken back and answered with the error, and after a pause the engine
    /// is recovered and the accounts are written again.
    fn run(&self) {
        loop {
            let mut pending = self.pending.lock();
            while !pending.has_work() {
                self.work.wait(&mut pending);
            }
            let (waiting, flushes) =
                (std::mem::take(&mut pending.waiting), std::mem::take(&mut pending.flushes));
            let closed = pending.closed;
            let down = pending.down;
            let accounts: Vec<(CounterKey, Account)> =
                pending.ledger.rows().map(|(key, account)| (key.clone(), account.clone())).collect();
            drop(pending);
            let written = if down { self.kv.recover() } else { Ok(()) }.and_then(|()| self.write(&accounts));
            self.wrote(accounts, &written, &waiting);
            for WaitingGrant { answer, grants, .. } in waiting {
                answer(written.clone().map(|()| LeaseAnswer::Granted(grants)));
            }
            for flush in flushes {
                // The caller that waited may have given up.
                let _ = flush.send(written.clone());
            }
            if closed {
                return;
            }
            if written.is_err() {
                let mut pending = self.pending.lock();
                if !pending.closed {
                    self.work.wait_for(&mut pending, RETRY);
                }
            }
        }
    }

    fn write(&self, accounts: &[(CounterKey, Account)]) -> Result<()> {
        if accounts.is_empty() {
            return Ok(());
        }
        let mut rows = WriteBatch::with_capacity(accounts.len(), accounts.len() * 96);
        for (key, account) in accounts {
            rows.put(Table::Counters, &[key.as_bytes()], &[&account.to_bytes()]);
        }
        self.kv.write(&rows)
    }

    /// Settles the outcome of a write: forgets the accounts that are durable as they are, or takes back the grants of a
    /// failed write.
    fn wrote(&self, accounts: Vec<(CounterKey, Account)>, written: &Result<()>, waiting: &[WaitingGrant]) {
        let mut pending = self.pending.lock();
        pending.down = written.is_err();
        if pending.down {
            waiting.iter().for_each(|waiting| pending.take_back_grants(waiting, &*self.kv));
            return;
        }
        let durable: HashMap<_, _, RandomState> = accounts.into_iter().collect();
        pending.ledger.retain(|key, account| durable.get(key) != Some(account));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use smallvec::smallvec;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::ids::{AgentId, OrganizationId};
    use crate::policy::WindowKind;
    use crate::storage::kv::Pair;

    /// Fails writes when told to, and counts those that succeed.
    #[derive(Default)]
    struct Disk {
        rows: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
        broken: AtomicBool,
        writes: AtomicU64,
        /// Makes writes wait while a test holds it.
        gate: Mutex<()>,
    }

    impl Kv for Disk {
        fn name(&self) -> &'static str {
            "disk"
        }
        fn get(&self, _: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
            Ok(self.rows.lock().get(key).cloned())
        }
        fn range(&self, _: Table, _: &[u8], _: &[u8], _: bool, _: usize) -> Result<Vec<Pair>> {
            Ok(Vec::new())
        }
        fn write(&self, rows: &WriteBatch) -> Result<()> {
            let _gate = self.gate.lock();
            self.recover()?;
            self.writes.fetch_add(1, Ordering::SeqCst);
            let set = rows.iter().filter_map(|(_, key, value)| Some((key.to_vec(), value?.to_vec())));
            self.rows.lock().extend(set);
            Ok(())
        }
        fn recover(&self) -> Result<()> {
            match self.broken.load(Ordering::SeqCst) {
                true => Err(Error::new(ErrorKind::NoSpace, "the disk is full")),
                false => Ok(()),
            }
        }
    }

    fn counters(disk: &Arc<Disk>) -> KvCounters<Disk> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_767_225_600_000_000)));
        KvCounters::open(Arc::clone(disk), clock).unwrap()
    }

    fn window() -> Window {
        Window::new(WindowKind::Fixed, 3600)
    }

    fn key(agent: &str) -> CounterKey {
        CounterKey::agent(&OrganizationId::default(), &AgentId::parse(agent).unwrap(), "API")
    }

    fn lease(counters: &KvCounters<Disk>, agent: &str, need: u64) -> Receiver<Result<LeaseAnswer>> {
        let (answer, answered) = channel();
        let request = LeaseRequest {
            key: key(agent),
            window: window(),
            limit: 10,
            need,
            spare: 0,
            ahead: true,
            unspent: None,
        };
        counters.lease(smallvec![request], Box::new(move |leased| answer.send(leased).unwrap()));
        answered
    }

    fn answer(answered: &Receiver<Result<LeaseAnswer>>) -> Result<LeaseAnswer> {
        answered.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn a_grant_is_answered_only_when_it_is_durable_and_those_that_wait_share_a_write() {
        let disk = Arc::new(Disk::default());
        let counters = counters(&disk);
        let gate = disk.gate.lock();
        let first = lease(&counters, "a", 1);
        let others: Vec<_> = (0..1000).map(|n| lease(&counters, &format!("b{n}"), 1)).collect();
        assert!(first.try_recv().is_err(), "it was answered before it was written");
        let refused = answer(&lease(&counters, "a", 10)).unwrap();
        assert!(matches!(refused, LeaseAnswer::Refused { charged: 1, .. }), "a refusal waits for nothing");
        drop(gate);
        assert!(matches!(answer(&first), Ok(LeaseAnswer::Granted(_))));
        others.iter().for_each(|other| assert!(matches!(answer(other), Ok(LeaseAnswer::Granted(_)))));
        assert!(disk.writes.load(Ordering::SeqCst) <= 3, "{:?} writes", disk.writes);
    }

    #[test]
    fn a_failed_write_grants_and_charges_nothing_and_is_recovered_from() {
        let disk = Arc::new(Disk::default());
        let counters = counters(&disk);
        disk.broken.store(true, Ordering::SeqCst);
        assert_eq!(answer(&lease(&counters, "a", 4)).unwrap_err().kind(), ErrorKind::NoSpace);
        // Counters that cannot write say so at once.
        while answer(&lease(&counters, "a", 1)).unwrap_err().kind() != ErrorKind::Unavailable {}
        disk.broken.store(false, Ordering::SeqCst);
        let started = Instant::now();
        let granted = loop {
            match answer(&lease(&counters, "a", 10)) {
                Ok(leased) => break leased,
                Err(_) => assert!(started.elapsed() < Duration::from_secs(10), "it does not recover"),
            }
        };
        assert!(matches!(granted, LeaseAnswer::Granted(_)), "{granted:?}");
        drop(counters);
        assert_eq!(disk.load(&key("a")).unwrap().unwrap().total(), 10);
    }

    #[test]
    fn what_was_given_back_is_durable_after_a_clean_end() {
        let disk = Arc::new(Disk::default());
        let counters = counters(&disk);
        let Ok(LeaseAnswer::Granted(grants)) = answer(&lease(&counters, "a", 10)) else {
            panic!("not granted")
        };
        let slice = grants.first().unwrap().slice;
        counters.give_back(Unspent { key: key("a"), window: window(), slice, amount: 7 });
        drop(counters);
        assert_eq!(disk.load(&key("a")).unwrap().unwrap().total(), 3);
    }

    #[test]
    fn accounts_are_forgotten_once_they_are_durable() {
        let disk = Arc::new(Disk::default());
        let counters = counters(&disk);
        let waiting: Vec<_> = (0..5000).map(|n| lease(&counters, &format!("a{n}"), 1)).collect();
        waiting.iter().for_each(|other| drop(answer(other).unwrap()));
        assert!(counters.shared.pending.lock().ledger.len() < 5000);
        pollster::block_on(counters.flush()).unwrap();
        assert_eq!(counters.shared.pending.lock().ledger.len(), 0);
    }
}
