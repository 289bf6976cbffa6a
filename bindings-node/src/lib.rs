//! The native half of the Node binding. `index.js` is the other half: it owns promises, classes and errors; this side owns
//! the engine and the futures that run on Node's own thread.

mod calls;
mod engine;
mod error;
mod input;
mod open;
mod output;
mod tasks;

// Records are made on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
