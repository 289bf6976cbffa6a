//! Keeping up with the other engines of a deployment: a sign of life for the shard, and the policy and agents that they
//! changed. Changes are told by the store where it can; a look every half second finds what was not told. Every change of an
//! agent has its record, so to look is to read the records of that type that came into the log since the last look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use pollster::block_on;
use uuid::Uuid;

use super::covers::Covers;
use super::open::compile_stored;
use super::{InForce, agents};
use crate::clock::Clock;
use crate::error::{ErrorKind, Result, from_io};
use crate::provenance::{Entry, RecordType, Sequencer};
use crate::storage::{Change, Filter, Listener, Relay, Scan, Shard, ShardRange, Store};

/// Time between two looks, and two signs of life.
const PAUSE: Duration = Duration::from_millis(500);

/// What is kept fresh.
pub(super) struct Work {
    pub(super) store: Arc<dyn Store>,
    pub(super) sequencer: Arc<Sequencer>,
    pub(super) policy: Arc<ArcSwap<InForce>>,
    /// Counts the policies that came into force.
    pub(super) edition: Arc<AtomicU64>,
    pub(super) agents: Arc<agents::Cache>,
    pub(super) covers: Arc<Covers>,
    pub(super) relay: Option<Arc<dyn Relay>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) owner: Uuid,
}

/// Ends soon after it is stopped or dropped; only [`ended`](Self::ended) waits for it.
pub(super) struct Watch {
    wake: SyncSender<()>,
    stopped: Arc<AtomicBool>,
    /// Closed when the thread has ended.
    ended: async_channel::Receiver<()>,
}

impl Watch {
    pub(super) fn start(work: Work) -> Result<Self> {
        let (wake, woken) = sync_channel(1);
        let listener = || -> Listener {
            let (agents, wake) = (Arc::clone(&work.agents), wake.clone());
            Box::new(move |change| {
                match change {
                    Change::Agent(organization, id) => return agents.forget(&organization, &id),
                    Change::Policy => {}
                    Change::Anything => agents.forget_all(),
                }
                // If it is full, a look is due anyway.
                let _ = wake.try_send(());
            })
        };
        work.store.listen(listener());
        if let Some(relay) = &work.relay {
            relay.listen(listener());
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let (ending, ended) = async_channel::bounded(1);
        let is_stopped = Arc::clone(&stopped);
        std::thread::Builder::new()
            .name("trust-engine-watch".into())
            .spawn(move || {
                run(&work, &woken, &is_stopped);
                drop(ending);
            })
            .map_err(|error| from_io(error, "the thread that follows other engines cannot be started"))?;
        Ok(Self { wake, stopped, ended })
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
    }

    /// Waits until it has stopped.
    pub(super) async fn ended(&self) {
        // Nothing is ever sent.
        let _ = self.ended.recv().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(work: &Work, woken: &Receiver<()>, stopped: &AtomicBool) {
    let mut seen = None;
    loop {
        // Told or not, it looks at everything: whoever is told often must give its sign of life all the same.
        if woken.recv_timeout(PAUSE) == Err(RecvTimeoutError::Disconnected) || stopped.load(Ordering::Acquire)
        {
            return;
        }
        // What fails because the store is down is found by the next look. A shard that was lost is noticed by the next
        // commit, which moves on to another; agents are read again when they are a second old.
        let _ = block_on(work.store.renew(work.sequencer.shard(), work.owner));
        let _ = block_on(follow_agents(work, &mut seen));
        let _ = block_on(follow_policy(work));
    }
}

/// Lets the agents be read again whose changes came into the log since the last look.
async fn follow_agents(work: &Work, seen: &mut Option<BTreeMap<Shard, u64>>) -> Result<()> {
    let looked = work.clock.coarse().steady;
    let sizes: BTreeMap<Shard, u64> =
        work.store.heads().await?.into_iter().map(|head| (head.shard, head.size)).collect();
    if let Some(seen) = seen {
        for (&shard, &end) in &sizes {
            match seen.get(&shard).copied().unwrap_or(0) {
                start if start <= end => forget_changed(work, ShardRange { shard, start, end }).await?,
                // Set back: nobody knows what is gone.
                _ => {
                    work.agents.forget_all();
                    work.covers.forget();
                }
            }
        }
    } else {
        // What is known already may have been read before any look.
        work.agents.forget_all();
    }
    *seen = Some(sizes);
    work.agents.followed(looked);
    Ok(())
}

async fn forget_changed(work: &Work, range: ShardRange) -> Result<()> {
    let mut rest = Some(range).filter(|range| range.start < range.end);
    while let Some(range) = rest {
        let filter = Filter { kind: Some(RecordType::Agent), ..Filter::default() };
        let found = work.store.scan(&Scan { filter, range, newest_first: false, limit: 1000 }).await?;
        for record in &found.records {
            let entry = Entry::parse(&record.entry)?;
            if let Some(agent) = &entry.agent {
                work.agents.forget(&entry.organization, agent);
            }
        }
        rest = found.rest;
    }
    Ok(())
}

/// Brings the policy in force up to the store's. One that cannot be read stops the engine: to go on by an older one would
/// be to ignore what was decided.
async fn follow_policy(work: &Work) -> Result<()> {
    if work.store.policy_version().await? <= work.policy.load().version {
        return Ok(());
    }
    let Some(stored) = work.store.policy().await? else { return Ok(()) };
    let policy = match compile_stored(&stored) {
        Ok(policy) => policy,
        Err(error) => {
            work.sequencer
                .set_outdated(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidPolicy));
            return Err(error);
        }
    };
    let new = Arc::new(InForce { version: stored.version, policy: Arc::new(policy) });
    new.supersede(&work.policy, &work.edition);
    work.sequencer.set_outdated(false);
    Ok(())
}

impl InForce {
    /// Comes into force, unless a later one already has.
    pub(super) fn supersede(self: &Arc<Self>, current: &ArcSwap<Self>, edition: &AtomicU64) {
        current.rcu(|old| Arc::clone(if old.version < self.version { self } else { old }));
        edition.fetch_add(1, Ordering::Release);
    }
}
