//! `trust-engine policy`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use trust_engine::{Clock as _, Policy, PolicyWarning, SystemClock};

use crate::{Failure, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a YAML or JSON policy: report every mistake, and warn of what may mean something else than it seems to.
    Check {
        /// The document.
        file: PathBuf,
    },
}

/// Runs the command; true if the policy has no mistakes.
pub(crate) fn run(command: &Command, as_json: bool) -> Result<bool, Failure> {
    let Command::Check { file } = command;
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match Policy::parse(&text) {
        Ok(policy) => {
            let document = policy.document();
            let (tiers, roles, rules) = (document.tiers.len(), document.roles.len(), document.rules.len());
            let warnings = document.warnings(SystemClock.now());
            if as_json {
                let hash = policy.hash().to_string();
                let warnings = warnings
                    .iter()
                    .map(|PolicyWarning { path, issue }| json!({ "path": path, "issue": issue }));
                let warnings: Vec<_> = warnings.collect();
                output::json(
                    &json!({ "valid": true, "hash": hash, "tiers": tiers, "roles": roles, "rules": rules, "warnings": warnings }),
                );
            } else {
                for warning in &warnings {
                    output::line(format_args!("{}: warning: {warning}", file.display()));
                }
                output::line(format_args!(
                    "{}: valid, {tiers} tiers, {roles} roles, {rules} rules",
                    file.display()
                ));
                output::line(format_args!("hash {}", policy.hash()));
            }
            Ok(true)
        }
        Err(errors) => {
            if as_json {
                output::json(&json!({ "valid": false, "errors": errors }));
            } else {
                for error in errors.iter() {
                    output::line(format_args!("{}:{error}", file.display()));
                }
                output::line(format_args!("{} mistakes", errors.len()));
            }
            Ok(false)
        }
    }
}
