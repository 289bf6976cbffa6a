//! `trust-engine agent`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use trust_engine::blocking::Engine;
use trust_engine::{AgentQuery, AgentStatus, Options, OrganizationId, storage};

use crate::{Failure, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List agents in the order of their registration.
    List(List),
}

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
    }
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
    let (page, total) = (agents.list(&query)?, agents.count(&total)?);
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
    output::line(format_args!("{} of {total}", page.agents.len()));
    if let Some(next) = &page.next {
        output::line(format_args!("the next page: --after {next}"));
    }
    Ok(true)
}
