//! The settings of a sequencer.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::{Clock, Entropy, Moment};
use crate::log::news::News;
use crate::provenance::{Signer, VerifierKeys};
use crate::storage::{Shard, Store};

impl Settings {
    /// The time by both clocks.
    pub(super) fn now(&self) -> Moment {
        Moment { wall: self.clock.now(), steady: self.clock.since_boot() }
    }
}

/// The settings of a sequencer.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) store: Arc<dyn Store>,
    /// Told of every commit.
    pub(crate) news: Arc<News>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The deployment's name: its logs are called `<deployment>/prov/<shard>`.
    pub(crate) deployment: Arc<str>,
    /// The keys of its shards; the last one is the signer's.
    pub(crate) keys: VerifierKeys,
    /// The shard to write; `None`: any that is free.
    pub(crate) shard: Option<Shard>,
    /// The id of this engine as the owner of a shard, by which the others know it.
    pub(crate) owner: Uuid,
    /// The time for which an owner may be silent before others take its shard.
    pub(crate) patience: Duration,
    /// Most submissions that may wait in the queue.
    pub(crate) queue: usize,
    /// Number of entries at which a batch is full.
    pub(crate) max_batch: usize,
    /// The time for which a batch waits for more submissions.
    pub(crate) linger: Duration,
    /// The time by which clocks may differ, or one may jump, without a warning.
    pub(crate) max_clock_jump: Duration,
}
