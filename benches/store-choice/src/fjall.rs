//! The log on fjall 3, which is a log-structured merge tree with one journal for all its keyspaces.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable,
    Snapshot,
    config::{BlockSizePolicy, CompressionPolicy, FilterPolicy},
};

use crate::{
    engine::{Engine, Fallible, Table, Tuning},
    workload::{self, Batch},
};

const MIB: u64 = 1024 * 1024;

pub(crate) struct Fjall {
    db: Database,
    sync: Option<PersistMode>,
    places: Vec<(Table, Place)>,
}

/// Where a table is: in a keyspace of its own, or in a shared one with a byte in front of its keys.
struct Place {
    keyspace: Keyspace,
    tag: Option<u8>,
}

impl Place {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        self.tag.into_iter().chain(key.iter().copied()).collect()
    }

    /// All keys that start with a prefix, for tables whose keys never go on with nine 0xff bytes.
    fn range(&self, prefix: &[u8]) -> RangeInclusive<Vec<u8>> {
        let first = self.key(prefix);
        let mut last = first.clone();
        last.extend_from_slice(&[0xff; 9]);
        first..=last
    }

    fn untagged<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        key.get(usize::from(self.tag.is_some())..).unwrap_or_default()
    }
}

impl Fjall {
    pub(crate) fn open(dir: &Path, tuning: &Tuning) -> Fallible<Self> {
        let db = Database::builder(dir)
            // The default of 32 MiB holds too few blocks of the random agents index. 256 MiB is what
            // redb gets, too.
            .cache_size(tuning.number("cache", 256)? * MIB)
            // How much journal may pile up because a small table has not been flushed. This bounds
            // the disk that the journals take and the time that opening after a crash takes.
            .max_journaling_size(tuning.number("journal", 64)? * MIB)
            // One flushes while the other compacts; with one, a flush waits behind a compaction.
            .worker_threads(tuning.number("workers", 2)?)
            // The values that are large enough for the journal's compression are runs of hashes.
            .journal_compression(CompressionType::None)
            .open()?;
        let layout = tuning.text("layout", "separate");
        let mut places = Vec::new();
        for (table, tag) in Table::ALL.into_iter().zip(0_u8..) {
            let (name, tag) = match (layout, table) {
                ("separate", _) => (table.name(), None),
                // The tables that are written in the order of their keys keep keyspaces of their own.
                ("grouped", Table::Entries | Table::Payloads | Table::Hashes) => (table.name(), None),
                ("grouped", _) => ("index", Some(tag)),
                ("single", _) => ("all", Some(tag)),
                (other, _) => return Err(format!("unknown layout: {other}").into()),
            };
            let options = Self::options(table, tuning)?;
            places.push((table, Place { keyspace: db.keyspace(name, || options)?, tag }));
        }
        let sync = match tuning.text("sync", "data") {
            // The journal's length and extents are on the disk after fdatasync as well, and it is
            // what redb uses.
            "data" => Some(PersistMode::SyncData),
            // Not even handed to the kernel: the control that shows that `crash` would see a loss.
            "none" => None,
            _ => Some(PersistMode::SyncAll),
        };
        Ok(Self { db, sync, places })
    }

    fn options(table: Table, tuning: &Tuning) -> Fallible<KeyspaceCreateOptions> {
        let mut options = KeyspaceCreateOptions::default()
            // Per keyspace, and up to four more may wait to be flushed: the default of 64 MiB makes
            // eleven keyspaces take more memory than an embedded library should.
            .max_memtable_size(tuning.number("memtable", 16)? * MIB)
            // Larger blocks make the index blocks smaller; a point read decodes one whole block.
            .data_block_size_policy(BlockSizePolicy::all(tuning.number("block", 4)? * 1024))
            .data_block_compression_policy(compression(tuning)?)
            // Whoever looks up a record knows that it exists: the last level needs no filters.
            .expect_point_read_hits(true);
        let scanned_only = matches!(table, Table::Agents | Table::Classes | Table::Parents | Table::Times);
        if scanned_only && tuning.text("layout", "separate") == "separate" && tuning.is_on("filters", true) {
            options = options.filter_policy(FilterPolicy::disabled());
        }
        if table == Table::Payloads && tuning.is_on("kv", false) {
            let separation = KvSeparationOptions::default().separation_threshold(256);
            options = options.with_kv_separation(Some(separation));
        }
        Ok(options)
    }

