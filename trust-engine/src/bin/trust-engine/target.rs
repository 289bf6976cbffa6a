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
    /// The schema in PostgreSQL; trust_engine by default.
    #[cfg(feature = "postgres")]
    #[arg(long)]
    schema: Option<String>,
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
        let folder = Path::new(&self.store);
        // A URL, or settings as `host=db1,db2 dbname=trust`.
        let database = self.store.contains("://") || (self.store.contains('=') && !folder.exists());
        (!database).then_some(folder)
    }

    /// The folder, if the key lies beside its store.
    pub(crate) fn key_folder(&self) -> Option<&Path> {
        self.folder().filter(|folder| folder.join("signing.key").exists())
    }

    /// # Errors
    /// Also if there is no store: a command for operators makes none.
    pub(crate) fn options(&self) -> Result<Options, Failure> {
        let mut options = match self.folder() {
            Some(folder) => self.embedded(folder)?,
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

    fn embedded(&self, folder: &Path) -> Result<Options, Failure> {
        if !storage::is_embedded_store(folder)? {
            return Err(format!("{} holds no store", folder.display()).into());
        }
        if self.signing_key.is_some() && self.key_folder().is_some() {
            let issue = format!("the key lies in {}: leave --signing-key out", folder.display());
            return Err(issue.into());
        }
        #[cfg(feature = "postgres")]
        if self.schema.is_some() {
            return Err("--schema is for a database, and --store names a folder".into());
        }
        Ok(Options::embedded(folder))
    }

    #[cfg(feature = "postgres")]
    fn database(&self) -> Result<Options, Failure> {
        for (missing, name) in
            [(self.deployment.is_none(), "deployment"), (self.signing_key.is_none(), "signing-key")]
        {
            if missing {
                let issue =
                    format!("--{name} is missing; give the one that the engines of the database have");
                return Err(issue.into());
            }
        }
        let schema = self.schema.as_deref().unwrap_or("trust_engine");
        let database = storage::Postgres::new(&self.store).schema(schema);
        if !pollster::block_on(storage::is_postgres_store(&database))? {
            return Err(format!("the database has no store in the schema {schema}").into());
        }
        Ok(Options::postgres(database))
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
    if std::fs::metadata(file).map_err(at)?.is_dir() {
        return Err(format!("{} is a folder; a file with the key is needed", file.display()).into());
    }
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
