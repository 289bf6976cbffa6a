//! The claim of a shard that an engine may write.

use std::collections::HashMap;

use super::settings::Settings;
use super::shard_tip::ShardTip;
use super::state::{Shared, WriterState, set_back};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::log::deployment::Deployment;
use crate::provenance::SignedCheckpoint;
use crate::storage::{Head, Shard, Store};

/// Claims the shard that is asked for, or any that is free, and loads its tip. `left` holds the last heads of the shards
/// that this engine wrote before: while any of them is not in the log, nothing is signed in any shard.
///
/// A free shard that was signed with a key that is not the deployment's is left alone, and named in the warnings. An
/// engine that can repair a shard which is refused need not wait until this one is forgotten, so it is released.
pub(super) async fn claim(
    settings: &Settings,
    shared: &Shared,
    left: &HashMap<Shard, Head>,
) -> Result<ShardTip> {
    let store = &settings.store;
    // A store that was set back has other owners and signs of life, so any of its shards may be another engine's.
    for seen in left.values() {
        check_seen(settings, shared, seen).await?;
    }
    let mut foreign: Vec<Shard> = Vec::new();
    loop {
        let head = match settings.shard {
            Some(shard) => claim_certain(settings, shard).await?,
            None => store.claim_free(settings.owner, settings.patience, &foreign).await?,
        };
        let shard = head.shard;
        // The claim may have landed on another server than the look before it.
        if left.get(&shard).is_some_and(|seen| is_behind(&head, seen)) {
            shared.set_state(WriterState::SetBack);
            return Err(set_back());
        }
        match check(settings, shared, head).await {
            Ok(tip) => {
                for seen in left.values() {
                    check_seen(settings, shared, seen).await?;
                }
                *shared.foreign.lock() = foreign;
                compare_clocks(settings, shared, shard).await;
                return Ok(tip);
            }
            Err(error) => {
                // A release that fails costs only the wait.
                let _ = store.release(shard, settings.owner).await;
                let is_foreign = matches!(error, Refused::Foreign(_)) && store.is_shared();
                if !is_foreign || settings.shard.is_some() {
                    return Err(error.into());
                }
                foreign.push(shard);
            }
        }
    }
}

/// Checks that a head which this engine has seen committed is in the log. Signing on a log without it would fork the log, so
/// then the writer is set back for good.
pub(super) async fn check_seen(settings: &Settings, shared: &Shared, seen: &Head) -> Result<()> {
    if seen.size > 0 && !is_checkpointed(&*settings.store, seen).await? {
        shared.set_state(WriterState::SetBack);
        return Err(set_back());
    }
    Ok(())
}

/// Whether a head that was claimed lacks what was seen committed.
pub(super) fn is_behind(claimed: &Head, seen: &Head) -> bool {
    claimed.size < seen.size || (claimed.size == seen.size && claimed.root != seen.root)
}

/// Checks that the deployment is still the one that this engine signs for.
pub(super) async fn check_deployment(settings: &Settings, shared: &Shared) -> Result<()> {
    if let Some((deployment, _)) = Deployment::read(&*settings.store).await? {
        deployment.check(&settings.deployment, &settings.signer.public_key()).inspect_err(|_| {
            shared.set_state(WriterState::Replaced);
        })?;
    }
    Ok(())
}

/// Claims a shard that was asked for: one that is there, or the next one. A new one further on could be added beside a
/// succession that does not see it and would not seal it.
async fn claim_certain(settings: &Settings, shard: Shard) -> Result<Head> {
    let heads = settings.store.heads().await?;
    let next = heads.last().map_or(0, |head| head.shard + 1);
    if settings.store.is_shared() && shard > next {
        let issue = format!("is {shard}; the deployment has no such shard, and the next one is {next}");
        return Err(Error::invalid("shard", issue));
    }
    settings.store.claim(shard, settings.owner).await
}

/// Compares the clocks before anything is stamped: a time that is too late cannot be taken back.
async fn compare_clocks(settings: &Settings, shared: &Shared, shard: Shard) {
    let (store, nothing) = (&settings.store, Timestamp::default());
    // No failure is fatal: the next sign compares again. A store without a clock gives the time back.
    let asked = settings.clock.since_boot();
    if store.is_shared()
        && settings.clock.is_real()
        && let Ok((_, by_the_store)) = store.renew(shard, settings.owner, nothing).await
        && by_the_store != nothing
    {
        shared.log_time.compare(asked, settings.now(), by_the_store);
    }
}

/// Why a shard that was claimed is not written.
enum Refused {
    /// It was signed with a key that is not the deployment's.
    Foreign(Error),
    Other(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let (Refused::Foreign(error) | Refused::Other(error)) = refused;
        error
    }
}

async fn check(settings: &Settings, shared: &Shared, head: Head) -> std::result::Result<ShardTip, Refused> {
    // A key is rotated in the commit that seals the shards before, so whoever holds a later shard reads of it here.
    check_deployment(settings, shared).await?;
    ShardTip::load(settings, head).await.map_err(|error| match error.kind() {
        ErrorKind::Key => Refused::Foreign(error),
        _ => Refused::Other(error),
    })
}

/// Whether the log contains this head: a checkpoint is in the log only together with its entries.
pub(super) async fn is_checkpointed(store: &dyn Store, head: &Head) -> Result<bool> {
    let found = store.checkpoints(head.shard, head.size, 1).await?;
    // The texts are not compared: a signature need not be the same each time.
    let signed = found.first().and_then(|(_, note)| SignedCheckpoint::parse(note).ok());
    Ok(signed
        .is_some_and(|signed| (signed.checkpoint.size, signed.checkpoint.root) == (head.size, head.root)))
}
