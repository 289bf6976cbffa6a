//! `trust-engine agent`.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use trust_engine::blocking::Engine;
use trust_engine::{AgentQuery, AgentStatus, NewAgent, Options, OrganizationId, storage};

use crate::{Failure, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List agents in the order of their registration.
    List(List),
    /// Register the agents of a file, one JSON object a line; those that are refused are named and cost no other.
    Import(Import),
}

#[derive(Args)]
pub(crate) struct Import {
    /// Folder of the store.
    #[arg(long)]
    store: PathBuf,
    /// The agents' organization.
    #[arg(long, default_value = "default")]
    organization: String,
    /// The file, of lines such as {"id":"agent_001","tier":"VERIFIED","creator":"ops"}.
    file: PathBuf,
}

/// Lines that are registered together.
const LINES: usize = 10_000;
/// Refusals that are told; all are counted.
const MAX_TOLD: usize = 20;

#[derive(Args)]
pub(crate) struct List {
    /// Folder of the store.
    #[arg(long)]
    store: PathBuf,
    /// The agents' organization.
    #[arg(long, default_value = "default")]
    organization: String,
    /// Only agents that hold this tier.
    #[arg(long)]
    tier: Option<String>,
    /// Only agents with this status: ACTIVE, SUSPENDED or REVOKED.
    #[arg(long)]
    status: Option<AgentStatus>,
    /// Only the family of this agent: it and all that descend from it.
    #[arg(long)]
    family: Option<String>,
    /// How many at a time, 1 to 1,000.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Go on where a page ended: the cursor that it gave.
    #[arg(long)]
    after: Option<String>,
}

/// Runs the command.
pub(crate) fn run(command: &Command, as_json: bool) -> Result<bool, Failure> {
    match command {
        Command::List(arguments) => list(arguments, as_json),
        Command::Import(arguments) => import(arguments, as_json),
    }
}

/// Registers the agents of a file; true if none was refused.
fn import(arguments: &Import, as_json: bool) -> Result<bool, Failure> {
    let Import { store, organization, file } = arguments;
    if !storage::is_embedded_store(store)? {
        return Err(format!("{} holds no store", store.display()).into());
    }
    let lines = std::fs::File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut lines = (1..).zip(BufReader::new(lines).split(b'\n'));
    let engine = Engine::open(Options::embedded(store))?;
    let agents = engine.agents().of(OrganizationId::parse(organization)?);
    let (mut registered, mut refused) = (0u64, Vec::new());
    loop {
        let (mut places, mut batch) = (Vec::new(), Vec::new());
        let mut read = 0;
        for (number, line) in lines.by_ref().take(LINES) {
            read += 1;
            let line = line.map_err(|error| format!("{}: {error}", file.display()))?;
            match parse(&line) {
                Ok(Some(agent)) => {
                    places.push(number);
                    batch.push(agent);
                }
                Ok(None) => {}
                Err(issue) => refused.push((number, issue)),
            }
        }
        if read == 0 {
            break;
        }
        for (number, outcome) in places.into_iter().zip(agents.import(batch)) {
            match outcome {
                Ok(_) => registered += 1,
                Err(error) => refused.push((number, error.to_string())),
            }
        }
    }
    refused.sort_unstable();
    let told = refused.iter().take(MAX_TOLD);
    if as_json {
        let told: Vec<_> = told.map(|(line, issue)| json!({ "line": line, "issue": issue })).collect();
        output::json(&json!({ "registered": registered, "refused": refused.len(), "refusals": told }));
    } else {
        told.for_each(|(line, issue)| output::line(format_args!("line {line}: {issue}")));
        output::line(format_args!("{registered} agents registered, {} refused", refused.len()));
    }
    Ok(refused.is_empty())
}

/// The agent of a line; an empty line has none.
fn parse(line: &[u8]) -> Result<Option<NewAgent>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.is_empty() {
        return Ok(None);
    }
    // Serde would read a list as fields in order.
    if !line.starts_with('{') {
        return Err("is no JSON object".into());
    }
    serde_json::from_str(line).map(Some).map_err(|error| error.to_string())
}

fn list(arguments: &List, as_json: bool) -> Result<bool, Failure> {
    let List { store, organization, tier, status, family, limit, after } = arguments;
    if !storage::is_embedded_store(store)? {
        return Err(format!("{} holds no store", store.display()).into());
    }
    let mut query = AgentQuery::new().limit(*limit);
    if let Some(tier) = tier {
        query = query.tier(tier);
    }
    if let Some(status) = status {
        query = query.status(*status);
    }
    if let Some(family) = family {
        query = query.family(family);
    }
    let total = query.clone();
    if let Some(cursor) = after {
        query = query.after(cursor);
    }
    let engine = Engine::open(Options::embedded(store))?;
    let agents = engine.agents().of(OrganizationId::parse(organization)?);
    // A total that would take too long is left out.
    let (page, total) = (agents.list(&query)?, agents.count(&total).ok());
    if as_json {
        output::json(&json!({ "data": page.agents, "nextPageToken": page.next, "total": total }));
        return Ok(true);
    }
    let row = |agent: &trust_engine::Agent| {
        let family = agent.family.as_ref().map(ToString::to_string).unwrap_or_default();
        let registered = agent.registered_at.to_string();
        vec![agent.id.to_string(), agent.tier.clone(), agent.status.as_str().to_owned(), family, registered]
    };
    output::table(&["agent", "tier", "status", "family", "registered"], page.agents.iter().map(row));
    match total {
        Some(total) => output::line(format_args!("{} of {total}", page.agents.len())),
        None => output::line(format_args!("{} of many", page.agents.len())),
    }
    if let Some(next) = &page.next {
        output::line(format_args!("the next page: --after {next}"));
    }
    Ok(true)
}
