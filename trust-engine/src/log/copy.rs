//! Copying a store into another one: the log as it is, with its shards and checkpoints, and everything that stands beside
//! it. Every checkpoint is computed again on the way, so a damaged log is not copied.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::sequencer::push_hash;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::{Frontier, Hash, SignedCheckpoint};
use crate::storage::{
    After, Append, Batch, Committed, CounterStore, Document, DocumentChange, DocumentKey, DocumentKind,
    FollowerRow, HashRun, Head, Shard, StatsDelta, Store, StoredRecord,
};

/// Rows of each kind that are read and written together.
const PAGE: usize = 1000;

/// The size of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Copied {
    pub shards: u64,
    pub entries: u64,
    pub documents: u64,
    pub counters: u64,
}

/// Copies a store that no engine has open into one that is empty. From the first commit until the last one the copy
/// belongs to no deployment, so no engine opens one that was cut off. Verify the source first.
///
/// Everything is copied when `retire` is called, but for the change that lets engines open the copy. It has to keep engines
/// from the source for good, because both stores would sign the same shards; [`check_copy`](super::check_copy) verifies
/// the copy before that.
///
/// # Errors
/// [`ErrorKind::Foreign`] if the target is not empty; [`ErrorKind::Corrupt`] if the log is not the one that its checkpoints
/// sign; those of `retire` and of the stores. After an error behind `retire` it may be unknown whether engines can open the
/// copy: another call tells.
pub async fn copy(
    (from, from_counters): (&dyn Store, &dyn CounterStore),
    (to, to_counters): (&dyn Store, &dyn CounterStore),
    owner: Uuid,
    progress: &mut (dyn FnMut(u64, u64) + Send),
    retire: &mut (dyn FnMut() -> Result<()> + Send),
) -> Result<Copied> {
    let deployment = from.document(&DocumentKey::deployment()).await?;
    must_be_empty(to, deployment.as_ref()).await?;
    // The claim keeps other writers out, and refuses a read-only source: a backup, or one copied already.
    let open = from.claim_free(owner, Duration::ZERO, &[]).await?.shard;
    let heads = from.heads().await?;
    let mut copied = Copied { shards: heads.len() as u64, ..Copied::default() };
    let total = heads.iter().map(|head| head.size).sum();
    // The writer of the shard that is not sealed carries what is no log.
    let mut carrier = Writer::new(to, open, owner).await?;
    carrier.commit_change(None, Some(unfinished())).await?;
    let mut writers = Vec::new();
    for head in heads.iter().filter(|head| head.shard != open) {
        writers.push(Writer::new(to, head.shard, owner).await?);
    }
    for head in &heads {
        let writer =
            writers.iter_mut().find(|writer| writer.head.shard == head.shard).unwrap_or(&mut carrier);
        writer.copy_log(from, head, &mut |entries| progress(copied.entries + entries, total)).await?;
        copied.entries += head.size;
        if head.sealed && !to.seal(head.shard, writer.head.epoch).await? {
            return Err(claimed());
        }
    }
    copied.counters = copy_counters(from_counters, to_counters).await?;
    copy_followers(from, to, owner).await?;
    carrier.copy_stats(from).await?;
    copied.documents = carrier.copy_documents(from).await? + u64::from(deployment.is_some());
    retire()?;
    if let Err(error) = carrier.commit_change(Some(1), deployment.clone()).await {
        let issue = "everything was copied, and the source is only to be read now; copy again to learn whether engines can \
                     open the copy";
        let unknown = Error::new(error.kind(), format!("{issue} ({error})")).caused_by(error);
        // Only the answer may be lost.
        match to.document(&DocumentKey::deployment()).await {
            Ok(found) if found == deployment => {}
            _ => return Err(unknown),
        }
    }
    for head in writers.iter().chain([&carrier]).map(|writer| &writer.head) {
        // A shard that is not released is free when its owner has been silent for long enough.
        let _ = to.release(head.shard, owner).await;
    }
    Ok(copied)
}

