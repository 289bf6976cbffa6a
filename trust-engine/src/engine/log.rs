//! The log as callers see it: recording, reading, searching, proving.

use std::sync::Arc;

use uuid::Uuid;

use super::query::{Page, Query};
use super::{Content, Engine, SHARD};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{
    Entry, Exported, Hash, InclusionProof, NewRecord, Parent, ParentOf, ProofPlan, Receipt, Record, Report,
    SignedCheckpoint, Submission, check_store, export,
};
use crate::storage::{ShardRange, StoredRecord, uncovered};

/// Most ancestors in a chain.
const MAX_CHAIN: usize = 100;

/// The log, as one organization or the whole fleet sees it.
#[derive(Clone, Debug)]
pub struct Log<'a> {
    engine: &'a Engine,
    /// `None`: fleet-wide.
    organization: Option<OrganizationId>,
}

impl<'a> Log<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, organization: Some(OrganizationId::default()) }
    }

    /// The log as another organization sees it.
    #[must_use]
    pub fn of(mut self, organization: OrganizationId) -> Self {
        self.organization = Some(organization);
        self
    }

    /// The whole log. Only for callers that may see every organization.
    #[must_use]
    pub fn fleet_wide(mut self) -> Self {
        self.organization = None;
        self
    }

    /// Records something that the host decided; committed when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]; [`ErrorKind::NotFound`] for a parent that is not committed in this organization;
    /// [`ErrorKind::Conflict`] if the id is taken by a record with other content.
    pub async fn record(&self, record: NewRecord) -> Result<Receipt> {
        self.try_record(record).await.map_err(|error| error.during("record"))
    }

    async fn try_record(&self, record: NewRecord) -> Result<Receipt> {
        let agent = record.check()?;
        let organization = self.organization.clone().unwrap_or_default();
        let parent = match record.parent_id() {
            Some(id) if Some(id) == record.supplied_id() => {
                return Err(Error::invalid("parentId", "is the record itself"));
            }
            Some(id) => ParentOf::Record(self.parent(id, &organization).await?),
            None => ParentOf::Nothing,
        };
        let content = Content {
            kind: record.kind(),
            organization,
            agent: Some(agent),
            decision: Some(record.decision()),
            reason_code: record.code().map(|code| code.to_owned().into()),
            policy: Some(self.engine.snapshot().hash()),
            payload: record.payload_json(),
        };
        let mut draft = self.engine.draft(content, self.engine.now());
        draft.parent = parent;
        if let Some(id) = record.supplied_id() {
            draft.id = id;
            draft.supplied = true;
        }
        let (submission, ticket) = Submission::new(vec![draft], None, false);
        self.engine.0.sequencer.submit(submission).await?;
        let receipt = ticket.committed().await?;
        receipt.ok_or_else(|| Error::new(ErrorKind::Closed, "the record was not committed"))
    }

    async fn parent(&self, id: Uuid, organization: &OrganizationId) -> Result<Parent> {
        let missing = || {
            let issue = format!("the parent {id} is not committed in organization {organization}");
            Error::new(ErrorKind::NotFound, issue).with("field", "parentId")
        };
        let stored = self.engine.0.store.record_by_id(id).await?.ok_or_else(missing)?;
        if Entry::parse(&stored.entry)?.organization != *organization {
            return Err(missing());
        }
        Ok(Parent { id, leaf: Hash::leaf(&stored.entry) })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none with this id in this organization.
    pub async fn get(&self, id: Uuid) -> Result<Record> {
        let stored = self.stored(id).await.map_err(|error| error.during("get record"))?;
        let mut signed = Checkpoints::new(self.engine);
        signed.complete(stored.1, stored.0).await
    }

    async fn stored(&self, id: Uuid) -> Result<(Entry, StoredRecord)> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no record {id}")).with("id", id);
        let stored = self.engine.0.store.record_by_id(id).await?.ok_or_else(missing)?;
        let entry = Entry::parse(&stored.entry)?;
        if self.organization.as_ref().is_some_and(|organization| *organization != entry.organization) {
            return Err(missing());
        }
        Ok((entry, stored))
    }

    /// Searches the log.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for values out of bounds or the cursor of another query.
    pub async fn query(&self, query: &Query) -> Result<Page> {
        self.try_query(query).await.map_err(|error| error.during("query log"))
    }

    async fn try_query(&self, query: &Query) -> Result<Page> {
        let store = &self.engine.0.store;
        let mut search = query.check(self.organization.clone())?;
        let head = store.head(SHARD).await?;
        if search.scan.ranges.is_empty() {
            search.scan.ranges.push(ShardRange { shard: SHARD, start: 0, end: head.size });
        }
        // A cursor comes from outside.
        search.scan.ranges.iter_mut().for_each(|range| range.end = range.end.min(head.size));
        let found = store.scan(&search.scan).await?;
        let indexes: Vec<u64> = found.records.iter().map(|stored| stored.index).collect();
        let covering = store.covering(SHARD, &indexes).await?;
        let mut records = Vec::with_capacity(found.records.len());
        let mut signed = Checkpoints::new(self.engine);
        for (stored, (size, note)) in found.records.into_iter().zip(covering) {
            let signed = signed.read(stored.index, size, &note)?;
            let entry = Entry::parse(&stored.entry)?;
            records.push(complete(stored, entry, signed));
        }
        Ok(Page { records, next: search.cursor(found.rest)? })
    }

    /// A record and its ancestors, the record first, at most `depth` (1 to 100) ancestors.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such record in this organization; [`ErrorKind::Corrupt`] if an ancestor
    /// is not the one that its child names.
    pub async fn chain(&self, id: Uuid, depth: usize) -> Result<Vec<Record>> {
        self.try_chain(id, depth).await.map_err(|error| error.during("chain"))
    }

    async fn try_chain(&self, id: Uuid, depth: usize) -> Result<Vec<Record>> {
        if !(1..=MAX_CHAIN).contains(&depth) {
            return Err(Error::invalid("depth", format!("is {depth}; it must be 1 to {MAX_CHAIN}")));
        }
        let mut signed = Checkpoints::new(self.engine);
        let (mut entry, mut stored) = self.stored(id).await?;
        let mut chain = Vec::new();
        loop {
            let parent = entry.parent;
            chain.push(signed.complete(stored, entry).await?);
            let Some(parent) = parent.filter(|_| chain.len() <= depth) else { return Ok(chain) };
            (entry, stored) = self.stored(parent.id).await?;
            if Hash::leaf(&stored.entry) != parent.leaf {
                let issue = format!("record {} is not the one that its child names as its parent", parent.id);
                return Err(Error::new(ErrorKind::Corrupt, issue).with("id", parent.id));
            }
        }
    }

    /// Proves that a record is in the log, against the newest checkpoint. The proof's text is a C2SP tlog-proof.
    pub async fn prove(&self, id: Uuid) -> Result<InclusionProof> {
        self.try_prove(id).await.map_err(|error| error.during("prove"))
    }

    async fn try_prove(&self, id: Uuid) -> Result<InclusionProof> {
        let (_, stored) = self.stored(id).await?;
        let store = &self.engine.0.store;
        let head = store.head(stored.shard).await?;
        let damaged = || Error::new(ErrorKind::Corrupt, "the tree's hashes do not add up to a proof");
        let plan = ProofPlan::inclusion(stored.index, head.size).ok_or_else(damaged)?;
        let fetched = store.hashes(stored.shard, plan.ranges()).await?;
        let path = plan.assemble(&fetched).ok_or_else(damaged)?;
        Ok(InclusionProof { index: stored.index, path, checkpoint: head.note })
    }

    /// The newest checkpoint; `None` before the first record.
    pub async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>> {
        let head = self.engine.0.store.head(SHARD).await?;
        if head.size == 0 {
            return Ok(None);
        }
        let damaged = |issue| Error::new(ErrorKind::Corrupt, issue);
        SignedCheckpoint::parse(&head.note).map(Some).map_err(damaged)
    }

    /// Proves that the log at the newest checkpoint begins with the log of `old` entries: gives that checkpoint and
    /// the hashes of the proof, for [`verify::consistency`](crate::verify::consistency).
    pub async fn prove_consistency(&self, old: u64) -> Result<(SignedCheckpoint, Vec<Hash>)> {
        let new =
            self.checkpoint().await?.ok_or_else(|| Error::new(ErrorKind::NotFound, "the log is empty"))?;
        let size = new.checkpoint.size;
        if old == size {
            return Ok((new, Vec::new()));
        }
        let plan = ProofPlan::consistency(old, size)
            .ok_or_else(|| Error::invalid("old", format!("is {old}; it must be 1 to {size}")))?;
        let fetched = self.engine.0.store.hashes(SHARD, plan.ranges()).await?;
        let damaged = || Error::new(ErrorKind::Corrupt, "the tree's hashes do not add up to a proof");
        Ok((new, plan.assemble(&fetched).ok_or_else(damaged)?))
    }

    /// Checks the whole log against everything that was ever signed, and against a checkpoint seen earlier.
    pub async fn verify(&self, since: Option<&SignedCheckpoint>) -> Result<Report> {
        let key = self.engine.verifier_key();
        check_store(&*self.engine.0.store, SHARD, &key, since, &mut |_, _| {}).await
    }

    /// Writes the log into a folder, as C2SP tlog-tiles and JSON Lines. The whole log, for fleet auditors.
    pub async fn export(&self, folder: &std::path::Path) -> Result<Exported> {
        let key = self.engine.verifier_key();
        let result = export(&*self.engine.0.store, SHARD, &key, folder, &mut |_, _| {}).await;
        result.map_err(|error| error.during("export"))
    }
}

