//! The opening of an engine: store, key, log and policy, in this order, each checked before the next.

#[cfg(feature = "embedded")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::agent_cache::AgentCache;
use super::agent_loads::AgentLoads;
use super::ceilings;
use super::current_policy::{CurrentPolicy, compile_stored, stored_hash};
use super::deployment;
use super::instance::{Engine, Inner};
use super::options::{Backend, Options};
use super::policies::policy_records;
use crate::clock::{Moment, SystemEntropy, Timestamp, new_id};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::AgentId;
use crate::log::recorded::policy_key;
use crate::log::{
    CheckpointCache, Deployment, Followed, LocalFollower, News, Sequencer, Settings, sign_of_life,
};
use crate::policy::{Policy, PolicyDocument, PolicyHash};
#[cfg(feature = "embedded")]
use crate::provenance::SignedCheckpoint;
use crate::provenance::{Ed25519Signer, Signer};
use crate::storage::{
    self, CounterStore, DecodedRecord, Document, DocumentKey, DocumentKind, Head, Relay, Store,
};

/// Attempts to bring a policy into force while other engines bring theirs.
const INSTALL_ATTEMPTS: u32 = 20;

impl Engine {
    /// Opens an engine.
    ///
    /// # Errors
    /// - [`InvalidInput`](ErrorKind::InvalidInput), [`InvalidPolicy`](ErrorKind::InvalidPolicy): the options.
    /// - [`Locked`](ErrorKind::Locked): the store is open elsewhere.
    /// - [`Foreign`](ErrorKind::Foreign), [`Unsupported`](ErrorKind::Unsupported), [`Corrupt`](ErrorKind::Corrupt): the
    ///   folder is not a store, of a newer version, or damaged.
    /// - [`Key`](ErrorKind::Key): the signing key is missing or not the log's.
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied), [`NoSpace`](ErrorKind::NoSpace),
    ///   [`Unavailable`](ErrorKind::Unavailable): the file system.
    pub async fn open(options: Options) -> Result<Self> {
        Self::try_open(options).await.map_err(|error| error.during("open"))
    }

    async fn try_open(options: Options) -> Result<Self> {
        options.check()?;
        let policy = options.policy.clone().map(Policy::compile).transpose()?;
        let (store, counters, signer, deployment) = resolve(&options).await?;
        let public_key = signer.public_key();
        // Before anything is claimed: an engine of another deployment must not write here.
        let stored = Deployment::read(&*store).await?.map(|(stored, _)| stored);
        if let Some(stored) = &stored {
            stored.check(&deployment, &public_key)?;
        }
        let identity = stored.unwrap_or_else(|| Deployment::new(&deployment, &public_key));
        // The owner's id never comes from an injected source: no two engines may have the same.
        let owner = new_id(options.clock.now(), &SystemEntropy);
        let news = Arc::<News>::default();
        let settings = Settings {
            store: Arc::clone(&store),
            news: Arc::clone(&news),
            signer,
            clock: Arc::clone(&options.clock),
            entropy: Arc::clone(&options.entropy),
            deployment: deployment.into(),
            keys: identity.keys()?,
            shard: options.shard,
            owner,
            patience: options.takeover_after,
            queue: options.queue,
            max_batch: options.max_batch,
            linger: options.linger,
            max_clock_jump: options.max_clock_jump,
        };
        let sequencer = Arc::new(Sequencer::open(settings).await?);
        let stored = recorded_policy(&*store).await?;
        let (version, in_force) = match &stored {
            Some(stored) => (stored.version, compile_stored(stored)?),
            None => (0, Policy::compile(PolicyDocument::published_default()?)?),
        };
        // A new log begins with the record of its first policy.
        let first = stored.is_none().then(PolicyDocument::published_default).transpose()?;
        let mut warnings = Vec::new();
        let heads = store.heads().await?;
        sequencer.log_time().notice(&heads);
        let now = Moment { wall: options.clock.now(), steady: options.clock.since_boot() };
        warnings.extend(long_silence(&heads, sequencer.log_time().correct(now)));
        let wanted = match policy.filter(|policy| stored.is_none() || policy.hash() != in_force.hash()) {
            // An engine that was opened before a later policy came into force, and starts again as it was.
            Some(policy) if store.is_shared() && was_in_force(&*store, policy.hash(), version).await? => {
                warnings.push(format!(
                    "the policy that this engine was opened with was in force before and is not now: version {version} stays in \
                     force. To go back to an earlier policy, swap it in"
                ));
                None
            }
            Some(policy) => Some(policy),
            None => first.map(Policy::compile).transpose()?,
        };
        let (counters, relay) = in_front(&options, options.counters.clone().or(counters)).await?;
        let ceilings = counters.map(|counters| {
            let (sequencer, clock) = (Arc::clone(&sequencer), Arc::clone(&options.clock));
            ceilings::State::new(counters, options.cached_agents, sequencer, clock)
        });
        let agents = Arc::new(AgentCache::new(options.cached_agents, store.is_shared()));
        let policy = Arc::new(CurrentPolicy::new(version, Arc::new(in_force)));
        let checkpoints = Arc::<CheckpointCache>::default();
        let mut workers = Vec::new();
        if store.is_shared() {
            let (store, sequencer) = (Arc::clone(&store), Arc::clone(&sequencer));
            let clock = Arc::clone(&options.clock);
            let sign =
                sign_of_life::start(Arc::clone(&store), Arc::clone(&sequencer), Arc::clone(&clock), owner)?;
            let (checkpoints, relay) = (Arc::clone(&checkpoints), relay.clone());
            let followed = Arc::new(Caches { agents: Arc::clone(&agents), policy: Arc::clone(&policy) });
            let (news, patience) = (Arc::clone(&news), options.takeover_after);
            let local =
                LocalFollower { store, sequencer, checkpoints, relay, followed, clock, news, patience };
            workers.push(("sign".to_owned(), Arc::new(sign)));
            workers.push(("follower".to_owned(), Arc::new(local.start()?)));
        }
        let engine = Self(Arc::new(Inner {
            ceilings,
            workers: Mutex::new(Some(workers)),
            news,
            sequencer,
            store,
            relay,
            policy,
            agents,
            loads: AgentLoads::default(),
            checkpoints,
            clock: options.clock,
            entropy: options.entropy,
            authorities: options.authorities,
            owner,
            patience: options.takeover_after,
            max_clock_jump: options.max_clock_jump,
            key_folder: match options.backend {
                Backend::Embedded(folder) if options.signer.is_none() => Some(folder),
                _ => None,
            },
            warnings,
        }));
        deployment::record(&engine, &identity, &public_key).await?;
        if let Some(policy) = wanted {
            install(&engine, Arc::new(policy), version).await?;
        }
        Ok(engine)
    }
}

