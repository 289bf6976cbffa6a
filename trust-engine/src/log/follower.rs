//! The follower of a shared log: a thread that gives a sign of life for the shard and keeps up with the other engines
//! of the deployment.
//!
//! The store and the relay tell of changes where they can; a look every half second finds the changes that were not
//! told. Every change of an agent has its record, so a look reads the records of that type that came into the log since
//! the look before. The engine implements [`Followed`], which takes the news in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use pollster::block_on;
use uuid::Uuid;

use super::checkpoint_cache::CheckpointCache;
use super::recorded::{changed_document, policy_key};
use super::sequencer::Sequencer;
use crate::clock::Clock;
use crate::error::{ErrorKind, Result, from_io};
use crate::provenance::RecordType;
use crate::storage::{
    Change, Document, DocumentKey, DocumentKind, Filter, Listener, Relay, Scan, Shard, ShardRange, Store,
};

/// Time between two looks, and two signs of life.
const PAUSE: Duration = Duration::from_millis(500);

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

/// The parts of an engine that its follower works with.
pub(crate) struct FollowerSettings {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) checkpoints: Arc<CheckpointCache>,
    pub(crate) relay: Option<Arc<dyn Relay>>,
    pub(crate) followed: Arc<dyn Followed>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) owner: Uuid,
}

/// A running follower. Its thread ends soon after a stop or the drop; only [`ended`](Self::ended) waits for that.
pub(crate) struct Follower {
    /// Wakes the thread. The channel holds one message, because one is enough to wake it.
    wake: SyncSender<()>,
    /// Set before the thread is woken, and read by the thread each time that it wakes up.
    stopped: Arc<AtomicBool>,
    /// Closed when the thread has ended.
    ended: async_channel::Receiver<()>,
}

impl Follower {
    /// Listens to the store and the relay, and starts the thread.
    pub(crate) fn start(settings: FollowerSettings) -> Result<Self> {
        let (wake, woken) = sync_channel(1);
        let listener = || -> Listener {
            let (followed, wake) = (Arc::clone(&settings.followed), wake.clone());
            Box::new(move |change| {
                match change {
                    Change::Document(key) if key.kind == DocumentKind::Policy => {}
                    Change::Document(key) => return followed.document_changed(&key),
                    Change::Anything => followed.anything_changed(),
                }
                // If the channel is full, a look is due anyway.
                let _ = wake.try_send(());
            })
        };
        settings.store.listen(listener());
        if let Some(relay) = &settings.relay {
            relay.listen(listener());
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let (ending, ended) = async_channel::bounded(1);
        let is_stopped = Arc::clone(&stopped);
        std::thread::Builder::new()
            .name("trust-engine-follower".into())
            .spawn(move || {
                settings.run(&woken, &is_stopped);
                drop(ending);
            })
            .map_err(|error| from_io(error, "the thread that follows other engines cannot be started"))?;
        Ok(Self { wake, stopped, ended })
    }

    /// Lets the thread end, without waiting for it. If the channel is full, the thread wakes up anyway and sees the
    /// flag.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
    }

    /// Waits until the thread has ended.
    pub(crate) async fn ended(&self) {
        // Nothing is ever sent: this waits until the thread lets go of the sender.
        let _ = self.ended.recv().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}

impl FollowerSettings {
    fn run(&self, woken: &Receiver<()>, stopped: &AtomicBool) {
        let mut seen = None;
        loop {
            // Each round does everything, whether a change was told or not: an engine that is told often must give its
            // sign of life all the same.
            let woken = woken.recv_timeout(PAUSE);
            if woken == Err(RecvTimeoutError::Disconnected) || stopped.load(Ordering::Acquire) {
                return;
            }
            // No step is fatal, and none depends on the one before. A store that is down is asked again by the next
            // round; a shard that was lost is noticed by the next commit, which claims another if it may; and while
            // nothing is verified, agents are read again when they are a second old.
            let _ = block_on(self.store.renew(self.sequencer.shard(), self.owner));
            let _ = block_on(self.follow_agents(&mut seen));
            let _ = block_on(self.follow_policy());
        }
    }

    /// Tells of the agents whose changes came into the log since the last look. The time is read before the heads, and
    /// the look counts only once every change has been told: after an error the next look begins where this one began.
    async fn follow_agents(&self, seen: &mut Option<BTreeMap<Shard, u64>>) -> Result<()> {
        let looked = self.clock.coarse().steady;
        let sizes: BTreeMap<Shard, u64> =
            self.store.heads().await?.into_iter().map(|head| (head.shard, head.size)).collect();
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
            // An agent that is known already may have been read before any look.
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

    /// Tells of the agents that were registered or changed in a part of the log.
    async fn tell_changed(&self, range: ShardRange) -> Result<()> {
        let mut rest = Some(range).filter(|range| range.start < range.end);
        while let Some(range) = rest {
            let filter = Filter { kind: Some(RecordType::Agent), ..Filter::default() };
            let found = self.store.scan(&Scan { filter, range, newest_first: false, limit: 1000 }).await?;
            for record in &found.records {
                if let Some(key) = changed_document(&record.entry) {
                    self.followed.document_changed(&key);
                }
            }
            rest = found.rest;
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
