//! The writer's thread: gather, commit, answer; and what to do when a commit fails.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_channel::Receiver;
use pollster::block_on;
use uuid::Uuid;

use super::batch::{Prepared, prepare};
use super::gap::Gap;
use super::gathered::Gathered;
use super::ground::Ground;
use super::{DOWN, Draft, FENCED, ParentOf, SET_BACK, Settings, Shared, Submission, UP, fenced, set_back};
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::entry::Entry;
use crate::provenance::hash::Hash;
use crate::provenance::record::{Receipt, SignedCheckpoint};
use crate::provenance::tally::Tally;
use crate::storage::{Batch, Committed, Head, Shard, StoredRecord};

/// How long what nobody waits for may wait for company.
const REST: Duration = Duration::from_millis(5);
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
    ground: Ground,
    /// The last heads of the shards that this engine wrote before.
    left: HashMap<Shard, Head>,
    gap: Gap,
    /// Counts of verdicts that are not recorded, until a commit has carried them.
    uncounted: Tally,
    /// What is in the log, and its callers have not been told.
    landed: Vec<(Submission, Receipt)>,
    /// A batch whose callers were told that its outcome is unknown.
    unsettled: Option<Unsettled>,
}

struct Unsettled {
    prepared: Ground,
    batch: Vec<Submission>,
    /// What the batch carried, which is still owed if it did not land.
    gap: Gap,
    uncounted: Tally,
}

impl Writer {
    /// Claims a shard and makes sure that what is to be signed on top of is what was signed.
    pub(super) async fn open(
        settings: Settings,
        shared: Arc<Shared>,
        queue: Receiver<Submission>,
    ) -> Result<Self> {
        let head = match settings.shard {
            Some(shard) => settings.store.claim(shard, settings.owner).await?,
            None => settings.store.claim_free(settings.owner, settings.patience).await?,
        };
        let shard = head.shard;
        let ground = match Ground::load(&settings, head).await {
            Ok(ground) => ground,
            Err(error) => {
                // Whoever repairs it need not wait for us to be forgotten.
                let _ = settings.store.release(shard, settings.owner).await;
                return Err(error);
            }
        };
        shared.shard.store(shard, Ordering::Release);
        Ok(Self {
            settings,
            shared,
            queue,
            ground,
            left: HashMap::new(),
            gap: Gap::default(),
            uncounted: Tally::default(),
            landed: Vec::new(),
            unsettled: None,
        })
    }

