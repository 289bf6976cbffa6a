//! The sweeper: a thread that gives back ended leases and carries the counts of unrecorded checks to the statistics.
//!
//! It starts with the engine, sleeps while there is nothing to do, and is woken when a check leaves something to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::log::{Sequencer, UnrecordedChecks};
use crate::quota::LeasePool;

/// Pause between two rounds while the sweeper is awake.
const ROUND: Duration = Duration::from_millis(100);
/// Rounds between two times at which the counts are carried to the statistics.
const ROUNDS_PER_FLUSH: u32 = 10;
/// Rounds between two sweeps for a local store, which has no other engine to grant the returned amounts to.
const ROUNDS_PER_LOCAL_SWEEP: u32 = 100;

/// The parts of an engine that the sweeper works on.
pub(super) struct Work {
    pub(super) pool: Arc<LeasePool>,
    pub(super) unrecorded: Arc<UnrecordedChecks>,
    pub(super) sequencer: Arc<Sequencer>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A running sweeper. The lock guards the handle of its thread, which only one caller joins.
pub(super) struct Sweeper {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The way to wake and to stop the sweeper. The sweeper holds the lock `stopped` from its look at `idle` until it
/// waits, and a wake-up clears `idle` under the same lock, so it cannot fall in between.
#[derive(Default)]
pub(super) struct Signal {
    /// Whether the sweeper sleeps until it is woken. It is read before the lock is taken, so that waking a sweeper that
    /// is awake costs next to nothing.
    idle: AtomicBool,
    /// Whether the sweeper is to end.
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Wakes the sweeper if it sleeps.
    pub(super) fn wake(&self) {
        if self.idle.load(Ordering::SeqCst) {
            let _stopped = self.stopped.lock();
            self.idle.store(false, Ordering::SeqCst);
            self.changed.notify_one();
        }
    }
}

impl Sweeper {
    /// Starts the thread.
    pub(super) fn start(work: Work) -> Self {
        let signal = Arc::<Signal>::default();
        let seen = Arc::clone(&signal);
        let builder = std::thread::Builder::new().name("trust-engine-sweeper".into());
        // A thread that cannot be started is not fatal: leases end all the same, and go back when their counters are
        // asked again. Only the counts of unrecorded checks do not reach the statistics then.
        let thread = builder.spawn(move || run(&work, &seen)).ok();
        Self { signal, thread: Mutex::new(thread) }
    }

    /// Wakes the sweeper, because there is something to do.
    pub(super) fn wake(&self) {
        self.signal.wake();
    }

    /// The signal, which wakes the sweeper from any thread.
    pub(super) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }

    /// Ends the thread and waits for it; before it ends, it carries the counts to the statistics once more.
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
            // This is set before the counts are taken, so that a check that counts later finds the sweeper idle and
            // wakes it.
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
