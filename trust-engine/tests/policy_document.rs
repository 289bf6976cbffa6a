//! The policy language from outside: what is read, what is refused and how, and that hashes stay what they are.
//!
//! Golden files are written anew with `UPDATE_GOLDEN=1 cargo test -p trust-engine --test policy_document`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trust_engine::{
    AgentCeiling, AgentHandling, CeilingRecording, Ceilings, Conditions, Day, Decision, Durability,
    ExcessClaim, FamilyCeiling, FleetCeiling, GateRecording, OrganizationCeiling, PolicyDocument,
    PolicyErrors, Precision, RateLimit, Recording, RecordingMode, Role, Rule, ScoreBand, Tier, TimeWindow,
    Unregistered, WindowKind,
};

const SMALL: &str = "\
policyFormat: 1
name: small
tiers: [{name: LOW}, {name: HIGH}]
roles: [{name: READER, minimumTier: LOW}, {name: WRITER, minimumTier: HIGH}]
defaultEffect: DENY
";

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares with a committed file, or writes it when asked to.
fn golden(path: &str, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file(path), found).unwrap();
    }
    let committed = std::fs::read_to_string(file(path)).unwrap_or_default();
    let difference = found.lines().zip(committed.lines().chain(std::iter::repeat(""))).find(|(a, b)| a != b);
    assert!(
        committed == found,
        "{path} is not what the code makes now; if that is meant, run\n  \
         UPDATE_GOLDEN=1 cargo test -p trust-engine --test policy_document\n\
         and read the difference. The first line made now and committed:\n{difference:#?}"
    );
}

fn small() -> PolicyDocument {
    PolicyDocument::parse(SMALL).unwrap()
}

