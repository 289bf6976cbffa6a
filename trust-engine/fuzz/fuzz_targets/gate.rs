//! A gate request and a recorded payload from anywhere: refused, or decided without a panic.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use trust_engine::blocking::Engine;
use trust_engine::{GateRequest, NewAgent, NewRecord, Options, Policy, recompute};

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let document = trust_engine::PolicyDocument::published_default().expect("the preset is valid");
    Arc::new(Policy::compile(document).expect("the preset compiles"))
});
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let engine = Engine::open(Options::memory()).expect("memory opens");
    engine.agents().register(NewAgent::new("a").tier("TRUSTED")).expect("an agent registers");
    engine
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<GateRequest>(bytes) {
        let _ = ENGINE.decide_gate(&request);
    }
    if let Ok(record) = serde_json::from_slice::<NewRecord>(bytes) {
        let _ = ENGINE.log().record(record);
    }
    let _ = recompute(bytes, &POLICY);
});
