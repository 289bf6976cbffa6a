//! The JSON forms, by the vectors that every language runs: `tests/vectors/calls.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use pollster::block_on;
use serde_json::{Value, json};
use trust_engine::json::{Answer, CALLS, Caller, Permission, Route, SharedSubscription, Subscription};
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
            "checkCeiling" => block_on(calls.check_ceiling(&body)),
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
    let refused = block_on(engine.json(&anyone).query(&Query::new().kind(RecordType::Agent)));
    assert!(refused.status == 403 && refused.body.contains("includeInternal"), "{}", refused.body);
    assert_eq!(block_on(engine.json(&auditor).query(&Query::new().kind(RecordType::Agent))).status, 200);
    assert_eq!(block_on(engine.json(&anyone).get(&agent)).status, 404);
    assert_eq!(block_on(engine.json(&anyone).chain(&agent, 5)).status, 404);
    assert_eq!(block_on(engine.json(&auditor).chain(&agent, 5)).status, 200);
    assert_eq!(block_on(engine.json(&auditor).get(&agent)).status, 200);
}

#[test]
fn what_a_record_holds_is_shown_with_what_proves_it() {
    use trust_engine::provenance::{Entry, Payload};
    use trust_engine::{AgentChange, CeilingRequest, GateRequest};
    let engine = engine();
    let change = AgentChange::of_current().tier("PRIVILEGED").changed_by("ops");
    block_on(engine.agents().change("agent_001", change)).unwrap();
    block_on(engine.evaluate_gate(&GateRequest::new("agent_001", "READER").action("read"))).unwrap();
    let check = CeilingRequest::new("agent_001", "API_CALLS", 1_000_000_000);
    assert!(!block_on(engine.check_ceiling(&check)).unwrap().allowed());
    let auditor = Caller::new().fleet_wide().internal();
    let page = body(&block_on(engine.json(&auditor).query(&Query::new().agent("agent_001").limit(3))));
    let of =
        |kind: &str| page["data"].as_array().unwrap().iter().find(|record| record["type"] == kind).unwrap();
    let (gate, ceiling) = (&of("ROLE_GATE")["inputs"], &of("CEILING")["inputs"]);
    assert_eq!((&gate["role"], &gate["context"]["action"]), (&json!("READER"), &json!("read")));
    let asked = json!([{ "resourceType": "API_CALLS", "requestedAmount": 1_000_000_000 }]);
    assert_eq!(ceiling["resources"], asked);
    for kind in ["ROLE_GATE", "CEILING", "AGENT"] {
        let parameters = json!({ "id": of(kind)["id"], "includeEvidence": true });
        let record = body(&call(&engine, &auditor, "provenance.get", parameters, ""));
        let evidence = |part: &str| record["evidence"][part].as_str().unwrap().to_owned();
        let entry = Entry::parse(evidence("entry").as_bytes()).unwrap();
        let mut salt = [0; 32];
        hex::decode_to_slice(evidence("salt"), &mut salt).unwrap();
        let payload = Payload { salt, bytes: evidence("payload").into_bytes() };
        trust_engine::verify::payload(&entry, &payload).unwrap();
        assert!(kind != "AGENT" || evidence("payload").contains("PRIVILEGED"), "{record}");
        let proof = call(&engine, &auditor, "provenance.proof", json!({ "id": of(kind)["id"] }), "").body;
        trust_engine::verify::record(evidence("entry").as_bytes(), &proof, &engine.verifier_key()).unwrap();
        let plain = body(&call(&engine, &auditor, "provenance.get", json!({ "id": of(kind)["id"] }), ""));
        assert!(plain.get("evidence").is_none());
    }
    // A check's payload has the use of the fleet's counters, which is not for one tenant.
    let tenant = Caller::new();
    for (kind, status) in [("ROLE_GATE", 200), ("CEILING", 403)] {
        let parameters = json!({ "id": of(kind)["id"], "includeEvidence": true });
        assert_eq!(call(&engine, &tenant, "provenance.get", parameters, "").status, status, "{kind}");
        assert_eq!(call(&engine, &tenant, "provenance.get", json!({ "id": of(kind)["id"] }), "").status, 200);
    }
    let parameters =
        json!({ "id": of("CEILING")["id"], "includeEvidence": true, "organizationId": "default" });
    assert_eq!(call(&engine, &auditor, "provenance.get", parameters, "").status, 200);
}