/// The state that the follower keeps up with the store.
struct Caches {
    agents: Arc<AgentCache>,
    policy: Arc<CurrentPolicy>,
}

impl Followed for Caches {
    fn document_changed(&self, key: &DocumentKey) {
        if key.kind == DocumentKind::Agent
            && let Ok(id) = AgentId::recorded(&key.id)
        {
            self.agents.forget(&key.organization, &id);
        }
    }

    fn anything_changed(&self) {
        self.agents.forget_all();
    }

    fn verified(&self, looked: i64) {
        self.agents.verified(looked);
    }

    fn policy_version(&self) -> u64 {
        self.policy.version()
    }

    fn policy_changed(&self, stored: &Document) -> Result<()> {
        self.policy.supersede(stored.version, Arc::new(compile_stored(stored)?));
        Ok(())
    }
}

/// Brings a policy into force, if no other engine that opens at the same time has done it. `seen`: the version that was in
/// force when it was decided to do so.
async fn install(engine: &Engine, policy: Arc<Policy>, seen: u64) -> Result<()> {
    let (mut attempts, store) = (0..INSTALL_ATTEMPTS, &engine.0.store);
    loop {
        let stored = store.document(&policy_key()).await?;
        let later =
            stored.as_ref().filter(|stored| stored.version != seen && stored_hash(stored) != policy.hash());
        // Another engine has brought it into force since, and somebody a later one after it.
        if let Some(later) = later
            && store.is_shared()
            && was_in_force(&**store, policy.hash(), later.version).await?
        {
            engine.0.policy.supersede(later.version, Arc::new(compile_stored(later)?));
            return Ok(());
        }
        if let Some(stored) = stored.as_ref().filter(|stored| stored_hash(stored) == policy.hash()) {
            engine.0.policy.supersede(stored.version, policy);
            return Ok(());
        }
        match engine.policy().install(Arc::clone(&policy), stored, "open").await {
            Err(error) if error.kind() == ErrorKind::Conflict && attempts.next().is_some() => {}
            installed => return installed.map(drop),
        }
    }
}

