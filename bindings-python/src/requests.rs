//! Requests, from the arguments of Python's methods.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyMapping, PyString};
use trust_engine::{CeilingRequest, Error, GateRequest, NewRecord, OrganizationId};

use crate::error::raise;
use crate::input::{Text, amount, object, optional, organization, text, uuid};

/// The arguments that gates and ceilings share.
pub(crate) struct Asked<'a, 'py> {
    pub(crate) tier: Option<Text<'a, 'py>>,
    pub(crate) organization: Option<Text<'a, 'py>>,
    pub(crate) caller: Option<Text<'a, 'py>>,
    pub(crate) on_behalf_of: Option<Text<'a, 'py>>,
    pub(crate) traceparent: Option<Text<'a, 'py>>,
}

/// Sets the shared fields of a request.
macro_rules! ask {
    ($request:ident, $asked:expr) => {
        let Asked { tier, organization: name, caller, on_behalf_of, traceparent } = $asked;
        if name.is_some() {
            $request = $request.organization(organization(name)?);
        }
        if let Some(tier) = optional("tier", tier)? {
            $request = $request.tier(tier);
        }
        if let Some(caller) = optional("caller", caller)? {
            $request = $request.caller(caller);
        }
        if let Some(principal) = optional("on_behalf_of", on_behalf_of)? {
            $request = $request.on_behalf_of(principal);
        }
        if let Some(traceparent) = optional("traceparent", traceparent)? {
            $request = $request.traceparent(traceparent);
        }
    };
}

/// The arguments that only gates have.
pub(crate) struct Context<'a, 'py> {
    pub(crate) resource_id: Option<Text<'a, 'py>>,
    pub(crate) action: Option<Text<'a, 'py>>,
    pub(crate) environment: Option<Text<'a, 'py>>,
    pub(crate) metadata: Option<&'a Bound<'py, PyAny>>,
}

pub(crate) fn gate(
    agent: Text<'_, '_>,
    role: Text<'_, '_>,
    asked: Asked<'_, '_>,
    context: Context<'_, '_>,
) -> PyResult<GateRequest> {
    let mut request = GateRequest::new(text("agent_id", agent)?, text("role", role)?);
    ask!(request, asked);
    if let Some(resource) = optional("resource_id", context.resource_id)? {
        request = request.resource(resource);
    }
    if let Some(action) = optional("action", context.action)? {
        request = request.action(action);
    }
    if let Some(environment) = optional("environment", context.environment)? {
        request = request.environment(environment);
    }
    if let Some(metadata) = context.metadata {
        request = request.metadata(object("metadata", metadata)?);
    }
    Ok(request)
}

/// The amounts of a ceiling's request: one, or several by their resources.
pub(crate) struct Demands<'a, 'py> {
    pub(crate) resource_type: Option<Text<'a, 'py>>,
    pub(crate) amount: Option<&'a Bound<'py, PyAny>>,
    pub(crate) resources: Option<&'a Bound<'py, PyAny>>,
}

pub(crate) fn ceiling(
    agent: Text<'_, '_>,
    demands: Demands<'_, '_>,
    asked: Asked<'_, '_>,
    request_id: Option<Text<'_, '_>>,
) -> PyResult<CeilingRequest> {
    let agent = text("agent_id", agent)?;
    let mut request = match (demands.resource_type, demands.amount, demands.resources) {
        (Some(resource), Some(of), None) => {
            CeilingRequest::new(agent, text("resource_type", resource)?, amount("amount", of)?)
        }
        (None, None, Some(resources)) => several(agent, resources)?,
        (_, _, Some(_)) => {
            return Err(PyTypeError::new_err(
                "resources stands beside resource_type or amount; one of both is taken",
            ));
        }
        (None, ..) => return Err(PyTypeError::new_err("resource_type is missing")),
        (Some(_), None, _) => return Err(PyTypeError::new_err("amount is missing")),
    };
    ask!(request, asked);
    if let Some(id) = optional("request_id", request_id)? {
        request = request.request_id(id);
    }
    Ok(request)
}

fn several(agent: &str, resources: &Bound<'_, PyAny>) -> PyResult<CeilingRequest> {
    let Ok(resources) = resources.cast::<PyMapping>() else {
        return Err(PyTypeError::new_err("resources must be a mapping of resources to amounts"));
    };
    let mut request: Option<CeilingRequest> = None;
    for item in resources.items()?.iter() {
        let (resource, of): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        let Ok(resource) = resource.cast::<PyString>() else {
            return Err(PyTypeError::new_err("resources must be a mapping whose keys are str"));
        };
        let (resource, of) = (text("resources", resource)?, amount("resources", &of)?);
        request = Some(match request {
            None => CeilingRequest::new(agent, resource, of),
            Some(request) => request.and(resource, of),
        });
    }
    request.ok_or_else(|| raise(Error::invalid("resources", "is empty")))
}

/// The arguments of a record that may be left out.
pub(crate) struct Beside<'a, 'py> {
    pub(crate) id: Option<&'a Bound<'py, PyAny>>,
    pub(crate) reason_code: Option<Text<'a, 'py>>,
    pub(crate) reason: Option<Text<'a, 'py>>,
    pub(crate) context: Option<&'a Bound<'py, PyAny>>,
    pub(crate) parent_id: Option<&'a Bound<'py, PyAny>>,
    pub(crate) organization: Option<Text<'a, 'py>>,
    pub(crate) caller: Option<Text<'a, 'py>>,
    pub(crate) on_behalf_of: Option<Text<'a, 'py>>,
    pub(crate) traceparent: Option<Text<'a, 'py>>,
}

pub(crate) fn record(
    kind: Text<'_, '_>,
    agent: Text<'_, '_>,
    decision: Text<'_, '_>,
    beside: &Beside<'_, '_>,
) -> PyResult<(NewRecord, OrganizationId)> {
    let kind = text("type", kind)?.parse().map_err(raise)?;
    let mut record = NewRecord::new(kind, text("agent_id", agent)?, text("decision", decision)?);
    if let Some(id) = beside.id {
        record = record.id(uuid("id", id)?);
    }
    if let Some(code) = optional("reason_code", beside.reason_code)? {
        record = record.reason_code(code);
    }
    if let Some(reason) = optional("reason", beside.reason)? {
        record = record.reason(reason);
    }
    if let Some(context) = beside.context {
        record = record.context(object("context", context)?);
    }
    if let Some(parent) = beside.parent_id {
        record = record.parent(uuid("parent_id", parent)?);
    }
    if let Some(caller) = optional("caller", beside.caller)? {
        record = record.caller(caller);
    }
    if let Some(principal) = optional("on_behalf_of", beside.on_behalf_of)? {
        record = record.on_behalf_of(principal);
    }
    if let Some(traceparent) = optional("traceparent", beside.traceparent)? {
        record = record.traceparent(traceparent);
    }
    Ok((record, organization(beside.organization)?))
}

/// The arguments that may stand beside a call by name.
pub(crate) struct BesideCall<'a, 'py> {
    pub(crate) if_match: Option<Text<'a, 'py>>,
    pub(crate) idempotency_key: Option<Text<'a, 'py>>,
    pub(crate) request_id: Option<Text<'a, 'py>>,
    pub(crate) traceparent: Option<Text<'a, 'py>>,
}