/// Finds the checkpoints that first cover records; neighbours mostly share one, which is read once.
struct Checkpoints<'a> {
    engine: &'a Engine,
    /// The last one, by its size.
    last: Option<(u64, Arc<SignedCheckpoint>)>,
}

impl<'a> Checkpoints<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine, last: None }
    }

    async fn complete(&mut self, stored: StoredRecord, entry: Entry) -> Result<Record> {
        let found = self.engine.0.store.covering(stored.shard, &[stored.index]).await?;
        let (size, note) = found.into_iter().next().ok_or_else(|| uncovered(stored.index))?;
        let signed = self.read(stored.index, size, &note)?;
        Ok(complete(stored, entry, signed))
    }

    fn read(&mut self, index: u64, size: u64, note: &str) -> Result<Arc<SignedCheckpoint>> {
        let signed = match self.last.take() {
            Some((known, signed)) if known == size => signed,
            _ => Arc::new(SignedCheckpoint::parse(note).map_err(|_| uncovered(index))?),
        };
        self.last = Some((size, Arc::clone(&signed)));
        Ok(signed)
    }
}

/// A record with the checkpoint that first covers it.
fn complete(stored: StoredRecord, entry: Entry, signed: Arc<SignedCheckpoint>) -> Record {
    let leaf = Hash::leaf(&stored.entry);
    let receipt = Receipt { id: entry.id, index: stored.index, leaf, time: entry.time, signed };
    Record { entry, bytes: stored.entry, payload: stored.payload, receipt }
}
