//! Organizations do not see each other: ids, parents, chains, proofs, cursors, agents and request ids of one tell another
//! nothing, not even that they are there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "postgres")]
#[path = "support/postgres.rs"]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pollster::block_on;
use serde_json::{Value, json};
use trust_engine::json::Caller;
use trust_engine::{Engine, Options, OrganizationId};
use uuid::Uuid;

/// A caller of an organization, with the engine that it asks.
struct Host {
    engine: Engine,
    caller: Caller,
}

impl Host {
    fn of(engine: &Engine, organization: &str) -> Self {
        let caller = Caller::new().organization(OrganizationId::parse(organization).unwrap());
        Self { engine: engine.clone(), caller: caller.named("host").unwrap() }
    }

    /// Status and body of a call; the id of the request is always the same.
    fn call(&self, name: &str, parameters: Value, body: &str) -> (u16, String) {
        let calls = self.engine.json(&self.caller).request_id("r");
        let answer = block_on(calls.call(name, parameters.to_string().as_bytes(), body.as_bytes()));
        (answer.status, answer.body)
    }

    fn ok(&self, name: &str, parameters: Value, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.call(name, parameters, &body);
        assert!(status < 300, "{name}: {answer}");
        serde_json::from_str(&answer).unwrap_or(Value::String(answer))
    }

    fn record(&self, more: Value) -> (u16, String) {
        let mut record = json!({ "type": "ALERT", "agentId": "a", "decision": "RAISED" });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.call("provenance.record", json!({}), &record.to_string())
    }
}

