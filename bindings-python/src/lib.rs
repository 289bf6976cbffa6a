//! The native half of the Python binding. The package in python/trust_engine is the other half: it owns the exceptions, the
//! calls by name and asyncio; this side owns the engine and whatever is hot or waits.

mod async_calls;
mod calls;
mod ceiling;
mod delivery;
mod engine;
mod error;
mod fork;
mod gate;
mod input;
mod output;
mod quota;
mod receipt;
mod requests;
mod verify;
mod waiting;

use pyo3::prelude::*;

/// The native half of trust_engine.
#[pymodule(gil_used = false)]
mod _trust_engine {
    #[pymodule_export]
    use super::calls::{Answer, Caller, Subscription, call_table};
    #[pymodule_export]
    use super::ceiling::{CeilingVerdict, restore_ceiling_verdict};
    #[pymodule_export]
    use super::engine::NativeEngine;
    #[pymodule_export]
    use super::fork::forked;
    #[pymodule_export]
    use super::gate::{GateVerdict, restore_gate_verdict};
    #[pymodule_export]
    use super::quota::{Quota, Reservation};
    #[pymodule_export]
    use super::receipt::{Receipt, restore_receipt};
    #[pymodule_export]
    use super::verify::{verify_consistency, verify_log, verify_payload, verify_record};

    /// The version of the package.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "as Python names it")]
    const version: &str = env!("CARGO_PKG_VERSION");
}
