//! The log's tables: entries, payloads, tree hashes, checkpoints and the indexes over them.

use uuid::Uuid;

use super::store::KvStore;
use super::{Kv, Pair, Table, WriteBatch, keys};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{Entry, Hash, HashRange, Payload, TILE_WIDTH};
use crate::storage::{Append, Batch, DecodedRecord, Filter, Scan, Scanned, Shard, ShardRange, StoredRecord};

/// Index rows that one scan looks at before it gives back a short page.
const SCAN_BUDGET: usize = 50_000;
/// Index rows read at a time, growing from a page's worth so that short pages stay cheap.
const CHUNK: usize = 512;
/// Approximate size of the keys of a record's rows together.
const ROW_BYTES: usize = 256;

impl<K: Kv> KvStore<K> {
    /// Entries come first and indexes after them, so that a reader never meets an index row without its entry.
    pub(super) fn log_rows(batch: &Batch) -> WriteBatch {
        let size = |append: &Append| append.bytes.len() + append.payload.bytes.len() + ROW_BYTES;
        let bytes: usize = batch.appends.iter().map(size).sum();
        let mut rows = WriteBatch::with_capacity(batch.appends.len() * 8 + 16, bytes + 4096);
        let indexed = || (batch.previous.size..).zip(&batch.appends);
        let shard = batch.head.shard;
        for (index, append) in indexed() {
            let key = keys::place(shard, index);
            rows.put(Table::Entries, &[&key], &[&append.bytes]);
            rows.put(Table::Payloads, &[&key], &[&append.payload.salt, &append.payload.bytes]);
        }
        for run in &batch.hashes {
            let bytes: Vec<u8> = run.hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
            rows.put(Table::Hashes, &[&keys::hash(shard, run.level, run.start)], &[&bytes]);
        }
        if let Some(first) = batch.appends.first() {
            let size = keys::place(shard, batch.head.size);
            rows.put(Table::Checkpoints, &[&size], &[batch.head.note.as_bytes()]);
            rows.put(Table::ByTime, &[&keys::time(shard, first.entry.time, batch.previous.size)], &[]);
        }
        for (index, append) in indexed() {
            let (entry, place) = (&append.entry, keys::place(shard, index));
            let organization = entry.organization.as_str().as_bytes();
            rows.put(Table::ById, &[entry.id.as_bytes(), organization], &[&place]);
            let decision = keys::decision_code(entry.decision.as_ref());
            rows.put(Table::ByClass, &[organization, &keys::class(entry.kind, decision), &place], &[]);
            if let Some(agent) = &entry.agent {
                let [a, b, c, d] = keys::agent(&entry.organization, agent);
                let codes = [keys::kind_code(entry.kind), decision];
                rows.put(Table::ByAgent, &[a, b, c, d, &place], &[&codes]);
            }
            if let Some(parent) = &entry.parent {
                let [a, b, c] = keys::parent(&parent.id, &entry.organization);
                rows.put(Table::ByParent, &[a, b, c, &place], &[]);
            }
        }
        rows
    }

