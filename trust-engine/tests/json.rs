//! The JSON forms, by the vectors that every language runs: `tests/vectors/calls.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use pollster::block_on;
use serde_json::{Value, json};
use trust_engine::json::{Answer, Caller};
use trust_engine::{
    AgentStatus, Decision, Engine, Error, ErrorKind, NewAgent, NewRecord, Options, Query, RecordType,
};

fn engine() -> Engine {
    let engine = block_on(Engine::open(Options::memory().tier_authority("gateway"))).unwrap();
    block_on(async {
        engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED")).await.unwrap();
        let suspended = NewAgent::new("agent_002").tier("VERIFIED").status(AgentStatus::Suspended);
        engine.agents().register(suspended).await.unwrap();
    });
    engine
}

#[test]
fn every_vector_is_answered_as_it_says() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors/calls.json")).unwrap();
    assert!(vectors.len() > 50);
    let engine = engine();
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
        let body = match vector["base64"].as_str() {
            Some(bytes) => base64::engine::general_purpose::STANDARD.decode(bytes).unwrap(),
            None => vector["body"].as_str().unwrap().as_bytes().to_vec(),
        };
        let caller = match vector["caller"].as_str() {
            Some(name) => Caller::new().named(name).unwrap(),
            None => Caller::new(),
        };
        let calls = engine.json(&caller).request_id("req-1");
        let Answer { status, body, .. } = match vector["call"].as_str().unwrap() {
            "evaluateGate" => block_on(calls.evaluate_gate(&body)),
            "checkCeiling" => block_on(calls.check_ceiling(&body, None)),
            "record" => block_on(calls.record(&body)),
            other => panic!("unknown call {other}"),
        };
        assert_eq!(status, vector["status"], "{name}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        for (field, expected) in vector["expect"].as_object().into_iter().flatten() {
            assert_eq!(&answer[field], expected, "{name}: {field}: {body}");
        }
        if let Some(field) = vector["field"].as_str() {
            assert_eq!(answer["details"]["field"], field, "{name}: {body}");
            assert!(!answer["details"]["issue"].as_str().unwrap().is_empty(), "{name}");
            assert_eq!(answer["requestId"], "req-1");
        }
        assert_eq!(answer.get("code").is_some(), status >= 400, "{name}: {body}");
        assert!(vector["longest"].as_u64().is_none_or(|most| body.len() as u64 <= most), "{name}: {body}");
    }
}

#[test]
fn what_is_recorded_comes_back_the_same_whichever_way_it_is_read() {
    let engine = engine();
    let caller = Caller::new();
    let calls = engine.json(&caller);
    let body =
        br#"{"type":"ALERT","agentId":"agent_001","decision":"DENY","reason":"a \"b\"","context":{"n":0.1}}"#;
    let recorded: Value = serde_json::from_str(&block_on(calls.record(body)).body).unwrap();
    let id = recorded["id"].as_str().unwrap();
    let read: Value = serde_json::from_str(&block_on(calls.get(id)).body).unwrap();
    assert_eq!(read, recorded);
    let page: Value = serde_json::from_str(&block_on(calls.query(&Query::new().limit(1))).body).unwrap();
    assert_eq!(page["data"][0], recorded);
    let chain: Value = serde_json::from_str(&block_on(calls.chain(id, 1)).body).unwrap();
    assert_eq!((&chain["chain"][0], &chain["root"], &chain["depth"]), (&recorded, &recorded, &json!(0)));
}

#[test]
fn internal_records_are_shown_only_to_those_who_see_them() {
    let engine = engine();
    block_on(engine.log().record(NewRecord::new(RecordType::Alert, "agent_001", Decision::Deny))).unwrap();
    for n in 0..50 {
        block_on(engine.agents().register(NewAgent::new(format!("later_{n}")))).unwrap();
    }
    let (anyone, auditor) = (Caller::new(), Caller::new().internal());
    let types = |caller: &Caller| -> Vec<String> {
        let body = block_on(engine.json(caller).query(&Query::new().limit(5))).body;
        let page: Value = serde_json::from_str(&body).unwrap();
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["type"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(types(&auditor), ["AGENT"; 5]);
    assert_eq!(types(&anyone), ["ALERT"], "behind fifty that are not shown");
    let agent = block_on(engine.log().query(&Query::new().limit(1))).unwrap().records[0].id().to_string();
    assert_eq!(block_on(engine.json(&anyone).get(&agent)).status, 404);
    assert_eq!(block_on(engine.json(&anyone).chain(&agent, 5)).status, 404);
    assert_eq!(block_on(engine.json(&auditor).chain(&agent, 5)).status, 200);
    assert_eq!(block_on(engine.json(&auditor).get(&agent)).status, 200);
}

#[test]
fn errors_that_are_the_operators_business_tell_the_caller_nothing() {
    for (kind, status, code) in [
        (ErrorKind::Corrupt, 500, "P6_INTERNAL_ERROR"),
        (ErrorKind::PermissionDenied, 500, "P6_INTERNAL_ERROR"),
        (ErrorKind::Unavailable, 503, "P6_UNAVAILABLE"),
        (ErrorKind::Overloaded, 503, "P6_UNAVAILABLE"),
        (ErrorKind::Closed, 503, "P6_UNAVAILABLE"),
    ] {
        let answer = Answer::of_error(&Error::new(kind, "/var/secret").with("field", "x"), None);
        assert_eq!(answer.status, status);
        assert!(!answer.body.contains("secret"), "{}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((body["code"].as_str(), body["details"].is_null()), (Some(code), true));
        assert_eq!(body["retryAfter"].is_number(), status == 503);
    }
}

#[test]
fn a_retry_in_another_span_of_its_trace_is_the_same_request() {
    let engine = engine();
    let caller = Caller::new();
    let span = |n: u32| format!("00-0af7651916cd43dd8448eb211c80319c-{n:016x}-01");
    let record =
        br#"{"id":"6c7a1b2e-0d4f-4b6e-9a51-0f2f8b1c9d3e","type":"ALERT","agentId":"a","decision":"DENY"}"#;
    let ceiling = br#"{"agentId":"agent_001","resourceType":"API_CALLS","requestedAmount":7}"#;
    let mut leaves = Vec::new();
    for n in 1..4 {
        let span = span(n);
        let calls = engine.json(&caller).traceparent(&span);
        let recorded = block_on(calls.record(record));
        assert_eq!(recorded.status, 201, "{}", recorded.body);
        leaves.push(serde_json::from_str::<Value>(&recorded.body).unwrap()["leafIndex"].clone());
        let checked = block_on(calls.check_ceiling(ceiling, Some("key-1")));
        let usage = serde_json::from_str::<Value>(&checked.body).unwrap()["currentUsage"].clone();
        assert_eq!((checked.status, usage), (200, 7.into()), "{}", checked.body);
    }
    assert!(leaves.iter().all(|leaf| *leaf == leaves[0]), "{leaves:?}");
}
