//! The removal of admissions that are over, on a thread that the first check with a request id starts.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use pollster::block_on;

use crate::clock::{Clock, Moment};
use crate::engine::instance::Engine;
use crate::error::Result;
use crate::log::{Sequencer, Submission, Worker};
use crate::storage::{After, DocumentChange, DocumentKind, Store};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(30);
/// Time for which admissions stay beyond their end, so that the log's time has certainly passed it when they go.
const GRACE: Duration = Duration::from_secs(60);
/// Admissions that are removed together.
const REMOVALS: usize = 500;

/// The thread, once it was started. The lock is held to start or stop it.
#[derive(Default)]
pub(super) struct Expiry(Mutex<Started>);

#[derive(Default)]
enum Started {
    #[default]
    Not,
    Running(Worker),
    Stopped,
}

impl Expiry {
    /// Starts the thread, if it does not run yet.
    pub(super) fn start(&self, engine: &Engine) -> Result<()> {
        let mut started = self.0.lock();
        if matches!(*started, Started::Not) {
            let inner = &engine.0;
            let removals = Removals {
                store: Arc::downgrade(&inner.store),
                sequencer: Arc::downgrade(&inner.sequencer),
                clock: Arc::clone(&inner.clock),
            };
            // No failure is fatal: what is left is found by the next look, of this engine or of another.
            let round = move || block_on(removals.remove()).unwrap_or(false);
            let worker = Worker::start("trust-engine-expiry", PAUSE, round, || {})?;
            worker.wake().now();
            *started = Started::Running(worker);
        }
        Ok(())
    }

    /// Ends the thread, and waits for it.
    pub(super) async fn stop(&self) {
        let started = std::mem::replace(&mut *self.0.lock(), Started::Stopped);
        if let Started::Running(worker) = started {
            worker.stop();
            worker.ended().await;
        }
    }
}

/// The parts of an engine that removals need. An engine that is dropped ends with its store, whatever this thread does.
struct Removals {
    store: Weak<dyn Store>,
    sequencer: Weak<Sequencer>,
    clock: Arc<dyn Clock>,
}

impl Removals {
    /// Removes some of the admissions that are over, and gives whether there may be more. Another engine may do so at the
    /// same time, which ends the round: each removes what it saw, so nothing that was admitted since goes with it.
    async fn remove(&self) -> Result<bool> {
        let (Some(store), Some(sequencer)) = (self.store.upgrade(), self.sequencer.upgrade()) else {
            return Ok(false);
        };
        let now = Moment { wall: self.clock.now(), steady: self.clock.since_boot() };
        let over = sequencer.log_time().correct(now).minus(GRACE);
        let due = store.due_documents(DocumentKind::Admission, over, REMOVALS).await?;
        let more = due.len() == REMOVALS;
        let mut tickets = Vec::with_capacity(due.len());
        for document in due {
            let (expected, after) = (Some(document.version), After::Removed(document.key));
            let change = Some(DocumentChange { expected, after });
            let (submission, ticket) = Submission::new(Vec::new(), change, false);
            sequencer.submit(submission).await?;
            tickets.push(ticket);
        }
        // An engine that is dropped meanwhile ends with its store, and answers these.
        drop((store, sequencer));
        for ticket in tickets {
            ticket.committed().await?;
        }
        Ok(more)
    }
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
        let removals = Removals {
            store: Arc::downgrade(&engine.0.store),
            sequencer: Arc::downgrade(&engine.0.sequencer),
            clock: clock.clone(),
        };
        let is_clean = || block_on(engine.log().verify_all()).unwrap().iter().all(Report::is_clean);
        (0..REMOVALS + 20).for_each(check);
        clock.advance(Duration::from_secs(3600));
        (10_000..10_010).for_each(check);
        assert_eq!(left(), 530);
        clock.advance(Duration::from_secs(23 * 3600) + GRACE);
        let before = left();
        while block_on(removals.remove()).unwrap() {}
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
        block_on(engine.0.sequencer.submit(submission)).unwrap();
        ticket.wait().unwrap_err();
        assert_eq!(left(), 10);
        // One that is not over is missed.
        let gone = block_on(engine.0.store.documents(&filter, None, 1)).unwrap().documents.remove(0);
        let change = DocumentChange { expected: Some(gone.version), after: After::Removed(gone.key) };
        let (submission, ticket) = Submission::new(Vec::new(), Some(change), false);
        block_on(engine.0.sequencer.submit(submission)).unwrap();
        assert!(ticket.wait().unwrap().is_none());
        assert!(!is_clean());
    }
}
