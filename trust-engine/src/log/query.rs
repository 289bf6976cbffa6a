//! A search through the log, and the cursor that goes on where a page ended.

use std::time::Duration;

use uuid::Uuid;

use super::cursor;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::provenance::{Record, RecordType};
use crate::storage::{Filter, ShardRange};

/// Most records per page.
const MAX_PAGE: usize = 1000;

/// A query for records. A condition that is not set does not restrict it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    agent: Option<String>,
    kind: Option<RecordType>,
    decision: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    parent: Option<Uuid>,
    oldest_first: bool,
    limit: Option<usize>,
    cursor: Option<String>,
    own_writes: bool,
    public_only: bool,
}

impl Query {
    /// A query for all records, newest first.
    pub fn new() -> Self {
        Self::default()
    }
    /// Records about an agent.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into());
        self
    }
    /// Records of a type.
    #[must_use]
    pub fn kind(mut self, kind: RecordType) -> Self {
        self.kind = Some(kind);
        self
    }
    /// Records with a decision: one of the engine's, or a host's own word.
    #[must_use]
    pub fn decision(mut self, decision: impl Into<String>) -> Self {
        self.decision = Some(decision.into());
        self
    }
    /// Records at or after a time.
    #[must_use]
    pub fn from(mut self, from: Timestamp) -> Self {
        self.from = Some(from);
        self
    }
    /// Records before a time.
    #[must_use]
    pub fn to(mut self, to: Timestamp) -> Self {
        self.to = Some(to);
        self
    }
    /// Records that follow from another.
    #[must_use]
    pub fn parent(mut self, parent: Uuid) -> Self {
        self.parent = Some(parent);
        self
    }
    /// Oldest first instead of newest first.
    #[must_use]
    pub fn oldest_first(mut self) -> Self {
        self.oldest_first = true;
        self
    }
    /// Records per page, 1 to 1,000; 20 by default.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }
    /// Searches the store itself and not its replica, which may not have the latest commits yet.
    #[must_use]
    pub fn read_your_writes(mut self) -> Self {
        self.own_writes = true;
        self
    }

    /// Only records of types that hosts may write: none of agents, policies, signals, erasures, gaps and documents.
    #[must_use]
    pub fn public_only(mut self) -> Self {
        self.public_only = true;
        self
    }

    pub(crate) fn record_type(&self) -> Option<RecordType> {
        self.kind
    }

    pub(crate) fn reads_own_writes(&self) -> bool {
        self.own_writes
    }

    /// Goes on where a page ended. The rest of the query must be the same.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }
}

/// A page of records.
#[derive(Clone, Debug)]
pub struct Page {
    /// The records, in the order asked for. There may be fewer than asked for although there are more to come, if those are
    /// very far apart.
    pub records: Vec<Record>,
    /// The cursor to go on with; `None` after the last page. Records that are committed meanwhile neither shift nor
    /// repeat anything.
    pub next: Option<String>,
    /// The time by which the log is ahead of the clock, if it is more than
    /// [`max_clock_jump`](crate::Options::max_clock_jump): a search by time does not find what comes meanwhile.
    pub ahead: Option<Duration>,
}

/// A query that was checked, in the form in which the store is asked.
pub(crate) struct Search {
    pub(crate) filter: Filter,
    /// `None` for the first page.
    pub(crate) ranges: Option<Vec<ShardRange>>,
    pub(crate) newest_first: bool,
    pub(crate) limit: usize,
}

impl Query {
    /// Checks the values, and that the cursor is one of this query.
    pub(crate) fn check(&self, organization: Option<OrganizationId>) -> Result<Search> {
        let limit = self.limit.unwrap_or(20);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", format!("is {limit}; it must be 1 to {MAX_PAGE}")));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return Err(Error::invalid("from", format!("is {from}, after to, {to}")));
        }
        let filter = Filter {
            organization,
            agent: self.agent.as_deref().map(AgentId::recorded).transpose()?,
            kind: self.kind,
            public_only: self.public_only,
            decision: self.decision.as_deref().map(str::parse).transpose()?,
            from: self.from,
            to: self.to,
            parent: self.parent,
        };
        let newest_first = !self.oldest_first;
        let ranges = self.cursor.as_ref().map(|text| resume(text, &filter, newest_first)).transpose()?;
        Ok(Search { filter, ranges, newest_first, limit })
    }
}

impl Search {
    /// Gives the cursor for the parts of the log that are left; `None` if there are none.
    pub(crate) fn cursor(&self, rest: Vec<ShardRange>) -> Result<Option<String>> {
        if rest.is_empty() {
            return Ok(None);
        }
        cursor::write(&rest, &(&self.filter, self.newest_first)).map(Some)
    }
}

fn resume(text: &str, filter: &Filter, newest_first: bool) -> Result<Vec<ShardRange>> {
    let rest: Vec<ShardRange> = cursor::read(text, &(filter, newest_first))?;
    // Each shard once: a cursor that was made by hand must not multiply the work.
    let ascending = rest.is_sorted_by(|one, next| one.shard < next.shard);
    if rest.is_empty() || !ascending || rest.iter().any(|range| range.start > range.end) {
        return Err(cursor::malformed());
    }
    Ok(rest)
}
