//! The tables in a fjall database: one keyspace each, one journal for all, so that a batch is one atomic write.
//!
//! After a failed write fjall refuses to go on, rightly: it is unknown which bytes reached the disk. Recovery therefore
//! closes the database and opens it again, which replays the journal; afterwards the durable rows are there, and no
//! others.

use std::any::Any;
use std::fs::File;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use fjall::config::FilterPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _};
use parking_lot::RwLock;

use super::high_water_mark::HighWaterMarkFile;
use super::{layout, manifest, overflow};
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::storage::kv::Table;

const MIB: u64 = 1024 * 1024;
/// Memory that rows may take before they are in the tables' files: more than all active memtables can hold.
const MAX_UNFLUSHED: u64 = 256 * MIB;

/// The tables of an embedded store.
pub(super) struct Tables {
    pub(super) path: PathBuf,
    /// The open database; `None` after a recovery that failed, until one succeeds. Reads and writes hold the lock
    /// shared; `recover` holds it alone, so it waits for the calls that run.
    pub(super) open: RwLock<Option<Open>>,
    /// Set by a failed write, and cleared by `recover`, under the lock of `open`, when the database was opened again.
    pub(super) failed: AtomicBool,
    pub(super) mark: HighWaterMarkFile,
    /// Number of commits, so that high-water marks use the two sectors in turn.
    pub(super) commits: AtomicU64,
    /// Ends before the lock is released: the socket that requests come by.
    companion: OnceLock<Box<dyn Any + Send + Sync>>,
    /// The lock file, held as long as the store is open. It is the last field, so it is dropped after the database.
    _lock: File,
}

/// The open database and its tables.
pub(super) struct Open {
    // Keyspaces keep the database alive, so they are dropped first.
    keyspaces: Vec<Keyspace>,
    pub(super) database: Database,
}

impl Tables {
    pub(super) fn open(path: &Path, mark: HighWaterMarkFile, lock: File) -> Result<Self> {
        let open = RwLock::new(Some(guarded(|| Open::new(path))?));
        let (failed, commits) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok(Self {
            path: path.to_owned(),
            open,
            failed,
            mark,
            commits,
            companion: OnceLock::new(),
            _lock: lock,
        })
    }

    /// The store's folder, which the database is in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Keeps something until the tables are closed.
    pub(super) fn keep(&self, companion: impl Any + Send + Sync) {
        let _ = self.companion.set(Box::new(companion));
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&Open) -> Result<T>) -> Result<T> {
        match &*self.open.read() {
            Some(open) => guarded(|| act(open)),
            None => {
                Err(Error::new(ErrorKind::Unavailable, "the store failed and could not be opened again yet"))
            }
        }
    }
}

impl Open {
    pub(super) fn new(path: &Path) -> Result<Self> {
        layout::check(path)?;
        manifest::check(path)?;
        let database = Database::builder(path)
            .cache_size(64 * MIB)
            // Bounds the disk that journals take and the time that opening after a crash takes.
            .max_journaling_size(64 * MIB)
            // One flushes while the other compacts.
            .worker_threads(2)
            // Payloads and hashes do not shrink enough to be worth the time in front of every commit.
            .journal_compression(CompressionType::None)
            .open()
            .map_err(|error| translate(error, "the store cannot be opened"))?;
        let keyspaces = Table::ALL.into_iter().map(|table| {
            let open = database.keyspace(table.name(), || options(table));
            open.map_err(|error| translate(error, "a table cannot be opened"))
        });
        Ok(Self { keyspaces: keyspaces.collect::<Result<_>>()?, database })
    }

    pub(super) fn table(&self, table: Table) -> Result<&Keyspace> {
        self.keyspaces
            .get(table as usize)
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the store lacks a table"))
    }

