//! The options that an engine is opened with.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::bounds::{check_id, check_line};
use crate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::error::{Error, Result};
use crate::policy::PolicyDocument;
use crate::provenance::Signer;
use crate::storage::{CounterStore, Shard, Store};

/// Most submissions that a queue may be set to hold.
const MAX_QUEUE: usize = 1 << 20;
/// Highest shard that may be asked for, so that there is room above it.
const MAX_SHARD: Shard = 1 << 30;
/// Most agents that the cache may be set to hold.
const MAX_CACHED_AGENTS: usize = 1 << 24;

/// The options that an engine is opened with: a store, and settings that all have defaults.
#[derive(Clone)]
pub struct Options {
    pub(crate) backend: Backend,
    pub(crate) counters: Option<Arc<dyn CounterStore>>,
    #[cfg(feature = "redis")]
    pub(crate) redis: Option<crate::storage::Redis>,
    pub(crate) policy: Option<PolicyDocument>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) signer: Option<Arc<dyn Signer>>,
    pub(crate) deployment: Option<String>,
    pub(crate) authorities: BTreeSet<String>,
    pub(crate) queue: usize,
    pub(crate) max_batch: usize,
    pub(crate) linger: Duration,
    pub(crate) cached_agents: usize,
    pub(crate) shard: Option<Shard>,
    pub(crate) takeover_after: Duration,
    pub(crate) max_clock_jump: Duration,
}

#[derive(Clone)]
pub(crate) enum Backend {
    Memory,
    #[cfg_attr(not(feature = "embedded"), allow(dead_code, reason = "needs the feature"))]
    Embedded(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(crate::storage::Postgres),
    Custom(Arc<dyn Store>),
}

impl Options {
    fn at(backend: Backend) -> Self {
        Self {
            backend,
            counters: None,
            #[cfg(feature = "redis")]
            redis: None,
            policy: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            signer: None,
            deployment: None,
            authorities: BTreeSet::new(),
            queue: 8192,
            max_batch: 1024,
            linger: Duration::ZERO,
            cached_agents: 100_000,
            shard: None,
            takeover_after: Duration::from_secs(10),
            max_clock_jump: Duration::from_secs(300),
        }
    }

    /// A store in memory, with a key that is thrown away with it.
    pub fn memory() -> Self {
        Self::at(Backend::Memory)
    }

    /// The embedded store in `folder`, which is made if it is not there.
    ///
    /// On the first open a signing key is made beside the database (`signing.key`, readable by the owner only) unless
    /// [`signer`](Self::signer) gives one.
    #[cfg(feature = "embedded")]
    pub fn embedded(folder: impl Into<PathBuf>) -> Self {
        Self::at(Backend::Embedded(folder.into()))
    }

    /// A PostgreSQL database, by its URL or with settings. It needs a [`signer`](Self::signer) and a
    /// [`deployment`](Self::deployment) name.
    #[cfg(feature = "postgres")]
    pub fn postgres(database: impl Into<crate::storage::Postgres>) -> Self {
        Self::at(Backend::Postgres(database.into()))
    }

    /// Any other store. It needs a signer and a deployment name, and [`counters`](Self::counters) for ceilings.
    pub fn store(store: Arc<dyn Store>) -> Self {
        Self::at(Backend::Custom(store))
    }

    /// The counters of the use that ceilings limit; by default those of the store itself.
    #[must_use]
    pub fn counters(mut self, counters: Arc<dyn CounterStore>) -> Self {
        self.counters = Some(counters);
        self
    }

    /// A Redis server, by its URL or with settings: it hands out parts of the grants of the store's counters, at its
    /// own speed, and carries messages between engines. The store must be one that engines share, or Redis in
    /// [best-effort mode](crate::storage::Redis::best_effort).
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn redis(mut self, redis: impl Into<crate::storage::Redis>) -> Self {
        self.redis = Some(redis.into());
        self
    }

    /// The policy to bring into force if it is not the one in force already. Without it, the one in force stays, and
    /// a new store begins with [`PolicyDocument::published_default`]. On a store that is shared, a policy that was in force
    /// before is not brought back by opening, because the engine may only be one that starts again with an old file: it is
    /// in [`warnings`](crate::Engine::warnings), and [`swap`](crate::Policies::swap) brings it back.
    #[must_use]
    pub fn policy(mut self, policy: PolicyDocument) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The clock that the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The source of salts, ids and generated keys.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The signer of checkpoints.
    #[must_use]
    pub fn signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Name of the deployment, for example `trust.example.com/fleet`: its log is called `<deployment>/prov/0`, and
    /// where several engines write, each writes a shard of its own, `<deployment>/prov/1` and so on.
    ///
    /// It becomes part of every signature and cannot change later. The key can, by
    /// [`rotate_key`](crate::Deployment::rotate_key). By default a new embedded store gets a name made
    /// from its key.
    #[must_use]
    pub fn deployment(mut self, name: impl Into<String>) -> Self {
        self.deployment = Some(name.into());
        self
    }

