//! The bodies of requests.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::read;
use super::strict::{Amount, Named, StrictMap, Word};
use super::{Caller, MAX_BODY_BYTES};
use crate::ceiling::CeilingRequest;
use crate::error::{Error, Result};
use crate::gate::GateRequest;
use crate::provenance::{NewRecord, RecordType};

/// Reads a body.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    if body.len() > MAX_BODY_BYTES {
        let issue = format!("has {} bytes; at most {MAX_BODY_BYTES} are allowed", body.len());
        return Err(Error::invalid("body", issue));
    }
    read::read_as("body", body)
}

/// The one who asks: the caller, and the trace that its request came with.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) caller: &'a Caller,
    pub(super) traceparent: Option<&'a str>,
}

impl Asker<'_> {
    /// The traceparent of the body, or else that of the request.
    fn traceparent(self, in_body: Option<String>) -> Option<String> {
        in_body.or_else(|| self.traceparent.map(str::to_owned))
    }
}

/// May this agent take this role here?
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GateBody {
    agent_id: String,
    role: String,
    tier: Option<String>,
    on_behalf_of: Option<String>,
    traceparent: Option<String>,
    context: Option<Named<GateContext>>,
}

/// The context in which the role is to be used.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GateContext {
    resource_id: Option<String>,
    action: Option<String>,
    environment: Option<String>,
    metadata: Option<StrictMap>,
}

impl GateBody {
    pub(super) fn into_request(self, asker: Asker<'_>) -> GateRequest {
        let mut request =
            GateRequest::new(self.agent_id, self.role).organization(asker.caller.organization.clone());
        if let Some(tier) = self.tier {
            request = request.tier(tier);
        }
        if let Some(name) = &asker.caller.name {
            request = request.caller(name.as_str());
        }
        if let Some(principal) = self.on_behalf_of {
            request = request.on_behalf_of(principal);
        }
        if let Some(traceparent) = asker.traceparent(self.traceparent) {
            request = request.traceparent(traceparent);
        }
        let Some(Named(context)) = self.context else { return request };
        if let Some(resource) = context.resource_id {
            request = request.resource(resource);
        }
        if let Some(action) = context.action {
            request = request.action(action);
        }
        if let Some(environment) = context.environment {
            request = request.environment(environment);
        }
        if let Some(metadata) = context.metadata {
            request = request.metadata(metadata.0);
        }
        request
    }
}

/// One resource, or several of which all are admitted or none.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CeilingBody {
    agent_id: String,
    resource_type: Option<String>,
    requested_amount: Option<Amount>,
    resources: Option<Vec<Named<Demand>>>,
    tier: Option<String>,
    on_behalf_of: Option<String>,
    traceparent: Option<String>,
}

/// An amount of one resource: 1 to 2^40 - 1.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Demand {
    resource_type: String,
    requested_amount: Amount,
}

impl CeilingBody {
    pub(super) fn into_request(
        self,
        asker: Asker<'_>,
        idempotency_key: Option<&str>,
    ) -> Result<CeilingRequest> {
        let demands = match (self.resource_type, self.requested_amount, self.resources) {
            (Some(resource_type), Some(requested_amount), None) => {
                vec![Named(Demand { resource_type, requested_amount })]
            }
            (None, None, Some(resources)) => resources,
            (None, _, None) => return Err(Error::invalid("resourceType", "is missing")),
            (Some(_), None, None) => return Err(Error::invalid("requestedAmount", "is missing")),
            (_, _, Some(_)) => {
                return Err(Error::invalid("resources", "stands beside resourceType or requestedAmount"));
            }
        };
        let mut demands = demands.into_iter().map(|Named(demand)| demand);
        let Some(first) = demands.next() else { return Err(Error::invalid("resources", "is empty")) };
        let first = CeilingRequest::new(self.agent_id, first.resource_type, first.requested_amount.0);
        let mut request = demands
            .fold(first, |request, demand| request.and(demand.resource_type, demand.requested_amount.0))
            .organization(asker.caller.organization.clone());
        if let Some(tier) = self.tier {
            request = request.tier(tier);
        }
        if let Some(name) = &asker.caller.name {
            request = request.caller(name.as_str());
        }
        if let Some(principal) = self.on_behalf_of {
            request = request.on_behalf_of(principal);
        }
        if let Some(traceparent) = asker.traceparent(self.traceparent) {
            request = request.traceparent(traceparent);
        }
        if let Some(key) = idempotency_key {
            request = request.request_id(key);
        }
        Ok(request)
    }
}

/// A record that the host writes itself.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RecordBody {
    id: Option<Uuid>,
    #[serde(rename = "type")]
    #[schemars(with = "HostRecordType")]
    kind: Word<RecordType>,
    agent_id: String,
    decision: String,
    reason_code: Option<String>,
    reason: Option<String>,
    context: Option<StrictMap>,
    parent_id: Option<Uuid>,
    on_behalf_of: Option<String>,
    traceparent: Option<String>,
}

/// The types of records that a host writes.
#[derive(JsonSchema)]
#[schemars(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(dead_code, reason = "gives the schema of the words")]
enum HostRecordType {
    RoleGate,
    Ceiling,
    Escalation,
    Alert,
}

impl RecordBody {
    pub(super) fn into_record(self, asker: Asker<'_>) -> NewRecord {
        let mut record = NewRecord::new(self.kind.0, self.agent_id, self.decision);
        if let Some(name) = &asker.caller.name {
            record = record.caller(name.as_str());
        }
        if let Some(principal) = self.on_behalf_of {
            record = record.on_behalf_of(principal);
        }
        if let Some(traceparent) = asker.traceparent(self.traceparent) {
            record = record.traceparent(traceparent);
        }
        if let Some(id) = self.id {
            record = record.id(id);
        }
        if let Some(code) = self.reason_code {
            record = record.reason_code(code);
        }
        if let Some(reason) = self.reason {
            record = record.reason(reason);
        }
        if let Some(context) = self.context {
            record = record.context(context.0);
        }
        if let Some(parent) = self.parent_id {
            record = record.parent(parent);
        }
        record
    }
}
