//! Compares the storage engines that the embedded log could be built on, with the log's real tables.
//!
//! ```text
//! store-choice throughput [--records N] [--batch N] [--engine fjall|redb|both] [--dir PATH]
//! store-choice crash [--kills N] [--engine ..] [--dir PATH]
//! store-choice torn [--rounds N] [--engine ..] [--dir PATH]
//! store-choice full --dir PATH [--engine ..]
//! ```
//!
//! `crash` kills a writer with SIGKILL. `torn` simulates a power cut: of the pages that the last commit
//! wrote, only some reach the disk. `full` fills a small file system. Every command takes any number of
//! `--set name=value`, which change the settings of the engines: see `fjall.rs` and `redb.rs`.

mod crash;
mod engine;
mod fjall;
mod full;
mod redb;
mod throughput;
mod torn;
mod workload;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use engine::{Fallible, Kind, Tuning};

/// The command line.
pub(crate) struct Args {
    flags: BTreeMap<String, String>,
    pub(crate) tuning: Tuning,
}

impl Args {
    fn parse(words: impl Iterator<Item = String>) -> Fallible<Self> {
        let mut args = Self { flags: BTreeMap::new(), tuning: Tuning::default() };
        let mut words = words;
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("unexpected argument: {word}"))?;
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            if name == "set" {
                args.tuning.set(&value)?;
            } else {
                args.flags.insert(name.to_owned(), value);
            }
        }
        Ok(args)
    }

    pub(crate) fn number(&self, name: &str, default: u64) -> Fallible<u64> {
        self.flags.get(name).map_or(Ok(default), |text| Ok(text.parse()?))
    }

    pub(crate) fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.flags.get(name).map_or(default, String::as_str)
    }

    pub(crate) fn engines(&self) -> Fallible<Vec<Kind>> {
        Kind::list(self.text("engine", "both"))
    }

    /// The engine and the folder that a child process works with.
    pub(crate) fn part(&self) -> Fallible<(Kind, &Path)> {
        let kind = self.engines()?.first().copied().ok_or("no engine")?;
        Ok((kind, Path::new(self.flags.get("dir").ok_or("no folder")?)))
    }

    /// A new folder for one engine, in `--dir` or the folder for temporary files.
    pub(crate) fn fresh_dir(&self, kind: Kind) -> Fallible<PathBuf> {
        let base = self.flags.get("dir").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = base.join(format!("store-choice-{}-{kind}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// This program again, to run one part in a process of its own.
    pub(crate) fn child(part: &str, kind: Kind, dir: &Path, tuning: &Tuning) -> Fallible<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(part).args(["--engine", &kind.to_string(), "--dir"]).arg(dir).args(tuning.args());
        Ok(command)
    }
}

fn run() -> Fallible<bool> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let args = Args::parse(words)?;
    match command.as_str() {
        "throughput" => throughput::run(&args).map(|()| true),
        "load-part" => throughput::load(&args).map(|()| true),
        "read-part" => throughput::read(&args).map(|()| true),
        "crash" => crash::run(&args),
        "crash-part" => crash::write(&args).map(|()| true),
        "open-part" => crash::open(&args).map(|()| true),
        "torn" => torn::run(&args),
        "full" => full::run(&args),
        "full-part" => full::fill(&args).map(|()| true),
        _ => Err("usage: store-choice throughput|crash|torn|full [--name value]..".into()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("store-choice: {error}");
            ExitCode::FAILURE
        }
    }
}