    /// A proof asks for up to eight ranges of one tile, one after the other; each tile is read once.
    pub(super) fn read_hashes(&self, shard: Shard, ranges: &[HashRange]) -> Result<Vec<Vec<Hash>>> {
        let mut last: Option<((u8, u64), Vec<Hash>)> = None;
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            let tile = (range.level, range.start / TILE_WIDTH * TILE_WIDTH);
            let hashes = match last.take() {
                Some((read, hashes)) if read == tile => hashes,
                _ => self.read_tile(shard, tile.0, tile.1)?,
            };
            let start = (range.start - tile.1) as usize;
            let wanted = start.checked_add(range.count as usize).and_then(|end| hashes.get(start..end));
            found.push(wanted.ok_or_else(|| missing_hashes(range))?.to_vec());
            last = Some((tile, hashes));
        }
        Ok(found)
    }

    /// The stored hashes of the tile that begins at `start`, up to its first gap.
    fn read_tile(&self, shard: Shard, level: u8, start: u64) -> Result<Vec<Hash>> {
        let end = start.saturating_add(TILE_WIDTH);
        let (from, to) = (keys::hash(shard, level, start), keys::hash(shard, level, end));
        let runs = self.kv.range(Table::Hashes, &from, &to, false, TILE_WIDTH as usize)?;
        let mut hashes = Vec::with_capacity(TILE_WIDTH as usize);
        for (key, value) in runs {
            let (chunks, rest) = value.as_chunks::<32>();
            if keys::trailing_index(&key) != Some(start + hashes.len() as u64) || !rest.is_empty() {
                break;
            }
            hashes.extend(chunks.iter().map(|chunk| Hash::from_bytes(*chunk)));
        }
        Ok(hashes)
    }

    pub(super) fn read_records(&self, shard: Shard, start: u64, limit: usize) -> Result<Vec<StoredRecord>> {
        let from = keys::place(shard, start);
        let to = keys::place(shard, u64::MAX);
        let entries = self.kv.range(Table::Entries, &from, &to, false, limit)?;
        let end =
            entries.last().and_then(|(key, _)| keys::trailing_index(key)).map_or(start, |last| last + 1);
        let payloads = self.kv.range(
            Table::Payloads,
            &from,
            &keys::place(shard, end),
            false,
            limit.saturating_mul(2),
        )?;
        let mut payloads = payloads.into_iter().peekable();
        let mut records = Vec::with_capacity(entries.len());
        for (key, entry) in entries {
            while payloads.next_if(|(other, _)| *other < key).is_some() {}
            let payload =
                payloads.next_if(|(other, _)| *other == key).map(|(_, value)| split_payload(&value));
            let index = keys::trailing_index(&key).unwrap_or(u64::MAX);
            records.push(StoredRecord { shard, index, bytes: entry, payload: payload.transpose()? });
        }
        Ok(records)
    }

    fn read_record(&self, shard: Shard, index: u64) -> Result<DecodedRecord> {
        let mut record = self.read_bare(shard, index)?;
        record.payload = self.read_payload(shard, index)?;
        Ok(record)
    }

    /// A record without its payload.
    fn read_bare(&self, shard: Shard, index: u64) -> Result<DecodedRecord> {
        let Some(bytes) = self.kv.get(Table::Entries, &keys::place(shard, index))? else {
            let issue = format!("entry {index} is missing, though an index names it");
            return Err(Error::new(ErrorKind::Corrupt, issue).with("index", index));
        };
        StoredRecord { shard, index, bytes, payload: None }.decode()
    }

    fn read_payload(&self, shard: Shard, index: u64) -> Result<Option<Payload>> {
        let value = self.kv.get(Table::Payloads, &keys::place(shard, index))?;
        value.map(|value| split_payload(&value)).transpose()
    }

    pub(super) fn read_by_id(
        &self,
        organization: &OrganizationId,
        id: Uuid,
    ) -> Result<Option<DecodedRecord>> {
        let Some(place) = self.kv.get(Table::ById, &keys::id(&id, organization))? else { return Ok(None) };
        let (shard, index) = keys::trailing_place(&place)
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the id index is damaged").with("id", id))?;
        self.read_record(shard, index).map(Some)
    }

    pub(super) fn read_organizations_of(&self, id: Uuid, limit: usize) -> Result<Vec<OrganizationId>> {
        let (from, to) = (id.as_bytes(), [id.as_bytes(), &[0xFF][..]].concat());
        let rows = self.kv.range(Table::ById, from, &to, false, limit)?;
        rows.iter().map(|(key, _)| organization_in(key, key.len())).collect()
    }

    pub(super) fn read_checkpoints(
        &self,
        shard: Shard,
        size: u64,
        limit: usize,
    ) -> Result<Vec<(u64, String)>> {
        let (from, to) = (keys::place(shard, size), keys::place(shard, u64::MAX));
        let pairs = self.kv.range(Table::Checkpoints, &from, &to, false, limit)?;
        let decode = |(key, value): Pair| {
            let damaged = || Error::new(ErrorKind::Corrupt, "a stored checkpoint is damaged");
            let size = keys::trailing_index(&key).ok_or_else(damaged)?;
            Ok((size, String::from_utf8(value).map_err(|_| damaged())?))
        };
        pairs.into_iter().map(decode).collect()
    }

    pub(super) fn run_scan(&self, scan: &Scan) -> Result<Scanned> {
        self.check_shard(scan.range.shard)?;
        let range = self.within_time(scan.range, &scan.filter)?;
        let mut records = Vec::new();
        let remaining = self.scan_range(scan, range, &mut records)?;
        Ok(Scanned { records, rest: (remaining.start < remaining.end).then_some(remaining) })
    }

    /// Narrows a range to the filter's times: entry times never go back, so they are index bounds.
    fn within_time(&self, mut range: ShardRange, filter: &Filter) -> Result<ShardRange> {
        if let Some(from) = filter.from {
            range.start = range.start.max(self.first_at_or_after(from, range)?);
        }
        if let Some(to) = filter.to {
            range.end = range.end.min(self.first_at_or_after(to, range)?);
        }
        Ok(range)
    }

    /// Index of the first entry of the range's shard at or after `time`, or the range's end.
    fn first_at_or_after(&self, time: Timestamp, range: ShardRange) -> Result<u64> {
        let ShardRange { shard, end, .. } = range;
        // The time table has the first entry of every commit. The entry that is looked for is in the last commit
        // that begins before `time`, or is the first entry of the next one.
        let (first, last) = (Timestamp::default(), Timestamp::from_micros(i64::MAX));
        let pivot = keys::time(shard, time, 0);
        let before = self.kv.range(Table::ByTime, &keys::time(shard, first, 0), &pivot, true, 1)?;
        let after = self.kv.range(Table::ByTime, &pivot, &keys::time(shard, last, u64::MAX), false, 1)?;
        let index_of = |pairs: &[Pair]| pairs.first().and_then(|(key, _)| keys::trailing_index(key));
        let (Some(mut low), mut high) = (index_of(&before), index_of(&after).unwrap_or(end).min(end)) else {
            return Ok(0);
        };
        while low < high {
            let middle = low + (high - low) / 2;
            if self.read_entry(shard, middle)?.time < time { low = middle + 1 } else { high = middle }
        }
        Ok(low.min(end))
    }

    fn read_entry(&self, shard: Shard, index: u64) -> Result<Entry> {
        match self.kv.get(Table::Entries, &keys::place(shard, index))? {
            Some(bytes) => Entry::parse(&bytes).map_err(|error| error.with("index", index)),
            None => {
                Err(Error::new(ErrorKind::Corrupt, format!("entry {index} is missing")).with("index", index))
            }
        }
    }

    /// Scans one range into `records` and gives the range that remains.
    fn scan_range(
        &self,
        scan: &Scan,
        mut range: ShardRange,
        records: &mut Vec<DecodedRecord>,
    ) -> Result<ShardRange> {
        let streams = self.streams(&scan.filter)?;
        let mut budget = SCAN_BUDGET;
        let mut chunk = scan.limit.clamp(16, CHUNK);
        while range.start < range.end && records.len() < scan.limit && budget > 0 {
            let (candidates, seen) = self.candidates(&streams, scan, range, chunk)?;
            budget = budget.saturating_sub(chunk);
            chunk = (chunk * 2).min(CHUNK);
            for index in candidates {
                let mut record = self.read_bare(range.shard, index)?;
                if scan.filter.accepts(&record.entry) {
                    record.payload = self.read_payload(range.shard, index)?;
                    records.push(record);
                }
                advance(&mut range, index, scan.newest_first);
                if records.len() == scan.limit {
                    return Ok(range);
                }
            }
            match seen {
                Some(index) => advance(&mut range, index, scan.newest_first),
                None => range.start = range.end,
            }
        }
        Ok(range)
    }

    /// The next candidates in order, and the last index up to which all of them are known (`None`: to the end).
    fn candidates(
        &self,
        streams: &Streams,
        scan: &Scan,
        range: ShardRange,
        chunk: usize,
    ) -> Result<(Vec<u64>, Option<u64>)> {
        let mut found = Vec::new();
        let mut seen: Option<u64> = None;
        for (table, prefix) in &streams.prefixes {
            let from = keys::placed(prefix, range.shard, range.start);
            let to = keys::placed(prefix, range.shard, range.end);
            let pairs = self.kv.range(*table, &from, &to, scan.newest_first, chunk)?;
            if pairs.len() == chunk {
                // This stream has more; beyond its last row nothing is known about it.
                let last = pairs.last().and_then(|(key, _)| keys::trailing_index(key));
                seen = match (seen, last) {
                    (Some(a), Some(b)) => Some(if scan.newest_first { a.max(b) } else { a.min(b) }),
                    (a, b) => a.or(b),
                };
            }
            let passes = |value: &[u8]| match (table, value) {
                (Table::ByAgent, [kind, decision]) => streams.accepts(*kind, *decision),
                _ => true,
            };
            found.extend(
                pairs
                    .iter()
                    .filter(|(_, value)| passes(value))
                    .filter_map(|(key, _)| keys::trailing_index(key)),
            );
        }
        found.sort_unstable();
        if scan.newest_first {
            found.reverse();
        }
        if let Some(seen) = seen {
            found.retain(|index| if scan.newest_first { *index >= seen } else { *index <= seen });
        }
        Ok((found, seen))
    }
}

