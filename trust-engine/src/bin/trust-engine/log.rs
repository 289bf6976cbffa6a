//! `trust-engine log`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use pollster::block_on;
use serde_json::json;
use trust_engine::blocking::Engine;
#[cfg(feature = "postgres")]
use trust_engine::log::check_copy;
use trust_engine::log::{Report, check_export, check_shards, deployment_keys, export};
use trust_engine::provenance::SignedCheckpoint;
use trust_engine::storage::Store;
use trust_engine::{Options, VerifierKeys, storage};
use uuid::Uuid;

use crate::target::Target;
use crate::{Failure, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Verify a store or an exported folder: recompute everything.
    Verify {
        /// The store or the exported folder.
        folder: PathBuf,
        /// The log's verifier key (name+id+key), and every later one if it was rotated. Without it, those in the folder: that
        /// finds damage, not forgery.
        #[arg(long)]
        key: Vec<String>,
        /// A checkpoint that was kept earlier: catches a log that was rolled back or rewritten.
        #[arg(long)]
        since: Option<PathBuf>,
    },
    /// Print the tlog-proof of a record.
    Prove {
        /// The store.
        folder: PathBuf,
        /// The record's id.
        id: Uuid,
    },
    /// Export a store's log: a C2SP tlog-tiles folder with checkpoint and key, and JSON Lines.
    Export {
        /// The store.
        folder: PathBuf,
        /// An empty or new folder.
        to: PathBuf,
        /// The shard to export; a restored log has more than one.
        #[arg(long, default_value_t = 0)]
        shard: u32,
    },
    /// Set a log whose time is ahead back to the clock: it goes on in a new shard, at the clock's time.
    SetBack(SetBack),
}

#[derive(Args)]
pub(crate) struct SetBack {
    #[command(flatten)]
    target: Target,
    /// The operator, for the record.
    #[arg(long, default_value = "trust-engine-cli")]
    actor: String,
}

/// Runs the command; true if nothing is wrong.
pub(crate) fn run(command: &Command, as_json: bool) -> Result<bool, Failure> {
    match command {
        Command::Verify { folder, key, since } => verify(folder, key, since.as_deref(), as_json),
        Command::Prove { folder, id } => {
            must_be_store(folder)?;
            let engine = Engine::open(Options::embedded(folder))?;
            let log = engine.log().fleet_wide();
            let (record, proof) = (log.get(*id)?, log.prove(*id)?);
            if as_json {
                let entry = String::from_utf8_lossy(record.entry_bytes()).into_owned();
                output::json(&json!({ "entry": entry, "proof": proof.to_string() }));
            } else {
                output::line(proof.to_string().trim_end_matches('\n'));
            }
            Ok(true)
        }
        Command::Export { folder, to, shard } => {
            must_be_store(folder)?;
            let key = verifier_keys(folder, &[])?.of_shard(*shard);
            let store = storage::embedded(folder)?;
            let exported = block_on(export(&*store, *shard, &key, to, &mut output::progress("export")))?;
            if as_json {
                output::json(&json!({ "entries": exported.entries, "files": exported.files }));
            } else {
                output::line(format_args!("{} entries exported to {}", exported.entries, to.display()));
            }
            Ok(true)
        }
        Command::SetBack(SetBack { target, actor }) => {
            let engine = Engine::open(target.options()?)?;
            let done = engine.deployment().set_log_back(actor);
            engine.close();
            done?;
            if as_json {
                output::json(&json!({ "setBack": true }));
            } else {
                output::line("the log goes on in a new shard, at the clock's time");
            }
            Ok(true)
        }
    }
}

