//! Outcomes of calls that asyncio waits for. They are kept until the loop comes for them, and one byte in a pipe tells the loop
//! that there are some: the thread that delivers needs no GIL, and a commit that answers hundreds of calls wakes the loop once.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use trust_engine::completions::{Completions, Ended};
use trust_engine::{Result, json};

use crate::calls::Answer;
use crate::ceiling::CeilingVerdict;
use crate::error::{closed, panicked, raise};
use crate::gate::GateVerdict;
use crate::quota::Reservation;
use crate::receipt::Receipt;

/// What a call has come to.
pub(crate) enum Outcome {
    Gate(Box<trust_engine::Verdict>),
    Ceiling(Box<trust_engine::CeilingVerdict>),
    Reserved(Box<(trust_engine::CeilingVerdict, Option<trust_engine::Reservation>)>),
    Receipt(Option<trust_engine::Receipt>),
    /// The commit of a verdict, which keeps the receipt.
    Committed(Py<GateVerdict>, Option<trust_engine::Receipt>),
    Answer(Box<json::Answer>),
    Item(Option<String>),
    Nothing,
}

impl Outcome {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Gate(verdict) => GateVerdict::new(*verdict, None).into_py_any(py),
            Self::Ceiling(verdict) => CeilingVerdict::from(*verdict).into_py_any(py),
            Self::Reserved(reserved) => {
                let (verdict, reservation) = *reserved;
                let reservation =
                    reservation.map(|reservation| Reservation::new(py, reservation)).transpose()?;
                (CeilingVerdict::from(verdict), reservation).into_py_any(py)
            }
            Self::Receipt(receipt) => receipt.map(Receipt::from).into_py_any(py),
            Self::Committed(verdict, receipt) => {
                let receipt = receipt.map(Receipt::from);
                verdict.get().set_committed(receipt.clone());
                receipt.into_py_any(py)
            }
            Self::Answer(answer) => Answer::from(*answer).into_py_any(py),
            Self::Item(item) => item.into_py_any(py),
            Self::Nothing => Ok(py.None()),
        }
    }
}

/// An outcome, and the number of its call. `None`: the call has panicked.
type Done = (u64, Option<Result<Outcome>>);

/// The delivery of one engine's outcomes.
pub(crate) struct Delivery {
    calls: Completions<Done>,
    waiting: Arc<Waiting>,
    last: AtomicU64,
}

/// The outcomes that wait to be drained.
struct Waiting {
    list: Mutex<Vec<Done>>,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Waiting {
    fn add(&self, done: Vec<Done>) {
        let mut list = self.list.lock();
        // There is a byte in the pipe while the list is not empty: both change under the lock.
        if list.is_empty() {
            // One byte fits into an empty pipe.
            let _ = (&self.writer).write(&[1]);
        }
        list.extend(done);
    }

    fn take(&self) -> Vec<Done> {
        let mut list = self.list.lock();
        if !list.is_empty() {
            // It is there, so this does not wait.
            let _ = (&self.reader).read(&mut [0]);
        }
        std::mem::take(&mut list)
    }
}

impl Delivery {
    pub(crate) fn start() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let waiting = Arc::new(Waiting { list: Mutex::default(), reader, writer });
        let to_drain = Arc::clone(&waiting);
        let calls = Completions::start(move |done| to_drain.add(done))?;
        Ok(Self { calls, waiting, last: AtomicU64::new(0) })
    }

    pub(crate) fn event_fd(&self) -> i32 {
        self.waiting.reader.as_raw_fd()
    }

    /// Begins a call: gives its result if it need not wait, and otherwise its number.
    pub(crate) fn begin(
        &self,
        py: Python<'_>,
        is_search: bool,
        call: impl Future<Output = Result<Outcome>> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let call = AssertUnwindSafe(call).catch_unwind();
        let call = async move {
            let outcome = call.await.map_err(std::mem::forget).ok();
            (number, outcome)
        };
        let begin =
            || if is_search { self.calls.search(call).map(|()| None) } else { self.calls.begin(call) };
        match py.detach(begin) {
            Ok(None) => number.into_py_any(py),
            Ok(Some((_, outcome))) => result(py, outcome),
            Err(Ended) => Err(raise(closed())),
        }
    }

    /// The outcomes that are there: number, result, exception.
    pub(crate) fn drain(&self, py: Python<'_>) -> Vec<(u64, Option<Py<PyAny>>, Option<PyErr>)> {
        let done = self.waiting.take().into_iter();
        let told = done.map(|(number, outcome)| match result(py, outcome) {
            Ok(value) => (number, Some(value), None),
            Err(error) => (number, None, Some(error)),
        });
        told.collect()
    }

    pub(crate) fn close(&self) {
        self.calls.close();
    }
}

fn result(py: Python<'_>, outcome: Option<Result<Outcome>>) -> PyResult<Py<PyAny>> {
    match outcome {
        Some(Ok(outcome)) => outcome.into_python(py),
        Some(Err(error)) => Err(raise(error)),
        None => Err(panicked()),
    }
}
