//! Exporting a log as files: a C2SP tlog-tiles folder that other people's tools read, and JSON Lines for everyone.
//!
//! ```text
//! checkpoint              the signed checkpoint
//! verifier.key            the key that verifies it
//! tile/<level>/<index>    tree hashes
//! tile/entries/<index>    entries
//! records.jsonl           entries with their payloads and salts
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, from_io};
use crate::provenance::{
    Hash, HashRange, Payload, TILE_WIDTH, VerifierKey, entry_bundle_path, hash_tile_path, push_bundled,
    split_bundle,
};
use crate::storage::{Shard, Store, StoredRecord};

const RECORDS: &str = "records.jsonl";

/// The size of an export that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Number of entries.
    pub entries: u64,
    /// Number of files.
    pub files: u64,
}

/// Writes the log as it stands into `folder`, which must be empty or new.
///
/// Entries that are committed meanwhile are not part of it. The folder contains payloads: it is for fleet auditors.
pub async fn export(
    store: &dyn Store,
    shard: Shard,
    key: &VerifierKey,
    folder: &Path,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Exported> {
    let head = store.head(shard).await?;
    if head.size == 0 {
        return Err(Error::new(ErrorKind::NotFound, "the log is empty; there is nothing to export"));
    }
    let mut files = Files::create(folder)?;
    let mut lines = files.open(RECORDS)?;
    for tile in 0..head.size.div_ceil(TILE_WIDTH) {
        let start = tile * TILE_WIDTH;
        let width = TILE_WIDTH.min(head.size - start);
        let records = store.records(shard, start, width as usize).await?;
        let mut bundle = Vec::new();
        for (index, record) in (start..).zip(&records) {
            if record.index != index || !push_bundled(&mut bundle, &record.bytes) {
                return Err(damaged(index));
            }
            let line = serde_json::to_string(&ExportedLine::of(record)?).map_err(|_| damaged(index))?;
            writeln!(lines, "{line}").map_err(|error| from_io(error, RECORDS))?;
        }
        if records.len() as u64 != width {
            return Err(damaged(start + records.len() as u64));
        }
        files.write(&entry_bundle_path(tile, width), &bundle)?;
        progress(start + width, head.size);
    }
    lines.into_inner().map_err(|error| from_io(error.into_error(), RECORDS))?;
    let mut level = 0u8;
    let mut row = head.size;
    while row > 0 {
        for tile in 0..row.div_ceil(TILE_WIDTH) {
            let start = tile * TILE_WIDTH;
            let count = TILE_WIDTH.min(row - start);
            let hashes = store.hashes(shard, &[HashRange { level, start, count }]).await?;
            let bytes: Vec<u8> = hashes.iter().flatten().flat_map(|hash| *hash.as_bytes()).collect();
            files.write(&hash_tile_path(level, tile, count), &bytes)?;
        }
        level += 1;
        row /= TILE_WIDTH;
    }
    files.write("verifier.key", format!("{key}\n").as_bytes())?;
    // The checkpoint is written last: a folder with a checkpoint is complete.
    files.write("checkpoint", head.note.as_bytes())?;
    Ok(Exported { entries: head.size, files: files.written })
}

fn damaged(index: u64) -> Error {
    Error::new(ErrorKind::Corrupt, format!("entry {index} is missing or damaged; check the log"))
        .with("index", index)
}

struct Files<'a> {
    folder: &'a Path,
    written: u64,
}

/// Makes a folder that only its owner reads, as an export holds payloads; one that is there already stays as it is.
fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

impl<'a> Files<'a> {
    fn create(folder: &'a Path) -> Result<Self> {
        create_private(folder).map_err(|error| from_io(error, folder.display()))?;
        let mut inside = fs::read_dir(folder).map_err(|error| from_io(error, folder.display()))?;
        if inside.next().is_some() {
            let issue =
                format!("{} is not empty; an export needs an empty or a new folder", folder.display());
            return Err(Error::new(ErrorKind::Conflict, issue));
        }
        Ok(Self { folder, written: 0 })
    }

