//! The slot: what an engine holds of one counter, spent by one compare-and-swap.
//!
//! One word packs the lease's generation (24 bits) and what remains of it (40 bits). A take reads the word, then the
//! lease's terms, then swaps the word: if the swap succeeds, the terms were those of that lease, because a new lease
//! first swaps the word away. Only one thread at a time may exchange the lease or undo a take; takes go on meanwhile.
//!
//! A generation of 24 bits comes round again, so a take also reads the whole count of leases, before the word and after
//! the swap. Unless a round went by in between, count and generation name one lease, and undoing a take compares that
//! count. What is lost otherwise stays charged.

use super::sync::{AtomicI64, AtomicU64, Ordering};

/// Bits of a word that hold what remains.
const AMOUNT_BITS: u32 = 40;
/// Most that a lease can hold: also the largest ceiling and the largest amount of a request.
pub(crate) const MAX_AMOUNT: u64 = (1 << AMOUNT_BITS) - 1;

/// `GENERATION_BITS` is 24, and less only in the model. A slot is a line of the processor's cache.
#[repr(align(64))]
pub(crate) struct Slot<const GENERATION_BITS: u32 = 24> {
    word: AtomicU64,
    /// Leases so far.
    leases: AtomicU64,
    /// The lease is not spent from this moment on, by either clock.
    steady_end: AtomicI64,
    wall_end: AtomicI64,
    /// Slice of the window that it is charged to.
    slice: AtomicI64,
    /// What the authority had charged, with this lease.
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
    /// What the authority has charged and this slot has not got any more: the use, with this take.
    pub(crate) used: u64,
}

impl<const GENERATION_BITS: u32> Slot<GENERATION_BITS> {
    const GENERATIONS: u64 = 1 << GENERATION_BITS;

    /// Nothing held.
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
                        // The generations have come round meanwhile, so this may be of any of several leases. It is
                        // wasted.
                        return None;
                    }
                    return Some(Take { lease, slice, used });
                }
                Err(now) => word = now,
            }
        }
    }

    /// Ends the lease and gives what is left of it. Only one thread at a time.
    pub(crate) fn close(&self) -> u64 {
        let leases = self.leases.load(Ordering::Relaxed) + 1;
        let word = self.word.swap((leases & (Self::GENERATIONS - 1)) << AMOUNT_BITS, Ordering::AcqRel);
        // After the word: who reads the count first cannot see one that is ahead of the word.
        self.leases.store(leases, Ordering::Release);
        word & MAX_AMOUNT
    }

    /// Begins a lease after [`close`](Self::close), and gives its count. Only one thread at a time.
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

    /// Puts back what was taken from `lease`, if that lease is still the one in force. Only one thread at a time.
    pub(crate) fn undo(&self, lease: u64, amount: u64) -> bool {
        let ours = self.leases.load(Ordering::Relaxed) == lease;
        if ours {
            self.word.fetch_add(amount, Ordering::AcqRel);
        }
        ours
    }

    /// The authority has charged more or less meanwhile. Only one thread at a time.
    pub(crate) fn set_charged(&self, charged: u64) {
        self.charged.store(charged, Ordering::Relaxed);
    }

    /// Leases so far.
    pub(crate) fn leases(&self) -> u64 {
        self.leases.load(Ordering::Acquire)
    }

    /// What is left now.
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
