//! The log on redb 4, which is one file of copy-on-write B-trees.

use std::{ops::RangeInclusive, path::Path};

use redb::{
    Database, Durability, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, Value,
    WriteTransaction,
};

use crate::{
    engine::{Engine, Fallible, Table, Tuning},
    workload::{self, Batch, Rows},
};

/// A type of redb that is the same bytes in memory: those of a known width need no offsets in a page.
trait Bytes: Value + 'static {
    fn of(bytes: &[u8]) -> Fallible<Self::SelfType<'_>>;
}

impl Bytes for &'static [u8] {
    fn of(bytes: &[u8]) -> Fallible<&[u8]> {
        Ok(bytes)
    }
}

impl<const N: usize> Bytes for &'static [u8; N] {
    fn of(bytes: &[u8]) -> Fallible<&[u8; N]> {
        Ok(bytes.try_into()?)
    }
}

type Number = &'static [u8; 8];
type Any = &'static [u8];

const IDS: TableDefinition<'_, &[u8; 16], Number> = TableDefinition::new("ids");
const ENTRIES: TableDefinition<'_, Number, Any> = TableDefinition::new("entries");
const AGENTS: TableDefinition<'_, Any, &[u8; 2]> = TableDefinition::new("agents");
const STATS: TableDefinition<'_, Any, Any> = TableDefinition::new("stats");

/// Runs an expression with the definition of a table, whose types depend on the table.
macro_rules! with_definition {
    ($table:expr, $definition:ident => $run:expr) => {
        match $table {
            Table::Entries | Table::Payloads | Table::Checkpoints => {
                let $definition = TableDefinition::<Number, Any>::new($table.name());
                $run
            }
            Table::Hashes => {
                let $definition = TableDefinition::<&[u8; 9], Any>::new($table.name());
                $run
            }
            Table::Ids => {
                let $definition = IDS;
                $run
            }
            Table::Agents => {
                let $definition = AGENTS;
                $run
            }
            Table::Classes => {
                let $definition = TableDefinition::<Any, &[u8; 0]>::new($table.name());
                $run
            }
            Table::Parents => {
                let $definition = TableDefinition::<&[u8; 24], &[u8; 0]>::new($table.name());
                $run
            }
            Table::Times => {
                let $definition = TableDefinition::<&[u8; 16], &[u8; 0]>::new($table.name());
                $run
            }
            Table::Meta | Table::Stats => {
                let $definition = TableDefinition::<Any, Any>::new($table.name());
                $run
            }
        }
    };
}

pub(crate) struct Redb {
    db: Database,
    repair: bool,
}

impl Redb {
    pub(crate) fn open(dir: &Path, tuning: &Tuning) -> Fallible<Self> {
        std::fs::create_dir_all(dir)?;
        let db = Database::builder()
            // As much as fjall gets. The default is 1 GiB.
            .set_cache_size(tuning.number("cache", 256)? * 1024 * 1024)
            .create(dir.join("log.redb"))?;
        // A read transaction cannot create a table.
        let write = db.begin_write()?;
        for table in Table::ALL {
            with_definition!(table, definition => drop(write.open_table(definition)?));
        }
        write.commit()?;
        Ok(Self { db, repair: tuning.is_on("repair", false) })
    }
}

fn put<K: Key + Bytes, V: Bytes>(
    write: &WriteTransaction,
    definition: TableDefinition<'_, K, V>,
    rows: &Rows,
) -> Fallible<()> {
    let mut table = write.open_table(definition)?;
    for (key, value) in rows.iter() {
        table.insert(K::of(key)?, V::of(value)?)?;
    }
    Ok(())
}

fn get<K: Key + Bytes, V: Bytes>(
    read: &ReadTransaction,
    definition: TableDefinition<'_, K, V>,
    key: &[u8],
) -> Fallible<Option<Vec<u8>>> {
    let value = read.open_table(definition)?.get(K::of(key)?)?;
    Ok(value.map(|value| V::as_bytes(&value.value()).as_ref().to_vec()))
}

fn scan<K: Key + Bytes, V: Bytes>(
    read: &ReadTransaction,
    definition: TableDefinition<'_, K, V>,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Fallible<()> {
    for row in read.open_table(definition)?.iter()? {
        let (key, value) = row?;
        visit(K::as_bytes(&key.value()).as_ref(), V::as_bytes(&value.value()).as_ref());
    }
    Ok(())
}

fn range(prefix: &[u8]) -> RangeInclusive<Vec<u8>> {
    prefix.to_vec()..=[prefix, &[0xff; 9]].concat()
}

impl Engine for Redb {
    fn commit(&mut self, batch: &Batch) -> Fallible<()> {
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        // Off: after a crash the whole file is read and verified. On: each commit writes the state of
        // the allocator too, and needs two fsyncs.
        write.set_quick_repair(self.repair);
        for (table, rows) in batch.tables() {
            with_definition!(table, definition => put(&write, definition, rows)?);
        }
        {
            let mut stats = write.open_table(STATS)?;
            for key in Batch::STATS {
                let old = stats.get(key)?.map(|row| row.value().to_vec());
                let new = workload::bump(old.as_deref(), batch.len());
                stats.insert(key, new.as_slice())?;
            }
        }
        Ok(write.commit()?)
    }

    fn get(&self, table: Table, key: &[u8]) -> Fallible<Option<Vec<u8>>> {
        let read = self.db.begin_read()?;
        with_definition!(table, definition => get(&read, definition, key))
    }

    fn entry_of(&self, id: &[u8]) -> Fallible<Option<Vec<u8>>> {
        let read = self.db.begin_read()?;
        let Some(index) = read.open_table(IDS)?.get(<&[u8; 16]>::of(id)?)? else { return Ok(None) };
        let entry = read.open_table(ENTRIES)?.get(index.value())?.ok_or("the id points to no entry")?;
        Ok(Some(entry.value().to_vec()))
    }

    fn newest(&self, agent: &[u8], limit: usize) -> Fallible<Vec<Vec<u8>>> {
        let read = self.db.begin_read()?;
        let (agents, entries) = (read.open_table(AGENTS)?, read.open_table(ENTRIES)?);
        let range = range(agent);
        let newest = agents.range(range.start().as_slice()..=range.end().as_slice())?.rev().take(limit);
        newest
            .map(|row| {
                let key = row?.0;
                let index = key.value().last_chunk::<8>().ok_or("a short agents key")?;
                let entry = entries.get(index)?.ok_or("the index points to no entry")?;
                Ok(entry.value().to_vec())
            })
            .collect()
    }

    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Fallible<()> {
        let read = self.db.begin_read()?;
        with_definition!(table, definition => scan(&read, definition, visit))
    }
}
