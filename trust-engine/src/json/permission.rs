//! The permissions of callers.

use schemars::JsonSchema;
use serde::Serialize;

/// A permission that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Permission {
    #[serde(rename = "gates:evaluate")]
    EvaluateGates,
    #[serde(rename = "ceilings:check")]
    CheckCeilings,
    #[serde(rename = "provenance:read")]
    ReadProvenance,
    #[serde(rename = "provenance:write")]
    WriteProvenance,
    #[serde(rename = "stats:read")]
    ReadStats,
    #[serde(rename = "agents:read")]
    ReadAgents,
    #[serde(rename = "agents:write")]
    WriteAgents,
    #[serde(rename = "policy:read")]
    ReadPolicy,
    #[serde(rename = "policy:write")]
    WritePolicy,
    /// What only the host and its operator do.
    #[serde(rename = "engine:operate")]
    OperateEngine,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 10] = [
        Self::EvaluateGates,
        Self::CheckCeilings,
        Self::ReadProvenance,
        Self::WriteProvenance,
        Self::ReadStats,
        Self::ReadAgents,
        Self::WriteAgents,
        Self::ReadPolicy,
        Self::WritePolicy,
        Self::OperateEngine,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EvaluateGates => "gates:evaluate",
            Self::CheckCeilings => "ceilings:check",
            Self::ReadProvenance => "provenance:read",
            Self::WriteProvenance => "provenance:write",
            Self::ReadStats => "stats:read",
            Self::ReadAgents => "agents:read",
            Self::WriteAgents => "agents:write",
            Self::ReadPolicy => "policy:read",
            Self::WritePolicy => "policy:write",
            Self::OperateEngine => "engine:operate",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == word)
    }
}
