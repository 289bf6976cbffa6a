//! The engine: verbs that wait and verbs that never do. The asynchronous forms are in `async_calls`.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use pyo3::prelude::*;
use trust_engine::{Engine, Options};

use crate::calls::{Answer, Call, Caller, Subscription};
use crate::ceiling::CeilingVerdict;
use crate::delivery::Delivery;
use crate::error::{closed, raise};
use crate::fork::InProcess;
use crate::gate::GateVerdict;
use crate::input::{Text, organization, text};
use crate::quota::{Quota, Reservation};
use crate::receipt::Receipt;
use crate::requests::{self, Asked, Beside, BesideCall, Context, Demands};
use crate::waiting::{now, wait};

/// An open engine.
#[pyclass(subclass, frozen, weakref, module = "trust_engine._trust_engine")]
pub struct NativeEngine {
    open: InProcess<Open>,
    pub(crate) is_local: bool,
}

struct Open {
    /// Empty once it is closed, so that its store is free.
    engine: ArcSwapOption<Engine>,
    /// The delivery of outcomes, from the first call on that asyncio waits for.
    delivery: OnceLock<Delivery>,
}

impl NativeEngine {
    /// The engine, in the process that opened it.
    pub(crate) fn get(&self) -> PyResult<Arc<Engine>> {
        self.open.get()?.engine.load_full().ok_or_else(|| raise(closed()))
    }

    pub(crate) fn delivery(&self) -> PyResult<&Delivery> {
        let open = self.open.get()?;
        if let Some(delivery) = open.delivery.get() {
            return Ok(delivery);
        }
        let new = Delivery::start()?;
        // Where two threads come first at once, one of the two ends again at once.
        Ok(open.delivery.get_or_init(|| new))
    }

    /// Takes the engine out; no call is taken from then on.
    pub(crate) fn take(&self) -> PyResult<Option<Arc<Engine>>> {
        Ok(self.open.get()?.engine.swap(None))
    }

    fn end_delivery(&self) -> PyResult<()> {
        if let Some(delivery) = self.open.get()?.delivery.get() {
            delivery.close();
        }
        Ok(())
    }
}

#[pymethods]
impl NativeEngine {
    #[new]
    #[pyo3(signature = (options, /))]
    fn new(py: Python<'_>, options: Text<'_, '_>) -> PyResult<Self> {
        let options = Options::from_json(text("options", options)?).map_err(raise)?;
        let is_local = options.is_local();
        let engine = wait(py, Engine::open(options))?;
        let open = Open { engine: ArcSwapOption::from_pointee(engine), delivery: OnceLock::new() };
        Ok(Self { open: InProcess::new(open), is_local })
    }

    #[getter]
    fn is_closed(&self) -> PyResult<bool> {
        Ok(self.open.get()?.engine.load().is_none())
    }

    #[pyo3(signature = (agent_id, role, *, tier=None, organization=None, caller=None, on_behalf_of=None, traceparent=None,
        resource_id=None, action=None, environment=None, metadata=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn decide_gate(
        &self,
        agent_id: Text<'_, '_>,
        role: Text<'_, '_>,
        tier: Option<Text<'_, '_>>,
        organization: Option<Text<'_, '_>>,
        caller: Option<Text<'_, '_>>,
        on_behalf_of: Option<Text<'_, '_>>,
        traceparent: Option<Text<'_, '_>>,
        resource_id: Option<Text<'_, '_>>,
        action: Option<Text<'_, '_>>,
        environment: Option<Text<'_, '_>>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<GateVerdict> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let context = Context { resource_id, action, environment, metadata };
        let request = requests::gate(agent_id, role, asked, context)?;
        let engine = self.get()?;
        now(|| engine.decide_gate(&request)).map(|(verdict, ticket)| GateVerdict::new(verdict, Some(ticket)))
    }

