//! The order of time across shards: (time, shard, index), as far as it is final.
//!
//! The head of a shard says that no entry will come with an earlier time than its own. So a record is in its final place
//! once every other shard has passed its time, whoever writes them; sealed shards are passed by all.

use crate::clock::Timestamp;
use crate::storage::{DecodedRecord, Head, Shard};

/// The place of a record in the order of all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// The time of the entry.
    pub time: Timestamp,
    /// The shard.
    pub shard: Shard,
    /// The index in the shard's log.
    pub index: u64,
}

/// Length of a place as bytes.
const BYTES: usize = 20;

impl EventPlace {
    /// The place of a record.
    pub fn of(record: &DecodedRecord) -> Self {
        Self { time: record.entry.time, shard: record.shard, index: record.index }
    }

    /// A row of a follower: the place up to which it was folded, and its state.
    pub(super) fn with_state(self, state: &[u8]) -> Vec<u8> {
        [&self.time.micros().to_be_bytes()[..], &self.shard.to_be_bytes(), &self.index.to_be_bytes(), state]
            .concat()
    }

    /// Reads what [`with_state`](Self::with_state) wrote.
    pub(super) fn split(row: &[u8]) -> Option<(Self, &[u8])> {
        let (place, state) = row.split_first_chunk::<BYTES>()?;
        let (time, rest) = place.split_first_chunk::<8>()?;
        let (shard, index) = rest.split_first_chunk::<4>()?;
        let place = Self {
            time: Timestamp::from_micros(i64::from_be_bytes(*time)),
            shard: Shard::from_be_bytes(*shard),
            index: u64::from_be_bytes(*index.first_chunk::<8>()?),
        };
        Some((place, state))
    }
}

/// The latest (time, shard) up to which the order is final, by heads that were read before the records.
pub(super) fn settled(heads: &[Head]) -> Option<(Timestamp, Shard)> {
    heads.iter().filter(|head| !head.sealed).map(|head| (head.time, head.shard)).min()
}

/// Whether no record that is still to come can stand before this one. Of the shard that lags most, records up to the
/// head's own time are final: those to come have higher indexes.
pub(super) fn is_final(place: &EventPlace, settled: Option<(Timestamp, Shard)>) -> bool {
    settled.is_none_or(|settled| (place.time, place.shard) <= settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn place(time: i64, shard: Shard) -> EventPlace {
        EventPlace { time: at(time), shard, index: 7 }
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
        assert_eq!(EventPlace::split(&row[..19]), None);
    }
}
