//! Capability ceilings: find the quota, take from it, hand the record to the log.

mod cache;
mod check;
mod counts;
mod find;
mod handle;
mod payload;
mod recent;
mod record;
mod reservation;
mod sweeper;
mod usage;
mod verdict;

use std::sync::Arc;

pub use handle::Quota;
pub use payload::recompute_ceiling;
pub use reservation::Reservation;
pub use verdict::CeilingVerdict;

use self::cache::QuotaCache;
use self::recent::Recent;
use self::sweeper::{Sweeper, Work};
use super::Engine;
use crate::ceiling::{CeilingRequest, Measure};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::ids::OrganizationId;
use crate::provenance::{Sequencer, Ticket};
use crate::storage::CounterStore;

/// What the engine keeps for ceilings.
pub(super) struct State {
    quotas: QuotaCache,
    recent: Arc<Recent>,
    sweeper: Sweeper,
}

impl State {
    pub(super) fn new(
        store: Arc<dyn CounterStore>,
        capacity: usize,
        sequencer: Arc<Sequencer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let quotas = QuotaCache::new(store, capacity, Arc::clone(&clock));
        let (bank, unrecorded) = (Arc::clone(&quotas.bank), Arc::clone(&quotas.unrecorded));
        let sweeper = Sweeper::start(Work { bank, unrecorded, sequencer, clock });
        Self { quotas, recent: Arc::default(), sweeper }
    }

    /// Gives back what is held, and carries what is counted to the statistics.
    pub(super) fn settle(&self) {
        self.sweeper.stop();
        self.quotas.drain();
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.quotas.bank.store().warnings()
    }

    /// Makes durable what was given back.
    pub(super) async fn flush(&self) -> Result<()> {
        self.quotas.bank.store().flush().await
    }
}

/// The quotas of one organization's agents: usage, reservations, handles.
#[derive(Clone, Debug)]
pub struct Quotas<'a> {
    engine: &'a Engine,
    /// `None`: the organization `default`.
    organization: Option<OrganizationId>,
}

/// How far an agent has come with one resource, at one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeilingUsage {
    /// The resource.
    pub resource: String,
    /// The counter's state.
    pub measure: Measure,
}

impl<'a> Quotas<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, organization: None }
    }

    /// The quotas of another organization.
    #[must_use]
    pub fn of(mut self, organization: OrganizationId) -> Self {
        self.organization = Some(organization);
        self
    }

    /// Whether a check would be admitted now. Charges and records nothing; rates are not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput);
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the counters cannot be read.
    pub async fn peek(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        self.engine.peek(request).await.map_err(|error| error.during("peek at ceiling"))
    }

    /// Charges amounts that are not certain yet. The reservation says later how much was used; dropped without that,
    /// everything counts as used. `None` if the check was refused.
    ///
    /// # Errors
    /// As [`Engine::check_ceiling`]; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a request with
    /// an id, which reservations do not take.
    pub async fn reserve(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Option<Reservation>)> {
        reservation::reserve(self.engine, request).await.map_err(|error| error.during("reserve"))
    }

    /// What an agent uses of every resource that its held tier has a ceiling for, each level by itself.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput);
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the counters cannot be read.
    pub async fn usage(&self, agent: &str) -> Result<Vec<CeilingUsage>> {
        self.engine.usage(self.organization(), agent).await.map_err(|error| error.during("ceiling usage"))
    }

    /// A handle on one agent's quota, for callers that check it often.
    ///
    /// # Errors
    /// As [`Engine::quota`].
    pub fn quota(&self, agent: &str) -> Result<Quota> {
        Quota::open(self.engine, self.organization(), agent).map_err(|error| error.during("quota"))
    }

    /// Checks an amount of one resource at the agent's held tier and charges it, as
    /// [`check_ceiling_now`](Engine::check_ceiling_now) does, without building a request; what the policy records is on
    /// its way into the log.
    ///
    /// # Errors
    /// As [`check_ceiling_now`](Engine::check_ceiling_now).
    pub fn try_take(&self, agent: &str, resource: &str, amount: u64) -> Result<CeilingVerdict> {
        let taken = self.engine.take(self.organization(), agent, resource, amount);
        taken.map_err(|error| error.during("check ceiling"))
    }

    fn organization(&self) -> &str {
        self.organization.as_ref().map_or(OrganizationId::DEFAULT, OrganizationId::as_str)
    }
}

impl Engine {
    /// Checks amounts against an agent's ceilings, and charges all of them or none. Unless the policy says otherwise a
    /// refusal is committed before this returns, and an admission is on its way into the log.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for values out of bounds,
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) for a request id that was used for another request. Any
    /// other error means that there is no verdict: treat it as a refusal.
    pub async fn check_ceiling(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        self.try_check(request).await.map_err(|error| error.during("check ceiling"))
    }

    /// Checks amounts without ever waiting for another machine: with what the engine holds it answers at once, and a
    /// local store is asked in place (the embedded one writes a lease durably first). The ticket waits for the record's
    /// commit; dropping it changes nothing.
    ///
    /// # Errors
    /// As [`check_ceiling`](Self::check_ceiling), and [`ErrorKind::WouldBlock`](crate::ErrorKind::WouldBlock) if a
    /// remote store has to be asked: what it grants beyond the need will be there when the check is made again. Where
    /// nothing is leased ahead (`EXACT` rows, or near the ceiling) it would never be admitted so.
    pub fn check_ceiling_now(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Ticket)> {
        self.try_check_now(request).map_err(|error| error.during("check ceiling"))
    }

    /// A handle on the quota of an agent of the organization `default`, for callers that check it often.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for the id;
    /// [`ErrorKind::WouldBlock`](crate::ErrorKind::WouldBlock) if the agent is not cached and the store is remote.
    pub fn quota(&self, agent: &str) -> Result<Quota> {
        self.quotas().quota(agent)
    }

    /// Usage, reservations and quotas of the organization `default`; [`Quotas::of`] for others.
    pub fn quotas(&self) -> Quotas<'_> {
        Quotas::new(self)
    }

    pub(super) fn state(&self) -> Result<&State> {
        self.0.ceilings.as_ref().ok_or_else(|| {
            Error::invalid("counters", "are missing: an engine on a store of its own needs Options::counters")
        })
    }
}
