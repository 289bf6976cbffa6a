//! The lease pool of an engine: its meters, which hold the leases, and the authority that grants them.

use std::sync::Arc;

use super::meter::Meter;
use super::rates::Rates;
use super::registry::Registry;
use crate::ceiling::{Charged, CounterKey, Rate, Window};
use crate::clock::{Clock, Moment};
use crate::error::Result;
use crate::policy::RateLimit;
use crate::storage::CounterStore;

/// The meters of an engine and their authority. The pool has no lock of its own: the registry's locks guard which
/// meters exist and which of them hold a lease, and the lock of each meter guards its lease.
pub(crate) struct LeasePool {
    store: Arc<dyn CounterStore>,
    meters: Arc<Registry<Meter>>,
    rates: Rates,
}

impl LeasePool {
    pub(crate) fn new(store: Arc<dyn CounterStore>, rates: usize, clock: Arc<dyn Clock>) -> Self {
        Self { store, meters: Arc::new(Registry::new()), rates: Rates::new(rates, clock) }
    }

    pub(super) fn rate(&self, key: CounterKey, limit: &RateLimit) -> Arc<Rate> {
        self.rates.get(key, limit)
    }

    pub(crate) fn store(&self) -> &dyn CounterStore {
        &*self.store
    }

    /// Gives the meter of a counter, and makes one that is missing.
    pub(super) fn meter(&self, key: &CounterKey, window: Window) -> Arc<Meter> {
        let make = || Meter::new(key.clone(), window, Arc::clone(&self.store), Arc::clone(&self.meters));
        self.meters.get_or_make(key, window, make)
    }

    /// Gives back the leases that have ended at `now` (`None`: all), and says whether a meter still holds one that
    /// has not.
    ///
    /// Only meters that hold a lease are looked at, and no check waits meanwhile. A lease that another thread opens between
    /// the test of a meter and its drain goes back early, which costs no more than another lease request.
    pub(crate) fn sweep(&self, now: Option<Moment>) -> bool {
        self.meters.retain_holders(|meter| meter.holds_at(now))
    }

    /// Gives the use of counters: their charge at the authority, less the amounts that this engine holds and that still
    /// count.
    pub(crate) async fn used(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let meters: Vec<Option<Arc<Meter>>> =
            counters.iter().map(|(key, window)| self.meters.get(key, *window)).collect();
        let before: Vec<_> =
            meters.iter().map(|meter| meter.as_ref().map(|meter| meter.lease_count())).collect();
        let mut all = self.store.charged(counters).await?;
        for ((meter, before), charged) in meters.iter().zip(before).zip(&mut all) {
            let Some(meter) = meter else { continue };
            // The charge may or may not include a lease that came or went meanwhile; then nothing is subtracted. The amount is
            // read before the count, so that no lease can come between the two unnoticed.
            let held = meter.held_of(charged.slice);
            if Some(meter.lease_count()) == before {
                charged.amount = charged.amount.saturating_sub(held);
            }
        }
        Ok(all)
    }
}