/// Puts Redis in front of the counters, if there is one.
#[cfg(feature = "redis")]
async fn in_front(
    options: &Options,
    counters: Option<Arc<dyn CounterStore>>,
) -> Result<(Option<Arc<dyn CounterStore>>, Option<Arc<dyn Relay>>)> {
    let Some(redis) = &options.redis else { return Ok((counters, None)) };
    let (counters, relay) = match counters {
        // Shared counters are better than best effort, which is refused beside them.
        Some(durable) if !redis.best_effort || !durable.is_local() => storage::redis(redis, durable).await?,
        _ => storage::redis_best_effort(redis).await?,
    };
    Ok((Some(counters), Some(relay)))
}

#[cfg(not(feature = "redis"))]
async fn in_front(
    _: &Options,
    counters: Option<Arc<dyn CounterStore>>,
) -> Result<(Option<Arc<dyn CounterStore>>, Option<Arc<dyn Relay>>)> {
    Ok((counters, None))
}

/// The policy in force, which must be the one that the log says was brought into force last.
async fn recorded_policy(store: &dyn Store) -> Result<Option<Document>> {
    loop {
        let stored = store.document(&policy_key()).await?;
        let held = stored.as_ref().map(|stored| (stored.version, stored_hash(stored)));
        let recorded = last_recorded(store).await?;
        if recorded.map(|last| last.1) == held.map(|held| held.1) {
            return Ok(stored);
        }
        // Another engine may have brought one into force between the two readings.
        if store.document_version(&policy_key()).await? == held.map_or(0, |held| held.0) {
            let issue =
                "the stored policy is not the one that the log's last POLICY record brought into force";
            return Err(Error::new(ErrorKind::Corrupt, issue));
        }
    }
}

/// Time after which a log that nobody wrote into is rather a sign of a clock that is far ahead.
const LONG_SILENCE: Duration = Duration::from_secs(366 * 86_400);

/// The warning about a log that was not written for very long, by the clock: where nothing but that clock says how late it
/// is, nothing else tells that it is wrong, and entries would keep its time.
fn long_silence(heads: &[Head], now: Timestamp) -> Option<String> {
    let era = heads.iter().map(|head| head.era).max();
    let written = heads.iter().filter(|head| head.size > 0 && Some(head.era) == era);
    let last = written.map(|head| head.time).max()?;
    (now > last.plus(LONG_SILENCE)).then(|| {
        format!(
            "the log's last entry is of {last}, and this machine's clock shows {now}: unless nothing was recorded for so long, \
             close the engine and set the clock, because the log's times never go back"
        )
    })
}

/// Whether a policy was in force before a version, as the log has it. Engines that open together may bring the same one into
/// force this moment, which is not before.
async fn was_in_force(store: &dyn Store, hash: PolicyHash, version: u64) -> Result<bool> {
    for head in store.heads().await? {
        let mut rest = Some(storage::ShardRange { shard: head.shard, start: 0, end: head.size });
        while let Some(range) = rest {
            let filter = policy_records();
            let found = store.scan(&storage::Scan { filter, range, newest_first: true, limit: 100 }).await?;
            let mut of_it = found.records.iter().filter(|record| record.entry.policy == Some(hash));
            if of_it.any(|record| recorded_number(record).is_none_or(|recorded| recorded < version)) {
                return Ok(true);
            }
            rest = found.rest;
        }
    }
    Ok(false)
}

/// The version that a POLICY record brought into force; `None` if its payload is gone.
fn recorded_number(record: &DecodedRecord) -> Option<u64> {
    record.payload.as_ref()?.json().ok()?.get("version")?.as_u64()
}

/// Version and hash of the newest policy that is recorded in any shard.
async fn last_recorded(store: &dyn Store) -> Result<Option<(u64, PolicyHash)>> {
    let mut newest: Option<(u64, PolicyHash)> = None;
    for head in store.heads().await? {
        let range = storage::ShardRange { shard: head.shard, start: 0, end: head.size };
        let mut rest = Some(range);
        let mut last = None;
        while let (None, Some(range)) = (&last, rest) {
            let filter = policy_records();
            let found = store.scan(&storage::Scan { filter, range, newest_first: true, limit: 1 }).await?;
            (last, rest) = (found.records.into_iter().next(), found.rest);
        }
        let Some(record) = last else { continue };
        let version = recorded_number(&record).unwrap_or(0);
        if let Some(hash) = record.entry.policy
            && newest.is_none_or(|(known, _)| version >= known)
        {
            newest = Some((version, hash));
        }
    }
    Ok(newest)
}

