//! The rows of the log. Everything but the size of the batches follows from a record's index, so that
//! a reader can tell what a row must hold without having seen it written.

use std::io::Write as _;

use fastrand::Rng;

use crate::engine::{Fallible, Table};

const AGENTS: u64 = 10_000;
/// The milliseconds of the first record, and how many records share one.
const EPOCH_MS: u64 = 1_780_000_000_000;
const RECORDS_PER_MS: u64 = 20;
/// Leaf hashes are stored in runs that never cross a multiple of this.
const TILE: u64 = 256;
const ORG: &str = "acme";
const WORDS: [&str; 32] = [
    "account", "agent", "allow", "amount", "approve", "balance", "block", "budget", "city", "customer",
    "deliver", "email", "file", "forward", "invoice", "ledger", "limit", "message", "model", "notify",
    "order", "parcel", "policy", "query", "read", "refund", "report", "request", "review", "send", "status",
    "transfer",
];

/// The rows of one table in a batch, in one buffer.
#[derive(Default)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    widths: Vec<(usize, usize)>,
}

impl Rows {
    fn clear(&mut self) {
        self.bytes.clear();
        self.widths.clear();
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.widths.push((key.len(), value.len()));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.widths.iter().map_while(move |&(key, value)| {
            let (key, after) = rest.split_at_checked(key)?;
            let (value, after) = after.split_at_checked(value)?;
            rest = after;
            Some((key, value))
        })
    }
}

/// What one commit writes.
#[derive(Default)]
pub(crate) struct Batch {
    tables: [Rows; 10],
    len: u64,
}

