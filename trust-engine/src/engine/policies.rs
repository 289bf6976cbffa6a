//! The policy in force: reading, swapping, history.

use std::sync::Arc;

use serde_json::json;

use super::current_policy::stored_hash;
use super::instance::{Content, Engine};
use crate::bounds::check_id;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::log::recorded::policy_key;
use crate::policy::{Policy, PolicyDocument, PolicyHash};
use crate::provenance::{MAX_PAYLOAD_BYTES, Receipt, RecordType};
use crate::storage::{After, DecodedRecord, Document, DocumentChange, Filter, Scan, ShardRange};

/// Records of the policy's history that are read at a time: each may have megabytes.
const HISTORY_PAGE: usize = 16;

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
        check_id("actor", actor)?;
        let policy = Policy::compile(document)?;
        self.try_swap(policy, actor).await.map_err(|error| error.during("swap policy"))
    }

    async fn try_swap(&self, policy: Policy, actor: &str) -> Result<Receipt> {
        let before = self.engine.0.store.document(&policy_key()).await?;
        self.install(Arc::new(policy), before, actor).await
    }

    /// Brings a policy into force after the one that is stored.
    pub(super) async fn install(
        &self,
        policy: Arc<Policy>,
        before: Option<Document>,
        actor: &str,
    ) -> Result<Receipt> {
        let expected = before.as_ref().map(|before| before.version);
        let version = expected.unwrap_or(0) + 1;
        let now = self.engine.now();
        let body = json!({
            "actor": actor,
            "version": version,
            "before": before.as_ref().map(|before| stored_hash(before).to_string()),
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
        let document = Document {
            key: policy_key(),
            version,
            body: policy.document().canonical_json(),
            created: before.map_or(now, |before| before.created),
            changed: now,
            tags: Vec::new(),
            due: None,
            record: draft.id,
        };
        let change = DocumentChange { expected, after: After::Document(Box::new(document)) };
        let current = Arc::clone(&self.engine.0.policy);
        let supersede = move || current.supersede(version, policy);
        self.engine.commit(draft, change, supersede).await
    }

    /// Versions that were in force, newest first, below `below`, at most `limit` (1 to 1,000), as the log has them.
    pub async fn history(&self, below: Option<u64>, limit: usize) -> Result<Vec<PolicyVersion>> {
        if !(1..=1000).contains(&limit) {
            return Err(Error::invalid("limit", format!("is {limit}; it must be 1 to 1000")));
        }
        let below = below.unwrap_or(u64::MAX);
        let store = &*self.engine.0.store;
        let mut versions: Vec<PolicyVersion> = Vec::new();
        for head in store.heads().await? {
            let mut of_shard = Vec::new();
            let mut rest = Some(ShardRange { shard: head.shard, start: 0, end: head.size });
            while let Some(range) = rest.filter(|_| of_shard.len() < limit) {
                let limit = limit.min(HISTORY_PAGE);
                let scan = Scan { filter: policy_records(), range, newest_first: true, limit };
                let found = store.scan(&scan).await?;
                let recorded = found.records.iter().filter_map(recorded_version);
                of_shard.extend(recorded.filter(|recorded| recorded.version < below));
                rest = found.rest;
            }
            versions.extend(of_shard);
        }
        versions.sort_unstable_by_key(|version| std::cmp::Reverse(version.version));
        versions.truncate(limit);
        Ok(versions)
    }
}

/// The records of the policy's versions.
pub(super) fn policy_records() -> Filter {
    let organization = Some(OrganizationId::default());
    Filter { kind: Some(RecordType::Policy), organization, ..Filter::default() }
}

/// The version that a POLICY record brought into force; `None` if its payload is gone.
fn recorded_version(record: &DecodedRecord) -> Option<PolicyVersion> {
    let body = record.payload.as_ref()?.json().ok()?;
    let document = serde_json_canonicalizer::to_string(body.get("document")?).ok()?;
    let (version, hash) = (body.get("version")?.as_u64()?, record.entry.policy?);
    Some(PolicyVersion { version, hash, since: record.entry.time, document })
}
