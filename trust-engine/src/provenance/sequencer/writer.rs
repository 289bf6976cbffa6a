//! The writer's thread: gather, commit, answer; and what to do when a commit fails.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_channel::Receiver;
use pollster::block_on;
use uuid::Uuid;

use super::batch::{Prepared, prepare};
use super::gap::Gap;
use super::{DOWN, Draft, FENCED, ParentOf, Settings, Shared, Submission, UP, fenced};
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::entry::Entry;
use crate::provenance::hash::Hash;
use crate::provenance::merkle::{Frontier, frontier_plan};
use crate::provenance::note::VerifierKey;
use crate::provenance::record::{Receipt, SignedCheckpoint};
use crate::provenance::tally::Tally;
use crate::storage::{Committed, Head, StoredRecord};

/// Most payload bytes per commit; a batch always holds at least one submission.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Pauses between the attempts to learn the outcome of a commit, while its callers wait.
const SETTLING: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(75),
    Duration::from_millis(200),
    Duration::from_millis(400),
];
/// Pause between attempts while nobody waits.
const RETRY: Duration = Duration::from_millis(250);

pub(super) struct Writer {
    settings: Settings,
    shared: Arc<Shared>,
    queue: Receiver<Submission>,
    head: Head,
    frontier: Frontier,
    gap: Gap,
    /// Counts of verdicts that are not recorded, until a commit has carried them.
    uncounted: Tally,
    /// A batch whose callers were told that its outcome is unknown.
    unsettled: Option<(Head, Frontier, Vec<Submission>)>,
}

impl Writer {
    /// Claims the shard and makes sure that what it is to sign on top of is what was signed.
    pub(super) async fn open(
        settings: Settings,
        key: VerifierKey,
        shared: Arc<Shared>,
        queue: Receiver<Submission>,
    ) -> Result<Self> {
        let head = settings.store.claim(settings.shard).await?;
        let fetched = settings.store.hashes(settings.shard, &frontier_plan(head.size)).await?;
        let frontier = Frontier::load(head.size, &fetched).unwrap_or_default();
        if frontier.size() != head.size || frontier.root() != head.root {
            return Err(refuse(&head, "the stored tree has another root than the log's head"));
        }
        if head.size > 0 {
            let signed = SignedCheckpoint::parse(&head.note).map_err(|issue| refuse(&head, issue))?;
            if signed.checkpoint.size != head.size || signed.checkpoint.root != head.root {
                return Err(refuse(&head, "the signed checkpoint is not that of the log's head"));
            }
            if signed.checkpoint.origin != key.name() {
                let issue = format!("the log is {}, not {}", signed.checkpoint.origin, key.name());
                return Err(Error::new(ErrorKind::Key, issue));
            }
            if !signed.is_signed_by(&key) {
                return Err(Error::new(ErrorKind::Key, "the log was signed with another key than this one"));
            }
            let last = settings.store.records(settings.shard, head.size - 1, 2).await?;
            let stored = settings.store.hashes(settings.shard, &[last_leaf(head.size)]).await?;
            match (last.as_slice(), stored.first().and_then(|run| run.first())) {
                ([record], Some(leaf)) if Hash::leaf(&record.entry) == *leaf => {}
                _ => return Err(refuse(&head, "the last entry is not the one that was signed")),
            }
        }
        Ok(Self {
            settings,
            shared,
            queue,
            head,
            frontier,
            gap: Gap::default(),
            uncounted: Tally::default(),
            unsettled: None,
        })
    }

    pub(super) fn run(mut self) {
        while let Ok(first) = self.queue.recv_blocking() {
            // Closed while the store was down: nothing may be signed before a claim has settled what was left open.
            self.recover();
            if self.is(DOWN) {
                self.lost(vec![first], &unreachable());
                continue;
            }
            let batch = self.gather(first);
            self.commit(batch);
            while self.is(DOWN) && !self.queue.is_closed() {
                self.refuse_waiting();
                std::thread::sleep(RETRY);
                self.recover();
            }
        }
        self.recover();
        if !self.is(DOWN) {
            self.commit(Vec::new());
        }
    }

    fn is(&self, state: u8) -> bool {
        self.shared.state.load(Ordering::Acquire) == state
    }

    fn set(&self, state: u8) {
        self.shared.state.store(state, Ordering::Release);
    }

    /// What has gathered since the last commit, up to the bounds of a batch.
    fn gather(&self, first: Submission) -> Vec<Submission> {
        if !self.settings.linger.is_zero() && self.queue.len() < self.settings.max_batch {
            std::thread::sleep(self.settings.linger);
        }
        let size =
            |submission: &Submission| submission.drafts.iter().map(|d| d.payload.bytes.len()).sum::<usize>();
        let mut bytes = size(&first);
        let mut entries = first.drafts.len();
        let mut batch = vec![first];
        while entries < self.settings.max_batch && bytes < MAX_BATCH_BYTES {
            let Ok(next) = self.queue.try_recv() else { break };
            bytes += size(&next);
            entries += next.drafts.len();
            batch.push(next);
        }
        batch
    }