    fn place(&self, table: Table) -> Fallible<&Place> {
        let found = self.places.iter().find(|(other, _)| *other == table);
        Ok(found.map(|(_, place)| place).ok_or("no such table")?)
    }

    fn entry_at(&self, snapshot: &Snapshot, index: &[u8]) -> Fallible<Vec<u8>> {
        let entries = self.place(Table::Entries)?;
        let entry = snapshot.get(&entries.keyspace, entries.key(index))?;
        Ok(entry.ok_or("the index points to no entry")?.to_vec())
    }
}

#[cfg(feature = "lz4")]
fn compression(tuning: &Tuning) -> Fallible<CompressionPolicy> {
    let on = tuning.is_on("lz4", false);
    Ok(CompressionPolicy::all(if on { CompressionType::Lz4 } else { CompressionType::None }))
}

#[cfg(not(feature = "lz4"))]
fn compression(tuning: &Tuning) -> Fallible<CompressionPolicy> {
    if tuning.is_on("lz4", false) {
        return Err("build with --features lz4".into());
    }
    Ok(CompressionPolicy::disabled())
}

impl Engine for Fjall {
    fn commit(&mut self, batch: &Batch) -> Fallible<()> {
        let mut write =
            fjall::OwnedWriteBatch::with_capacity(self.db.clone(), batch.rows()).durability(self.sync);
        for (table, rows) in batch.tables() {
            let place = self.place(table)?;
            for (key, value) in rows.iter() {
                match place.tag {
                    None => write.insert(&place.keyspace, key, value),
                    Some(_) => write.insert(&place.keyspace, place.key(key), value),
                }
            }
        }
        // Nothing else writes, so that what is read here is what the batch replaces.
        let stats = self.place(Table::Stats)?;
        for key in Batch::STATS {
            let key = stats.key(key);
            let old = stats.keyspace.get(&key)?;
            write.insert(&stats.keyspace, key, workload::bump(old.as_deref(), batch.len()));
        }
        Ok(write.commit()?)
    }

    fn get(&self, table: Table, key: &[u8]) -> Fallible<Option<Vec<u8>>> {
        let place = self.place(table)?;
        Ok(place.keyspace.get(place.key(key))?.map(|value| value.to_vec()))
    }

    fn entry_of(&self, id: &[u8]) -> Fallible<Option<Vec<u8>>> {
        // Reads of a keyspace itself may see a part of a batch; those of a snapshot never do.
        let snapshot = self.db.snapshot();
        let ids = self.place(Table::Ids)?;
        let Some(index) = snapshot.get(&ids.keyspace, ids.key(id))? else { return Ok(None) };
        self.entry_at(&snapshot, &index).map(Some)
    }

    fn newest(&self, agent: &[u8], limit: usize) -> Fallible<Vec<Vec<u8>>> {
        let snapshot = self.db.snapshot();
        let agents = self.place(Table::Agents)?;
        let newest = snapshot.range(&agents.keyspace, agents.range(agent)).rev().take(limit);
        newest
            .map(|row| {
                let key = row.key()?;
                self.entry_at(&snapshot, key.last_chunk::<8>().ok_or("a short agents key")?)
            })
            .collect()
    }

    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Fallible<()> {
        let place = self.place(table)?;
        let snapshot = self.db.snapshot();
        let rows = match place.tag {
            None => snapshot.iter(&place.keyspace),
            Some(tag) => snapshot.prefix(&place.keyspace, [tag]),
        };
        for row in rows {
            let (key, value) = row.into_inner()?;
            visit(place.untagged(&key), &value);
        }
        Ok(())
    }

    fn settle(&self) {
        let mut idle = 0;
        while idle < 20 {
            let busy = self.db.outstanding_flushes() > 0 || self.db.active_compactions() > 0;
            idle = if busy { 0 } else { idle + 1 };
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