fn advance(range: &mut ShardRange, past: u64, newest_first: bool) {
    if newest_first {
        range.end = range.end.min(past);
    } else {
        range.start = range.start.max(past + 1);
    }
}

/// The index ranges that together hold every candidate of a filter.
struct Streams {
    prefixes: Vec<(Table, Vec<u8>)>,
    /// Codes of the types that pass.
    kinds: Vec<u8>,
    decision: Option<u8>,
}

impl<K: Kv> KvStore<K> {
    fn streams(&self, filter: &Filter) -> Result<Streams> {
        let decision = filter.decision.as_ref().map(|word| keys::decision_code(Some(word)));
        let prefixes = match (&filter.parent, &filter.organization, &filter.agent) {
            (Some(parent), Some(organization), _) => vec![by_parent(parent, organization)],
            (Some(parent), None, _) => self.by_parent_everywhere(parent)?,
            (None, Some(organization), Some(agent)) => {
                vec![(Table::ByAgent, keys::agent(organization, agent).concat())]
            }
            (None, Some(organization), None) => {
                let kinds = filter.kinds();
                let decisions =
                    (0..keys::DECISION_CODES).filter(|code| decision.is_none_or(|want| want == *code));
                let class = |(kind, code)| {
                    let name = organization.as_str().as_bytes();
                    (Table::ByClass, [name, &keys::class(kind, code)].concat())
                };
                kinds.flat_map(|kind| decisions.clone().map(move |code| (kind, code))).map(class).collect()
            }
            // Across organizations the log itself is the index.
            (None, None, _) => vec![(Table::Entries, Vec::new())],
        };
        Ok(Streams { prefixes, kinds: filter.kinds().map(keys::kind_code).collect(), decision })
    }

