//! The deployment's own document: its name, the keys that its shards are signed with, and the eras of its log. An engine
//! of another deployment, or with another key, must not write into the store.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::{VerifierKey, VerifierKeys};
use crate::storage::{Document, DocumentKey, Shard, Store};

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deployment {
    name: String,
    /// The raw Ed25519 key of the shards that come last, as 64 hexadecimal digits.
    public_key: String,
    /// The keys that were rotated out, in the order of their shards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier_keys: Vec<EarlierKey>,
    /// The times to which the log was set back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    set_back: Vec<SetBack>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EarlierKey {
    public_key: String,
    /// The first shard that it does not sign any more.
    before: Shard,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetBack {
    /// The first shard of the era.
    from_shard: Shard,
    /// The time that the log had come to.
    from: Timestamp,
    to: Timestamp,
}

/// The keys of the shards as a store has them; `None` if it is new. They are as trustworthy as the store is.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if they cannot be read; those of the store.
pub async fn deployment_keys(store: &dyn Store) -> Result<Option<VerifierKeys>> {
    Deployment::read(store).await?.map(|(deployment, _)| deployment.keys()).transpose()
}

impl Deployment {
    /// A deployment that begins.
    pub(crate) fn new(name: &str, public_key: &[u8; 32]) -> Self {
        let (earlier_keys, set_back) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), public_key: hex::encode(public_key), earlier_keys, set_back }
    }

    /// The deployment that a store belongs to, and its document; `None` if the store is new.
    pub(crate) async fn read(store: &dyn Store) -> Result<Option<(Self, Document)>> {
        let Some(document) = store.document(&DocumentKey::deployment()).await? else { return Ok(None) };
        let deployment = serde_json::from_str(&document.body).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the stored deployment cannot be read").caused_by(error)
        })?;
        Ok(Some((deployment, document)))
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the deployment cannot be stored").caused_by(error)
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Refuses an engine of another deployment, or with another key than the one that signs now.
    ///
    /// # Errors
    /// [`ErrorKind::Key`].
    pub(crate) fn check(&self, name: &str, public_key: &[u8; 32]) -> Result<()> {
        if self.name != name {
            let issue = format!("the store belongs to the deployment {}, not {name}", self.name);
            return Err(Error::new(ErrorKind::Key, issue).with("field", "deployment"));
        }
        let given = hex::encode(public_key);
        if self.public_key == given {
            return Ok(());
        }
        let issue = if self.earlier_keys.iter().any(|key| key.public_key == given) {
            format!(
                "the key {given} of the deployment {name} was rotated out; it signs with {} now",
                self.public_key
            )
        } else {
            format!(
                "the deployment {name} signs with the key {}, and this engine was given {given}",
                self.public_key
            )
        };
        Err(Error::new(ErrorKind::Key, issue).with("field", "signer"))
    }

    /// The keys of its shards.
    pub(crate) fn keys(&self) -> Result<VerifierKeys> {
        let mut from = 0;
        let mut keys = Vec::with_capacity(self.earlier_keys.len() + 1);
        for EarlierKey { public_key, before } in &self.earlier_keys {
            keys.push(verifier_key(&self.name, from, public_key)?);
            from = *before;
        }
        keys.push(verifier_key(&self.name, from, &self.public_key)?);
        VerifierKeys::new(keys)
    }

    /// The deployment with another key, which signs the shards from `from` on.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] if the key is, or was, the deployment's.
    pub(crate) fn with_key(&self, public_key: &[u8; 32], from: Shard) -> Result<Self> {
        let given = hex::encode(public_key);
        let used = self.earlier_keys.iter().map(|key| &key.public_key).chain([&self.public_key]);
        if used.into_iter().any(|used| *used == given) {
            let issue = format!("the key {given} is, or was, the deployment's own; rotate to a new one");
            return Err(Error::new(ErrorKind::Key, issue).with("field", "signer"));
        }
        let mut next = self.clone();
        let public_key = std::mem::replace(&mut next.public_key, given);
        next.earlier_keys.push(EarlierKey { public_key, before: from });
        Ok(next)
    }

    /// The deployment whose log was set back.
    pub(crate) fn with_set_back(&self, from_shard: Shard, from: Timestamp, to: Timestamp) -> Self {
        let mut next = self.clone();
        next.set_back.push(SetBack { from_shard, from, to });
        next
    }
}

fn verifier_key(deployment: &str, shard: Shard, public_key: &str) -> Result<VerifierKey> {
    let mut raw = [0; 32];
    hex::decode_to_slice(public_key, &mut raw).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "a key of the stored deployment cannot be read").caused_by(error)
    })?;
    VerifierKey::new(&format!("{deployment}/prov/{shard}"), &raw)
}