/// The store, its counters, its signer and the deployment's name.
type Resolved = (Arc<dyn Store>, Option<Arc<dyn CounterStore>>, Arc<dyn Signer>, String);

async fn resolve(options: &Options) -> Result<Resolved> {
    match &options.backend {
        Backend::Memory => {
            let signer = options
                .signer
                .clone()
                .unwrap_or_else(|| Arc::new(Ed25519Signer::generate(&*options.entropy)));
            let deployment = deployment(options, &*signer);
            let counters = storage::memory_counters(Arc::clone(&options.clock));
            Ok((storage::memory(), Some(counters), signer, deployment))
        }
        Backend::Custom(store) => {
            let (signer, deployment) = given(options)?;
            Ok((Arc::clone(store), None, signer, deployment))
        }
        #[cfg(feature = "postgres")]
        Backend::Postgres(database) => {
            let (signer, deployment) = given(options)?;
            let (store, counters) = storage::postgres(database).await?;
            Ok((store, Some(counters), signer, deployment))
        }
        #[cfg(feature = "embedded")]
        Backend::Embedded(folder) => resolve_embedded(options, folder).await,
        #[cfg(not(feature = "embedded"))]
        Backend::Embedded(_) => Err(Error::invalid("store", "needs the feature `embedded`")),
    }
}

/// The signer and the deployment's name, where no key file can be made for them.
fn given(options: &Options) -> Result<(Arc<dyn Signer>, String)> {
    let need = |field| Error::invalid(field, "is missing; a shared store needs one that every engine uses");
    let signer = options.signer.clone().ok_or_else(|| need("signer"))?;
    let deployment = options.deployment.as_deref().ok_or_else(|| need("deployment"))?;
    Ok((signer, deployment.to_owned()))
}

#[cfg(feature = "embedded")]
async fn resolve_embedded(options: &Options, folder: &Path) -> Result<Resolved> {
    let (store, counters) = storage::embedded_with_counters(folder, Arc::clone(&options.clock))?;
    let head = store.head(0).await?;
    // A log that was begun keeps the name that it was begun with.
    let begun = SignedCheckpoint::parse(&head.note).ok().map(|signed| signed.checkpoint.origin);
    let begun = begun.map(|origin| origin.strip_suffix("/prov/0").unwrap_or(&origin).to_owned());
    let signer = match &options.signer {
        Some(signer) => Arc::clone(signer),
        None => {
            if let Some((stored, _)) = Deployment::read(&*store).await? {
                let keys = stored.keys()?;
                storage::key_file::adopt(folder, &keys, &keys.last().public_key())?;
            }
            key_file(folder, options, begun.is_some())?
        }
    };
    let deployment = match (begun, &options.deployment) {
        (Some(begun), Some(wanted)) if begun != *wanted => {
            let issue = format!("is {wanted}, but the log was begun as {begun}");
            return Err(Error::invalid("deployment", issue));
        }
        (Some(begun), _) => begun,
        (None, _) => deployment(options, &*signer),
    };
    Ok((store, Some(counters), signer, deployment))
}

/// Reads the key beside the database, or makes it for a log that has not begun.
#[cfg(feature = "embedded")]
fn key_file(folder: &Path, options: &Options, begun: bool) -> Result<Arc<dyn Signer>> {
    use crate::storage::key_file;
    if let Some(signer) = key_file::read(folder)? {
        return Ok(Arc::new(signer));
    }
    if begun {
        let issue =
            format!("{} is missing; restore it, or give the signer", key_file::path(folder).display());
        return Err(Error::new(ErrorKind::Key, issue));
    }
    let signer = Ed25519Signer::generate(&*options.entropy);
    let name = format!("{}/prov/0", deployment(options, &signer));
    key_file::create(folder, &signer, &name)?;
    Ok(Arc::new(signer))
}

/// The deployment's name from the options, or one that only this key has.
fn deployment(options: &Options, signer: &dyn Signer) -> String {
    let own = || format!("local-{}", hex::encode(signer.public_key().split_at(8).0));
    options.deployment.clone().unwrap_or_else(own)
}