async fn must_be_empty(store: &dyn Store, deployment: Option<&Document>) -> Result<()> {
    let issue = match store.document(&DocumentKey::deployment()).await? {
        Some(found) if found.body == UNFINISHED => {
            "the store to copy into holds a copy that is not finished; drop it, and copy again"
        }
        Some(found) if Some(&found) == deployment => {
            "this store was copied there already, and engines can open the copy: leave both as they are"
        }
        None if store.heads().await?.is_empty() && store.all_documents(None, 1).await?.is_empty() => {
            return Ok(());
        }
        _ => "the store to copy into is not empty",
    };
    Err(Error::new(ErrorKind::Foreign, issue))
}

/// The writer of one shard of the copy.
struct Writer<'a> {
    to: &'a dyn Store,
    head: Head,
    frontier: Frontier,
}

impl<'a> Writer<'a> {
    async fn new(to: &'a dyn Store, shard: Shard, owner: Uuid) -> Result<Self> {
        let head = to.claim(shard, owner).await?;
        if (head.size, head.epoch) != (0, 1) {
            return Err(claimed());
        }
        Ok(Self { to, head, frontier: Frontier::default() })
    }

    /// Commits the records of each checkpoint as they were committed at first.
    async fn copy_log(
        &mut self,
        from: &dyn Store,
        last: &Head,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<()> {
        while self.head.size < last.size {
            let checkpoints = from.checkpoints(last.shard, self.head.size + 1, PAGE).await?;
            if checkpoints.is_empty() {
                return Err(damaged(last, self.head.size, "has no checkpoint behind this entry"));
            }
            for (size, note) in checkpoints.into_iter().filter(|(size, _)| *size <= last.size) {
                self.copy_commit(from, (size, note), last.era).await?;
                progress(size);
            }
        }
        if last.size > 0 && self.head.note != last.note {
            return Err(damaged(last, last.size, "has another last checkpoint than its head"));
        }
        // A shard without entries has an era and a time too.
        let time = self.head.time.max(last.time);
        if (self.head.era, self.head.time) != (last.era, time) {
            let head = Head { era: last.era, time, ..self.head.clone() };
            self.commit(self.batch(head)).await?;
        }
        Ok(())
    }

    async fn copy_commit(&mut self, from: &dyn Store, (size, note): (u64, String), era: u32) -> Result<()> {
        let (shard, start) = (self.head.shard, self.head.size);
        let mut appends: Vec<Append> = Vec::new();
        let (mut frontier, mut hashes) = (self.frontier.clone(), Vec::new());
        while frontier.size() < size {
            let wanted = usize::try_from(size - frontier.size()).unwrap_or(PAGE).min(PAGE);
            let records = from.records(shard, frontier.size(), wanted).await?;
            if records.is_empty() {
                return Err(damaged(&self.head, frontier.size(), "lacks this entry"));
            }
            for record in records {
                if record.index != frontier.size() {
                    return Err(damaged(&self.head, frontier.size(), "lacks this entry"));
                }
                push(&mut frontier, &mut hashes, &record);
                appends.push(append(record)?);
            }
        }
        let signed = SignedCheckpoint::parse(&note).map_err(|issue| damaged(&self.head, size, issue))?;
        if (signed.checkpoint.size, signed.checkpoint.root) != (size, frontier.root()) {
            return Err(damaged(&self.head, start, "is not the one that was signed, from this entry on"));
        }
        let time = appends.last().map_or(self.head.time, |append| append.entry.time);
        let head = Head { size, root: frontier.root(), time, note, era, ..self.head.clone() };
        self.commit(Batch { appends, hashes, ..self.batch(head) }).await?;
        self.frontier = frontier;
        Ok(())
    }

    /// Copies all documents but that of the deployment.
    async fn copy_documents(&mut self, from: &dyn Store) -> Result<u64> {
        let (mut after, mut copied) = (None, 0);
        loop {
            let mut page = from.all_documents(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(copied) };
            after = Some(last.key.clone());
            page.retain(|document| document.key.kind != DocumentKind::Deployment);
            copied += page.len() as u64;
            let change =
                |document| DocumentChange { expected: None, after: After::Document(Box::new(document)) };
            let changes = page.into_iter().map(change).collect();
            self.commit(Batch { changes, ..self.batch(self.head.clone()) }).await?;
        }
    }

    /// Replaces the document of the deployment.
    async fn commit_change(&mut self, expected: Option<u64>, document: Option<Document>) -> Result<()> {
        let after = match document {
            Some(document) => After::Document(Box::new(document)),
            None => After::Removed(DocumentKey::deployment()),
        };
        let changes = vec![DocumentChange { expected, after }];
        self.commit(Batch { changes, ..self.batch(self.head.clone()) }).await
    }

    async fn copy_stats(&mut self, from: &dyn Store) -> Result<()> {
        let mut after: Option<StatsDelta> = None;
        loop {
            let stats = from.all_stats(after.as_ref(), PAGE).await?;
            let Some(last) = stats.last().cloned() else { return Ok(()) };
            after = Some(last);
            self.commit(Batch { stats, ..self.batch(self.head.clone()) }).await?;
        }
    }

    /// An empty batch that leaves `head`.
    fn batch(&self, head: Head) -> Batch {
        Batch { head, ..Batch::on(self.head.clone()) }
    }

    async fn commit(&mut self, batch: Batch) -> Result<()> {
        let head = batch.head.clone();
        match self.to.commit(batch).await? {
            Committed::Yes => {
                self.head = head;
                Ok(())
            }
            _ => Err(claimed()),
        }
    }
}

async fn copy_counters(from: &dyn CounterStore, to: &dyn CounterStore) -> Result<u64> {
    let (mut after, mut copied) = (None, 0);
    loop {
        let accounts = from.accounts(after.as_deref(), PAGE).await?;
        let Some((last, _)) = accounts.last() else { return Ok(copied) };
        after = Some(last.clone());
        copied += accounts.len() as u64;
        to.put_accounts(accounts).await?;
    }
}

async fn copy_followers(from: &dyn Store, to: &dyn Store, owner: Uuid) -> Result<()> {
    for follower in from.followers().await? {
        let ours = from.claim_follower(&follower, owner, Duration::ZERO).await?;
        let theirs = to.claim_follower(&follower, owner, Duration::ZERO).await?;
        let (Some((_, position)), Some((claim, _))) = (ours, theirs) else { return Err(claimed()) };
        let mut after = None;
        loop {
            let rows = from.all_follower_rows(&follower, after.as_ref(), PAGE).await?;
            let ended = rows.is_empty();
            after = rows.last().map(|(key, _)| key.clone());
            let rows = rows.into_iter().map(|(key, state)| FollowerRow { key, state: Some(state) }).collect();
            // The position comes with the last, empty page: rows say themselves how far they were folded.
            let position = if ended { position.as_str() } else { "" };
            if !to.write_follower(&claim, rows, position).await? {
                return Err(claimed());
            }
            if ended {
                break;
            }
        }
        to.release_follower(&claim).await?;
    }
    Ok(())
}

/// The body of the document that stands for the deployment until everything is copied.
const UNFINISHED: &str = r#"{"name":"(a copy that is not finished)","publicKey":""}"#;

fn unfinished() -> Document {
    Document {
        key: DocumentKey::deployment(),
        version: 1,
        body: UNFINISHED.into(),
        created: Timestamp::default(),
        changed: Timestamp::default(),
        tags: Vec::new(),
        due: None,
        record: Uuid::nil(),
    }
}

fn push(frontier: &mut Frontier, hashes: &mut Vec<HashRun>, record: &StoredRecord) {
    frontier.push(Hash::leaf(&record.bytes), |level, index, hash| {
        push_hash(hashes, level, index, hash);
    });
}

fn append(record: StoredRecord) -> Result<Append> {
    let index = record.index;
    let decoded = record.decode()?;
    let erased = || Error::new(ErrorKind::Unsupported, format!("the payload of entry {index} is gone"));
    let payload = Arc::new(decoded.payload.ok_or_else(erased)?);
    Ok(Append { entry: decoded.entry, bytes: decoded.bytes, payload })
}

fn damaged(head: &Head, index: u64, issue: &str) -> Error {
    let issue = format!("the log of shard {} {issue}; it is not copied", head.shard);
    Error::new(ErrorKind::Corrupt, issue).with("index", index)
}

fn claimed() -> Error {
    Error::new(ErrorKind::Fenced, "another engine writes into the store to copy into")
}
