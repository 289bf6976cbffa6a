//! A store in memory: for tests and for engines that are thrown away.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use super::Store;
use super::kv::{Kv, KvStore, Pair, Put, Table};
use crate::error::{Error, ErrorKind, Result};

/// An empty store in memory; nothing of it survives the process.
pub fn memory() -> Arc<dyn Store> {
    Arc::new(KvStore::new(MemoryKv::default()))
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

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
        Ok(self.table(table)?.read().get(key).cloned())
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
        let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        Ok(if descending {
            range.rev().take(limit).map(owned).collect()
        } else {
            range.take(limit).map(owned).collect()
        })
    }

    fn write(&self, puts: Vec<Put>) -> Result<()> {
        // A reader may see a batch half-way; the store orders the puts so that it never matters.
        for put in puts {
            self.table(put.table)?.write().insert(put.key, put.value);
        }
        Ok(())
    }

    fn recover(&self) -> Result<()> {
        Ok(())
    }
}
