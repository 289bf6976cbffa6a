//! The sweeper: gives back leases that have ended and carries the counts of unrecorded checks to the statistics.
//!
//! A thread that sleeps while there is nothing to do, and is started by the first check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::log::{Sequencer, UnrecordedChecks};
use crate::quota::LeasePool;

/// Pause between two rounds while leases are held.
const ROUND: Duration = Duration::from_millis(100);
/// Rounds between two carryings of counts.
const ROUNDS_PER_FLUSH: u32 = 10;
/// The same between two returns to a local store, which has nobody else to grant them to.
const ROUNDS_PER_LOCAL_SWEEP: u32 = 100;

/// What the sweeper works on.
pub(super) struct Work {
    pub(super) pool: Arc<LeasePool>,
    pub(super) unrecorded: Arc<UnrecordedChecks>,
    pub(super) sequencer: Arc<Sequencer>,
    pub(super) clock: Arc<dyn Clock>,
}

pub(super) struct Sweeper {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
pub(super) struct Signal {
    /// Read before the lock is taken: checks wake a sweeper that is awake already for nothing.
    idle: AtomicBool,
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn wake(&self) {
        if self.idle.load(Ordering::SeqCst) {
            let _stopped = self.stopped.lock();
            self.idle.store(false, Ordering::SeqCst);
            self.changed.notify_one();
        }
    }
}

impl Sweeper {
    pub(super) fn start(work: Work) -> Self {
        let signal = Arc::<Signal>::default();
        let seen = Arc::clone(&signal);
        let builder = std::thread::Builder::new().name("trust-engine-sweeper".into());
        // Without the thread leases end all the same, and are given back when they are asked for again.
        let thread = builder.spawn(move || run(&work, &seen)).ok();
        Self { signal, thread: Mutex::new(thread) }
    }

    /// There is something to do.
    pub(super) fn wake(&self) {
        self.signal.wake();
    }

    /// To wake it from elsewhere.
    pub(super) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }

    /// Ends it, after its last round.
    pub(super) fn stop(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        *self.signal.stopped.lock() = true;
        self.signal.changed.notify_one();
        let _ = thread.join();
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(work: &Work, signal: &Signal) {
    for round in 1u32.. {
        {
            let mut stopped = signal.stopped.lock();
            while !*stopped && signal.idle.load(Ordering::SeqCst) {
                signal.changed.wait(&mut stopped);
            }
            if !*stopped {
                signal.changed.wait_for(&mut stopped, ROUND);
            }
            if *stopped {
                break;
            }
        }
        let flush = round.is_multiple_of(ROUNDS_PER_FLUSH);
        if flush {
            // Whoever finds it idle from here on wakes it.
            signal.idle.store(true, Ordering::SeqCst);
            work.unrecorded.flush(&work.sequencer, work.clock.now());
        }
        let due = !work.pool.store().is_local() || round.is_multiple_of(ROUNDS_PER_LOCAL_SWEEP);
        let holds = !due || work.pool.sweep(Some(work.clock.coarse()));
        if holds {
            signal.idle.store(false, Ordering::SeqCst);
        }
    }
    work.unrecorded.flush(&work.sequencer, work.clock.now());
}
