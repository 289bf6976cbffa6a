//! An open engine: its parts, and the steps that its verbs share.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::agent_cache::AgentCache;
use super::agent_loads::AgentLoads;
use super::ceilings;
use super::current_policy::CurrentPolicy;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::clock::{Clock, Entropy, Moment, Timestamp, new_id};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::log::recorded::policy_key;
use crate::log::{CheckpointCache, Draft, IdOrigin, News, ParentOf, Sequencer, Submission, Ticket, Worker};
use crate::policy::{Policy, PolicyHash};
use crate::provenance::{DecisionWord, Payload, Receipt, RecordType, Source, VerifierKey, VerifierKeys};
use crate::storage::{Change, DocumentChange, Relay, Shard, Store, Succession};

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
pub struct Engine(pub(super) Arc<Inner>);

/// Threads by names.
pub(super) type Workers = Vec<(String, Arc<Worker>)>;

pub(super) struct Inner {
    // The fields are dropped in this order: leases go back, the writer ends, then the store closes.
    pub(super) ceilings: Option<ceilings::State>,
    /// The threads that follow the log or give signs of life; they end with the engine.
    /// By names, of which no two that run are the same; `None` once the engine is closed.
    pub(super) workers: Mutex<Option<Workers>>,
    /// Tells that the log may have grown.
    pub(super) news: Arc<News>,
    pub(super) sequencer: Arc<Sequencer>,
    pub(super) store: Arc<dyn Store>,
    /// Tells other engines of changes beside the store.
    pub(super) relay: Option<Arc<dyn Relay>>,
    pub(super) policy: Arc<CurrentPolicy>,
    pub(super) agents: Arc<AgentCache>,
    pub(super) loads: AgentLoads,
    pub(super) checkpoints: Arc<CheckpointCache>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) authorities: BTreeSet<String>,
    /// The id of this engine as an owner of shards and followers.
    pub(super) owner: Uuid,
    /// The time for which an owner may be silent before others take over.
    pub(super) patience: Duration,
    /// The time by which clocks may differ, or one may jump, without a warning.
    pub(super) max_clock_jump: Duration,
    /// The folder beside whose store the key lies.
    #[cfg_attr(not(feature = "embedded"), allow(dead_code, reason = "needs the feature"))]
    pub(super) key_folder: Option<PathBuf>,
    /// Warnings of the opening, for the operator.
    pub(super) warnings: Vec<String>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let workers = self.workers.lock().take().unwrap_or_default();
        workers.iter().for_each(|(_, worker)| worker.stop());
    }
}

/// The health of an engine: whether the services that it depends on answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The store: it can be read, and records are taken.
    pub store: bool,
    /// Redis, if there is one. Without it checks are slower, and nothing else.
    pub relay: Option<bool>,
}

impl Engine {
    /// The shard of the log that this engine writes. An engine whose shard was taken over goes on in another one; where the
    /// store is not shared it is 0 until the log is restored from a backup, set back, or signed with another key.
    pub fn shard(&self) -> Shard {
        self.0.sequencer.shard()
    }

    /// The key that verifies the shard of the log that this engine writes.
    pub fn verifier_key(&self) -> VerifierKey {
        self.verifier_key_of(self.shard())
    }

    /// The key that verifies a shard of the log: the key that signs it, under the shard's name.
    pub fn verifier_key_of(&self, shard: Shard) -> VerifierKey {
        self.0.sequencer.key_of(shard)
    }

    /// The keys that verify all shards of the log: one, or more once the key was rotated.
    pub fn verifier_keys(&self) -> VerifierKeys {
        self.0.sequencer.keys().clone()
    }

    /// Commits the submissions that wait, then closes; the store's lock is released with the last clone. Calls on any
    /// clone give [`ErrorKind::Closed`](crate::ErrorKind::Closed) afterwards where they would have to write.
    pub async fn close(&self) {
        if let Some(ceilings) = &self.0.ceilings {
            ceilings.stop().await;
        }
        self.0.loads.close();
        let workers = self.0.workers.lock().take().unwrap_or_default();
        workers.iter().for_each(|(_, worker)| worker.stop());
        for (_, worker) in &workers {
            worker.ended().await;
        }
        self.0.sequencer.close().await;
        // Those who wait for records hear that no more come.
        self.0.news.tell();
        if let Some(ceilings) = &self.0.ceilings {
            // An amount that could not be given back stays charged until its window has gone by.
            let _ = ceilings.flush().await;
        }
    }

    /// Copies the embedded store, as it is now, into a new folder, while it is in use: with its key, so keep it as you keep
    /// that. A backup can be verified and exported, and becomes a store by a [restore](crate::storage::Store::restore); no
    /// engine writes it. The thread is kept busy until the copy is made.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for another store, which has tools of its own; [`ErrorKind::Foreign`] if the folder is not
    /// empty; those of the file system.
    pub async fn backup(&self, folder: &Path) -> Result<()> {
        self.0.store.backup(folder).await.map_err(|error| error.during("backup"))
    }

