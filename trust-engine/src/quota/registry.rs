//! The registry of the meters in use: one for each counter and window, shared by all quotas. The registry holds meters
//! weakly, so that a meter ends with its last user.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::ceiling::{CounterKey, Window};

/// The values of each counter, by window. A counter has more than one window only while a policy that changes its
/// window comes into force.
type Entries<T> = HashMap<CounterKey, SmallVec<[(Window, Weak<T>); 1]>, RandomState>;

/// Values by counter and window, guarded by one lock. No method may drop a value while it holds the lock: the drop of
/// the last reference calls [`forget`](Self::forget), which takes the lock again and would wait for ever.
pub(super) struct Registry<T>(Mutex<Entries<T>>);

impl<T> Registry<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Gives the value of a counter. `make` makes a missing one; it runs under the lock, so that two threads cannot
    /// make two values, and must not use the registry.
    pub(super) fn get_or_make(&self, key: &CounterKey, window: Window, make: impl FnOnce() -> T) -> Arc<T> {
        let mut entries = self.0.lock();
        let known = entries.entry(key.clone()).or_default();
        if let Some(value) = find(known, window) {
            return value;
        }
        let value = Arc::new(make());
        known.retain(|(_, value)| value.strong_count() > 0);
        known.push((window, Arc::downgrade(&value)));
        value
    }

    pub(super) fn get(&self, key: &CounterKey, window: Window) -> Option<Arc<T>> {
        self.0.lock().get(key).and_then(|known| find(known, window))
    }

    /// Gives all values in use. The lock is released before the caller can drop one of them.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.0.lock().values().flatten().filter_map(|(_, value)| value.upgrade()).collect()
    }

    /// Removes the entries of a counter whose values are gone; a value that another thread has made since stays.
    pub(super) fn forget(&self, key: &CounterKey) {
        let mut entries = self.0.lock();
        if let Some(known) = entries.get_mut(key) {
            known.retain(|(_, value)| value.strong_count() > 0);
            if known.is_empty() {
                entries.remove(key);
            }
        }
    }
}

fn find<T>(known: &[(Window, Weak<T>)], window: Window) -> Option<Arc<T>> {
    known.iter().filter(|(other, _)| *other == window).find_map(|(_, value)| value.upgrade())
}
