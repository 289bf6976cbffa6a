//! The store that a command works on: an embedded one by its folder, or a deployment in PostgreSQL by its URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::{Options, storage};

use crate::Failure;

#[derive(Args)]
pub(crate) struct Target {
    /// Folder of the store, or URL of a PostgreSQL database.
    #[arg(long)]
    store: String,
    /// The schema in PostgreSQL.
    #[cfg(feature = "postgres")]
    #[arg(long, default_value = "trust_engine")]
    schema: String,
    /// Name of the deployment; a folder's store knows its own.
    #[arg(long)]
    deployment: Option<String>,
    /// File of the signing key that the engines use; a folder has its own beside the store.
    #[arg(long)]
    signing_key: Option<PathBuf>,
}

impl Target {
    /// The folder of an embedded store; `None` for a database.
    pub(crate) fn folder(&self) -> Option<&Path> {
        let url = ["postgres://", "postgresql://"].iter().any(|scheme| self.store.starts_with(scheme));
        (!url).then(|| Path::new(&self.store))
    }

    /// Whether the key lies beside the store.
    pub(crate) fn has_key_file(&self) -> bool {
        self.folder().is_some() && self.signing_key.is_none()
    }

    pub(crate) fn options(&self) -> Result<Options, Failure> {
        let mut options = match self.folder() {
            Some(folder) if !storage::is_embedded_store(folder)? => {
                return Err(format!("{} holds no store", folder.display()).into());
            }
            Some(folder) => Options::embedded(folder),
            None => self.database()?,
        };
        if let Some(name) = &self.deployment {
            options = options.deployment(name);
        }
        if let Some(file) = &self.signing_key {
            options = options.signer(Arc::new(read_key(file)?));
        }
        Ok(options)
    }

    #[cfg(feature = "postgres")]
    fn database(&self) -> Result<Options, Failure> {
        for (missing, name) in
            [(self.deployment.is_none(), "deployment"), (self.signing_key.is_none(), "signing-key")]
        {
            if missing {
                return Err(format!(
                    "--{name} is missing; give the one that the engines of the database have"
                )
                .into());
            }
        }
        Ok(Options::postgres(storage::Postgres::new(&self.store).schema(&self.schema)))
    }

    #[cfg(not(feature = "postgres"))]
    fn database(&self) -> Result<Options, Failure> {
        Err("this trust-engine was built without the feature postgres".into())
    }
}

/// Reads a key that only its owner can read: a seed of 32 bytes as hexadecimal digits or base64, or the form of
/// `signing.key`.
pub(crate) fn read_key(file: &Path) -> Result<Ed25519Signer, Failure> {
    let at = |error: std::io::Error| format!("{}: {error}", file.display());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if std::fs::metadata(file).map_err(at)?.permissions().mode() & 0o077 != 0 {
            return Err(format!("{} can be read by others; chmod 600 it", file.display()).into());
        }
    }
    let text = std::fs::read_to_string(file).map_err(at)?;
    let text = text.trim();
    let mut seed = [0; 32];
    if hex::decode_to_slice(text, &mut seed).is_ok() {
        return Ok(Ed25519Signer::from_seed(&seed));
    }
    if let Ok(Ok(seed)) = STANDARD.decode(text).map(<[u8; 32]>::try_from) {
        return Ok(Ed25519Signer::from_seed(&seed));
    }
    // Not a word of what is in it: it may be a key after all.
    Ed25519Signer::parse(text).map_err(|_| format!("{} holds no signing key", file.display()).into())
}
