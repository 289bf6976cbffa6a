//! Overflow rows: the rest of long values.
//!
//! fjall recognises the torn end of its journal by a row's header. A value longer than a page of the disk can lose a
//! whole page to a power cut and keep its header, and then the database refuses to open although nothing acknowledged
//! is lost. So no stored value fills a page: a value of exactly [`PART`] bytes goes on in overflow rows, in the table
//! `parts`, until a row is shorter.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::kv::Table;

/// Length of the stored value in every row of a long value but the last.
pub(super) const PART: usize = 2048;

/// Key and value of an overflow row.
type Part<'a> = (Vec<u8>, &'a [u8]);

/// Splits a value into the value of its own row and the overflow rows that continue it.
pub(super) fn split<'a>(table: Table, key: &[u8], value: &'a [u8]) -> (&'a [u8], Vec<Part<'a>>) {
    let Some((own, rest)) = value.split_at_checked(PART) else { return (value, Vec::new()) };
    // The last overflow row is always shorter than the others, if need be empty, so that a lost row is noticed.
    let end = rest.len().is_multiple_of(PART).then_some(&[][..]);
    let parts = rest.chunks(PART).chain(end);
    (own, (0..).zip(parts).map(|(number, part)| (part_key(table, key, number), part)).collect())
}

/// Joins the value of a row with its overflow rows; a lost overflow row is an error.
pub(super) fn join(
    table: Table,
    key: &[u8],
    mut value: Vec<u8>,
    part: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<u8>> {
    if value.len() < PART {
        return Ok(value);
    }
    for number in 0.. {
        let missing = || {
            Error::new(ErrorKind::Corrupt, format!("a value of the table {} has lost its end", table.name()))
        };
        let next = part(&part_key(table, key, number))?.ok_or_else(missing)?;
        value.extend_from_slice(&next);
        if next.len() < PART {
            break;
        }
    }
    Ok(value)
}

/// Whether a value goes on in overflow rows.
pub(super) fn is_long(value: &[u8]) -> bool {
    value.len() >= PART
}

/// Key of a value's overflow row with this number.
pub(super) fn part_key(table: Table, key: &[u8], number: u32) -> Vec<u8> {
    [&[table as u8], key, &number.to_be_bytes()].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_value_of_any_length_comes_back_whole_or_not_at_all() {
        for length in [0, 1, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 3 * PART, 5 * PART + 7] {
            let value: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let (row, parts) = split(Table::Payloads, b"key", &value);
            assert!(row.len() <= PART && parts.iter().all(|(_, part)| part.len() <= PART));
            let stored: BTreeMap<_, _> =
                parts.iter().map(|(key, part)| (key.clone(), part.to_vec())).collect();
            let read = |stored: &BTreeMap<Vec<u8>, Vec<u8>>| {
                join(Table::Payloads, b"key", row.to_vec(), |key| Ok(stored.get(key).cloned()))
            };
            assert_eq!(read(&stored).unwrap(), value);
            for (key, _) in &parts {
                let mut torn = stored.clone();
                torn.remove(key);
                assert!(read(&torn).is_err(), "{length}: a lost part went unnoticed");
            }
        }
    }
}
