//! The signing key beside the database.

use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::write_durably;
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::provenance::{Ed25519Signer, Signer as _, VerifierKey};

pub(super) const PRIVATE: &str = "signing.key";
pub(super) const PUBLIC: &str = "verifier.key";

pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(PRIVATE)
}

/// Reads the key; `None` if there is no file.
pub(crate) fn read(folder: &Path) -> Result<Option<Ed25519Signer>> {
    let path = path(folder);
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(from_io(error, path.display())),
    };
    if is_open_to_others(&path)? {
        let issue =
            format!("{} can be read by others; make it readable by its owner only (0600)", path.display());
        return Err(Error::new(ErrorKind::Key, issue));
    }
    Ed25519Signer::parse(&text).map(Some).map_err(|error| error.with("file", path.display()))
}

/// Stores a new key, and its public half beside it.
pub(crate) fn create(folder: &Path, signer: &Ed25519Signer, name: &str) -> Result<()> {
    let public = VerifierKey::new(name, &signer.public_key())?;
    write_durably(&folder.join(PUBLIC), format!("{public}\n").as_bytes(), 0o644)?;
    write_durably(&path(folder), signer.to_text(name)?.as_bytes(), 0o600)
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
