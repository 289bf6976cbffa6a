//! The asynchronous forms of the verbs. Each gives its result at once where it need not wait, and otherwise the number that
//! `drain` gives it by.

use std::sync::Arc;

use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;

use crate::calls::{Call, Caller, Subscription};
use crate::delivery::Outcome;
use crate::engine::NativeEngine;
use crate::gate::GateVerdict;
use crate::input::Text;
use crate::quota::{Reservation, used};
use crate::requests::{self, Asked, Beside, BesideCall, Context, Demands};

type Drained = Vec<(u64, Option<Py<PyAny>>, Option<PyErr>)>;

#[pymethods]
impl NativeEngine {
    /// A file descriptor that is readable while there is something to drain.
    fn event_fd(&self) -> PyResult<i32> {
        Ok(self.delivery()?.event_fd())
    }

    /// Numbers, results and exceptions of the calls that are done.
    fn drain(&self, py: Python<'_>) -> PyResult<Drained> {
        Ok(self.delivery()?.drain(py))
    }

    #[pyo3(signature = (agent_id, role, *, tier=None, organization=None, caller=None, on_behalf_of=None, traceparent=None,
        resource_id=None, action=None, environment=None, metadata=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn begin_evaluate_gate(
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
    ) -> PyResult<Py<PyAny>> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let context = Context { resource_id, action, environment, metadata };
        let request = requests::gate(agent_id, role, asked, context)?;
        let engine = self.get()?;
        let call = async move { Ok(Outcome::Gate(Box::new(engine.evaluate_gate(&request).await?))) };
        self.delivery()?.begin(py, false, call)
    }

    #[pyo3(signature = (agent_id, resource_type=None, amount=None, *, resources=None, tier=None, organization=None,
        caller=None, on_behalf_of=None, traceparent=None, request_id=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn begin_check_ceiling(
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
    ) -> PyResult<Py<PyAny>> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let demands = Demands { resource_type, amount, resources };
        let request = requests::ceiling(agent_id, demands, asked, request_id)?;
        let engine = self.get()?;
        let call = async move { Ok(Outcome::Ceiling(Box::new(engine.check_ceiling(&request).await?))) };
        self.delivery()?.begin(py, false, call)
    }

    #[pyo3(signature = (agent_id, resource_type=None, amount=None, *, resources=None, tier=None, organization=None,
        caller=None, on_behalf_of=None, traceparent=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn begin_reserve(
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
    ) -> PyResult<Py<PyAny>> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let demands = Demands { resource_type, amount, resources };
        let request = requests::ceiling(agent_id, demands, asked, None)?;
        let engine = self.get()?;
        let call = async move { Ok(Outcome::Reserved(Box::new(engine.quotas().reserve(&request).await?))) };
        self.delivery()?.begin(py, false, call)
    }

    #[pyo3(signature = (r#type, agent_id, decision, *, id=None, reason_code=None, reason=None, context=None,
        parent_id=None, organization=None, caller=None, on_behalf_of=None, traceparent=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn begin_record(
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
    ) -> PyResult<Py<PyAny>> {
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
        let call =
            async move { Ok(Outcome::Receipt(Some(engine.log().of(organization).record(record).await?))) };
        self.delivery()?.begin(py, false, call)
    }

    fn begin_committed(&self, py: Python<'_>, verdict: Py<GateVerdict>) -> PyResult<Py<PyAny>> {
        let (delivery, of) = (self.delivery()?, verdict.get());
        let Some(commit) = of.commit()? else { return of.receipt_of().into_py_any(py) };
        let call = async move { Ok(Outcome::Committed(verdict, commit.await?)) };
        delivery.begin(py, false, call)
    }

    /// Without `used` nothing was.
    #[pyo3(signature = (reservation, used=None))]
    #[allow(clippy::shadow_unrelated, reason = "as Python names it")]
    fn begin_settle(
        &self,
        py: Python<'_>,
        reservation: &Reservation,
        used: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let settle = reservation.settle(used.map(self::used).transpose()?)?;
        self.delivery()?.begin(py, false, async move { Ok(Outcome::Receipt(settle.await?)) })
    }

    #[pyo3(signature = (caller, name, parameters, body=None, *, if_match=None, idempotency_key=None, request_id=None,
        traceparent=None))]
    #[allow(clippy::too_many_arguments, reason = "as Python passes them")]
    fn begin_call(
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
    ) -> PyResult<Py<PyAny>> {
        let beside = BesideCall { if_match, idempotency_key, request_id, traceparent };
        let call = Call::read(name, parameters, body.unwrap_or_default(), &beside)?;
        let (engine, caller) = (self.get()?, Arc::clone(&caller.0));
        let is_search = self.is_local && call.is_heavy();
        let call = async move { Ok(Outcome::Answer(Box::new(call.make(&engine, &caller).await?))) };
        self.delivery()?.begin(py, is_search, call)
    }

    fn begin_next(&self, py: Python<'_>, subscription: &Subscription) -> PyResult<Py<PyAny>> {
        let items = subscription.items()?;
        let call = async move { Ok(Outcome::Item(items.next().await?)) };
        self.delivery()?.begin(py, subscription.is_search, call)
    }

    /// Commits what waits and closes; the calls that are under way are delivered all the same.
    fn begin_close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some(engine) = self.take()? else { return Ok(py.None()) };
        let call = async move {
            engine.close().await;
            Ok(Outcome::Nothing)
        };
        self.delivery()?.begin(py, true, call)
    }
}
