//! The engine: composes policy, gate, provenance and storage. It has no rules of its own.

mod agents;
pub mod blocking;
mod ceilings;
mod covers;
mod gates;
mod log;
mod merge;
mod open;
mod options;
mod payload;
mod policies;
mod query;
mod stats;
mod watch;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwap;

use crate::clock::{Clock, Entropy, Timestamp, new_id};
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::{Decision, Policy, PolicyHash};
use crate::provenance::{Draft, ParentOf, Payload, Receipt, RecordType, Sequencer, Submission, VerifierKey};
use crate::storage::{Change, Relay, Shard, StateChange, Store};

use self::covers::Covers;

pub use agents::{AgentReceipt, Agents};
pub use ceilings::{CeilingUsage, CeilingVerdict, Quota, Quotas, Reservation, recompute_ceiling};
pub use gates::{Recorded, Verdict};
pub use log::Log;
pub use options::Options;
pub use payload::recompute;
pub use policies::{Policies, PolicyVersion};
pub use query::{Page, Query};
pub use stats::{Stats, TimeRange};

/// An open engine. Clones share it; it closes when [`close`](Self::close) is called or the last clone is dropped.
///
/// ```
/// # pollster::block_on(async {
/// use trust_engine::{Engine, GateRequest, NewAgent, Options};
///
/// let engine = Engine::open(Options::memory()).await?;
/// engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED").created_by("ops")).await?;
///
/// let request = GateRequest::new("agent_001", "DATA_ANALYST").resource("dataset_001").action("read");
/// let verdict = engine.evaluate_gate(&request).await?;
/// assert!(verdict.allowed());
/// println!("{verdict}");
/// engine.close().await;
/// # Ok::<(), trust_engine::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    // In this order they are dropped: leases go back, the writer ends, then the store closes.
    ceilings: Option<ceilings::State>,
    watch: Option<watch::Watch>,
    sequencer: Arc<Sequencer>,
    store: Arc<dyn Store>,
    /// What tells other engines of changes beside the store.
    relay: Option<Arc<dyn Relay>>,
    // Shared with what follows from commits, which may come in after the engine is gone.
    policy: Arc<ArcSwap<InForce>>,
    /// Counts the policies that came into force.
    edition: Arc<AtomicU64>,
    agents: Arc<agents::Cache>,
    covers: Arc<Covers>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    authorities: BTreeSet<String>,
}

/// Whether what an engine stands on answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The store: it can be read, and records are taken.
    pub store: bool,
    /// Redis, if there is one. Without it checks are slower, and nothing else.
    pub relay: Option<bool>,
}

/// The policy that decides now.
#[derive(Clone)]
struct InForce {
    version: u64,
    policy: Arc<Policy>,
}

impl Engine {
    /// Agents of the organization `default`; [`Agents::of`] for others.
    pub fn agents(&self) -> Agents<'_> {
        Agents::new(self)
    }

    /// The policy in force and its history.
    pub fn policy(&self) -> Policies<'_> {
        Policies::new(self)
    }

    /// The log, as the organization `default` sees it; [`Log::of`] and [`Log::fleet_wide`] for others.
    pub fn log(&self) -> Log<'_> {
        Log::new(self)
    }

    /// The shard of the log that this engine writes; always 0 where the store is not shared. An engine whose shard was
    /// taken over goes on in another one.
    pub fn shard(&self) -> Shard {
        self.0.sequencer.shard()
    }

    /// The key that verifies the shard of the log that this engine writes.
    pub fn verifier_key(&self) -> VerifierKey {
        self.verifier_key_of(self.shard())
    }

    /// The key that verifies a shard of the log: the deployment's key under the shard's name.
    pub fn verifier_key_of(&self, shard: Shard) -> VerifierKey {
        self.0.sequencer.key_of(shard)
    }

    /// Commits what waits, then closes; the store's lock is released with the last clone. Calls on any clone give
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) afterwards where they would have to write.
    pub async fn close(&self) {
        if let Some(ceilings) = &self.0.ceilings {
            ceilings.settle();
        }
        if let Some(watch) = &self.0.watch {
            watch.stop();
            watch.ended().await;
        }
        self.0.sequencer.close().await;
        if let Some(ceilings) = &self.0.ceilings {
            // What could not be given back stays charged until its window has gone by.
            let _ = ceilings.flush().await;
        }
    }

    /// What whoever operates the store should know: promises that it cannot keep as it is set up, for example a standby
    /// that is replicated to asynchronously. To be logged after opening.
    pub fn warnings(&self) -> Vec<String> {
        let counters = self.0.ceilings.as_ref().map(ceilings::State::warnings);
        let mut warnings = self.0.store.warnings();
        warnings.extend(counters.unwrap_or_default());
        warnings
    }

    /// Whether what the engine stands on answers now.
    pub async fn health(&self) -> Health {
        let relay = match &self.0.relay {
            Some(relay) => Some(relay.is_up().await),
            None => None,
        };
        let store = self.0.sequencer.check_state().is_ok() && self.0.store.policy_version().await.is_ok();
        Health { store, relay }
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn snapshot(&self) -> Arc<Policy> {
        Arc::clone(&self.0.policy.load().policy)
    }

    /// A draft with a new id and salt.
    fn draft(&self, content: Content, now: Timestamp) -> Draft {
        let mut payload = Payload { salt: [0; 32], bytes: content.payload };
        self.0.entropy.fill(&mut payload.salt);
        Draft {
            id: new_id(now, &*self.0.entropy),
            supplied: false,
            kind: content.kind,
            organization: content.organization,
            agent: content.agent,
            decision: content.decision,
            reason_code: content.reason_code,
            policy: content.policy,
            parent: ParentOf::Nothing,
            commitment: payload.commitment(),
            payload: Arc::new(payload),
            counted: None,
        }
    }

    /// Commits a record together with a change of state. `landed` follows from the commit even if the caller gives up
    /// waiting for it.
    async fn commit(
        &self,
        draft: Draft,
        change: StateChange,
        landed: impl FnOnce() + Send + 'static,
    ) -> Result<Receipt> {
        let (told, relay) = (Change::of(&change), self.0.relay.clone());
        let (submission, ticket) = Submission::new(vec![draft], Some(change), false);
        let landed = move || {
            landed();
            if let Some(relay) = relay {
                relay.tell(&told);
            }
        };
        self.0.sequencer.submit(submission.on_landing(landed)).await?;
        let receipt = ticket.committed().await?;
        receipt.ok_or_else(|| crate::Error::new(crate::ErrorKind::Closed, "the record was not committed"))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("log", &self.verifier_key().name()).finish_non_exhaustive()
    }
}

/// What a future gives without waiting; `issue` says what it would have waited for.
fn at_once<T>(future: impl Future<Output = Result<T>>, issue: impl fmt::Display) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(crate::Error::new(crate::ErrorKind::WouldBlock, issue.to_string())),
    }
}

/// What a record says.
struct Content {
    kind: RecordType,
    organization: OrganizationId,
    agent: Option<AgentId>,
    decision: Option<Decision>,
    reason_code: Option<Cow<'static, str>>,
    policy: Option<PolicyHash>,
    payload: Vec<u8>,
}
