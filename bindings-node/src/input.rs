//! Values that come from JavaScript.

use napi_derive::napi;
use serde_json::{Map, Value};
use trust_engine::{
    AgentQuery, CeilingRequest, Error, GateRequest, OrganizationId, Query, RecordType, Result, Timestamp,
};

/// The fields that the requests of gates and ceilings share.
pub(crate) struct Asked {
    pub(crate) tier: Option<String>,
    pub(crate) organization: Option<String>,
    pub(crate) caller: Option<String>,
    pub(crate) on_behalf_of: Option<String>,
    pub(crate) traceparent: Option<String>,
}

/// Sets the shared fields of a request.
macro_rules! ask {
    ($request:ident, $asked:expr) => {
        let Asked { tier, organization, caller, on_behalf_of, traceparent } = $asked;
        if let Some(organization) = organization {
            $request = $request.organization(OrganizationId::parse(&organization)?);
        }
        if let Some(tier) = tier {
            $request = $request.tier(tier);
        }
        if let Some(caller) = caller {
            $request = $request.caller(caller);
        }
        if let Some(principal) = on_behalf_of {
            $request = $request.on_behalf_of(principal);
        }
        if let Some(traceparent) = traceparent {
            $request = $request.traceparent(traceparent);
        }
    };
}

/// A gate's request: fields in the order of `requests.cjs`, because reading them off an object costs more than the verdict.
pub(crate) struct Gate {
    pub(crate) agent: String,
    pub(crate) role: String,
    pub(crate) asked: Asked,
    pub(crate) resource: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) environment: Option<String>,
    /// JSON.
    pub(crate) metadata: Option<String>,
}

impl Gate {
    pub(crate) fn into_request(self) -> Result<GateRequest> {
        let mut request = GateRequest::new(self.agent, self.role);
        ask!(request, self.asked);
        if let Some(resource) = self.resource {
            request = request.resource(resource);
        }
        if let Some(action) = self.action {
            request = request.action(action);
        }
        if let Some(environment) = self.environment {
            request = request.environment(environment);
        }
        if let Some(metadata) = self.metadata {
            let metadata: Map<String, Value> = serde_json::from_str(&metadata)
                .map_err(|_| Error::invalid("context.metadata", "is not an object of JSON"))?;
            request = request.metadata(metadata);
        }
        Ok(request)
    }
}

/// A ceiling's request, likewise.
pub(crate) struct Ceiling {
    pub(crate) agent: String,
    pub(crate) resource: String,
    /// A double, as every number in JavaScript.
    pub(crate) amount: f64,
    pub(crate) asked: Asked,
    /// Makes a retry free.
    pub(crate) id: Option<String>,
}

impl Ceiling {
    pub(crate) fn into_request(self) -> Result<CeilingRequest> {
        let amount = self.amount;
        // A whole number in this range is exact, and the engine checks its bounds; any other is refused here.
        if amount.fract() != 0.0 || !(0.0..9e15).contains(&amount) {
            let issue = format!("is {amount}; it must be an integer from 1 to 2^40 - 1");
            return Err(Error::invalid("requestedAmount", issue));
        }
        let mut request = CeilingRequest::new(self.agent, self.resource, amount as u64);
        ask!(request, self.asked);
        if let Some(id) = self.id {
            request = request.request_id(id);
        }
        Ok(request)
    }
}

/// Which records to find.
#[napi(object, object_to_js = false)]
pub struct QueryInput {
    /// About an agent.
    pub agent_id: Option<String>,
    /// Of a type.
    #[napi(js_name = "type")]
    pub kind: Option<String>,
    /// With a decision.
    pub decision: Option<String>,
    /// Inclusive.
    pub start_time: Option<String>,
    /// Exclusive.
    pub end_time: Option<String>,
    /// That follow from another.
    pub parent_id: Option<String>,
    /// Oldest first.
    pub oldest_first: Option<bool>,
    /// Records per page.
    pub page_size: Option<f64>,
    /// Where a page ended.
    pub page_token: Option<String>,
    /// Not from a replica.
    pub read_your_writes: Option<bool>,
}

impl QueryInput {
    pub(crate) fn into_query(self) -> Result<Query> {
        let mut query = Query::new();
        if let Some(agent) = self.agent_id {
            query = query.agent(agent);
        }
        if let Some(kind) = self.kind {
            query = query.kind(kind.parse::<RecordType>()?);
        }
        if let Some(decision) = self.decision {
            query = query.decision(decision);
        }
        if let Some(from) = self.start_time {
            query = query.from(time("startTime", &from)?);
        }
        if let Some(to) = self.end_time {
            query = query.to(time("endTime", &to)?);
        }
        if let Some(parent) = self.parent_id {
            query = query.parent(uuid("parentId", &parent)?);
        }
        if self.oldest_first == Some(true) {
            query = query.oldest_first();
        }
        if let Some(size) = self.page_size {
            query = query.limit(integer("pageSize", size, 1, 1000)?);
        }
        if let Some(token) = self.page_token {
            query = query.after(token);
        }
        if self.read_your_writes == Some(true) {
            query = query.read_your_writes();
        }
        Ok(query)
    }
}

/// Which agents to find.
#[napi(object, object_to_js = false)]
pub struct AgentQueryInput {
    /// That hold a tier.
    pub tier: Option<String>,
    /// With a status.
    pub status: Option<String>,
    /// Of a family, by its root.
    pub family: Option<String>,
    /// Agents per page.
    pub page_size: Option<f64>,
    /// Where a page ended.
    pub page_token: Option<String>,
}

impl AgentQueryInput {
    pub(crate) fn into_query(self) -> Result<AgentQuery> {
        let mut query = AgentQuery::new();
        if let Some(tier) = self.tier {
            query = query.tier(tier);
        }
        if let Some(status) = self.status {
            query = query.status(status.parse()?);
        }
        if let Some(family) = self.family {
            query = query.family(family);
        }
        if let Some(size) = self.page_size {
            query = query.limit(integer("pageSize", size, 1, 1000)?);
        }
        if let Some(token) = self.page_token {
            query = query.after(token);
        }
        Ok(query)
    }
}

fn time(field: &'static str, text: &str) -> Result<Timestamp> {
    text.parse().map_err(|_| Error::invalid(field, format!("is {text:?}, which is no RFC 3339 instant")))
}

pub(crate) fn uuid(field: &'static str, text: &str) -> Result<uuid::Uuid> {
    text.parse().map_err(|_| Error::invalid(field, "is not a UUID"))
}

/// A whole number within bounds.
pub(crate) fn integer(field: &'static str, number: f64, min: usize, max: usize) -> Result<usize> {
    if number.fract() != 0.0 || !(min as f64..=max as f64).contains(&number) {
        return Err(Error::invalid(field, format!("is {number}; it must be an integer from {min} to {max}")));
    }
    Ok(number as usize)
}

pub(crate) fn organization(name: Option<&str>) -> Result<OrganizationId> {
    match name {
        // Stands for the whole fleet where that may be asked for.
        Some("*") => Err(Error::invalid("organization", "is '*', which is no organization")),
        Some(name) => OrganizationId::parse(name),
        None => Ok(OrganizationId::default()),
    }
}
