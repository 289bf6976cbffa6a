//! `trust-engine backup`, `restore` and `copy`.

#[cfg(feature = "postgres")]
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use pollster::block_on;
use serde_json::json;
#[cfg(feature = "postgres")]
use trust_engine::log::Report;
use trust_engine::log::deployment_keys;
use trust_engine::storage;
use trust_engine::{Entropy as _, SystemEntropy};
#[cfg(feature = "postgres")]
use trust_engine::{Error, ErrorKind};

#[cfg(feature = "postgres")]
use crate::log::verify_copy;
use crate::log::{must_be_store, read_checkpoint, verifier_keys, verify_all};
use crate::{Failure, output};

#[derive(Args)]
pub(crate) struct Backup {
    /// Folder of the store; a process that has it open makes the copy itself, and goes on.
    #[arg(long)]
    store: PathBuf,
    /// A new or empty folder. The backup is a store with its signing key, so keep it as you keep that.
    #[arg(long)]
    to: PathBuf,
}

#[derive(Args)]
pub(crate) struct Restore {
    /// Folder of the backup; it stays as it is.
    #[arg(long)]
    from: PathBuf,
    /// A new or empty folder.
    #[arg(long)]
    to: PathBuf,
    /// The log's verifier key (name+id+key), and every later one if it was rotated. Without it, those in the backup: that
    /// finds damage, not forgery.
    #[arg(long)]
    key: Vec<String>,
    /// A checkpoint that was kept earlier, which the backup must contain. May be given more than once.
    #[arg(long)]
    since: Vec<PathBuf>,
}

/// Copies a store that is open or not.
pub(crate) fn backup(arguments: &Backup, as_json: bool) -> Result<bool, Failure> {
    let Backup { store, to } = arguments;
    storage::backup_embedded(store, to)?;
    if as_json {
        output::json(&json!({ "folder": to.display().to_string() }));
    } else {
        output::line(format_args!("{} backed up to {}", store.display(), to.display()));
    }
    Ok(true)
}

/// Verifies a backup, and makes a store of it that goes on in a new shard; false, and no store, if it is damaged.
pub(crate) fn restore(arguments: &Restore, as_json: bool) -> Result<bool, Failure> {
    let Restore { from, to, key, since } = arguments;
    must_be_store(from)?;
    let kept = since.iter().map(|file| read_checkpoint(file)).collect::<Result<Vec<_>, _>>()?;
    let keys = verifier_keys(from, key)?;
    // Verification and copy read one snapshot of one open store.
    let backup = storage::embedded(from)?;
    let reports = verify_all(&*backup, &keys, &kept)?;
    if let Some(damaged) = reports.iter().find(|report| !report.is_clean()) {
        if as_json {
            output::json(&json!({ "clean": false, "report": crate::log::to_json(damaged) }));
        } else {
            output::line(damaged);
            output::line("nothing was restored");
        }
        return Ok(false);
    }
    let known = block_on(deployment_keys(&*backup))?;
    if known.is_some_and(|known| !known.contains(keys.last())) {
        return Err("the backup was made before the key was rotated to the last one given: restored, it would be signed with the \
                    key before. To do so, leave the later keys out, and rotate the key of what was restored before engines \
                    open it"
            .into());
    }
    let mut random = [0; 3];
    SystemEntropy.fill(&mut random);
    let [a, b, c] = random;
    // Another restored copy of the same backup may have gone on in the next shard already.
    block_on(backup.restore(to, u32::from_be_bytes([0, a, b, c])))?;
    drop(backup);
    let heads = block_on(storage::embedded(to)?.heads())?;
    let entries: u64 = heads.iter().map(|head| head.size).sum();
    let shard = heads.last().map_or(0, |head| head.shard);
    if as_json {
        output::json(
            &json!({ "clean": true, "entries": entries, "shard": shard, "folder": to.display().to_string() }),
        );
    } else {
        let to = to.display();
        output::line(format_args!(
            "{entries} entries verified and restored to {to}; the log goes on in shard {shard}"
        ));
    }
    Ok(true)
}

#[cfg(feature = "postgres")]
#[derive(Args)]
pub(crate) struct Copy {
    /// Folder of the store, which no process may have open.
    #[arg(long)]
    store: PathBuf,
    /// URL of a PostgreSQL database.
    #[arg(long)]
    to: String,
    /// The schema to make there; it must be empty.
    #[arg(long, default_value = "trust_engine")]
    schema: String,
}

/// Copies a store into PostgreSQL and verifies the copy.
#[cfg(feature = "postgres")]
pub(crate) fn copy(arguments: &Copy, as_json: bool) -> Result<bool, Failure> {
    let Copy { store, to, schema } = arguments;
    must_be_store(store)?;
    let keys = verifier_keys(store, &[])?;
    let (from, from_counters) =
        storage::embedded_with_counters(store, std::sync::Arc::new(trust_engine::SystemClock))?;
    if let Some(damaged) = verify_all(&*from, &keys, &[])?.iter().find(|report| !report.is_clean()) {
        if as_json {
            output::json(&json!({ "clean": false, "report": crate::log::to_json(damaged) }));
        } else {
            output::line(damaged);
            output::line("nothing was copied");
        }
        return Ok(false);
    }
    let database = storage::Postgres::new(to).schema(schema);
    let (target, counters) = block_on(storage::postgres(&database))?;
    let mut random = [0; 16];
    SystemEntropy.fill(&mut random);
    let owner = uuid::Builder::from_random_bytes(random).into_uuid();
    let mut reports = Vec::new();
    let copied = block_on(trust_engine::log::copy(
        (&*from, &*from_counters),
        (&*target, &*counters),
        owner,
        &mut output::progress("copy"),
        &mut || {
            reports = verify_copy(&*target, &keys)?;
            if !reports.iter().all(Report::is_clean) {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    "the copy is not the log; drop it, the store goes on",
                ));
            }
            let reason = format!(
                "it was copied to PostgreSQL, into the schema {schema} (if that copy was not finished, see the page on \
                 operations)"
            );
            storage::retire_embedded(store, &reason)
        },
    ));
    let clean = reports.iter().all(Report::is_clean);
    if !clean {
        reports.iter().for_each(|report| match as_json {
            true => output::json(&json!({ "clean": false, "report": crate::log::to_json(report) })),
            false => output::line(report),
        });
        return Ok(false);
    }
    let copied = copied?;
    if as_json {
        output::json(&json!({
            "clean": true,
            "entries": copied.entries,
            "documents": copied.documents,
            "counters": copied.counters,
        }));
    } else {
        reports.iter().for_each(output::line);
        output::line(format_args!(
            "{} entries, {} documents and {} counters copied to the schema {schema}; the signing key stays in {}",
            copied.entries,
            copied.documents,
            copied.counters,
            display(store)
        ));
    }
    Ok(true)
}

#[cfg(feature = "postgres")]
fn display(folder: &Path) -> String {
    folder.join("signing.key").display().to_string()
}
