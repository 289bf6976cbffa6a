//! The writer that the conformance suites commit with.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test suite: a breach is a panic")]

use std::sync::Arc;

use pollster::block_on;
use uuid::Uuid;

use super::{Append, Batch, Committed, DocumentChange, HashRun, Head, Store};
use crate::clock::Timestamp;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::Decision;
use crate::provenance::{Entry, Frontier, Hash, Payload, RecordType, Source};

pub(super) const OWNER: Uuid = Uuid::from_u128(1);

/// A writer that builds correct batches.
pub(super) struct Log {
    pub(super) head: Head,
    pub(super) frontier: Frontier,
    pub(super) next: u128,
}

impl Log {
    pub(super) fn claim(store: &dyn Store) -> Self {
        let head = block_on(store.claim(0, OWNER)).unwrap();
        Self { head, frontier: Frontier::default(), next: 0 }
    }

    pub(super) fn entry(
        &mut self,
        organization: &str,
        agent: Option<&str>,
        kind: RecordType,
        decision: Option<Decision>,
    ) -> Entry {
        self.next += 1;
        Entry {
            agent: agent.map(|agent| AgentId::parse(agent).unwrap()),
            decision: decision.map(Into::into),
            id: Uuid::from_u128(self.next),
            organization: self::organization(organization),
            parent: None,
            payload: payload(self.next).commitment(),
            policy: None,
            reason_code: None,
            source: Source::Engine,
            time: Timestamp::from_micros(i64::try_from(self.next).unwrap() * 10),
            kind,
            v: 1,
        }
    }

    pub(super) fn batch(&self, entries: &[Entry]) -> (Batch, Frontier) {
        let mut frontier = self.frontier.clone();
        let mut hashes: Vec<HashRun> = Vec::new();
        let mut appends = Vec::new();
        for entry in entries {
            let bytes = entry.to_bytes();
            frontier.push(Hash::leaf(&bytes), |level, start, hash| {
                hashes.push(HashRun { level, start, hashes: vec![hash] });
            });
            let payload = payload(entry.id.as_u128());
            appends.push(Append { entry: entry.clone(), bytes, payload: Arc::new(payload) });
        }
        let size = frontier.size();
        let time = entries.last().map_or(self.head.time, |entry| entry.time);
        let note = format!("note of size {size}");
        let head = Head { size, root: frontier.root(), time, note, ..self.head.clone() };
        let batch = Batch { head, appends, hashes, ..Batch::on(self.head.clone()) };
        (batch, frontier)
    }

    pub(super) fn commit(&mut self, store: &dyn Store, entries: &[Entry]) {
        let (batch, frontier) = self.batch(entries);
        let head = batch.head.clone();
        assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Yes);
        (self.head, self.frontier) = (head, frontier);
    }

    pub(super) fn commit_changes(&self, store: &dyn Store, changes: Vec<DocumentChange>) -> Committed {
        let (mut batch, _) = self.batch(&[]);
        batch.head = batch.previous.clone();
        batch.changes = changes;
        block_on(store.commit(batch)).unwrap()
    }
}

pub(super) fn payload(seed: u128) -> Payload {
    let mut salt = [7; 32];
    salt[..16].copy_from_slice(&seed.to_be_bytes());
    Payload { salt, bytes: format!("{{\"n\":{seed}}}").into_bytes() }
}

pub(super) fn organization(name: &str) -> OrganizationId {
    OrganizationId::parse(name).unwrap()
}
