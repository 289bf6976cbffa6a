//! One page from the logs of all shards: each is searched by itself, and their records are merged by time.

use std::collections::VecDeque;

use futures_util::future::try_join_all;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::storage::{DecodedRecord, Filter, Scan, Scanned, Shard, ShardRange, Store};

/// Most records of a page, and most that are read from each shard at a time.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) all: usize,
    pub(crate) each: usize,
}

impl From<usize> for Limit {
    fn from(all: usize) -> Self {
        Self { all, each: all }
    }
}

/// Searches parts of several shards. Gives the records in the order of (time, shard, index), and the parts that are
/// left.
pub(crate) async fn scan_all(
    store: &dyn Store,
    filter: &Filter,
    ranges: Vec<ShardRange>,
    newest_first: bool,
    limit: Limit,
) -> Result<(Vec<DecodedRecord>, Vec<ShardRange>)> {
    let scan = |range| Scan { filter: filter.clone(), range, newest_first, limit: limit.each };
    let scans: Vec<Scan> = ranges.into_iter().map(scan).collect();
    // All shards are searched at the same time: on a remote store each search is a round trip.
    let found = try_join_all(scans.iter().map(|scan| store.scan(scan))).await?;
    let stream = |(scan, found): (&Scan, Scanned)| Stream {
        range: scan.range,
        waiting: found.records.into(),
        rest: found.rest,
    };
    let mut streams: Vec<Stream> = scans.iter().zip(found).map(stream).collect();
    let mut records = Vec::new();
    // A stream whose next record is not known yet may hold the record that comes next.
    while records.len() < limit.all && !streams.iter().any(Stream::is_starved) {
        let order = |a: &&mut Stream, b: &&mut Stream| {
            let order = a.next_key().cmp(&b.next_key());
            if newest_first { order.reverse() } else { order }
        };
        let with_records = streams.iter_mut().filter(|stream| !stream.waiting.is_empty());
        let Some(first) = with_records.min_by(order) else { break };
        if let Some(record) = first.waiting.pop_front() {
            first.pass(record.index, newest_first);
            records.push(record);
        }
    }
    Ok((records, streams.into_iter().filter_map(Stream::rest).collect()))
}

/// The records that were found in one shard.
struct Stream {
    /// The part of the shard behind the last record that was taken.
    range: ShardRange,
    waiting: VecDeque<DecodedRecord>,
    /// The part that the store has not searched yet.
    rest: Option<ShardRange>,
}

impl Stream {
    fn is_starved(&self) -> bool {
        self.waiting.is_empty() && self.rest.is_some()
    }

    fn next_key(&self) -> Option<(Timestamp, Shard, u64)> {
        self.waiting.front().map(|record| (record.entry.time, record.shard, record.index))
    }

    fn pass(&mut self, index: u64, newest_first: bool) {
        if newest_first { self.range.end = index } else { self.range.start = index + 1 }
    }

    /// The part that the next page searches. Records that were found and not taken are found again.
    fn rest(self) -> Option<ShardRange> {
        if self.waiting.is_empty() { self.rest } else { Some(self.range) }
    }
}