    fn commit(&mut self, batch: Vec<Submission>) {
        if self.is(FENCED) {
            return answer_all(batch, &Err(fenced()));
        }
        let mut batch = self.without_known(batch);
        loop {
            self.uncounted.merge(std::mem::take(&mut *self.shared.unrecorded.lock()));
            let gaps = self.gap.drafts(&self.settings, self.settings.clock.now());
            if batch.is_empty() && gaps.is_empty() && self.uncounted.is_empty() {
                return;
            }
            let tally = self.uncounted.clone();
            let prepared = prepare(&self.settings, &self.head, &self.frontier, &gaps, &batch, tally);
            let (prepared, commit) = match prepared {
                Ok(Prepared { batch, head, frontier, receipts, owners }) => {
                    ((head, frontier, receipts, owners), block_on(self.settings.store.commit(batch)))
                }
                // The signer failed; nothing was written.
                Err(error) => return self.lost(batch, &error),
            };
            let (head, frontier, receipts, owners) = prepared;
            match commit {
                Ok(Committed::Yes) => return self.landed(head, frontier, batch, receipts),
                Ok(Committed::Conflict(places)) => {
                    let outdated: Vec<usize> =
                        places.iter().filter_map(|at| owners.get(*at).copied()).collect();
                    let mut rest = Vec::with_capacity(batch.len());
                    for (place, submission) in batch.into_iter().enumerate() {
                        if outdated.contains(&place) {
                            let error =
                                Error::new(ErrorKind::Conflict, "it was changed by someone else meanwhile");
                            submission.answer(&Err(error));
                        } else {
                            rest.push(submission);
                        }
                    }
                    if outdated.is_empty() {
                        let error = Error::new(ErrorKind::Corrupt, "the store names no conflicting change");
                        return self.lost(rest, &error);
                    }
                    batch = rest;
                }
                Ok(Committed::Fenced) => {
                    self.set(FENCED);
                    return self.lost(batch, &fenced());
                }
                Err(error) => return self.settle((head, frontier), batch, receipts, error),
            }
        }
    }

    fn landed(&mut self, head: Head, frontier: Frontier, batch: Vec<Submission>, receipts: Vec<Receipt>) {
        self.shared.entries.fetch_add(head.size - self.head.size, Ordering::Relaxed);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.head = head;
        self.frontier = frontier;
        self.carried();
        for (mut submission, receipt) in batch.into_iter().zip(receipts) {
            submission.land();
            submission.answer(&Ok(receipt));
        }
    }

    /// A commit has written down what was owed.
    fn carried(&mut self) {
        self.gap.clear();
        self.uncounted = Tally::default();
    }

    /// The batch is certainly not in the log.
    fn lost(&mut self, batch: Vec<Submission>, error: &Error) {
        let now = self.settings.clock.now();
        batch.iter().for_each(|submission| self.gap.count(submission, now));
        answer_all(batch, &Err(error.clone()));
    }

    /// A commit failed: learn by a claim whether it happened, before anything else is signed.
    fn settle(
        &mut self,
        prepared: (Head, Frontier),
        batch: Vec<Submission>,
        receipts: Vec<Receipt>,
        error: Error,
    ) {
        for pause in SETTLING {
            match block_on(self.settings.store.claim(self.settings.shard)) {
                Ok(head) if head.same_tree(&prepared.0) => {
                    return self.landed(head, prepared.1, batch, receipts);
                }
                Ok(head) if head.same_tree(&self.head) => {
                    self.head = head;
                    return self.lost(batch, &error);
                }
                Ok(_) => {
                    self.set(FENCED);
                    return self.lost(batch, &fenced());
                }
                Err(_) => std::thread::sleep(pause),
            }
        }
        self.set(DOWN);
        let unknown = Error::new(
            ErrorKind::Unavailable,
            format!(
                "the store failed and does not answer, so it is unknown whether the record is in the log ({error})"
            ),
        );
        let mut kept = Vec::with_capacity(batch.len());
        for mut submission in batch {
            // Only what may become a gap, or is to follow from the commit, has to be remembered.
            let drafts = if submission.given { submission.drafts.clone() } else { Vec::new() };
            let (mut memory, _) = Submission::new(drafts, None, submission.given);
            memory.landed = submission.landed.take();
            kept.push(memory);
            submission.answer(&Err(unknown.clone()));
        }
        self.unsettled = Some((prepared.0, prepared.1, kept));
    }

