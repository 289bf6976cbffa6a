//! Values that come from JavaScript.

use serde_json::{Map, Value};
use trust_engine::{CeilingRequest, Error, GateRequest, OrganizationId, Result};

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
        let mut request = CeilingRequest::new(self.agent, self.resource, amount(self.amount)?);
        ask!(request, self.asked);
        if let Some(id) = self.id {
            request = request.request_id(id);
        }
        Ok(request)
    }
}

/// An amount that a double holds.
pub(crate) fn amount(amount: f64) -> Result<u64> {
    // A whole number in this range is exact, and the engine checks its bounds; any other is refused here.
    if amount.fract() != 0.0 || !(0.0..9e15).contains(&amount) {
        let issue = format!("is {amount}; it must be an integer from 1 to 2^40 - 1");
        return Err(Error::invalid("requestedAmount", issue));
    }
    Ok(amount as u64)
}

pub(crate) fn uuid(field: &'static str, text: &str) -> Result<uuid::Uuid> {
    text.parse().map_err(|_| Error::invalid(field, "is not a UUID"))
}

pub(crate) fn organization(name: Option<&str>) -> Result<OrganizationId> {
    match name {
        // Stands for the whole fleet where that may be asked for.
        Some("*") => Err(Error::invalid("organization", "is '*', which is no organization")),
        Some(name) => OrganizationId::parse(name),
        None => Ok(OrganizationId::default()),
    }
}
