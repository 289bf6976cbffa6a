//! The slot: the lease that an engine holds of one counter, spent by one compare-and-swap.
//!
//! One word packs the lease's generation (24 bits) and its rest (40 bits). A take reads the word, then the lease's
//! terms, then swaps the word. If the swap succeeds, the terms were those of that lease: an exchange swaps the word
//! away before it writes new terms, and that swap acquires the swaps of all earlier takes.
//!
//! The lock of the slot's meter lets only one thread at a time exchange the lease, undo a take or set the charge. Takes
//! need no lock and go on meanwhile.
//!
//! A generation of 24 bits comes round again, so a take also reads the whole count of leases, before the word and after
//! the swap. Unless a round went by in between, count and generation name one lease, and an undo compares that count.
//! Otherwise the taken amount is given up. It stays charged, which wastes it and overspends nothing.

use super::sync::{AtomicI64, AtomicU64, Ordering};

/// The bits of a word that hold the rest of the lease.
const AMOUNT_BITS: u32 = 40;
/// The most that a lease can hold: also the largest ceiling and the largest amount of a request.
pub(crate) const MAX_AMOUNT: u64 = (1 << AMOUNT_BITS) - 1;

/// A lease in atomics, on a cache line of its own. `GENERATION_BITS` is 24, and less only in the model.
#[repr(align(64))]
pub(crate) struct Slot<const GENERATION_BITS: u32 = 24> {
    /// Generation and rest of the lease. Takes swap it without the lock; all other changes are made under the lock.
    word: AtomicU64,
    /// The count of leases so far, which `close` raises. Like all fields below, it is written only under the lock.
    leases: AtomicU64,
    /// The end of the lease by each clock: no take spends it from either instant on.
    steady_end: AtomicI64,
    wall_end: AtomicI64,
    /// The slice of the window that the lease is charged to.
    slice: AtomicI64,
    /// The authority's charge, with this lease. It may change while the lease is in force.
    charged: AtomicU64,
}

/// A lease to be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) amount: u64,
    pub(crate) steady_end: i64,
    pub(crate) wall_end: i64,
    pub(crate) slice: i64,
    pub(crate) charged: u64,
}

/// A successful take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Take {
    pub(crate) lease: u64,
    pub(crate) slice: i64,
    /// The use with this take: the authority's charge, less the rest that this slot still holds.
    pub(crate) used: u64,
}

impl<const GENERATION_BITS: u32> Slot<GENERATION_BITS> {
    const GENERATIONS: u64 = 1 << GENERATION_BITS;

    /// Makes a slot without a lease.
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            leases: AtomicU64::new(0),
            steady_end: AtomicI64::new(i64::MIN),
            wall_end: AtomicI64::new(i64::MIN),
            slice: AtomicI64::new(0),
            charged: AtomicU64::new(0),
        }
    }

    /// Takes `amount`, at least 1, unless too little is held, more than `limit` would be used or the lease has ended.
    #[inline]
    pub(crate) fn take(&self, amount: u64, limit: u64, steady: i64, wall: i64) -> Option<Take> {
        let leases = self.leases.load(Ordering::Acquire);
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let (generation, remaining) = (word >> AMOUNT_BITS, word & MAX_AMOUNT);
            // The terms are read between the word and its swap, so they are this lease's or the swap fails.
            let ended = steady >= self.steady_end.load(Ordering::Relaxed)
                || wall >= self.wall_end.load(Ordering::Relaxed);
            let slice = self.slice.load(Ordering::Relaxed);
            let charged = self.charged.load(Ordering::Relaxed);
            if remaining < amount || ended {
                return None;
            }
            let used = charged.saturating_sub(remaining - amount);
            if used > limit {
                return None;
            }
            match self.word.compare_exchange_weak(word, word - amount, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let lease = leases + (generation.wrapping_sub(leases) & (Self::GENERATIONS - 1));
                    if self.leases.load(Ordering::Relaxed) - leases >= Self::GENERATIONS {
                        // The generations have come round meanwhile, so the amount may be of any of several leases.
                        // It is wasted: it stays charged, because it cannot be put back into the right lease.
                        return None;
                    }
                    return Some(Take { lease, slice, used });
                }
                Err(now) => word = now,
            }
        }
    }

    /// Ends the lease and gives its rest. The caller holds the lock.
    pub(crate) fn close(&self) -> u64 {
        let leases = self.leases.load(Ordering::Relaxed) + 1;
        // Nothing can be taken from an empty word, so it needs no generation.
        let word = self.word.swap(0, Ordering::AcqRel);
        // The count follows the word: a take reads the count first, so it cannot see a count that is ahead of the word.
        self.leases.store(leases, Ordering::Release);
        word & MAX_AMOUNT
    }

    /// Begins a lease after [`close`](Self::close), and gives its count. The caller holds the lock. The word is written
    /// last and released, so that a take that reads it sees the terms.
    pub(crate) fn open(&self, held: &Held) -> u64 {
        self.steady_end.store(held.steady_end, Ordering::Relaxed);
        self.wall_end.store(held.wall_end, Ordering::Relaxed);
        self.slice.store(held.slice, Ordering::Relaxed);
        self.charged.store(held.charged, Ordering::Relaxed);
        let leases = self.leases.load(Ordering::Relaxed);
        let generation = (leases & (Self::GENERATIONS - 1)) << AMOUNT_BITS;
        self.word.store(generation | held.amount.min(MAX_AMOUNT), Ordering::Release);
        leases
    }

    /// Puts back an amount that was taken from `lease`, if that lease is still in force, and says whether it is. The
    /// caller holds the lock, so the lease cannot be exchanged in between.
    pub(crate) fn undo(&self, lease: u64, amount: u64) -> bool {
        let ours = self.leases.load(Ordering::Relaxed) == lease;
        if ours {
            self.word.fetch_add(amount, Ordering::AcqRel);
        }
        ours
    }

    /// Sets the authority's charge, which has changed meanwhile. The caller holds the lock.
    pub(crate) fn set_charged(&self, charged: u64) {
        self.charged.store(charged, Ordering::Relaxed);
    }

    /// The count of leases so far.
    pub(crate) fn leases(&self) -> u64 {
        self.leases.load(Ordering::Acquire)
    }

    /// The rest of the lease.
    pub(crate) fn left(&self) -> u64 {
        self.word.load(Ordering::Acquire) & MAX_AMOUNT
    }

    pub(crate) fn slice(&self) -> i64 {
        self.slice.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self, steady: i64, wall: i64) -> bool {
        steady >= self.steady_end.load(Ordering::Relaxed) || wall >= self.wall_end.load(Ordering::Relaxed)
    }
}
