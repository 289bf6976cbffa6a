//! Counters that are asked in Redis first and at the durable authority when a chunk there has too little.

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
use super::link::Line;
use super::reply::{Have, Over};
use crate::ceiling::{CounterKey, MAX_AMOUNT, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::counters::{Answer, Ask, Asks, Charged, CounterStore, Grant, Leased, Refusal, Unspent};
use crate::storage::rounds::closed;

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
    /// Counters whose chunks are being refilled: the checks that come meanwhile ask only for what they need.
    refilling: Mutex<HashSet<CounterKey>>,
}

enum Return {
    Unspent(Unspent),
    Flush(oneshot::Sender<Result<()>>),
}

/// A counter whose chunk has too little: its place in the check, and what is asked.
struct Short<'a> {
    place: usize,
    ask: &'a Ask,
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

    fn lease(&self, asks: Asks, answer: Answer) {
        let Some(line) = self.shared.chunks.link.line() else {
            return self.shared.durable.lease(asks, answer);
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let issue = "too many checks wait for the counters";
            return answer(Err(Error::new(ErrorKind::Overloaded, issue)));
        }
        let (shared, waiting) = (Arc::clone(&self.shared), Arc::clone(&self.waiting));
        self.shared.chunks.link.spawn(async move {
            let leased = shared.settle(&line, asks).await;
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
    async fn settle(&self, line: &Line, asks: Asks) -> Result<Leased> {
        let took = join_all(asks.iter().map(|ask| self.take(line, ask))).await;
        let mut grants: SmallVec<[Option<Grant>; 1]> = SmallVec::with_capacity(asks.len());
        let mut short = Vec::new();
        for (place, (ask, took)) in asks.iter().zip(took).enumerate() {
            grants.push(match took {
                Took::Enough(grant) => Some(grant),
                Took::Short(refill) => {
                    short.push(Short { place, ask, refill });
                    None
                }
            });
        }
        if short.is_empty() {
            return Ok(Leased::Granted(grants.into_iter().flatten().collect()));
        }
        let refused = match self.ask_durable(line, &short).await {
            Ok(Leased::Granted(more)) if more.len() == short.len() => {
                let refills = short.iter().zip(&more).map(|(short, grant)| self.refill(line, short, grant));
                let refilled = join_all(refills).await;
                self.refilled(&short);
                for (short, grant) in short.iter().zip(refilled) {
                    if let Some(place) = grants.get_mut(short.place) {
                        *place = Some(grant);
                    }
                }
                return Ok(Leased::Granted(grants.into_iter().flatten().collect()));
            }
            Ok(Leased::Granted(_)) => Err(Error::new(ErrorKind::Corrupt, "a grant is missing")),
            Ok(Leased::Refused { place, refusal, charged, slice }) => {
                let place = short.get(place).map_or(place, |short| short.place);
                Ok(Leased::Refused { place, refusal, charged, slice })
            }
            Err(error) => Err(error),
        };
        self.refilled(&short);
        let back = asks
            .iter()
            .zip(grants)
            .filter_map(|(ask, grant)| Some(unspent(ask, grant?.slice, grant?.amount)));
        join_all(back.map(|unspent| self.give(line, unspent))).await;
        refused
    }

    /// What a chunk gives.
    async fn take(&self, line: &Line, ask: &Ask) -> Took {
        let give_back = |(slice, amount)| self.durable.give_back(unspent(ask, slice, amount));
        // Exact ceilings are counted by the durable authority alone.
        if !ask.ahead {
            ask.unspent.into_iter().for_each(give_back);
            return Took::Short(None);
        }
        match self.chunks.take(line, ask).await {
            Ok(taken) => {
                ask.unspent.filter(|_| !taken.taken_back).into_iter().for_each(give_back);
                match taken.have {
                    Have::Enough(grant) => Took::Enough(grant),
                    Have::Short { at, left, over } => {
                        self.give_back_over(ask, over);
                        let first = self.refilling.lock().insert(ask.key.clone());
                        Took::Short(first.then_some(Refill { at, left }))
                    }
                }
            }
            Err(error) => {
                // If it may have run, what was not spent is perhaps back, and twice would be too much.
                ask.unspent.filter(|_| is_not_run(&error)).into_iter().for_each(give_back);
                Took::Short(None)
            }
        }
    }

    /// Asks for what is short, and for as much more as the authority gives ahead of need, for Redis. Where it has too little,
    /// and what Redis holds would be enough, it is given that back first.
    async fn ask_durable(&self, line: &Line, short: &[Short<'_>]) -> Result<Leased> {
        let wanted = |Short { ask, refill, .. }: &Short<'_>| {
            let spare = if refill.is_some() { MAX_AMOUNT - ask.need } else { ask.spare };
            Ask { spare, unspent: None, ..(*ask).clone() }
        };
        let wanted: Asks = short.iter().map(wanted).collect();
        let leased = self.lease_durable(wanted.clone()).await;
        let Ok(Leased::Refused { place, refusal, charged, slice }) = leased else { return leased };
        let Some(Short { ask, refill, .. }) = short.get(place) else { return leased };
        let left = refill.map(|refill| refill.left);
        let room = ask.limit.saturating_add(left.unwrap_or(MAX_AMOUNT)).saturating_sub(charged);
        if (room >= ask.need || refusal == Refusal::ClockSetBack) && self.drain(line, &wanted).await {
            return self.lease_durable(wanted).await;
        }
        // What stays in Redis is not used.
        let charged = charged.saturating_sub(left.unwrap_or(0));
        Ok(Leased::Refused { place, refusal, charged, slice })
    }

    /// Lets others refill these.
    fn refilled(&self, short: &[Short<'_>]) {
        let mut refilling = self.refilling.lock();
        for short in short.iter().filter(|short| short.refill.is_some()) {
            refilling.remove(&short.ask.key);
        }
    }

    /// Brings a grant to Redis, and gives the asker's part of it.
    async fn refill(&self, line: &Line, short: &Short<'_>, grant: &Grant) -> Grant {
        let ask = short.ask;
        let Some(Refill { at, .. }) = short.refill else { return *grant };
        match self.chunks.refill(line, ask, grant, at).await {
            Ok(Some((part, over))) => {
                self.give_back_over(ask, over);
                // The authority's word on how long it is valid is better than Redis'.
                return Grant { valid_for: grant.valid_for, ..part };
            }
            // Redis has not taken it.
            Ok(None) => {}
            Err(error) if is_not_run(&error) => {}
            // Either it is lost on the way, and all of it can be used, or Redis has kept what is needed for this very check.
            Err(_) => return Grant { amount: ask.need, ..*grant },
        }
        let amount = ask.need + ask.spare.min(grant.amount.saturating_sub(ask.need));
        let rest = grant.amount.saturating_sub(amount);
        if rest > 0 {
            self.durable.give_back(unspent(ask, grant.slice, rest));
        }
        Grant { amount, charged: grant.charged.saturating_sub(rest), ..*grant }
    }

    /// Asks the durable authority.
    async fn lease_durable(&self, asks: Asks) -> Result<Leased> {
        let (done, answer) = oneshot::channel();
        let receive = Box::new(move |leased| {
            // Nobody waits any more when the adapter is closed: what was granted then stays charged.
            let _ = done.send(leased);
        });
        self.durable.lease(asks, receive);
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// What is left of a chunk that is over goes back to the durable authority.
    fn give_back_over(&self, ask: &Ask, over: Option<Over>) {
        if let Some(unspent) = over.and_then(|over| over.of(&ask.key)) {
            self.durable.give_back(unspent);
        }
    }

    /// Gives what Redis holds of these counters back to the durable authority. Whether that is anything.
    async fn drain(&self, line: &Line, asks: &Asks) -> bool {
        let drains = asks.iter().map(|ask| self.chunks.drain(line, &ask.key, ask.window));
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
            let line = self.chunks.link.line();
            let mut given = Vec::new();
            for returned in batch.drain(..) {
                match (returned, &line) {
                    (Return::Unspent(unspent), Some(line)) => given.push(self.give(line, unspent)),
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

    async fn give(&self, line: &Line, unspent: Unspent) {
        match self.chunks.give(line, &unspent).await {
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
        let Some(line) = self.chunks.link.line() else { return vec![None; counters.len()] };
        let peek = |(key, window): &(CounterKey, Window)| {
            let (key, window, line) = (key.clone(), *window, &line);
            async move { self.chunks.peek(line, &key, window).await.ok().flatten() }
        };
        join_all(counters.iter().map(peek)).await
    }
}

fn unspent(ask: &Ask, slice: i64, amount: u64) -> Unspent {
    Unspent { key: ask.key.clone(), window: ask.window, slice, amount }
}
