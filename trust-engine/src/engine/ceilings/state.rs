//! The parts of an engine that ceilings need.

use std::sync::Arc;

use super::cache::QuotaCache;
use super::expiry::Expiry;
use super::recent::RecentRequests;
use super::sweeper::{Sweeper, Work};
use crate::clock::Clock;
use crate::error::Result;
use crate::log::Sequencer;
use crate::storage::CounterStore;

/// The parts of an engine that ceilings need.
pub(in crate::engine) struct State {
    pub(super) quotas: QuotaCache,
    pub(super) recent: Arc<RecentRequests>,
    pub(super) sweeper: Sweeper,
    pub(super) expiry: Expiry,
}

impl State {
    pub(in crate::engine) fn new(
        counters: Arc<dyn CounterStore>,
        capacity: usize,
        sequencer: Arc<Sequencer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let quotas = QuotaCache::new(counters, capacity, Arc::clone(&clock));
        let (pool, unrecorded) = (Arc::clone(&quotas.pool), Arc::clone(&quotas.unrecorded));
        let sweeper = Sweeper::start(Work { pool, unrecorded, sequencer, clock });
        Self { quotas, recent: Arc::default(), sweeper, expiry: Expiry::default() }
    }

    /// Stops the sweeper, which carries the last unrecorded counts to the statistics, and gives back all leases.
    pub(in crate::engine) async fn stop(&self) {
        self.expiry.stop().await;
        self.sweeper.stop();
        self.quotas.drain();
    }

    pub(in crate::engine) fn warnings(&self) -> Vec<String> {
        self.quotas.pool.store().warnings()
    }

    /// Makes the amounts durable that were given back.
    pub(in crate::engine) async fn flush(&self) -> Result<()> {
        self.quotas.pool.store().flush().await
    }
}
