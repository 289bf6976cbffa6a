//! The meters that are in use: one for each counter and window, whoever asks. Meters are held weakly, so that one goes
//! when the last quota that uses it does.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::ceiling::{CounterKey, Window};

/// A counter has more than one window only while a policy that changes it comes into force.
type Entries<T> = HashMap<CounterKey, SmallVec<[(Window, Weak<T>); 1]>, RandomState>;

/// Values by counter and window. No value may be let go of while the lock is held: the last one to do so calls
/// [`forget`](Self::forget), which takes it again.
pub(super) struct Registry<T>(Mutex<Entries<T>>);

impl<T> Registry<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The value of a counter; `make` makes one that is missing.
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

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.0.lock().values().flatten().filter_map(|(_, value)| value.upgrade()).collect()
    }

    /// A value of this counter is gone.
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