    /// Makes a caller a tier authority: the tier in its requests counts, and is recorded as asserted by it.
    #[must_use]
    pub fn tier_authority(mut self, caller: impl Into<String>) -> Self {
        self.authorities.insert(caller.into());
        self
    }

    /// Records that may wait for a commit, 1 to 1,048,576; 8,192 by default. When the queue is full, waiting calls
    /// wait and those that never wait give [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded).
    #[must_use]
    pub fn queue(mut self, records: usize) -> Self {
        self.queue = records;
        self
    }

    /// The number of records that [`queue`](Self::queue) is set to.
    pub fn queue_size(&self) -> usize {
        self.queue
    }

    /// Most records per commit, 1 to 1,024; 1,024 by default.
    #[must_use]
    pub fn max_batch(mut self, records: usize) -> Self {
        self.max_batch = records;
        self
    }

    /// The time for which a commit waits for more records, at most a second; by default it does not wait.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// Agents kept in memory, and quotas of agents, 1 to 16,777,216 each; 100,000 by default.
    #[must_use]
    pub fn cached_agents(mut self, agents: usize) -> Self {
        self.cached_agents = agents;
        self
    }

    /// Takes over this shard of the log, even if another engine writes it now, instead of a free one. The engine writes
    /// no other shard: when this one is taken over in turn, the engine stops.
    #[must_use]
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = Some(shard);
        self
    }

    /// The time for which the owner of a shard may be silent before another engine takes the shard over, 2 s to 1 h;
    /// 10 s by default. Owners give a sign every half second.
    #[must_use]
    pub fn takeover_after(mut self, time: Duration) -> Self {
        self.takeover_after = time;
        self
    }

    /// The time by which clocks may differ, or one may jump, without a warning, 1 s to 1 d; 5 minutes by default. On a store
    /// that has a clock of its own, entries have the time of that one wherever the two differ by more than a second. On
    /// others a clock that jumps further ahead is in [`warnings`](crate::Engine::warnings); so is a log that is further ahead
    /// than this, which [`set_log_back`](crate::Deployment::set_log_back) sets back.
    #[must_use]
    pub fn max_clock_jump(mut self, time: Duration) -> Self {
        self.max_clock_jump = time;
        self
    }

    /// Whether the store is one in this process.
    pub fn is_local(&self) -> bool {
        matches!(self.backend, Backend::Memory | Backend::Embedded(_))
    }

    pub(crate) fn check(&self) -> Result<()> {
        let within = |field, value: usize, max: usize| match value {
            value if (1..=max).contains(&value) => Ok(()),
            value => Err(Error::invalid(field, format!("is {value}; it must be 1 to {max}"))),
        };
        if matches!(&self.backend, Backend::Embedded(folder) if folder.as_os_str().is_empty()) {
            return Err(Error::invalid("folder", "is empty"));
        }
        within("queue", self.queue, MAX_QUEUE)?;
        within("maxBatch", self.max_batch, 1024)?;
        within("cachedAgents", self.cached_agents, MAX_CACHED_AGENTS)?;
        if self.linger > Duration::from_secs(1) {
            return Err(Error::invalid("linger", format!("is {:?}; at most 1s is allowed", self.linger)));
        }
        if !(Duration::from_secs(2)..=Duration::from_secs(3600)).contains(&self.takeover_after) {
            let issue = format!("is {:?}; it must be 2s to 1h", self.takeover_after);
            return Err(Error::invalid("takeoverAfter", issue));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&self.max_clock_jump) {
            let issue = format!("is {:?}; it must be 1s to 1d", self.max_clock_jump);
            return Err(Error::invalid("maxClockJump", issue));
        }
        if self.shard.is_some_and(|shard| shard > MAX_SHARD) {
            return Err(Error::invalid("shard", format!("must be 0 to {MAX_SHARD}")));
        }
        for authority in &self.authorities {
            check_id("tierAuthority", authority)?;
        }
        if let Some(name) = &self.deployment {
            check_line("deployment", name, 200)?;
            if name.contains(|c: char| c == '+' || c.is_whitespace()) {
                return Err(Error::invalid(
                    "deployment",
                    "has white space or '+', which key names cannot have",
                ));
            }
        }
        Ok(())
    }
}
