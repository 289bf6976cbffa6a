//! Opening: store, key, log, policy, in this order, each checked before the next.

#[cfg(feature = "embedded")]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::options::Place;
use super::{Engine, InForce, Inner, Options, SHARD, agents, ceilings};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::policy::{Policy, PolicyDocument};
#[cfg(feature = "embedded")]
use crate::provenance::SignedCheckpoint;
use crate::provenance::{Ed25519Signer, Entry, RecordType, Sequencer, Settings, Signer};
use crate::storage::{self, CounterStore, Store, StoredPolicy};

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
        let (store, counters, signer, origin) = resolve(&options).await?;
        let settings = Settings {
            store: Arc::clone(&store),
            signer,
            clock: Arc::clone(&options.clock),
            entropy: Arc::clone(&options.entropy),
            origin,
            shard: SHARD,
            queue: options.queue,
            max_batch: options.max_batch,
            linger: options.linger,
        };
        let sequencer = Arc::new(Sequencer::open(settings).await?);
        let stored = store.policy().await?;
        check_recorded(&*store, stored.as_ref()).await?;
        let (version, in_force) = match &stored {
            Some(stored) => (stored.version, compile_stored(stored)?),
            None => (0, Policy::compile(PolicyDocument::published_default()?)?),
        };
        // A new log begins with the record of its first policy.
        let first = stored.is_none().then(PolicyDocument::published_default).transpose()?;
        let wanted = match policy.filter(|policy| stored.is_none() || policy.hash() != in_force.hash()) {
            Some(policy) => Some(policy),
            None => first.map(Policy::compile).transpose()?,
        };
        let edition = Arc::new(AtomicU64::new(0));
        let ceilings = options.counters.or(counters).map(|counters| {
            let (sequencer, clock) = (Arc::clone(&sequencer), Arc::clone(&options.clock));
            ceilings::State::new(counters, options.cached_agents, sequencer, clock)
        });
        let agents = agents::Cache::new(options.cached_agents, store.is_shared());
        let engine = Self(Arc::new(Inner {
            ceilings,
            sequencer,
            store,
            policy: Arc::new(arc_swap::ArcSwap::from_pointee(InForce {
                version,
                policy: Arc::new(in_force),
            })),
            edition,
            agents: Arc::new(agents),
            clock: options.clock,
            entropy: options.entropy,
            authorities: options.authorities,
        }));
        if let Some(policy) = wanted {
            engine.policy().install(policy, "open").await?;
        }
        Ok(engine)
    }
}

/// The policy in force must be the one that the log says was brought into force last.
async fn check_recorded(store: &dyn Store, stored: Option<&StoredPolicy>) -> Result<()> {
    let filter = storage::Filter { kind: Some(RecordType::Policy), ..storage::Filter::default() };
    let filter = storage::Filter { organization: Some(OrganizationId::default()), ..filter };
    let head = store.head(SHARD).await?;
    let ranges = vec![storage::ShardRange { shard: SHARD, start: 0, end: head.size }];
    let found = store.scan(&storage::Scan { filter, ranges, newest_first: true, limit: 1 }).await?;
    let recorded = match found.records.first() {
        Some(record) => Entry::parse(&record.entry)?.policy,
        None => None,
    };
    if recorded == stored.map(StoredPolicy::policy_hash) {
        return Ok(());
    }
    let issue = "the stored policy is not the one that the log's last POLICY record brought into force";
    Err(Error::new(ErrorKind::Corrupt, issue))
}

fn compile_stored(stored: &StoredPolicy) -> Result<Policy> {
    let damaged = |issue: String| Error::new(ErrorKind::Corrupt, issue).with("version", stored.version);
    let document: PolicyDocument = serde_json::from_str(&stored.document)
        .map_err(|error| damaged(format!("the stored policy cannot be read: {error}")))?;
    let policy = Policy::compile(document)?;
    if policy.hash() != stored.policy_hash() {
        return Err(damaged("the stored policy has another hash than is stored with it".into()));
    }
    Ok(policy)
}

