//! `trust-engine ceiling`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use trust_engine::blocking::Engine;
use trust_engine::{CeilingRequest, CeilingVerdict, Measure, Options, OrganizationId, storage};

use crate::target::Target;
use crate::{Failure, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check an amount, charge it if it is admitted, and record the verdict.
    Check(Check),
    /// Show what an agent uses of its ceilings.
    Usage(Usage),
    /// Bring counters that are ahead of the clock (CLOCK_SET_BACK) back to it; what they have charged still counts.
    Reset(Reset),
}

#[derive(Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    target: Target,
    /// The agent.
    #[arg(long)]
    agent: String,
    /// The agent's organization.
    #[arg(long, default_value = "default")]
    organization: String,
    /// The resource.
    #[arg(long)]
    resource: String,
    /// The operator, for the record.
    #[arg(long, default_value = CALLER)]
    actor: String,
}

#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    whom: Whom,
    /// The resource that is to be used.
    #[arg(long)]
    resource: String,
    /// How much of it, 1 to 2^40 - 1.
    #[arg(long)]
    amount: u64,
    /// The tier that is claimed for the agent.
    #[arg(long)]
    tier: Option<String>,
    /// Assert the claimed tier: the operator of this command vouches for it.
    #[arg(long, requires = "tier")]
    assert: bool,
    /// Only look: charge and record nothing.
    #[arg(long)]
    peek: bool,
}

#[derive(Args)]
pub(crate) struct Usage {
    #[command(flatten)]
    whom: Whom,
    /// Only this resource.
    #[arg(long)]
    resource: Option<String>,
}

#[derive(Args)]
struct Whom {
    /// Folder of the store.
    #[arg(long)]
    store: PathBuf,
    /// The agent.
    #[arg(long)]
    agent: String,
    /// The agent's organization.
    #[arg(long, default_value = "default")]
    organization: String,
}

const CALLER: &str = "trust-engine-cli";

/// Runs the command; true if the check is admitted.
pub(crate) fn run(command: &Command, as_json: bool) -> Result<bool, Failure> {
    match command {
        Command::Check(arguments) => check(arguments, as_json),
        Command::Usage(arguments) => usage(arguments, as_json),
        Command::Reset(arguments) => reset(arguments, as_json),
    }
}

fn options(whom: &Whom) -> Result<Options, Failure> {
    if !storage::is_embedded_store(&whom.store)? {
        return Err(format!("{} holds no store", whom.store.display()).into());
    }
    Ok(Options::embedded(&whom.store))
}

fn check(arguments: &Check, as_json: bool) -> Result<bool, Failure> {
    let mut options = options(&arguments.whom)?;
    if arguments.assert {
        options = options.tier_authority(CALLER);
    }
    let mut request = CeilingRequest::new(&arguments.whom.agent, &arguments.resource, arguments.amount)
        .organization(OrganizationId::parse(&arguments.whom.organization)?)
        .caller(CALLER);
    if let Some(tier) = &arguments.tier {
        request = request.tier(tier);
    }
    let engine = Engine::open(options)?;
    let verdict =
        if arguments.peek { engine.quotas().peek(&request)? } else { engine.check_ceiling(&request)? };
    if as_json {
        output::json(&to_json(&verdict));
    } else {
        output::line(&verdict);
        if let Some(receipt) = verdict.receipt() {
            output::line(receipt);
        }
    }
    engine.close();
    Ok(verdict.allowed())
}

fn usage(arguments: &Usage, as_json: bool) -> Result<bool, Failure> {
    let engine = Engine::open(options(&arguments.whom)?)?;
    let organization = OrganizationId::parse(&arguments.whom.organization)?;
    let mut usage = engine.quotas().of(organization).usage(&arguments.whom.agent)?;
    usage.retain(|usage| arguments.resource.as_ref().is_none_or(|resource| usage.resource == *resource));
    if usage.is_empty() && !as_json {
        output::line("no ceiling: nothing is allowed to this agent at the tier that it holds");
    } else {
        show(&arguments.whom.agent, &usage, as_json);
    }
    engine.close();
    Ok(true)
}

fn reset(arguments: &Reset, as_json: bool) -> Result<bool, Failure> {
    let Reset { target, agent, organization, resource, actor } = arguments;
    let engine = Engine::open(target.options()?)?;
    let quotas = engine.quotas().of(OrganizationId::parse(organization)?);
    let done = quotas.reset(agent, resource, actor);
    engine.close();
    show(agent, &done?.0, as_json);
    Ok(true)
}

fn show(agent: &str, usage: &[trust_engine::CeilingUsage], as_json: bool) {
    if as_json {
        let row = |usage: &trust_engine::CeilingUsage| {
            let mut row = of_measure(&usage.measure);
            row.insert("resourceType".into(), json!(usage.resource));
            row
        };
        let rows: Vec<_> = usage.iter().map(row).collect();
        output::json(&json!({ "agentId": agent, "usage": rows }));
    } else {
        let row = |usage: &trust_engine::CeilingUsage| {
            let measure = &usage.measure;
            vec![
                usage.resource.clone(),
                measure.level().to_string(),
                measure.current_usage().to_string(),
                measure.ceiling().to_string(),
                format!("{} %", measure.percentage()),
                measure.reset_at().to_string(),
            ]
        };
        output::table(&["resource", "level", "used", "ceiling", "share", "until"], usage.iter().map(row));
    }
}

pub(crate) fn to_json(verdict: &CeilingVerdict) -> Value {
    let mut json = verdict.measure().map(of_measure).unwrap_or_default();
    let own = json!({
        "allowed": verdict.allowed(),
        "decision": verdict.decision(),
        "reasonCode": verdict.reason_code(),
        "reason": verdict.reason(),
        "nearLimit": verdict.near_limit(),
        "refusedBy": verdict.refused_by(),
        "asOf": verdict.evaluated_at(),
        "provenanceId": verdict.id(),
    });
    if let Value::Object(own) = own {
        json.extend(own);
    }
    Value::Object(json)
}

fn of_measure(measure: &Measure) -> Map<String, Value> {
    let json = json!({
        "level": measure.level(),
        "currentUsage": measure.current_usage(),
        "ceiling": measure.ceiling(),
        "remaining": measure.remaining(),
        "percentage": measure.percentage(),
        "windowStart": measure.window_start(),
        "resetAt": measure.reset_at(),
    });
    match json {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
