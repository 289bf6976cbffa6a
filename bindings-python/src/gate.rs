//! Verdicts of gates.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use trust_engine::{Error, Ticket, Timestamp, Verdict};
use uuid::Uuid;

use crate::error::raise;
use crate::fork::InProcess;
use crate::output;
use crate::receipt::{Receipt, Restored, hash};
use crate::waiting::wait;

/// A gate's verdict. It is true when the agent may take the role.
#[pyclass(frozen, module = "trust_engine._trust_engine")]
pub struct GateVerdict {
    kept: Kept,
    commit: Mutex<Commit>,
    /// The receipt that was waited for.
    committed: Mutex<Option<Receipt>>,
}

/// The commit of a verdict that was given before it.
enum Commit {
    /// There is none, or it is known.
    Known,
    Ticket(InProcess<Ticket>),
    /// It was asked for. Any number of calls may wait for it, and one that gives up loses it for nobody.
    Asked(InProcess<SharedCommit>),
}

pub(crate) type SharedCommit =
    Shared<BoxFuture<'static, trust_engine::Result<Option<trust_engine::Receipt>>>>;

enum Kept {
    Given(Box<Verdict>),
    /// One that was pickled: JSON, the id, which JSON has only of what is recorded, and the trace.
    Restored(Restored, Uuid, String),
}

/// Gives a verdict back that was pickled.
#[pyfunction]
#[pyo3(signature = (json, id, trace, receipt=None))]
pub fn restore_gate_verdict(
    json: String,
    id: &str,
    trace: String,
    receipt: Option<Receipt>,
) -> PyResult<GateVerdict> {
    let id = id.parse().map_err(|_| PyValueError::new_err("the pickle is none of this version"))?;
    let kept = Kept::Restored(Restored::read(json)?, id, trace);
    Ok(GateVerdict { kept, commit: Mutex::new(Commit::Known), committed: Mutex::new(receipt) })
}

impl GateVerdict {
    pub(crate) fn new(verdict: Verdict, ticket: Option<Ticket>) -> Self {
        let committed = Mutex::new(verdict.receipt().cloned().map(Receipt::from));
        let commit = ticket.map_or(Commit::Known, |ticket| Commit::Ticket(InProcess::new(ticket)));
        Self { kept: Kept::Given(Box::new(verdict)), commit: Mutex::new(commit), committed }
    }

    /// The commit to wait for; `None` if it is known, or there is none.
    pub(crate) fn commit(&self) -> PyResult<Option<SharedCommit>> {
        let mut commit = self.commit.lock();
        *commit = match std::mem::replace(&mut *commit, Commit::Known) {
            Commit::Ticket(ticket) => {
                Commit::Asked(InProcess::new(ticket.into_inner()?.committed().boxed().shared()))
            }
            other => other,
        };
        match &*commit {
            Commit::Asked(shared) => return shared.get().map(|shared| Some(shared.clone())),
            _ if self.committed.lock().is_some() || self.recorded() == "none" => return Ok(None),
            _ => {}
        }
        let issue = "is a copy of one whose commit was not waited for";
        Err(raise(Error::invalid("verdict", issue)))
    }

    pub(crate) fn receipt_of(&self) -> Option<Receipt> {
        self.committed.lock().clone()
    }

    pub(crate) fn set_committed(&self, receipt: Option<Receipt>) {
        *self.committed.lock() = receipt;
    }

    fn json(&self) -> String {
        match &self.kept {
            Kept::Given(verdict) => verdict.to_json(),
            Kept::Restored(of, ..) => of.json.clone(),
        }
    }

    fn uuid(&self) -> Uuid {
        match &self.kept {
            Kept::Given(verdict) => verdict.id(),
            Kept::Restored(_, id, _) => *id,
        }
    }
}

#[pymethods]
impl GateVerdict {
    #[getter]
    fn allowed(&self) -> bool {
        match &self.kept {
            Kept::Given(verdict) => verdict.allowed(),
            Kept::Restored(of, ..) => of.flag("allowed"),
        }
    }

    #[getter]
    fn decision(&self) -> &str {
        match &self.kept {
            Kept::Given(verdict) => verdict.decision().as_str(),
            Kept::Restored(of, ..) => of.text("decision").unwrap_or("DENY"),
        }
    }

    #[getter]
    fn reason(&self) -> String {
        match &self.kept {
            Kept::Given(verdict) => verdict.reason(),
            Kept::Restored(of, ..) => of.text("reason").unwrap_or_default().to_owned(),
        }
    }

    #[getter]
    fn reason_code(&self) -> &str {
        match &self.kept {
            Kept::Given(verdict) => verdict.reason_code().as_str(),
            Kept::Restored(of, ..) => of.text("reasonCode").unwrap_or_default(),
        }
    }

    #[getter]
    fn evaluated_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let at = match &self.kept {
            Kept::Given(verdict) => verdict.evaluated_at(),
            Kept::Restored(of, ..) => of.time("evaluatedAt").unwrap_or(Timestamp::from_micros(0)),
        };
        output::instant(py, at)
    }

    #[getter]
    fn provenance_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        output::uuid(py, self.uuid())
    }

    #[getter]
    fn required_tier(&self) -> Option<&str> {
        match &self.kept {
            Kept::Given(verdict) => verdict.required_tier(),
            Kept::Restored(of, ..) => of.text("requiredTier"),
        }
    }

    #[getter]
    fn escalation_path(&self) -> Option<&str> {
        match &self.kept {
            Kept::Given(verdict) => verdict.escalation_path(),
            Kept::Restored(of, ..) => of.text("escalationPath"),
        }
    }

    #[getter]
    fn recorded(&self) -> &str {
        match &self.kept {
            Kept::Given(verdict) => verdict.recorded().as_str(),
            Kept::Restored(of, ..) => of.text("recorded").unwrap_or("none"),
        }
    }

    #[getter]
    fn receipt(&self) -> Option<Receipt> {
        self.receipt_of()
    }

    #[getter]
    fn trace(&self) -> String {
        match &self.kept {
            Kept::Given(verdict) => verdict.trace().to_string(),
            Kept::Restored(_, _, trace) => trace.clone(),
        }
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        output::parsed(py, &self.json())
    }

    /// Waits for the commit, and gives the receipt; None if the policy does not record the verdict.
    fn committed(&self, py: Python<'_>) -> PyResult<Option<Receipt>> {
        if let Some(commit) = self.commit()? {
            self.set_committed(wait(py, commit)?.map(Receipt::from));
        }
        Ok(self.receipt_of())
    }

    fn __bool__(&self) -> bool {
        self.allowed()
    }

    fn __repr__(&self) -> String {
        let (decision, code, reason) = (self.decision(), self.reason_code(), self.reason());
        format!("GateVerdict({decision} ({code}): {reason})")
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.json() == other.json()
    }

    fn __hash__(&self) -> u64 {
        hash(self.uuid())
    }

    #[allow(clippy::type_complexity, reason = "as pickle wants it")]
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (String, String, String, Option<Receipt>))> {
        let restore = py.import("trust_engine._trust_engine")?.getattr("restore_gate_verdict")?;
        Ok((restore, (self.json(), self.uuid().to_string(), self.trace(), self.receipt())))
    }
}
