//! The policy in force, as decisions read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::error::{Error, ErrorKind, Result};
use crate::policy::{Policy, PolicyDocument, PolicyHash};
use crate::storage::Document;

/// The policy in force. Decisions read it without a lock; the writer's thread, the follower's thread and an opening
/// engine change it. The actions that follow from commits share it, and may run after the engine is gone.
pub(super) struct CurrentPolicy {
    in_force: ArcSwap<InForce>,
    /// Counts the policies that came into force. It is raised after the policy is swapped, and a quota reads it before
    /// the policy. So a quota can be taken for outdated when it is not, and never the other way round.
    generation: AtomicU64,
}

/// A policy and its version, which are swapped together.
struct InForce {
    version: u64,
    policy: Arc<Policy>,
}

impl CurrentPolicy {
    pub(super) fn new(version: u64, policy: Arc<Policy>) -> Self {
        Self { in_force: ArcSwap::from_pointee(InForce { version, policy }), generation: AtomicU64::new(0) }
    }

    pub(super) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.in_force.load().policy)
    }

    pub(super) fn version(&self) -> u64 {
        self.in_force.load().version
    }

    /// The policy generation. It differs from an earlier reading if another policy may have come into force since.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Brings a policy into force, unless a later one already is. Threads that do so at the same time leave the latest
    /// version in force. The generation is raised in any case, which at worst makes quotas be found again.
    pub(super) fn supersede(&self, version: u64, policy: Arc<Policy>) {
        let new = Arc::new(InForce { version, policy });
        self.in_force.rcu(|old| Arc::clone(if old.version < new.version { &new } else { old }));
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// The hash of a policy as it is stored.
pub(super) fn stored_hash(stored: &Document) -> PolicyHash {
    PolicyHash::of_canonical(&stored.body)
}

/// Compiles a policy that the store holds.
pub(super) fn compile_stored(stored: &Document) -> Result<Policy> {
    let damaged = |issue: String| Error::new(ErrorKind::Corrupt, issue).with("version", stored.version);
    let document: PolicyDocument = serde_json::from_str(&stored.body)
        .map_err(|error| damaged(format!("the stored policy cannot be read: {error}")))?;
    let policy = Policy::compile(document)?;
    if policy.hash() != stored_hash(stored) {
        return Err(damaged("the stored policy is not in canonical form".into()));
    }
    Ok(policy)
}
