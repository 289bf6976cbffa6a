//! Small files that must be there whole or not at all.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result, from_io};

/// Ending of a file that is being written.
pub(super) const UNFINISHED: &str = ".unfinished";

/// Writes a file so that it survives a crash whole, or is not there.
pub(super) fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let unfinished = path.with_extension(UNFINISHED.trim_start_matches('.'));
    let attempt = || -> std::io::Result<()> {
        // One that an earlier attempt left, or that somebody else has put there to read what is written.
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        set_mode(&mut options, mode);
        let mut file = options.open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    attempt().map_err(|error| from_io(error, path.display()))
}

/// Makes a file, durably, which must not be there.
pub(super) fn create_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    let written = made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    match written {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let issue = format!("{} is there already: somebody else writes here", path.display());
            Err(Error::new(ErrorKind::Foreign, issue))
        }
        Err(error) => Err(from_io(error, path.display())),
    }
}

/// Removes a file so that it does not come back after a crash.
pub(super) fn remove_durably(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|error| from_io(error, path.display()))?;
    sync_parent(path)
}

/// Makes the entry of a file or folder durable in the folder that it is in.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    let synced = File::open(parent).and_then(|folder| folder.sync_all());
    synced.map_err(|error| from_io(error, parent.display()))
}

/// Keeps others out of a folder that is there.
pub(super) fn make_private(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
        std::fs::set_permissions(folder, private).map_err(|error| from_io(error, folder.display()))?;
    }
    let _ = folder;
    Ok(())
}

/// Makes a folder that only its owner can look into: payloads and their salts are in it.
pub(super) fn create_private(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| from_io(error, folder.display()))
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, mode: u32) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(mode);
}

#[cfg(not(unix))]
fn set_mode(_: &mut OpenOptions, _: u32) {}

/// Takes the lock that is held while a store is open; it goes with the process, however that ends.
pub(super) fn lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    set_mode(&mut options, 0o600);
    let file = options.open(path);
    let file = file.map_err(|error| from_io(error, path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let issue =
                "the store is open already, in this process or in another one; it has one engine at a time";
            Err(Error::new(ErrorKind::Locked, issue))
        }
        Err(TryLockError::Error(error)) => Err(from_io(error, path.display())),
    }
}
