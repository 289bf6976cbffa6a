//! The tables as an ordered key–value engine.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fjall::PersistMode;

use super::backup::{self, Purpose};
use super::tables::{Open, Tables, guarded, translate};
use super::{UNWRITABLE, overflow};
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::storage::kv::{HighWaterMark, Kv, Pair, Table, WriteBatch};

impl Kv for Tables {
    fn copy_to(&self, folder: &Path, restored: Option<u32>) -> Result<()> {
        backup::write(self, folder, restored.map_or(Purpose::Backup, Purpose::Restored))
    }

    fn check_writable(&self) -> Result<()> {
        let reason = match std::fs::read_to_string(self.folder().join(UNWRITABLE)) {
            Ok(reason) => reason,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(from_io(error, self.folder().display())),
        };
        let (folder, reason) = (self.folder().display(), reason.trim());
        let issue = format!("{folder} is only to be read: {reason}");
        Err(Error::new(ErrorKind::Foreign, issue).with("folder", folder))
    }

    fn name(&self) -> &'static str {
        "embedded"
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.with(|open| match open.get(table, key)? {
            Some(value) if overflow::is_long(&value) => open.get_long(table, key),
            value => Ok(value),
        })
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
        self.with(|open| {
            let range = open.table(table)?.range(from..to);
            let owned = |guard: fjall::Guard| {
                let pair =
                    guard.into_inner().map_err(|error| translate(error, "the store cannot be read"))?;
                let (key, value) = (pair.0.to_vec(), pair.1.to_vec());
                if !overflow::is_long(&value) {
                    return Ok(Some((key, value)));
                }
                // It may be gone since the range was begun.
                Ok(open.get_long(table, &key)?.map(|value| (key, value)))
            };
            if descending {
                range.rev().map(owned).filter_map(Result::transpose).take(limit).collect()
            } else {
                range.map(owned).filter_map(Result::transpose).take(limit).collect()
            }
        })
    }

    fn write(&self, rows: &WriteBatch) -> Result<()> {
        let result = self.with(|open| {
            open.wait_for_flushes();
            let mut batch = open.database.batch().durability(Some(PersistMode::SyncData));
            for (table, key, value) in rows.iter() {
                let Some(value) = value else {
                    batch.remove(open.table(table)?, key);
                    open.remove_overflow(&mut batch, table, key, 0)?;
                    continue;
                };
                let (value, rest) = overflow::split(table, key, value);
                batch.insert(open.table(table)?, key, value);
                // These change in place; the value before may have been longer.
                if matches!(table, Table::Documents | Table::Followers) {
                    open.remove_overflow(&mut batch, table, key, rest.len() as u32)?;
                }
                for (key, part) in rest {
                    batch.insert(open.table(Table::Overflow)?, key, part);
                }
            }
            batch.commit().map_err(|error| translate(error, "the store cannot be written"))
        });
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn set_high_water_mark(&self, mark: &HighWaterMark) -> Result<()> {
        self.mark.write(mark, self.commits.fetch_add(1, Ordering::Relaxed))
    }

    fn high_water_mark(&self) -> Result<Option<HighWaterMark>> {
        self.mark.read()
    }

    fn recover(&self) -> Result<()> {
        let mut open = self.open.write();
        if open.is_some() && !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        *open = None;
        // The database's threads may hold its files for a moment after the last handle is gone.
        let mut attempt = guarded(|| Open::new(&self.path));
        for _ in 0..20 {
            match attempt {
                Err(error) if error.kind() == ErrorKind::Locked => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                _ => break,
            }
            attempt = guarded(|| Open::new(&self.path));
        }
        // A failed attempt leaves the database closed; the next recovery tries again.
        *open = Some(attempt?);
        self.failed.store(false, Ordering::Release);
        Ok(())
    }
}
