//! The `trust-engine` command: try it, ask it, check a policy, verify a log.

mod agent;
mod ceiling;
mod demo;
mod deployment;
mod gate;
mod log;
mod output;
mod policy;
mod store;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Errors of any kind, as the command prints them.
type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(
    version,
    about = "A trust engine for AI agents: role gates, capability ceilings and a provable record of every decision"
)]
struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the main job on a fresh store: register, decide, tamper, verify.
    Demo {
        /// Keep the store in this folder (empty or new) instead of a temporary one.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Evaluate a role gate on a store and record the verdict.
    Gate(gate::Arguments),
    /// Find agents.
    #[command(subcommand)]
    Agent(agent::Command),
    /// Check and show an agent's ceilings.
    #[command(subcommand)]
    Ceiling(ceiling::Command),
    /// Work on policy documents.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Keys of a deployment.
    #[command(subcommand)]
    Deployment(deployment::Command),
    /// Work on a log.
    #[command(subcommand)]
    Log(log::Command),
    /// Copy an embedded store, also one that is in use, into a new folder.
    Backup(store::Backup),
    /// Verify a backup and make a store of it.
    Restore(store::Restore),
    /// Copy an embedded store into an empty schema of PostgreSQL.
    #[cfg(feature = "postgres")]
    Copy(store::Copy),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Demo { folder } => demo::run(folder, cli.json),
        Command::Gate(arguments) => gate::run(&arguments, cli.json),
        Command::Agent(command) => agent::run(&command, cli.json),
        Command::Ceiling(command) => ceiling::run(&command, cli.json),
        Command::Policy(command) => policy::run(&command, cli.json),
        Command::Deployment(command) => deployment::run(&command, cli.json),
        Command::Log(command) => log::run(&command, cli.json),
        Command::Backup(arguments) => store::backup(&arguments, cli.json),
        Command::Restore(arguments) => store::restore(&arguments, cli.json),
        #[cfg(feature = "postgres")]
        Command::Copy(arguments) => store::copy(&arguments, cli.json),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            if cli.json {
                output::json(&serde_json::json!({ "error": error.to_string() }));
            } else {
                eprintln!("error: {error}");
            }
            ExitCode::from(2)
        }
    }
}
