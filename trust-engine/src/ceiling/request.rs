//! The request for a ceiling check, and its bounds.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::slot::MAX_AMOUNT;
use crate::attribution::attributed;
use crate::bounds::{MAX_ID_BYTES, MAX_NAME_BYTES, check_id, check_line, check_optional_line};
use crate::error::{Error, Result};
use crate::ids::OrganizationId;

/// The most resources in one request.
pub const MAX_RESOURCES: usize = 16;

/// A request for a ceiling check: may this agent use this much?
///
/// ```
/// use trust_engine::CeilingRequest;
///
/// let request = CeilingRequest::new("agent_001", "API_CALLS", 10).and("COMPUTE", 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CeilingRequest {
    agent_id: String,
    resources: SmallVec<[Demand; 1]>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// An amount of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Demand {
    #[serde(rename = "resourceType")]
    resource: String,
    #[serde(rename = "requestedAmount")]
    amount: u64,
}

impl CeilingRequest {
    /// A request of `agent`, in the organization `default`, for an amount of 1 to 2^40 − 1 of a resource.
    pub fn new(agent: impl Into<String>, resource: impl Into<String>, amount: u64) -> Self {
        Self {
            agent_id: agent.into(),
            resources: smallvec![Demand { resource: resource.into(), amount }],
            tier: None,
            organization: OrganizationId::default(),
            caller: None,
            on_behalf_of: None,
            traceparent: None,
            request_id: None,
        }
    }

    /// Adds another resource: all are granted, or none. A request takes at most 16 resources, each once.
    #[must_use]
    pub fn and(mut self, resource: impl Into<String>, amount: u64) -> Self {
        self.resources.push(Demand { resource: resource.into(), amount });
        self
    }

    /// The organization that the agent belongs to.
    #[must_use]
    pub fn organization(mut self, organization: OrganizationId) -> Self {
        self.organization = organization;
        self
    }

    /// The tier that the caller says the agent holds. It is only a claim, as in
    /// [`GateRequest::tier`](crate::GateRequest::tier). With a claim below the held tier the lower of the two
    /// ceilings counts.
    #[must_use]
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.tier = Some(tier.into());
        self
    }

    /// Names the request, so that a retry of an admitted one costs nothing and gets the same answer: in every engine of a
    /// fleet, for 24 hours. The check is recorded, whatever the policy says, and committed before its answer. An id is the
    /// agent's own; used for a request with other content it is a conflict.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_id("agentId", &self.agent_id)?;
        if !(1..=MAX_RESOURCES).contains(&self.resources.len()) {
            let issue = format!("are {}; a request takes 1 to {MAX_RESOURCES}", self.resources.len());
            return Err(Error::invalid("resources", issue));
        }
        for (place, Demand { resource, amount }) in self.resources.iter().enumerate() {
            check_resource(resource)?;
            check_amount(*amount)?;
            if self.resources.iter().take(place).any(|other| other.resource == *resource) {
                return Err(Error::invalid("resourceType", format!("{resource:?} is asked for twice")));
            }
        }
        check_optional_line("tier", self.claimed_tier(), MAX_NAME_BYTES)?;
        self.attribution().check()?;
        check_optional_line("requestId", self.id(), MAX_ID_BYTES)
    }

    /// Whether another request is a retry of this one: only its trace may differ, as each try has its own.
    pub(crate) fn is_retried_as(&self, other: &Self) -> bool {
        let Self {
            agent_id,
            resources,
            tier,
            organization,
            caller,
            on_behalf_of,
            traceparent: _,
            request_id,
        } = self;
        (agent_id, resources, tier, organization)
            == (&other.agent_id, &other.resources, &other.tier, &other.organization)
            && (caller, on_behalf_of, request_id) == (&other.caller, &other.on_behalf_of, &other.request_id)
    }

    pub(crate) fn agent_name(&self) -> &str {
        &self.agent_id
    }
    /// The resources and their amounts.
    pub(crate) fn amounts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.resources.iter().map(|demand| (demand.resource.as_str(), demand.amount))
    }
    /// The resource and its amount, if there is only one.
    pub(crate) fn only_amount(&self) -> Option<(&str, u64)> {
        match &*self.resources {
            [demand] => Some((&demand.resource, demand.amount)),
            _ => None,
        }
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
    pub(crate) fn id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

attributed!(CeilingRequest);

/// Checks an amount: 1 to 2^40 − 1.
pub(crate) fn check_amount(amount: u64) -> Result<()> {
    match amount {
        1..=MAX_AMOUNT => Ok(()),
        _ => Err(Error::invalid("requestedAmount", format!("is {amount}; it must be 1 to {MAX_AMOUNT}"))),
    }
}

/// Checks the name of a resource.
pub(crate) fn check_resource(resource: &str) -> Result<()> {
    check_line("resourceType", resource, MAX_NAME_BYTES)
}
