//! The embedded store: one folder, pure Rust, every index in the same durable batch as its record.
//!
//! ```text
//! FORMAT         format of the folder; written last when a store is made, so a folder without it is unfinished
//! LOCK           locked while the store is open
//! signing.key    the log's private key, mode 0600 (absent where the host brings its own signer)
//! verifier.key   the log's public keys, one a line: more than one once the key was rotated
//! signing-next.key   the key that a rotation is about to bring
//! READ-ONLY      in a backup, and in a store that was copied elsewhere: no engine writes it
//! control        a socket, by which a command asks for a backup (on Unix, while the store is open)
//! MARK           size and root of the last commit, to notice a database that lost its end
//! db/            the tables, kept by fjall
//! ```

mod backup;
#[cfg(unix)]
mod control;
mod files;
mod high_water_mark;
pub(crate) mod key_file;
mod kv;
mod layout;
mod manifest;
mod overflow;
mod tables;

pub use backup::backup_embedded;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::kv::{KvCounters, KvStore};
use super::{CounterStore, Store};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, from_io};

const FORMAT: &str = "FORMAT";
const LOCK: &str = "LOCK";
const MARK: &str = "MARK";
const DATABASE: &str = "db";
const SOCKET: &str = "control";
/// Says why a store is only to be read: it is a backup, or it went on elsewhere.
const UNWRITABLE: &str = "READ-ONLY";
const FORMAT_NAME: &str = "trust-engine store";
const FORMAT_VERSION: u32 = 3;

/// Opens the store in `folder`, or makes one if the folder is empty or not there.
///
/// # Errors
/// [`ErrorKind::Locked`] if it is open elsewhere, [`ErrorKind::Foreign`] if the folder holds something else,
/// [`ErrorKind::Unsupported`] if a newer version wrote it, [`ErrorKind::Corrupt`], [`ErrorKind::PermissionDenied`],
/// [`ErrorKind::NoSpace`].
pub fn embedded(folder: &Path) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(KvStore::new(open(folder)?)))
}

/// As [`embedded`], with the counters of ceilings, which are kept in the same database.
///
/// # Errors
/// Those of [`embedded`].
pub fn embedded_with_counters(
    folder: &Path,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<dyn Store>, Arc<dyn CounterStore>)> {
    let tables = open(folder)?;
    let counters = KvCounters::open(Arc::clone(&tables), clock)?;
    Ok((Arc::new(KvStore::new(tables)), Arc::new(counters)))
}

fn open(folder: &Path) -> Result<Arc<tables::Tables>> {
    let at = |error: Error| error.with("folder", folder.display());
    if folder.is_file() {
        return Err(at(Error::new(
            ErrorKind::Foreign,
            format!("{} is a file, not a folder", folder.display()),
        )));
    }
    // The host may change its working directory while the store is open.
    let folder = &std::path::absolute(folder).map_err(|error| at(from_io(error, folder.display())))?;
    if !folder.is_dir() {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(|error| at(from_io(error, parent.display())))?;
        }
        match files::create_private(folder) {
            // Another process was faster.
            Err(_) if folder.is_dir() => {}
            made => made.map_err(at)?,
        }
    }
    // Before anything is written into a folder that holds something else.
    check_format(folder).map_err(at)?;
    let lock = files::lock(&folder.join(LOCK)).map_err(at)?;
    // Another process may have finished the store between the first look and the lock.
    let begun = check_format(folder).map_err(at)?;
    if !begun {
        // The process that began the store ended before the store was finished. So nothing in it was ever acknowledged,
        // and the database is discarded: fjall does not go on with a half-made one.
        discard(&folder.join(DATABASE)).map_err(at)?;
    }
    let mark = high_water_mark::HighWaterMarkFile::open(&folder.join(MARK), !begun).map_err(at)?;
    let tables = Arc::new(tables::Tables::open(&folder.join(DATABASE), mark, lock).map_err(at)?);
    if !begun {
        let format = format!("{FORMAT_NAME}\nformat {FORMAT_VERSION}\n");
        files::write_durably(&folder.join(FORMAT), format.as_bytes(), 0o644).map_err(at)?;
    }
    #[cfg(unix)]
    tables.keep(control::Control::start(folder, Arc::downgrade(&tables)));
    Ok(tables)
}

/// Whether `folder` holds a store.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a store of a newer format; the file system's.
pub fn is_embedded_store(folder: &Path) -> Result<bool> {
    match check_format(folder) {
        Err(error) if error.kind() == ErrorKind::Foreign => Ok(false),
        other => other,
    }
}

/// Marks a store, durably, as one that no engine writes any more, because of `reason`.
///
/// # Errors
/// Those of the file system.
pub fn retire_embedded(folder: &Path, reason: &str) -> Result<()> {
    files::write_durably(&folder.join(UNWRITABLE), format!("{reason}\n").as_bytes(), 0o644)
}

fn discard(database: &Path) -> Result<()> {
    match fs::remove_dir_all(database) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(from_io(error, database.display())),
        _ => files::create_private(database),
    }
}

/// Whether the folder is a finished store; `false` if it is empty or unfinished.
fn check_format(folder: &Path) -> Result<bool> {
    let foreign = |issue: String| Error::new(ErrorKind::Foreign, issue);
    match fs::read_to_string(folder.join(FORMAT)) {
        Ok(format) => {
            let mut lines = format.lines();
            let version = match (lines.next(), lines.next().and_then(|line| line.strip_prefix("format "))) {
                (Some(FORMAT_NAME), Some(version)) => version.parse::<u32>().ok(),
                _ => None,
            };
            match version {
                Some(FORMAT_VERSION) => Ok(true),
                Some(older) if older < FORMAT_VERSION => Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "the store has format {older}, which no release had; this version reads format {FORMAT_VERSION}"
                    ),
                )),
                Some(newer) if newer > FORMAT_VERSION => Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "the store has format {newer}; this version reads formats up to {FORMAT_VERSION}"
                    ),
                )),
                _ => {
                    Err(foreign(format!("{} does not name a store's format", folder.join(FORMAT).display())))
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let inside = match fs::read_dir(folder) {
                Ok(inside) => inside,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(from_io(error, folder.display())),
            };
            for file in inside {
                let name = file.map_err(|error| from_io(error, folder.display()))?.file_name();
                let name = name.to_string_lossy();
                if name == UNWRITABLE {
                    let issue =
                        format!("{} holds a backup that was not finished; remove it", folder.display());
                    return Err(foreign(issue));
                }
                let ours = [LOCK, MARK, DATABASE, SOCKET, key_file::PRIVATE, key_file::PUBLIC, "lost+found"];
                if !ours.contains(&&*name) && !name.ends_with(files::UNFINISHED) {
                    let issue = format!("{} holds {name}, which is not part of a store", folder.display());
                    return Err(foreign(issue));
                }
            }
            Ok(false)
        }
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(foreign(format!("{} does not name a store's format", folder.join(FORMAT).display())))
        }
        Err(error) => Err(from_io(error, folder.join(FORMAT).display())),
    }
}
