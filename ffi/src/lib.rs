//! The C ABI of trust-engine. A function reads what it was given into the types of the engine, calls it, and writes the
//! outcome through its last pointers, or nothing at all. Everything that C could get wrong and that can be seen is
//! refused: `handle` checks handles, `input` texts and structs, and `boundary` keeps panics on this side.

#![allow(non_camel_case_types, reason = "types have the names that C sees")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests"))]

mod answer;
mod boundary;
mod calls;
mod ceiling;
mod completion;
mod engine;
mod error;
mod fork;
mod gate;
mod handle;
mod input;
mod output;
mod quota;
mod receipt;
mod record;
mod reservation;
mod subscription;
mod verify;

pub use answer::*;
pub use calls::*;
pub use ceiling::*;
pub use completion::*;
pub use engine::*;
pub use error::*;
pub use gate::*;
pub use input::te_str;
pub use output::{TE_UUID_BYTES, te_uuid, te_uuid_format};
pub use quota::*;
pub use receipt::*;
pub use record::*;
pub use reservation::*;
pub use subscription::*;
pub use verify::*;

/// The number of the ABI. It grows when a program that was compiled before would no longer work.
pub const TE_ABI_VERSION: u32 = 1;

/// The number of the ABI that the library speaks; compare it with `TE_ABI_VERSION`, which the program was compiled with.
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn te_abi_version() -> u32 {
    TE_ABI_VERSION
}

/// The version of the library, for example `0.1.0`. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn te_version() -> te_str {
    te_str::of(env!("CARGO_PKG_VERSION"))
}