    /// Tries to reach the store again, and settles what was left open.
    fn recover(&mut self) {
        if !self.is(DOWN) {
            return;
        }
        let Ok(head) = block_on(self.settings.store.claim(self.settings.shard)) else { return };
        match self.unsettled.take() {
            Some((prepared, frontier, mut landed)) if head.same_tree(&prepared) => {
                landed.iter_mut().for_each(Submission::land);
                self.head = head;
                self.frontier = frontier;
                self.carried();
            }
            Some((_, _, lost)) if head.same_tree(&self.head) => {
                self.head = head;
                let now = self.settings.clock.now();
                lost.iter().for_each(|submission| self.gap.count(submission, now));
            }
            None if head.same_tree(&self.head) => self.head = head,
            _ => return self.set(FENCED),
        }
        self.set(UP);
        self.commit(Vec::new());
    }

    /// Answers what got into the queue before it was known that the store is down.
    fn refuse_waiting(&mut self) {
        let error = unreachable();
        while let Ok(submission) = self.queue.try_recv() {
            self.lost(vec![submission], &error);
        }
    }

    /// Answers submissions whose caller-supplied id is in the log already, and joins those that repeat one another.
    fn without_known(&self, mut batch: Vec<Submission>) -> Vec<Submission> {
        // Those only ask for a commit.
        batch.retain(|submission| !submission.drafts.is_empty());
        if !batch.iter().flat_map(|submission| &submission.drafts).any(|draft| draft.supplied) {
            return batch;
        }
        let mut first: HashMap<Uuid, usize> = HashMap::new();
        // A caller may know the id of a verdict that is not committed yet, and must not take it.
        let drafts = batch.iter().flat_map(|submission| &submission.drafts);
        let made: HashSet<Uuid> = drafts.filter(|draft| !draft.supplied).map(|draft| draft.id).collect();
        let mut rest: Vec<Submission> = Vec::with_capacity(batch.len());
        for submission in batch {
            let Some(draft) = submission.drafts.first().filter(|draft| draft.supplied) else {
                rest.push(submission);
                continue;
            };
            let id = draft.id;
            if made.contains(&id) {
                submission.answer(&Err(taken(id)));
                continue;
            }
            let twin = first.get(&id).and_then(|at| rest.get_mut(*at));
            if let Some(twin) = twin {
                match twin.drafts.first() {
                    Some(other) if same_content(other, draft) => twin.also.push(submission.done),
                    _ => submission.answer(&Err(taken(id))),
                }
                continue;
            }
            match self.known(draft) {
                Ok(None) => {
                    first.insert(id, rest.len());
                    rest.push(submission);
                }
                Ok(Some(receipt)) => submission.answer(&Ok(receipt)),
                Err(error) => submission.answer(&Err(error)),
            }
        }
        rest
    }

    /// The receipt of a record that is in the log under the draft's id with the same content.
    fn known(&self, draft: &Draft) -> Result<Option<Receipt>> {
        let Some(stored) = block_on(self.settings.store.record_by_id(draft.id))? else { return Ok(None) };
        let entry = Entry::parse(&stored.entry)?;
        if !is_stored_as(draft, &entry, &stored) {
            return Err(taken(draft.id));
        }
        let covering = block_on(self.settings.store.checkpoints(stored.shard, stored.index + 1, 1))?;
        let signed = covering.first().and_then(|(_, note)| SignedCheckpoint::parse(note).ok());
        let signed =
            signed.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the record's checkpoint is missing"))?;
        Ok(Some(Receipt {
            id: draft.id,
            index: stored.index,
            leaf: Hash::leaf(&stored.entry),
            time: entry.time,
            signed: Arc::new(signed),
        }))
    }
}

fn answer_all(batch: Vec<Submission>, result: &Result<Receipt>) {
    for submission in batch {
        submission.answer(result);
    }
}

fn unreachable() -> Error {
    Error::new(ErrorKind::Unavailable, "the store cannot be written; it is tried again")
}

fn taken(id: Uuid) -> Error {
    Error::new(ErrorKind::Conflict, format!("the id {id} is taken by a record with other content"))
        .with("id", id)
}

fn same_content(a: &Draft, b: &Draft) -> bool {
    (a.kind, &a.organization, &a.agent, a.decision, &a.reason_code, a.parent, &a.payload.bytes)
        == (b.kind, &b.organization, &b.agent, b.decision, &b.reason_code, b.parent, &b.payload.bytes)
}

fn is_stored_as(draft: &Draft, entry: &Entry, stored: &StoredRecord) -> bool {
    let parent = entry.parent.map_or(ParentOf::Nothing, ParentOf::Record);
    let payload = stored.payload.as_ref().map(|payload| payload.bytes.as_slice());
    (draft.kind, &draft.organization, &draft.agent, draft.decision, &draft.reason_code, draft.parent)
        == (entry.kind, &entry.organization, &entry.agent, entry.decision, &entry.reason_code, parent)
        && payload == Some(draft.payload.bytes.as_slice())
}

fn last_leaf(size: u64) -> crate::provenance::merkle::HashRange {
    crate::provenance::merkle::HashRange { level: 0, start: size - 1, count: 1 }
}

fn refuse(head: &Head, issue: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("{issue}; nothing is signed on top of it. Run `trust-engine log verify`"),
    )
    .with("size", head.size)
}
