//! A check that fjall does not make: whether each table's list of files is the one that was written.
//!
//! fjall writes the checksum of the newest list (`v<number>`) into the file `current`, and at opening reads the list
//! without comparing it. A damaged count there makes it ask for more memory than there is, which ends the process, so
//! the comparison is made here before the database is opened.

use std::fs;
use std::io::ErrorKind as Io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, ErrorKind, Result, from_io};

/// Checks the lists of all tables of the database in `folder`, if it is there already.
pub(super) fn check(folder: &Path) -> Result<()> {
    let tables = match fs::read_dir(folder.join("keyspaces")) {
        Ok(tables) => tables,
        Err(error) if error.kind() == Io::NotFound => return Ok(()),
        Err(error) => return Err(from_io(error, folder.display())),
    };
    for table in tables {
        let table = table.map_err(|error| from_io(error, folder.display()))?.path();
        // fjall passes over files here.
        if table.is_dir() {
            check_table(&table)?;
        }
    }
    Ok(())
}

fn check_table(table: &Path) -> Result<()> {
    let read = |name: &str| match fs::read(table.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == Io::NotFound => Ok(None),
        Err(error) => Err(from_io(error, table.join(name).display())),
    };
    // A table without it was being made when the process ended; fjall makes it again.
    let Some(current) = read("current")? else { return Ok(()) };
    let (number, rest) = current.split_first_chunk::<8>().ok_or_else(|| damaged(table))?;
    let (sum, rest) = rest.split_first_chunk::<16>().ok_or_else(|| damaged(table))?;
    // The kind of checksum; 0 is XXH3 with 128 bits.
    if rest != [0] {
        return Err(damaged(table));
    }
    let list = read(&format!("v{}", u64::from_le_bytes(*number)))?.ok_or_else(|| damaged(table))?;
    if xxh3_128(&list) == u128::from_le_bytes(*sum) { Ok(()) } else { Err(damaged(table)) }
}

fn damaged(table: &Path) -> Error {
    let issue = format!("the database's files are damaged: the list of files in {}", table.display());
    Error::new(ErrorKind::Corrupt, issue)
}