    /// Slows writers down while flushes lag behind: fjall bounds each table's share of memory and journal only once
    /// its workers come to run, which a machine busy with other things can put off for long.
    pub(super) fn wait_for_flushes(&self) {
        for _ in 0..100 {
            if self.database.write_buffer_size() <= MAX_UNFLUSHED {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value =
            self.table(table)?.get(key).map_err(|error| translate(error, "the store cannot be read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Reads a long value: its row and its overflow rows in one snapshot, as it may be changed meanwhile.
    pub(super) fn get_long(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let snapshot = self.database.snapshot();
        let get = |table: Table, key: &[u8]| {
            let value = snapshot.get(self.table(table)?, key);
            let value = value.map_err(|error| translate(error, "the store cannot be read"))?;
            Ok(value.map(|value| value.to_vec()))
        };
        let value = get(table, key)?;
        value.map(|value| overflow::join(table, key, value, |part| get(Table::Overflow, part))).transpose()
    }

    /// Removes the overflow rows that the value before had, if it was a long one, from number `first` on.
    pub(super) fn remove_overflow(
        &self,
        batch: &mut fjall::OwnedWriteBatch,
        table: Table,
        key: &[u8],
        first: u32,
    ) -> Result<()> {
        if !self.get(table, key)?.is_some_and(|before| overflow::is_long(&before)) {
            return Ok(());
        }
        for number in first.. {
            let part = overflow::part_key(table, key, number);
            if self.get(Table::Overflow, &part)?.is_none() {
                break;
            }
            batch.remove(self.table(Table::Overflow)?, part);
        }
        Ok(())
    }
}

/// Bytes of rows that are copied in one write.
const COPY_BYTES: usize = 4 << 20;

impl Tables {
    /// Copies all rows, as one snapshot has them, into tables that are empty, durably.
    pub(super) fn copy_into(&self, copy: &Self) -> Result<()> {
        self.with(|source| {
            copy.with(|target| {
                let snapshot = source.database.snapshot();
                for table in Table::ALL {
                    let to = target.table(table)?;
                    let (mut batch, mut bytes) = (target.database.batch(), 0);
                    for guard in snapshot.iter(source.table(table)?) {
                        let read = guard.into_inner();
                        let (key, value) =
                            read.map_err(|error| translate(error, "the store cannot be read"))?;
                        bytes += key.len() + value.len();
                        batch.insert(to, key, value);
                        if bytes >= COPY_BYTES {
                            let full = std::mem::replace(&mut batch, target.database.batch());
                            target.wait_for_flushes();
                            full.commit().map_err(|error| translate(error, "the copy cannot be written"))?;
                            bytes = 0;
                        }
                    }
                    batch.commit().map_err(|error| translate(error, "the copy cannot be written"))?;
                }
                let persisted = target.database.persist(PersistMode::SyncAll);
                persisted.map_err(|error| translate(error, "the copy cannot be written"))
            })
        })
    }
}

/// The options of a table, which are fixed when the table is made.
fn options(table: Table) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default().max_memtable_size(16 * MIB);
    match table {
        // These tables are only scanned, which filters do not help.
        Table::ByAgent | Table::ByClass | Table::ByParent | Table::ByTime | Table::DocumentIndex => {
            options.filter_policy(FilterPolicy::disabled())
        }
        // A reader of these tables knows that the key exists; the last level needs no filter.
        Table::Entries | Table::Payloads | Table::Hashes | Table::Overflow => {
            options.expect_point_read_hits(true)
        }
        _ => options,
    }
}

/// Turns a panic of fjall into an error: fjall asserts the content of its files, so damage can also show as a panic.
pub(super) fn guarded<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    // A panic leaves only state inside fjall half-done, and after such damage the store is not used any more.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or_else(|cause| {
        let said = cause.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
        Err(Error::new(ErrorKind::Corrupt, format!("the database's files are damaged: {said}")))
    })
}

pub(super) fn translate(error: fjall::Error, what: &str) -> Error {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => match error.kind() {
            // The disk works, but the content of the files makes no sense.
            Io::NotFound | Io::UnexpectedEof | Io::InvalidData | Io::InvalidInput => {
                Error::new(ErrorKind::Corrupt, format!("{what}: {error}")).caused_by(error)
            }
            _ => from_io(error, what),
        },
        fjall::Error::Locked => {
            Error::new(ErrorKind::Locked, format!("{what}: its database is open elsewhere"))
        }
        fjall::Error::Poisoned => {
            Error::new(ErrorKind::Unavailable, format!("{what}: an earlier write failed")).caused_by(error)
        }
        other => Error::new(ErrorKind::Corrupt, format!("{what}: {other}")).caused_by(other),
    }
}
