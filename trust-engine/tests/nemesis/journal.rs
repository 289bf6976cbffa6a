//! The answers that a process got, one line each, written at once: a line that a kill cut off has no full stop at its
//! end.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use trust_engine::Receipt;
use uuid::Uuid;

/// An acknowledged record, and the checkpoint that came with it.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) at: u128,
    pub(crate) id: Uuid,
    pub(crate) origin: String,
    pub(crate) index: u64,
    pub(crate) leaf: String,
    pub(crate) size: u64,
    pub(crate) root: String,
    /// The time of its entry, in milliseconds since the epoch.
    pub(crate) time: u128,
}

/// An admitted use of one counter.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) at: u128,
    pub(crate) resource: String,
    pub(crate) key: String,
    /// Microseconds since the epoch.
    pub(crate) window_start: i64,
    pub(crate) amount: u64,
    /// The id of the request, and that of the verdict's record, if the request had one.
    pub(crate) keyed: Option<(String, Uuid)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) name: String,
    pub(crate) records: Vec<Acknowledged>,
    pub(crate) admissions: Vec<Admission>,
    /// Acknowledged versions of agents.
    pub(crate) agents: Vec<(String, u64)>,
    /// Errors that a caller cannot simply retry.
    pub(crate) errors: Vec<String>,
    pub(crate) retryable: u64,
    pub(crate) refused: u64,
    pub(crate) opened: u64,
}

impl Journal {
    /// The journals of a kind in a folder.
    pub(crate) fn read_all(folder: &Path, kind: &str) -> Vec<Self> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|file| file.file_name().unwrap().to_string_lossy().starts_with(kind))
            .collect();
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }

    fn read(file: &Path) -> Self {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let mut journal = Self { name, ..Self::default() };
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let words: Vec<&str> = line.split('\t').collect();
            let number = |text: &str| text.parse::<u64>().unwrap();
            match words[..] {
                [at, "record", id, origin, index, leaf, size, root, time, "."] => {
                    journal.records.push(Acknowledged {
                        at: at.parse().unwrap(),
                        id: id.parse().unwrap(),
                        origin: origin.to_owned(),
                        index: number(index),
                        leaf: leaf.to_owned(),
                        size: number(size),
                        root: root.to_owned(),
                        time: time.parse().unwrap(),
                    });
                }
                [at, "admit", resource, key, start, amount, ref keyed @ .., "."] => {
                    let keyed = match keyed {
                        [request, verdict] => Some(((*request).to_owned(), verdict.parse().unwrap())),
                        _ => None,
                    };
                    journal.admissions.push(Admission {
                        at: at.parse().unwrap(),
                        resource: resource.to_owned(),
                        key: key.to_owned(),
                        window_start: start.parse().unwrap(),
                        amount: number(amount),
                        keyed,
                    });
                }
                [_, "agent", id, version, "."] => journal.agents.push((id.to_owned(), number(version))),
                [_, "error", what, "."] => journal.errors.push(what.to_owned()),
                [_, "retry", "."] => journal.retryable += 1,
                [_, "refused", "."] => journal.refused += 1,
                [_, "opened", "."] => journal.opened += 1,
                _ => {}
            }
        }
        journal
    }
}

/// Writes a journal.
pub(crate) struct Pen(Mutex<File>);

impl Pen {
    pub(crate) fn new(file: &Path) -> Self {
        Self(Mutex::new(File::options().create(true).append(true).open(file).unwrap()))
    }

    pub(crate) fn line(&self, what: &str) {
        // One write, so that the line is with the system when a kill comes.
        let line = format!("{}\t{what}\t.\n", now());
        self.0.lock().write_all(line.as_bytes()).unwrap();
    }

    pub(crate) fn record(&self, receipt: &Receipt) {
        self.line(&format!(
            "record\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            receipt.id(),
            receipt.origin(),
            receipt.leaf_index(),
            receipt.leaf_hash(),
            receipt.tree_size(),
            receipt.root(),
            receipt.time().micros() / 1000,
        ));
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}
