//! The settings of a sequencer.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::{Clock, Entropy};
use crate::error::Result;
use crate::provenance::{Signer, VerifierKey};
use crate::storage::{Shard, Store};

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Logs are called `<deployment>/prov/<shard>`.
    pub(crate) deployment: Arc<str>,
    /// The shard to write; `None`: any that is free.
    pub(crate) shard: Option<Shard>,
    /// Names this engine to the others.
    pub(crate) owner: Uuid,
    /// How long an owner may be silent before others take its shard.
    pub(crate) patience: Duration,
    /// Submissions that may wait.
    pub(crate) queue: usize,
    /// Entries per commit.
    pub(crate) max_batch: usize,
    /// How long a batch waits for company.
    pub(crate) linger: Duration,
}

impl Settings {
    /// The key of a shard's log.
    pub(crate) fn key_of(&self, shard: Shard) -> Result<VerifierKey> {
        VerifierKey::new(&origin(&self.deployment, shard), &self.signer.public_key())
    }
}

/// The name of a shard's log.
pub(super) fn origin(deployment: &str, shard: Shard) -> String {
    format!("{deployment}/prov/{shard}")
}
