//! The high-water mark: size and root of the log at its last commit, remembered outside the database.
//!
//! A database that loses the end of its journal to a damaged disk opens as if the lost commits had never been. Each
//! commit therefore leaves its size and root here, in one of two sectors in turn, and a claim compares. The file is not
//! synced with every commit: a killed process loses nothing of it, and after a power cut it may be some seconds
//! behind, which weakens the check for those seconds and never refuses a sound store.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::files;
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::provenance::Hash;
use crate::storage::kv::HighWaterMark;

/// The number of bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// The file of the high-water mark. The lock keeps a seek and the read or write after it together.
pub(super) struct HighWaterMarkFile(Mutex<File>);

impl HighWaterMarkFile {
    /// Opens the file; makes it in a store that is being made.
    pub(super) fn open(path: &Path, new: bool) -> Result<Self> {
        if new {
            files::write_durably(path, &[0; 2 * SECTOR], 0o644)?;
        }
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Ok(Self(Mutex::new(file))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(damaged(
                "the high-water mark is missing; without it nobody can tell whether the log lost its end",
            )),
            Err(error) => Err(from_io(error, path.display())),
        }
    }

    /// The later of the two sectors that can be read; `None` before the first commit.
    pub(super) fn read(&self) -> Result<Option<HighWaterMark>> {
        let mut bytes = Vec::with_capacity(2 * SECTOR);
        let mut file = self.0.lock();
        let read =
            file.seek(SeekFrom::Start(0)).and_then(|_| (&mut *file).take(4096).read_to_end(&mut bytes));
        read.map_err(|error| from_io(error, "the high-water mark cannot be read"))?;
        let marks = bytes.chunks(SECTOR).filter_map(decode);
        match marks.max_by_key(|mark| (mark.shard, mark.size)) {
            Some(mark) => Ok(Some(mark)),
            None if bytes == [0; 2 * SECTOR] => Ok(None),
            None => Err(damaged("the high-water mark is damaged")),
        }
    }

    pub(super) fn write(&self, mark: &HighWaterMark, commits: u64) -> Result<()> {
        let sector = commits % 2 * SECTOR as u64;
        let mut file = self.0.lock();
        let written = file.seek(SeekFrom::Start(sector)).and_then(|_| file.write_all(&encode(mark)));
        written.map_err(|error| from_io(error, "the high-water mark cannot be written"))
    }
}

fn damaged(issue: &str) -> Error {
    Error::new(ErrorKind::Corrupt, issue)
}

/// `shard <decimal> size <decimal> root <hex> check <hex>` and a line feed, filled up with zeros.
fn encode(mark: &HighWaterMark) -> [u8; SECTOR] {
    let HighWaterMark { shard, size, root } = mark;
    let text = format!("shard {shard} size {size} root {}", hex::encode(root.as_bytes()));
    let line = format!("{text} check {}\n", check(&text));
    let mut sector = [0; SECTOR];
    sector.iter_mut().zip(line.bytes()).for_each(|(to, from)| *to = from);
    sector
}

fn decode(sector: &[u8]) -> Option<HighWaterMark> {
    let line = sector.split(|byte| *byte == b'\n').next()?;
    let (text, sum) = std::str::from_utf8(line).ok()?.split_once(" check ")?;
    let (shard, text_of_log) = text.strip_prefix("shard ")?.split_once(" size ")?;
    let (size, root) = text_of_log.split_once(" root ")?;
    let mut hash = [0; 32];
    hex::decode_to_slice(root, &mut hash).ok()?;
    let (shard, size) = (shard.parse().ok()?, size.parse().ok()?);
    (sum == check(text)).then_some(HighWaterMark { shard, size, root: Hash::from_bytes(hash) })
}

fn check(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()).get(..8).unwrap_or_default())
}
