//! A store in memory: for tests and for engines that are thrown away.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use smallvec::SmallVec;

use super::Store;
use super::kv::{Kv, KvStore, Pair, Table, WriteBatch};
use crate::error::{Error, ErrorKind, Result};

/// An empty store in memory; nothing of it survives the process.
pub fn memory() -> Arc<dyn Store> {
    Arc::new(KvStore::new(Arc::new(MemoryKv::default())))
}

/// A key. Most keys are short: kept in the tree's nodes, they are compared without following a pointer.
type Key = SmallVec<[u8; 32]>;
type Value = Box<[u8]>;
type Rows = BTreeMap<Key, Value>;

#[derive(Default)]
struct MemoryKv {
    tables: [RwLock<Rows>; Table::ALL.len()],
}

impl MemoryKv {
    fn table(&self, table: Table) -> Result<&RwLock<Rows>> {
        self.tables
            .get(table as usize)
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the memory store lacks a table"))
    }
}

impl Kv for MemoryKv {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.table(table)?.read().get(key).map(|value| value.to_vec()))
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Pair>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let table = self.table(table)?.read();
        let range = table.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let owned = |(key, value): (&Key, &Value)| (key.to_vec(), value.to_vec());
        Ok(if descending {
            range.rev().take(limit).map(owned).collect()
        } else {
            range.take(limit).map(owned).collect()
        })
    }

    fn write(&self, puts: &WriteBatch) -> Result<()> {
        // Each row is written under the lock of its table alone, so a reader may see a part of the write batch; the
        // store orders the rows so that this never matters.
        for (table, key, value) in puts.iter() {
            let mut rows = self.table(table)?.write();
            match value {
                Some(value) => drop(rows.insert(SmallVec::from_slice(key), value.into())),
                None => drop(rows.remove(key)),
            }
        }
        Ok(())
    }

    fn recover(&self) -> Result<()> {
        Ok(())
    }
}
