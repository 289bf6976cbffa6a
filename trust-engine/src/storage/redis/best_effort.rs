//! Redis as the authority itself: best effort, because an amount that it forgets is granted again.
//!
//! The arithmetic is the ledger's, as everywhere. A round reads its accounts with the server's time, settles them in
//! memory, and writes them if none has changed meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use redis::Script;

use super::link::{Connection, Link};
use crate::ceiling::{
    Account, AccountSource, Charged, CounterKey, LeaseAnswer, LeaseRequest, LeaseRequests, Ledger, Unspent,
    Window,
};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::policy::WindowKind;
use crate::storage::coalescer::{Coalescer, Round};
use crate::storage::counters::{CounterStore, LeaseCallback};
use crate::storage::runtime::Time;

/// Attempts of a round while other engines change its accounts.
const ATTEMPTS: u32 = 100;

pub(super) struct RedisBestEffort {
    coalescer: Arc<Coalescer>,
    accounts: Arc<Accounts>,
}

/// The accounts in Redis. Their keys share a hash tag, so that one script can write several of them on a cluster too.
struct Accounts {
    link: Arc<Link>,
    prefix: Vec<u8>,
    time: Time,
    read: Script,
    write: Script,
}

impl RedisBestEffort {
    pub(super) fn open(link: Arc<Link>, prefix: &str, time: Time) -> Self {
        let accounts = Arc::new(Accounts {
            link: Arc::clone(&link),
            prefix: format!("{{{prefix}}}:account:").into_bytes(),
            time,
            read: Script::new(include_str!("scripts/read.lua")),
            write: Script::new(include_str!("scripts/write.lua")),
        });
        let coalescer = Arc::new(Coalescer::default());
        let (worker, all) = (Arc::clone(&coalescer), Arc::clone(&accounts));
        let settle = move |round: Arc<Round>| {
            let accounts = Arc::clone(&all);
            async move { accounts.settle(&round).await }
        };
        link.spawn(async move { worker.run(settle).await });
        Self { coalescer, accounts }
    }

    /// Settles a round for a key that no resource has, so that a missing permission shows at once.
    pub(super) async fn probe(&self) -> Result<()> {
        // No resource has an empty name.
        let (key, window) = (CounterKey::fleet(""), Window::new(WindowKind::Fixed, 1));
        let accounts = Arc::clone(&self.accounts);
        let request = LeaseRequest { key, window, limit: 1, need: 1, spare: 0, ahead: false, unspent: None };
        let round = Round { checks: vec![LeaseRequests::from_iter([request])], unspent: Vec::new() };
        self.accounts.link.run(async move { accounts.settle(&round).await }).await.map(drop)
    }
}

#[async_trait]
impl CounterStore for RedisBestEffort {
    fn name(&self) -> &'static str {
        "redis, best effort"
    }

    fn is_local(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        vec!["ceilings are counted in Redis alone: what it forgets is granted again".into()]
    }

    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback) {
        self.coalescer.lease(requests, answer);
    }

    fn give_back(&self, unspent: Unspent) {
        self.coalescer.give_back(unspent);
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        self.flush().await?;
        let (accounts, counters) = (Arc::clone(&self.accounts), counters.to_vec());
        self.accounts.link.run(async move { accounts.charged(&counters).await }).await
    }

    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        self.flush().await?;
        let (accounts, counters) = (Arc::clone(&self.accounts), counters.to_vec());
        self.accounts.link.run(async move { accounts.reset(&counters).await }).await
    }

    async fn flush(&self) -> Result<()> {
        self.coalescer.flush().await
    }
}

impl Drop for RedisBestEffort {
    fn drop(&mut self) {
        self.coalescer.close();
    }
}

/// Accounts as they were read.
struct Read {
    now: Timestamp,
    accounts: HashMap<Vec<u8>, Account>,
    /// The accounts' bytes, in the order of the keys; empty for an account that is not there.
    bytes: Vec<Vec<u8>>,
}

impl AccountSource for Read {
    fn load(&self, key: &CounterKey) -> Result<Option<Account>> {
        Ok(self.accounts.get(key.as_bytes()).cloned())
    }
}

