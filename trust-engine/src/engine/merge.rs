//! One page from the logs of all shards: each is searched by itself, and their records are merged by time.

use std::collections::VecDeque;

use futures_util::future::try_join_all;

use crate::error::Result;
use crate::provenance::Entry;
use crate::storage::{Filter, Scan, ShardRange, Store, StoredRecord};

/// Searches parts of several shards. Gives the records in the order of (time, shard, index), and where to go on.
pub(super) async fn scan_all(
    store: &dyn Store,
    filter: &Filter,
    ranges: Vec<ShardRange>,
    newest_first: bool,
    limit: usize,
) -> Result<(Vec<(Entry, StoredRecord)>, Vec<ShardRange>)> {
    let scan = |range| Scan { filter: filter.clone(), range, newest_first, limit };
    let scans: Vec<Scan> = ranges.into_iter().map(scan).collect();
    // Together: on a remote store each is a round trip.
    let found = try_join_all(scans.iter().map(|scan| store.scan(scan))).await?;
    let mut streams = Vec::with_capacity(scans.len());
    for (scan, found) in scans.iter().zip(found) {
        let mut waiting = VecDeque::with_capacity(found.records.len());
        for record in found.records {
            waiting.push_back((Entry::parse(&record.entry)?, record));
        }
        streams.push(Stream { range: scan.range, waiting, rest: found.rest });
    }
    let mut records = Vec::new();
    // A stream whose next record is not known yet may hold what comes next.
    while records.len() < limit && !streams.iter().any(Stream::is_starved) {
        let order = |a: &&mut Stream, b: &&mut Stream| {
            let order = a.next_key().cmp(&b.next_key());
            if newest_first { order.reverse() } else { order }
        };
        let with_records = streams.iter_mut().filter(|stream| !stream.waiting.is_empty());
        let Some(first) = with_records.min_by(order) else { break };
        if let Some((entry, record)) = first.waiting.pop_front() {
            first.pass(record.index, newest_first);
            records.push((entry, record));
        }
    }
    Ok((records, streams.into_iter().filter_map(Stream::rest).collect()))
}

/// What was found in one shard.
struct Stream {
    /// From the last record that was taken.
    range: ShardRange,
    waiting: VecDeque<(Entry, StoredRecord)>,
    /// What the store has not looked at.
    rest: Option<ShardRange>,
}

impl Stream {
    fn is_starved(&self) -> bool {
        self.waiting.is_empty() && self.rest.is_some()
    }

    fn next_key(&self) -> Option<(crate::Timestamp, u32, u64)> {
        self.waiting.front().map(|(entry, record)| (entry.time, record.shard, record.index))
    }

    fn pass(&mut self, index: u64, newest_first: bool) {
        if newest_first { self.range.end = index } else { self.range.start = index + 1 }
    }

    /// Where the next page begins. Records that were found and not taken are found again.
    fn rest(self) -> Option<ShardRange> {
        if self.waiting.is_empty() { self.rest } else { Some(self.range) }
    }
}
