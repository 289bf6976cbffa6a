//! The log as it grows: the records that are committed from now on, in their final order over all shards.

use super::instance::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::log::{Position, Query, ordered_page};
use crate::provenance::Record;

/// A place in the log that moves on as records are read.
pub(crate) struct Followed {
    engine: Engine,
    position: Position,
}

impl Engine {
    pub(crate) fn followed(&self) -> Followed {
        Followed { engine: self.clone(), position: Position::new() }
    }
}

impl Followed {
    /// Moves to the end of the log.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let heads = self.engine.0.store.heads().await?;
        self.position = heads.into_iter().map(|head| (head.shard, head.size)).collect();
        Ok(())
    }

    /// Waits for records that pass a query, and gives them. Cursor and order of the query mean nothing here.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] once the engine is closed; those of the store, after which it can be asked again.
    pub(crate) async fn next(
        &mut self,
        query: &Query,
        organization: Option<OrganizationId>,
    ) -> Result<Vec<Record>> {
        let search = query.check(organization)?;
        let inner = &self.engine.0;
        loop {
            // This comes before the log is read: what is committed in between is told.
            let news = inner.news.listen();
            // As is this: what was committed before the end is still given.
            let closed = inner.sequencer.has_ended();
            let page = ordered_page(&*inner.store, &search.filter, &self.position, search.limit).await?;
            // An error, or a caller that stops waiting, leaves the position as it was.
            let records = inner.checkpoints.complete(&*inner.store, page.events).await?;
            self.position = page.position;
            if !records.is_empty() {
                return Ok(records);
            }
            if closed && !page.more {
                return Err(Error::new(ErrorKind::Closed, "the engine was closed"));
            }
            if !page.more {
                let _ = news.await;
            }
        }
    }
}
