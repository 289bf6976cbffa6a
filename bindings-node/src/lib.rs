//! The native half of the Node binding. `index.cjs` is the other half: it owns promises, classes and errors; this side owns
//! the engine and the futures that run on Node's own thread.

#![cfg_attr(test, allow(dead_code, reason = "in tests the macros of napi leave out what calls it"))]

mod calls;
mod engine;
mod error;
mod input;
mod output;
mod quotas;
mod searches;
mod subscriptions;
mod tasks;
mod verify;