fn id_of(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

fn nothing_is_told(engine: &Engine) {
    let (acme, mallory) = (Host::of(engine, "acme"), Host::of(engine, "mallory"));
    let of_acme: Vec<String> = (0..30)
        .map(|_| {
            let record = json!({ "type": "ALERT", "agentId": "a", "decision": "RAISED" });
            id_of(&acme.ok("provenance.record", json!({}), record))
        })
        .collect();
    let child = json!({ "type": "ALERT", "agentId": "a", "decision": "RAISED", "parentId": of_acme[0] });
    let child = id_of(&acme.ok("provenance.record", json!({}), child));
    acme.ok("agents.register", json!({}), json!({ "id": "secret-agent", "tier": "VERIFIED" }));

    // An answer about what another organization has is the one about what nobody has.
    let nobodys = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001).to_string();
    for id in of_acme.iter().take(3).chain([&child]) {
        for (name, more) in [
            ("provenance.get", json!({})),
            ("provenance.get", json!({ "includeEvidence": true })),
            ("provenance.chain", json!({ "depth": 9 })),
            ("provenance.proof", json!({})),
        ] {
            let with = |id: &str| {
                let mut parameters = more.clone();
                parameters["id"] = id.into();
                let (status, body) = mallory.call(name, parameters, "");
                (status, body.replace(id, "ID"))
            };
            assert_eq!(with(id), with(&nobodys), "{name}");
            assert_eq!(with(id).0, 404, "{name}");
        }
        let parent = |id: &str| {
            let (status, body) = mallory.record(json!({ "parentId": id }));
            (status, body.replace(id, "ID"))
        };
        assert_eq!(parent(id), parent(&nobodys));
        assert_eq!(parent(id).0, 404);
    }
    let agent = |id: &str, name: &str, body: &str| {
        let (status, answer) = mallory.call(name, json!({ "agentId": id }), body);
        (status, answer.replace(id, "AGENT"))
    };
    for (name, body) in [("agents.get", ""), ("agents.change", r#"{"tier":"VERIFIED"}"#)] {
        assert_eq!(agent("secret-agent", name, body), agent("no-agent", name, body), "{name}");
        assert_eq!(agent("secret-agent", name, body).0, 404, "{name}");
    }
    let listed = mallory.ok("agents.list", json!({ "total": true }), Value::Null);
    assert_eq!((&listed["total"], &listed["data"]), (&json!(0), &json!([])));

    // An id that another has is free: both keep their record, each with its own content, and a retry finds its own.
    let taken = &of_acme[5];
    for _ in 0..2 {
        let (status, body) = mallory.record(json!({ "id": taken, "reason": "mallory's" }));
        assert!(status < 300, "{body}");
    }
    assert_eq!(mallory.ok("provenance.get", json!({ "id": taken }), Value::Null)["reason"], "mallory's");
    assert_ne!(acme.ok("provenance.get", json!({ "id": taken }), Value::Null)["reason"], "mallory's");
    // A child of that id is of the parent of its own organization, in the chain and in the search by parent.
    let (status, body) = mallory.record(json!({ "parentId": taken }));
    assert!(status < 300, "{body}");
    let of_mallory = id_of(&serde_json::from_str(&body).unwrap());
    let chain = mallory.ok("provenance.chain", json!({ "id": of_mallory, "depth": 9 }), Value::Null);
    assert_eq!((&chain["root"]["reason"], &chain["depth"]), (&json!("mallory's"), &json!(1)));
    let search = |host: &Host, more: Value| {
        let mut parameters = json!({ "agentId": "a", "pageSize": 10 });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        host.ok("provenance.query", parameters, Value::Null)
    };
    let ids = |page: &Value| page["data"].as_array().unwrap().iter().map(id_of).collect::<Vec<_>>();
    assert_eq!(ids(&search(&mallory, json!({ "parentId": taken }))), std::slice::from_ref(&of_mallory));
    assert_eq!(ids(&search(&acme, json!({ "parentId": taken }))), Vec::<String>::new());
    assert_eq!(ids(&search(&mallory, json!({ "parentId": of_acme[0] }))), Vec::<String>::new());

    // The cursor of one is none of the other's, and one made by hand leads to nothing but its own records.
    let token = search(&acme, json!({}))["nextPageToken"].as_str().unwrap().to_owned();
    let parameters = json!({ "agentId": "a", "pageSize": 10, "pageToken": token });
    let (status, body) = mallory.call("provenance.query", parameters, "");
    assert!(status == 400 && body.contains("belongs to another query"), "{body}");
    (0..30).for_each(|_| drop(mallory.record(json!({}))));
    let own = search(&mallory, json!({}))["nextPageToken"].as_str().unwrap().to_owned();
    let mut forged: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(own).unwrap()).unwrap();
    let theirs: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
    forged["rest"] = theirs["rest"].clone();
    let mut token = Some(URL_SAFE_NO_PAD.encode(forged.to_string()));
    let mut seen = Vec::new();
    while let Some(next) = token.take() {
        let page = search(&mallory, json!({ "pageToken": next }));
        seen.extend(ids(&page));
        token = page["nextPageToken"].as_str().map(str::to_owned);
    }
    let foreign = |id: &String| of_acme.contains(id) && id != taken;
    assert!(!seen.iter().any(foreign) && !seen.contains(&child), "{seen:?}");

    for host in [&acme, &mallory] {
        host.ok("agents.register", json!({}), json!({ "id": "a", "tier": "VERIFIED" }));
    }
    // A request id of one charges the other as if it were new, and its usage is its own.
    let check = |host: &Host| {
        let body = r#"{"agentId":"a","resourceType":"API_CALLS","requestedAmount":3}"#;
        let calls = host.engine.json(&host.caller).request_id("r").idempotency_key("key");
        let answer = block_on(calls.call("ceilings.check", b"{}", body.as_bytes()));
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        (answer["currentUsage"].clone(), answer["provenanceId"].clone())
    };
    let first = check(&acme);
    assert_eq!(check(&acme), first);
    let theirs = check(&mallory);
    assert!(first.0 == 3 && theirs.0 == 3 && theirs.1 != first.1, "{first:?} {theirs:?}");
    assert!(block_on(engine.log().verify_all()).unwrap().iter().all(trust_engine::log::Report::is_clean));
}

#[test]
fn organizations_tell_each_other_nothing_in_memory() {
    nothing_is_told(&block_on(Engine::open(Options::memory())).unwrap());
}

#[cfg(feature = "embedded")]
#[test]
fn organizations_tell_each_other_nothing_on_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    nothing_is_told(&block_on(Engine::open(Options::embedded(folder.path()))).unwrap());
}

#[cfg(feature = "postgres")]
#[test]
fn organizations_tell_each_other_nothing_in_postgresql() {
    let schema = support::Schema::new();
    nothing_is_told(&block_on(Engine::open(schema.options())).unwrap());
}
