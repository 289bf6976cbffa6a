//! The policy in force: reading, swapping, history.

use std::sync::Arc;

use serde_json::json;

use super::instance::{Content, Engine};
use crate::bounds::{MAX_ID_BYTES, check_line};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::policy::{Policy, PolicyDocument, PolicyHash};
use crate::provenance::{Hash, MAX_PAYLOAD_BYTES, Receipt, RecordType};
use crate::storage::{StateChange, StoredPolicy};

/// A version of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Counts versions from 1.
    pub version: u64,
    /// Hash of the document.
    pub hash: PolicyHash,
    /// The time at which it came into force.
    pub since: Timestamp,
    /// Canonical JSON of the document.
    pub document: String,
}

impl From<StoredPolicy> for PolicyVersion {
    fn from(stored: StoredPolicy) -> Self {
        let hash = stored.policy_hash();
        Self { version: stored.version, hash, since: stored.since, document: stored.document }
    }
}

/// The policy in force and its history.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'a> {
    engine: &'a Engine,
}

impl Engine {
    /// The policy in force and its history.
    pub fn policy(&self) -> Policies<'_> {
        Policies { engine: self }
    }
}

impl Policies<'_> {
    /// The policy that decisions are made by now.
    pub fn current(&self) -> Arc<Policy> {
        self.engine.current_policy()
    }

    /// Brings a policy into force, in the name of `actor`. Committed, with its record, when this returns; every
    /// decision that begins afterwards is made by it. Putting the policy in force again is one more version.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPolicy`] with every mistake; [`ErrorKind::Conflict`] if another one came into force at the
    /// same time.
    pub async fn swap(&self, document: PolicyDocument, actor: &str) -> Result<Receipt> {
        check_line("actor", actor, MAX_ID_BYTES)?;
        let policy = Policy::compile(document)?;
        self.try_swap(policy, actor).await.map_err(|error| error.during("swap policy"))
    }

    async fn try_swap(&self, policy: Policy, actor: &str) -> Result<Receipt> {
        let before = self.engine.0.store.policy().await?;
        self.install(Arc::new(policy), before, actor).await
    }

    /// Brings a policy into force after the one that is stored.
    pub(super) async fn install(
        &self,
        policy: Arc<Policy>,
        before: Option<StoredPolicy>,
        actor: &str,
    ) -> Result<Receipt> {
        let expected = before.as_ref().map_or(0, |before| before.version);
        let now = self.engine.now();
        let document = policy.document().canonical_json();
        let stored = StoredPolicy {
            version: expected + 1,
            hash: Hash::from_bytes(*policy.hash().as_bytes()),
            document,
            since: now,
        };
        let body = json!({
            "actor": actor,
            "version": stored.version,
            "before": before.map(|before| before.hash.to_string()),
            "document": policy.document(),
        });
        let payload = body.to_string().into_bytes();
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(Error::new(ErrorKind::InvalidPolicy, "the policy is larger than a record can hold"));
        }
        let content = Content {
            kind: RecordType::Policy,
            organization: OrganizationId::default(),
            agent: None,
            decision: None,
            reason_code: Some("INSTALLED".into()),
            policy: Some(policy.hash()),
            payload,
        };
        let draft = self.engine.draft(content, now);
        let change = StateChange::Policy { expected, policy: Box::new(stored) };
        let current = Arc::clone(&self.engine.0.policy);
        let supersede = move || current.supersede(expected + 1, policy);
        self.engine.commit(draft, change, supersede).await
    }

    /// Versions that were in force, newest first, below `below`, at most `limit` (1 to 1,000).
    pub async fn history(&self, below: Option<u64>, limit: usize) -> Result<Vec<PolicyVersion>> {
        if !(1..=1000).contains(&limit) {
            return Err(Error::invalid("limit", format!("is {limit}; it must be 1 to 1000")));
        }
        let stored = self.engine.0.store.policies(below.unwrap_or(u64::MAX), limit).await?;
        Ok(stored.into_iter().map(PolicyVersion::from).collect())
    }
}
