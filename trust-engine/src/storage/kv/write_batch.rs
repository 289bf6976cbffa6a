//! The rows of one batch, in one buffer: a commit of a thousand records has some seven thousand rows, and an
//! allocation for each key and value would cost more than writing them.

use super::table::Table;

/// Rows to set and to remove, in order; no key twice, unless its later value is the one that counts.
#[derive(Debug, Default)]
pub(in crate::storage) struct WriteBatch {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

/// A row begins where the one before it ends.
#[derive(Debug)]
struct Row {
    table: Table,
    key_end: usize,
    end: usize,
    removed: bool,
}

impl WriteBatch {
    pub(super) fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), rows: Vec::with_capacity(rows) }
    }

    /// Adds a row; key and value are each the concatenation of parts.
    pub(super) fn put(&mut self, table: Table, key: &[&[u8]], value: &[&[u8]]) {
        key.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let key_end = self.bytes.len();
        value.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.rows.push(Row { table, key_end, end: self.bytes.len(), removed: false });
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, table: Table, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        let end = self.bytes.len();
        self.rows.push(Row { table, key_end: end, end, removed: true });
    }

    /// Table, key and value of every row; a row without a value is to be removed.
    pub(in crate::storage) fn iter(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        let mut start = 0;
        self.rows.iter().map(move |row| {
            let key = self.bytes.get(start..row.key_end).unwrap_or_default();
            let value = self.bytes.get(row.key_end..row.end).unwrap_or_default();
            start = row.end;
            (row.table, key, (!row.removed).then_some(value))
        })
    }
}