    fn open(&mut self, name: &str) -> Result<BufWriter<fs::File>> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| from_io(error, parent.display()))?;
        }
        self.written += 1;
        let file = fs::File::create(&path).map_err(|error| from_io(error, path.display()))?;
        Ok(BufWriter::new(file))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.open(name)?;
        file.write_all(bytes).and_then(|()| file.flush()).map_err(|error| from_io(error, name))
    }
}

/// The lines of `records.jsonl`.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The first line of each index.
    pub(super) first: HashMap<u64, ExportedLine>,
    /// The indexes that have more than one.
    pub(super) repeated: Vec<u64>,
}

/// A line of `records.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExportedLine {
    index: u64,
    leaf: String,
    /// The entry's exact bytes, as a JSON string.
    entry: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    /// The payload's exact bytes, as a JSON string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

impl ExportedLine {
    fn of(record: &StoredRecord) -> Result<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| damaged(record.index));
        Ok(Self {
            index: record.index,
            leaf: Hash::leaf(&record.bytes).to_string(),
            entry: text(&record.bytes)?,
            salt: record.payload.as_ref().map(|payload| hex::encode(payload.salt)),
            payload: record.payload.as_ref().map(|payload| text(&payload.bytes)).transpose()?,
        })
    }

    /// Whether the line tells of exactly this entry.
    pub(super) fn is_of(&self, entry: &[u8]) -> bool {
        self.entry.as_bytes() == entry && self.leaf == Hash::leaf(entry).to_string()
    }

    pub(super) fn payload(&self) -> Option<Payload> {
        let mut salt = [0u8; 32];
        hex::decode_to_slice(self.salt.as_ref()?, &mut salt).ok()?;
        Some(Payload { salt, bytes: self.payload.clone()?.into_bytes() })
    }

    /// Reads all lines; `None` if the folder has no such file.
    pub(super) fn read_all(folder: &Path) -> Result<Option<Lines>> {
        let path = folder.join(RECORDS);
        if !path.exists() {
            return Ok(None);
        }
        let file = fs::File::open(&path).map_err(|error| from_io(error, path.display()))?;
        let mut lines = Lines::default();
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| from_io(error, path.display()))?;
            let parsed: Self = serde_json::from_str(&line).map_err(|error| {
                Error::new(ErrorKind::Corrupt, format!("{} line {}: {error}", path.display(), number + 1))
            })?;
            match lines.first.entry(parsed.index) {
                Entry::Vacant(free) => drop(free.insert(parsed)),
                Entry::Occupied(_) => lines.repeated.push(parsed.index),
            }
        }
        Ok(Some(lines))
    }
}

/// The entries of a bundle; empty if the file is missing or cut off.
pub(super) fn entry_bundles(folder: &Path, tile: u64, width: u64) -> Result<Vec<Vec<u8>>> {
    let bytes = read_optional(&folder.join(entry_bundle_path(tile, width)))?.unwrap_or_default();
    Ok(split_bundle(&bytes).unwrap_or_default().into_iter().map(<[u8]>::to_vec).collect())
}

/// The hashes of a tile; `None` if the file is missing or has another size.
pub(super) fn read_hash_tile(folder: &Path, level: u8, tile: u64, width: u64) -> Result<Option<Vec<Hash>>> {
    let Some(bytes) = read_optional(&folder.join(hash_tile_path(level, tile, width)))? else {
        return Ok(None);
    };
    let (chunks, rest) = bytes.as_chunks::<32>();
    let whole = rest.is_empty() && chunks.len() as u64 == width;
    Ok(whole.then(|| chunks.iter().map(|chunk| Hash::from_bytes(*chunk)).collect()))
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(from_io(error, path.display())),
    }
}