    /// The streams of all organizations that have records with this parent: few, as ids are random.
    fn by_parent_everywhere(&self, parent: &Uuid) -> Result<Vec<(Table, Vec<u8>)>> {
        let (mut from, to) = (parent.as_bytes().to_vec(), [parent.as_bytes(), &[0xFF][..]].concat());
        let mut streams = Vec::new();
        while let [(key, _)] = self.kv.range(Table::ByParent, &from, &to, false, 1)?.as_slice() {
            // The place and the zero in front of it close the organization.
            let organization = organization_in(key, key.len().saturating_sub(13))?;
            let (table, prefix) = by_parent(parent, &organization);
            from = [&prefix[..], &[0xFF; 13]].concat();
            streams.push((table, prefix));
        }
        Ok(streams)
    }
}

fn by_parent(parent: &Uuid, organization: &OrganizationId) -> (Table, Vec<u8>) {
    (Table::ByParent, keys::parent(parent, organization).concat())
}

/// The organization that stands behind the id in a key, up to `end`.
fn organization_in(key: &[u8], end: usize) -> Result<OrganizationId> {
    let name = key.get(16..end).and_then(|bytes| std::str::from_utf8(bytes).ok());
    name.ok_or_else(|| Error::new(ErrorKind::Corrupt, "an index of ids is damaged"))
        .and_then(OrganizationId::recorded)
}

impl Streams {
    fn accepts(&self, kind: u8, decision: u8) -> bool {
        self.kinds.contains(&kind) && self.decision.is_none_or(|wanted| wanted == decision)
    }
}

fn missing_hashes(range: &HashRange) -> Error {
    let end = range.start.saturating_add(range.count);
    let issue =
        format!("tree hashes {}..{end} of level {} are missing or misplaced", range.start, range.level);
    Error::new(ErrorKind::Corrupt, issue).with("level", range.level).with("index", range.start)
}

fn split_payload(value: &[u8]) -> Result<Payload> {
    match value.split_first_chunk::<32>() {
        Some((salt, bytes)) => Ok(Payload { salt: *salt, bytes: bytes.to_vec() }),
        None => Err(Error::new(ErrorKind::Corrupt, "a stored payload is shorter than its salt")),
    }
}
