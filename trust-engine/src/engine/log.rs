//! The log as callers see it: recording, reading, searching, proving.

use uuid::Uuid;

use super::instance::{Content, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::log::{
    Deployment, Exported, IdOrigin, Page, ParentOf, Query, Report, Submission, check_shards, check_store,
    export, scan_all,
};
use crate::provenance::{
    Hash, InclusionProof, NewRecord, Parent, ProofPlan, Receipt, Record, SignedCheckpoint, Source,
    VerifierKeys,
};
use crate::storage::{DecodedRecord, Shard, ShardRange, uncovered};

/// Most ancestors in a chain.
const MAX_CHAIN: usize = 100;
/// Scans of the store for one page, each of which does a bounded amount of work.
const MAX_SCANS: usize = 4;

/// The log, as one organization or the whole fleet sees it.
#[derive(Clone, Debug)]
pub struct Log<'a> {
    engine: &'a Engine,
    /// `None`: fleet-wide.
    organization: Option<OrganizationId>,
    /// `None`: all of them.
    shard: Option<Shard>,
}

impl Engine {
    /// The log, as the organization `default` sees it; [`Log::of`] and [`Log::fleet_wide`] for others.
    pub fn log(&self) -> Log<'_> {
        Log { engine: self, organization: Some(OrganizationId::default()), shard: None }
    }
}

