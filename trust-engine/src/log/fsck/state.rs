//! The comparison of the state with the log. Every change of an agent or of the policy has its record, so the record of
//! the highest version of each, in any shard, says what the store must hold now.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::PolicyHash;
use crate::provenance::{Entry, Payload, RecordType};
use crate::storage::{Shard, Store};

/// Agents read at a time.
const PAGE: usize = 1000;

/// The place of a record.
#[derive(Clone, Copy, Default)]
pub(super) struct Position {
    pub(super) shard: Shard,
    pub(super) index: u64,
}

/// A difference between the state and a record: the place of the record, and a description.
type Wrong = (Position, String);

/// Agents and policy as the records seen so far leave them.
#[derive(Default)]
pub(super) struct State {
    organizations: BTreeMap<OrganizationId, HashMap<AgentId, Recorded>>,
    policy: Option<(Position, u64, Option<PolicyHash>)>,
}

/// An agent's last record.
struct Recorded {
    at: Position,
    /// 0 if the payload is gone.
    version: u64,
    /// Hash of the agent as the record left it; `None` if the payload is gone.
    agent: Option<[u8; 32]>,
}

impl State {
    /// Keeps a record, if it is one of an agent or of the policy.
    pub(super) fn record(&mut self, at: Position, entry: Entry, payload: Option<&Payload>) {
        let body = || payload.and_then(|payload| payload.json().ok());
        match (entry.kind, entry.agent) {
            (RecordType::Agent, Some(id)) => {
                let after = body().and_then(|mut body| body.get_mut("after").map(Value::take));
                let version = after.as_ref().and_then(version_of).unwrap_or(0);
                let recorded = Recorded { at, version, agent: after.map(digest) };
                let agents = self.organizations.entry(entry.organization).or_default();
                if agents.get(&id).is_none_or(|known| known.version <= version || version == 0) {
                    agents.insert(id, recorded);
                }
            }
            (RecordType::Policy, _) => {
                let version = body().as_ref().and_then(version_of).unwrap_or(0);
                if self.policy.is_none_or(|(_, known, _)| known <= version || version == 0) {
                    self.policy = Some((at, version, entry.policy));
                }
            }
            _ => {}
        }
    }

    /// Compares the records with the store, and gives the differences.
    pub(super) async fn compare(self, store: &dyn Store) -> Result<Vec<Wrong>> {
        let mut wrong = Vec::new();
        for (organization, recorded) in self.organizations {
            compare_agents(store, &organization, recorded, &mut wrong).await?;
        }
        if let Some((at, _, recorded)) = self.policy {
            let held = store.policy().await?.map(|policy| policy.policy_hash());
            if held != recorded {
                let detail = "the store's policy is not the one that this record brought into force";
                wrong.push((at, detail.to_owned()));
            }
        }
        Ok(wrong)
    }
}

fn version_of(body: &Value) -> Option<u64> {
    body.get("version").and_then(Value::as_u64)
}

async fn compare_agents(
    store: &dyn Store,
    organization: &OrganizationId,
    mut recorded: HashMap<AgentId, Recorded>,
    wrong: &mut Vec<Wrong>,
) -> Result<()> {
    let mut after = None;
    loop {
        let page = store.agents(organization, after.as_ref(), PAGE).await?;
        after = page.last().map(|agent| agent.id.clone());
        let more = page.len() == PAGE;
        for agent in page {
            let id = agent.id.clone();
            let (at, same) = match recorded.remove(&id) {
                Some(Recorded { at, agent: Some(digested), .. }) => {
                    (at, serde_json::to_value(agent).map(digest).ok() == Some(digested))
                }
                // The payload was erased, so there is nothing to compare with.
                Some(Recorded { at, agent: None, .. }) => (at, true),
                None => (Position::default(), false),
            };
            if !same {
                let detail =
                    format!("the store's agent {id} of {organization} is not what its last record says");
                wrong.push((at, detail));
            }
        }
        if !more {
            break;
        }
    }
    for (id, Recorded { at, .. }) in recorded {
        wrong.push((at, format!("the store has lost the agent {id} of {organization}")));
    }
    Ok(())
}

fn digest(value: Value) -> [u8; 32] {
    Sha256::digest(value.to_string()).into()
}
