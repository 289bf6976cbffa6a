//! `trust-engine gate`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use trust_engine::blocking::Engine;
use trust_engine::{GateRequest, Options, OrganizationId, Verdict, storage};

use crate::{Failure, output};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of the store.
    #[arg(long)]
    store: PathBuf,
    /// The agent.
    #[arg(long)]
    agent: String,
    /// The role it asks for.
    #[arg(long)]
    role: String,
    /// The tier that is claimed for it.
    #[arg(long)]
    tier: Option<String>,
    /// Assert the claimed tier: the operator of this command vouches for it.
    #[arg(long, requires = "tier")]
    assert: bool,
    /// The agent's organization.
    #[arg(long, default_value = "default")]
    organization: String,
    /// The resource that the role is to be used on.
    #[arg(long)]
    resource: Option<String>,
    /// The action that is to be done.
    #[arg(long)]
    action: Option<String>,
    /// Where.
    #[arg(long)]
    environment: Option<String>,
}

const CALLER: &str = "trust-engine-cli";

/// Runs the command; true if the gate allows.
pub(crate) fn run(arguments: &Arguments, as_json: bool) -> Result<bool, Failure> {
    if !storage::is_embedded_store(&arguments.store)? {
        return Err(format!("{} holds no store", arguments.store.display()).into());
    }
    let mut options = Options::embedded(&arguments.store);
    if arguments.assert {
        options = options.tier_authority(CALLER);
    }
    let mut request = GateRequest::new(&arguments.agent, &arguments.role)
        .organization(OrganizationId::parse(&arguments.organization)?)
        .caller(CALLER);
    if let Some(tier) = &arguments.tier {
        request = request.tier(tier);
    }
    if let Some(resource) = &arguments.resource {
        request = request.resource(resource);
    }
    if let Some(action) = &arguments.action {
        request = request.action(action);
    }
    if let Some(environment) = &arguments.environment {
        request = request.environment(environment);
    }
    let engine = Engine::open(options)?;
    let verdict = engine.evaluate_gate(&request)?;
    if as_json {
        output::json(&to_json(&verdict)?);
    } else {
        output::line(format_args!("{verdict}\n{}", verdict.trace()));
        if let Some(receipt) = verdict.receipt() {
            output::line(receipt);
        }
    }
    engine.close();
    Ok(verdict.allowed())
}

fn to_json(verdict: &Verdict) -> Result<serde_json::Value, Failure> {
    Ok(json!({
        "allowed": verdict.allowed(),
        "decision": verdict.decision(),
        "reasonCode": verdict.reason_code(),
        "reason": verdict.reason(),
        "requiredTier": verdict.required_tier(),
        "escalationPath": verdict.escalation_path(),
        "evaluatedAt": verdict.evaluated_at(),
        "policy": verdict.policy_hash().to_string(),
        "provenanceId": verdict.id(),
        "trace": serde_json::to_value(verdict.trace())?,
        "receipt": verdict.receipt().map(|receipt| json!({
            "origin": receipt.origin(),
            "leafIndex": receipt.leaf_index(),
            "treeSize": receipt.tree_size(),
            "merkleRoot": receipt.root().to_base64(),
            "signature": receipt.signature(),
        })),
    }))
}
