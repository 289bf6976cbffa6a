//! Counters that ask Redis first, and the durable authority when a chunk in Redis has too little.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_channel::oneshot;
use futures_util::future::join_all;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::mpsc;

use super::chunks::{Chunks, Peeked};
use super::error::is_not_run;
use super::link::Connection;
use super::reply::{Have, Over};
use crate::ceiling::{
    Charged, CounterKey, Grant, LeaseAnswer, LeaseRequest, LeaseRequests, MAX_AMOUNT, Refusal, Unspent,
    Window,
};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::coalescer::closed;
use crate::storage::counters::{CounterStore, LeaseCallback};

/// Most checks that may wait, and most amounts that may be on their way back; an amount beyond it stays charged.
const MAX_WAITING: usize = 65_536;
/// Most amounts that are given back at a time.
const MAX_RETURNS: usize = 1024;

pub(super) struct RedisCounters {
    shared: Arc<Shared>,
    returns: mpsc::Sender<Return>,
    /// Number of checks that wait.
    waiting: Arc<AtomicUsize>,
    warnings: Vec<String>,
}

/// The state that the checks share with the task that takes amounts back.
struct Shared {
    chunks: Arc<Chunks>,
    durable: Arc<dyn CounterStore>,
    /// Counters whose chunks are being refilled: the checks that come meanwhile ask only for their own amounts. It is
    /// locked only to add or remove keys, never over an await; the check that added a key removes it whether its refill
    /// succeeds or fails.
    refilling: Mutex<HashSet<CounterKey>>,
}

enum Return {
    Unspent(Unspent),
    Flush(oneshot::Sender<Result<()>>),
}

/// A counter whose chunk has too little: its place in the check, the request, and the refill if this check makes it.
struct Short<'a> {
    place: usize,
    request: &'a LeaseRequest,
    refill: Option<Refill>,
}

/// The refill of a chunk with a grant. Only one check of this engine makes it for a counter at a time.
#[derive(Clone, Copy)]
struct Refill {
    /// Redis' time before the durable authority is asked.
    at: i64,
    /// The amount that the chunk had left.
    left: u64,
}

/// The result of asking a chunk.
enum Took {
    Enough(Grant),
    /// The durable authority is to be asked. `None`: its grant is for the asker alone.
    Short(Option<Refill>),
}

impl RedisCounters {
    pub(super) fn new(chunks: Arc<Chunks>, durable: Arc<dyn CounterStore>, warnings: Vec<String>) -> Self {
        let shared = Arc::new(Shared { chunks, durable, refilling: Mutex::default() });
        let (returns, queue) = mpsc::channel(MAX_WAITING);
        let worker = Arc::clone(&shared);
        shared.chunks.link.spawn(async move { worker.take_back(queue).await });
        Self { shared, returns, waiting: Arc::default(), warnings }
    }
}

#[async_trait]
impl CounterStore for RedisCounters {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn is_local(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback) {
        let Some(connection) = self.shared.chunks.link.connection() else {
            return self.shared.durable.lease(requests, answer);
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let issue = "too many checks wait for the counters";
            return answer(Err(Error::new(ErrorKind::Overloaded, issue)));
        }
        let (shared, waiting) = (Arc::clone(&self.shared), Arc::clone(&self.waiting));
        self.shared.chunks.link.spawn(async move {
            let leased = shared.settle(&connection, requests).await;
            waiting.fetch_sub(1, Ordering::Relaxed);
            answer(leased);
        });
    }

