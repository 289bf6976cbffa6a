//! Records as they are read, and searches through them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::batch::Shard;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::provenance::{DecisionWord, Entry, Payload, RecordType};

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The shard.
    pub shard: Shard,
    /// Index in the shard's log.
    pub index: u64,
    /// Exact bytes of the entry.
    pub bytes: Vec<u8>,
    /// The payload, unless it is gone.
    pub payload: Option<Payload>,
}

impl StoredRecord {
    /// Decodes the entry, once for all later uses of the record.
    ///
    /// # Errors
    /// Those of [`Entry::parse`], with the index.
    pub fn decode(self) -> Result<DecodedRecord> {
        let Self { shard, index, bytes, payload } = self;
        let entry = Entry::parse(&bytes).map_err(|error| error.with("index", index))?;
        Ok(DecodedRecord { shard, index, entry, bytes, payload })
    }
}

/// A record as it is stored, with its entry decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedRecord {
    /// The shard.
    pub shard: Shard,
    /// Index in the shard's log.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// Exact bytes of the entry.
    pub bytes: Vec<u8>,
    /// The payload, unless it is gone.
    pub payload: Option<Payload>,
}

/// The records to find; a field that is `None` does not restrict them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Filter {
    pub organization: Option<OrganizationId>,
    pub agent: Option<AgentId>,
    pub kind: Option<RecordType>,
    /// Only records of types that hosts may write.
    pub public_only: bool,
    pub decision: Option<DecisionWord>,
    /// Earliest time, inclusive.
    pub from: Option<Timestamp>,
    /// Latest time, exclusive.
    pub to: Option<Timestamp>,
    pub parent: Option<Uuid>,
}

impl Filter {
    /// The types that pass.
    pub fn kinds(&self) -> impl Iterator<Item = RecordType> + Clone + use<> {
        let (kind, public_only) = (self.kind, self.public_only);
        RecordType::ALL
            .into_iter()
            .filter(move |one| kind.is_none_or(|kind| kind == *one) && (!public_only || one.is_public()))
    }

    /// Whether an entry passes.
    pub fn accepts(&self, entry: &Entry) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, found: Option<&T>) -> bool {
            wanted.as_ref().is_none_or(|wanted| found == Some(wanted))
        }
        is(&self.organization, Some(&entry.organization))
            && is(&self.agent, entry.agent.as_ref())
            && is(&self.kind, Some(&entry.kind))
            && (!self.public_only || entry.kind.is_public())
            && is(&self.decision, entry.decision.as_ref())
            && is(&self.parent, entry.parent.as_ref().map(|parent| &parent.id))
            && self.from.is_none_or(|from| from <= entry.time)
            && self.to.is_none_or(|to| entry.time < to)
    }
}

/// A part of a shard's log: `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ShardRange {
    pub shard: Shard,
    pub start: u64,
    pub end: u64,
}

/// A search through a part of a shard's log.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The records to find.
    pub filter: Filter,
    /// The part of the log to search.
    pub range: ShardRange,
    /// Newest first, or oldest first.
    pub newest_first: bool,
    /// Most records to return.
    pub limit: usize,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The records found, in the order asked for.
    pub records: Vec<DecodedRecord>,
    /// The part of the log to go on with; `None` when everything was seen. A search may stop early, with fewer records
    /// than asked for.
    pub rest: Option<ShardRange>,
}
