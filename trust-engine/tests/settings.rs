//! Every setting of a policy document matters: each is changed by itself, and an answer changes with it. A setting without a
//! case here fails the first test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use pollster::block_on;
use serde_json::{Value, json};
use trust_engine::blocking::Engine;
use trust_engine::ceiling::{CounterKey, Window};
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::{self, FailingCounters, Fault};
use trust_engine::{
    AgentChange, AgentId, CeilingRequest, Entropy, GateRequest, ManualClock, NewAgent, Options,
    OrganizationId, PolicyDocument, Quota, WindowKind,
};

/// A change of the document: a JSON pointer, and the new value; null takes the value away.
type Edit = (&'static str, &'static str);
/// The answers that are compared.
type Answers = fn(&Value) -> String;

struct Case {
    /// Object and property as the JSON Schema names them.
    setting: &'static str,
    /// Made before and after the change.
    base: &'static [Edit],
    change: &'static [Edit],
    answers: Answers,
}

const fn case(setting: &'static str, change: &'static [Edit], answers: Answers) -> Case {
    Case { setting, base: &[], change, answers }
}

const CASES: &[Case] = &[
    case("PolicyDocument.policyFormat", &[("/policyFormat", "2")], gates),
    case("PolicyDocument.name", &[("/name", r#""other""#)], history),
    case("PolicyDocument.description", &[("/description", r#""other""#)], history),
    case(
        "PolicyDocument.tiers",
        &[("/tiers/0/scores/min", "50"), ("/tiers/-", r#"{"name":"NEW","scores":{"min":0,"max":49}}"#)],
        gates,
    ),
    case("PolicyDocument.roles", &[("/roles/2", "null")], gates),
    case("PolicyDocument.rules", &[("/rules", "[]")], gates),
    case("PolicyDocument.defaultEffect", &[("/defaultEffect", r#""DENY""#)], gates),
    case("PolicyDocument.agents", &[("/agents", r#"{"unregistered":"DENY"}"#)], gates),
    case("PolicyDocument.resources", &[("/resources/6", "null")], ceilings),
    case("PolicyDocument.ceilings", &[("/ceilings", "{}")], ceilings),
    case("PolicyDocument.recording", &[("/recording", r#"{"gates":{"mode":"NONE"}}"#)], recording),
    case("Tier.name", &[("/tiers/2/name", r#""TOP""#), ("/roles/2/minimumTier", r#""TOP""#)], registration),
    case("Tier.description", &[("/tiers/0/description", r#""other""#)], history),
    case(
        "Tier.scores",
        &[("/tiers/0/scores", "null"), ("/tiers/1/scores", "null"), ("/tiers/2/scores", "null")],
        registration,
    ),
    case("ScoreBand.min", &[("/tiers/0/scores/min", "50")], registration),
    // The next band has to begin where this one ends.
    case("ScoreBand.max", &[("/tiers/0/scores/max", "149"), ("/tiers/1/scores/min", "150")], registration),
    case("Role.name", &[("/roles/2/name", r#""CHIEF""#)], gates),
    case("Role.description", &[("/roles/0/description", r#""other""#)], history),
    case("Role.minimumTier", &[("/roles/1/minimumTier", r#""HIGH""#)], gates),
    case("Role.enabled", &[("/roles/1/enabled", "false")], gates),
    case("Rule.id", &[("/rules/0/id", r#""renamed""#)], gates),
    case("Rule.description", &[("/rules/0/description", r#""other""#)], history),
    case("Rule.effect", &[("/rules/0/effect", r#""ALLOW""#)], gates),
    case("Rule.reason", &[("/rules/0/reason", r#""another""#)], gates),
    case("Rule.escalationPath", &[("/rules/8/escalationPath", r#""queue-2""#)], gates),
    case("Rule.when", &[("/rules/0/when", r#"{"actions":["never"]}"#)], gates),
    case("Conditions.roles", &[("/rules/0/when/roles", r#"["WRITER"]"#)], gates),
    case("Conditions.tiers", &[("/rules/1/when/tiers", r#"["HIGH"]"#)], gates),
    case("Conditions.actions", &[("/rules/2/when/actions", r#"["never"]"#)], gates),
    case("Conditions.resources", &[("/rules/3/when/resources", r#"["public/*"]"#)], gates),
    case("Conditions.environments", &[("/rules/4/when/environments", r#"["staging"]"#)], gates),
    case("Conditions.attestations", &[("/rules/5/when/attestations", r#"["examined"]"#)], gates),
    case(
        "Conditions.time",
        &[("/rules/6/when/time", r#"{"zone":"UTC","from":"20:00","to":"21:00"}"#)],
        gates,
    ),
    case("Conditions.organizations", &[("/rules/7/when/organizations", r#"["acme"]"#)], gates),
    case("TimeWindow.zone", &[("/rules/6/when/time/zone", r#""America/New_York""#)], gates),
    case("TimeWindow.days", &[("/rules/6/when/time/days", r#"["TUE"]"#)], gates),
    case("TimeWindow.from", &[("/rules/6/when/time/from", r#""10:01""#)], gates),
    case("TimeWindow.to", &[("/rules/6/when/time/to", r#""10:00""#)], gates),
    case("AgentHandling.unregistered", &[("/agents/unregistered", r#""DENY""#)], gates),
    case("AgentHandling.excessClaim", &[("/agents/excessClaim", r#""DENY""#)], gates),
    case("AgentHandling.unregistered", &[("/agents/unregistered", r#""DENY""#)], ceilings),
    case("AgentHandling.excessClaim", &[("/agents/excessClaim", r#""DENY""#)], ceilings),
    case("Ceilings.nearLimitPercent", &[("/ceilings/nearLimitPercent", "50")], ceilings),
    case("Ceilings.maxHoldMillis", &[("/ceilings/maxHoldMillis", "10")], charged),
    case("Ceilings.failOpen", &[("/ceilings/failOpen", "true")], unreachable),
    case("Ceilings.agent", &[("/ceilings/agent", "[]")], ceilings),
    case("Ceilings.family", &[("/ceilings/family", "[]")], ceilings),
    case("Ceilings.organization", &[("/ceilings/organization", "[]")], ceilings),
    case("Ceilings.fleet", &[("/ceilings/fleet", "[]")], ceilings),
    case("Ceilings.rate", &[("/ceilings/rate", "[]")], ceilings),
    case("AgentCeiling.tier", &[("/ceilings/agent/0/tier", r#""HIGH""#)], ceilings),
    case("AgentCeiling.resource", &[("/ceilings/agent/0/resource", r#""EXTRA""#)], ceilings),
    case("AgentCeiling.limit", &[("/ceilings/agent/0/limit", "11")], ceilings),
    case("AgentCeiling.windowSeconds", &[("/ceilings/agent/0/windowSeconds", "1800")], ceilings),
    case("AgentCeiling.window", &[("/ceilings/agent/0/window", r#""SLIDING""#)], ceilings),
    Case {
        setting: "AgentCeiling.precision",
        // An eighth of less than ten is nothing to lease ahead.
        base: &[("/ceilings/agent/0/limit", "1000")],
        change: &[("/ceilings/agent/0/precision", r#""LEASED""#)],
        answers: charged,
    },
    case("FamilyCeiling.resource", &[("/ceilings/family/0/resource", r#""EXTRA""#)], ceilings),
    case("FamilyCeiling.limit", &[("/ceilings/family/0/limit", "11")], ceilings),
    case("FamilyCeiling.windowSeconds", &[("/ceilings/family/0/windowSeconds", "1800")], ceilings),
    case("FamilyCeiling.window", &[("/ceilings/family/0/window", r#""SLIDING""#)], ceilings),
    Case {
        setting: "FamilyCeiling.precision",
        // An eighth of less than ten is nothing to lease ahead.
        base: &[("/ceilings/family/0/limit", "1000")],
        change: &[("/ceilings/family/0/precision", r#""LEASED""#)],
        answers: charged,
    },
    case(
        "OrganizationCeiling.organization",
        &[("/ceilings/organization/0/organization", r#""acme""#)],
        ceilings,
    ),
    case("OrganizationCeiling.resource", &[("/ceilings/organization/0/resource", r#""EXTRA""#)], ceilings),
    case("OrganizationCeiling.limit", &[("/ceilings/organization/0/limit", "11")], ceilings),
    case(
        "OrganizationCeiling.windowSeconds",
        &[("/ceilings/organization/0/windowSeconds", "1800")],
        ceilings,
    ),
    case("OrganizationCeiling.window", &[("/ceilings/organization/0/window", r#""SLIDING""#)], ceilings),
    Case {
        setting: "OrganizationCeiling.precision",
        // An eighth of less than ten is nothing to lease ahead.
        base: &[("/ceilings/organization/0/limit", "1000")],
        change: &[("/ceilings/organization/0/precision", r#""LEASED""#)],
        answers: charged,
    },
    case("FleetCeiling.resource", &[("/ceilings/fleet/0/resource", r#""EXTRA""#)], ceilings),
    case("FleetCeiling.limit", &[("/ceilings/fleet/0/limit", "11")], ceilings),
    case("FleetCeiling.windowSeconds", &[("/ceilings/fleet/0/windowSeconds", "1800")], ceilings),
    case("FleetCeiling.window", &[("/ceilings/fleet/0/window", r#""SLIDING""#)], ceilings),
    Case {
        setting: "FleetCeiling.precision",
        // An eighth of less than ten is nothing to lease ahead.
        base: &[("/ceilings/fleet/0/limit", "1000")],
        change: &[("/ceilings/fleet/0/precision", r#""LEASED""#)],
        answers: charged,
    },
    case("RateLimit.tier", &[("/ceilings/rate/0/tier", r#""HIGH""#)], ceilings),
    case("RateLimit.resource", &[("/ceilings/rate/0/resource", r#""EXTRA""#)], ceilings),
    case("RateLimit.amount", &[("/ceilings/rate/0/amount", "4")], ceilings),
    case("RateLimit.perSeconds", &[("/ceilings/rate/0/perSeconds", "20")], ceilings),
    case("RateLimit.burst", &[("/ceilings/rate/0/burst", "3")], ceilings),
    case("Recording.gates", &[("/recording/gates", r#"{"mode":"NONE"}"#)], recording),
    case("Recording.ceilings", &[("/recording/ceilings", r#"{"mode":"NONE"}"#)], recording),
    case("GateRecording.mode", &[("/recording/gates/mode", r#""NONE""#)], recording),
    Case {
        setting: "GateRecording.samplePerThousand",
        base: &[("/recording/gates/mode", r#""SAMPLED""#), ("/recording/gates/samplePerThousand", "1")],
        change: &[("/recording/gates/samplePerThousand", "999")],
        answers: recording,
    },
    case("GateRecording.durability", &[("/recording/gates/durability", r#""ENQUEUE""#)], recording),
    case("CeilingRecording.mode", &[("/recording/ceilings/mode", r#""NONE""#)], recording),
    Case {
        setting: "CeilingRecording.samplePerThousand",
        base: &[("/recording/ceilings/mode", r#""SAMPLED""#), ("/recording/ceilings/samplePerThousand", "1")],
        change: &[("/recording/ceilings/samplePerThousand", "999")],
        answers: recording,
    },
    case("CeilingRecording.durability", &[("/recording/ceilings/durability", r#""COMMIT""#)], recording),
    case("CeilingRecording.refusals", &[("/recording/ceilings/refusals", r#""ENQUEUE""#)], recording),
];

/// Rules are told apart by their actions, ceilings by their resources, so that one never hides another.
fn document() -> Value {
    let row = |resource| json!({ "resource": resource, "limit": 10, "windowSeconds": 3600, "window": "FIXED", "precision": "EXACT" });
    let agent = |resource, limit, precision| json!({ "tier": "MID", "resource": resource, "limit": limit, "windowSeconds": 3600, "window": "FIXED", "precision": precision });
    let mut organization = row("ORG");
    organization["organization"] = json!("default");
    json!({
        "policyFormat": 1,
        "name": "settings",
        "description": "as written",
        "tiers": [
            { "name": "LOW", "description": "newcomers", "scores": { "min": 0, "max": 99 } },
            { "name": "MID", "scores": { "min": 100, "max": 199 } },
            { "name": "HIGH", "scores": { "min": 200, "max": 1_000_000 } },
        ],
        "roles": [
            { "name": "READER", "description": "reads", "minimumTier": "LOW", "enabled": true },
            { "name": "WRITER", "minimumTier": "MID", "enabled": true },
            { "name": "ADMIN", "minimumTier": "HIGH" },
        ],
        "rules": [
            { "id": "r0", "description": "why", "effect": "DENY", "reason": "so", "when": { "actions": ["a0"], "roles": ["READER"] } },
            { "id": "r1", "effect": "DENY", "when": { "actions": ["a1"], "tiers": ["MID"] } },
            { "id": "r2", "effect": "DENY", "when": { "actions": ["a2"] } },
            { "id": "r3", "effect": "DENY", "when": { "actions": ["a3"], "resources": ["payroll/*"] } },
            { "id": "r4", "effect": "DENY", "when": { "actions": ["a4"], "environments": ["production"] } },
            { "id": "r5", "effect": "DENY", "when": { "actions": ["a5"], "attestations": ["audited"] } },
            { "id": "r6", "effect": "DENY", "when": { "actions": ["a6"], "time": { "zone": "Europe/Berlin", "days": ["MON"], "from": "10:00", "to": "10:01" } } },
            { "id": "r7", "effect": "DENY", "when": { "actions": ["a7"], "organizations": ["default"] } },
            { "id": "r8", "effect": "ESCALATE", "escalationPath": "queue-1", "when": { "actions": ["a8"] } },
        ],
        "defaultEffect": "ALLOW",
        "agents": { "unregistered": "LOWEST_TIER", "excessClaim": "HELD_TIER" },
        "resources": ["API", "FAM", "ORG", "FLT", "RATE", "LSE", "EXTRA"],
        "ceilings": {
            "nearLimitPercent": 80,
            "maxHoldMillis": 10_000,
            "failOpen": false,
            "agent": [
                agent("API", 10, "EXACT"),
                agent("FAM", 1000, "EXACT"),
                agent("ORG", 1000, "EXACT"),
                agent("FLT", 1000, "EXACT"),
                agent("RATE", 1000, "EXACT"),
                agent("LSE", 1000, "LEASED"),
            ],
            "family": [row("FAM")],
            "organization": [organization],
            "fleet": [row("FLT")],
            "rate": [{ "tier": "MID", "resource": "RATE", "amount": 2, "perSeconds": 10, "burst": 4 }],
        },
        "recording": {
            "gates": { "mode": "ALL", "durability": "COMMIT" },
            "ceilings": { "mode": "ALL", "durability": "ENQUEUE", "refusals": "COMMIT" },
        },
    })
}

fn edited(document: &Value, edits: &[Edit]) -> Value {
    let mut edited = document.clone();
    for (pointer, value) in edits {
        let value: Value = serde_json::from_str(value).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match (edited.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")), value) {
            (Value::Object(map), Value::Null) => drop(map.remove(name).unwrap()),
            (Value::Object(map), value) => drop(map.insert(name.to_owned(), value)),
            (Value::Array(list), Value::Null) => drop(list.remove(name.parse().unwrap())),
            (Value::Array(list), value) => list.insert(0, value),
            _ => panic!("{pointer}"),
        }
    }
    edited
}

/// The same bytes in every run.
#[derive(Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(37, Ordering::SeqCst));
    }
}

/// 10:00 on a Monday in Berlin.
fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-01-05T09:00:00Z".parse().unwrap()))
}

/// An engine with the policy and an agent of the middle tier; an error as text.
fn open(document: &Value, options: Options) -> Result<Engine, String> {
    let policy = PolicyDocument::parse(&document.to_string()).map_err(|error| error.to_string())?;
    let engine = Engine::open(options.entropy(Arc::new(Counting::default())).policy(policy)).unwrap();
    engine.agents().register(NewAgent::new("root").tier("MID")).unwrap();
    engine
        .agents()
        .register(NewAgent::new("mid").tier("MID").attestation("audited").created_by("root"))
        .unwrap();
    Ok(engine)
}

fn gates(document: &Value) -> String {
    let engine = match open(document, Options::memory().clock(clock())) {
        Ok(engine) => engine,
        Err(refused) => return refused,
    };
    let request = |action: &str| {
        let request = GateRequest::new("mid", "READER").action(action);
        request.resource("payroll/march").environment("production")
    };
    let mut requests: Vec<GateRequest> = (0..9).map(|n| request(&format!("a{n}"))).collect();
    requests.extend(["READER", "WRITER", "ADMIN"].map(|role| GateRequest::new("mid", role)));
    requests.push(GateRequest::new("stranger", "READER"));
    requests.push(GateRequest::new("mid", "READER").tier("HIGH"));
    let answer = |request: &GateRequest| {
        let verdict = engine.evaluate_gate(request).unwrap();
        format!(
            "{verdict} {} {:?} {:?} {:?}\n",
            verdict.reason_code(),
            verdict.tier(),
            verdict.rule(),
            verdict.escalation_path()
        )
    };
    requests.iter().map(answer).collect()
}

fn history(document: &Value) -> String {
    let engine = open(document, Options::memory().clock(clock())).unwrap();
    engine.policy().history(None, 1).unwrap()[0].document.clone()
}

fn registration(document: &Value) -> String {
    let engine = open(document, Options::memory().clock(clock())).unwrap();
    let agents = engine.agents();
    let high = agents.register(NewAgent::new("high").tier("HIGH")).map(|receipt| receipt.agent.tier.clone());
    let scored = agents.register(NewAgent::new("scored").score(120)).unwrap().agent.tier.clone();
    let fallen = agents.change("mid", AgentChange::of_current().score(10)).unwrap().agent.tier.clone();
    format!("{high:?} {scored} {fallen}")
}

fn ceilings(document: &Value) -> String {
    let clock = clock();
    let engine = open(document, Options::memory().clock(clock.clone())).unwrap();
    let mut answers = String::new();
    let mut check = |request: CeilingRequest| {
        let verdict = engine.check_ceiling(&request).unwrap();
        answers.push_str(&format!("{verdict} {} {:?}\n", verdict.near_limit(), verdict.retry_after()));
    };
    for amounts in [[5, 3, 2, 1], [2, 2, 2, 2], [6, 3, 2, 1]] {
        for resource in ["API", "FAM", "ORG", "FLT", "RATE", "EXTRA"] {
            for amount in amounts {
                check(CeilingRequest::new("mid", resource, amount));
            }
            // The rest of what others share.
            check(CeilingRequest::new("root", resource, 1));
        }
        check(CeilingRequest::new("stranger", "API", 1));
        check(CeilingRequest::new("mid", "API", 1).tier("HIGH"));
        clock.advance(Duration::from_secs(1800));
    }
    answers
}

/// The amounts that the authority has charged: exact rows charge what is used, others more.
fn charged(document: &Value) -> String {
    let clock = clock();
    let counters = storage::memory_counters(clock.clone());
    let options = Options::store(storage::memory()).counters(Arc::clone(&counters)).deployment("settings");
    let options = options.clock(clock.clone()).signer(Arc::new(Ed25519Signer::from_seed(&[1; 32])));
    let engine = open(document, options).unwrap();
    let quota: Quota = engine.quota("mid").unwrap();
    for resource in ["API", "FAM", "ORG", "FLT", "LSE"] {
        for _ in 0..3 {
            assert!(quota.try_take(resource, 1).unwrap().allowed());
        }
    }
    let (organization, mid, root) =
        (OrganizationId::default(), AgentId::parse("mid").unwrap(), AgentId::parse("root").unwrap());
    let window = Window::new(WindowKind::Fixed, 3600);
    let keys = [
        CounterKey::agent(&organization, &mid, "API"),
        CounterKey::family(&organization, &root, "FAM"),
        CounterKey::organization(&organization, "ORG"),
        CounterKey::fleet("FLT"),
        CounterKey::agent(&organization, &mid, "LSE"),
    ];
    let charged = block_on(counters.charged(&keys.map(|key| (key, window)))).unwrap();
    format!("{:?}", charged.iter().map(|charged| charged.amount).collect::<Vec<_>>())
}

fn unreachable(document: &Value) -> String {
    let clock = clock();
    let counters = Arc::new(FailingCounters::new(storage::memory_counters(clock.clone())));
    let options = Options::store(storage::memory()).counters(counters.clone()).deployment("settings");
    let options = options.clock(clock).signer(Arc::new(Ed25519Signer::from_seed(&[1; 32])));
    let engine = open(document, options).unwrap();
    counters.fail_leases([Fault::Unreachable]);
    engine.check_ceiling(&CeilingRequest::new("mid", "API", 1)).unwrap().to_string()
}

/// How answers are recorded when they are given, and how many records there are in the end.
fn recording(document: &Value) -> String {
    let engine = open(document, Options::memory().clock(clock())).unwrap();
    let gates: Vec<_> = (0..40)
        .map(|_| engine.evaluate_gate(&GateRequest::new("mid", "READER")).unwrap().recorded())
        .chain([engine.evaluate_gate(&GateRequest::new("mid", "ADMIN")).unwrap().recorded()])
        .collect();
    let ceilings: Vec<_> = (0..40)
        .map(|_| engine.check_ceiling(&CeilingRequest::new("mid", "LSE", 1)).unwrap().recorded())
        .chain([engine.check_ceiling(&CeilingRequest::new("mid", "API", 99)).unwrap().recorded()])
        .collect();
    format!("{gates:?} {ceilings:?}")
}

#[test]
fn every_setting_of_a_policy_has_a_case() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/policy.schema.json")).unwrap();
    let definitions =
        schema["$defs"].as_object().unwrap().iter().map(|(name, definition)| (name.as_str(), definition));
    let mut settings = BTreeSet::new();
    for (name, definition) in definitions.chain([("PolicyDocument", &schema)]) {
        let properties = definition["properties"].as_object();
        settings.extend(
            properties.into_iter().flat_map(|all| all.keys()).map(|property| format!("{name}.{property}")),
        );
    }
    assert!(settings.len() > 80, "the schema was not read: {settings:?}");
    let cases: BTreeSet<String> = CASES.iter().map(|case| case.setting.to_owned()).collect();
    assert_eq!(cases, settings);
}

#[test]
fn a_setting_that_is_changed_by_itself_changes_an_answer() {
    let mut idle = Vec::new();
    for case in CASES {
        let before = edited(&document(), case.base);
        let after = edited(&before, case.change);
        let (before, after) = ((case.answers)(&before), (case.answers)(&after));
        if before == after {
            idle.push((case.setting, before));
        }
    }
    assert!(idle.is_empty(), "these change nothing: {idle:#?}");
}