fn verify(folder: &Path, keys: &[String], since: Option<&Path>, as_json: bool) -> Result<bool, Failure> {
    if folder.to_string_lossy().contains("://") {
        return Err(
            "a folder is needed; a database is verified by `engine.log().verify_all()` in a program".into()
        );
    }
    let keys = verifier_keys(folder, keys)?;
    let since: Vec<SignedCheckpoint> = since.map(read_checkpoint).transpose()?.into_iter().collect();
    let reports = if storage::is_embedded_store(folder)? {
        let store = storage::embedded(folder)?;
        // Keys that cannot be read are damage, which the reports tell of.
        let known = block_on(deployment_keys(&*store)).ok().flatten();
        let last = keys.last().public_key();
        if known.is_some_and(|known| known.contains(keys.last()) && known.last().public_key() != last)
            && !as_json
        {
            eprintln!("the key was rotated since the last one that was given: give every key with --key");
        }
        verify_all(&*store, &keys, &since)?
    } else {
        // An export is of one shard, which its own key names.
        let shard = verifier_keys(folder, &[]).ok().and_then(|own| own.last().shard());
        let key = shard.map_or_else(|| keys.last().clone(), |shard| keys.of_shard(shard));
        vec![check_export(folder, &key, since.first())?]
    };
    for report in &reports {
        if as_json {
            output::json(&to_json(report))
        } else {
            output::line(report);
        }
    }
    Ok(reports.iter().all(Report::is_clean))
}

/// Checks all shards, each against the checkpoints of its origin that were kept.
pub(crate) fn verify_all(
    store: &dyn Store,
    keys: &VerifierKeys,
    kept: &[SignedCheckpoint],
) -> Result<Vec<Report>, Failure> {
    let heads = block_on(store.heads())?;
    let keys: Vec<_> = heads.iter().map(|head| (head.shard, keys.of_shard(head.shard))).collect();
    for checkpoint in kept {
        let origin = &checkpoint.checkpoint.origin;
        if keys.iter().all(|(_, key)| key.name() != origin) {
            return Err(format!("the checkpoint is of {origin}, and there is no such log").into());
        }
    }
    let each = if kept.is_empty() { vec![None] } else { kept.iter().map(Some).collect() };
    let mut reports = Vec::new();
    for since in each {
        reports.extend(block_on(check_shards(store, &keys, since, &mut output::progress("verify")))?);
    }
    Ok(reports)
}

/// Checks all shards of a copy that engines cannot open yet.
#[cfg(feature = "postgres")]
pub(crate) fn verify_copy(store: &dyn Store, keys: &VerifierKeys) -> trust_engine::Result<Vec<Report>> {
    let heads = block_on(store.heads())?;
    let keys: Vec<_> = heads.iter().map(|head| (head.shard, keys.of_shard(head.shard))).collect();
    block_on(check_copy(store, &keys, &mut output::progress("verify")))
}

pub(crate) fn to_json(report: &Report) -> serde_json::Value {
    let finding = |finding: &trust_engine::log::Finding| json!({ "index": finding.index, "damage": finding.damage.to_string(), "detail": finding.detail });
    json!({
        "origin": report.origin,
        "clean": report.is_clean(),
        "entries": report.entries,
        "payloads": report.payloads,
        "checkpoints": report.checkpoints,
        "firstBadIndex": report.first_bad_index(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

pub(crate) fn must_be_store(folder: &Path) -> Result<(), Failure> {
    if storage::is_embedded_store(folder)? {
        return Ok(());
    }
    Err(format!("{} holds no store", folder.display()).into())
}

/// The keys that are given, or those in the folder.
pub(crate) fn verifier_keys(folder: &Path, given: &[String]) -> Result<VerifierKeys, Failure> {
    if !given.is_empty() {
        return Ok(given.join("\n").parse()?);
    }
    let file = folder.join("verifier.key");
    let text =
        std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}; give --key", file.display()))?;
    Ok(text.parse()?)
}

pub(crate) fn read_checkpoint(file: &Path) -> Result<SignedCheckpoint, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(SignedCheckpoint::parse(&text).map_err(|issue| format!("{}: {issue}", file.display()))?)
}