    pub(super) fn run(mut self) {
        while let Some(first) = self.next() {
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
        // A shard that was set back is not for others to write either. Otherwise it would be free when we have been silent
        // for long enough.
        if !self.is(SET_BACK) {
            let _ = block_on(self.settings.store.release(self.ground.head.shard, self.settings.owner));
        }
    }

    /// Waits for a submission.
    fn next(&mut self) -> Option<Submission> {
        if self.queue.is_empty() {
            self.answer_landed();
        }
        self.queue.recv_blocking().ok()
    }

    fn is(&self, state: u8) -> bool {
        self.shared.state.load(Ordering::Acquire) == state
    }

    fn set(&self, state: u8) {
        self.shared.state.store(state, Ordering::Release);
    }

    /// What has gathered since the last commit, up to the bounds of a batch.
    fn gather(&mut self, first: Submission) -> Vec<Submission> {
        if !self.settings.linger.is_zero() && self.queue.len() < self.settings.max_batch {
            self.answer_landed();
            std::thread::sleep(self.settings.linger);
        }
        let mut batch = Gathered::new(first, self.settings.max_batch);
        // Said before the queue is looked at: what comes after it ends the rest if it must.
        self.shared.resting.store(true, Ordering::SeqCst);
        batch.fill(&self.queue);
        if !batch.is_awaited() && !batch.is_full() {
            self.answer_landed();
            self.rest();
            batch.fill(&self.queue);
        }
        self.shared.resting.store(false, Ordering::SeqCst);
        batch.into_submissions()
    }

    /// Sleeps until someone waits, enough has gathered, or it has been long enough.
    fn rest(&self) {
        let since = Instant::now();
        let left = || REST.checked_sub(since.elapsed()).filter(|left| !left.is_zero());
        while self.shared.resting.load(Ordering::SeqCst)
            && let Some(left) = left()
        {
            // May end for no reason.
            std::thread::park_timeout(left);
        }
    }

    fn commit(&mut self, batch: Vec<Submission>) {
        // What is looked up, or only told, must not keep anyone waiting.
        if !self.is(UP) || batch.iter().any(is_looked_up) {
            self.answer_landed();
        }
        match self.shared.state.load(Ordering::Acquire) {
            FENCED => return answer_all(batch, &Err(fenced())),
            SET_BACK => return answer_all(batch, &Err(set_back())),
            _ => {}
        }
        let mut batch = self.without_known(batch);
        loop {
            self.uncounted.merge(std::mem::take(&mut *self.shared.unrecorded.lock()));
            let gaps = self.gap.drafts(&self.settings, self.settings.clock.now());
            if batch.is_empty() && gaps.is_empty() && self.uncounted.is_empty() {
                return self.answer_landed();
            }
            let tally = self.uncounted.clone();
            let Ground { head, frontier, key } = &self.ground;
            let prepared = prepare(&self.settings, key.name(), head, frontier, &gaps, &batch, tally);
            let (ground, receipts, owners, commit) = match prepared {
                Ok(Prepared { batch, head, frontier, receipts, owners }) => {
                    let ground = Ground { head, frontier, key: key.clone() };
                    (ground, receipts, owners, self.write(batch))
                }
                // The signer failed; nothing was written.
                Err(error) => return self.lost(batch, &error),
            };
            match commit {
                Ok(Committed::Yes) => {
                    self.ground = ground;
                    return self.landed(batch, receipts);
                }
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
                Ok(Committed::Duplicate) => {
                    let before = batch.len();
                    batch = self.without_known(batch);
                    if batch.len() == before {
                        let error =
                            Error::new(ErrorKind::Corrupt, "the store names an id that it does not have");
                        return self.lost(batch, &error);
                    }
                }
                // Nothing was written, so the batch can go on in another shard.
                Ok(Committed::Fenced) => match self.move_on() {
                    Ok(true) => {}
                    Ok(false) => return self.lost(batch, &fenced()),
                    Err(error) => {
                        if !self.is(SET_BACK) {
                            self.set(DOWN);
                        }
                        return self.lost(batch, &error);
                    }
                },
                Err(error) => return self.settle(ground, batch, receipts, error),
            }
        }
    }

    /// Commits a batch. While another machine works on it, the callers of the batch before are answered.
    fn write(&mut self, batch: Batch) -> Result<Committed> {
        let store = Arc::clone(&self.settings.store);
        let mut commit = pin!(store.commit(batch));
        // Sends it off.
        let begun = commit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.answer_landed();
        match begun {
            Poll::Ready(committed) => committed,
            Poll::Pending => block_on(commit),
        }
    }

    fn answer_landed(&mut self) {
        for (mut submission, receipt) in self.landed.drain(..) {
            submission.land();
            submission.answer(&Ok(receipt));
        }
    }

    /// The batch is in the log.
    fn landed(&mut self, batch: Vec<Submission>, receipts: Vec<Receipt>) {
        let entries: usize = batch.iter().map(|submission| submission.drafts.len()).sum();
        self.shared.entries.fetch_add(entries as u64, Ordering::Relaxed);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.carried();
        self.landed.extend(batch.into_iter().zip(receipts));
        // If more is waiting, it is sent off first: answering a thousand callers takes a while.
        if !self.settings.store.is_shared() || self.queue.is_empty() {
            self.answer_landed();
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

    /// Another engine has this shard: claims another one. `false` if this engine may write no other.
    fn move_on(&mut self) -> Result<bool> {
        if self.settings.shard.is_some() || !self.settings.store.is_shared() {
            self.set(FENCED);
            return Ok(false);
        }
        self.left.insert(self.ground.head.shard, self.ground.head.clone());
        let head = block_on(self.settings.store.claim_free(self.settings.owner, self.settings.patience))?;
        if let Some(left) = self.left.get(&head.shard).cloned() {
            self.must_hold(&left)?;
        }
        self.ground = block_on(Ground::load(&self.settings, head))?;
        self.shared.shard.store(self.ground.head.shard, Ordering::Release);
        Ok(true)
    }

    /// Nothing is signed on a log that does not hold what this engine has seen committed: that would fork it.
    fn must_hold(&self, seen: &Head) -> Result<()> {
        if seen.size > 0 && !block_on(self.is_checkpointed(seen))? {
            self.set(SET_BACK);
            return Err(set_back());
        }
        Ok(())
    }

    /// Whether a commit that failed happened all the same. Afterwards the ground is what can be signed on top of.
    ///
    /// A claim comes first: by it, or by the claim of whoever has the shard now, the commit has happened or never will.
    fn outcome(&mut self, prepared: &Ground) -> Result<bool> {
        let store = &self.settings.store;
        let head = match block_on(store.reclaim(prepared.head.shard, self.settings.owner))? {
            Some(head) => head,
            None => {
                self.must_hold(&self.ground.head)?;
                let landed = block_on(self.is_checkpointed(&prepared.head))?;
                if landed {
                    // What is given out for it must be there whenever this shard is written again.
                    self.ground = prepared.clone();
                }
                self.move_on()?;
                return Ok(landed);
            }
        };
        if head.same_tree(&prepared.head) {
            self.ground = Ground { head, ..prepared.clone() };
            Ok(true)
        } else if head.same_tree(&self.ground.head) {
            self.ground.head = head;
            Ok(false)
        } else {
            // Ours, and yet another one: written by someone who let go of it, or set back.
            self.must_hold(&self.ground.head)?;
            let landed = block_on(self.is_checkpointed(&prepared.head))?;
            self.ground = block_on(Ground::load(&self.settings, head))?;
            Ok(landed)
        }
    }

    /// Whether the log went on from this head: its checkpoint is in the log only with its entries.
    async fn is_checkpointed(&self, head: &Head) -> Result<bool> {
        let found = self.settings.store.checkpoints(head.shard, head.size, 1).await?;
        // Not by the text: a signature need not be the same each time.
        let signed = found.first().and_then(|(_, note)| SignedCheckpoint::parse(note).ok());
        Ok(signed
            .is_some_and(|signed| (signed.checkpoint.size, signed.checkpoint.root) == (head.size, head.root)))
    }

    /// A commit failed: learns whether it happened, before anything else is signed.
    fn settle(&mut self, prepared: Ground, batch: Vec<Submission>, receipts: Vec<Receipt>, error: Error) {
        for pause in SETTLING {
            match self.outcome(&prepared) {
                Ok(true) => return self.landed(batch, receipts),
                Ok(false) => return self.lost(batch, &error),
                Err(_) if self.is(SET_BACK) => return self.lost(batch, &set_back()),
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
        let (gap, uncounted) = (std::mem::take(&mut self.gap), std::mem::take(&mut self.uncounted));
        self.unsettled = Some(Unsettled { prepared, batch: kept, gap, uncounted });
    }

    /// Tries to reach the store again, and settles what was left open.
    fn recover(&mut self) {
        if !self.is(DOWN) {
            return;
        }
        let open = self.unsettled.as_ref().map(|open| &open.prepared);
        let prepared = open.unwrap_or(&self.ground).clone();
        let Ok(landed) = self.outcome(&prepared) else { return };
        match self.unsettled.take() {
            Some(mut open) if landed => open.batch.iter_mut().for_each(Submission::land),
            Some(open) => {
                let now = self.settings.clock.now();
                open.batch.iter().for_each(|submission| self.gap.count(submission, now));
                self.gap.merge(open.gap);
                self.uncounted.merge(open.uncounted);
            }
            None => {}
        }
        if !self.is(FENCED) {
            self.set(UP);
            self.commit(Vec::new());
        }
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
        if !batch.iter().any(is_looked_up) {
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

/// Whether it has to be found out first if it is in the log already.
fn is_looked_up(submission: &Submission) -> bool {
    submission.drafts.iter().any(|draft| draft.supplied)
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
