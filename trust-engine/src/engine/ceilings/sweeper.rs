//! The sweeper: a thread that gives back ended leases, carries the counts of unrecorded checks to the statistics, and
//! removes admissions that are over.
//!
//! It starts with the engine, sleeps while there is nothing to do, and is woken when a check leaves something to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use pollster::block_on;

use crate::clock::Clock;
use crate::error::Result;
use crate::log::{Sequencer, Submission, UnrecordedChecks};
use crate::quota::LeasePool;
use crate::storage::{After, DocumentChange, DocumentKind, Store};

/// Pause between two rounds while the sweeper is awake.
const ROUND: Duration = Duration::from_millis(100);
/// Rounds between two times at which the counts are carried to the statistics.
const ROUNDS_PER_FLUSH: u32 = 10;
/// Rounds between two sweeps for a local store, which has no other engine to grant the returned amounts to.
const ROUNDS_PER_LOCAL_SWEEP: u32 = 100;

/// Pause between two looks for admissions that are over.
const EXPIRY: Duration = Duration::from_secs(30);
/// Time for which they stay beyond their end, so that the log's time has certainly passed it when they go.
const GRACE: Duration = Duration::from_secs(60);
/// Admissions that are removed together.
const REMOVALS: usize = 500;

/// The parts of an engine that the sweeper works on.
pub(super) struct Work {
    pub(super) store: Arc<dyn Store>,
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

impl Work {
    /// Removes the admissions that are over. Another engine may do so at the same time, which ends the round: each removes
    /// what it saw, so nothing that was admitted since goes with it.
    async fn remove_admissions(&self, signal: &Signal) -> Result<()> {
        loop {
            let over = self.sequencer.log_time().correct(self.clock.now()).minus(GRACE);
            let due = self.store.due_documents(DocumentKind::Admission, over, REMOVALS).await?;
            let mut tickets = Vec::with_capacity(due.len());
            let last = due.len() < REMOVALS;
            for document in due {
                let (expected, after) = (Some(document.version), After::Removed(document.key));
                let change = Some(DocumentChange { expected, after });
                let (submission, ticket) = Submission::new(Vec::new(), change, false);
                self.sequencer.submit(submission).await?;
                tickets.push(ticket);
            }
            for ticket in tickets {
                ticket.committed().await?;
            }
            if last || *signal.stopped.lock() {
                return Ok(());
            }
        }
    }
}

fn run(work: &Work, signal: &Signal) {
    let mut expired = Instant::now();
    for round in 1u32.. {
        {
            let mut stopped = signal.stopped.lock();
            while !*stopped
                && signal.idle.load(Ordering::SeqCst)
                && let Some(left) = EXPIRY.checked_sub(expired.elapsed())
            {
                signal.changed.wait_for(&mut stopped, left);
            }
            if !*stopped {
                signal.changed.wait_for(&mut stopped, ROUND);
            }
            if *stopped {
                break;
            }
        }
        if expired.elapsed() >= EXPIRY {
            // No failure is fatal: what is left is found by the next look, of this engine or of another.
            let _ = block_on(work.remove_admissions(signal));
            expired = Instant::now();
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ceiling::CeilingRequest;
    use crate::clock::ManualClock;
    use crate::engine::{Engine, Options};
    use crate::ids::OrganizationId;
    use crate::log::Report;
    use crate::policy::PolicyDocument;
    use crate::storage::DocumentFilter;

    #[test]
    fn admissions_are_removed_when_they_are_over_and_the_log_stays_clean() {
        let clock = Arc::new(ManualClock::new("2026-11-27T12:00:00Z".parse().unwrap()));
        let text = "policyFormat: 1\nname: p\ntiers: [{name: LOW}]\nroles: [{name: READER, minimumTier: LOW}]\n\
                    defaultEffect: DENY\nresources: [API]\n\
                    ceilings: {agent: [{tier: LOW, resource: API, limit: 1000000}]}\n";
        let policy = PolicyDocument::parse(text).unwrap();
        let engine = block_on(Engine::open(Options::memory().policy(policy).clock(clock.clone()))).unwrap();
        let check = |id: usize| {
            let request = CeilingRequest::new("a", "API", 1).request_id(id.to_string());
            assert!(block_on(engine.check_ceiling(&request)).unwrap().allowed());
        };
        let filter = DocumentFilter {
            kind: DocumentKind::Admission,
            organization: OrganizationId::default(),
            tags: Vec::new(),
        };
        let left = || block_on(engine.0.store.count_documents(&filter, 10_000)).unwrap();
        let state = engine.0.ceilings.as_ref().unwrap();
        let work = Work {
            store: Arc::clone(&engine.0.store),
            pool: Arc::clone(&state.quotas.pool),
            unrecorded: Arc::clone(&state.quotas.unrecorded),
            sequencer: Arc::clone(&engine.0.sequencer),
            clock: clock.clone(),
        };
        let is_clean = || block_on(engine.log().verify_all()).unwrap().iter().all(Report::is_clean);
        (0..REMOVALS + 20).for_each(check);
        clock.advance(Duration::from_secs(3600));
        (10_000..10_010).for_each(check);
        assert_eq!(left(), 530);
        clock.advance(Duration::from_secs(23 * 3600) + GRACE);
        let before = left();
        block_on(work.remove_admissions(&Signal::default())).unwrap();
        assert_eq!((before, left()), (530, 10), "those of the first hour are over");
        assert!(is_clean());
        // A removal that was meant for an earlier admission takes no later one away.
        let over = block_on(engine.0.store.due_documents(
            DocumentKind::Admission,
            "2027-01-01T00:00:00Z".parse().unwrap(),
            1,
        ));
        let over = over.unwrap().remove(0);
        clock.advance(Duration::from_secs(3600));
        (10_000..10_010).for_each(check);
        let change = DocumentChange { expected: Some(over.version), after: After::Removed(over.key) };
        let (submission, ticket) = Submission::new(Vec::new(), Some(change), false);
        block_on(work.sequencer.submit(submission)).unwrap();
        ticket.wait().unwrap_err();
        assert_eq!(left(), 10);
        // One that is not over is missed.
        let gone = block_on(engine.0.store.documents(&filter, None, 1)).unwrap().documents.remove(0);
        let change = DocumentChange { expected: Some(gone.version), after: After::Removed(gone.key) };
        let (submission, ticket) = Submission::new(Vec::new(), Some(change), false);
        block_on(work.sequencer.submit(submission)).unwrap();
        assert!(ticket.wait().unwrap().is_none());
        assert!(!is_clean());
    }
}