impl Accounts {
    async fn settle(&self, round: &Round) -> Result<Vec<Result<LeaseAnswer>>> {
        let asked = round.checks.iter().flatten().map(|request| &request.key);
        let mut keys: Vec<&CounterKey> =
            asked.chain(round.unspent.iter().map(|unspent| &unspent.key)).collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.settle_accounts(&keys, |ledger, read| {
            for unspent in &round.unspent {
                ledger.give_back(unspent, read)?;
            }
            Ok(round.checks.iter().map(|requests| ledger.lease(requests, read.now, read)).collect())
        })
        .await
    }

    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        let mut keys: Vec<&CounterKey> = counters.iter().map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        self.settle_accounts(&keys, |ledger, read| {
            counters.iter().map(|(key, _)| ledger.reset(key, read.now, read)).collect()
        })
        .await
    }

    /// Reads accounts, changes them in memory and writes them, again if another engine has changed one meanwhile.
    async fn settle_accounts<T>(
        &self,
        keys: &[&CounterKey],
        change: impl Fn(&mut Ledger, &Read) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let read = self.read(keys).await?;
            let mut ledger = Ledger::default();
            let changed = change(&mut ledger, &read)?;
            if self.write(keys, &read, &ledger).await? {
                return Ok(changed);
            }
        }
        let issue = format!("the accounts changed {ATTEMPTS} times while they were settled");
        Err(Error::new(ErrorKind::Unavailable, issue))
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let keys: Vec<&CounterKey> = counters.iter().map(|(key, _)| key).collect();
        let read = self.read(&keys).await?;
        let ledger = Ledger::default();
        counters.iter().map(|(key, window)| ledger.charged(key, *window, read.now, &read)).collect()
    }

    async fn read(&self, keys: &[&CounterKey]) -> Result<Read> {
        let names = self.names(keys);
        let mut bytes: Vec<Vec<u8>> =
            self.link.eval_many(&self.connection()?, &self.read, &names, &[]).await?;
        let seconds_and_micros: Vec<i64> =
            bytes.drain(..2).filter_map(|number| std::str::from_utf8(&number).ok()?.parse().ok()).collect();
        let now = match (&self.time, &*seconds_and_micros) {
            (Time::Given(clock), _) => clock.now(),
            (Time::Server, [seconds, micros]) => Timestamp::from_micros(seconds * 1_000_000 + micros),
            _ => return Err(Error::new(ErrorKind::Corrupt, "Redis tells no time")),
        };
        let mut accounts = HashMap::new();
        for (key, bytes) in keys.iter().zip(&bytes).filter(|(_, bytes)| !bytes.is_empty()) {
            accounts.insert(key.as_bytes().to_vec(), Account::parse(bytes)?);
        }
        Ok(Read { now, accounts, bytes })
    }

    /// Writes the accounts that the round changed, unless another engine changed one of them since they were read. Says
    /// whether they are written.
    async fn write(&self, keys: &[&CounterKey], read: &Read, ledger: &Ledger) -> Result<bool> {
        let changed: HashMap<&CounterKey, &Account> = ledger.rows().collect();
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for (key, old) in keys.iter().zip(&read.bytes) {
            let Some(account) = changed.get(key) else { continue };
            rows.push(*key);
            values.extend([old.clone(), account.to_bytes(), life(account)]);
        }
        if rows.is_empty() {
            return Ok(true);
        }
        let written: Vec<u8> =
            self.link.eval_many(&self.connection()?, &self.write, &self.names(&rows), &values).await?;
        Ok(written == b"1")
    }

    fn connection(&self) -> Result<Connection> {
        let down = || Error::new(ErrorKind::Unavailable, "Redis does not answer; it is tried again");
        self.link.connection().ok_or_else(down)
    }

    fn names(&self, keys: &[&CounterKey]) -> Vec<Vec<u8>> {
        keys.iter().map(|key| [&*self.prefix, key.as_bytes()].concat()).collect()
    }
}

/// Milliseconds after which nothing of an account counts.
fn life(account: &Account) -> Vec<u8> {
    (2000 * u64::from(account.window().seconds())).to_string().into_bytes()
}
