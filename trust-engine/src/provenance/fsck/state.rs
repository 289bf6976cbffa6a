//! Whether the state is what the log says: every change of an agent or of the policy has its record, so the last
//! record of each says what the store must hold now.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Damage;
use super::checker::Checker;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::PolicyHash;
use crate::provenance::entry::{Entry, RecordType};
use crate::provenance::payload::Payload;
use crate::storage::Store;

/// Agents read at a time.
const PAGE: usize = 1000;

/// Agents and policy as the records seen so far leave them.
#[derive(Default)]
pub(super) struct State {
    organizations: BTreeMap<OrganizationId, HashMap<AgentId, Recorded>>,
    policy: Option<(u64, Option<PolicyHash>)>,
}

/// An agent's last record.
struct Recorded {
    index: u64,
    /// Hash of the agent as it left it; `None` if the payload is gone.
    agent: Option<[u8; 32]>,
}

impl State {
    pub(super) fn record(&mut self, index: u64, entry: Entry, payload: Option<&Payload>) {
        let agents = self.organizations.entry(entry.organization).or_default();
        match (entry.kind, entry.agent) {
            (RecordType::Agent, Some(id)) => {
                let body = payload.and_then(|payload| payload.json().ok());
                let agent = body.and_then(|mut body| body.get_mut("after").map(Value::take)).map(digest);
                agents.insert(id, Recorded { index, agent });
            }
            (RecordType::Policy, _) => self.policy = Some((index, entry.policy)),
            _ => {}
        }
    }

    /// Compares with what the store holds.
    pub(super) async fn compare(self, store: &dyn Store, checker: &mut Checker<'_>) -> Result<()> {
        for (organization, recorded) in self.organizations {
            compare_agents(store, &organization, recorded, checker).await?;
        }
        if let Some((index, recorded)) = self.policy {
            let held = store.policy().await?.map(|policy| policy.policy_hash());
            if held != recorded {
                let detail = "the store's policy is not the one that this record brought into force";
                checker.find(index, Damage::StateChanged, detail);
            }
        }
        Ok(())
    }
}

async fn compare_agents(
    store: &dyn Store,
    organization: &OrganizationId,
    mut recorded: HashMap<AgentId, Recorded>,
    checker: &mut Checker<'_>,
) -> Result<()> {
    let mut after = None;
    loop {
        let page = store.agents(organization, after.as_ref(), PAGE).await?;
        after = page.last().map(|agent| agent.id.clone());
        let more = page.len() == PAGE;
        for agent in page {
            let id = agent.id.clone();
            let (index, same) = match recorded.remove(&id) {
                Some(Recorded { index, agent: Some(digested) }) => {
                    (index, serde_json::to_value(agent).map(digest).ok() == Some(digested))
                }
                // Erased, so nobody can compare.
                Some(Recorded { index, agent: None }) => (index, true),
                None => (0, false),
            };
            if !same {
                let detail =
                    format!("the store's agent {id} of {organization} is not what its last record says");
                checker.find(index, Damage::StateChanged, detail);
            }
        }
        if !more {
            break;
        }
    }
    for (id, Recorded { index, .. }) in recorded {
        let detail = format!("the store has lost the agent {id} of {organization}");
        checker.find(index, Damage::StateChanged, detail);
    }
    Ok(())
}

fn digest(value: Value) -> [u8; 32] {
    Sha256::digest(value.to_string()).into()
}
