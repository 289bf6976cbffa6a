//! The local follower of a shared log: a thread of every engine that keeps its caches up with the other engines of the
//! deployment. Its position is in memory and begins at the log's end, and it commits nothing.
//!
//! The store and the relay tell of changes where they can; a look every half second finds the changes that were not
//! told. Every change of a document has its record, so a look reads the records that came into the log since the look
//! before. The engine implements [`Followed`], which takes the news in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;

use crate::clock::Clock;
use crate::error::{ErrorKind, Result};
use crate::log::checkpoint_cache::CheckpointCache;
use crate::log::news::News;
use crate::log::recorded::{changed_document, policy_key};
use crate::log::sequencer::Sequencer;
use crate::log::worker::Worker;
use crate::provenance::RecordType;
use crate::storage::{
    Change, Document, DocumentKey, DocumentKind, Filter, Listener, Relay, Scan, Shard, ShardRange, Store,
};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// The types of the records that change documents, but for the policy, which is looked at by itself.
const CHANGES: [RecordType; 2] = [RecordType::Agent, RecordType::State];

/// The state that an engine keeps in memory of a store that others change too. The methods are called on the follower's
/// thread, and the first two also on the threads of the store and the relay; none of them may wait.
pub(crate) trait Followed: Send + Sync + 'static {
    /// Notes that a document may have changed.
    fn document_changed(&self, key: &DocumentKey);

    /// Notes that any document may have changed.
    fn anything_changed(&self);

    /// Notes that every change committed before `looked`, on the steady clock in microseconds, has been told.
    fn verified(&self, looked: i64);

    /// The version of the policy that decides now.
    fn policy_version(&self) -> u64;

    /// Adopts a later policy that is in force. An error means that this engine cannot read it.
    fn policy_changed(&self, stored: &Document) -> Result<()>;
}

/// The parts of an engine that its local follower works with.
pub(crate) struct LocalFollower {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) checkpoints: Arc<CheckpointCache>,
    pub(crate) relay: Option<Arc<dyn Relay>>,
    pub(crate) followed: Arc<dyn Followed>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) news: Arc<News>,
    /// The time for which an owner may be silent.
    pub(crate) patience: Duration,
}

impl LocalFollower {
    /// Starts the thread, and listens to the store and the relay.
    pub(crate) fn start(self) -> Result<Worker> {
        let (store, relay, followed) =
            (Arc::clone(&self.store), self.relay.clone(), Arc::clone(&self.followed));
        let mut seen = None;
        let look = move || {
            // Neither step is fatal, and the second does not depend on the first. A store that is down is asked again by
            // the next look; and while nothing is verified, documents are read again when they are a second old.
            let _ = block_on(self.follow_documents(&mut seen));
            let _ = block_on(self.follow_policy());
            if self.news.is_awaited() {
                // Others may have committed, or the time of a shard may have moved on; that of one that nobody owns is moved
                // here. A failure costs the listeners one look.
                let _ = block_on(self.store.raise_idle(self.patience));
                self.news.tell();
            }
            false
        };
        let worker = Worker::start("trust-engine-follower", PAUSE, look, || {})?;
        let listener = || -> Listener {
            let (followed, wake) = (Arc::clone(&followed), worker.wake());
            Box::new(move |change| {
                match change {
                    Change::Document(key) if key.kind == DocumentKind::Policy => {}
                    Change::Document(key) => return followed.document_changed(&key),
                    Change::Anything => followed.anything_changed(),
                }
                wake.now();
            })
        };
        store.listen(listener());
        if let Some(relay) = &relay {
            relay.listen(listener());
        }
        Ok(worker)
    }

    /// Tells of the documents whose changes came into the log since the last look. The time is read before the heads, and
    /// the look counts only once every change has been told: after an error the next look begins where this one began.
    async fn follow_documents(&self, seen: &mut Option<BTreeMap<Shard, u64>>) -> Result<()> {
        let looked = self.clock.coarse().steady;
        let heads = self.store.heads().await?;
        self.sequencer.log_time().notice(&heads);
        let sizes: BTreeMap<Shard, u64> = heads.into_iter().map(|head| (head.shard, head.size)).collect();
        if let Some(seen) = seen {
            if seen.keys().any(|shard| !sizes.contains_key(shard)) {
                self.forget();
            }
            for (&shard, &end) in &sizes {
                match seen.get(&shard).copied().unwrap_or(0) {
                    start if start <= end => self.tell_changed(ShardRange { shard, start, end }).await?,
                    // The log was set back, so any of its entries may be gone.
                    _ => self.forget(),
                }
            }
        } else {
            // A document that is known already may have been read before any look.
            self.followed.anything_changed();
        }
        *seen = Some(sizes);
        self.followed.verified(looked);
        Ok(())
    }

    /// The log was set back to before a change, or before a shard began.
    fn forget(&self) {
        self.followed.anything_changed();
        self.checkpoints.forget();
    }

    /// Tells of the documents that were changed in a part of the log.
    async fn tell_changed(&self, range: ShardRange) -> Result<()> {
        for kind in CHANGES {
            let mut rest = Some(range).filter(|range| range.start < range.end);
            while let Some(range) = rest {
                let filter = Filter { kind: Some(kind), ..Filter::default() };
                let found =
                    self.store.scan(&Scan { filter, range, newest_first: false, limit: 1000 }).await?;
                for record in &found.records {
                    match changed_document(&record.entry, record.payload.as_ref()) {
                        Some(key) => self.followed.document_changed(&key),
                        // The payload that names the document was erased.
                        None => self.followed.anything_changed(),
                    }
                }
                rest = found.rest;
            }
        }
        Ok(())
    }

    /// Adopts the policy in force, if it is later than the one that decides now.
    async fn follow_policy(&self) -> Result<()> {
        let key = policy_key();
        if self.store.document_version(&key).await? <= self.followed.policy_version() {
            return Ok(());
        }
        let Some(stored) = self.store.document(&key).await? else { return Ok(()) };
        let changed = self.followed.policy_changed(&stored);
        // An engine that cannot read the policy in force would ignore it by going on with an older one. So it accepts
        // no more records until it can read a later policy.
        let unreadable = changed
            .as_ref()
            .is_err_and(|error| matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidPolicy));
        self.sequencer.set_outdated(unreadable);
        changed
    }
}