impl Batch {
    /// The keys of the two statistics rows, which the engine must read, [`bump`] and write.
    pub(crate) const STATS: [&'static [u8]; 2] = [b"acme", b"acme\0day"];

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many rows the batch writes.
    pub(crate) fn rows(&self) -> usize {
        self.tables.iter().map(|rows| rows.widths.len()).sum::<usize>() + Self::STATS.len()
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = (Table, &Rows)> {
        Table::ALL.into_iter().zip(&self.tables)
    }

    /// Replaces the rows with those of `len` records, of which the first has the index `first`.
    pub(crate) fn fill(&mut self, first: u64, len: u64) -> Fallible<()> {
        self.tables.iter_mut().for_each(Rows::clear);
        self.len = len;
        let size = first + len;
        let [entries, payloads, hashes, ids, agents, classes, parents, times, checkpoints, meta] =
            &mut self.tables;
        let mut text = Vec::with_capacity(1024);
        for index in first..size {
            let key = index.to_be_bytes();
            entries.push(&key, entry(index, &mut text)?);
            payloads.push(&key, payload(index, &mut text)?);
            ids.push(&id(index), &key);
        }
        // The rows of a table that is not in the order of the records are sorted, which is what a
        // careful writer would do for a B-tree.
        let mut keys: Vec<Vec<u8>> = (first..size).map(agent_key).collect();
        keys.sort_unstable();
        keys.iter().for_each(|key| agents.push(key, b"ok"));
        keys = (first..size).map(class_key).collect();
        keys.sort_unstable();
        keys.iter().for_each(|key| classes.push(key, b""));
        keys = (first..size).filter_map(parent_key).collect();
        keys.sort_unstable();
        keys.iter().for_each(|key| parents.push(key, b""));

        let mut start = first;
        while start < size {
            let end = size.min((start / TILE + 1) * TILE);
            let run: Vec<u8> = (start..end).flat_map(leaf_hash).collect();
            hashes.push(&hash_key(0, start), &run);
            if end.is_multiple_of(TILE) {
                hashes.push(&hash_key(1, end / TILE - 1), &leaf_hash(!end));
            }
            start = end;
        }

        let micros = (EPOCH_MS + size / RECORDS_PER_MS) * 1000;
        times.push(&[micros.to_be_bytes(), size.to_be_bytes()].concat(), b"");
        checkpoints.push(&size.to_be_bytes(), &sized_row(size, 220));
        meta.push(b"head", &sized_row(size, 300));
        Ok(())
    }
}

/// A row that starts with the size of the log, and is filled with noise.
fn sized_row(size: u64, width: usize) -> Vec<u8> {
    let mut rng = Rng::with_seed(size);
    let mut row = size.to_be_bytes().to_vec();
    row.resize_with(width, || rng.u8(..));
    row
}

/// The number at the start of a row.
pub(crate) fn number(row: &[u8]) -> Option<u64> {
    row.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The new value of a statistics row after a batch of `len` records.
pub(crate) fn bump(old: Option<&[u8]>, len: u64) -> Vec<u8> {
    sized_row(old.and_then(number).unwrap_or(0) + len, 300)
}

fn seeded(index: u64, purpose: u64) -> Rng {
    Rng::with_seed(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose)
}

/// A UUIDv7: the milliseconds, then noise.
pub(crate) fn id(index: u64) -> [u8; 16] {
    let time = u128::from(EPOCH_MS + index / RECORDS_PER_MS) << 80;
    let noise = seeded(index, 1).u128(..) >> 48;
    let fixed = (0xf000 << 64) | (0b11 << 62);
    ((time | (noise & !fixed)) | (0x7000 << 64) | (0b10 << 62)).to_be_bytes()
}

/// Everything in an agents key but the index.
pub(crate) fn agent_prefix(agent: u64) -> Vec<u8> {
    format!("{ORG}\0agent-{agent:05}\0").into_bytes()
}

pub(crate) fn agent_key(index: u64) -> Vec<u8> {
    let mut key = agent_prefix(agent_of(index));
    key.extend_from_slice(&index.to_be_bytes());
    key
}

pub(crate) fn agent_of(index: u64) -> u64 {
    seeded(index, 2).u64(..AGENTS)
}

pub(crate) fn class_key(index: u64) -> Vec<u8> {
    let mut rng = seeded(index, 3);
    // The smaller of two draws makes the first types the common ones.
    let kind = rng.u8(..9).min(rng.u8(..9));
    let decision = match rng.u8(..100) {
        0..90 => 0,
        90..98 => 1,
        _ => 2,
    };
    [ORG.as_bytes(), &[0, kind, decision], &index.to_be_bytes()].concat()
}

/// One record in ten has a parent, which is any earlier record.
pub(crate) fn parent_key(index: u64) -> Option<Vec<u8>> {
    let mut rng = seeded(index, 4);
    let has_parent = index > 0 && rng.u8(..10) == 0;
    has_parent.then(|| [&id(rng.u64(..index))[..], &index.to_be_bytes()].concat())
}

pub(crate) fn hash_key(level: u8, start: u64) -> [u8; 9] {
    let mut key = [level; 9];
    if let Some(tail) = key.last_chunk_mut() {
        *tail = start.to_be_bytes();
    }
    key
}

fn leaf_hash(index: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    seeded(index, 5).fill(&mut hash);
    hash
}

/// About 420 bytes of text, of which about a half is noise.
pub(crate) fn entry(index: u64, text: &mut Vec<u8>) -> Fallible<&[u8]> {
    let mut rng = seeded(index, 6);
    text.clear();
    write!(
        text,
        "{{\"id\":\"{:032x}\",\"index\":{index},\"organization\":\"{ORG}\",\"agent\":\"agent-{:05}\",\
         \"type\":\"tool_call\",\"decision\":\"allow\",\"time\":{},\"policy\":\"payments-limit-{}\",\
         \"payload\":\"{:032x}{:032x}\",\"trace\":\"{:032x}\",\"action\":\"{}.{}\",\
         \"labels\":[\"env:production\",\"region:eu-west-{}\"],\"latency_us\":{},\"cost\":0.0{}}}",
        u128::from_be_bytes(id(index)),
        agent_of(index),
        EPOCH_MS + index / RECORDS_PER_MS,
        rng.u8(..20),
        rng.u128(..),
        rng.u128(..),
        rng.u128(..),
        word(&mut rng),
        word(&mut rng),
        rng.u8(1..4),
        rng.u32(..1_000_000),
        rng.u16(..),
    )?;
    Ok(text)
}

/// 32 bytes of noise and then text, together 900 bytes.
pub(crate) fn payload(index: u64, text: &mut Vec<u8>) -> Fallible<&[u8]> {
    let mut rng = seeded(index, 7);
    text.clear();
    text.resize(32, 0);
    rng.fill(text);
    write!(text, "{{\"model\":\"large-{}\",\"tokens\":{},\"input\":\"", rng.u8(..8), rng.u16(..))?;
    while text.len() < 898 {
        text.extend_from_slice(word(&mut rng).as_bytes());
        text.push(b' ');
    }
    text.truncate(898);
    text.extend_from_slice(b"\"}");
    Ok(text)
}

fn word(rng: &mut Rng) -> &'static str {
    WORDS.get(rng.usize(..WORDS.len())).copied().unwrap_or("none")
}