    fn give_back(&self, unspent: Unspent) {
        // An amount that cannot be queued stays charged.
        let _ = self.returns.try_send(Return::Unspent(unspent));
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        // The flush makes the amounts that were given back before visible.
        self.flush().await?;
        let (shared, counters) = (Arc::clone(&self.shared), counters.to_vec());
        self.shared.chunks.link.run(async move { shared.charged(&counters).await }).await
    }

    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        self.flush().await?;
        let (shared, counters) = (Arc::clone(&self.shared), counters.to_vec());
        self.shared.chunks.link.run(async move { shared.reset(&counters).await }).await
    }

    async fn flush(&self) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        self.returns.send(Return::Flush(done)).await.map_err(|_| closed())?;
        flushed.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Shared {
    /// Grants all requests or none: from the chunks, and from the durable authority where a chunk has too little. If
    /// the durable authority does not grant, the amounts that were taken from chunks are given back.
    async fn settle(&self, connection: &Connection, requests: LeaseRequests) -> Result<LeaseAnswer> {
        let took = join_all(requests.iter().map(|request| self.take(connection, request))).await;
        let mut grants: SmallVec<[Option<Grant>; 1]> = SmallVec::with_capacity(requests.len());
        let mut short = Vec::new();
        for (place, (request, took)) in requests.iter().zip(took).enumerate() {
            grants.push(match took {
                Took::Enough(grant) => Some(grant),
                Took::Short(refill) => {
                    short.push(Short { place, request, refill });
                    None
                }
            });
        }
        if short.is_empty() {
            return Ok(LeaseAnswer::Granted(grants.into_iter().flatten().collect()));
        }
        let refused = match self.ask_durable(connection, &short).await {
            Ok(LeaseAnswer::Granted(more)) if more.len() == short.len() => {
                let refills =
                    short.iter().zip(&more).map(|(short, grant)| self.refill(connection, short, grant));
                let refilled = join_all(refills).await;
                self.refilled(&short);
                for (short, grant) in short.iter().zip(refilled) {
                    if let Some(place) = grants.get_mut(short.place) {
                        *place = Some(grant);
                    }
                }
                return Ok(LeaseAnswer::Granted(grants.into_iter().flatten().collect()));
            }
            Ok(LeaseAnswer::Granted(_)) => Err(Error::new(ErrorKind::Corrupt, "a grant is missing")),
            Ok(LeaseAnswer::Refused { place, refusal, charged, slice }) => {
                let place = short.get(place).map_or(place, |short| short.place);
                Ok(LeaseAnswer::Refused { place, refusal, charged, slice })
            }
            Err(error) => Err(error),
        };
        self.refilled(&short);
        let back = requests
            .iter()
            .zip(grants)
            .filter_map(|(request, grant)| Some(unspent(request, grant?.slice, grant?.amount)));
        join_all(back.map(|unspent| self.give(connection, unspent))).await;
        refused
    }

    /// Asks a chunk. An error is not fatal: the durable authority is asked instead.
    async fn take(&self, connection: &Connection, request: &LeaseRequest) -> Took {
        let give_back = |(slice, amount)| self.durable.give_back(unspent(request, slice, amount));
        // Exact ceilings are counted by the durable authority alone.
        if !request.ahead {
            request.unspent.into_iter().for_each(give_back);
            return Took::Short(None);
        }
        match self.chunks.take(connection, request).await {
            Ok(taken) => {
                request.unspent.filter(|_| !taken.taken_back).into_iter().for_each(give_back);
                match taken.have {
                    Have::Enough(grant) => Took::Enough(grant),
                    Have::Short { at, left, over } => {
                        self.give_back_over(request, over);
                        let first = self.refilling.lock().insert(request.key.clone());
                        Took::Short(first.then_some(Refill { at, left }))
                    }
                }
            }
            Err(error) => {
                // If the call may have run, the unspent amount is perhaps back, and a second time would be too much.
                request.unspent.filter(|_| is_not_run(&error)).into_iter().for_each(give_back);
                Took::Short(None)
            }
        }
    }

    /// Asks the durable authority for the requests that are short, and, to refill their chunks, for as much more as it
    /// gives ahead of need. If it refuses although the amounts that Redis holds could be enough, or because its clock
    /// was set back, these amounts are given back to it, and it is asked once more.
    async fn ask_durable(&self, connection: &Connection, short: &[Short<'_>]) -> Result<LeaseAnswer> {
        let wanted = |Short { request, refill, .. }: &Short<'_>| {
            let spare = if refill.is_some() { MAX_AMOUNT - request.need } else { request.spare };
            LeaseRequest { spare, unspent: None, ..(*request).clone() }
        };
        let wanted: LeaseRequests = short.iter().map(wanted).collect();
        let leased = self.lease_durable(wanted.clone()).await;
        let Ok(LeaseAnswer::Refused { place, refusal, charged, slice }) = leased else { return leased };
        let Some(Short { request, refill, .. }) = short.get(place) else { return leased };
        let left = refill.map(|refill| refill.left);
        let room = request.limit.saturating_add(left.unwrap_or(MAX_AMOUNT)).saturating_sub(charged);
        if (room >= request.need || refusal == Refusal::ClockSetBack)
            && self.drain(connection, wanted.iter().map(|request| (&request.key, request.window))).await
        {
            return self.lease_durable(wanted).await;
        }
        // The amount that stays in Redis is not used, so the answer does not count it.
        let charged = charged.saturating_sub(left.unwrap_or(0));
        Ok(LeaseAnswer::Refused { place, refusal, charged, slice })
    }

    /// Lets other checks refill the chunks that this check was to refill.
    fn refilled(&self, short: &[Short<'_>]) {
        let mut refilling = self.refilling.lock();
        for short in short.iter().filter(|short| short.refill.is_some()) {
            refilling.remove(&short.request.key);
        }
    }

    /// Brings a grant to Redis, and gives the asker's part of it.
    async fn refill(&self, connection: &Connection, short: &Short<'_>, grant: &Grant) -> Grant {
        let request = short.request;
        let Some(Refill { at, .. }) = short.refill else { return *grant };
        match self.chunks.refill(connection, request, grant, at).await {
            Ok(Some((part, over))) => {
                self.give_back_over(request, over);
                // The durable authority knows better than Redis how long the grant is valid.
                return Grant { valid_for: grant.valid_for, ..part };
            }
            // Redis has refused the grant.
            Ok(None) => {}
            Err(error) if is_not_run(&error) => {}
            // If the call was lost on the way, the whole grant can be used; if the script ran to its end, it has kept
            // the needed amount for this very check.
            Err(_) => return Grant { amount: request.need, ..*grant },
        }
        let amount = request.need + request.spare.min(grant.amount.saturating_sub(request.need));
        let rest = grant.amount.saturating_sub(amount);
        if rest > 0 {
            self.durable.give_back(unspent(request, grant.slice, rest));
        }
        Grant { amount, charged: grant.charged.saturating_sub(rest), ..*grant }
    }

    /// Asks the durable authority.
    async fn lease_durable(&self, requests: LeaseRequests) -> Result<LeaseAnswer> {
        let (done, answer) = oneshot::channel();
        let receive = Box::new(move |leased| {
            // No caller waits any more once the adapter is closed: an amount that is granted then stays charged.
            let _ = done.send(leased);
        });
        self.durable.lease(requests, receive);
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Gives the rest of a chunk that is over back to the durable authority.
    fn give_back_over(&self, request: &LeaseRequest, over: Option<Over>) {
        if let Some(unspent) = over.and_then(|over| over.of(&request.key)) {
            self.durable.give_back(unspent);
        }
    }

    /// Gives the amounts that Redis holds of these counters back to the durable authority. Says whether there are any.
    async fn drain(
        &self,
        connection: &Connection,
        counters: impl Iterator<Item = (&CounterKey, Window)>,
    ) -> bool {
        let drains = counters.map(|(key, window)| self.chunks.drain(connection, key, window));
        let drained = join_all(drains).await;
        let unspent: Vec<Unspent> =
            drained.into_iter().filter_map(|drained| drained.ok().flatten()).collect();
        let any = !unspent.is_empty();
        unspent.into_iter().for_each(|unspent| self.durable.give_back(unspent));
        any
    }

    /// Brings the durable counters back to the clock. A chunk that is ahead too goes back before that.
    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        if let Some(connection) = self.chunks.link.connection() {
            self.drain(&connection, counters.iter().map(|(key, window)| (key, *window))).await;
        }
        self.durable.flush().await?;
        self.durable.reset(counters).await
    }

    /// Takes back the amounts that were not spent, in the order in which they were given back. A flush is answered
    /// after the amounts before it were given to the chunks or to the durable authority, and that was flushed.
    async fn take_back(&self, mut queue: mpsc::Receiver<Return>) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, MAX_RETURNS).await > 0 {
            let mut flushes = Vec::new();
            let connection = self.chunks.link.connection();
            let mut given = Vec::new();
            for returned in batch.drain(..) {
                match (returned, &connection) {
                    (Return::Unspent(unspent), Some(connection)) => {
                        given.push(self.give(connection, unspent))
                    }
                    (Return::Unspent(unspent), None) => self.durable.give_back(unspent),
                    (Return::Flush(done), _) => flushes.push(done),
                }
            }
            join_all(given).await;
            if flushes.is_empty() {
                continue;
            }
            let flushed = self.durable.flush().await;
            for done in flushes {
                // The caller that waited may have given up.
                let _ = done.send(flushed.clone());
            }
        }
    }

    /// Gives an amount back to its chunk, or to the durable authority if it does not belong to the chunk.
    async fn give(&self, connection: &Connection, unspent: Unspent) {
        match self.chunks.give(connection, &unspent).await {
            Ok(true) => {}
            Ok(false) => self.durable.give_back(unspent),
            Err(error) if is_not_run(&error) => self.durable.give_back(unspent),
            // The amount is perhaps back, and a second time would be too much: it stays charged.
            Err(_) => {}
        }
    }

    /// The amounts that are charged durably, less the amounts that Redis holds: the smaller one of before and after the
    /// read, if the chunk was not refilled or taken away in between.
    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let before = self.peek(counters).await;
        let mut all = self.durable.charged(counters).await?;
        let after = self.peek(counters).await;
        for (((_, window), charged), seen) in counters.iter().zip(&mut all).zip(before.into_iter().zip(after))
        {
            if let (Some(before), Some(after)) = seen
                && (before.turn, before.slice) == (after.turn, after.slice)
                && window.counts(before.slice, charged.slice)
            {
                charged.amount = charged.amount.saturating_sub(before.left.min(after.left));
            }
        }
        Ok(all)
    }

    async fn peek(&self, counters: &[(CounterKey, Window)]) -> Vec<Option<Peeked>> {
        let Some(connection) = self.chunks.link.connection() else { return vec![None; counters.len()] };
        let peek = |(key, window): &(CounterKey, Window)| {
            let (key, window, connection) = (key.clone(), *window, &connection);
            async move { self.chunks.peek(connection, &key, window).await.ok().flatten() }
        };
        join_all(counters.iter().map(peek)).await
    }
}

fn unspent(request: &LeaseRequest, slice: i64, amount: u64) -> Unspent {
    Unspent { key: request.key.clone(), window: request.window, slice, amount }
}
