//! The way from drafts to a signed batch: pure, apart from the clock and the signature.

use std::sync::Arc;

use uuid::Uuid;

use super::settings::Settings;
use super::shard_tip::ShardTip;
use super::submission::{Draft, ParentOf, Submission};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::log::stats::StatsBatch;
use crate::provenance::{
    Checkpoint, Entry, Frontier, Hash, MAX_ENTRY_BYTES, Parent, Receipt, SignedCheckpoint,
};
use crate::storage::{Append, Batch, HashRun, Head, Succession};

/// A batch that is ready to commit, and the tip of the shard after the commit.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    pub(super) tip: ShardTip,
    /// The answer to each submission, in the order of the submissions; `None` for one without records.
    pub(super) receipts: Vec<Option<Receipt>>,
    /// The place of the submission that each state change belongs to.
    pub(super) owners: Vec<usize>,
    /// The place of the submission that each claim belongs to.
    pub(super) claimants: Vec<usize>,
}

/// Builds the batch of `gaps` and `submissions` on top of `tip`, stamps it with `time` and signs it. An error leaves everything as it was.
pub(super) fn prepare(
    settings: &Settings,
    time: Timestamp,
    tip: &ShardTip,
    gaps: &[Draft],
    submissions: &[Submission],
    mut stats: StatsBatch,
) -> Result<Prepared> {
    let ShardTip { head, frontier, key } = tip;
    let mut builder = Builder {
        time,
        time_text: time.to_string(),
        frontier: frontier.clone(),
        appends: Vec::with_capacity(gaps.len() + submissions.len()),
        hashes: Vec::new(),
    };
    for gap in gaps {
        builder.append(gap, None)?;
        stats.record(&gap.organization, time, gap.kind);
    }
    let mut placed = Vec::with_capacity(submissions.len());
    let mut changes = Vec::new();
    let mut owners = Vec::new();
    let (mut claims, mut claimants) = (Vec::new(), Vec::new());
    for (place, submission) in submissions.iter().enumerate() {
        let mut first: Option<Placed> = None;
        for draft in &submission.drafts {
            let at = builder.append(draft, first)?;
            first.get_or_insert(at);
            stats.record(&draft.organization, time, draft.kind);
            if let Some(verdict) = &draft.stat {
                stats.verdict(&draft.organization, time, verdict, true, 1);
            }
        }
        placed.push(first);
        if let Some(change) = &submission.change {
            changes.push(change.clone());
            owners.push(place);
        }
        if let Some(claim) = &submission.claim {
            claims.push(claim.clone());
            claimants.push(place);
        }
    }
    // Within an era no shard begins before a time that is in the log.
    let succession = submissions.iter().find_map(|submission| submission.succession).map(|next| {
        let time = if next.era == head.era { next.time.max(time) } else { next.time };
        Succession { time, ..next }
    });
    let checkpoint = Checkpoint {
        origin: key.name().to_owned(),
        size: builder.frontier.size(),
        root: builder.frontier.root(),
    };
    let note = checkpoint.sign(&*settings.signer)?;
    let next = Head {
        shard: head.shard,
        epoch: head.epoch,
        size: checkpoint.size,
        root: checkpoint.root,
        time,
        sealed: succession.is_some(),
        era: head.era,
        note: note.to_string(),
    };
    let signed = Arc::new(SignedCheckpoint { checkpoint, note });
    let receipt = |Placed { id, index, leaf }| Receipt { id, index, leaf, time, signed: Arc::clone(&signed) };
    let receipts = placed.into_iter().map(|placed| placed.map(receipt)).collect();
    let batch = Batch {
        previous: head.clone(),
        head: next.clone(),
        appends: builder.appends,
        hashes: builder.hashes,
        changes,
        stats: stats.deltas(),
        claims,
        succession,
    };
    let tip = ShardTip { head: next, frontier: builder.frontier, key: key.clone() };
    Ok(Prepared { batch, tip, receipts, owners, claimants })
}

#[derive(Clone, Copy)]
struct Placed {
    id: Uuid,
    index: u64,
    leaf: Hash,
}

struct Builder {
    time: Timestamp,
    time_text: String,
    frontier: Frontier,
    appends: Vec<Append>,
    hashes: Vec<HashRun>,
}

impl Builder {
    fn append(&mut self, draft: &Draft, first: Option<Placed>) -> Result<Placed> {
        let parent = match draft.parent {
            ParentOf::Nothing => None,
            ParentOf::Record(parent) => Some(parent),
            ParentOf::First => first.map(|first| Parent { id: first.id, leaf: first.leaf }),
        };
        let entry = Entry {
            agent: draft.agent.clone(),
            decision: draft.decision.clone(),
            id: draft.id,
            organization: draft.organization.clone(),
            parent,
            payload: draft.commitment,
            policy: draft.policy,
            reason_code: draft.reason_code.clone(),
            source: draft.source,
            time: self.time,
            kind: draft.kind,
            v: 1,
        };
        let bytes = entry.to_bytes_at(&self.time_text);
        debug_assert!(bytes.len() <= MAX_ENTRY_BYTES, "ids and codes are bounded far below this");
        let leaf = Hash::leaf(&bytes);
        let index = self.frontier.size();
        let hashes = &mut self.hashes;
        self.frontier.push(leaf, |level, index, hash| push_hash(hashes, level, index, hash));
        self.appends.push(Append { entry, bytes, payload: Arc::clone(&draft.payload) });
        Ok(Placed { id: draft.id, index, leaf })
    }
}

/// Most hashes per stored run: 1 KiB. A value that never fills a page of the disk cannot be lost whole by a torn
/// write, so a store's journal recognises its damaged tail.
const RUN: u64 = 32;

/// Adds a hash to the run that it continues, unless that would cross a multiple of the run's length.
pub(in crate::log) fn push_hash(runs: &mut Vec<HashRun>, level: u8, index: u64, hash: Hash) {
    let last = runs.iter_mut().rev().take(4).find(|run| run.level == level);
    match last {
        Some(run) if run.start + run.hashes.len() as u64 == index && !index.is_multiple_of(RUN) => {
            run.hashes.push(hash);
        }
        _ => runs.push(HashRun { level, start: index, hashes: vec![hash] }),
    }
}
