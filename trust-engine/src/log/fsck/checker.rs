//! The state machine that sees a log go by.

use super::report::{Damage, Finding, MAX_FINDINGS, Report};
use crate::clock::Timestamp;
use crate::provenance::{Entry, Frontier, Hash, Payload, SignedCheckpoint, VerifierKey};

pub(super) struct Checker<'a> {
    key: &'a VerifierKey,
    report: Report,
    frontier: Frontier,
    /// The size up to which roots have matched; `None` once they cannot match any more.
    rooted: Option<u64>,
    last_time: Timestamp,
    /// Tree hashes above the leaves that became final with the last entry.
    completed: Vec<(u8, u64, Hash)>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(key: &'a VerifierKey) -> Self {
        let report = Report { origin: key.name().to_owned(), ..Report::default() };
        Self {
            key,
            report,
            frontier: Frontier::default(),
            rooted: Some(0),
            last_time: Timestamp::default(),
            completed: Vec::new(),
        }
    }

    /// Number of entries so far, those that are missing included.
    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn find(&mut self, index: u64, damage: Damage, detail: impl Into<String>) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(Finding { index, damage, detail: detail.into() });
        }
    }

    /// Takes the next entry, and gives it decoded if it can be. `stored` is the leaf hash of this place; `elsewhere`
    /// finds a leaf in its neighbourhood.
    pub(super) fn entry(
        &mut self,
        bytes: &[u8],
        stored: Option<Hash>,
        elsewhere: impl Fn(Hash) -> Option<u64>,
    ) -> Option<Entry> {
        let index = self.size();
        let entry = Entry::parse(bytes);
        self.report.entries += 1;
        let leaf = Hash::leaf(bytes);
        match stored {
            Some(stored) if stored != leaf => {
                match elsewhere(leaf) {
                    Some(home) => {
                        self.find(
                            index,
                            Damage::EntryMoved,
                            format!("what is here was signed as entry {home}"),
                        );
                    }
                    None => {
                        self.find(index, Damage::EntryChanged, "its bytes are not those that were signed")
                    }
                }
                // The signed leaf goes into the tree, so that later damage can still be told apart from this.
                self.push(stored);
            }
            _ => {
                self.push(leaf);
                match &entry {
                    Ok(entry) if entry.time < self.last_time => {
                        self.find(index, Damage::EntryMalformed, "it is earlier than the entry before it");
                    }
                    Ok(entry) => self.last_time = entry.time,
                    Err(error) => self.find(index, Damage::EntryMalformed, error.to_string()),
                }
            }
        }
        entry.ok()
    }

    /// Notes that the next entry is missing; its signed leaf may still be there.
    pub(super) fn missing(&mut self, stored: Option<Hash>) {
        let index = self.size();
        self.find(index, Damage::EntryMissing, "it is not there");
        match stored {
            Some(leaf) => self.push(leaf),
            None => {
                self.push(Hash::empty_tree());
                self.rooted = None;
            }
        }
    }

    fn push(&mut self, leaf: Hash) {
        let completed = &mut self.completed;
        completed.clear();
        self.frontier.push(leaf, |level, index, hash| {
            if level > 0 {
                completed.push((level, index, hash));
            }
        });
    }

    /// Tree hashes above the leaves that became final with the last entry: (tile level, index, hash). There are none
    /// once the roots cannot match any more: a hash above a wrong leaf is wrong too, and would only hide the place of
    /// the damage.
    pub(super) fn completed(&self) -> &[(u8, u64, Hash)] {
        if self.rooted.is_some() { &self.completed } else { &[] }
    }

    /// Checks the payload of the last entry.
    pub(super) fn payload(&mut self, entry: &Entry, payload: Option<&Payload>) {
        let index = self.size().saturating_sub(1);
        match payload {
            Some(payload) if payload.commitment() == entry.payload => self.report.payloads += 1,
            Some(_) => {
                self.find(index, Damage::PayloadChanged, "it is not the one that the entry commits to")
            }
            None => {
                self.find(index, Damage::PayloadMissing, "it is gone, and no record says that it was erased")
            }
        }
    }

    /// Checks a checkpoint, which must be of exactly the size seen so far.
    pub(super) fn checkpoint(&mut self, note: &str) {
        let size = self.size();
        let first = self.rooted.unwrap_or(size.saturating_sub(1));
        let signed = match SignedCheckpoint::parse(note) {
            Ok(signed) => signed,
            Err(issue) => {
                return self.find(first, Damage::CheckpointChanged, format!("size {size}: {issue}"));
            }
        };
        let checkpoint = &signed.checkpoint;
        if checkpoint.origin != self.key.name() || checkpoint.size != size {
            let detail =
                format!("{} of size {} lies in the place of size {size}", checkpoint.origin, checkpoint.size);
            return self.find(first, Damage::CheckpointChanged, detail);
        }
        if !signed.is_signed_by(self.key) {
            return self.find(first, Damage::SignatureInvalid, format!("checkpoint of size {size}"));
        }
        let Some(rooted) = self.rooted else { return };
        if checkpoint.root == self.frontier.root() {
            self.rooted = Some(size);
            self.report.checkpoints += 1;
        } else {
            // From here on no root can match; more of them would say nothing new.
            self.rooted = None;
            // This is listed however much was found before: only this shows entries that were forged with their hashes.
            let detail = format!("one of the entries {rooted} to {} is not what was signed", size - 1);
            self.report.findings.push(Finding { index: rooted, damage: Damage::RootMismatch, detail });
        }
    }

    /// The remembered checkpoint, if the log's key signed it.
    pub(super) fn since<'s>(
        &mut self,
        since: Option<&'s SignedCheckpoint>,
        size: u64,
    ) -> Option<&'s SignedCheckpoint> {
        let since = since?;
        if !since.is_signed_by(self.key) || since.checkpoint.origin != self.key.name() {
            let detail = "the remembered checkpoint was not signed by this log's key";
            self.find(0, Damage::SignatureInvalid, detail);
            return None;
        }
        if since.checkpoint.size > size {
            let detail = format!("it has {size} entries and had {} before", since.checkpoint.size);
            self.find(size, Damage::RolledBack, detail);
        }
        Some(since)
    }

    /// Checks a checkpoint that was seen at an earlier time, once its size is reached.
    pub(super) fn remembered(&mut self, since: &SignedCheckpoint) {
        if !since.is_signed_by(self.key) {
            return self.find(
                0,
                Damage::SignatureInvalid,
                "the remembered checkpoint is not of this log's key",
            );
        }
        if since.checkpoint.root != self.frontier.root() {
            let size = since.checkpoint.size;
            self.find(0, Damage::Forked, format!("the log had another root when it had {size} entries"));
        }
    }

    pub(super) fn finish(mut self) -> Report {
        self.report.findings.sort_by_key(|finding| finding.index);
        self.report
    }
}
