//! A host's own followers of the log.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::instance::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Fold, OwnedFollower, Worker};
use crate::provenance::Source;
use crate::storage::check_follower;

/// A follower that runs on this engine, or waits for its turn. It stops when this is dropped or the engine is closed.
pub struct Following {
    worker: Arc<Worker>,
    failure: Arc<Mutex<Option<Error>>>,
}

/// In front of the names of hosts' followers, so that they never meet the engine's own.
const PREFIX: &str = "host.";

impl Engine {
    /// Folds the records of all shards, in their final order, into rows of the store, and records what follows from them.
    ///
    /// One engine of the deployment does the work at a time; when it is silent for
    /// [`takeover_after`](crate::Options::takeover_after), another engine that follows under the same name goes on. Each
    /// effect is recorded once, and each event folded into a row once, however often the work is cut off. Where engines
    /// share the log, an event is folded about a second after its commit.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name out of bounds; [`ErrorKind::Conflict`] if one of this name runs on this
    /// engine; [`ErrorKind::Closed`].
    pub fn follow(&self, fold: impl Fold) -> Result<Following> {
        let name = format!("{PREFIX}{}", fold.name());
        check_follower(&name).map_err(|error: Error| error.during("follow"))?;
        let mut workers = self.0.workers.lock();
        let Some(workers) = workers.as_mut() else {
            return Err(Error::new(ErrorKind::Closed, "the engine was closed").during("follow"));
        };
        // One that was told to stop may still run; the closing of the engine waits for it.
        workers.retain(|(_, worker)| !worker.has_ended());
        if workers.iter().any(|(running, worker)| *running == name && !worker.is_stopped()) {
            let issue = format!("a follower {} runs on this engine already", fold.name());
            return Err(Error::new(ErrorKind::Conflict, issue).during("follow"));
        }
        let follower = OwnedFollower {
            store: Arc::clone(&self.0.store),
            sequencer: Arc::clone(&self.0.sequencer),
            entropy: Arc::clone(&self.0.entropy),
            owner: self.0.owner,
            patience: self.0.patience,
            name: name.clone(),
            source: Source::Host,
            fold,
        };
        let failure = Arc::<Mutex<Option<Error>>>::default();
        let worker = Arc::new(follower.start(Arc::clone(&failure))?);
        workers.push((name, Arc::clone(&worker)));
        Ok(Following { worker, failure })
    }
}

impl Following {
    /// The error of the last round, `None` if it had none: the follower stands still meanwhile, and tries again.
    pub fn last_error(&self) -> Option<Error> {
        self.failure.lock().clone()
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Following")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.worker.stop();
    }
}
