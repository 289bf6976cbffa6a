//! A commit that failed: learning whether it happened, before anything else is signed.
//!
//! The shard is claimed first, because a head that was read after a claim cannot change any more. A head that is the one
//! before the commit or the one after it needs no more; only where it is neither is the tip loaded and checked as at opening.

use std::time::{Duration, Instant};

use pollster::block_on;

use super::claim::{check_deployment, check_seen, claim, is_behind, is_checkpointed};
use super::shard_tip::ShardTip;
use super::state::{WriterState, set_back};
use super::submission::{Fate, Submission};
use super::writer::{Unsettled, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::Receipt;
use crate::storage::Head;

/// Pauses between the attempts to learn the outcome of a commit, while its callers wait.
const SETTLE_PAUSES_MS: [u64; 5] = [5, 20, 75, 200, 400];
/// Time after which a store that has not answered is taken for one that hangs: verdicts are not given any more meanwhile.
const HANGS_AFTER: Duration = Duration::from_secs(1);

impl Writer {
    /// Claims another shard, because another engine has this one. Gives `false` if this engine may write no other: it
    /// is fenced then. After an error the tip is as it was, and the claim can be tried again unless the writer was set
    /// back.
    pub(super) fn claim_another(&mut self) -> Result<bool> {
        let only_this =
            self.settings.shard.is_some() || (!self.settings.store.is_shared() && !self.tip.head.sealed);
        if only_this {
            return self.claim_again();
        }
        self.left.insert(self.tip.head.shard, self.tip.head.clone());
        let tip = block_on(claim(&self.settings, &self.shared, &self.left))?;
        self.set_tip(tip);
        Ok(true)
    }

    /// Claims the shard again that an engine may write and no other. It is fenced if another engine has it or it was
    /// sealed, and not if only the time of its head was raised while it paused.
    fn claim_again(&mut self) -> Result<bool> {
        let shard = self.tip.head.shard;
        self.ensure_contains(&self.tip.head.clone())?;
        let Some(head) = block_on(self.settings.store.reclaim(shard, self.settings.owner))? else {
            // Sealed by a rotation, it is another error.
            block_on(check_deployment(&self.settings, &self.shared))?;
            self.shared.set_state(WriterState::Fenced);
            return Ok(false);
        };
        // A head that was read after the claim cannot change any more.
        if is_behind(&head, &self.tip.head) {
            self.shared.set_state(WriterState::SetBack);
            return Err(set_back());
        }
        self.ensure_contains(&self.tip.head)?;
        self.set_tip(block_on(ShardTip::load(&self.settings, head))?);
        Ok(true)
    }

    /// Checks that a log contains the head `seen`, which this engine has seen committed.
    fn ensure_contains(&self, seen: &Head) -> Result<()> {
        block_on(check_seen(&self.settings, &self.shared, seen))
    }

    /// Whether a commit that failed happened all the same. Afterwards the tip is one that can be signed on top of,
    /// unless the engine is fenced.
    ///
    /// A claim comes first: by it, or by the claim of the engine that has the shard now, the commit has happened or
    /// never will. An error of any step leaves the tip as it was, or as the commit left it if that is known to have
    /// happened. So everything can be tried again.
    fn outcome(&mut self, prepared: &ShardTip) -> Result<bool> {
        let store = &self.settings.store;
        let head = match block_on(store.reclaim(prepared.head.shard, self.settings.owner))? {
            Some(head) => head,
            None => {
                self.ensure_contains(&self.tip.head)?;
                let committed = block_on(is_checkpointed(&**store, &prepared.head))?;
                if committed {
                    // The receipts that are given out for the commit must hold whenever this shard is written again.
                    self.tip = prepared.clone();
                }
                let claimed = self.claim_another();
                // Another shard that was set back, or another key, stops this engine, but does not undo the commit.
                if !(committed && self.shared.state().refusal().is_some()) {
                    claimed?;
                }
                return Ok(committed);
            }
        };
        if head.same_tree(&prepared.head) {
            self.tip = ShardTip { head, ..prepared.clone() };
            Ok(true)
        } else if head.same_tree(&self.tip.head) {
            self.tip.head = head;
            Ok(false)
        } else {
            // The shard is ours and its head is neither of the two: an owner that has let go of the shard wrote on, or
            // the log was set back.
            self.ensure_contains(&self.tip.head)?;
            let committed = block_on(is_checkpointed(&**store, &prepared.head))?;
            self.tip = block_on(ShardTip::load(&self.settings, head))?;
            Ok(committed)
        }
    }

    /// Settles a commit that failed: answers its callers once the outcome is known, or tells them that it is unknown. A
    /// failing attempt is not fatal unless the store was set back; after the last one the writer is down, and
    /// [`recover`](Self::recover) goes on. A store that hangs is attempted once more, and the writer is down meanwhile.
    pub(super) fn settle(
        &mut self,
        prepared: ShardTip,
        batch: Vec<Submission>,
        receipts: Vec<Option<Receipt>>,
        error: Error,
        begun: Instant,
    ) {
        for pause in SETTLE_PAUSES_MS {
            let hangs = begun.elapsed() > HANGS_AFTER;
            if hangs {
                self.shared.set_state(WriterState::Down);
            }
            match self.outcome(&prepared) {
                Ok(committed) => {
                    if self.shared.state() == WriterState::Down {
                        self.shared.set_state(WriterState::Up);
                    }
                    return if committed {
                        self.committed(batch, receipts)
                    } else {
                        self.refuse(batch, &error)
                    };
                }
                Err(error) if self.shared.state().refusal().is_some() => {
                    return self.refuse(batch, &self.shared.state().refusal().unwrap_or(error));
                }
                Err(_) if hangs => break,
                Err(_) => std::thread::sleep(Duration::from_millis(pause)),
            }
        }
        self.shared.set_state(WriterState::Down);
        let unknown = Error::new(
            ErrorKind::Unavailable,
            format!(
                "the store failed and does not answer, so it is unknown whether the record is in the log ({error})"
            ),
        );
        let mut rest = Vec::with_capacity(batch.len());
        for mut submission in batch {
            rest.push(submission.unsettled());
            submission.answer(&Err(unknown.clone()));
        }
        let (gap, unrecorded) = (std::mem::take(&mut self.gap), std::mem::take(&mut self.unrecorded));
        self.unsettled = Some(Unsettled { prepared, batch: rest, gap, unrecorded });
    }

    /// Tries to reach a store that is down again, and settles the batch whose outcome was left open. A failing step is
    /// not fatal unless the store was set back: the writer stays down, and the next call tries again from the start.
    pub(super) fn recover(&mut self) {
        if self.shared.state() != WriterState::Down {
            return;
        }
        let open = self.unsettled.as_ref().map(|open| &open.prepared);
        let prepared = open.unwrap_or(&self.tip).clone();
        let Ok(committed) = self.outcome(&prepared) else { return };
        match self.unsettled.take() {
            Some(mut open) if committed => {
                open.batch.iter_mut().for_each(|submission| submission.meets(Fate::Committed));
            }
            Some(open) => {
                let now = self.settings.clock.now();
                open.batch.iter().for_each(|submission| self.gap.count(submission, now));
                self.gap.merge(open.gap);
                self.unrecorded.merge(open.unrecorded);
            }
            None => {}
        }
        // Otherwise the claim of another shard has left the writer fenced or set back.
        if self.shared.state() == WriterState::Down {
            self.shared.set_state(WriterState::Up);
            self.commit(Vec::new());
        }
    }
}