fn rendered(result: Result<impl Sized, PolicyErrors>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The mistakes in [`SMALL`] followed by `more`.
fn with(more: &str) -> Vec<String> {
    rendered(PolicyDocument::parse(&format!("{SMALL}{more}")))
}

/// The mistakes in the small document after a change made in Rust.
fn changed(change: impl FnOnce(&mut PolicyDocument)) -> Vec<String> {
    let mut document = small();
    change(&mut document);
    rendered(document.check())
}

// ---- one content, one hash

#[test]
fn yaml_and_json_of_the_same_content_have_the_same_hash() {
    for document in
        [PolicyDocument::published_default().unwrap(), PolicyDocument::t0_t7().unwrap(), everything()]
    {
        document.check().unwrap();
        let json = PolicyDocument::parse(&document.canonical_json()).unwrap();
        assert_eq!(json, document);
        assert_eq!(json.hash(), document.hash());
        let pretty = serde_json::to_string_pretty(&document).unwrap();
        assert_eq!(PolicyDocument::parse(&pretty).unwrap().hash(), document.hash());
    }
}

#[test]
fn key_order_comments_layout_and_explicit_defaults_do_not_matter() {
    let same = "
# A comment.
defaultEffect: 'DENY'
roles:
- minimumTier: \"LOW\"   # another
  name: READER
  enabled: true
- {minimumTier: HIGH, name: WRITER}
rules: []
resources: []
agents: {excessClaim: HELD_TIER, unregistered: LOWEST_TIER}
ceilings: {nearLimitPercent: 80, maxHoldMillis: 10000, failOpen: false, agent: [], organization: [], rate: [], fleet: [], family: []}
recording:
  gates: {mode: ALL, durability: COMMIT}
  ceilings: {mode: ALL, durability: ENQUEUE, refusals: COMMIT}
tiers:
- name: >-
    LOW
- name: HIGH
name: small
policyFormat: 1
";
    let other = PolicyDocument::parse(same).unwrap();
    assert_eq!(other, small());
    assert_eq!(other.hash(), small().hash());
    let mut different = small();
    different.roles[0].enabled = false;
    assert_ne!(different.hash(), small().hash());
}

#[test]
fn hashes_are_golden() {
    let from_json = serde_json::to_string_pretty(&everything()).unwrap();
    let documents = [
        ("default", read("src/policy/presets/default.yaml")),
        ("t0-t7", read("src/policy/presets/t0-t7.yaml")),
        ("small", SMALL.to_owned()),
        ("everything", from_json),
    ];
    let cases: Vec<Value> = documents
        .into_iter()
        .map(|(name, text)| {
            let document = PolicyDocument::parse(&text).unwrap();
            let canonical = document.canonical_json();
            assert_eq!(document.hash(), <[u8; 32]>::from(Sha256::digest(&canonical)));
            json!({ "name": name, "document": text, "canonical": canonical, "sha256": hex::encode(document.hash()) })
        })
        .collect();
    let found = serde_json::to_string_pretty(&json!({ "cases": cases })).unwrap() + "\n";
    golden("tests/vectors/policy-hash.json", &found);
}

/// A document in which every field has a value that is not its default.
fn everything() -> PolicyDocument {
    PolicyDocument {
        policy_format: 1,
        name: "Everything \"quoted\" \\ and 😀".into(),
        description: Some("Control characters \u{0}\u{8}\u{1f}\u{7f}\n\r\t, \u{2028} and é.".into()),
        tiers: vec![
            Tier {
                name: "A".into(),
                description: Some(String::new()),
                scores: Some(ScoreBand { min: 5, max: 5 }),
            },
            Tier {
                name: "B.c:d-e_9".into(),
                description: None,
                scores: Some(ScoreBand { min: 6, max: 1_000_000 }),
            },
        ],
        roles: vec![Role {
            name: "R".into(),
            description: Some("role".into()),
            minimum_tier: "A".into(),
            enabled: false,
        }],
        rules: vec![Rule {
            id: "r:1".into(),
            description: Some("rule".into()),
            effect: Decision::Escalate,
            reason: Some("because".into()),
            escalation_path: Some("on-call@example.org".into()),
            when: Conditions {
                roles: Some(vec!["R".into()]),
                tiers: Some(vec!["A".into(), "B.c:d-e_9".into()]),
                actions: Some(vec!["read".into()]),
                resources: Some(vec![r"a/*\*?\\".into()]),
                environments: Some(vec!["prod".into()]),
                attestations: Some(vec!["soc2".into()]),
                time: Some(TimeWindow {
                    zone: "America/Argentina/Buenos_Aires".into(),
                    days: Some(vec![Day::Sun, Day::Mon]),
                    from: "23:59".into(),
                    to: "24:00".into(),
                }),
                organizations: Some(vec!["org".into()]),
            },
        }],
        default_effect: Decision::Escalate,
        agents: AgentHandling { unregistered: Unregistered::Deny, excess_claim: ExcessClaim::Deny },
        resources: vec!["API".into()],
        ceilings: Ceilings {
            near_limit_percent: 100,
            max_hold_millis: 60_000,
            fail_open: true,
            agent: vec![AgentCeiling {
                tier: "A".into(),
                resource: "API".into(),
                limit: (1 << 40) - 1,
                window_seconds: 31_622_400,
                window: WindowKind::Sliding,
                precision: Precision::Exact,
            }],
            family: vec![FamilyCeiling {
                resource: "API".into(),
                limit: 3,
                window_seconds: 3,
                window: WindowKind::Sliding,
                precision: Precision::Exact,
            }],
            organization: vec![OrganizationCeiling {
                organization: Some("org".into()),
                resource: "API".into(),
                limit: 1,
                window_seconds: 1,
                window: WindowKind::Fixed,
                precision: Precision::Leased,
            }],
            fleet: vec![FleetCeiling {
                resource: "API".into(),
                limit: 2,
                window_seconds: 2,
                window: WindowKind::Sliding,
                precision: Precision::Exact,
            }],
            rate: vec![RateLimit {
                tier: "A".into(),
                resource: "API".into(),
                amount: (1 << 40) - 1,
                per_seconds: 86_400,
                burst: 4,
            }],
        },
        recording: Recording {
            gates: GateRecording {
                mode: RecordingMode::Sampled,
                sample_per_thousand: Some(999),
                durability: Durability::Enqueue,
            },
            ceilings: CeilingRecording {
                mode: RecordingMode::None,
                sample_per_thousand: None,
                durability: Durability::Commit,
                refusals: Durability::Enqueue,
            },
        },
    }
}

// ---- mistakes

#[test]
fn every_mistake_is_reported_with_line_column_and_path() {
    let errors = PolicyDocument::parse(&read("tests/vectors/policy-mistakes.yaml")).unwrap_err();
    golden("tests/vectors/policy-mistakes.txt", &format!("{errors}\n"));
}

#[test]
fn the_same_mistakes_are_found_in_json_and_in_rust() {
    let mut document = small();
    document.roles[1].minimum_tier = "HIHG".into();
    document.tiers[1].name = "LOW".into();
    let json = serde_json::to_string_pretty(&document).unwrap();
    let from_text: Vec<_> = PolicyDocument::parse(&json)
        .unwrap_err()
        .into_iter()
        .map(|error| {
            assert!(error.line.is_some() && error.column.is_some());
            format!("{}: {}", error.path, error.message)
        })
        .collect();
    let mut from_rust = rendered(document.check());
    let mut from_text = from_text;
    from_rust.sort();
    from_text.sort();
    assert_eq!(from_text, from_rust);
    assert_eq!(
        from_rust,
        [
            r#"roles[1].minimumTier: unknown tier "HIHG"; known: LOW"#,
            r#"tiers[1].name: the name "LOW" is taken by tiers[0]"#,
        ]
    );
}

#[test]
fn errors_are_data_too() {
    let errors = PolicyDocument::parse(&SMALL.replace("DENY", "NO")).unwrap_err();
    assert_eq!(
        serde_json::to_value(&errors).unwrap(),
        json!([{
            "line": 5, "column": 16, "path": "defaultEffect",
            "message": "expected ALLOW, DENY or ESCALATE, found \"NO\"",
        }])
    );
    let unlocated = changed(|document| document.policy_format = 7);
    assert_eq!(unlocated, ["policyFormat: must be 1, found 7"]);
    assert!(!errors.is_empty() && errors.len() == 1 && (&errors).into_iter().count() == 1);
}

#[test]
fn one_mistake_makes_no_others() {
    // A name that cannot be read may be the one that others refer to.
    assert_eq!(
        rendered(PolicyDocument::parse(&SMALL.replace("{name: HIGH}", "{name: 7}"))),
        ["3:29 tiers[1].name: expected a text, found 7; put it in quotes"]
    );
    assert_eq!(rendered(PolicyDocument::parse(&SMALL.replace("tiers:", "teirs:"))).len(), 1);
    assert_eq!(
        rendered(PolicyDocument::parse(&SMALL.replace("tiers: [{name: LOW}, {name: HIGH}]", "tiers: x"))),
        ["3:8 tiers: expected a list, found \"x\""]
    );
    let scores = "\
policyFormat: 1
name: bands
tiers: [{name: A, scores: {min: 0, max: 9}}, {name: B, scores: 10-19}, {name: C, scores: {min: 20, max: 29}}]
roles: [{name: READER, minimumTier: A}]
defaultEffect: DENY
";
    assert_eq!(
        rendered(PolicyDocument::parse(scores)),
        ["3:64 tiers[1].scores: expected a map, found \"10-19\""]
    );
    assert_eq!(with("recording: {gates: {mode: SOME, samplePerThousand: 10}}").len(), 1);
    assert_eq!(with("rules: [{id: a, effect: ESCALTE, escalationPath: x}]").len(), 1);
    assert_eq!(with("resources: API\nceilings: {agent: [{tier: LOW, resource: API, limit: 1}]}").len(), 1);
}

#[test]
fn a_field_without_a_value_is_not_a_field_left_out() {
    // `tiers:` in a rule must not quietly mean "any tier".
    assert_eq!(
        with("rules: [{id: a, effect: ALLOW, when: {tiers: }}]"),
        [
            "6:44 rules[0].when.tiers: expected a list, found nothing; leave the field out if you do not need it"
        ]
    );
    assert_eq!(with("description:").len(), 1);
    assert_eq!(with("description: null").len(), 1);
    assert_eq!(with("description: ''").len(), 0);
}

#[test]
fn what_is_no_document_is_refused() {
    for text in ["", " \n", "# nothing\n", "---\n", "~", "null\n"] {
        assert_eq!(rendered(PolicyDocument::parse(text)), ["1:1: the text holds no document"], "{text:?}");
    }
    assert_eq!(rendered(PolicyDocument::parse("hello")), ["1:1: expected a map, found \"hello\""]);
    assert_eq!(rendered(PolicyDocument::parse("[1]")), ["1:1: expected a map, found a list"]);
    assert_eq!(rendered(PolicyDocument::parse("{}")).len(), 5);
    assert_eq!(rendered(PolicyDocument::parse("a: [\n")).len(), 1);
}

// ---- refused features of YAML

#[test]
fn yaml_that_json_cannot_say_is_refused() {
    let anchors = "anchors and aliases (`&`, `*`) are not part of the policy language; write the value out";
    let tags = "tags (`!`) are not part of the policy language; quote a value to make it a text";
    let merge = "merge keys (`<<`) are not part of the policy language; write the fields out";
    let cases: [(&str, &[(&str, &str)]); 12] = [
        ("description: &a x", &[("6:14", anchors)]),
        ("description: *a", &[("6:14", anchors)]),
        ("rules: &a []\nresources: *a", &[("6:8", anchors), ("7:12", anchors)]),
        ("agents: &a {}", &[("6:9", anchors)]),
        ("description: !!str 5", &[("6:14", tags)]),
        ("rules: !x []", &[("6:8", tags)]),
        ("agents: !!map {}", &[("6:9", tags)]),
        ("<<: {description: x}", &[("6:1", merge)]),
        ("agents: {<<: {unregistered: DENY}}", &[("6:10", merge)]),
        ("---\npolicyFormat: 1", &[("6:1", "a second document begins here; a policy is one document")]),
        ("name: other", &[("6:1", "the field \"name\" is there twice")]),
        ("? [a]\n: b", &[("6:3", "the name of a field must be a text, not a list or a map")]),
    ];
    for (more, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|(at, message)| format!("{at}: {message}")).collect();
        assert_eq!(with(more), expected, "{more}");
    }
    // Quoted, they are only texts.
    assert_eq!(with("description: '&a *b !c <<'"), [""; 0]);
    assert_eq!(with("'<<': x").len(), 1);
    assert_eq!(with("...\n"), [""; 0]);
    assert_eq!(with("rules:\n\t- x").len(), 1);
}

