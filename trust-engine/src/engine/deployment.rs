//! The changes that an operator makes to a deployment: of its key, and of the time of its log. Both let the log go on in a
//! new shard.

#[cfg(feature = "embedded")]
use std::path::Path;
use std::sync::Arc;

use super::instance::Engine;
#[cfg(feature = "embedded")]
use super::options::Options;
use super::state::{NewVersion, Origin};
use crate::bounds::check_id;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Deployment as Stored;
#[cfg(feature = "embedded")]
use crate::provenance::{Ed25519Signer, VerifierKeys};
use crate::provenance::{Receipt, Signer, VerifierKey};
use crate::storage::{DocumentKey, Head, Shard, Succession};

/// Attempts to add a shard while other engines add theirs.
const ATTEMPTS: u32 = 20;

/// The deployment that an engine belongs to, as its operator changes it.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a>(&'a Engine);

impl Engine {
    /// The deployment.
    pub fn deployment(&self) -> Deployment<'_> {
        Deployment(self)
    }
}

impl Deployment<'_> {
    /// Rotates the deployment's key, recorded in the name of `actor`: the open shards are sealed, and the log goes on in a
    /// new one, which `signer` signs. Shards that were signed before keep their keys, by which they verify as before.
    ///
    /// Every engine of the deployment stops at its next commit with an error of kind [`ErrorKind::Key`], also this one; open
    /// them again with the new signer. An embedded store whose key lies beside it is rotated by
    /// `rotate_embedded_key`, which keeps the new one there.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] if the signer has a key that is or was the deployment's, does not sign with the key that it says
    /// that it has, or would not be kept where the engine found its own.
    pub async fn rotate_key(&self, signer: Arc<dyn Signer>, actor: &str) -> Result<Receipt> {
        self.rotate(signer, actor).await.map_err(|error| error.during("rotate the key"))
    }

    async fn rotate(&self, signer: Arc<dyn Signer>, actor: &str) -> Result<Receipt> {
        check_id("actor", actor)?;
        check_pair(&*signer)?;
        #[cfg(feature = "embedded")]
        if let Some(folder) = &self.0.0.key_folder
            && crate::storage::key_file::staged(folder) != Some(signer.public_key())
        {
            let issue = "lies beside the store, and this one would not: use rotate_embedded_key";
            return Err(Error::new(ErrorKind::Key, issue).with("field", "signer"));
        }
        self.succeed(actor, "the signing key was rotated", |stored, heads| {
            let (next, era) = next(heads);
            let next = Succession { next, time: latest(heads), era };
            Ok((stored.with_key(&signer.public_key(), next.next)?, next))
        })
        .await
    }

    /// Sets the log's time back to the clock, recorded in the name of `actor`: the open shards are sealed, and the log goes on
    /// in a new one at the time of the clock. Engines go on there by themselves. What was recorded keeps its times, of
    /// which some lie in the future.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless the log is ahead of the clock by more than
    /// [`max_clock_jump`](crate::Options::max_clock_jump).
    pub async fn set_log_back(&self, actor: &str) -> Result<Receipt> {
        self.set_back(actor).await.map_err(|error| error.during("set the log back"))
    }

    async fn set_back(&self, actor: &str) -> Result<Receipt> {
        check_id("actor", actor)?;
        let engine = self.0;
        self.succeed(actor, "the log was set back to the clock", |stored, heads| {
            let (from, to) = (latest(heads), engine.now());
            let jump = engine.0.max_clock_jump;
            if from <= to.plus(jump) {
                let issue = format!(
                    "has come to {from}, and the clock shows {to}: it is set back only if it is more than {jump:?} ahead"
                );
                return Err(Error::invalid("log", issue));
            }
            let (next, era) = next(heads);
            let next = Succession { next, time: to, era: era.saturating_add(1) };
            Ok((stored.with_set_back(next.next, from, to), next))
        })
        .await
    }

    /// Changes the deployment's document in the commit that brings a succession. `change` gives both, by the stored
    /// deployment and the heads of all shards.
    async fn succeed(
        &self,
        actor: &str,
        reason: &str,
        change: impl Fn(&Stored, &[Head]) -> Result<(Stored, Succession)>,
    ) -> Result<Receipt> {
        let (engine, mut attempts) = (self.0, 0..ATTEMPTS);
        loop {
            let stored = Stored::read(&*engine.0.store).await?;
            let (stored, before) = stored.ok_or_else(no_deployment)?;
            let heads = engine.0.store.heads().await?;
            let (after, succession) = change(&stored, &heads)?;
            let version = NewVersion { body: after.to_json()?, tags: Vec::new(), due: None };
            let origin = Origin { actor: Some(actor), reason: Some(reason), succession: Some(succession) };
            let changed =
                engine.change_state(DocumentKey::deployment(), Some(&before), Some(version), origin).await;
            match changed {
                // Another engine has added a shard, or changed the deployment.
                Err(error) if error.kind() == ErrorKind::Conflict && attempts.next().is_some() => {}
                changed => return changed,
            }
        }
    }
}