    #[pyo3(signature = (agent_id, role, *, tier=None, organization=None, caller=None, on_behalf_of=None, traceparent=None,
        resource_id=None, action=None, environment=None, metadata=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn evaluate_gate(
        &self,
        py: Python<'_>,
        agent_id: Text<'_, '_>,
        role: Text<'_, '_>,
        tier: Option<Text<'_, '_>>,
        organization: Option<Text<'_, '_>>,
        caller: Option<Text<'_, '_>>,
        on_behalf_of: Option<Text<'_, '_>>,
        traceparent: Option<Text<'_, '_>>,
        resource_id: Option<Text<'_, '_>>,
        action: Option<Text<'_, '_>>,
        environment: Option<Text<'_, '_>>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<GateVerdict> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let context = Context { resource_id, action, environment, metadata };
        let request = requests::gate(agent_id, role, asked, context)?;
        let engine = self.get()?;
        wait(py, engine.evaluate_gate(&request)).map(|verdict| GateVerdict::new(verdict, None))
    }

    #[pyo3(signature = (agent_id, resource_type=None, amount=None, *, resources=None, tier=None, organization=None,
        caller=None, on_behalf_of=None, traceparent=None, request_id=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn check_ceiling_now(
        &self,
        agent_id: Text<'_, '_>,
        resource_type: Option<Text<'_, '_>>,
        amount: Option<&Bound<'_, PyAny>>,
        resources: Option<&Bound<'_, PyAny>>,
        tier: Option<Text<'_, '_>>,
        organization: Option<Text<'_, '_>>,
        caller: Option<Text<'_, '_>>,
        on_behalf_of: Option<Text<'_, '_>>,
        traceparent: Option<Text<'_, '_>>,
        request_id: Option<Text<'_, '_>>,
    ) -> PyResult<CeilingVerdict> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let demands = Demands { resource_type, amount, resources };
        let request = requests::ceiling(agent_id, demands, asked, request_id)?;
        let engine = self.get()?;
        now(|| engine.check_ceiling_now(&request)).map(|(verdict, _)| CeilingVerdict::from(verdict))
    }

    #[pyo3(signature = (agent_id, resource_type=None, amount=None, *, resources=None, tier=None, organization=None,
        caller=None, on_behalf_of=None, traceparent=None, request_id=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn check_ceiling(
        &self,
        py: Python<'_>,
        agent_id: Text<'_, '_>,
        resource_type: Option<Text<'_, '_>>,
        amount: Option<&Bound<'_, PyAny>>,
        resources: Option<&Bound<'_, PyAny>>,
        tier: Option<Text<'_, '_>>,
        organization: Option<Text<'_, '_>>,
        caller: Option<Text<'_, '_>>,
        on_behalf_of: Option<Text<'_, '_>>,
        traceparent: Option<Text<'_, '_>>,
        request_id: Option<Text<'_, '_>>,
    ) -> PyResult<CeilingVerdict> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let demands = Demands { resource_type, amount, resources };
        let request = requests::ceiling(agent_id, demands, asked, request_id)?;
        let engine = self.get()?;
        wait(py, engine.check_ceiling(&request)).map(CeilingVerdict::from)
    }

    #[pyo3(signature = (agent_id, resource_type=None, amount=None, *, resources=None, tier=None, organization=None,
        caller=None, on_behalf_of=None, traceparent=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn reserve(
        &self,
        py: Python<'_>,
        agent_id: Text<'_, '_>,
        resource_type: Option<Text<'_, '_>>,
        amount: Option<&Bound<'_, PyAny>>,
        resources: Option<&Bound<'_, PyAny>>,
        tier: Option<Text<'_, '_>>,
        organization: Option<Text<'_, '_>>,
        caller: Option<Text<'_, '_>>,
        on_behalf_of: Option<Text<'_, '_>>,
        traceparent: Option<Text<'_, '_>>,
    ) -> PyResult<(CeilingVerdict, Option<Reservation>)> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let demands = Demands { resource_type, amount, resources };
        let request = requests::ceiling(agent_id, demands, asked, None)?;
        let engine = self.get()?;
        let quotas = engine.quotas();
        let (verdict, reservation) = wait(py, quotas.reserve(&request))?;
        let reservation = reservation.map(|reservation| Reservation::new(py, reservation)).transpose()?;
        Ok((verdict.into(), reservation))
    }

    #[pyo3(signature = (agent_id, *, organization=None))]
    #[allow(clippy::shadow_unrelated, reason = "as Python names it")]
    fn quota(&self, agent_id: Text<'_, '_>, organization: Option<Text<'_, '_>>) -> PyResult<Quota> {
        let (engine, name) = (self.get()?, self::organization(organization)?);
        let agent = text("agent_id", agent_id)?;
        now(|| engine.quotas().of(name).quota(agent)).map(Quota::new)
    }

    #[pyo3(name = "record", signature = (r#type, agent_id, decision, *, id=None, reason_code=None, reason=None, context=None,
        parent_id=None, organization=None, caller=None, on_behalf_of=None, traceparent=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn write(
        &self,
        py: Python<'_>,
        r#type: Text<'_, '_>,
        agent_id: Text<'_, '_>,
        decision: Text<'_, '_>,
        id: Option<&Bound<'_, PyAny>>,
        reason_code: Option<Text<'_, '_>>,
        reason: Option<Text<'_, '_>>,
        context: Option<&Bound<'_, PyAny>>,
        parent_id: Option<&Bound<'_, PyAny>>,
        organization: Option<Text<'_, '_>>,
        caller: Option<Text<'_, '_>>,
        on_behalf_of: Option<Text<'_, '_>>,
        traceparent: Option<Text<'_, '_>>,
    ) -> PyResult<Receipt> {
        let beside = Beside {
            id,
            reason_code,
            reason,
            context,
            parent_id,
            organization,
            caller,
            on_behalf_of,
            traceparent,
        };
        let (record, organization) = requests::record(r#type, agent_id, decision, &beside)?;
        let engine = self.get()?;
        let log = engine.log().of(organization);
        wait(py, log.record(record)).map(Receipt::from)
    }

    #[pyo3(signature = (caller, name, parameters, body=None, *, if_match=None, idempotency_key=None, request_id=None,
        traceparent=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn call_json(
        &self,
        py: Python<'_>,
        caller: &Caller,
        name: Text<'_, '_>,
        parameters: Text<'_, '_>,
        body: Option<&[u8]>,
        if_match: Option<Text<'_, '_>>,
        idempotency_key: Option<Text<'_, '_>>,
        request_id: Option<Text<'_, '_>>,
        traceparent: Option<Text<'_, '_>>,
    ) -> PyResult<Answer> {
        let beside = BesideCall { if_match, idempotency_key, request_id, traceparent };
        let call = Call::read(name, parameters, body.unwrap_or_default(), &beside)?;
        let engine = self.get()?;
        wait(py, call.make(&engine, &caller.0)).map(Answer::from)
    }

    fn subscribe_json(
        &self,
        py: Python<'_>,
        caller: &Caller,
        name: Text<'_, '_>,
        parameters: Text<'_, '_>,
    ) -> PyResult<Subscription> {
        let engine = self.get()?;
        let (name, parameters) = (text("name", name)?, text("parameters", parameters)?);
        let calls = engine.json(&caller.0);
        let subscription = wait(py, calls.subscribe(name, parameters.as_bytes()))?;
        Ok(Subscription::new(subscription, self.is_local))
    }

    /// Commits what waits and closes; calls afterwards are refused. The store is free when the engine's quotas, reservations and
    /// subscriptions are gone too.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(engine) = self.take()? else { return Ok(()) };
        wait(py, async {
            engine.close().await;
            Ok(())
        })?;
        py.detach(|| {
            self.end_delivery()?;
            drop(engine);
            Ok(())
        })
    }

    /// Panics, so that tests can see that nothing of it comes through.
    #[cfg(feature = "test-panic")]
    fn test_panic(&self, py: Python<'_>, waiting: bool) -> PyResult<()> {
        #[allow(clippy::panic, reason = "that is what it is for")]
        let fail = || -> trust_engine::Result<()> { panic!("a test asked for it") };
        if waiting { wait(py, async { fail() }) } else { now(fail) }
    }
}
