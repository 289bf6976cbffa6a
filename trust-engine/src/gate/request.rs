//! The request to a role gate, and its bounds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attribution::attributed;
use crate::bounds::{MAX_NAME_BYTES, check_line, check_object, check_optional_line};
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};

/// The longest resource, in bytes.
pub const MAX_RESOURCE_BYTES: usize = 1024;
/// The longest action or environment, in bytes.
pub const MAX_ACTION_BYTES: usize = 256;

/// A request to a role gate: may this agent take this role here?
///
/// ```
/// use trust_engine::GateRequest;
///
/// let request = GateRequest::new("agent_001", "DATA_ANALYST").resource("dataset_001").action("read");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateRequest {
    agent_id: String,
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    #[serde(default)]
    organization: OrganizationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default)]
    context: GateContext,
}

/// The context in which the role is to be used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GateContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<serde_json::Map<String, Value>>,
}

impl GateRequest {
    /// A request of `agent` for `role`, in the organization `default`.
    pub fn new(agent: impl Into<String>, role: impl Into<String>) -> Self {
        Self {
            agent_id: agent.into(),
            role: role.into(),
            tier: None,
            organization: OrganizationId::default(),
            caller: None,
            on_behalf_of: None,
            traceparent: None,
            context: GateContext::default(),
        }
    }

    /// The organization that the agent belongs to.
    #[must_use]
    pub fn organization(mut self, organization: OrganizationId) -> Self {
        self.organization = organization;
        self
    }

    /// The tier that the caller says the agent holds.
    ///
    /// The tier is only a claim: it counts when [`caller`](Self::caller) is a tier authority of the engine, otherwise
    /// it can only lower the tier that the agent is evaluated at.
    #[must_use]
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.tier = Some(tier.into());
        self
    }

    /// The resource that the role is to be used on.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.context.resource_id = Some(resource.into());
        self
    }

    /// The action that is to be done.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.context.action = Some(action.into());
        self
    }

    /// The environment: `production`, `staging`…
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.context.environment = Some(environment.into());
        self
    }

    /// Other data worth recording, without influence on the decision.
    #[must_use]
    pub fn metadata(mut self, metadata: serde_json::Map<String, Value>) -> Self {
        self.context.metadata = Some(metadata);
        self
    }

    /// Checks every bound and gives the agent's id.
    pub(crate) fn check(&self) -> Result<AgentId> {
        let agent = AgentId::parse(&self.agent_id)?;
        check_line("role", &self.role, MAX_NAME_BYTES)?;
        check_optional_line("tier", self.claimed_tier(), MAX_NAME_BYTES)?;
        self.attribution().check()?;
        check_optional_line("context.resourceId", self.resource_name(), MAX_RESOURCE_BYTES)?;
        check_optional_line("context.action", self.action_name(), MAX_ACTION_BYTES)?;
        check_optional_line("context.environment", self.environment_name(), MAX_ACTION_BYTES)?;
        if let Some(metadata) = &self.context.metadata {
            check_object("context.metadata", metadata)?;
        }
        Ok(agent)
    }

    /// The requested role.
    pub fn role_name(&self) -> &str {
        &self.role
    }

    pub(crate) fn organization_id(&self) -> &OrganizationId {
        &self.organization
    }
    pub(crate) fn claimed_tier(&self) -> Option<&str> {
        self.tier.as_deref()
    }
    pub(crate) fn caller_name(&self) -> Option<&str> {
        self.caller.as_deref()
    }
    pub(crate) fn resource_name(&self) -> Option<&str> {
        self.context.resource_id.as_deref()
    }
    pub(crate) fn action_name(&self) -> Option<&str> {
        self.context.action.as_deref()
    }
    pub(crate) fn environment_name(&self) -> Option<&str> {
        self.context.environment.as_deref()
    }
}

attributed!(GateRequest);
