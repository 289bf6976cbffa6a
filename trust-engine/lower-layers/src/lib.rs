//! The layers of `trust-engine` below storage, by themselves: `make mutants` rebuilds them for each mutant.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    rustdoc::all,
    reason = "the layers above are not here"
)]

#[path = "../../src/agent.rs"]
mod agent;
#[path = "../../src/bounds.rs"]
mod bounds;
#[path = "../../src/ceiling/mod.rs"]
mod ceiling;
#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/gate/mod.rs"]
mod gate;
#[path = "../../src/ids.rs"]
mod ids;
#[path = "../../src/policy/mod.rs"]
mod policy;
#[path = "../../src/provenance/mod.rs"]
mod provenance;
#[path = "../../src/subject.rs"]
mod subject;