impl Log<'_> {
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

    /// One shard of the log. Without it searches see all shards, and a call about a single tree (a checkpoint, a
    /// consistency proof, a verification or an export) is about the shard that this engine writes.
    #[must_use]
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = Some(shard);
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
        let (agent, decision) = record.check()?;
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
            decision: Some(decision),
            reason_code: record.code().map(|code| code.to_owned().into()),
            policy: Some(self.engine.current_policy().hash()),
            payload: record.payload_json(),
        };
        let mut draft = self.engine.draft(content, self.engine.now());
        draft.source = Source::Host;
        draft.parent = parent;
        if let Some(id) = record.supplied_id() {
            draft.id = id;
            draft.id_origin = IdOrigin::Caller;
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
        let stored = self.engine.0.store.record_by_id(organization, id).await?.ok_or_else(missing)?;
        Ok(Parent { id, leaf: Hash::leaf(&stored.bytes) })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none with this id in this organization.
    pub async fn get(&self, id: Uuid) -> Result<Record> {
        self.try_get(id).await.map_err(|error| error.during("get record"))
    }

    async fn try_get(&self, id: Uuid) -> Result<Record> {
        let stored = self.stored(id).await?;
        let index = stored.index;
        let found = self.engine.0.checkpoints.complete(&*self.engine.0.store, vec![stored]).await?;
        found.into_iter().next().ok_or_else(|| uncovered(index))
    }

    async fn stored(&self, id: Uuid) -> Result<DecodedRecord> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no record {id}")).with("id", id);
        let organization = self.organization_of(id).await?.ok_or_else(missing)?;
        self.engine.0.store.record_by_id(&organization, id).await?.ok_or_else(missing)
    }

    /// The organization whose record is meant: this one, or for the whole fleet the only one that has a record `id`.
    async fn organization_of(&self, id: Uuid) -> Result<Option<OrganizationId>> {
        if let Some(organization) = &self.organization {
            return Ok(Some(organization.clone()));
        }
        let mut owners = self.engine.0.store.organizations_of(id, 2).await?;
        match (owners.pop(), owners.is_empty()) {
            (Some(_), false) => {
                let issue = format!("has a record {id} more than once; name one that has it");
                Err(Error::invalid("organization", issue))
            }
            (only, _) => Ok(only),
        }
    }

    /// Searches the log.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for values out of bounds or the cursor of another query.
    pub async fn query(&self, query: &Query) -> Result<Page> {
        self.try_query(query).await.map_err(|error| error.during("query log"))
    }

    async fn try_query(&self, query: &Query) -> Result<Page> {
        let primary = &*self.engine.0.store;
        let store = primary.replica().filter(|_| !query.reads_own_writes()).unwrap_or(primary);
        let mut search = query.check(self.organization.clone())?;
        // The heads are those of the primary: a replica may have entries that no commit has acknowledged yet, and that
        // a failover may take away.
        let heads = primary.heads().await?;
        let log_time = self.engine.0.sequencer.log_time();
        log_time.notice(&heads);
        let ahead = log_time.ahead(self.engine.now());
        let heads = heads.iter().filter(|head| self.shard.is_none_or(|shard| shard == head.shard));
        let whole = heads.map(|head| ShardRange { shard: head.shard, start: 0, end: head.size });
        let whole: Vec<ShardRange> = whole.collect();
        // A cursor comes from outside; shards and entries that came after its first page are not part of it.
        let within = |range: ShardRange| {
            let known = whole.iter().find(|whole| whole.shard == range.shard);
            known.map(|whole| ShardRange { end: range.end.min(whole.end), ..range })
        };
        let mut rest: Vec<ShardRange> = match search.ranges.take() {
            Some(ranges) => ranges.into_iter().filter_map(within).collect(),
            None => whole,
        };
        let mut found = Vec::new();
        for _ in 0..MAX_SCANS {
            let left = search.limit - found.len();
            let (more, behind) =
                scan_all(store, &search.filter, rest, search.newest_first, left.into()).await?;
            found.extend(more);
            rest = behind;
            if rest.is_empty() || found.len() >= search.limit {
                break;
            }
        }
        let records = self.engine.0.checkpoints.complete(store, found).await?;
        Ok(Page { records, next: search.cursor(rest)?, ahead })
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
        let store = &*self.engine.0.store;
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no record {id}")).with("id", id);
        let mut chain: Vec<DecodedRecord> = Vec::new();
        let organization = self.organization_of(id).await?.ok_or_else(missing)?;
        for record in store.ancestry(&organization, id, depth + 1).await? {
            let entry = &record.entry;
            let named = chain.last().and_then(|child| child.entry.parent);
            if named.is_some_and(|parent| Hash::leaf(&record.bytes) != parent.leaf) {
                let issue = format!("record {} is not the one that its child names as its parent", entry.id);
                return Err(Error::new(ErrorKind::Corrupt, issue).with("id", entry.id));
            }
            chain.push(record);
        }
        match chain.last() {
            None => Err(missing()),
            Some(last) if last.entry.parent.is_some() && chain.len() <= depth => {
                let issue = "an ancestor that its child names is not in the log";
                Err(Error::new(ErrorKind::Corrupt, issue).with("id", last.entry.id))
            }
            Some(_) => self.engine.0.checkpoints.complete(store, chain).await,
        }
    }

    /// Proves that a record is in the log, against the newest checkpoint. The proof's text is a C2SP tlog-proof.
    pub async fn prove(&self, id: Uuid) -> Result<InclusionProof> {
        self.try_prove(id).await.map_err(|error| error.during("prove"))
    }

    async fn try_prove(&self, id: Uuid) -> Result<InclusionProof> {
        let stored = self.stored(id).await?;
        let store = &self.engine.0.store;
        let head = store.head(stored.shard).await?;
        let damaged = || Error::new(ErrorKind::Corrupt, "the tree's hashes do not add up to a proof");
        let plan = ProofPlan::inclusion(stored.index, head.size).ok_or_else(damaged)?;
        let fetched = store.hashes(stored.shard, plan.ranges()).await?;
        let path = plan.assemble(&fetched).ok_or_else(damaged)?;
        Ok(InclusionProof { index: stored.index, path, checkpoint: head.note })
    }

    /// The newest checkpoint of a shard; `None` before its first record.
    pub async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>> {
        let head = self.engine.0.store.head(self.one_shard()).await?;
        if head.size == 0 {
            return Ok(None);
        }
        let damaged = |issue| Error::new(ErrorKind::Corrupt, issue);
        SignedCheckpoint::parse(&head.note).map(Some).map_err(damaged)
    }

    /// Proves that the log of a shard at its newest checkpoint begins with its log of `old` entries: gives that
    /// checkpoint and the hashes of the proof, for [`verify::consistency`](crate::verify::consistency).
    pub async fn prove_consistency(&self, old: u64) -> Result<(SignedCheckpoint, Vec<Hash>)> {
        let new =
            self.checkpoint().await?.ok_or_else(|| Error::new(ErrorKind::NotFound, "the log is empty"))?;
        let size = new.checkpoint.size;
        if old == size {
            return Ok((new, Vec::new()));
        }
        let plan = ProofPlan::consistency(old, size)
            .ok_or_else(|| Error::invalid("old", format!("is {old}; it must be 1 to {size}")))?;
        let fetched = self.engine.0.store.hashes(self.one_shard(), plan.ranges()).await?;
        let damaged = || Error::new(ErrorKind::Corrupt, "the tree's hashes do not add up to a proof");
        Ok((new, plan.assemble(&fetched).ok_or_else(damaged)?))
    }

    /// Checks the whole log of a shard against everything that was ever signed, and against a checkpoint seen earlier.
    pub async fn verify(&self, since: Option<&SignedCheckpoint>) -> Result<Report> {
        let shard = self.one_shard();
        let key = self.keys().await?.of_shard(shard);
        check_store(&*self.engine.0.store, shard, &key, since, &mut |_, _| {}).await
    }

    /// Checks the logs of all shards, and the state against all of them.
    pub async fn verify_all(&self) -> Result<Vec<Report>> {
        let keys = self.keys().await?;
        let shards = self.shards().await?;
        let keys: Vec<_> = shards.into_iter().map(|shard| (shard, keys.of_shard(shard))).collect();
        check_shards(&*self.engine.0.store, &keys, None, &mut |_, _| {}).await
    }

    /// Writes the log of a shard into a folder, as C2SP tlog-tiles and JSON Lines. The whole log, for fleet auditors.
    pub async fn export(&self, folder: &std::path::Path) -> Result<Exported> {
        let shard = self.one_shard();
        let key = self.keys().await?.of_shard(shard);
        let result = export(&*self.engine.0.store, shard, &key, folder, &mut |_, _| {}).await;
        result.map_err(|error| error.during("export"))
    }

    /// The keys that this engine was opened with. It verifies by no others: a list that the store under verification gives may
    /// be a forger's.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] if the store names another key than the last of them.
    async fn keys(&self) -> Result<VerifierKeys> {
        let own = self.engine.verifier_keys();
        // A document that cannot be read is damage, which the verification finds.
        if let Ok(Some((deployment, _))) = Deployment::read(&*self.engine.0.store).await
            && deployment.keys().ok().as_ref() != Some(&own)
        {
            let issue = "the store says that the deployment's key was rotated since this engine was opened; open it again with \
                         the key that you trust, and verify by that";
            return Err(Error::new(ErrorKind::Key, issue));
        }
        Ok(own)
    }

    /// The shards of the log.
    pub async fn shards(&self) -> Result<Vec<Shard>> {
        Ok(self.engine.0.store.heads().await?.into_iter().map(|head| head.shard).collect())
    }

    /// The shard asked about, or the one that this engine writes.
    fn one_shard(&self) -> Shard {
        self.shard.unwrap_or_else(|| self.engine.shard())
    }
}
