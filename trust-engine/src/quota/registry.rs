//! The registry of the meters in use: one for each counter and window, shared by all quotas, and the list of those that
//! hold a lease. The registry holds meters weakly, so that a meter ends with its last user.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::ceiling::{CounterKey, Window};

/// The values of each counter, by window. A counter has more than one window only while a policy that changes its
/// window comes into force.
type Entries<T> = HashMap<CounterKey, SmallVec<[(Window, Weak<T>); 1]>, RandomState>;

/// Values by counter and window, and a list of holders. Each has a lock, and no thread holds both.
pub(super) struct Registry<T> {
    /// No method may drop a value while it holds this lock: the drop of the last reference calls
    /// [`forget`](Self::forget), which takes the lock again and would wait for ever.
    entries: Mutex<Entries<T>>,
    /// The lock is held only to add to the list or to take all of it, so a sweep over many holders delays no check.
    holders: Mutex<Vec<Weak<T>>>,
}

impl<T> Registry<T> {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::default(), holders: Mutex::default() }
    }

    /// Gives the value of a counter. `make` makes a missing one; it runs under the lock, so that two threads cannot
    /// make two values, and must not use the registry.
    pub(super) fn get_or_make(&self, key: &CounterKey, window: Window, make: impl FnOnce() -> T) -> Arc<T> {
        let mut entries = self.entries.lock();
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
        self.entries.lock().get(key).and_then(|known| find(known, window))
    }

    /// Adds a value to the holders.
    pub(super) fn add_holder(&self, value: Weak<T>) {
        self.holders.lock().push(value);
    }

    /// Keeps the holders for which `keep` says so, and gives whether there are any. The lock is not held meanwhile: those
    /// that are added then stay.
    pub(super) fn retain_holders(&self, mut keep: impl FnMut(&T) -> bool) -> bool {
        let mut holders = std::mem::take(&mut *self.holders.lock());
        holders.retain(|holder| holder.upgrade().is_some_and(|value| keep(&value)));
        let mut added = self.holders.lock();
        // The longer list stays where it is.
        if holders.len() > added.len() {
            std::mem::swap(&mut *added, &mut holders);
        }
        added.append(&mut holders);
        !added.is_empty()
    }

    /// Removes the entries of a counter whose values are gone; a value that another thread has made since stays.
    pub(super) fn forget(&self, key: &CounterKey) {
        let mut entries = self.entries.lock();
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::policy::WindowKind;

    /// A sweep that held a lock would wait for itself here for ever.
    #[test]
    fn a_sweep_looks_only_at_holders_and_keeps_nobody_out() {
        let registry = Registry::new();
        let window = Window::new(WindowKind::Fixed, 60);
        let make = |n: u32| registry.get_or_make(&CounterKey::fleet(&n.to_string()), window, || n);
        let values: Vec<Arc<u32>> = (0..100).map(make).collect();
        values.iter().take(10).for_each(|value| registry.add_holder(Arc::downgrade(value)));
        let gone = Arc::new(1000);
        registry.add_holder(Arc::downgrade(&gone));
        drop(gone);
        let mut seen = Vec::new();
        let holds = registry.retain_holders(|n| {
            seen.push(*n);
            drop(make(100 + n));
            registry.forget(&CounterKey::fleet(&(100 + n).to_string()));
            registry.add_holder(Arc::downgrade(values.get(50 + *n as usize).unwrap()));
            n % 2 == 0
        });
        assert!(holds);
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        let mut kept = Vec::new();
        assert!(!registry.retain_holders(|n| {
            kept.push(*n);
            false
        }));
        kept.sort_unstable();
        let expected: Vec<u32> = [0, 2, 4, 6, 8].into_iter().chain(50..60).collect();
        assert_eq!(kept, expected, "those that hold, and those that were added meanwhile");
        assert!(!registry.retain_holders(|_| true), "nobody is left");
    }
}
