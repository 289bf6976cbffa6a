//! The tip of a shard: the head that the next commit is signed on top of, checked against the checkpoint that was
//! signed last.

use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::{Frontier, Hash, HashRange, SignedCheckpoint, VerifierKey, frontier_plan};
use crate::storage::Head;

/// The end of a shard's log.
#[derive(Clone)]
pub(super) struct ShardTip {
    pub(super) head: Head,
    pub(super) frontier: Frontier,
    /// The key of this shard's log.
    pub(super) key: VerifierKey,
}

impl ShardTip {
    /// Loads the right edge of the tree under a head that was claimed. Nothing is ever signed on top of a head that is
    /// not the one that this log's key signed last. An error ends an opening; a running writer keeps the tip that it
    /// has.
    pub(super) async fn load(settings: &Settings, head: Head) -> Result<Self> {
        let key = settings.keys.of_shard(head.shard);
        if key.public_key() != settings.signer.public_key() {
            let issue = format!("shard {} is signed with an earlier key of the deployment", head.shard);
            return Err(Error::new(ErrorKind::Key, issue));
        }
        let fetched = settings.store.hashes(head.shard, &frontier_plan(head.size)).await?;
        let frontier = Frontier::load(head.size, &fetched).unwrap_or_default();
        if frontier.size() != head.size || frontier.root() != head.root {
            return Err(refuse(&head, "the stored tree has another root than the log's head"));
        }
        if head.size > 0 {
            check_signature(&head, &key)?;
            let last = settings.store.records(head.shard, head.size - 1, 2).await?;
            let leaf = HashRange { level: 0, start: head.size - 1, count: 1 };
            let stored = settings.store.hashes(head.shard, &[leaf]).await?;
            match (last.as_slice(), stored.first().and_then(|run| run.first())) {
                ([record], Some(leaf)) if Hash::leaf(&record.bytes) == *leaf => {}
                _ => return Err(refuse(&head, "the last entry is not the one that was signed")),
            }
        }
        Ok(Self { head, frontier, key })
    }
}

fn check_signature(head: &Head, key: &VerifierKey) -> Result<()> {
    let signed = SignedCheckpoint::parse(&head.note).map_err(|issue| refuse(head, issue))?;
    if signed.checkpoint.size != head.size || signed.checkpoint.root != head.root {
        return Err(refuse(head, "the signed checkpoint is not that of the log's head"));
    }
    if signed.checkpoint.origin != key.name() {
        let issue = format!("the log is {}, not {}", signed.checkpoint.origin, key.name());
        return Err(Error::new(ErrorKind::Key, issue));
    }
    if !signed.is_signed_by(key) {
        let issue = format!("shard {} was signed with another key than this one", head.shard);
        return Err(Error::new(ErrorKind::Key, issue));
    }
    Ok(())
}

fn refuse(head: &Head, issue: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("{issue}; nothing is signed on top of it. Run `trust-engine log verify`"),
    )
    .with("shard", head.shard)
    .with("size", head.size)
}
