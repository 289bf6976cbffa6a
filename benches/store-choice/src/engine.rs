//! What every storage engine must do here, and how it is opened.

use std::{collections::BTreeMap, error::Error, fmt, path::Path, str::FromStr};

use crate::workload::Batch;

pub(crate) type Fallible<T> = Result<T, Box<dyn Error>>;

/// The tables of the log, in the order in which a batch holds their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Entries,
    Payloads,
    Hashes,
    Ids,
    Agents,
    Classes,
    Parents,
    Times,
    Checkpoints,
    Meta,
    /// Not written from the batch's rows: the engine reads, changes and writes them in the commit.
    Stats,
}

impl Table {
    pub(crate) const ALL: [Self; 11] = [
        Self::Entries,
        Self::Payloads,
        Self::Hashes,
        Self::Ids,
        Self::Agents,
        Self::Classes,
        Self::Parents,
        Self::Times,
        Self::Checkpoints,
        Self::Meta,
        Self::Stats,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Payloads => "payloads",
            Self::Hashes => "hashes",
            Self::Ids => "ids",
            Self::Agents => "agents",
            Self::Classes => "classes",
            Self::Parents => "parents",
            Self::Times => "times",
            Self::Checkpoints => "checkpoints",
            Self::Meta => "meta",
            Self::Stats => "stats",
        }
    }
}

/// A storage engine that holds the log's tables.
pub(crate) trait Engine {
    /// Writes the whole batch in one atomic commit, which is on the disk when this returns.
    fn commit(&mut self, batch: &Batch) -> Fallible<()>;

    fn get(&self, table: Table, key: &[u8]) -> Fallible<Option<Vec<u8>>>;

    /// The entry of a record, by the record's id.
    fn entry_of(&self, id: &[u8]) -> Fallible<Option<Vec<u8>>>;

    /// The newest entries of one agent, given the agent's key prefix, newest first.
    fn newest(&self, agent: &[u8], limit: usize) -> Fallible<Vec<Vec<u8>>>;

    /// Visits every row of a table in the order of the keys.
    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Fallible<()>;

    /// Waits until the background work that is queued now is done.
    fn settle(&self) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fjall,
    Redb,
}

impl Kind {
    pub(crate) fn open(self, dir: &Path, tuning: &Tuning) -> Fallible<Box<dyn Engine>> {
        Ok(match self {
            Self::Fjall => Box::new(crate::fjall::Fjall::open(dir, tuning)?),
            Self::Redb => Box::new(crate::redb::Redb::open(dir, tuning)?),
        })
    }

    /// The engines that `--engine` asks for.
    pub(crate) fn list(name: &str) -> Fallible<Vec<Self>> {
        match name {
            "fjall" => Ok(vec![Self::Fjall]),
            "redb" => Ok(vec![Self::Redb]),
            "both" => Ok(vec![Self::Fjall, Self::Redb]),
            other => Err(format!("unknown engine: {other}").into()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Fjall => "fjall",
            Self::Redb => "redb",
        })
    }
}

/// What `--set name=value` changes, for the comparison of variants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tuning(BTreeMap<String, String>);

impl Tuning {
    const NAMES: [&str; 10] =
        ["block", "cache", "filters", "journal", "kv", "layout", "lz4", "memtable", "repair", "sync"];

    pub(crate) fn set(&mut self, pair: &str) -> Fallible<()> {
        let (name, value) = pair.split_once('=').ok_or("--set needs name=value")?;
        if name != "workers" && !Self::NAMES.contains(&name) {
            return Err(format!("unknown setting: {name}").into());
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Sets the value unless it is already set.
    pub(crate) fn with_default(mut self, name: &str, value: &str) -> Self {
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        self
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str, default: T) -> Fallible<T>
    where
        T::Err: Error + 'static,
    {
        self.0.get(name).map_or(Ok(default), |text| Ok(text.parse()?))
    }

    pub(crate) fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    pub(crate) fn is_on(&self, name: &str, default: bool) -> bool {
        self.0.get(name).map_or(default, |text| text == "on")
    }

    /// The arguments that give a child process the same settings.
    pub(crate) fn args(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")])
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("defaults");
        }
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        out.write_str(&pairs.join(" "))
    }
}
