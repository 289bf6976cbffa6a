//! Backups of the embedded store, and the restoring of one.
//!
//! A backup is a store of its own, made from one snapshot of all tables while the store is in use. Restoring seals the
//! shard that the backup was writing: its log may have gone on after the backup, and nothing must ever be signed below a
//! checkpoint that was shown. So records after a restore come into a new shard.

use std::fs;
use std::path::Path;

use super::{DATABASE, FORMAT, FORMAT_NAME, FORMAT_VERSION, LOCK, MARK, files, high_water_mark, key_file};
use super::{is_embedded_store, open, tables};
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::storage::kv::KvStore;
use crate::storage::{Head, Shard};

/// In a backup that is not whole, so that no engine takes the folder for a store that was never finished.
const UNFINISHED: &str = "BACKUP";

/// Copies the tables, as one snapshot has them, into a new store in `to`.
pub(super) fn write(source: &tables::Tables, from: &Path, to: &Path) -> Result<()> {
    let at = |error: Error| error.with("folder", to.display());
    let occupied = || {
        Error::new(ErrorKind::Foreign, format!("{} is not empty; a backup needs a new folder", to.display()))
    };
    match fs::read_dir(to).map(|mut inside| inside.next().is_some()) {
        Ok(false) => {}
        Ok(true) => return Err(at(occupied())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            files::create_private(to).map_err(at)?
        }
        Err(error) => return Err(at(from_io(error, to.display()))),
    }
    files::write_durably(&to.join(UNFINISHED), b"", 0o644).map_err(at)?;
    let lock = files::lock(&to.join(LOCK)).map_err(at)?;
    files::create_private(&to.join(DATABASE)).map_err(at)?;
    let mark = high_water_mark::HighWaterMarkFile::open(&to.join(MARK), true).map_err(at)?;
    let copy = tables::Tables::open(&to.join(DATABASE), mark, lock).map_err(at)?;
    source.copy_into(&copy).map_err(at)?;
    let store = KvStore::new(std::sync::Arc::new(copy));
    store.set_mark().map_err(at)?;
    drop(store);
    for (name, mode) in [(key_file::PRIVATE, 0o600), (key_file::PUBLIC, 0o644)] {
        match fs::read(from.join(name)).map(zeroize::Zeroizing::new) {
            Ok(key) => files::write_durably(&to.join(name), &key, mode).map_err(at)?,
            // The host brings its own signer.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(from_io(error, from.join(name).display())),
        }
    }
    let format = format!("{FORMAT_NAME}\nformat {FORMAT_VERSION}\n");
    files::write_durably(&to.join(FORMAT), format.as_bytes(), 0o644).map_err(at)?;
    let unfinished = to.join(UNFINISHED);
    fs::remove_file(&unfinished).map_err(|error| at(from_io(error, unfinished.display())))
}

/// Copies the store in `from`, as it is now, into the new folder `to`. A store that another process has open is copied by
/// that process, while it goes on.
///
/// # Errors
/// [`ErrorKind::NotFound`] if `from` holds no store, [`ErrorKind::Foreign`] if `to` is not empty, [`ErrorKind::Locked`] if
/// the process that has it open cannot be asked, and those of [`embedded`](super::embedded).
pub fn backup_embedded(from: &Path, to: &Path) -> Result<()> {
    must_be_store(from)?;
    match open(from) {
        Ok(source) => write(&source, from, to),
        #[cfg(unix)]
        Err(error) if error.kind() == ErrorKind::Locked => super::control::ask(from, to),
        Err(error) => Err(error),
    }
}

fn must_be_store(folder: &Path) -> Result<()> {
    if is_embedded_store(folder)? {
        return Ok(());
    }
    let issue = format!("{} holds no store", folder.display());
    Err(Error::new(ErrorKind::NotFound, issue).with("folder", folder.display()))
}

/// Makes a store in the new folder `to` from the backup in `from`, which stays as it is, and lets it go on in the shard
/// `next`: a number that no earlier life of the log has used. Gives the heads of the restored log.
///
/// Verify the backup first, against the checkpoints that were kept.
///
/// # Errors
/// [`ErrorKind::NotFound`] if `from` holds no store, [`ErrorKind::Foreign`] if `to` is not empty, and those of
/// [`embedded`](super::embedded).
pub fn restore_embedded(from: &Path, to: &Path, next: Shard) -> Result<Vec<Head>> {
    must_be_store(from)?;
    let source = open(from)?;
    write(&source, from, to)?;
    KvStore::new(open(to)?).go_on_in(next)
}
