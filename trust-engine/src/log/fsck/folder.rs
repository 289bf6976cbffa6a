//! The check of an exported folder: it feeds the checker from files.

use std::collections::HashMap;
use std::path::Path;

use super::checker::Checker;
use super::report::{Damage, Report};
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::log::export::{ExportedLine, entry_bundles, read_hash_tile};
use crate::provenance::{SignedCheckpoint, TILE_WIDTH, VerifierKey};

/// Checks an exported folder (C2SP tlog-tiles): entries, hash tiles, the checkpoint, and payloads where
/// `records.jsonl` has them.
///
/// # Errors
/// Only when the folder cannot be read or has no checkpoint; damage is in the report.
pub fn check_export(folder: &Path, key: &VerifierKey, since: Option<&SignedCheckpoint>) -> Result<Report> {
    let path = folder.join("checkpoint");
    let note = std::fs::read_to_string(&path).map_err(|error| from_io(error, path.display()))?;
    let signed = SignedCheckpoint::parse(&note)
        .map_err(|issue| Error::new(ErrorKind::Corrupt, format!("{}: {issue}", path.display())))?;
    let mut checker = Checker::new(key);
    if !signed.is_signed_by(key) || signed.checkpoint.origin != key.name() {
        // Nothing that the checkpoint says can be believed, not even the length of the log.
        checker.find(0, Damage::SignatureInvalid, "the checkpoint was not signed by this log's key");
        return Ok(checker.finish());
    }
    let size = signed.checkpoint.size;
    let since = checker.since(since, size);
    let (mut lines, repeated) = match ExportedLine::read_all(folder)? {
        Some(lines) => (Some(lines.first), lines.repeated),
        None => (None, Vec::new()),
    };
    for index in repeated {
        checker.find(index, Damage::Unsigned, "records.jsonl has more than one line for it");
    }
    for tile in 0..size.div_ceil(TILE_WIDTH) {
        let start = tile * TILE_WIDTH;
        let width = TILE_WIDTH.min(size - start);
        let leaves = read_hash_tile(folder, 0, tile, width)?;
        if leaves.is_none() {
            checker.find(start, Damage::HashChanged, format!("tile {tile} of level 0 is missing or cut off"));
        }
        let bundle = entry_bundles(folder, tile, width)?;
        if bundle.len() as u64 > width {
            checker.find(start + width, Damage::Unsigned, "its bundle has entries that no checkpoint covers");
        }
        for (index, place) in (start..start + width).zip(0usize..) {
            let stored = leaves.as_ref().and_then(|leaves| leaves.get(place)).copied();
            match bundle.get(place) {
                Some(entry) => {
                    let elsewhere = |leaf| {
                        let at = leaves.as_ref()?.iter().position(|other| *other == leaf)?;
                        Some(start + at as u64).filter(|home| *home != index)
                    };
                    let decoded = checker.entry(entry, stored, elsewhere);
                    if let Some(lines) = &mut lines {
                        match lines.remove(&index) {
                            Some(line) if line.is_of(entry) => {
                                if let Some(decoded) = &decoded {
                                    checker.payload(decoded, line.payload().as_ref());
                                }
                            }
                            Some(_) => {
                                checker.find(
                                    index,
                                    Damage::EntryChanged,
                                    "records.jsonl has another entry or leaf here",
                                );
                            }
                            None => checker.find(
                                index,
                                Damage::PayloadMissing,
                                "records.jsonl has no line for it",
                            ),
                        }
                    }
                }
                None => checker.missing(stored),
            }
            for (level, at, hash) in checker.completed().to_vec() {
                let width = TILE_WIDTH.min((size >> (8 * u32::from(level))) - at / TILE_WIDTH * TILE_WIDTH);
                let row = read_hash_tile(folder, level, at / TILE_WIDTH, width)?;
                let found = row.as_ref().and_then(|row| row.get((at % TILE_WIDTH) as usize));
                if found != Some(&hash) {
                    let detail = format!("hash {at} of level {level} is not that of its tile");
                    checker.find(at << (8 * u32::from(level)), Damage::HashChanged, detail);
                }
            }
            if let Some(since) = since.filter(|since| since.checkpoint.size == index + 1) {
                checker.remembered(since);
            }
        }
    }
    for index in lines.into_iter().flat_map(HashMap::into_keys) {
        checker.find(index, Damage::Unsigned, "records.jsonl has a line that the checkpoint does not cover");
    }
    checker.checkpoint(&note);
    Ok(checker.finish())
}