/// Rotates the key that lies beside an embedded store (`signing.key`), which no process may have open, and gives the keys
/// that verify its shards from now on. They are in `verifier.key` too, one a line. The key before is removed; cut off at any
/// point, the next opening or rotation goes on with one that the log knows.
///
/// # Errors
/// Those of [`Engine::open`] and [`Deployment::rotate_key`].
#[cfg(feature = "embedded")]
pub async fn rotate_embedded_key(folder: &Path, actor: &str) -> Result<VerifierKeys> {
    use crate::storage::{is_embedded_store, key_file};
    check_id("actor", actor)?;
    if !is_embedded_store(folder)? {
        let issue = format!("{} holds no store", folder.display());
        return Err(Error::new(ErrorKind::NotFound, issue));
    }
    let engine = Engine::open(Options::embedded(folder)).await?;
    let signer = Ed25519Signer::generate(&*engine.0.entropy);
    let next = engine.shard() + 1;
    let (store, public_key) = (Arc::clone(&engine.0.store), signer.public_key());
    let rotated = match key_file::stage(folder, &signer, engine.verifier_key_of(next).name()) {
        Ok(()) => engine.deployment().rotate_key(Arc::new(signer), actor).await.map(drop),
        Err(error) => Err(error),
    };
    engine.close().await;
    drop(engine);
    // The files change while the store is held, so that no other rotation begins; a backup that is made meanwhile compares
    // its key with its log.
    let keys = Stored::read(&*store).await?.ok_or_else(no_deployment)?.0.keys()?;
    if keys.last().public_key() != public_key {
        // A file that stays is passed over.
        let _ = key_file::unstage(folder);
        rotated?;
    }
    key_file::adopt(folder, &keys, &keys.last().public_key())?;
    drop(store);
    Ok(keys)
}

/// Refuses a signer whose halves do not belong together: nothing that it signs would verify.
fn check_pair(signer: &dyn Signer) -> Result<()> {
    let name = "trust-engine/key-check";
    let key = VerifierKey::new(name, &signer.public_key())?;
    let probe = b"this signs nothing but the check of a new key\n";
    if key.verifies(probe, &signer.sign(probe)?) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Key, "does not sign with the key that it says that it has")
        .with("field", "signer"))
}

fn no_deployment() -> Error {
    Error::new(ErrorKind::Corrupt, "the store does not say which deployment it belongs to")
}

/// The shard after the last one, and the era that runs.
fn next(heads: &[Head]) -> (Shard, u32) {
    let last = heads.last().map_or(0, |head| head.shard);
    (last + 1, heads.iter().map(|head| head.era).max().unwrap_or_default())
}

/// The latest time of the shards that are written.
fn latest(heads: &[Head]) -> Timestamp {
    heads.iter().filter(|head| !head.sealed).map(|head| head.time).max().unwrap_or_default()
}

/// Writes the identity into a store that has none.
pub(super) async fn record(engine: &Engine, deployment: &Stored, public_key: &[u8; 32]) -> Result<()> {
    let store = &*engine.0.store;
    let check = async || match Stored::read(store).await? {
        Some((stored, _)) => stored.check(deployment.name(), public_key).map(|()| true),
        None => Ok(false),
    };
    if check().await? {
        return Ok(());
    }
    let version = NewVersion { body: deployment.to_json()?, tags: Vec::new(), due: None };
    match engine.change_state(DocumentKey::deployment(), None, Some(version), Origin::default()).await {
        // Another engine that opened at the same time was first; it must be of the same deployment.
        Err(error) if error.kind() == ErrorKind::Conflict => check().await.map(drop),
        recorded => recorded.map(drop),
    }
}