#[test]
fn bombs_do_not_go_off() {
    let started = std::time::Instant::now();
    for opening in ["[", "{\"a\":", "- ", "? ", "{a: ", "[a, "] {
        let deep = opening.repeat(100_000);
        assert_eq!(rendered(PolicyDocument::parse(&deep)).len(), 1, "{opening}");
    }
    let nested = format!("{{\"rules\":{}{}}}", "[".repeat(40), "]".repeat(40));
    assert_eq!(rendered(PolicyDocument::parse(&nested)), ["1:41: lists and maps are nested deeper than 32"]);

    // A billion laughs: every line doubles the one before, if it were expanded.
    let mut laughs = "a0: &a0 [x, x]\n".to_owned();
    for line in 1..60 {
        laughs += &format!("a{line}: &a{line} [*a{}, *a{}]\n", line - 1, line - 1);
    }
    assert!(
        rendered(PolicyDocument::parse(&laughs)).iter().all(|error| error.contains("anchors and aliases"))
    );

    let huge = format!("{SMALL}#{}", "x".repeat(1 << 20));
    let errors = rendered(PolicyDocument::parse(&huge));
    assert!(
        errors[0].starts_with("1:1: the text has 1,048,7")
            && errors[0].ends_with("at most 1,048,576 are read")
    );
    let many = format!("{SMALL}resources: [{}]", "x,".repeat(100_000));
    assert!(rendered(PolicyDocument::parse(&many))[0].ends_with("the text has more than 100,000 values"));

    // The largest texts that are read, full of mistakes that cost most to report.
    let wrong = "abcdefghijklmnopqrstuvwxyzabcdefghijk";
    let roles: String = (0..256).map(|n| format!("{{name: {wrong}{n:03}, minimumTier: LOW}},")).collect();
    let base = SMALL.replace("roles: [", &format!("roles: [{roles}"));
    let references =
        format!("{base}rules: [{{id: a, effect: DENY, when: {{roles: [{}]}}}}]", "abc,".repeat(90_000));
    assert!(PolicyDocument::parse(&references).is_err());
    let fields: String = (0..90_000).map(|n| format!("r{n}: 1\n")).collect();
    assert!(PolicyDocument::parse(&format!("{SMALL}{fields}")).is_err());
    let zone = "{id: a, effect: DENY, when: {time: {zone: Europe/Berln, from: a, to: b}}},";
    assert!(PolicyDocument::parse(&format!("{SMALL}rules: [{}]", zone.repeat(12_000))).is_err());
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

// ---- bounds and meaning, one by one

#[test]
fn names_have_one_shape_and_are_unique() {
    let fault = "must be a letter followed by at most 63 letters, digits or _ . : -, found";
    for bad in ["", "1A", "_A", "A B", "A/B", "Ä", "A\n", &"A".repeat(65)] {
        assert_eq!(
            changed(|d| d.tiers[0].name = bad.into())[0].find(fault),
            Some("tiers[0].name: ".len()),
            "{bad}"
        );
        assert_eq!(changed(|d| d.roles[0].name = bad.into()).len(), 1, "{bad}");
        assert_eq!(changed(|d| d.resources = vec![bad.into()]).len(), 1, "{bad}");
        assert_eq!(changed(|d| d.rules = vec![rule(bad)]).len(), 1, "{bad}");
    }
    for good in ["a", "Z9", "a_b.c:d-e", &"A".repeat(64)] {
        assert_eq!(changed(|d| d.resources = vec![good.into()]), [""; 0], "{good}");
    }
    assert_eq!(
        changed(|d| d.roles[1].name = "READER".into()),
        [r#"roles[1].name: the name "READER" is taken by roles[0]"#]
    );
    assert_eq!(
        changed(|d| d.rules = vec![rule("a"), rule("b"), rule("a")]),
        [r#"rules[2].id: the name "a" is taken by rules[0]"#]
    );
    assert_eq!(
        changed(|d| d.resources = vec!["X".into(), "X".into()]),
        [r#"resources[1]: the name "X" is taken by resources[0]"#]
    );
}

#[test]
fn texts_are_bounded_in_characters() {
    assert_eq!(changed(|d| d.name = String::new()), ["name: must not be empty"]);
    assert_eq!(changed(|d| d.name = "é".repeat(128)), [""; 0]);
    assert_eq!(changed(|d| d.name = "é".repeat(129)), ["name: must have at most 128 characters, found 129"]);
    assert_eq!(changed(|d| d.name = "a\nb".into()), ["name: must not contain the control character U+000A"]);
    assert_eq!(changed(|d| d.description = Some("é\n".repeat(512))), [""; 0]);
    let long = Some("x".repeat(1025));
    assert_eq!(
        changed(|d| d.description = long.clone()),
        ["description: must have at most 1,024 characters, found 1,025"]
    );
    assert_eq!(changed(|d| d.tiers[1].description = long.clone()).len(), 1);
    assert_eq!(changed(|d| d.roles[1].description = long.clone()).len(), 1);
    assert_eq!(changed(|d| d.rules = vec![Rule { description: long.clone(), ..rule("a") }]).len(), 1);
    let reason = |reason: String| changed(|d| d.rules = vec![Rule { reason: Some(reason), ..rule("a") }]);
    assert_eq!(reason("x".repeat(512)), [""; 0]);
    assert_eq!(reason("x".repeat(513)), ["rules[0].reason: must have at most 512 characters, found 513"]);
    assert_eq!(reason(String::new()), ["rules[0].reason: must not be empty"]);
    let path = |effect: Decision, path: String| {
        changed(|d| d.rules = vec![Rule { effect, escalation_path: Some(path), ..rule("a") }])
    };
    assert_eq!(path(Decision::Escalate, "x".repeat(256)), [""; 0]);
    assert_eq!(path(Decision::Escalate, "x".repeat(257)).len(), 1);
    assert_eq!(
        path(Decision::Allow, "x".into()),
        ["rules[0].escalationPath: only a rule with effect ESCALATE has one"]
    );
}

#[test]
fn lists_are_bounded() {
    let tier = |n: usize| Tier { name: format!("T{n}"), description: None, scores: None };
    let tiers = |count: usize| changed(|d| d.tiers.extend((2..count).map(tier)));
    assert_eq!(tiers(64), [""; 0]);
    assert_eq!(tiers(65), ["tiers: must have 1 to 64 values, found 65"]);
    assert_eq!(
        changed(|d| (d.tiers, d.roles) = (vec![], vec![])),
        [
            "tiers: must have 1 to 64 values, found an empty list",
            "roles: must have 1 to 256 values, found an empty list",
        ]
    );
    let role = |n: usize| Role {
        name: format!("R{n}"),
        description: None,
        minimum_tier: "LOW".into(),
        enabled: true,
    };
    assert_eq!(changed(|d| d.roles.extend((2..256).map(role))), [""; 0]);
    assert_eq!(changed(|d| d.roles.extend((2..257).map(role))).len(), 1);
    assert_eq!(changed(|d| d.rules = (0..4096).map(|n| rule(&format!("r{n}"))).collect()), [""; 0]);
    assert_eq!(
        changed(|d| d.rules = (0..4097).map(|n| rule(&format!("r{n}"))).collect()),
        ["rules: must have 0 to 4,096 values, found 4,097"]
    );
    assert_eq!(changed(|d| d.resources = (0..64).map(|n| format!("r{n}")).collect()), [""; 0]);
    assert_eq!(changed(|d| d.resources = (0..65).map(|n| format!("r{n}")).collect()).len(), 1);
}

#[test]
fn references_lead_somewhere() {
    assert_eq!(
        changed(|d| d.roles[0].minimum_tier = "HIGHER".into()),
        [r#"roles[0].minimumTier: unknown tier "HIGHER"; did you mean "HIGH"?"#]
    );
    assert_eq!(
        changed(|d| d.roles[0].minimum_tier = "GOLD".into()),
        [r#"roles[0].minimumTier: unknown tier "GOLD"; known: LOW, HIGH"#]
    );
    assert_eq!(
        when(|when| when.tiers = Some(vec!["LOW".into(), "low".into()])),
        [r#"rules[0].when.tiers[1]: unknown tier "low"; did you mean "LOW"?"#]
    );
    assert_eq!(
        when(|when| when.roles = Some(vec!["ADMIN".into()])),
        [r#"rules[0].when.roles[0]: unknown role "ADMIN"; known: READER, WRITER"#]
    );
    assert_eq!(
        ceilings(|c| c.fleet = vec![fleet("APIS"), fleet("X")]),
        [
            r#"ceilings.fleet[0].resource: unknown resource "APIS"; did you mean "API"?"#,
            r#"ceilings.fleet[1].resource: unknown resource "X"; known: API, CPU"#,
        ]
    );
    assert_eq!(
        ceilings(|c| (c.family, c.rate) = (vec![family("APIS")], vec![rate("LOWER", "CPUS", 1)])),
        [
            r#"ceilings.family[0].resource: unknown resource "APIS"; did you mean "API"?"#,
            r#"ceilings.rate[0].tier: unknown tier "LOWER"; known: LOW, HIGH"#,
            r#"ceilings.rate[0].resource: unknown resource "CPUS"; did you mean "CPU"?"#,
        ]
    );
    assert_eq!(
        changed(|d| d.ceilings.fleet = vec![fleet("API")]),
        [r#"ceilings.fleet[0].resource: unknown resource "API"; the policy names none"#]
    );
    assert_eq!(
        ceilings(|c| c.agent = vec![agent("MID", "API")]),
        [r#"ceilings.agent[0].tier: unknown tier "MID"; known: LOW, HIGH"#]
    );
}

#[test]
fn condition_lists_are_bounded_and_without_repetition() {
    type List = fn(&mut Conditions) -> &mut Option<Vec<String>>;
    let lists: [(&str, List); 5] = [
        ("actions", |when| &mut when.actions),
        ("resources", |when| &mut when.resources),
        ("environments", |when| &mut when.environments),
        ("attestations", |when| &mut when.attestations),
        ("organizations", |when| &mut when.organizations),
    ];
    for (name, list) in lists {
        let found = |values: Vec<String>| when(|when| *list(when) = Some(values));
        let path = format!("rules[0].when.{name}");
        assert_eq!(found((0..256).map(|n| n.to_string()).collect()), [""; 0]);
        assert_eq!(
            found((0..257).map(|n| n.to_string()).collect()),
            [format!("{path}: must have 1 to 256 values, found 257")]
        );
        assert_eq!(found(vec![]), [format!("{path}: must have 1 to 256 values, found an empty list")]);
        let max = if name == "resources" { 512 } else { 256 };
        assert_eq!(found(vec!["x".repeat(max), String::new()]), [format!("{path}[1]: must not be empty")]);
        assert_eq!(
            found(vec!["é".repeat(max + 1)]),
            [format!("{path}[0]: must have at most {max} characters, found {}", max + 1)]
        );
        // A rule for what no request can hold would never match.
        assert_eq!(
            found(vec!["delete ".into()]),
            [format!("{path}[0]: must not begin or end with white space, as no request does")]
        );
        assert_eq!(
            found(vec!["a\u{85}".into()]),
            [format!("{path}[0]: must not contain the control character U+0085")]
        );
        assert_eq!(
            found(vec!["a".into(), "b".into(), "a".into()]),
            [format!("{path}[2]: \"a\" is in the list already")]
        );
    }
    assert_eq!(when(|when| when.roles = Some(vec![])).len(), 1);
    assert_eq!(when(|when| when.tiers = Some(vec!["LOW".into(), "LOW".into()])).len(), 1);
}

#[test]
fn globs_do_not_end_in_a_lone_backslash() {
    for (glob, fine) in
        [(r"a\", false), (r"\", false), (r"a\\\", false), (r"a\\", true), (r"\a", true), ("*", true)]
    {
        assert_eq!(when(|when| when.resources = Some(vec![glob.into()])).is_empty(), fine, "{glob}");
    }
    // Elsewhere a backslash is a character like others.
    assert_eq!(when(|when| when.actions = Some(vec![r"a\".into()])), [""; 0]);
}

#[test]
fn time_windows_are_times_of_day_in_a_known_zone() {
    let window = |zone: &str, from: &str, to: &str, days: Option<Vec<Day>>| {
        when(|when| {
            when.time = Some(TimeWindow { zone: zone.into(), from: from.into(), to: to.into(), days })
        })
    };
    for (from, to) in [("00:00", "24:00"), ("23:59", "00:00"), ("22:00", "06:00"), ("09:30", "09:31")] {
        assert_eq!(window("UTC", from, to, None), [""; 0], "{from} {to}");
    }
    for bad in ["24:00", "24:01", "9:00", "09:60", "0900", "09:00:00", "-1:00", " 9:00", "٠٩:٠٠", ""] {
        assert_eq!(window("UTC", bad, "12:34", None).len(), 1, "from {bad}");
        assert_eq!(window("UTC", "12:34", bad, None).len(), usize::from(bad != "24:00"), "to {bad}");
    }
    for time in ["00:00", "08:00"] {
        assert_eq!(
            window("UTC", time, time, None),
            ["rules[0].when.time.to: the same as `from`: an empty or a whole day? \
             Leave `time` out or say 00:00 to 24:00"]
        );
    }
    for zone in ["Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata", "Etc/GMT+5"] {
        assert_eq!(window(zone, "00:00", "01:00", None), [""; 0], "{zone}");
    }
    for (zone, message) in [
        ("Europe/Berln", r#"unknown time zone "Europe/Berln"; did you mean "Europe/Berlin"?"#),
        ("europe/berlin", r#"unknown time zone "europe/berlin"; did you mean "Europe/Berlin"?"#),
        ("+02:00", r#"unknown time zone "+02:00"; expected an IANA name such as "Europe/Berlin" or "UTC""#),
        ("", r#"unknown time zone ""; expected an IANA name such as "Europe/Berlin" or "UTC""#),
    ] {
        assert_eq!(window(zone, "00:00", "01:00", None), [format!("rules[0].when.time.zone: {message}")]);
    }
    for zone in ["Etc/Unknown", "/etc/passwd", "../UTC", "Europe/Berlin\0"] {
        assert_eq!(window(zone, "00:00", "01:00", None).len(), 1, "{zone}");
    }
    assert_eq!(
        window("UTC", "00:00", "01:00", Some(vec![])),
        ["rules[0].when.time.days: must name at least one day; leave `days` out for every day"]
    );
    assert_eq!(
        window("UTC", "00:00", "01:00", Some(vec![Day::Mon, Day::Sun, Day::Mon])),
        ["rules[0].when.time.days[2]: this day is in the list already"]
    );
}

#[test]
fn score_bands_leave_no_gap_and_no_overlap() {
    let bands = |bands: &[Option<(u32, u32)>]| {
        let tier = |(n, band): (usize, &Option<(u32, u32)>)| Tier {
            name: format!("T{n}"),
            description: None,
            scores: band.map(|(min, max)| ScoreBand { min, max }),
        };
        changed(|d| {
            d.tiers = bands.iter().enumerate().map(tier).collect();
            d.roles.iter_mut().for_each(|role| role.minimum_tier = "T0".into());
        })
    };
    assert_eq!(bands(&[Some((0, 0)), Some((1, 1)), Some((2, 1_000_000))]), [""; 0]);
    assert_eq!(bands(&[Some((10, 19)), Some((20, 29))]), [""; 0], "a band may begin above zero");
    assert_eq!(bands(&[None, None]), [""; 0]);
    assert_eq!(
        bands(&[Some((0, 9)), None, Some((99, 100))]),
        ["tiers[1].scores: other tiers have scores: all tiers have a band or none has"]
    );
    assert_eq!(
        bands(&[Some((0, 9)), Some((11, 19))]),
        ["tiers[1].scores.min: score 10 belongs to no tier: tiers[0] ends at 9"]
    );
    assert_eq!(
        bands(&[Some((0, 999)), Some((2000, 3000))]),
        ["tiers[1].scores.min: scores 1,000 to 1,999 belong to no tier: tiers[0] ends at 999"]
    );
    assert_eq!(
        bands(&[Some((0, 9)), Some((9, 19))]),
        ["tiers[1].scores.min: score 9 belongs to tiers[0] too, which ends at 9"]
    );
    assert_eq!(
        bands(&[Some((0, 9)), Some((5, 19))]),
        ["tiers[1].scores.min: scores 5 to 9 belong to tiers[0] too, which ends at 9"]
    );
    for lower in [(0, 9), (3, 3), (0, 19), (10, 19)] {
        assert_eq!(
            bands(&[Some((10, 19)), Some(lower)]),
            ["tiers[1].scores.min: bands must rise with the tiers, and tiers[0] has 10 to 19"]
        );
    }
    assert_eq!(
        bands(&[Some((0, 9)), Some((19, 10)), Some((20, 29))]),
        ["tiers[1].scores: min 19 is above max 10"]
    );
    assert_eq!(
        bands(&[Some((0, 1_000_001))]),
        ["tiers[0].scores.max: must be 0 to 1,000,000, found 1,000,001"]
    );
    assert!(bands(&[Some((0, u32::MAX)), Some((u32::MAX, u32::MAX))]).len() > 1);
}

#[test]
fn sampling_has_a_rate_exactly_when_it_is_sampling() {
    let gates = |mode, sample| {
        changed(|d| (d.recording.gates.mode, d.recording.gates.sample_per_thousand) = (mode, sample))
    };
    assert_eq!(gates(RecordingMode::Sampled, Some(1)), [""; 0]);
    assert_eq!(gates(RecordingMode::Sampled, Some(999)), [""; 0]);
    for sample in [0, 1000] {
        assert_eq!(gates(RecordingMode::Sampled, Some(sample)).len(), 1);
    }
    assert_eq!(
        gates(RecordingMode::Sampled, None),
        ["recording.gates.samplePerThousand: mode SAMPLED needs it: 1 to 999"]
    );
    for mode in [RecordingMode::All, RecordingMode::None] {
        assert_eq!(
            gates(mode, Some(10)),
            [
                "recording.gates.samplePerThousand: only mode SAMPLED has it; leave it out or set `mode: SAMPLED`"
            ]
        );
    }
    assert_eq!(changed(|d| d.recording.ceilings.sample_per_thousand = Some(5)).len(), 1);
}

#[test]
fn ceilings_are_bounded_and_have_one_row_for_each_key() {
    for (percent, hold) in [(1, 10), (100, 60_000)] {
        assert_eq!(ceilings(|c| (c.near_limit_percent, c.max_hold_millis) = (percent, hold)), [""; 0]);
    }
    for (percent, hold) in [(0, 9), (101, 60_001)] {
        assert_eq!(ceilings(|c| (c.near_limit_percent, c.max_hold_millis) = (percent, hold)).len(), 2);
    }
    for (limit, seconds, faults) in
        [(1, 1, 0), ((1 << 40) - 1, 31_622_400, 0), (0, 0, 2), (1 << 40, 31_622_401, 2)]
    {
        let row = || AgentCeiling { limit, window_seconds: seconds, ..agent("LOW", "API") };
        assert_eq!(ceilings(|c| c.agent = vec![row()]).len(), faults);
        assert_eq!(
            ceilings(|c| c.organization =
                vec![OrganizationCeiling { limit, window_seconds: seconds, ..organization(None, "API") }])
            .len(),
            faults
        );
        assert_eq!(
            ceilings(|c| c.fleet = vec![FleetCeiling { limit, window_seconds: seconds, ..fleet("API") }])
                .len(),
            faults
        );
        let row = || FamilyCeiling { limit, window_seconds: seconds, ..family("API") };
        assert_eq!(ceilings(|c| c.family = vec![row()]).len(), faults);
    }
    // A lower ceiling for a higher tier is odd, but no mistake.
    assert_eq!(
        ceilings(|c| c.agent = vec![agent("LOW", "API"), AgentCeiling { limit: 1, ..agent("HIGH", "API") }]),
        [""; 0]
    );
    assert_eq!(
        ceilings(|c| c.agent = vec![agent("LOW", "API"), agent("LOW", "CPU"), agent("LOW", "API")]),
        ["ceilings.agent[2]: ceilings.agent[0] has a row for tier \"LOW\" and resource \"API\" already"]
    );
    let org = organization;
    assert_eq!(
        ceilings(|c| c.organization = vec![org(None, "API"), org(Some("a"), "API"), org(Some("b"), "API")]),
        [""; 0]
    );
    assert_eq!(
        ceilings(|c| c.organization = vec![org(None, "API"), org(Some("a"), "API"), org(None, "API")]),
        [
            "ceilings.organization[2]: ceilings.organization[0] has a row for every organization and resource \"API\" \
         already"
        ]
    );
    assert_eq!(ceilings(|c| c.organization = vec![org(Some("a"), "API"), org(Some("a"), "API")]).len(), 1);
    assert_eq!(ceilings(|c| c.organization = vec![org(Some(""), "API")]).len(), 1);
    assert_eq!(
        ceilings(|c| c.fleet = vec![fleet("API"), fleet("CPU"), fleet("API")]),
        ["ceilings.fleet[2]: ceilings.fleet[0] has a row for resource \"API\" already"]
    );
    assert_eq!(
        ceilings(|c| c.family = vec![family("API"), family("CPU"), family("API")]),
        ["ceilings.family[2]: ceilings.family[0] has a row for resource \"API\" already"]
    );
    assert_eq!(
        ceilings(|c| (c.family, c.fleet) = (vec![family("API")], vec![fleet("API")])),
        [""; 0],
        "a row of another level is another row"
    );
    let organizations = |count: usize| {
        ceilings(|c| {
            c.organization = (0..count).map(|n| org(Some(&n.to_string()), "API")).collect();
            c.agent = vec![agent("LOW", "API")];
            c.family = vec![family("API")];
            c.fleet = vec![fleet("API")];
            c.rate = vec![rate("LOW", "API", 1)];
        })
    };
    assert_eq!(organizations(4092), [""; 0]);
    assert_eq!(
        organizations(4093),
        [
            "ceilings: agent, family, organization, fleet and rate together must have 0 to 4,096 values, found 4,097"
        ]
    );
}

#[test]
fn rates_are_bounded_and_have_one_row_for_each_key() {
    for (amount, per_seconds, burst, faults) in [
        (1, 1, 1, 0),
        ((1 << 40) - 1, 86_400, (1 << 40) - 1, 0),
        (0, 0, 0, 3),
        (1 << 40, 86_401, 1 << 40, 3),
        (u64::MAX, u32::MAX, u64::MAX, 3),
    ] {
        let row = || RateLimit { per_seconds, burst, ..rate("LOW", "API", amount) };
        assert_eq!(ceilings(|c| c.rate = vec![row()]).len(), faults, "{:?}", row());
    }
    let rates = |rows: &[RateLimit]| ceilings(|c| c.rate = rows.to_vec());
    assert_eq!(rates(&[rate("LOW", "API", 1), rate("HIGH", "API", 1), rate("LOW", "CPU", 1)]), [""; 0]);
    assert_eq!(
        rates(&[rate("LOW", "API", 1), rate("LOW", "CPU", 1), rate("LOW", "API", 2)]),
        ["ceilings.rate[2]: ceilings.rate[0] has a row for tier \"LOW\" and resource \"API\" already"]
    );
    // A rate is no counter: its seconds have nothing to do with the window of the ceiling, nor with other rows.
    let hourly = RateLimit { per_seconds: 7200, ..rate("HIGH", "API", 1) };
    assert_eq!(
        ceilings(|c| (c.agent, c.rate) = (vec![agent("LOW", "API")], vec![rate("LOW", "API", 1), hourly])),
        [""; 0]
    );
}

#[test]
fn a_rate_gives_back_at_most_one_unit_in_a_nanosecond() {
    let faults = |amount, per_seconds| {
        ceilings(|c| c.rate = vec![RateLimit { per_seconds, ..rate("LOW", "API", amount) }])
    };
    assert_eq!(faults(1_000_000_000, 1), [""; 0]);
    assert_eq!(faults(2_000_000_000, 2), [""; 0]);
    assert_eq!(faults((1 << 40) - 1, 1100), [""; 0]);
    assert_eq!(
        faults(2_000_000_001, 2),
        ["ceilings.rate[0].amount: more than 1,000,000,000 a second, one in each nanosecond of the clock; \
         with perSeconds 2 at most 2,000,000,000, found 2,000,000,001"]
    );
    // An error says one thing: bounds come first, and a default that stands for a slip is not judged.
    assert_eq!(faults(1 << 40, 1).len(), 1);
    assert_eq!(faults(2_000_000_000, 0).len(), 1);
    let slip = "resources: [API]
ceilings: {rate: [{tier: LOW, resource: API, amount: 2000000000, perSecond: 2, burst: 1}]}";
    assert_eq!(
        with(slip),
        ["7:66 ceilings.rate[0]: unknown field \"perSecond\"; did you mean \"perSeconds\"? \
             Known: tier, resource, amount, perSeconds, burst"]
    );
}

#[test]
fn a_rate_has_one_second_by_default_and_no_default_burst() {
    let rate = |fields: &str| {
        let row = format!("{{tier: LOW, resource: API, amount: 5{fields}}}");
        PolicyDocument::parse(&format!("{SMALL}resources: [API]\nceilings: {{rate: [{row}]}}"))
    };
    let canonical = rate(", burst: 9").unwrap().canonical_json();
    let row = r#""rate":[{"amount":5,"burst":9,"perSeconds":1,"resource":"API","tier":"LOW"}]"#;
    assert!(canonical.contains(row), "{canonical}");
    assert_eq!(rendered(rate("")), ["7:19 ceilings.rate[0].burst: required, but missing"]);
}

#[test]
fn a_counter_has_one_window() {
    let sliding = || AgentCeiling { window: WindowKind::Sliding, ..agent("HIGH", "API") };
    assert_eq!(
        ceilings(|c| c.agent = vec![agent("LOW", "API"), sliding()]),
        ["ceilings.agent[1]: \"API\" is counted in another window by ceilings.agent[0] (FIXED, 3,600 s): \
         rows of one resource share windowSeconds and window"]
    );
    let daily = || AgentCeiling { window_seconds: 86_400, ..agent("HIGH", "API") };
    assert_eq!(ceilings(|c| c.agent = vec![agent("LOW", "API"), daily()]).len(), 1);
    assert_eq!(
        ceilings(|c| c.agent = vec![agent("LOW", "CPU"), daily()]),
        [""; 0],
        "other resources are free"
    );
    assert_eq!(
        ceilings(|c| (c.agent, c.fleet) = (vec![daily()], vec![fleet("API")])),
        [""; 0],
        "other levels too"
    );
    let daily = OrganizationCeiling { window_seconds: 86_400, ..organization(Some("a"), "API") };
    assert_eq!(ceilings(|c| c.organization = vec![organization(None, "API"), daily.clone()]).len(), 1);
}

fn rule(id: &str) -> Rule {
    Rule {
        id: id.into(),
        description: None,
        effect: Decision::Deny,
        reason: None,
        escalation_path: None,
        when: Conditions::default(),
    }
}

fn when(change: impl FnOnce(&mut Conditions)) -> Vec<String> {
    changed(|document| {
        let mut rule = rule("a");
        change(&mut rule.when);
        document.rules = vec![rule];
    })
}

fn ceilings(change: impl FnOnce(&mut Ceilings)) -> Vec<String> {
    changed(|document| {
        document.resources = vec!["API".into(), "CPU".into()];
        change(&mut document.ceilings);
    })
}

fn agent(tier: &str, resource: &str) -> AgentCeiling {
    AgentCeiling {
        tier: tier.into(),
        resource: resource.into(),
        limit: 100,
        window_seconds: 3600,
        window: WindowKind::Fixed,
        precision: Precision::Leased,
    }
}

fn organization(organization: Option<&str>, resource: &str) -> OrganizationCeiling {
    let AgentCeiling { resource, limit, window_seconds, window, precision, .. } = agent("", resource);
    let organization = organization.map(Into::into);
    OrganizationCeiling { organization, resource, limit, window_seconds, window, precision }
}

fn family(resource: &str) -> FamilyCeiling {
    let AgentCeiling { resource, limit, window_seconds, window, precision, .. } = agent("", resource);
    FamilyCeiling { resource, limit, window_seconds, window, precision }
}

fn rate(tier: &str, resource: &str, amount: u64) -> RateLimit {
    RateLimit { tier: tier.into(), resource: resource.into(), amount, per_seconds: 1, burst: 10 }
}

fn fleet(resource: &str) -> FleetCeiling {
    let AgentCeiling { resource, limit, window_seconds, window, precision, .. } = agent("", resource);
    FleetCeiling { resource, limit, window_seconds, window, precision }
}

// ---- schema and documentation

#[test]
fn the_committed_schema_is_the_one_of_the_code() {
    let schema = PolicyDocument::json_schema();
    let path = "../docs/policy.schema.json";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file(path), serde_json::to_string_pretty(&schema).unwrap() + "\n").unwrap();
    }
    let committed: Value =
        serde_json::from_str(&std::fs::read_to_string(file(path)).unwrap_or_default()).unwrap_or_default();
    assert!(
        committed == schema,
        "docs/policy.schema.json is not the schema of the code; run\n  \
         UPDATE_GOLDEN=1 cargo test -p trust-engine --test policy_document"
    );
    assert!(schema.get("$id").is_none() && schema["title"].is_string());
    assert!(!schema.to_string().contains("null"), "the language has no null");
}

/// A place in the schema and how to write a document that has a value there.
struct Place<'a> {
    schema: &'a Value,
    path: String,
    wrap: Box<dyn Fn(Value) -> Value + 'a>,
}

fn walk<'a>(root: &'a Value, place: Place<'a>, visit: &mut dyn FnMut(&Place<'a>)) {
    let schema = match place.schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => place.schema,
    };
    let place = Place { schema, ..place };
    visit(&place);
    let wrap = std::rc::Rc::new(place.wrap);
    for (name, schema) in place.schema["properties"].as_object().into_iter().flatten() {
        let path = if place.path.is_empty() { name.clone() } else { format!("{}.{name}", place.path) };
        let outer = std::rc::Rc::clone(&wrap);
        let wrap = Box::new(move |value: Value| outer(json!({ name: value })));
        walk(root, Place { schema, path, wrap }, visit);
    }
    if let Some(schema) = place.schema.get("items") {
        let outer = std::rc::Rc::clone(&wrap);
        let wrap = Box::new(move |value: Value| outer(json!([value])));
        walk(root, Place { schema, path: format!("{}[0]", place.path), wrap }, visit);
    }
}

/// The messages about exactly this place when `value` stands there.
fn messages_at(place: &Place<'_>, value: Value) -> Vec<String> {
    let text = (place.wrap)(value).to_string();
    let errors = PolicyDocument::parse(&text).unwrap_err();
    errors.into_iter().filter(|error| error.path == place.path).map(|error| error.message).collect()
}

#[test]
fn the_schema_and_the_decoder_know_the_same_fields_values_and_bounds() {
    let root = PolicyDocument::json_schema();
    let (mut maps, mut enums, mut numbers, mut texts) = (0, 0, 0, 0);
    let start = Place { schema: &root, path: String::new(), wrap: Box::new(|value| value) };
    walk(&root, start, &mut |place| {
        let schema = place.schema;
        if let Some(properties) = schema["properties"].as_object() {
            maps += 1;
            assert_eq!(schema["additionalProperties"], false, "{}", place.path);
            let message = messages_at(place, json!({ "zzzzzzzz": 1 })).remove(0);
            let known = message.strip_prefix("unknown field \"zzzzzzzz\"; known: ").unwrap();
            let known: BTreeSet<_> = known.split(", ").collect();
            assert_eq!(known, properties.keys().map(String::as_str).collect(), "{}", place.path);

            let required: BTreeSet<_> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let errors = PolicyDocument::parse(&(place.wrap)(json!({})).to_string()).unwrap_err();
            for name in properties.keys() {
                let path =
                    if place.path.is_empty() { name.clone() } else { format!("{}.{name}", place.path) };
                let missing =
                    errors.iter().any(|error| error.path == path && error.message == "required, but missing");
                assert_eq!(missing, required.contains(name.as_str()), "{path}");
            }
        }
        let consts = schema["oneOf"].as_array().into_iter().flatten().map(|choice| &choice["const"]);
        let names: BTreeSet<_> =
            consts.chain(schema["enum"].as_array().into_iter().flatten()).filter_map(Value::as_str).collect();
        if !names.is_empty() {
            enums += 1;
            let message = messages_at(place, json!("zzzzzzzz")).remove(0);
            let allowed =
                message.strip_prefix("expected ").unwrap().strip_suffix(", found \"zzzzzzzz\"").unwrap();
            let allowed = allowed.replace(" or ", ", ");
            assert_eq!(allowed.split(", ").collect::<BTreeSet<_>>(), names, "{}", place.path);
            for name in names {
                assert_eq!(messages_at(place, json!(name)), [""; 0], "{}", place.path);
            }
        }
        if schema["type"] == "integer" {
            numbers += 1;
            for (bound, outside) in [("minimum", -1), ("maximum", 1)] {
                let bound = schema[bound].as_i64().unwrap_or_else(|| panic!("{} has no {bound}", place.path));
                let refused = |number: i64| {
                    messages_at(place, json!(number)).iter().any(|message| message.starts_with("must be"))
                };
                assert!(refused(bound + outside) && !refused(bound), "{} {bound}", place.path);
            }
        }
        if let Some(longest) = schema["maxLength"].as_u64() {
            texts += 1;
            assert_eq!(messages_at(place, json!("x".repeat(longest as usize))).len(), 0, "{}", place.path);
            assert_eq!(
                messages_at(place, json!("x".repeat(longest as usize + 1))).len(),
                1,
                "{}",
                place.path
            );
            if schema["minLength"] == 1 {
                assert_eq!(messages_at(place, json!("")), ["must not be empty"], "{}", place.path);
            }
        }
    });
    // Counted by hand, so that nothing is skipped unnoticed.
    assert_eq!((maps, enums, numbers, texts), (17, 18, 18, 13));
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let documentation = read("../docs/policy.md");
    let mut blocks = 0;
    for block in documentation.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        // An example of one part stands in a document that has what it speaks of.
        let has = |key: &str| block.lines().any(|line| line.starts_with(&format!("{key}:")));
        let mut text = block.to_owned();
        for (key, line) in [
            ("policyFormat", "policyFormat: 1"),
            ("name", "name: example"),
            ("tiers", "tiers: [{name: UNKNOWN}, {name: BASIC}, {name: VERIFIED}, {name: TRUSTED}]"),
            ("roles", "roles: [{name: READER, minimumTier: BASIC}, {name: WRITER, minimumTier: VERIFIED}]"),
            ("defaultEffect", "defaultEffect: ALLOW"),
            ("resources", "resources: [API_CALLS, COMPUTE]"),
        ] {
            if !has(key) {
                text += &format!("\n{line}\n");
            }
        }
        if let Err(errors) = PolicyDocument::parse(&text) {
            panic!("{errors}\n{text}");
        }
        blocks += 1;
    }
    assert!(blocks >= 6, "{blocks} examples");
    let hash = hex::encode(PolicyDocument::published_default().unwrap().hash());
    assert!(documentation.contains(&hash), "the hash of the published default is {hash}");
    for name in PolicyDocument::json_schema()["$defs"]
        .as_object()
        .unwrap()
        .values()
        .chain([&PolicyDocument::json_schema()])
        .filter_map(|schema| schema["properties"].as_object())
        .flat_map(|fields| fields.keys())
    {
        assert!(documentation.contains(&format!("`{name}`")), "docs/policy.md says nothing of {name}");
    }
}

// ---- properties

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z][A-Za-z0-9_.:-]{0,10}"
}

fn names(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(name(), count).prop_map(|names| names.into_iter().collect()).prop_shuffle()
}

fn some_of(names: &[String]) -> impl Strategy<Value = Option<Vec<String>>> + use<> {
    let most = names.len().min(4);
    prop::option::of(prop::sample::subsequence(names.to_vec(), 1..=most))
}

fn values() -> impl Strategy<Value = Option<Vec<String>>> {
    // Nothing that a request cannot hold: no white space at the ends.
    let value = r"[^\p{Cc}\\\s]([^\p{Cc}\\]{0,6}[^\p{Cc}\\\s])?";
    prop::option::of(prop::collection::btree_set(value, 1..4).prop_map(|values| values.into_iter().collect()))
}

fn prose() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof![any::<String>(), "(true|5|~|- a|a: b|# c|'|\"|\n x)?"])
}

fn time_window() -> impl Strategy<Value = TimeWindow> {
    let days = prop::sample::subsequence(
        vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun],
        1..=7,
    );
    let zone = prop::sample::select(vec!["UTC", "Europe/Berlin", "Pacific/Chatham"]);
    (zone, prop::option::of(days), 0u16..1440, 0u16..=1440).prop_map(|(zone, days, from, to)| {
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let to = if from == to { to + 1 } else { to };
        TimeWindow { zone: zone.into(), days, from: time(from), to: time(to) }
    })
}

fn effect() -> impl Strategy<Value = Decision> {
    prop::sample::select(vec![Decision::Allow, Decision::Deny, Decision::Escalate])
}

fn rules(roles: &[String], tiers: &[String]) -> impl Strategy<Value = Vec<Rule>> + use<> {
    let conditions = (
        (some_of(roles), some_of(tiers), values(), values()),
        (values(), values(), prop::option::of(time_window()), values()),
    )
        .prop_map(
            |((roles, tiers, actions, resources), (environments, attestations, time, organizations))| {
                Conditions {
                    roles,
                    tiers,
                    actions,
                    resources,
                    environments,
                    attestations,
                    time,
                    organizations,
                }
            },
        );
    let reason = prop::option::of(".{1,20}");
    let path = prop::option::of(r"[^\p{Cc}]{1,20}");
    let rule = (prose(), effect(), reason, path, conditions).prop_map(
        |(description, effect, reason, path, when)| {
            let escalation_path = path.filter(|_| effect == Decision::Escalate);
            Rule { id: String::new(), description, effect, reason, escalation_path, when }
        },
    );
    prop::collection::vec(rule, 0..5).prop_map(|mut rules| {
        rules.iter_mut().enumerate().for_each(|(position, rule)| rule.id = format!("rule-{position}"));
        rules
    })
}

fn some_ceilings(tiers: Vec<String>, resources: Vec<String>) -> impl Strategy<Value = Ceilings> {
    let windows = (1u32..=31_622_400, prop::sample::select(vec![WindowKind::Fixed, WindowKind::Sliding]));
    let precision = prop::sample::select(vec![Precision::Leased, Precision::Exact]);
    let rows = tiers.len() * resources.len();
    let limits = prop::collection::vec((1u64..1 << 40, any::<bool>(), precision), rows);
    let whole = (1u32..=100, 10u32..=60_000, any::<bool>());
    (windows, limits, whole).prop_map(move |((window_seconds, window), limits, whole)| {
        let mut ceilings = Ceilings {
            near_limit_percent: whole.0,
            max_hold_millis: whole.1,
            fail_open: whole.2,
            ..Ceilings::default()
        };
        let keys = tiers.iter().flat_map(|tier| resources.iter().map(move |resource| (tier, resource)));
        for ((tier, resource), (limit, present, precision)) in keys.zip(limits) {
            let (tier, resource) = (tier.clone(), resource.clone());
            if present {
                let organization = Some(tier.clone()).filter(|_| limit % 2 == 0);
                let same =
                    |row: &OrganizationCeiling| row.organization == organization && row.resource == resource;
                if !ceilings.organization.iter().any(same) {
                    ceilings.organization.push(OrganizationCeiling {
                        organization,
                        resource: resource.clone(),
                        limit,
                        window_seconds,
                        window,
                        precision,
                    });
                }
                ceilings.rate.push(RateLimit {
                    tier: tier.clone(),
                    resource: resource.clone(),
                    amount: limit,
                    // Slow enough for every amount.
                    per_seconds: 1100 + window_seconds % 85_301,
                    burst: (1 << 40) - limit,
                });
                ceilings.agent.push(AgentCeiling {
                    tier,
                    resource,
                    limit,
                    window_seconds,
                    window,
                    precision,
                });
            } else if !ceilings.fleet.iter().any(|row| row.resource == resource) {
                ceilings.family.push(FamilyCeiling {
                    resource: resource.clone(),
                    limit,
                    window_seconds,
                    window,
                    precision,
                });
                ceilings.fleet.push(FleetCeiling { resource, limit, window_seconds, window, precision });
            }
        }
        ceilings
    })
}

fn recording() -> impl Strategy<Value = Recording> {
    let mode = || {
        let modes = vec![RecordingMode::All, RecordingMode::Sampled, RecordingMode::None];
        (prop::sample::select(modes), 1u32..=999)
            .prop_map(|(mode, sample)| (mode, Some(sample).filter(|_| mode == RecordingMode::Sampled)))
    };
    let durability = || prop::sample::select(vec![Durability::Commit, Durability::Enqueue]);
    (mode(), durability(), mode(), durability(), durability()).prop_map(
        |(gates, wait, ceilings, admitted, refusals)| Recording {
            gates: GateRecording { mode: gates.0, sample_per_thousand: gates.1, durability: wait },
            ceilings: CeilingRecording {
                mode: ceilings.0,
                sample_per_thousand: ceilings.1,
                durability: admitted,
                refusals,
            },
        },
    )
}

fn valid_document() -> impl Strategy<Value = PolicyDocument> {
    (names(1..6), names(1..6), names(0..4))
        .prop_flat_map(|(tiers, roles, resources)| {
            let bands = prop::option::of((0u32..100, prop::collection::vec(1u32..1000, tiers.len())));
            let minima = prop::collection::vec(
                (prop::sample::select(tiers.clone()), prose(), any::<bool>()),
                roles.len(),
            );
            let rules = rules(&roles, &tiers);
            let handling = (
                prop::sample::select(vec![Unregistered::LowestTier, Unregistered::Deny]),
                prop::sample::select(vec![ExcessClaim::HeldTier, ExcessClaim::Deny]),
            );
            let ceilings = some_ceilings(tiers.clone(), resources.clone());
            let head = (r"[^\p{Cc}]{1,128}", prose(), effect());
            (Just((tiers, roles, resources)), head, bands, minima, rules, handling, ceilings, recording())
        })
        .prop_map(|((tiers, roles, resources), head, bands, minima, rules, handling, ceilings, recording)| {
            let (name, description, default_effect) = head;
            let mut next = bands.as_ref().map(|(first, _)| *first).unwrap_or(0);
            let widths = bands.map(|(_, widths)| widths);
            let tiers = tiers.into_iter().enumerate().map(|(position, name)| {
                let scores = widths.as_ref().map(|widths| {
                    let band = ScoreBand { min: next, max: next + widths[position] - 1 };
                    next = band.max + 1;
                    band
                });
                Tier { name, description: None, scores }
            });
            let roles = roles.into_iter().zip(minima).map(|(name, (minimum_tier, description, enabled))| {
                Role { name, description, minimum_tier, enabled }
            });
            PolicyDocument {
                policy_format: 1,
                name,
                description,
                tiers: tiers.collect(),
                roles: roles.collect(),
                rules,
                default_effect,
                agents: AgentHandling { unregistered: handling.0, excess_claim: handling.1 },
                resources,
                ceilings,
                recording,
            }
        })
}

/// Block YAML, written by the simplest means: every text as a JSON string, which YAML reads alike.
fn as_yaml(value: &Value, indent: usize, text: &mut String) {
    let start = format!("\n{}", "  ".repeat(indent));
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            // Backwards, so that the order is another one than that of the JSON text.
            for (key, value) in fields.iter().rev() {
                *text += &format!("{start}{key}: # a comment");
                as_yaml(value, indent + 1, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                *text += &format!("{start}-");
                as_yaml(item, indent + 1, text);
            }
        }
        other => *text += &format!("{start}{other}"),
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), json in any::<bool>()) {
        let _ = PolicyDocument::parse(&if json { format!("{{{text}") } else { text });
    }

    #[test]
    fn arbitrary_punctuation_never_panics(text in r#"[-{}\[\],:?&*!|>'"%@`#~<\\ \t\r\na0.]{0,60}"#) {
        let _ = PolicyDocument::parse(&text);
        let _ = PolicyDocument::parse(&format!("{SMALL}{text}"));
    }

    #[test]
    fn a_mutated_preset_never_panics(
        t0_t7 in any::<bool>(),
        json in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, r#"[-{}\[\],:?&*!|>'"%#~<\\ \t\na0]{0,3}"#), 1..6),
    ) {
        let preset = if t0_t7 { "src/policy/presets/t0-t7.yaml" } else { "src/policy/presets/default.yaml" };
        let mut text = read(preset);
        if json {
            text = PolicyDocument::parse(&text).unwrap().canonical_json();
        }
        for (at, removed, inserted) in edits {
            let chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len());
            text = chars.iter().take(at).collect::<String>() + &inserted;
            text.extend(chars.iter().skip(at + removed));
        }
        if let Ok(document) = PolicyDocument::parse(&text) {
            prop_assert_eq!(document.check(), Ok(()));
        }
    }

    #[test]
    fn valid_documents_survive_every_way_of_writing(document in valid_document()) {
        prop_assert_eq!(document.check(), Ok(()));
        let value = serde_json::to_value(&document).unwrap();
        let mut yaml = String::new();
        as_yaml(&value, 0, &mut yaml);
        for text in [document.canonical_json(), serde_json::to_string_pretty(&document).unwrap(), yaml] {
            let again = PolicyDocument::parse(&text).map_err(|errors| TestCaseError::fail(format!("{errors}\n{text}")))?;
            prop_assert_eq!(&again, &document);
            prop_assert_eq!(again.hash(), document.hash());
        }
        prop_assert_eq!(serde_json::from_value::<PolicyDocument>(value).unwrap(), document);
    }
}
