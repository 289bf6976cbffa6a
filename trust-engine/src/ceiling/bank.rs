//! Where an engine's leases come from, and its meters: one for each counter and window, whoever asks.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::key::CounterKey;
use super::meter::Meter;
use super::window::Window;
use crate::clock::Moment;
use crate::error::Result;
use crate::storage::{Charged, CounterStore};

/// A counter has more than one window only while a policy that changes it comes into force.
type Meters = HashMap<CounterKey, SmallVec<[(Window, Weak<Meter>); 1]>, RandomState>;

pub(crate) struct Bank {
    store: Arc<dyn CounterStore>,
    /// The meters that are in use. No meter may be let go of while this is locked: the last one to do so gives back.
    meters: Mutex<Meters>,
}

impl Bank {
    pub(crate) fn new(store: Arc<dyn CounterStore>) -> Self {
        Self { store, meters: Mutex::default() }
    }

    pub(crate) fn store(&self) -> &dyn CounterStore {
        &*self.store
    }

    /// The meter of a counter.
    pub(super) fn meter(self: &Arc<Self>, key: &CounterKey, window: Window) -> Arc<Meter> {
        let mut meters = self.meters.lock();
        let known = meters.entry(key.clone()).or_default();
        if let Some(meter) = find(known, window) {
            return meter;
        }
        let meter = Arc::new(Meter::new(key.clone(), window, Arc::clone(self)));
        known.retain(|(_, meter)| meter.strong_count() > 0);
        known.push((window, Arc::downgrade(&meter)));
        meter
    }

    /// A meter is gone.
    pub(super) fn forget(&self, key: &CounterKey) {
        let mut meters = self.meters.lock();
        if let Some(known) = meters.get_mut(key) {
            known.retain(|(_, meter)| meter.strong_count() > 0);
            if known.is_empty() {
                meters.remove(key);
            }
        }
    }

    /// Gives back leases that have ended (`None`: all), and says whether any are held still.
    pub(crate) fn sweep(&self, now: Option<Moment>) -> bool {
        let meters: Vec<Arc<Meter>> =
            self.meters.lock().values().flatten().filter_map(|(_, meter)| meter.upgrade()).collect();
        let mut held = false;
        for meter in meters.iter().filter(|meter| meter.held() > 0) {
            match now {
                Some(now) if !meter.has_ended(now) => held = true,
                _ => meter.drain(),
            }
        }
        held
    }

    /// What is used of counters: what is charged, less what is held here and still counts.
    pub(crate) async fn used(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let meter = |(key, window): &(CounterKey, Window)| {
            let meters = self.meters.lock();
            meters.get(key).and_then(|known| find(known, *window))
        };
        let meters: Vec<Option<Arc<Meter>>> = counters.iter().map(meter).collect();
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

fn find(known: &[(Window, Weak<Meter>)], window: Window) -> Option<Arc<Meter>> {
    known.iter().filter(|(other, _)| *other == window).find_map(|(_, meter)| meter.upgrade())
}
