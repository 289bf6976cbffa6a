//! Quotas and reservations.

use std::sync::Arc;

use futures_util::lock::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use trust_engine::{Error, ErrorKind};

use crate::ceiling::CeilingVerdict;
use crate::fork::InProcess;
use crate::input::{Text, amount, text};
use crate::receipt::Receipt;
use crate::waiting::{now, wait};

/// The quota of one agent, for callers that check it often. Threads may share it.
#[pyclass(frozen, module = "trust_engine._trust_engine")]
pub struct Quota {
    quota: InProcess<trust_engine::Quota>,
}

impl Quota {
    pub(crate) fn new(quota: trust_engine::Quota) -> Self {
        Self { quota: InProcess::new(quota) }
    }
}

#[pymethods]
impl Quota {
    /// Checks an amount at the agent's held tier and charges it, without waiting.
    #[pyo3(signature = (resource_type, amount, /))]
    #[allow(clippy::shadow_unrelated, reason = "as Python names it")]
    fn try_take(&self, resource_type: Text<'_, '_>, amount: &Bound<'_, PyAny>) -> PyResult<CeilingVerdict> {
        let quota = self.quota.get()?;
        let (resource, of) = (text("resource_type", resource_type)?, crate::input::amount("amount", amount)?);
        now(|| quota.try_take(resource, of)).map(CeilingVerdict::from)
    }
}

/// Amounts that are charged and may turn out not to be needed.
#[pyclass(frozen, module = "trust_engine._trust_engine")]
pub struct Reservation {
    /// Shared with the call that settles it, so that it is not given up if the caller stops waiting.
    reservation: InProcess<Arc<Mutex<trust_engine::Reservation>>>,
    verdict: Py<CeilingVerdict>,
}

impl Reservation {
    pub(crate) fn new(py: Python<'_>, reservation: trust_engine::Reservation) -> PyResult<Self> {
        let verdict = Py::new(py, CeilingVerdict::from(reservation.verdict().clone()))?;
        let reservation = InProcess::new(Arc::new(Mutex::new(reservation)));
        Ok(Self { reservation, verdict })
    }

    /// The future that settles it: with the amounts that were used, or without any.
    pub(crate) fn settle(
        &self,
        used: Option<Vec<u64>>,
    ) -> PyResult<impl Future<Output = trust_engine::Result<Option<trust_engine::Receipt>>> + Send + 'static>
    {
        let reservation = Arc::clone(self.reservation.get()?);
        Ok(async move {
            let busy = || Error::new(ErrorKind::Conflict, "the reservation is being settled");
            let mut reservation = reservation.try_lock().ok_or_else(busy)?;
            match used {
                Some(used) => reservation.commit(&used).await,
                None => reservation.void().await,
            }
        })
    }
}

/// The amounts that were used: one, or one for each resource.
pub(crate) fn used(given: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
    if given.is_instance_of::<PyInt>() {
        return Ok(vec![amount("used", given)?]);
    }
    given.try_iter()?.map(|one| amount("used", &one?)).collect()
}

#[pymethods]
impl Reservation {
    /// The verdict that it was made by.
    #[getter]
    fn verdict(&self, py: Python<'_>) -> Py<CeilingVerdict> {
        self.verdict.clone_ref(py)
    }

    /// Says how much was used of each resource: the rest is free again, if its window is still running.
    #[pyo3(name = "commit")]
    fn commit_used(&self, py: Python<'_>, used: &Bound<'_, PyAny>) -> PyResult<Option<Receipt>> {
        let settle = self.settle(Some(crate::quota::used(used)?))?;
        Ok(wait(py, settle)?.map(Receipt::from))
    }

    /// Says that nothing was used.
    fn void(&self, py: Python<'_>) -> PyResult<Option<Receipt>> {
        let settle = self.settle(None)?;
        Ok(wait(py, settle)?.map(Receipt::from))
    }
}
