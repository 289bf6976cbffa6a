//! The order of time across shards: (era, time, shard, index), as far as it is final. The era counts how often the log's
//! time was set back; within one, times never go back.
//!
//! The head of a shard says that no entry will come with an earlier time than its own. So a record is in its final place
//! once every other shard has passed its time, whoever writes them; sealed shards are passed by all.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::log::merge::{Limit, scan_all};
use crate::storage::{DecodedRecord, Filter, Head, Shard, ShardRange, Store};

/// The place of a record in the order of all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// The era of the shard.
    pub era: u32,
    /// The time of the entry.
    pub time: Timestamp,
    /// The shard.
    pub shard: Shard,
    /// The index in the shard's log.
    pub index: u64,
}

/// Length of a place as bytes.
const BYTES: usize = 24;

impl EventPlace {
    /// The place of a record of a shard of `era`.
    pub fn of(record: &DecodedRecord, era: u32) -> Self {
        Self { era, time: record.entry.time, shard: record.shard, index: record.index }
    }

    /// A row of a follower: the place up to which it was folded, and its state.
    pub(super) fn with_state(self, state: &[u8]) -> Vec<u8> {
        let Self { era, time, shard, index } = self;
        [
            &era.to_be_bytes()[..],
            &time.micros().to_be_bytes(),
            &shard.to_be_bytes(),
            &index.to_be_bytes(),
            state,
        ]
        .concat()
    }

    /// Reads what [`with_state`](Self::with_state) wrote.
    pub(super) fn split(row: &[u8]) -> Option<(Self, &[u8])> {
        let (place, state) = row.split_first_chunk::<BYTES>()?;
        let (era, rest) = place.split_first_chunk::<4>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (shard, index) = rest.split_first_chunk::<4>()?;
        let place = Self {
            era: u32::from_be_bytes(*era),
            time: Timestamp::from_micros(i64::from_be_bytes(*time)),
            shard: Shard::from_be_bytes(*shard),
            index: u64::from_be_bytes(*index.first_chunk::<8>()?),
        };
        Some((place, state))
    }
}

/// The next index of each shard; one that is not named begins at 0.
pub(crate) type Position = BTreeMap<Shard, u64>;

/// Fewest records that are read from a shard at a time.
const LEAST: usize = 16;

/// A page of records in their final order, all of one era.
pub(crate) struct OrderedPage {
    pub(crate) events: Vec<DecodedRecord>,
    pub(crate) era: u32,
    /// The position behind it.
    pub(crate) position: Position,
    /// Whether there are records behind it that are not final yet.
    pub(crate) waits: bool,
    /// Whether there may be more that are final.
    pub(crate) more: bool,
}

/// The records behind a position that pass a filter and are in their final order.
pub(crate) async fn ordered_page(
    store: &dyn Store,
    filter: &Filter,
    position: &Position,
    limit: usize,
) -> Result<OrderedPage> {
    let heads = store.heads().await?;
    let start = |shard| position.get(&shard).copied().unwrap_or(0);
    if let Some(head) = heads.iter().find(|head| start(head.shard) > head.size) {
        let issue = format!("the log of shard {} was set back behind a follower", head.shard);
        return Err(Error::new(ErrorKind::Corrupt, issue).with("shard", head.shard));
    }
    // An era is read to its end before the next.
    let unread = heads.iter().filter(|head| start(head.shard) < head.size);
    let era = unread.map(|head| head.era).min().unwrap_or_default();
    let (of_era, later): (Vec<Head>, Vec<Head>) = heads.into_iter().partition(|head| head.era <= era);
    let settled = settled(&of_era);
    let ranges: Vec<ShardRange> = of_era
        .iter()
        .map(|head| ShardRange { shard: head.shard, start: start(head.shard), end: head.size })
        .filter(|range| range.start < range.end)
        .collect();
    let mut after = position.clone();
    after.extend(of_era.iter().map(|head| (head.shard, head.size)));
    // Many shards together take no more memory than a few.
    let each = (limit / ranges.len().max(1)).max(LEAST);
    let (mut events, rest) = scan_all(store, filter, ranges, false, Limit { all: limit, each }).await?;
    let more = !rest.is_empty() || later.iter().any(|head| start(head.shard) < head.size);
    after.extend(rest.into_iter().map(|range| (range.shard, range.start)));
    let cut = events.iter().position(|event| !is_final(&EventPlace::of(event, era), settled));
    let waiting = events.split_off(cut.unwrap_or(events.len()));
    // In the order of the page, so the first one of a shard counts.
    for event in waiting.iter().rev() {
        after.insert(event.shard, event.index);
    }
    Ok(OrderedPage { events, era, position: after, waits: cut.is_some(), more: more && cut.is_none() })
}

/// The latest (time, shard) up to which the order of an era is final, by its heads, which were read before the records.
fn settled(heads: &[Head]) -> Option<(Timestamp, Shard)> {
    heads.iter().filter(|head| !head.sealed).map(|head| (head.time, head.shard)).min()
}

/// Whether no record that is still to come can stand before this one. Of the shard that lags most, records up to the
/// head's own time are final: those to come have higher indexes.
fn is_final(place: &EventPlace, settled: Option<(Timestamp, Shard)>) -> bool {
    settled.is_none_or(|settled| (place.time, place.shard) <= settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn place(time: i64, shard: Shard) -> EventPlace {
        EventPlace { era: 1, time: at(time), shard, index: 7 }
    }

    #[test]
    fn a_record_is_final_once_every_open_shard_has_passed_its_time() {
        let head = |shard, time, sealed| Head { time: at(time), sealed, ..Head::empty(shard) };
        let heads = [head(0, 50, true), head(1, 100, false), head(2, 90, false)];
        let is_final = |time, shard| is_final(&place(time, shard), settled(&heads));
        assert!(is_final(50, 0) && is_final(89, 1) && is_final(90, 1) && is_final(90, 2));
        // Shard 2 may still get an entry at 90, which comes before one of shard 3 at 90, and after those of 1.
        assert!(!is_final(91, 1) && !is_final(91, 2) && !is_final(90, 3));
    }

    #[test]
    fn rows_are_read_back() {
        let row = place(90, 3).with_state(b"abc");
        assert_eq!(EventPlace::split(&row), Some((place(90, 3), &b"abc"[..])));
        assert_eq!(EventPlace::split(&row[..23]), None);
    }
}
