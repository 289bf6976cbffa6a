//! StatCounts that are asked in Redis first and at the durable authority when a chunk there has too little.

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

/// Checks that may wait, and amounts that may be on their way back; what is beyond it stays charged.
const MAX_WAITING: usize = 65_536;
/// Amounts that travel back together.
const MAX_RETURNS: usize = 1024;

pub(super) struct RedisCounters {
    shared: Arc<Shared>,
    returns: mpsc::Sender<Return>,
    waiting: Arc<AtomicUsize>,
    warnings: Vec<String>,
}

struct Shared {
    chunks: Arc<Chunks>,
    durable: Arc<dyn CounterStore>,
    /// StatCounts whose chunks are being refilled: the checks that come meanwhile ask only for what they need.
    refilling: Mutex<HashSet<CounterKey>>,
}

enum Return {
    Unspent(Unspent),
    Flush(oneshot::Sender<Result<()>>),
}

/// A counter whose chunk has too little: its place in the check, and what is asked.
struct Short<'a> {
    place: usize,
    request: &'a LeaseRequest,
    refill: Option<Refill>,
}

/// That a grant is to go to Redis.
#[derive(Clone, Copy)]
struct Refill {
    /// Redis' time before the durable authority is asked.
    at: i64,
    /// What the chunk had left.
    left: u64,
}

/// What came of asking a chunk.
enum Took {
    Enough(Grant),
    /// `None`: the grant is for the asker alone.
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
        // Otherwise it stays charged.
        let _ = self.returns.try_send(Return::Unspent(unspent));
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        // What was given back before is seen.
        self.flush().await?;
        let (shared, counters) = (Arc::clone(&self.shared), counters.to_vec());
        self.shared.chunks.link.run(async move { shared.charged(&counters).await }).await
    }

    async fn flush(&self) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        self.returns.send(Return::Flush(done)).await.map_err(|_| closed())?;
        flushed.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Shared {
    /// All asks or none: from the chunks, and where they have too little from the durable authority.
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

    /// What a chunk gives.
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
                // If it may have run, what was not spent is perhaps back, and twice would be too much.
                request.unspent.filter(|_| is_not_run(&error)).into_iter().for_each(give_back);
                Took::Short(None)
            }
        }
    }

    /// Asks for what is short, and for as much more as the authority gives ahead of need, for Redis. Where it has too little,
    /// and what Redis holds would be enough, it is given that back first.
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
        if (room >= request.need || refusal == Refusal::ClockSetBack) && self.drain(connection, &wanted).await
        {
            return self.lease_durable(wanted).await;
        }
        // What stays in Redis is not used.
        let charged = charged.saturating_sub(left.unwrap_or(0));
        Ok(LeaseAnswer::Refused { place, refusal, charged, slice })
    }

    /// Lets others refill these.
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
                // The authority's word on how long it is valid is better than Redis'.
                return Grant { valid_for: grant.valid_for, ..part };
            }
            // Redis has not taken it.
            Ok(None) => {}
            Err(error) if is_not_run(&error) => {}
            // Either it is lost on the way, and all of it can be used, or Redis has kept what is needed for this very check.
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
            // Nobody waits any more when the adapter is closed: what was granted then stays charged.
            let _ = done.send(leased);
        });
        self.durable.lease(requests, receive);
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// What is left of a chunk that is over goes back to the durable authority.
    fn give_back_over(&self, request: &LeaseRequest, over: Option<Over>) {
        if let Some(unspent) = over.and_then(|over| over.of(&request.key)) {
            self.durable.give_back(unspent);
        }
    }

    /// Gives what Redis holds of these counters back to the durable authority. Whether that is anything.
    async fn drain(&self, connection: &Connection, requests: &LeaseRequests) -> bool {
        let drains =
            requests.iter().map(|request| self.chunks.drain(connection, &request.key, request.window));
        let drained = join_all(drains).await;
        let unspent: Vec<Unspent> =
            drained.into_iter().filter_map(|drained| drained.ok().flatten()).collect();
        let any = !unspent.is_empty();
        unspent.into_iter().for_each(|unspent| self.durable.give_back(unspent));
        any
    }

    /// Takes back what engines did not spend, in the order in which they gave it back.
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
                // Whoever waited may have given up.
                let _ = done.send(flushed.clone());
            }
        }
    }

    async fn give(&self, connection: &Connection, unspent: Unspent) {
        match self.chunks.give(connection, &unspent).await {
            Ok(true) => {}
            Ok(false) => self.durable.give_back(unspent),
            Err(error) if is_not_run(&error) => self.durable.give_back(unspent),
            // It is perhaps back, and twice would be too much.
            Err(_) => {}
        }
    }

    /// What is charged durably, less what Redis holds of it: as much as was there before and after, if it was not refilled
    /// or taken away in between.
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
