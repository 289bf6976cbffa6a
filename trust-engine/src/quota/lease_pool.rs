//! The leases that an engine holds, by its meters, and the authority that they come from.

use std::sync::Arc;

use super::meter::Meter;
use super::registry::Registry;
use crate::ceiling::{Charged, CounterKey, Window};
use crate::clock::Moment;
use crate::error::Result;
use crate::storage::CounterStore;

pub(crate) struct LeasePool {
    store: Arc<dyn CounterStore>,
    meters: Arc<Registry<Meter>>,
}

impl LeasePool {
    pub(crate) fn new(store: Arc<dyn CounterStore>) -> Self {
        Self { store, meters: Arc::new(Registry::new()) }
    }

    pub(crate) fn store(&self) -> &dyn CounterStore {
        &*self.store
    }

    /// The meter of a counter.
    pub(super) fn meter(&self, key: &CounterKey, window: Window) -> Arc<Meter> {
        let make = || Meter::new(key.clone(), window, Arc::clone(&self.store), Arc::clone(&self.meters));
        self.meters.get_or_make(key, window, make)
    }

    /// Gives back leases that have ended (`None`: all), and says whether any are held still.
    pub(crate) fn sweep(&self, now: Option<Moment>) -> bool {
        let mut held = false;
        for meter in self.meters.all().iter().filter(|meter| meter.held() > 0) {
            match now {
                Some(now) if !meter.has_ended(now) => held = true,
                _ => meter.drain(),
            }
        }
        held
    }

    /// What is used of counters: what is charged, less what is held here and still counts.
    pub(crate) async fn used(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let meters: Vec<Option<Arc<Meter>>> =
            counters.iter().map(|(key, window)| self.meters.get(key, *window)).collect();
        let before: Vec<_> =
            meters.iter().map(|meter| meter.as_ref().map(|meter| meter.lease_count())).collect();
        let mut all = self.store.charged(counters).await?;
        for ((meter, before), charged) in meters.iter().zip(before).zip(&mut all) {
            // A lease that came or went meanwhile may be in what is charged or not.
            if let Some(meter) = meter.as_ref().filter(|meter| Some(meter.lease_count()) == before) {
                charged.amount = charged.amount.saturating_sub(meter.held_of(charged.slice));
            }
        }
        Ok(all)
    }
}
