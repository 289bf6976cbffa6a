//! Verdicts of ceilings.

use pyo3::prelude::*;
use trust_engine::{CeilingVerdict as Verdict, Measure, Timestamp};
use uuid::Uuid;

use crate::output;
use crate::receipt::{Receipt, Restored, hash};

/// A ceiling's verdict. It is true when the amounts may be used.
#[pyclass(frozen, module = "trust_engine._trust_engine")]
pub struct CeilingVerdict {
    kept: Kept,
    receipt: Option<Receipt>,
}

enum Kept {
    Given(Box<Verdict>),
    /// One that was pickled: JSON, whether it may be tried again, and the seconds until then.
    Restored {
        of: Restored,
        retryable: bool,
        retry_after: Option<f64>,
    },
}

/// Gives a verdict back that was pickled.
#[pyfunction]
#[pyo3(signature = (json, retryable, retry_after=None, receipt=None))]
pub fn restore_ceiling_verdict(
    json: String,
    retryable: bool,
    retry_after: Option<f64>,
    receipt: Option<Receipt>,
) -> PyResult<CeilingVerdict> {
    Ok(CeilingVerdict { kept: Kept::Restored { of: Restored::read(json)?, retryable, retry_after }, receipt })
}

impl From<Verdict> for CeilingVerdict {
    fn from(verdict: Verdict) -> Self {
        let receipt = verdict.receipt().cloned().map(Receipt::from);
        Self { kept: Kept::Given(Box::new(verdict)), receipt }
    }
}

impl CeilingVerdict {
    fn measure(&self, name: &str, of: impl FnOnce(&Measure) -> u64) -> u64 {
        match &self.kept {
            Kept::Given(verdict) => verdict.measure().map_or(0, of),
            Kept::Restored { of, .. } => of.number(name),
        }
    }

    fn flag(&self, name: &str, of: impl FnOnce(&Verdict) -> bool) -> bool {
        match &self.kept {
            Kept::Given(verdict) => of(verdict),
            Kept::Restored { of, .. } => of.flag(name),
        }
    }

    fn json(&self) -> String {
        match &self.kept {
            Kept::Given(verdict) => verdict.to_json(),
            Kept::Restored { of, .. } => of.json.clone(),
        }
    }

    fn uuid(&self) -> Option<Uuid> {
        match &self.kept {
            Kept::Given(verdict) => verdict.id(),
            Kept::Restored { of, .. } => of.uuid("provenanceId"),
        }
    }
}

#[pymethods]
impl CeilingVerdict {
    #[getter]
    fn allowed(&self) -> bool {
        self.flag("allowed", Verdict::allowed)
    }

    #[getter]
    fn reason(&self) -> String {
        match &self.kept {
            Kept::Given(verdict) => verdict.reason(),
            Kept::Restored { of, .. } => of.text("reason").unwrap_or_default().to_owned(),
        }
    }

    #[getter]
    fn reason_code(&self) -> &str {
        match &self.kept {
            Kept::Given(verdict) => verdict.reason_code().as_str(),
            Kept::Restored { of, .. } => of.text("reasonCode").unwrap_or_default(),
        }
    }

    #[getter]
    fn current_usage(&self) -> u64 {
        self.measure("currentUsage", Measure::current_usage)
    }

    #[getter]
    fn ceiling(&self) -> u64 {
        self.measure("ceiling", Measure::ceiling)
    }

    #[getter]
    fn remaining(&self) -> u64 {
        self.measure("remaining", Measure::remaining)
    }

    #[getter]
    fn reset_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let at = match &self.kept {
            Kept::Given(verdict) => verdict.measure().map(Measure::reset_at),
            Kept::Restored { of, .. } => of.time("resetAt"),
        };
        at.map(|at| output::instant(py, at)).transpose()
    }

    #[getter]
    fn evaluated_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let at = match &self.kept {
            Kept::Given(verdict) => verdict.evaluated_at(),
            Kept::Restored { of, .. } => of.time("asOf").unwrap_or(Timestamp::from_micros(0)),
        };
        output::instant(py, at)
    }

    #[getter]
    fn near_limit(&self) -> bool {
        self.flag("nearLimit", Verdict::near_limit)
    }

    #[getter]
    fn repeated(&self) -> bool {
        self.flag("repeated", Verdict::is_repeated)
    }

    #[getter]
    fn retryable(&self) -> bool {
        match &self.kept {
            Kept::Given(verdict) => verdict.is_retryable(),
            Kept::Restored { retryable, .. } => *retryable,
        }
    }

    #[getter]
    fn retry_after(&self) -> Option<f64> {
        match &self.kept {
            Kept::Given(verdict) => verdict.retry_after().map(|time| time.as_secs_f64()),
            Kept::Restored { retry_after, .. } => *retry_after,
        }
    }

    #[getter]
    fn provenance_id<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.uuid().map(|id| output::uuid(py, id)).transpose()
    }

    #[getter]
    fn recorded(&self) -> &str {
        match &self.kept {
            Kept::Given(verdict) => verdict.recorded().as_str(),
            Kept::Restored { of, .. } => of.text("recorded").unwrap_or("none"),
        }
    }

    #[getter]
    fn receipt(&self) -> Option<Receipt> {
        self.receipt.clone()
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        output::parsed(py, &self.json())
    }

    fn __bool__(&self) -> bool {
        self.allowed()
    }

    fn __repr__(&self) -> String {
        let decision = if self.allowed() { "ALLOW" } else { "DENY" };
        format!("CeilingVerdict({decision} ({}): {})", self.reason_code(), self.reason())
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.json() == other.json()
    }

    fn __hash__(&self) -> u64 {
        // Equal verdicts have the same id, or none.
        self.uuid().map_or(0, hash)
    }

    #[allow(clippy::type_complexity, reason = "as pickle wants it")]
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (String, bool, Option<f64>, Option<Receipt>))> {
        let restore = py.import("trust_engine._trust_engine")?.getattr("restore_ceiling_verdict")?;
        Ok((restore, (self.json(), self.retryable(), self.retry_after(), self.receipt())))
    }
}
