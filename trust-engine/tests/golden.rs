//! The log's bytes are pinned: entries, leaf hashes, checkpoints and a proof, made with a fixed key, clock and salt.
//!
//! `UPDATE_GOLDEN=1 cargo test -p trust-engine --test golden` writes the file anew; a released format never changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use trust_engine::blocking::Engine;
use trust_engine::provenance::{Ed25519Signer, Entry, Hash};
use trust_engine::{
    CeilingRequest, Clock as _, Entropy, GateRequest, ManualClock, NewAgent, NewRecord, Options, Query,
    RecordType, verify,
};

/// Bytes that count up.
#[derive(Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, Ordering::SeqCst));
    }
}

fn build() -> serde_json::Value {
    let clock = Arc::new(ManualClock::new("2026-01-02T03:04:05.000006Z".parse().unwrap()));
    let options = Options::memory()
        .clock(clock.clone())
        .entropy(Arc::new(Counting::default()))
        .signer(Arc::new(Ed25519Signer::from_seed(&[1; 32])))
        .deployment("vectors.example/trust")
        .tier_authority("gateway");
    let engine = Engine::open(options).unwrap();
    engine.agents().register(NewAgent::new("agent \"é\" \\1").tier("BASIC").created_by("ops")).unwrap();
    let sample = GateRequest::new("agent_benchmark_001", "DATA_ANALYST").tier("VERIFIED").action("read");
    clock.advance(Duration::from_millis(1500));
    let allowed = engine.evaluate_gate(&sample.clone().caller("gateway")).unwrap();
    engine.evaluate_gate(&sample).unwrap();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let check =
        CeilingRequest::new("agent \"é\" \\1", "API_CALLS", 10).on_behalf_of("user-7").traceparent(trace);
    engine.check_ceiling(&check).unwrap();
    clock.set(clock.now().minus(Duration::from_secs(60)));
    let record = NewRecord::new(RecordType::Escalation, "agent_benchmark_001", "APPROVED_BY_TWO")
        .reason_code("FOUR_EYES")
        .reason("Ann and Bo have looked at it")
        .caller("console")
        .on_behalf_of("user-7")
        .traceparent(trace)
        .parent(allowed.id());
    let last = engine.log().record(record).unwrap();
    let records = engine.log().fleet_wide().query(&Query::new().oldest_first().limit(100)).unwrap().records;
    let entries: Vec<_> = records
        .iter()
        .map(|record| {
            let payload = record.payload().unwrap();
            serde_json::json!({
                "entry": String::from_utf8(record.entry_bytes().to_vec()).unwrap(),
                "leaf": record.receipt().leaf_hash().to_string(),
                "salt": hex::encode(payload.salt),
                "payload": String::from_utf8(payload.bytes.clone()).unwrap(),
                "checkpoint": record.receipt().checkpoint(),
            })
        })
        .collect();
    serde_json::json!({
        "seed": hex::encode([1; 32]),
        "verifierKey": engine.verifier_key().to_string(),
        "entries": entries,
        "proof": { "index": last.leaf_index(), "text": engine.log().prove(last.id()).unwrap().to_string() },
    })
}

#[test]
fn the_log_has_its_golden_bytes_and_they_verify() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/log.json");
    let built = build();
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(file, serde_json::to_string_pretty(&built).unwrap() + "\n").unwrap();
    }
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(built, golden);
    let key = golden["verifierKey"].as_str().unwrap().parse().unwrap();
    for entry in golden["entries"].as_array().unwrap() {
        let bytes = entry["entry"].as_str().unwrap();
        assert_eq!(Hash::leaf(bytes.as_bytes()).to_string(), entry["leaf"].as_str().unwrap());
        verify::checkpoint(entry["checkpoint"].as_str().unwrap(), &key).unwrap();
        assert_eq!(Entry::parse(bytes.as_bytes()).unwrap().to_bytes(), bytes.as_bytes());
        // Canonical by an independent implementation of RFC 8785.
        let value: serde_json::Value = serde_json::from_str(bytes).unwrap();
        assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), bytes);
    }
    let index = golden["proof"]["index"].as_u64().unwrap() as usize;
    let entry = golden["entries"][index]["entry"].as_str().unwrap();
    let proof = golden["proof"]["text"].as_str().unwrap();
    assert_eq!(verify::record(entry.as_bytes(), proof, &key).unwrap().index, index as u64);
    // No byte of entry or proof can be changed.
    for at in 0..entry.len() {
        let mut changed = entry.as_bytes().to_vec();
        changed[at] ^= 1;
        assert!(verify::record(&changed, proof, &key).is_err(), "entry byte {at}");
    }
    for at in 0..proof.len() {
        let mut changed = proof.as_bytes().to_vec();
        changed[at] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert!(verify::record(entry.as_bytes(), &changed, &key).is_err(), "proof byte {at}");
    }
}

/// The page that strangers write their tools from shows the last record of the vectors, as it is and forged.
#[test]
fn the_published_example_is_the_last_golden_record() {
    let page = include_str!("../../docs/provenance-format.md");
    let golden: serde_json::Value = serde_json::from_str(include_str!("vectors/log.json")).unwrap();
    let last = golden["entries"].as_array().unwrap().last().unwrap();
    for field in ["entry", "leaf", "salt", "payload"] {
        assert!(page.contains(last[field].as_str().unwrap()), "{field}");
    }
    let (key, proof) = (golden["verifierKey"].as_str().unwrap(), golden["proof"]["text"].as_str().unwrap());
    assert!(page.contains(key) && page.contains(proof.trim_end()));
    let forged = page.lines().rfind(|line| line.starts_with("{\"agent\"")).unwrap();
    assert!(page.contains(&Hash::leaf(forged.as_bytes()).to_string()));
    assert!(verify::record(forged.as_bytes(), proof, &key.parse().unwrap()).is_err());
}
