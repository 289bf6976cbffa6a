//! The claim of a shard that an engine may write.

use std::collections::HashMap;

use super::recovery::is_checkpointed;
use super::settings::Settings;
use super::shard_tip::ShardTip;
use super::state::{Shared, WriterState, set_back};
use crate::error::{Error, ErrorKind, Result};
use crate::log::deployment::Deployment;
use crate::storage::{Head, Shard};

/// Claims the shard that is asked for, or any that is free, and loads its tip. `left` holds the last heads of the shards
/// that this engine wrote before.
///
/// A free shard that was signed with a key that is not the deployment's is left alone, and named in the warnings. An
/// engine that can repair a shard which is refused need not wait until this one is forgotten, so it is released.
pub(super) async fn claim(
    settings: &Settings,
    shared: &Shared,
    left: &HashMap<Shard, Head>,
) -> Result<ShardTip> {
    let store = &settings.store;
    let mut foreign: Vec<Shard> = Vec::new();
    loop {
        let head = match settings.shard {
            Some(shard) => store.claim(shard, settings.owner).await?,
            None => store.claim_free(settings.owner, settings.patience, &foreign).await?,
        };
        let shard = head.shard;
        match check(settings, shared, left, head).await {
            Ok(tip) => {
                *shared.foreign.lock() = foreign;
                return Ok(tip);
            }
            // A shard that was set back is not for others to write either.
            Err(error) if shared.state() == WriterState::SetBack => return Err(error.into()),
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

/// Why a shard that was claimed is not written.
pub(super) enum Refused {
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

async fn check(
    settings: &Settings,
    shared: &Shared,
    left: &HashMap<Shard, Head>,
    head: Head,
) -> std::result::Result<ShardTip, Refused> {
    // A key is rotated in the commit that seals the shards before, so whoever holds a later shard reads of it here.
    if let Some((deployment, _)) = Deployment::read(&*settings.store).await?
        && let Err(error) = deployment.check(&settings.deployment, &settings.signer.public_key())
    {
        shared.set_state(WriterState::Replaced);
        return Err(error.into());
    }
    if let Some(seen) = left.get(&head.shard)
        && seen.size > 0
        && !is_checkpointed(&*settings.store, seen).await?
    {
        shared.set_state(WriterState::SetBack);
        return Err(set_back().into());
    }
    ShardTip::load(settings, head).await.map_err(|error| match error.kind() {
        ErrorKind::Key => Refused::Foreign(error),
        _ => Refused::Other(error),
    })
}
