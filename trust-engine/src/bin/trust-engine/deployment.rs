//! `trust-engine deployment`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use pollster::block_on;
use serde_json::json;
use trust_engine::blocking::Engine;
use trust_engine::{VerifierKeys, rotate_embedded_key};

use crate::target::{Target, read_key};
use crate::{Failure, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the keys that verify the deployment's log, one a line: each from the shard in its name on.
    Keys(Target),
    /// Rotate the signing key: the log goes on in a new shard, and engines stop until they are opened with the new key.
    RotateKey(RotateKey),
}

#[derive(Args)]
pub(crate) struct RotateKey {
    #[command(flatten)]
    target: Target,
    /// File of the new signing key; a folder whose key lies beside the store gets one that is made now.
    #[arg(long)]
    new_signing_key: Option<PathBuf>,
    /// The operator, for the record.
    #[arg(long, default_value = "trust-engine-cli")]
    actor: String,
}

/// Runs the command.
pub(crate) fn run(command: &Command, as_json: bool) -> Result<bool, Failure> {
    let keys = match command {
        Command::Keys(target) => {
            let engine = Engine::open(target.options()?)?;
            let keys = engine.verifier_keys();
            engine.close();
            keys
        }
        Command::RotateKey(arguments) => rotate(arguments)?,
    };
    if as_json {
        let keys: Vec<_> = keys.to_string().lines().map(str::to_owned).collect();
        output::json(&json!({ "verifierKeys": keys }));
    } else {
        output::line(keys);
    }
    Ok(true)
}

fn rotate(arguments: &RotateKey) -> Result<VerifierKeys, Failure> {
    let RotateKey { target, new_signing_key, actor } = arguments;
    let options = target.options()?;
    match (target.key_folder(), new_signing_key) {
        (Some(folder), None) => Ok(block_on(rotate_embedded_key(folder, actor))?),
        (Some(folder), Some(_)) => {
            let folder = folder.display();
            Err(format!(
                "the key lies in {folder}, and gets one there that is made now: leave --new-signing-key out"
            )
            .into())
        }
        (None, None) => {
            Err("--new-signing-key is missing; make one, for example by `openssl rand -hex 32`".into())
        }
        (None, Some(file)) => {
            let signer = Arc::new(read_key(file)?);
            let engine = Engine::open(options.clone())?;
            let rotated = engine.deployment().rotate_key(signer.clone(), actor);
            // Also after an error: its shard is free then.
            engine.close();
            drop(engine);
            rotated?;
            // Opened with the new key, the store says whether all is well.
            let engine = Engine::open(options.signer(signer))?;
            let keys = engine.verifier_keys();
            engine.close();
            Ok(keys)
        }
    }
}
