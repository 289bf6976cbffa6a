//! The chunks of counters, one key each. Every call is one script, and calls that wait at the same time share an
//! invocation; so all keys share a hash tag.

use std::sync::Arc;
use std::time::Duration;

use redis::Script;

use super::calls::Calls;
use super::link::{Connection, Link};
use super::reply::{Have, Over, Taken, amount, number, over, refilled};
use crate::ceiling::{CounterKey, Grant, LeaseRequest, Unspent, Window};
use crate::error::Result;
use crate::policy::WindowKind;
use crate::storage::runtime::Time;

/// The clocks of two servers are taken to run at the same speed, up to one part in this number.
const DRIFT_PART: i64 = 1000;
/// A clock is taken to be read at most this much late.
const LATE_MICROS: i64 = 10_000;

pub(super) struct Chunks {
    pub(super) link: Arc<Link>,
    prefix: Vec<u8>,
    take: Calls,
    refill: Calls,
    give: Calls,
    drain: Calls,
    peek: Calls,
}

/// The amount left of a chunk; slice and time of the last refill (`turn`) tell whether a later answer is about the same
/// chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peeked {
    pub(super) left: u64,
    pub(super) slice: i64,
    pub(super) turn: i64,
}

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(
            include_str!("scripts/chunk.lua"),
            "\n",
            include_str!(concat!("scripts/", $name)),
            include_str!("scripts/each.lua")
        ))
    };
}

impl Chunks {
    pub(super) fn new(link: Arc<Link>, namespace: &str, time: Time) -> Arc<Self> {
        let calls = |script| {
            let time = time.clone();
            // An empty string stands for the server's own time.
            Calls::new(&link, script, move || match &time {
                Time::Server => String::new(),
                Time::Given(clock) => clock.now().micros().to_string(),
            })
        };
        Arc::new(Self {
            prefix: format!("{namespace}:chunk:").into_bytes(),
            take: calls(script!("take.lua")),
            refill: calls(script!("refill.lua")),
            give: calls(script!("give.lua")),
            drain: calls(script!("drain.lua")),
            peek: calls(script!("peek.lua")),
            link,
        })
    }

    /// Runs every script, so that a missing permission shows at once.
    pub(super) async fn probe(&self, connection: &Connection) -> Result<()> {
        // No resource has an empty name.
        let (key, window) = (CounterKey::fleet(""), Window::new(WindowKind::Fixed, 60));
        let request = LeaseRequest { key, window, limit: 2, need: 1, spare: 0, ahead: true, unspent: None };
        let (at, slice) = match self.take(connection, &request).await?.have {
            Have::Short { at, .. } => (at, 0),
            Have::Enough(grant) => (0, grant.slice),
        };
        let grant = Grant { amount: 1, charged: 1, slice, valid_for: Duration::from_secs(1) };
        self.refill(connection, &request, &grant, at).await?;
        self.give(connection, &Unspent { key: request.key.clone(), window, slice, amount: 1 }).await?;
        self.peek(connection, &request.key, window).await?;
        self.drain(connection, &request.key, window).await.map(drop)
    }

    /// Gives back the amount that the asker has not spent, and takes the amount that it needs.
    pub(super) async fn take(&self, connection: &Connection, request: &LeaseRequest) -> Result<Taken> {
        let (slice, amount) = request
            .unspent
            .map_or_else(Default::default, |(slice, amount)| (slice.to_string(), amount.to_string()));
        let [need, spare, limit] =
            [request.need, request.spare, request.limit].map(|number| number.to_string());
        let arguments = [need, spare, limit, slice, amount];
        Taken::parse(&self.call(&self.take, connection, &request.key, request.window, arguments).await?)
    }

    /// Adds a grant that was asked for after `at` to the chunk, and takes the asker's part of it. `None` if Redis has
    /// refused the grant.
    pub(super) async fn refill(
        &self,
        connection: &Connection,
        request: &LeaseRequest,
        grant: &Grant,
        at: i64,
    ) -> Result<Option<(Grant, Option<Over>)>> {
        let runs = i64::try_from(grant.valid_for.as_micros()).unwrap_or(i64::MAX);
        let ends = at.saturating_add(runs - runs / DRIFT_PART - LATE_MICROS);
        // The chunk is kept for long enough to find its rest while that counts.
        let keep =
            Duration::from_micros(runs.unsigned_abs()) + Duration::from_secs(request.window.seconds().into());
        let [need, spare, limit, amount, charged] =
            [request.need, request.spare, request.limit, grant.amount, grant.charged]
                .map(|amount| amount.to_string());
        let [slice, at, ends] = [grant.slice, at, ends].map(|time| time.to_string());
        let arguments = [need, spare, limit, slice, amount, charged, at, ends, keep.as_millis().to_string()];
        refilled(&self.call(&self.refill, connection, &request.key, request.window, arguments).await?)
    }

    /// Gives back an amount that was not spent. `false` if it does not belong to the chunk.
    pub(super) async fn give(&self, connection: &Connection, unspent: &Unspent) -> Result<bool> {
        let arguments = [unspent.slice.to_string(), unspent.amount.to_string()];
        let reply = self.call(&self.give, connection, &unspent.key, unspent.window, arguments).await?;
        Ok(number(&reply, 0)? == 1)
    }

    /// Removes the chunk, and gives the amount that was left of it.
    pub(super) async fn drain(
        &self,
        connection: &Connection,
        key: &CounterKey,
        window: Window,
    ) -> Result<Option<Unspent>> {
        let reply = self.call(&self.drain, connection, key, window, []).await?;
        over(&reply, 0).map(|over| over.and_then(|over| over.of(key)))
    }

    pub(super) async fn peek(
        &self,
        connection: &Connection,
        key: &CounterKey,
        window: Window,
    ) -> Result<Option<Peeked>> {
        let reply = self.call(&self.peek, connection, key, window, []).await?;
        if reply.is_empty() {
            return Ok(None);
        }
        Ok(Some(Peeked { left: amount(&reply, 0)?, slice: number(&reply, 1)?, turn: number(&reply, 2)? }))
    }

    async fn call<const N: usize>(
        &self,
        calls: &Calls,
        connection: &Connection,
        key: &CounterKey,
        window: Window,
        arguments: [String; N],
    ) -> Result<Vec<i64>> {
        let kind = match window.kind() {
            WindowKind::Fixed => "0",
            WindowKind::Sliding => "1",
        };
        let window = [kind.to_owned(), window.seconds().to_string()];
        let key = [&*self.prefix, key.as_bytes()].concat();
        calls.call(connection, key, window.into_iter().chain(arguments).collect()).await
    }
}