#[test]
fn a_page_is_full_unless_it_is_the_last_however_many_records_between_are_not_shown() {
    let engine = engine();
    for n in 0..60 {
        block_on(engine.agents().register(NewAgent::new(format!("a{n}")))).unwrap();
        if n % 5 == 0 {
            block_on(engine.log().record(NewRecord::new(RecordType::Alert, "a", Decision::Deny))).unwrap();
        }
    }
    let caller = Caller::new();
    let (mut query, mut sizes) = (Query::new().limit(5), Vec::new());
    loop {
        let page = body(&block_on(engine.json(&caller).query(&query)));
        sizes.push(page["data"].as_array().unwrap().len());
        let Some(next) = page["nextPageToken"].as_str() else { break };
        query = Query::new().limit(5).after(next);
    }
    assert_eq!(sizes, [5, 5, 2]);
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
        let checked = block_on(calls.idempotency_key("key-1").check_ceiling(ceiling));
        let usage = serde_json::from_str::<Value>(&checked.body).unwrap()["currentUsage"].clone();
        assert_eq!((checked.status, usage), (200, 7.into()), "{}", checked.body);
    }
    assert!(leaves.iter().all(|leaf| *leaf == leaves[0]), "{leaves:?}");
}

fn call(engine: &Engine, caller: &Caller, name: &str, parameters: Value, body: &str) -> Answer {
    let parameters = parameters.to_string();
    block_on(engine.json(caller).request_id("req-1").call(name, parameters.as_bytes(), body.as_bytes()))
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[test]
fn every_row_of_the_table_is_whole() {
    let mut names = std::collections::BTreeSet::new();
    let mut routes = std::collections::BTreeSet::new();
    let schemas = trust_engine::json::schemas();
    for call in CALLS {
        assert!(names.insert(call.name), "{} is there twice", call.name);
        assert_eq!(schemas["calls"][call.name]["body"].is_null(), call.max_body == 0, "{}", call.name);
        let Some(Route { method, path }) = call.route else { continue };
        assert!(routes.insert((method, path)), "{method} {path} is there twice");
        let in_path: Vec<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        for part in in_path {
            assert!(call.parameters.iter().any(|parameter| parameter.name == part), "{path}: {part}");
        }
        assert_eq!(matches!(method, "POST" | "PUT" | "PATCH"), call.max_body > 0, "{method} {path}");
    }
    // Hosts read the table as JSON.
    let table = serde_json::to_value(CALLS).unwrap();
    let list = table.as_array().unwrap().iter().find(|call| call["name"] == "agents.list").unwrap();
    assert_eq!(list["route"], json!({ "method": "GET", "path": "/agents" }));
    assert_eq!(list["permission"], "agents:read");
    assert_eq!(
        list["parameters"][1]["kind"],
        json!({ "type": "word", "of": ["ACTIVE", "SUSPENDED", "REVOKED"] })
    );
}

#[test]
fn every_call_is_refused_without_its_permission_before_anything_is_read() {
    let engine = engine();
    for call in CALLS {
        let others = Permission::ALL.into_iter().filter(|permission| *permission != call.permission);
        let caller = Caller::new().fleet_wide().permitting(others.map(Permission::as_str)).unwrap();
        let answer = block_on(engine.json(&caller).call(call.name, b"not JSON", b"neither"));
        assert_eq!(answer.status, 403, "{}: {}", call.name, answer.body);
        let body = body(&answer);
        assert_eq!(body["code"], "P6_FORBIDDEN");
        assert_eq!(body["details"]["permission"], call.permission.as_str());
    }
    assert_eq!(Caller::new().permitting(["agents:reed"]).unwrap_err().field(), Some("permissions"));
    // None at all is none, and not all of them.
    let nobody = Caller::new().permitting([]).unwrap();
    let calls = engine.json(&nobody);
    let id = "01890000-0000-7000-8000-00000000dead";
    let refused = [
        block_on(calls.evaluate_gate(b"{}")),
        calls.decide_gate(b"{}").0,
        block_on(calls.check_ceiling(b"{}")),
        block_on(calls.record(b"{}")),
        block_on(calls.get(id)),
        block_on(calls.chain(id, 1)),
        block_on(calls.query(&Query::new())),
    ];
    assert!(refused.iter().all(|answer| answer.status == 403), "{refused:?}");
}

#[test]
fn parameters_are_read_as_strictly_as_bodies() {
    let engine = engine();
    let caller = Caller::new();
    let refused = |name: &str, parameters: &str, field: &str| {
        let answer = block_on(engine.json(&caller).call(name, parameters.as_bytes(), b""));
        assert_eq!(answer.status, 400, "{name} {parameters}: {}", answer.body);
        assert_eq!(body(&answer)["details"]["field"], field, "{name} {parameters}: {}", answer.body);
    };
    refused("agents.list", r#"{"teir":"VERIFIED"}"#, "teir");
    refused("agents.list", r#"{"tier":"VERIFIED","tier":"BASIC"}"#, "tier");
    refused("agents.list", r#"{"tier":["VERIFIED","BASIC"]}"#, "tier");
    refused("agents.list", r#"{"tier":{"VERIFIED":null}}"#, "tier");
    refused("agents.list", r#"{"status":"active"}"#, "status");
    refused("agents.list", r#"["VERIFIED"]"#, "parameters");
    refused("agents.list", "{", "parameters");
    for size in ["0", "1001", "-1", "1e1", " 1", "1.0", "", "x", "99999999999999999999"] {
        refused("agents.list", &json!({ "pageSize": size }).to_string(), "pageSize");
    }
    refused("agents.list", r#"{"pageSize":1.5}"#, "pageSize");
    refused("agents.list", r#"{"total":"yes"}"#, "total");
    refused("agents.get", "{}", "agentId");
    refused("provenance.get", r#"{"id":"1"}"#, "id");
    refused("provenance.query", r#"{"startTime":"yesterday"}"#, "startTime");
    refused("provenance.query", r#"{"decisionType":"GATE"}"#, "decisionType");
    refused("log.checkpoint", r#"{"shard":"4294967296"}"#, "shard");
    let unwanted = block_on(engine.json(&caller).call("agents.list", b"", b"{}"));
    assert_eq!((unwanted.status, &body(&unwanted)["details"]["field"]), (400, &json!("body")));
    assert_eq!(block_on(engine.json(&caller).call("agents.lst", b"", b"")).status, 404);
    let both = [json!({ "pageSize": 1 }), json!({ "pageSize": "1" })];
    assert!(both.iter().all(|size| call(&engine, &caller, "agents.list", size.clone(), "").status == 200));
}

#[test]
fn an_agent_is_put_from_the_version_that_was_seen() {
    let engine = engine();
    let caller = Caller::new().named("console").unwrap();
    let id = json!({ "agentId": "agent_009" });
    let put = |if_match: Option<&str>, text: &str| {
        let mut calls = engine.json(&caller);
        if let Some(version) = if_match {
            calls = calls.if_match(version);
        }
        block_on(calls.call("agents.put", id.to_string().as_bytes(), text.as_bytes()))
    };
    assert_eq!(put(Some("*"), "{}").status, 409, "there is none");
    assert_eq!(put(Some("\"1\""), "{}").status, 409);
    let made = put(None, r#"{"tier":"BASIC","creation":"IMPORTED"}"#);
    assert_eq!((made.status, made.etag.as_deref()), (201, Some("\"1\"")), "{}", made.body);
    let changed = put(Some("\"1\""), r#"{"tier":"VERIFIED"}"#);
    assert_eq!((changed.status, changed.etag.as_deref()), (200, Some("\"2\"")), "{}", changed.body);
    assert_eq!(put(Some("\"1\""), r#"{"tier":"BASIC"}"#).status, 409);
    assert_eq!(put(Some("*"), r#"{"status":"SUSPENDED"}"#).etag.as_deref(), Some("\"3\""));
    assert_eq!(put(None, r#"{"version":3,"score":7}"#).etag.as_deref(), Some("\"4\""));
    for (if_match, text, status, field) in [
        (Some("\"1"), "{}", 400, "If-Match"),
        (Some("W/\"1\""), "{}", 400, "If-Match"),
        (Some("+1"), "{}", 400, "If-Match"),
        (Some("\"4\""), r#"{"version":3}"#, 400, "version"),
        (None, r#"{"creation":"FRESH"}"#, 409, "creation"),
        (None, r#"{"parent":"agent_001"}"#, 409, "parent"),
        (None, r#"{"status":{"ACTIVE":null}}"#, 400, "status"),
        (None, r#"{"status":"active"}"#, 400, "status"),
        (None, r#"{"tier":"VERIFIED","tier":"BASIC"}"#, 400, "tier"),
        (None, r#"{"createdBy":"me"}"#, 400, "createdBy"),
        (None, r#"{"attestations":"a"}"#, 400, "attestations"),
    ] {
        let answer = put(if_match, text);
        assert_eq!((answer.status, &body(&answer)["details"]["field"]), (status, &json!(field)), "{text}");
    }
    let record =
        call(&engine, &Caller::new().internal(), "provenance.query", json!({ "agentId": "agent_009" }), "");
    assert_eq!(body(&record)["data"].as_array().unwrap().len(), 4);
}

#[test]
fn an_import_names_each_refusal_in_its_place() {
    let engine = engine();
    let caller = Caller::new().named("console").unwrap();
    let agents = json!({ "agents": [
        { "id": "n1", "tier": "BASIC" }, { "id": "agent_001" }, { "id": "n2", "teir": "BASIC" }, 7,
        { "id": "n3", "parent": "n1", "creation": "CLONED" },
        { "id": "n4", "creator": "ops" }, { "id": "n5", "score": null },
    ] });
    // A name that is there twice, as text.
    let agents =
        agents.to_string().replacen("[{", "[{\"id\":\"t\",\"tier\":\"BASIC\",\"tier\":\"TRUSTED\"},{", 1);
    let answer = call(&engine, &caller, "agents.import", json!({}), &agents);
    let imported = body(&answer);
    assert_eq!((answer.status, &imported["registered"], &imported["refused"]), (200, &json!(2), &json!(6)));
    let codes: Vec<&Value> = (1..6).map(|n| &imported["outcomes"][n]["error"]["code"]).collect();
    assert_eq!(json!(codes), json!([null, "P6_CONFLICT", "P6_INVALID_REQUEST", "P6_INVALID_REQUEST", null]));
    assert_eq!(imported["outcomes"][5]["agent"]["family"], "n1");
    let fields: Vec<&Value> =
        [0, 3, 6, 7].map(|n: usize| &imported["outcomes"][n]["error"]["details"]["field"]).into();
    assert_eq!(json!(fields), json!(["tier", "teir", "creator", "score"]));
    // As large as the row says, and no larger.
    let many: Vec<Value> =
        (0..9000).map(|n| json!({ "id": format!("many_{n}"), "attestations": ["x".repeat(60)] })).collect();
    let answer = call(&engine, &caller, "agents.import", json!({}), &json!({ "agents": many }).to_string());
    assert_eq!((answer.status, &body(&answer)["registered"]), (200, &json!(9000)));
    let larger = format!("{{\"agents\":[{}]}}", " ".repeat(1024 * 1024));
    assert_eq!(call(&engine, &caller, "agents.import", json!({}), &larger).status, 400);
    let listed = call(&engine, &caller, "agents.list", json!({ "family": "n1", "total": true }), "");
    assert_eq!(body(&listed)["total"], 2);
    assert_eq!(call(&engine, &caller, "agents.count", json!({ "family": "n1" }), "").body, "2");
}

#[test]
fn reads_know_organizations_internal_types_and_what_never_changes() {
    let engine = engine();
    let acme = Caller::new().organization(trust_engine::OrganizationId::parse("acme").unwrap());
    let record = json!({ "type": "ALERT", "agentId": "a", "decision": "RAISED" }).to_string();
    let made = body(&call(&engine, &acme, "provenance.record", json!({}), &record));
    let id = made["id"].as_str().unwrap();
    let (own, fleet) = (Caller::new(), Caller::new().fleet_wide());
    assert_eq!(call(&engine, &own, "provenance.get", json!({ "id": id }), "").status, 404);
    let other = call(&engine, &own, "provenance.get", json!({ "id": id, "organizationId": "acme" }), "");
    assert_eq!((other.status, &body(&other)["details"]["field"]), (403, &json!("organizationId")));
    for parameters in [json!({ "id": id }), json!({ "id": id, "organizationId": "acme" })] {
        let read = call(&engine, &fleet, "provenance.get", parameters, "");
        assert!(read.status == 200 && read.immutable, "{}", read.body);
    }
    let proof = call(&engine, &acme, "provenance.proof", json!({ "id": id }), "");
    assert!(
        proof.content_type.starts_with("text/plain") && proof.body.starts_with("c2sp.org/tlog-proof@v1\n")
    );
    assert_eq!(call(&engine, &own, "provenance.proof", json!({ "id": id }), "").status, 404);
    let checkpoint = call(&engine, &own, "log.checkpoint", json!({ "shard": 0 }), "");
    trust_engine::verify::checkpoint(&checkpoint.body, &engine.verifier_key()).unwrap();
    assert_eq!(call(&engine, &own, "log.checkpoint", json!({ "shard": 1 }), "").status, 404);
    let internal = json!({ "decisionType": "AGENT", "includeInternal": "true" });
    assert_eq!(call(&engine, &own, "provenance.query", internal.clone(), "").status, 403);
    assert_eq!(
        body(&call(&engine, &fleet, "provenance.query", internal, ""))["data"].as_array().unwrap().len(),
        2
    );
    let stats = |caller: &Caller, parameters| body(&call(&engine, caller, "stats.get", parameters, ""));
    assert_eq!(stats(&acme, json!({}))["provenance"]["totalRecords"], 1);
    assert!(stats(&acme, json!({}))["provenance"].get("commits").is_none());
    assert_eq!(stats(&acme, json!({}))["provenance"]["aheadSeconds"], 0);
    assert!(stats(&fleet, json!({}))["provenance"]["commits"].as_u64().unwrap() > 0);
    assert_eq!(stats(&fleet, json!({ "organizationId": "acme" }))["provenance"]["totalRecords"], 1);
    assert_eq!(stats(&own, json!({ "organizationId": "acme" }))["code"], "P6_FORBIDDEN");
    let usage = body(&call(&engine, &own, "ceilings.usage", json!({ "agentId": "agent_001" }), ""));
    assert_eq!((&usage["agentId"], usage["usage"].as_array().unwrap().len()), (&json!("agent_001"), 2));
    let usage = call(
        &engine,
        &own,
        "ceilings.usage",
        json!({ "agentId": "agent_001", "resourceType": "API_CALLS" }),
        "",
    );
    assert_eq!(body(&usage)["usage"][0]["ceiling"], 500);
}

#[test]
fn the_policy_is_read_and_put() {
    let engine = engine();
    let (own, named) = (Caller::new().fleet_wide(), Caller::new().fleet_wide().named("ops").unwrap());
    let before = body(&call(&engine, &own, "policy.get", json!({}), ""));
    let document = include_str!("../src/policy/presets/t0-t7.yaml");
    assert_eq!(body(&call(&engine, &own, "policy.put", json!({}), document))["details"]["field"], "caller");
    assert_eq!(call(&engine, &named, "policy.put", json!({}), "tiers: [").status, 400);
    let put = call(&engine, &named, "policy.put", json!({}), document);
    assert_eq!((put.status, &body(&put)["leafIndex"]), (200, &json!(4)), "{}", put.body);
    assert_ne!(body(&call(&engine, &own, "policy.get", json!({}), ""))["hash"], before["hash"]);
    let versions = body(&call(&engine, &own, "policy.versions", json!({ "pageSize": 5 }), ""));
    // One organization does not change the policy of all, whatever it may do else.
    let tenant = Caller::new().named("acme").unwrap();
    assert_eq!(call(&engine, &tenant, "policy.put", json!({}), document).status, 403);
    let calls = engine.json(&named).if_match("\"1\"");
    let unheeded = block_on(calls.call("policy.put", b"", document.as_bytes()));
    assert_eq!((unheeded.status, &body(&unheeded)["details"]["field"]), (400, &json!("If-Match")));
    let numbers: Vec<&Value> =
        versions.as_array().unwrap().iter().map(|version| &version["version"]).collect();
    assert_eq!(json!(numbers), json!([2, 1]));
}

#[test]
fn subscriptions_give_item_by_item_what_calls_list_and_what_is_committed() {
    let engine = engine();
    let caller = Caller::new();
    let calls = engine.json(&caller);
    let next = |subscription: &mut Subscription| block_on(subscription.next()).unwrap();
    let mut agents = block_on(calls.subscribe("agents.list", br#"{"tier":"VERIFIED"}"#)).unwrap();
    let ids: Vec<Value> = std::iter::from_fn(|| next(&mut agents))
        .map(|item| serde_json::from_str::<Value>(&item).unwrap()["id"].clone())
        .collect();
    assert_eq!(json!(ids), json!(["agent_001", "agent_002"]));
    let mut follow = block_on(calls.subscribe("provenance.follow", br#"{"agentId":"b"}"#)).unwrap();
    let record = |agent: &str| {
        block_on(engine.log().record(NewRecord::new(RecordType::Alert, agent, "RAISED"))).unwrap()
    };
    let follower = std::thread::spawn(move || {
        (0..3).map(|_| block_on(follow.next()).unwrap().unwrap()).collect::<Vec<_>>()
    });
    let mut ids = Vec::new();
    for agent in ["a", "b", "b", "a", "b"] {
        let id = record(agent).id().to_string();
        if agent == "b" {
            ids.push(id);
        }
    }
    let followed = follower.join().unwrap();
    let followed: Vec<Value> = followed.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
    assert_eq!(json!(followed.iter().map(|item| &item["id"]).collect::<Vec<_>>()), json!(ids));
    let mut query =
        block_on(calls.subscribe("provenance.query", br#"{"pageSize":1,"order":"oldest"}"#)).unwrap();
    assert_eq!(std::iter::from_fn(|| next(&mut query)).count(), 5);
    let refused =
        |name: &str, parameters: &[u8]| block_on(calls.subscribe(name, parameters)).err().unwrap().kind();
    assert_eq!(refused("agents.put", b""), ErrorKind::NotFound);
    assert_eq!(refused("agents.list", br#"{"pageSize":1}"#), ErrorKind::InvalidInput);
    let none = Caller::new().permitting(["stats:read"]).unwrap();
    let refused = block_on(engine.json(&none).subscribe("agents.list", b"")).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    // A follower that waits hears that the engine is closed.
    let mut follow = block_on(calls.subscribe("provenance.follow", b"")).unwrap();
    let waiting = std::thread::spawn(move || block_on(follow.next()).err().unwrap().kind());
    block_on(engine.close());
    assert_eq!(waiting.join().unwrap(), ErrorKind::Closed);
}

#[test]
fn options_are_read_from_json_and_each_mistake_is_named() {
    let open = |text: &str| Options::from_json(text).map(drop);
    open(r#"{"storage":{"memory":true}}"#).unwrap();
    open(r#"{"storage":{"postgres":{"url":"postgres://x","connections":5},"redis":"redis://y"},"signingKey":"0000000000000000000000000000000000000000000000000000000000000001","deployment":"d","tierAuthorities":["a"],"queue":9,"shard":0,"takeoverAfterMs":3000,"maxClockJumpMs":60000}"#).unwrap();
    for (text, field) in [
        (r#"{"storage":{"memory":true},"polcy":"x"}"#, "polcy"),
        (r#"{"storage":{"memry":true}}"#, "storage.memry"),
        (r#"{"storage":{"memory":true,"embedded":"x"}}"#, "storage"),
        (r#"{"storage":{}}"#, "storage"),
        ("{}", "storage"),
        (r#"{"storage":{"memory":true},"queue":-1}"#, "queue"),
        (r#"{"storage":{"memory":true},"queue":1.5}"#, "queue"),
        (r#"{"storage":{"memory":true},"signingKey":"00"}"#, "signingKey"),
        (r#"{"storage":{"postgres":{"url":"postgres://x","conections":5}}}"#, "storage.postgres.conections"),
        (r#"{"storage":{"postgres":{}}}"#, "storage.postgres.url"),
        (r#"{"storage":{"postgres":5}}"#, "storage.postgres"),
        (r#"[{"memory":true}]"#, "options"),
    ] {
        let error = open(text).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)), "{text}: {error}");
    }
}

#[test]
fn the_page_of_calls_has_every_row() {
    let page = include_str!("../../docs/calls.md");
    for call in CALLS {
        let route = call.route.map_or("–".into(), |Route { method, path }| format!("`{method} {path}`"));
        let row = format!("| `{}` | {route} | `{}` |", call.name, call.permission.as_str());
        assert!(page.contains(&row), "{row}");
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), CALLS.len());
}

#[test]
fn the_schemas_of_the_calls_are_those_of_the_types() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/calls.schema.json");
    let made = serde_json::to_string_pretty(&trust_engine::json::schemas()).unwrap() + "\n";
    if std::env::var_os("TRUST_ENGINE_WRITE").is_some() {
        std::fs::write(file, &made).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap_or_default();
    let differs = there.lines().zip(made.lines()).position(|(there, made)| there != made);
    assert!(
        there == made,
        "docs/calls.schema.json differs at line {differs:?}: run this test with TRUST_ENGINE_WRITE=1"
    );
}

#[test]
fn a_shared_subscription_loses_nothing_by_a_call_that_is_given_up() {
    let engine = engine();
    let caller = Caller::new();
    let follow = block_on(engine.json(&caller).subscribe("provenance.follow", b"")).unwrap();
    let shared = SharedSubscription::new(follow);
    let poll_once =
        |mut next: std::pin::Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + '_>>| {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            next.as_mut().poll(&mut context).is_pending()
        };
    assert!(poll_once(Box::pin(shared.next())));
    {
        let mut first = Box::pin(shared.next());
        assert!(
            first.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending()
        );
        assert_eq!(block_on(shared.next()).unwrap_err().kind(), ErrorKind::Conflict);
    }
    let receipt =
        block_on(engine.log().record(NewRecord::new(RecordType::Alert, "agent_001", Decision::Deny)))
            .unwrap();
    assert!(block_on(shared.next()).unwrap().unwrap().contains(&receipt.id().to_string()));
    shared.end();
    assert_eq!(block_on(shared.next()).unwrap(), None);
}

#[test]
fn a_caller_is_read_strictly() {
    let read = |text: &str| Caller::from_json(text).map(drop);
    read("{}").unwrap();
    read(r#"{"name":"k","organization":"acme","fleetWide":false,"internal":true,"permissions":["agents:read"]}"#)
        .unwrap();
    for (text, field) in [
        (r#"{"nme":"k"}"#, "nme"),
        (r#"{"name":""}"#, "caller"),
        (r#"{"name":"k","name":"l"}"#, "name"),
        (r#"{"organization":"*"}"#, "organization"),
        (r#"{"organization":""}"#, "organization"),
        (r#"{"fleetWide":1}"#, "fleetWide"),
        (r#"{"permissions":["agents:reed"]}"#, "permissions"),
        (r#"{"permissions":null}"#, "permissions"),
        (r#"{"organization":null}"#, "organization"),
        (r#"[{"name":"k"}]"#, "caller"),
        ("", "caller"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)), "{text}: {error}");
    }
}

#[test]
fn an_object_is_read_as_strictly_as_a_body() {
    assert_eq!(trust_engine::json::object("o", r#"{"a":[1,{"b":null}]}"#).unwrap().len(), 1);
    for text in
        ["", "[]", "1", r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":9007199254740993.5}"#, "{} {}"]
    {
        let error = trust_engine::json::object("o", text).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("o")), "{text}: {error}");
    }
}

#[test]
fn hosts_peek_and_prove_and_export_by_name() {
    let engine = engine();
    let host = Caller::new();
    let call = |name: &str, parameters: &str, body: &str| {
        let answer = block_on(engine.json(&host).call(name, parameters.as_bytes(), body.as_bytes()));
        let read = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        (answer.status, read, answer.body)
    };
    let check = r#"{"agentId":"agent_001","resourceType":"API_CALLS","requestedAmount":400}"#;
    assert_eq!(call("ceilings.peek", "", check).1["remaining"], 500, "nothing is charged");
    assert_eq!(call("ceilings.check", "", check).1["remaining"], 100);
    assert_eq!(call("ceilings.peek", "", check).1["allowed"], false);
    let reset = call("ceilings.reset", r#"{"agentId":"agent_001","resourceType":"API_CALLS"}"#, "");
    assert_eq!((reset.0, &reset.1["details"]["field"]), (400, &json!("caller")), "an actor is recorded");

    let info = call("engine.info", "", "").1;
    let key = info["verifierKey"].as_str().unwrap().parse().unwrap();
    let older = call("log.checkpoint", "", "").2;
    let older = trust_engine::verify::checkpoint(&older, &key).unwrap();
    let record = r#"{"type":"ALERT","agentId":"agent_001","decision":"SEEN","reason":"x"}"#;
    let id = call("provenance.record", "", record).1["id"].as_str().unwrap().to_owned();
    let evidence = call("provenance.evidence", &json!({ "id": id }).to_string(), "").1;
    let entry = evidence["entry"].as_str().unwrap();
    assert_eq!(evidence["verifierKey"], info["verifierKey"]);
    trust_engine::verify::record(entry.as_bytes(), evidence["proof"].as_str().unwrap(), &key).unwrap();
    assert!(evidence["payload"].as_str().unwrap().contains(r#""reason":"x""#));

    let size = older.checkpoint.size;
    let grown = call("log.consistency", &json!({ "older": size }).to_string(), "").1;
    let newer = trust_engine::verify::checkpoint(grown["checkpoint"].as_str().unwrap(), &key).unwrap();
    let hashes: Vec<_> = grown["proof"].as_array().unwrap().iter().collect();
    let hashes: Vec<_> = hashes
        .iter()
        .map(|hash| trust_engine::provenance::Hash::from_base64(hash.as_str().unwrap()).unwrap())
        .collect();
    trust_engine::verify::consistency(&older, &newer, &hashes, &key).unwrap();
    let beyond = call("log.consistency", r#"{"older":1000000}"#, "");
    assert_eq!((beyond.0, &beyond.1["details"]["field"]), (400, &json!("older")));
    assert_eq!(call("log.checkpoint", r#"{"shard":77}"#, "").0, 404);

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("log");
    let (to_out, to_copy) = (json!({ "folder": out }), json!({ "folder": folder.path().join("copy") }));
    for (name, parameters) in [
        ("log.verify", "{}".to_owned()),
        ("log.export", to_out.to_string()),
        ("engine.backup", to_copy.to_string()),
    ] {
        assert_eq!(call(name, &parameters, "").0, 403, "{name} is for callers of the whole fleet");
    }
    assert!(!out.exists());
    let fleet = Caller::new().fleet_wide();
    let call = |name: &str, parameters: &str, body: &str| {
        let answer = block_on(engine.json(&fleet).call(name, parameters.as_bytes(), body.as_bytes()));
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null), answer.body)
    };
    assert_eq!(call("log.verify", "", "").1, json!({ "findings": [] }));
    assert_eq!(call("engine.health", "", "").1, json!({ "database": "up" }));
    let exported = call("log.export", &to_out.to_string(), "").1;
    assert_eq!(exported["entries"], newer.checkpoint.size);
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&out).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700, "an export holds payloads");
    }
    assert!(trust_engine::log::check_export(&out, &key, Some(&older)).unwrap().is_clean());
    let backup = call("engine.backup", &to_copy.to_string(), "");
    assert_eq!(backup.0, 500, "the store in memory has no backup: {}", backup.2);
}

#[test]
fn the_evidence_of_a_check_is_for_the_host_and_the_fleet() {
    let engine = engine();
    let check = r#"{"agentId":"agent_001","resourceType":"API_CALLS","requestedAmount":9999}"#;
    let host = Caller::new();
    let denied = block_on(engine.json(&host).call("ceilings.check", b"", check.as_bytes()));
    let id = serde_json::from_str::<Value>(&denied.body).unwrap()["provenanceId"].clone();
    let parameters = json!({ "id": id }).to_string();
    let status = |caller: &Caller| {
        block_on(engine.json(caller).call("provenance.evidence", parameters.as_bytes(), b"")).status
    };
    let weak = Caller::new().permitting(["provenance:read"]).unwrap();
    assert_eq!((status(&host), status(&weak), status(&weak.clone().fleet_wide())), (200, 403, 200));
    let other = Caller::new().organization(trust_engine::OrganizationId::parse("other").unwrap());
    assert_eq!(status(&other), 404);
}