/// The store, its counters, its signer and the log's name.
type Resolved = (Arc<dyn Store>, Option<Arc<dyn CounterStore>>, Arc<dyn Signer>, String);

async fn resolve(options: &Options) -> Result<Resolved> {
    match &options.place {
        Place::Memory => {
            let signer = options
                .signer
                .clone()
                .unwrap_or_else(|| Arc::new(Ed25519Signer::generate(&*options.entropy)));
            let origin = origin(options.deployment.as_deref(), &*signer);
            let counters = storage::memory_counters(Arc::clone(&options.clock));
            Ok((storage::memory(), Some(counters), signer, origin))
        }
        Place::Custom(store) => {
            let (signer, origin) = given(options)?;
            Ok((Arc::clone(store), None, signer, origin))
        }
        #[cfg(feature = "postgres")]
        Place::Postgres(database) => {
            let (signer, origin) = given(options)?;
            let (store, counters) = storage::postgres(database).await?;
            Ok((store, Some(counters), signer, origin))
        }
        #[cfg(feature = "embedded")]
        Place::Embedded(folder) => resolve_embedded(options, folder).await,
        #[cfg(not(feature = "embedded"))]
        Place::Embedded(_) => Err(Error::invalid("store", "needs the feature `embedded`")),
    }
}

/// The signer and the log's name, where no key file can be made for them.
fn given(options: &Options) -> Result<(Arc<dyn Signer>, String)> {
    let need = |field| Error::invalid(field, "is missing; a shared store needs one that every engine uses");
    let signer = options.signer.clone().ok_or_else(|| need("signer"))?;
    let deployment = options.deployment.as_deref().ok_or_else(|| need("deployment"))?;
    let origin = origin(Some(deployment), &*signer);
    Ok((signer, origin))
}

#[cfg(feature = "embedded")]
async fn resolve_embedded(options: &Options, folder: &Path) -> Result<Resolved> {
    let (store, counters) = storage::embedded_with_counters(folder, Arc::clone(&options.clock))?;
    let head = store.head(SHARD).await?;
    // A log that was begun keeps the name that it was begun with.
    let begun = SignedCheckpoint::parse(&head.note).ok().map(|signed| signed.checkpoint.origin);
    let signer = match &options.signer {
        Some(signer) => Arc::clone(signer),
        None => key_file(folder, options, begun.as_deref())?,
    };
    let wanted = options.deployment.as_deref().map(|name| origin(Some(name), &*signer));
    let origin = match (begun, wanted) {
        (Some(begun), Some(wanted)) if begun != wanted => {
            let issue = format!("would name the log {wanted}, but it was begun as {begun}");
            return Err(Error::invalid("deployment", issue));
        }
        (Some(begun), _) => begun,
        (None, Some(wanted)) => wanted,
        (None, None) => origin(None, &*signer),
    };
    Ok((store, Some(counters), signer, origin))
}

/// Reads the key beside the database, or makes it for a log that has not begun.
#[cfg(feature = "embedded")]
fn key_file(folder: &Path, options: &Options, begun: Option<&str>) -> Result<Arc<dyn Signer>> {
    use crate::storage::key_file;
    if let Some(signer) = key_file::read(folder)? {
        return Ok(Arc::new(signer));
    }
    if begun.is_some() {
        let issue =
            format!("{} is missing; restore it, or give the signer", key_file::path(folder).display());
        return Err(Error::new(ErrorKind::Key, issue));
    }
    let signer = Ed25519Signer::generate(&*options.entropy);
    let name = origin(options.deployment.as_deref(), &signer);
    key_file::create(folder, &signer, &name)?;
    Ok(Arc::new(signer))
}

/// `<deployment>/prov/<shard>`; without a name, one that only this key has.
fn origin(deployment: Option<&str>, signer: &dyn Signer) -> String {
    match deployment {
        Some(name) => format!("{name}/prov/{SHARD}"),
        None => format!("local-{}/prov/{SHARD}", hex::encode(signer.public_key().split_at(8).0)),
    }
}
