//! The signing key beside the database, and while it is rotated the next one.

use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::{remove_durably, sync_parent, write_durably};
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::provenance::{Ed25519Signer, Signer as _, VerifierKey, VerifierKeys};

pub(super) const PRIVATE: &str = "signing.key";
pub(super) const PUBLIC: &str = "verifier.key";
/// The key that a rotation was begun with.
pub(super) const NEXT: &str = "signing-next.key";

pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(PRIVATE)
}

/// Reads the key; `None` if there is no file.
pub(crate) fn read(folder: &Path) -> Result<Option<Ed25519Signer>> {
    let path = path(folder);
    let key = read_file(&path)?;
    if key.is_some() {
        must_be_private(&path)?;
    }
    Ok(key)
}

fn read_file(path: &Path) -> Result<Option<Ed25519Signer>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(from_io(error, path.display())),
    };
    Ed25519Signer::parse(&text).map(Some).map_err(|error| error.with("file", path.display()))
}

fn must_be_private(path: &Path) -> Result<()> {
    if !is_open_to_others(path)? {
        return Ok(());
    }
    let issue =
        format!("{} can be read by others; make it readable by its owner only (0600)", path.display());
    Err(Error::new(ErrorKind::Key, issue))
}

/// Stores a new key, and its public half beside it.
pub(crate) fn create(folder: &Path, signer: &Ed25519Signer, name: &str) -> Result<()> {
    let public = VerifierKey::new(name, &signer.public_key())?;
    write_durably(&folder.join(PUBLIC), format!("{public}\n").as_bytes(), 0o644)?;
    write_durably(&path(folder), signer.to_text(name)?.as_bytes(), 0o600)
}

/// Stores the key that a rotation is about to bring, so that it is not lost when the log says that it signs.
pub(crate) fn stage(folder: &Path, signer: &Ed25519Signer, name: &str) -> Result<()> {
    write_durably(&folder.join(NEXT), signer.to_text(name)?.as_bytes(), 0o600)
}

/// Ends a rotation that the log has recorded: the staged key takes the place of the one before it, which is gone then.
/// One that is staged and not the log's belongs to a rotation that was cut off, and stays as it is.
pub(crate) fn adopt(folder: &Path, keys: &VerifierKeys, current: &[u8; 32]) -> Result<()> {
    let next = folder.join(NEXT);
    if staged(folder) != Some(*current) {
        return Ok(());
    }
    must_be_private(&next)?;
    write_durably(&folder.join(PUBLIC), format!("{keys}\n").as_bytes(), 0o644)?;
    fs::rename(&next, path(folder)).map_err(|error| from_io(error, next.display()))?;
    sync_parent(&next)
}

/// The public half of the key that is staged, if there is one.
pub(crate) fn staged(folder: &Path) -> Option<[u8; 32]> {
    // A file that cannot be read holds no key that the log has.
    read_file(&folder.join(NEXT)).ok().flatten().map(|staged| staged.public_key())
}

/// Removes a key that was staged for a rotation that is refused.
pub(crate) fn unstage(folder: &Path) -> Result<()> {
    remove_durably(&folder.join(NEXT))
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).map_err(|error| from_io(error, path.display()))?;
    Ok(metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> Result<bool> {
    Ok(false)
}
