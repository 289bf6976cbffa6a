//! The check of a store: it feeds the checker from the store.

use std::collections::HashMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::checker::Checker;
use super::documents::{check_admission, check_documents, check_recorded, latest_time};

use super::report::{Damage, Report};
use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result};
use crate::provenance::{Entry, Hash, HashRange, RecordType, SignedCheckpoint, TILE_WIDTH, VerifierKey};
use crate::storage::{DocumentKind, Head, Shard, Store, StoredRecord};

/// Entries read at a time: four tiles.
const CHUNK: u64 = 4 * TILE_WIDTH;

/// Checks a shard's log in a store: entries, payloads, tree hashes, all checkpoints, ids, and that the documents are what
/// the records say.
///
/// `since` is a checkpoint seen at an earlier time: with it, a log that was rolled back or rewritten is caught too.
/// `progress` is told the number of entries checked and the log's size.
///
/// # Errors
/// Only when the store cannot be read; damage is in the report.
pub async fn check_store(
    store: &dyn Store,
    shard: Shard,
    key: &VerifierKey,
    since: Option<&SignedCheckpoint>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Report> {
    let reports = check_shards(store, &[(shard, key.clone())], since, progress).await?;
    Ok(reports.into_iter().next().unwrap_or_default())
}

/// Checks the logs of several shards, each with its key, and the documents against them. Gives one report for each shard.
///
/// # Errors
/// Those of [`check_store`].
pub async fn check_shards(
    store: &dyn Store,
    logs: &[(Shard, VerifierKey)],
    since: Option<&SignedCheckpoint>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Vec<Report>> {
    check(store, logs, since, None, progress).await
}

/// Checks a copy before the change that lets engines open it: as [`check_shards`], and without the deployment's document,
/// which that change writes.
///
/// # Errors
/// Those of [`check_store`].
pub async fn check_copy(
    store: &dyn Store,
    logs: &[(Shard, VerifierKey)],
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Vec<Report>> {
    check(store, logs, None, Some(DocumentKind::Deployment), progress).await
}

/// `missing`: a kind whose documents are not looked at.
async fn check(
    store: &dyn Store,
    logs: &[(Shard, VerifierKey)],
    since: Option<&SignedCheckpoint>,
    missing: Option<DocumentKind>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Vec<Report>> {
    let latest = latest_time(store).await;
    let mut checkers = Vec::with_capacity(logs.len());
    for (shard, key) in logs {
        let since = since.filter(|since| logs.len() == 1 || since.checkpoint.origin == key.name());
        checkers.push((*shard, check_log(store, *shard, key, since, (missing, latest), progress).await?));
    }
    check_documents(store, &mut checkers, missing).await?;
    Ok(checkers.into_iter().map(|(_, checker)| checker.finish()).collect())
}

async fn check_log<'a>(
    store: &dyn Store,
    shard: Shard,
    key: &'a VerifierKey,
    since: Option<&SignedCheckpoint>,
    (missing, (era, latest)): (Option<DocumentKind>, (u32, Timestamp)),
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Checker<'a>> {
    // This is read before the head: a log that is written on meanwhile is longer than this, never shorter.
    let acknowledged = store.acknowledged(shard).await?;
    let head = store.head(shard).await?;
    // Admissions of a clock that was far ahead, in an era that ended, give way to later ones.
    let latest = if head.era < era { Timestamp::from_micros(i64::MAX) } else { latest };
    let mut checker = Checker::new(key);
    let mut checkpoints = Checkpoints { store, shard, loaded: Vec::new(), next: 0 };
    if acknowledged > head.size {
        let detail = format!("it has {} entries, and {acknowledged} were acknowledged", head.size);
        checker.find(head.size, Damage::RolledBack, detail);
    }
    let since = checker.since(since, head.size);
    while checker.size() < head.size {
        let start = checker.size();
        let end = head.size.min(start + CHUNK);
        let records = store.records(shard, start, CHUNK as usize).await?;
        let mut records = records.into_iter().peekable();
        let leaves = stored_leaves(store, shard, start, end, &mut checker).await?;
        let homes: HashMap<Hash, u64> = leaves.iter().map(|(index, leaf)| (*leaf, *index)).collect();
        for index in start..end {
            let stored = leaves.get(&index).copied();
            match records.next_if(|record| record.index == index) {
                Some(record) => {
                    let entry = check_record(store, &mut checker, &record, stored, &homes).await?;
                    if let Some(entry) = entry {
                        let payload = record.payload.as_ref();
                        if entry.kind == RecordType::Ceiling {
                            check_admission(store, &mut checker, index, &entry, payload, latest).await?;
                        } else {
                            check_recorded(store, &mut checker, index, &entry, payload, missing).await?;
                        }
                    }
                }
                None => checker.missing(stored),
            }
            check_completed(store, shard, &mut checker).await?;
            if let Some(note) = checkpoints.of_size(index + 1).await? {
                checker.checkpoint(&note);
            } else if index + 1 == head.size {
                checker.find(index, Damage::CheckpointChanged, "the log's last checkpoint is missing");
            }
            if let Some(since) = since.filter(|since| since.checkpoint.size == index + 1) {
                checker.remembered(since);
            }
        }
        progress(end, head.size);
    }
    let beyond = store.records(shard, head.size, 1).await?;
    let longer = checkpoints.beyond(head.size).await?;
    if (!beyond.is_empty() || longer) && !is_written_on(store, &head).await? {
        if let Some(record) = beyond.first() {
            checker.find(record.index, Damage::Unsigned, "there are entries behind the log's head");
        }
        if longer {
            checker.find(head.size, Damage::Truncated, "there are checkpoints of a longer log");
        }
    }
    if head.size > 0 && !is_signed_head(&head, key) {
        checker.find(head.size - 1, Damage::CheckpointChanged, "the head is not the one that was signed");
    }
    Ok(checker)
}

/// Whether the log grows while it is read. A reader may see a commit's entries a moment before its head, so the head is read
/// again, other tasks of the thread first each time.
async fn is_written_on(store: &dyn Store, head: &Head) -> Result<bool> {
    let since = Instant::now();
    let mut reads = 0;
    while reads < HEAD_READS || since.elapsed() < HEAD_PATIENCE {
        if store.head(head.shard).await?.size != head.size {
            return Ok(true);
        }
        reads += 1;
        std::thread::yield_now();
        yield_now().await;
    }
    Ok(false)
}

/// Reads of a head, and the time, until entries behind it are taken for damage: a busy machine may stop the writer between
/// two rows of one commit.
const HEAD_READS: u32 = 2_000;
const HEAD_PATIENCE: Duration = Duration::from_millis(500);

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn is_signed_head(head: &Head, key: &VerifierKey) -> bool {
    SignedCheckpoint::parse(&head.note).is_ok_and(|signed| {
        (signed.checkpoint.size, signed.checkpoint.root) == (head.size, head.root) && signed.is_signed_by(key)
    })
}

async fn check_record(
    store: &dyn Store,
    checker: &mut Checker<'_>,
    record: &StoredRecord,
    stored: Option<Hash>,
    homes: &HashMap<Hash, u64>,
) -> Result<Option<Entry>> {
    let elsewhere = |leaf| homes.get(&leaf).copied().filter(|home| *home != record.index);
    let entry = checker.entry(&record.bytes, stored, elsewhere);
    if let Some(entry) = &entry {
        checker.payload(entry, record.payload.as_ref());
        match store.record_by_id(&entry.organization, entry.id).await {
            Ok(Some(found)) if (found.shard, found.index) == (record.shard, record.index) => {}
            Ok(_) => {
                checker.find(record.index, Damage::IndexWrong, format!("the id {} leads elsewhere", entry.id))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                checker.find(record.index, Damage::IndexWrong, error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(entry)
}

/// The stored leaf hashes of [start, end), tile by tile, so that a damaged tile costs only its own.
async fn stored_leaves(
    store: &dyn Store,
    shard: Shard,
    start: u64,
    end: u64,
    checker: &mut Checker<'_>,
) -> Result<HashMap<u64, Hash>> {
    let mut leaves = HashMap::new();
    for tile in (start..end).step_by(TILE_WIDTH as usize) {
        let count = TILE_WIDTH.min(end - tile);
        match store.hashes(shard, &[HashRange { level: 0, start: tile, count }]).await {
            Ok(runs) => leaves.extend((tile..).zip(runs.into_iter().flatten())),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                checker.find(tile, Damage::HashChanged, error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(leaves)
}

async fn check_completed(store: &dyn Store, shard: Shard, checker: &mut Checker<'_>) -> Result<()> {
    for (level, index, hash) in checker.completed().to_vec() {
        let found = store.hashes(shard, &[HashRange { level, start: index, count: 1 }]).await;
        let same = match found {
            Ok(runs) => runs.first().and_then(|run| run.first()) == Some(&hash),
            Err(error) if error.kind() == ErrorKind::Corrupt => false,
            Err(error) => return Err(error),
        };
        if !same {
            let first = index << (8 * u32::from(level));
            checker.find(
                first,
                Damage::HashChanged,
                format!("hash {index} of level {level} is not that of its tile"),
            );
        }
    }
    Ok(())
}

/// A store's checkpoints, read in order.
struct Checkpoints<'a> {
    store: &'a dyn Store,
    shard: Shard,
    /// Loaded checkpoints in reverse: the next one is the last.
    loaded: Vec<(u64, String)>,
    next: u64,
}

impl Checkpoints<'_> {
    async fn peek(&mut self) -> Result<Option<u64>> {
        if self.loaded.is_empty() {
            self.loaded = self.store.checkpoints(self.shard, self.next, CHUNK as usize).await?;
            self.loaded.reverse();
        }
        Ok(self.loaded.last().map(|(size, _)| *size))
    }

    async fn of_size(&mut self, size: u64) -> Result<Option<String>> {
        while self.peek().await?.is_some_and(|next| next <= size) {
            let Some((found, note)) = self.loaded.pop() else { break };
            self.next = found + 1;
            if found == size {
                return Ok(Some(note));
            }
        }
        Ok(None)
    }

    async fn beyond(&mut self, size: u64) -> Result<bool> {
        self.next = self.next.max(size + 1);
        self.loaded.retain(|(found, _)| *found > size);
        Ok(self.peek().await?.is_some())
    }
}
