//! The contract of an ordered key–value engine.

use std::path::Path;

use super::table::Table;
use super::write_batch::WriteBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::Hash;
use crate::storage::Shard;

/// The high-water mark: the shard of the last commit, and size and root of its log after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct HighWaterMark {
    pub(in crate::storage) shard: Shard,
    pub(in crate::storage) size: u64,
    pub(in crate::storage) root: Hash,
}

/// A key and its value.
pub(in crate::storage) type Pair = (Vec<u8>, Vec<u8>);

/// An ordered key–value engine.
pub(in crate::storage) trait Kv: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Pairs with `from` ≤ key < `to`, ascending or descending, at most `limit`.
    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Pair>>;

    /// Sets all rows, durably, or none. After an error the outcome is unknown until [`recover`](Self::recover).
    fn write(&self, rows: &WriteBatch) -> Result<()>;

    /// Makes the engine usable again after an error; afterwards all durable rows are there, and no write is pending.
    fn recover(&self) -> Result<()>;

    /// Copies the store, as it is at one instant, into a new folder: to be kept, or, restored, to go on in a shard this far
    /// above the next one.
    fn copy_to(&self, _: &Path, _restored: Option<u32>) -> Result<()> {
        let issue = format!("the {} store cannot be copied into a folder", self.name());
        Err(Error::new(ErrorKind::Unsupported, issue))
    }

    /// Refuses a store that is only to be read.
    fn check_writable(&self) -> Result<()> {
        Ok(())
    }

    /// Remembers a committed head where damage to the tables cannot reach it.
    fn set_high_water_mark(&self, _: &HighWaterMark) -> Result<()> {
        Ok(())
    }

    /// The head remembered last; `None` if there is none or the engine cannot lose its end.
    fn high_water_mark(&self) -> Result<Option<HighWaterMark>> {
        Ok(None)
    }
}
