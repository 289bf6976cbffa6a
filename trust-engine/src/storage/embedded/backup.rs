//! Backups of the embedded store, and the restoring of one.
//!
//! A backup is made from one snapshot of all tables while the store is in use. It can be read, verified and exported, and
//! not written: the file `BACKUP` in it stands for that, so that nobody goes on in the shard that the store itself writes.
//! A restore takes the tables over into a new store and seals that shard: its log may have gone on after the backup, and
//! nothing must ever be signed below a checkpoint that was shown. So records after a restore come into a new shard.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{DATABASE, FORMAT, FORMAT_NAME, FORMAT_VERSION, LOCK, MARK, UNWRITABLE, files, high_water_mark};
use super::{is_embedded_store, key_file, open, tables};
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::provenance::Signer as _;
use crate::storage::DocumentKey;
use crate::storage::kv::{Kv as _, KvStore, check_mark};

/// What a copy of a store is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Purpose {
    /// To be kept.
    Backup,
    /// To go on in a shard that no other life of the log writes: this far above the next one.
    Restored(u32),
}

/// Copies the tables, as one snapshot has them, into the new folder `to`. After an error nothing of it is left there.
pub(super) fn write(source: &tables::Tables, to: &Path, purpose: Purpose) -> Result<()> {
    let at = |error: Error| error.with("folder", to.display());
    let made = claim_folder(to).map_err(at)?;
    // Without FORMAT behind it this file says that the folder is not whole. Whoever makes it has the folder.
    files::create_new(
        &to.join(UNWRITABLE),
        b"it is a backup, which `trust-engine restore` makes a store of\n",
    )
    .map_err(at)?;
    let written = fill(source, to, purpose).map_err(at);
    if written.is_err() {
        // What was there before stays: an empty folder.
        let _ = if made { fs::remove_dir_all(to) } else { empty(to) };
    }
    written
}

/// Makes the folder, or takes one that is empty; only its owner may look into it. Gives whether it was made.
fn claim_folder(to: &Path) -> Result<bool> {
    match fs::read_dir(to).map(|mut inside| inside.next().is_some()) {
        Ok(false) => files::make_private(to).map(|()| false),
        Ok(true) => {
            let issue = format!("{} is not empty; a backup needs a new folder", to.display());
            Err(Error::new(ErrorKind::Foreign, issue))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            files::create_private(to)?;
            files::sync_parent(to).map(|()| true)
        }
        Err(error) => Err(from_io(error, to.display())),
    }
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

fn fill(source: &tables::Tables, to: &Path, purpose: Purpose) -> Result<()> {
    let lock = files::lock(&to.join(LOCK))?;
    files::create_private(&to.join(DATABASE))?;
    let mark = high_water_mark::HighWaterMarkFile::open(&to.join(MARK), true)?;
    let copy = tables::Tables::open(&to.join(DATABASE), mark, lock)?;
    // The mark is read before the snapshot is taken, which can only be ahead of it.
    let acknowledged = source.high_water_mark()?;
    source.copy_into(&copy)?;
    let store = KvStore::new(Arc::new(copy));
    if let Some(acknowledged) = acknowledged {
        check_mark(&acknowledged, &store.read_head(acknowledged.shard)?)?;
    }
    store.set_mark()?;
    if let Purpose::Restored(above) = purpose {
        store.go_on_above(above)?;
    }
    for (name, mode) in [(key_file::PRIVATE, 0o600), (key_file::NEXT, 0o600), (key_file::PUBLIC, 0o644)] {
        let from = source.folder().join(name);
        match fs::read(&from).map(zeroize::Zeroizing::new) {
            Ok(key) => files::write_durably(&to.join(name), &key, mode)?,
            // The host brings its own signer.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(from_io(error, from.display())),
        }
    }
    check_key(&store, to)?;
    drop(store);
    let format = format!("{FORMAT_NAME}\nformat {FORMAT_VERSION}\n");
    if purpose == Purpose::Backup {
        return files::write_durably(&to.join(FORMAT), format.as_bytes(), 0o644);
    }
    files::write_durably(&to.join(FORMAT), format.as_bytes(), 0o644)?;
    files::remove_durably(&to.join(UNWRITABLE))
}

/// Checks that the key which lies beside a copy is the one that its log says: it may have been rotated between the two.
fn check_key(copy: &KvStore<tables::Tables>, to: &Path) -> Result<()> {
    let stored = copy.read_document(&DocumentKey::deployment())?;
    let (Some(own), Some(stored)) = (key_file::read(to)?, stored) else { return Ok(()) };
    let current = serde_json::from_str::<serde_json::Value>(&stored.body)
        .ok()
        .and_then(|deployment| deployment.get("publicKey")?.as_str().map(str::to_owned));
    let beside = [Some(own.public_key()), key_file::staged(to)];
    if current.is_none_or(|current| beside.into_iter().flatten().any(|key| hex::encode(key) == current)) {
        return Ok(());
    }
    let issue = "the key beside the store is not the one that its log says: it was rotated while the copy was made; make it again";
    Err(Error::new(ErrorKind::Conflict, issue))
}

/// Copies the store in `from`, as it is now, into the new folder `to`. A store that another process has open is copied by
/// that process, while it goes on.
///
/// # Errors
/// [`ErrorKind::NotFound`] if `from` holds no store, [`ErrorKind::Foreign`] if `to` is not empty, [`ErrorKind::Locked`] if
/// the process that has it open cannot be asked, and those of [`embedded`](super::embedded).
pub fn backup_embedded(from: &Path, to: &Path) -> Result<()> {
    if !is_embedded_store(from)? {
        let issue = format!("{} holds no store", from.display());
        return Err(Error::new(ErrorKind::NotFound, issue).with("folder", from.display()));
    }
    match open(from) {
        Ok(source) => write(&source, to, Purpose::Backup),
        #[cfg(unix)]
        Err(error) if error.kind() == ErrorKind::Locked => {
            super::control::ask(from, to)?;
            // The other process may see other folders than this one.
            if is_embedded_store(to).unwrap_or(false) {
                return Ok(());
            }
            let issue = format!(
                "the process that has the store open made the backup, and {} is not there: it sees other folders",
                to.display()
            );
            Err(Error::new(ErrorKind::NotFound, issue).with("folder", to.display()))
        }
        Err(error) => Err(error),
    }
}
