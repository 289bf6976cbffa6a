//! A gateway in front of a fleet of agents: it asks before each action, and an auditor checks one answer afterwards.
//!
//! `cargo run -p trust-engine-example`

use std::error::Error;

use trust_engine::blocking::Engine;
use trust_engine::{
    AgentChange, AgentStatus, CeilingRequest, Decision, GateRequest, NewAgent, NewRecord, Options,
    PolicyDocument, Query, Record, RecordType, verify,
};

/// Readers may read everything; only the release team may write to production, and never without a reason to escalate.
const POLICY: &str = r"
policyFormat: 1
name: release-team
tiers: [{ name: GUEST }, { name: MEMBER }, { name: RELEASER }]
roles:
  - { name: READER, minimumTier: GUEST }
  - { name: DEPLOYER, minimumTier: RELEASER }
rules:
  - id: production-needs-a-second-pair-of-eyes
    effect: ESCALATE
    reason: production is changed by two people
    escalationPath: release-managers
    when: { roles: [DEPLOYER], environments: [production] }
  - { id: anything-else, effect: ALLOW }
defaultEffect: DENY
resources: [DEPLOYMENTS]
ceilings:
  agent: [{ tier: RELEASER, resource: DEPLOYMENTS, limit: 3, windowSeconds: 86400 }]
";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let policy = PolicyDocument::parse(POLICY)?;
    let engine = Engine::open(Options::embedded(folder.path()).policy(policy))?;

    let agents = engine.agents();
    agents.register(NewAgent::new("agent_docs").tier("GUEST").created_by("ops"))?;
    agents.register(NewAgent::new("agent_ship").tier("RELEASER").created_by("ops"))?;

    let read = GateRequest::new("agent_docs", "READER").resource("handbook").action("read");
    let deploy = GateRequest::new("agent_ship", "DEPLOYER").resource("api").action("deploy");
    for request in [
        read.clone(),
        GateRequest::new("agent_docs", "DEPLOYER").resource("api").action("deploy"),
        deploy.clone().environment("staging"),
        deploy.clone().environment("production"),
    ] {
        println!("{}", engine.evaluate_gate(&request)?);
    }

    // A releaser may deploy three times a day, so the fourth check is refused.
    let another = CeilingRequest::new("agent_ship", "DEPLOYMENTS", 1);
    for _ in 0..4 {
        println!("{}", engine.check_ceiling(&another)?);
    }

    // A change of an agent counts from the next request on.
    let suspended = AgentChange::of_version(1).status(AgentStatus::Suspended).changed_by("ops");
    agents.change("agent_ship", suspended)?;
    let verdict = engine.evaluate_gate(&deploy.environment("staging"))?;
    println!("{verdict}\n{}", verdict.trace());
    if verdict.decision() != Decision::Deny {
        return Err("a suspended agent was let through".into());
    }

    // What the host does itself is recorded too, and can be found again.
    let log = engine.log();
    let told = NewRecord::new(RecordType::Escalation, "agent_ship", "PAUSED").reason("ops looks into it");
    let told = log.record(told.parent(verdict.id()))?;
    let found = log.query(&Query::new().agent("agent_ship").kind(RecordType::Escalation))?;
    if found.records.iter().map(Record::id).collect::<Vec<_>>() != [told.id()] {
        return Err("the record was not found".into());
    }

    // An auditor has the entry, the proof and the log's public key, and needs nothing else of ours.
    let (record, proof) = (log.get(verdict.id())?, log.prove(verdict.id())?.to_string());
    let key = engine.verifier_key();
    let proved = verify::record(record.entry_bytes(), &proof, &key)?;
    println!("\nentry {} of the log {} proves it:\n{proof}", proved.index, proved.checkpoint.origin);
    let forged = String::from_utf8(record.entry_bytes().to_owned())?.replace("DENY", "ALLOW");
    match verify::record(forged.as_bytes(), &proof, &key) {
        Err(error) => println!("a changed entry is refused: {error}"),
        Ok(_) => return Err("a changed entry was believed".into()),
    }
    engine.close();
    Ok(())
}
