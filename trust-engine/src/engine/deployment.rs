//! The deployment's own name and public key, as a document: an engine of another deployment, or with another key, must
//! not write into the store.

use serde::{Deserialize, Serialize};

use super::instance::Engine;
use super::state::NewVersion;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::Signer;
use crate::storage::{DocumentKey, DocumentKind, Store};

/// The name of a deployment and the key that its checkpoints are signed with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    name: String,
    /// The raw Ed25519 key as 64 hexadecimal digits.
    public_key: String,
}

fn key() -> DocumentKey {
    let organization = OrganizationId::default();
    DocumentKey { kind: DocumentKind::Deployment, organization, id: "deployment".into() }
}

impl Identity {
    pub(super) fn new(name: &str, signer: &dyn Signer) -> Self {
        Self { name: name.to_owned(), public_key: hex::encode(signer.public_key()) }
    }

    /// Compares with the identity that the store has; gives whether it has one.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] if it is another.
    pub(super) async fn check(&self, store: &dyn Store) -> Result<bool> {
        let Some(document) = store.document(&key()).await? else { return Ok(false) };
        let stored: Self = serde_json::from_str(&document.body).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the stored deployment cannot be read").caused_by(error)
        })?;
        if stored.name != self.name {
            let issue = format!("the store belongs to the deployment {}, not {}", stored.name, self.name);
            return Err(Error::new(ErrorKind::Key, issue).with("field", "deployment"));
        }
        if stored.public_key != self.public_key {
            let issue = format!(
                "the deployment {} signs with the key {}, and this engine was given {}",
                stored.name, stored.public_key, self.public_key
            );
            return Err(Error::new(ErrorKind::Key, issue).with("field", "signer"));
        }
        Ok(true)
    }
}

/// Writes the identity into a store that has none.
pub(super) async fn record(engine: &Engine, identity: Identity) -> Result<()> {
    let store = &*engine.0.store;
    if identity.check(store).await? {
        return Ok(());
    }
    let body = serde_json::to_string(&identity).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the deployment cannot be stored").caused_by(error)
    })?;
    let version = NewVersion { body, tags: Vec::new(), due: None };
    match engine.change_state(key(), None, Some(version), None).await {
        // Another engine that opened at the same time was first; it must be of the same deployment.
        Err(error) if error.kind() == ErrorKind::Conflict => identity.check(store).await.map(drop),
        recorded => recorded.map(drop),
    }
}