    /// Warnings for the operator: promises that the store cannot keep as it is set up, for example because of a standby that
    /// is replicated to asynchronously; a policy that was given at opening and is not in force; a clock that jumped or differs
    /// from the database's, and a log whose time is ahead; shards that are signed with a key that is not the deployment's.
    /// The host should log them after opening, and from time to time.
    pub fn warnings(&self) -> Vec<String> {
        let counters = self.0.ceilings.as_ref().map(ceilings::State::warnings);
        let mut warnings = self.0.warnings.clone();
        warnings.extend(self.0.sequencer.warnings(self.now()));
        warnings.extend(self.0.store.warnings());
        warnings.extend(counters.unwrap_or_default());
        warnings
    }

    /// Asks the services that the engine depends on whether they answer now.
    pub async fn health(&self) -> Health {
        let relay = match &self.0.relay {
            Some(relay) => Some(relay.is_up().await),
            None => None,
        };
        let store = self.0.sequencer.check_state().is_ok()
            && self.0.store.document_version(&policy_key()).await.is_ok();
        Health { store, relay }
    }

    /// The time, by the store's clock if this engine's is far from it.
    pub(super) fn now(&self) -> Timestamp {
        let (clock, log_time) = (&self.0.clock, self.0.sequencer.log_time());
        match log_time.goes_by_the_store() {
            true => log_time.correct(Moment { wall: clock.now(), steady: clock.since_boot() }),
            false => clock.now(),
        }
    }

    pub(super) fn current_policy(&self) -> Arc<Policy> {
        self.0.policy.policy()
    }

    /// A draft of the engine with a new id and salt.
    pub(super) fn draft(&self, content: Content, now: Timestamp) -> Draft {
        let mut payload = Payload { salt: [0; 32], bytes: content.payload };
        self.0.entropy.fill(&mut payload.salt);
        Draft {
            id: new_id(now, &*self.0.entropy),
            id_origin: IdOrigin::New,
            kind: content.kind,
            source: Source::Engine,
            organization: content.organization,
            agent: content.agent,
            decision: content.decision,
            reason_code: content.reason_code,
            policy: content.policy,
            parent: ParentOf::Nothing,
            commitment: payload.commitment(),
            payload: Arc::new(payload),
            stat: None,
        }
    }

    /// Commits a record together with a change of a document. `on_commit` follows from the commit, on the writer's thread,
    /// even if the caller gives up waiting for it.
    pub(super) async fn commit(
        &self,
        draft: Draft,
        change: DocumentChange,
        on_commit: impl FnOnce() + Send + 'static,
    ) -> Result<Receipt> {
        acknowledged(self.begin(draft, change, None, on_commit).await?).await
    }

    /// Does the same as [`commit`](Self::commit) without waiting for it: the ticket does. The commit may bring a succession.
    pub(super) async fn begin(
        &self,
        draft: Draft,
        change: DocumentChange,
        succession: Option<Succession>,
        on_commit: impl FnOnce() + Send + 'static,
    ) -> Result<Ticket> {
        change.check()?;
        let (told, relay) = (Change::Document(change.key().clone()), self.0.relay.clone());
        let (submission, ticket) = Submission::new(vec![draft], Some(change), false);
        let committed = move || {
            on_commit();
            if let Some(relay) = relay {
                relay.tell(&told);
            }
        };
        self.0.sequencer.submit(submission.bringing(succession).on_commit(committed)).await?;
        Ok(ticket)
    }
}

/// The receipt of a record that is always recorded.
pub(super) async fn acknowledged(ticket: Ticket) -> Result<Receipt> {
    let receipt = ticket.committed().await?;
    receipt.ok_or_else(|| Error::new(ErrorKind::Closed, "the record was not committed"))
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("log", &self.verifier_key().name()).finish_non_exhaustive()
    }
}

/// The output of a future that needs no waiting, or an error with `issue`, which says why the future would have waited.
pub(super) fn at_once<T>(future: impl Future<Output = Result<T>>, issue: impl fmt::Display) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::new(ErrorKind::WouldBlock, issue.to_string())),
    }
}

/// The content of a record.
pub(super) struct Content {
    pub(super) kind: RecordType,
    pub(super) organization: OrganizationId,
    pub(super) agent: Option<AgentId>,
    pub(super) decision: Option<DecisionWord>,
    pub(super) reason_code: Option<Cow<'static, str>>,
    pub(super) policy: Option<PolicyHash>,
    pub(super) payload: Vec<u8>,
}
