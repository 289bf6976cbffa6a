//! Where an engine's leases come from, and which of its meters hold some.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::key::CounterKey;
use super::meter::Meter;
use super::window::Window;
use crate::clock::Moment;
use crate::error::Result;
use crate::storage::{Charged, CounterStore, Unspent};

type Holders = HashMap<CounterKey, SmallVec<[Weak<Meter>; 1]>, RandomState>;

pub(crate) struct Bank {
    store: Arc<dyn CounterStore>,
    /// Meters that were given something to hold, by counter: an agent's tiers have a meter each.
    holders: Mutex<Holders>,
}

impl Bank {
    pub(crate) fn new(store: Arc<dyn CounterStore>) -> Self {
        Self { store, holders: Mutex::default() }
    }

    pub(crate) fn store(&self) -> &dyn CounterStore {
        &*self.store
    }

    pub(super) fn holds(&self, meter: &Arc<Meter>) {
        if meter.is_listed().swap(true, Ordering::AcqRel) {
            return;
        }
        let mut holders = self.holders.lock();
        let meters = holders.entry(meter.counter().key.clone()).or_default();
        if !meters.iter().any(|known| std::ptr::eq(known.as_ptr(), &**meter)) {
            meters.push(Arc::downgrade(meter));
        }
    }

    /// Gives back an amount, and lets other meters of the counter know, so that the usage they report stays exact.
    pub(super) fn give_back(&self, unspent: Unspent, from: &Meter) {
        let meters = self.meters(&unspent.key);
        let others = meters.iter().filter(|meter| !std::ptr::eq(&***meter, from));
        for meter in others.filter(|meter| meter.counter().window == unspent.window) {
            meter.credit(unspent.slice, unspent.amount);
        }
        self.store.give_back(unspent);
    }

    /// A meter is gone.
    pub(super) fn forget(&self, key: &CounterKey) {
        let mut holders = self.holders.lock();
        if let Some(meters) = holders.get_mut(key) {
            meters.retain(|meter| meter.strong_count() > 0);
            if meters.is_empty() {
                holders.remove(key);
            }
        }
    }

    /// The meters of a counter that may hold something. To be dropped without the lock, because the last one to let go
    /// of a meter gives back.
    fn meters(&self, key: &CounterKey) -> SmallVec<[Arc<Meter>; 1]> {
        self.holders.lock().get(key).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    /// Gives back leases that have ended (`None`: all), and says whether any are held still.
    pub(crate) fn sweep(&self, now: Option<Moment>) -> bool {
        let mut ended = Vec::new();
        let mut held = false;
        self.holders.lock().retain(|_, meters| {
            meters.retain(|meter| {
                let Some(meter) = meter.upgrade() else { return false };
                // Before what it holds is read: whoever gives it something afterwards lists it again.
                meter.is_listed().swap(false, Ordering::AcqRel);
                let keep = meter.held().0 > 0 && now.is_some_and(|now| !meter.has_ended(now));
                if keep {
                    meter.is_listed().store(true, Ordering::Release);
                }
                // Also to be dropped outside of the lock: the last one gives back.
                ended.push((meter, keep));
                keep
            });
            held |= !meters.is_empty();
            !meters.is_empty()
        });
        ended.iter().filter(|(_, keep)| !keep).for_each(|(meter, _)| meter.drain());
        held
    }

    pub(crate) fn has_holders(&self) -> bool {
        !self.holders.lock().is_empty()
    }

    /// What is used of counters: what is charged, less what is held here and still counts.
    pub(crate) async fn used(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let mut all = self.store.charged(counters).await?;
        for ((key, window), charged) in counters.iter().zip(&mut all) {
            for meter in self.meters(key).iter().filter(|meter| meter.counter().window == *window) {
                let (left, slice) = meter.held();
                let counts = (charged.slice - window.span()..=charged.slice).contains(&slice);
                charged.amount = charged.amount.saturating_sub(if counts { left } else { 0 });
            }
        }
        Ok(all)
    }
}
