//! A check that fjall does not make: whether the names in its folders are its own.
//!
//! fjall takes some names for those of its files, and then ends the process, deletes the file, or calls the database
//! damaged: a `lost+found`, a copy that somebody made of a journal. Names that it passes over by itself stay.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io::ErrorKind as Io;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result, from_io};

/// Checks the folder of a database, if it is there already.
///
/// # Errors
/// [`ErrorKind::Foreign`], which names the file; the file system's.
pub(super) fn check(database: &Path) -> Result<()> {
    for entry in entries(database)? {
        let name = entry.file_name();
        let journal = Path::new(&name).extension().is_some_and(|end| end.eq_ignore_ascii_case("jnl"));
        let plain = name.to_str().is_some_and(|name| name.strip_suffix(".jnl").is_some_and(is_number));
        if name.to_str().is_none() || (journal && !(plain && is_file(&entry)?)) {
            return Err(foreign(&entry));
        }
    }
    for table in entries(&database.join("keyspaces"))? {
        // fjall passes over files here.
        if is_file(&table)? {
            continue;
        }
        if !(kind(&table)?.is_dir() && is_numbered(&table.file_name(), "")) {
            return Err(foreign(&table));
        }
        for entry in entries(&table.path())? {
            let name = entry.file_name();
            // fjall deletes what begins so and is not the newest list of files.
            let list = name.to_string_lossy().starts_with('v');
            if list && is_file(&entry)? && !is_numbered(&name, "v") {
                return Err(foreign(&entry));
            }
        }
        for entry in entries(&table.path().join("tables"))? {
            let name = entry.file_name();
            let passed_over = name == ".DS_Store" || name.to_string_lossy().starts_with("._");
            let of_a_table = is_file(&entry)? && is_numbered(&name, "");
            if !(passed_over || of_a_table) {
                return Err(foreign(&entry));
            }
        }
    }
    Ok(())
}

/// The entries of a folder; none if it is not there.
fn entries(folder: &Path) -> Result<Vec<DirEntry>> {
    let at = |error| from_io(error, folder.display());
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map_err(at)).collect(),
        Err(error) if error.kind() == Io::NotFound => Ok(Vec::new()),
        Err(error) => Err(at(error)),
    }
}

fn kind(entry: &DirEntry) -> Result<fs::FileType> {
    entry.file_type().map_err(|error| from_io(error, entry.path().display()))
}

fn is_file(entry: &DirEntry) -> Result<bool> {
    Ok(kind(entry)?.is_file())
}

fn is_numbered(name: &OsStr, prefix: &str) -> bool {
    name.to_str().and_then(|name| name.strip_prefix(prefix)).is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
}

fn foreign(entry: &DirEntry) -> Error {
    let path = entry.path();
    let issue =
        format!("{} is not of the store, and cannot stay in its folders; move it away", path.display());
    Error::new(ErrorKind::Foreign, issue).with("file", path.display())
}
