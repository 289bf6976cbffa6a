//! The gate: every kernel case, and properties over random policies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use proptest::prelude::*;
use trust_engine::gate::{Standing, Subject, decide, evaluate};
use trust_engine::{
    AgentStatus, Conditions, Decision, GateRequest, Policy, PolicyDocument, ReasonCode, Rule, Timestamp,
};

fn default_policy() -> Arc<Policy> {
    Arc::new(Policy::compile(PolicyDocument::published_default().unwrap()).unwrap())
}

fn now() -> Timestamp {
    "2026-01-05T12:00:00Z".parse().unwrap()
}

fn standing<'a>(tier: &'a str, status: AgentStatus, attestations: &'a [String]) -> Subject<'a> {
    Subject { standing: Some(Standing { tier, status, attestations }), authority: None }
}

#[test]
fn the_kernel_allows_exactly_the_tiers_at_or_above_the_minimum() {
    for document in [PolicyDocument::published_default().unwrap(), PolicyDocument::t0_t7().unwrap()] {
        let policy = Arc::new(Policy::compile(document.clone()).unwrap());
        let mut cases = 0;
        for role in &document.roles {
            let minimum = document.tiers.iter().position(|tier| tier.name == role.minimum_tier).unwrap();
            for (rank, tier) in document.tiers.iter().enumerate() {
                for status in [AgentStatus::Active, AgentStatus::Suspended, AgentStatus::Revoked] {
                    let subject = standing(&tier.name, status, &[]);
                    let evaluation = evaluate(&policy, &subject, &GateRequest::new("a", &role.name), now());
                    let expected = match (rank >= minimum, status) {
                        (false, _) => ReasonCode::TierBelowMinimum,
                        (true, AgentStatus::Active) => ReasonCode::TierSufficient,
                        (true, AgentStatus::Suspended) => ReasonCode::AgentSuspended,
                        (true, AgentStatus::Revoked) => ReasonCode::AgentRevoked,
                    };
                    assert_eq!(evaluation.reason_code(), expected, "{} {}", role.name, tier.name);
                    assert_eq!(evaluation.allowed(), expected == ReasonCode::TierSufficient);
                    let required = (rank < minimum).then_some(role.minimum_tier.as_str());
                    assert_eq!(evaluation.required_tier(), required);
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, document.roles.len() * document.tiers.len() * 3);
    }
}

#[test]
fn a_claim_lowers_the_tier_for_everyone_and_raises_it_only_for_an_authority() {
    let policy = default_policy();
    let tiers = ["UNKNOWN", "BASIC", "VERIFIED", "TRUSTED", "PRIVILEGED"];
    for held in 0..5 {
        for claimed in 0..5 {
            let request = GateRequest::new("a", "READER").tier(tiers[claimed]);
            let subject = standing(tiers[held], AgentStatus::Active, &[]);
            let evaluation = evaluate(&policy, &subject, &request, now());
            assert_eq!(evaluation.tier(), Some(tiers[held.min(claimed)]));
            assert_eq!(evaluation.excess_claim(), claimed > held);
            let evaluation = evaluate(&policy, &subject.asserted_by(Some("gateway")), &request, now());
            assert_eq!(evaluation.tier(), Some(tiers[claimed]));
            assert!(!evaluation.excess_claim());
        }
    }
    let unknown = GateRequest::new("a", "READER").tier("GOD");
    for authority in [None, Some("gateway")] {
        let subject = standing("PRIVILEGED", AgentStatus::Active, &[]).asserted_by(authority);
        assert_eq!(evaluate(&policy, &subject, &unknown, now()).reason_code(), ReasonCode::UnknownTier);
    }
}

#[test]
fn the_published_sample_is_allowed_for_an_authority_and_denied_for_anyone_else() {
    let policy = default_policy();
    let request = GateRequest::new("agent_benchmark_001", "DATA_ANALYST")
        .tier("VERIFIED")
        .resource("dataset_001")
        .action("read");
    let unregistered = Subject { standing: None, authority: None };
    let denied = evaluate(&policy, &unregistered, &request, now());
    assert_eq!((denied.decision(), denied.required_tier()), (Decision::Deny, Some("VERIFIED")));
    assert!(evaluate(&policy, &unregistered.asserted_by(Some("gateway")), &request, now()).allowed());
}

/// A policy in which every reason can be met.
fn explained_policy() -> Arc<Policy> {
    let policy = Policy::parse(
        r#"
policyFormat: 1
name: explained
tiers: [{name: LOW}, {name: MID}, {name: TOP}]
roles:
  - {name: READER, minimumTier: LOW}
  - {name: WRITER, minimumTier: MID}
  - {name: CLOSED, minimumTier: LOW, enabled: false}
rules:
  - {id: exact, effect: ALLOW, when: {actions: [read], resources: [data/x], tiers: [LOW, MID]}}
  - {id: open, effect: ALLOW, when: {actions: [read], resources: ["data/*", "other/*"], environments: [test]}}
  - {id: general, effect: DENY, reason: because, when: {actions: [drop], resources: ["*/secret?"]}}
  - {id: audited, effect: ALLOW, when: {actions: [write], attestations: [audited, sandboxed]}}
  - {id: daytime, effect: DENY, when: {actions: [write], time: {zone: UTC, from: "09:00", to: "17:00"}}}
  - {id: nightly, effect: ALLOW, when: {actions: [night], time: {zone: UTC, days: [SUN], from: "22:00", to: "06:00"}}}
  - {id: home, effect: ALLOW, when: {actions: [call], organizations: [acme], roles: [WRITER]}}
  - {id: never, effect: DENY, when: {actions: [stop]}}
  - {id: asked, effect: ESCALATE, escalationPath: team-7, when: {actions: [pay]}}
defaultEffect: ESCALATE
"#,
    );
    Arc::new(policy.unwrap())
}

/// Verdict, words, trace and its JSON of every kind of evaluation, as people and records see them. `UPDATE_GOLDEN=1` writes
/// the file anew.
#[test]
fn explanations_are_those_of_the_golden_file() {
    let attested = ["audited".to_owned(), "sandboxed".to_owned()];
    let (policy, active) = (explained_policy(), AgentStatus::Active);
    let with_agents = |agents: &str| {
        let document = PolicyDocument { default_effect: Decision::Allow, ..policy.document().clone() };
        let mut document = serde_json::to_value(document).unwrap();
        document["agents"] = serde_json::from_str(agents).unwrap();
        Arc::new(Policy::parse(&document.to_string()).unwrap())
    };
    let strict = with_agents(r#"{"unregistered": "DENY", "excessClaim": "DENY"}"#);
    let closed = Arc::new(
        Policy::compile(PolicyDocument { default_effect: Decision::Deny, ..policy.document().clone() })
            .unwrap(),
    );
    let low = || standing("LOW", active, &[]);
    let mid = || standing("MID", active, &[]);
    let stranger = || Subject { standing: None, authority: None };
    let ask = |role: &str, action: &str| GateRequest::new("agent", role).action(action);
    let acme = trust_engine::OrganizationId::parse("acme").unwrap();
    let cases: Vec<(&str, &Arc<Policy>, Subject<'_>, GateRequest)> = vec![
        ("unknown role", &policy, mid(), ask("NOBODY", "read")),
        ("unknown role of an unknown tier", &policy, standing("GONE", active, &[]), ask("NOBODY", "read")),
        ("disabled role", &policy, mid(), ask("CLOSED", "read")),
        ("disabled role of an unknown tier", &policy, standing("GONE", active, &[]), ask("CLOSED", "read")),
        ("unknown held tier", &policy, standing("GONE", active, &[]), ask("READER", "read")),
        (
            "unknown held tier and a claim",
            &policy,
            standing("GONE", active, &[]),
            ask("READER", "read").tier("MID"),
        ),
        ("unknown claim", &policy, mid(), ask("READER", "read").tier("GOD")),
        ("unknown assertion", &policy, mid().asserted_by(Some("gateway")), ask("READER", "read").tier("GOD")),
        (
            "unknown assertion for an unknown tier",
            &policy,
            standing("GONE", active, &[]).asserted_by(Some("g")),
            ask("READER", "read").tier("GOD"),
        ),
        ("below the minimum", &policy, low(), ask("WRITER", "read")),
        ("below the minimum by a claim", &policy, mid(), ask("WRITER", "read").tier("LOW")),
        ("below the minimum, whatever was claimed", &policy, low(), ask("WRITER", "read").tier("TOP")),
        (
            "below the minimum by an assertion",
            &policy,
            mid().asserted_by(Some("gateway")),
            ask("WRITER", "read").tier("LOW"),
        ),
        ("unregistered, below the minimum", &policy, stranger(), ask("WRITER", "read")),
        ("an exact resource", &policy, mid(), ask("READER", "read").resource("data/x")),
        (
            "a prefix of a resource",
            &policy,
            mid(),
            ask("READER", "read").resource("other/y").environment("test"),
        ),
        ("a prefix elsewhere", &policy, mid(), ask("READER", "read").resource("other/y").environment("live")),
        ("no resource", &policy, mid(), ask("READER", "read")),
        ("a general glob", &policy, mid(), ask("READER", "drop").resource("a/secret1")),
        ("a general glob that fails", &policy, mid(), ask("READER", "drop").resource("a/secret")),
        ("attestations", &policy, standing("MID", active, &attested), ask("READER", "write")),
        (
            "attestations that lack one",
            &policy,
            standing("MID", active, &attested[..1]),
            ask("READER", "write"),
        ),
        ("outside the hours", &policy, mid(), ask("READER", "night")),
        ("an organization", &policy, mid(), ask("WRITER", "call").organization(acme)),
        ("another organization", &policy, mid(), ask("WRITER", "call")),
        ("a denial without a reason", &policy, mid(), ask("READER", "stop")),
        ("an escalation", &policy, mid(), ask("READER", "pay")),
        ("an escalation by default", &policy, mid(), ask("READER", "other")),
        ("a denial by default", &closed, mid(), ask("READER", "other")),
        ("a tier that suffices", &strict, mid(), ask("READER", "other")),
        ("suspended", &policy, standing("MID", AgentStatus::Suspended, &[]), ask("READER", "pay")),
        (
            "suspended and denied",
            &policy,
            standing("MID", AgentStatus::Suspended, &[]),
            ask("READER", "stop"),
        ),
        ("revoked", &policy, standing("MID", AgentStatus::Revoked, &[]), ask("READER", "pay")),
        ("unregistered", &strict, stranger(), ask("READER", "other")),
        (
            "unregistered, asserted",
            &strict,
            stranger().asserted_by(Some("gateway")),
            ask("READER", "other").tier("TOP"),
        ),
        ("too high a claim", &strict, mid(), ask("READER", "other").tier("TOP")),
        ("a claim that is held", &strict, mid(), ask("READER", "other").tier("MID")),
        (
            "a lower claim escapes no rule",
            &policy,
            standing("TOP", active, &[]),
            ask("READER", "read").resource("data/x").tier("MID"),
        ),
    ];
    let mut rendered = String::new();
    for (name, policy, subject, request) in &cases {
        let evaluation = evaluate(policy, subject, request, now());
        let bare = decide(policy, subject, request, now());
        assert_eq!((evaluation.decision(), evaluation.trace().conclusion()), (bare, bare), "{name}");
        assert_eq!((evaluation.evaluated_at(), evaluation.policy_hash()), (now(), policy.hash()), "{name}");
        let words = [
            format!("code {}", evaluation.reason_code()),
            format!(
                "tier {:?} {} excess {}",
                evaluation.tier(),
                evaluation.tier_source().as_str(),
                evaluation.excess_claim()
            ),
            format!("required {:?}", evaluation.required_tier()),
            format!("rule {:?} path {:?}", evaluation.rule(), evaluation.escalation_path()),
            format!("json {}", serde_json::to_string(&evaluation.trace()).unwrap()),
        ];
        rendered += &format!("== {name}\n{evaluation}\n{}\n{}\n\n", words.join("\n"), evaluation.trace());
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/explanations.txt");
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(file, &rendered).unwrap();
    }
    let golden = std::fs::read_to_string(file).unwrap_or_default();
    for (ours, theirs) in rendered.split("== ").zip(golden.split("== ")) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(rendered.len(), golden.len());
}

const TIERS: [&str; 3] = ["LOW", "MID", "TOP"];
const ROLES: [&str; 3] = ["READ", "WRITE", "ADMIN"];
const ACTIONS: [&str; 3] = ["read", "write", "drop"];
const RESOURCES: [&str; 7] = ["a", "a/b", "a/bc", "ab", "b/c", "data/x/y", ""];
const GLOBS: [&str; 8] = ["a", "a*", "a/*", "*", "a?b", "*/c", "data/*/y", "b/c"];
const ATTESTATIONS: [&str; 2] = ["audited", "sandboxed"];

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![Just(Decision::Allow), Just(Decision::Deny), Just(Decision::Escalate)]
}

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    let picked = proptest::sample::subsequence(values, 1..=values.len());
    proptest::option::of(picked.prop_map(|list| list.into_iter().map(str::to_owned).collect()))
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let time = proptest::option::weighted(
        0.2,
        prop_oneof![Just(("00:00", "24:00")), Just(("13:00", "14:00")), Just(("22:00", "12:30"))],
    );
    (
        some_of(&ROLES),
        some_of(&TIERS),
        some_of(&ACTIONS),
        some_of(&GLOBS),
        some_of(&["prod", "dev"]),
        some_of(&ATTESTATIONS),
        some_of(&["default", "acme"]),
        time,
    )
        .prop_map(
            |(roles, tiers, actions, resources, environments, attestations, organizations, time)| {
                let time = time.map(|(from, to)| trust_engine::TimeWindow {
                    zone: "UTC".into(),
                    days: None,
                    from: from.into(),
                    to: to.into(),
                });
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
        )
}

fn document() -> impl Strategy<Value = PolicyDocument> {
    let rules = proptest::collection::vec((conditions(), decision()), 0..90);
    (rules, decision(), proptest::collection::vec((0usize..3, any::<bool>()), 3)).prop_map(|(rules, default, roles)| {
        let rules: Vec<serde_json::Value> = rules
            .into_iter()
            .enumerate()
            .map(|(at, (when, effect))| serde_json::json!({"id": format!("r{at}"), "effect": effect, "when": when}))
            .collect();
        let roles: Vec<_> = ROLES
            .iter()
            .zip(roles)
            .map(|(name, (tier, enabled))| serde_json::json!({"name": name, "minimumTier": TIERS[tier], "enabled": enabled}))
            .collect();
        let tiers: Vec<_> = TIERS.iter().map(|name| serde_json::json!({"name": name})).collect();
        serde_json::from_value(serde_json::json!({
            "policyFormat": 1, "name": "random", "tiers": tiers, "roles": roles, "rules": rules,
            "defaultEffect": default,
        }))
        .unwrap()
    })
}

#[derive(Clone, Debug)]
struct Case {
    role: usize,
    tier: usize,
    claim: Option<usize>,
    status: AgentStatus,
    action: Option<usize>,
    resource: Option<usize>,
    environment: Option<&'static str>,
    attestations: Vec<String>,
}

fn case() -> impl Strategy<Value = Case> {
    let status = prop_oneof![
        6 => Just(AgentStatus::Active), 1 => Just(AgentStatus::Suspended), 1 => Just(AgentStatus::Revoked)
    ];
    let attestations = proptest::sample::subsequence(&ATTESTATIONS[..], 0..=2);
    (
        0usize..3,
        0usize..3,
        proptest::option::of(0usize..3),
        status,
        proptest::option::of(0usize..3),
        proptest::option::of(0usize..7),
        proptest::option::of(prop_oneof![Just("prod"), Just("dev"), Just("other")]),
        attestations,
    )
        .prop_map(|(role, tier, claim, status, action, resource, environment, attestations)| Case {
            role,
            tier,
            claim,
            status,
            action,
            resource,
            environment,
            attestations: attestations.into_iter().map(str::to_owned).collect(),
        })
}

impl Case {
    fn request(&self) -> GateRequest {
        let mut request = GateRequest::new("agent", ROLES[self.role]);
        if let Some(claim) = self.claim {
            request = request.tier(TIERS[claim]);
        }
        if let Some(action) = self.action {
            request = request.action(ACTIONS[action]);
        }
        if let Some(resource) = self.resource {
            request = request.resource(RESOURCES[resource]);
        }
        if let Some(environment) = self.environment {
            request = request.environment(environment);
        }
        request
    }

    fn subject(&self) -> Subject<'_> {
        standing(TIERS[self.tier], self.status, &self.attestations)
    }

    fn effective(&self) -> usize {
        self.claim.map_or(self.tier, |claim| claim.min(self.tier))
    }
}

/// Globs by definition, with the one meaning that the tests' alphabet needs.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text) || text.split_first().is_some_and(|(_, t)| glob(pattern, t))
        }
        (Some((b'?', rest)), Some((_, t))) => glob(rest, t),
        (Some((c, rest)), Some((d, t))) => c == d && glob(rest, t),
        _ => false,
    }
}

/// The gate by its description: at the held tier, and at the claimed one if that is lower; the stricter counts.
fn naive(document: &PolicyDocument, case: &Case) -> Decision {
    let strictness = |decision: &Decision| {
        [Decision::Allow, Decision::Escalate, Decision::Deny].iter().position(|d| d == decision)
    };
    [case.effective(), case.tier]
        .map(|tier| naive_at(document, case, tier))
        .into_iter()
        .max_by_key(strictness)
        .unwrap()
}

/// Try every rule in order.
fn naive_at(document: &PolicyDocument, case: &Case, tier: usize) -> Decision {
    let role = &document.roles[case.role];
    let minimum = TIERS.iter().position(|name| *name == role.minimum_tier).unwrap();
    if !role.enabled || tier < minimum {
        return Decision::Deny;
    }
    let any = |list: &Option<Vec<String>>, value: Option<&str>| {
        list.as_ref().is_none_or(|list| value.is_some_and(|value| list.iter().any(|item| item == value)))
    };
    let matches = |rule: &&Rule| {
        let when = &rule.when;
        let resource = case.resource.map(|at| RESOURCES[at]);
        any(&when.roles, Some(ROLES[case.role]))
            && any(&when.tiers, Some(TIERS[tier]))
            && any(&when.actions, case.action.map(|at| ACTIONS[at]))
            && any(&when.environments, case.environment)
            && any(&when.organizations, Some("default"))
            && when.resources.as_ref().is_none_or(|globs| {
                resource.is_some_and(|text| globs.iter().any(|g| glob(g.as_bytes(), text.as_bytes())))
            })
            && when.attestations.iter().flatten().all(|wanted| case.attestations.contains(wanted))
            // Noon: inside 00:00-24:00 and 22:00-12:30, outside 13:00-14:00.
            && when.time.as_ref().is_none_or(|window| window.from != "13:00")
    };
    let by_rules = document.rules.iter().find(matches).map_or(document.default_effect, |rule| rule.effect);
    if case.status == AgentStatus::Active { by_rules } else { Decision::Deny }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_index_decides_as_trying_every_rule_does(
        document in document(), cases in proptest::collection::vec(case(), 12)
    ) {
        let policy = Arc::new(Policy::compile(document.clone()).unwrap());
        for case in cases {
            let expected = naive(&document, &case);
            let evaluation = evaluate(&policy, &case.subject(), &case.request(), now());
            prop_assert_eq!(evaluation.decision(), expected, "{:?}", case);
            prop_assert_eq!(decide(&policy, &case.subject(), &case.request(), now()), expected);
            // The trace explains the verdict, and serialises.
            prop_assert_eq!(evaluation.trace().conclusion(), expected, "{}", evaluation.trace());
            prop_assert!(serde_json::to_string(&evaluation.trace()).is_ok());
            prop_assert!(expected != Decision::Allow || evaluation.trace().remedies().is_empty());
            // Deterministic.
            let again = evaluate(&policy, &case.subject(), &case.request(), now());
            prop_assert_eq!(again.reason_code(), evaluation.reason_code());
        }
    }

    #[test]
    fn a_kernel_denial_survives_every_rule_and_claim(document in document(), case in case()) {
        let role = &document.roles[case.role];
        let minimum = TIERS.iter().position(|name| *name == role.minimum_tier).unwrap();
        let policy = Policy::compile(document.clone()).unwrap();
        if !role.enabled || case.effective() < minimum {
            prop_assert_eq!(decide(&policy, &case.subject(), &case.request(), now()), Decision::Deny);
        }
    }

    #[test]
    fn raising_the_tier_never_turns_a_kernel_allow_into_a_denial(mut document in document(), case in case()) {
        document.rules.clear();
        document.default_effect = Decision::Allow;
        let policy = Policy::compile(document).unwrap();
        let case = Case { claim: None, status: AgentStatus::Active, ..case };
        if decide(&policy, &case.subject(), &case.request(), now()) == Decision::Allow {
            for tier in case.tier..3 {
                let higher = Case { tier, ..case.clone() };
                prop_assert_eq!(decide(&policy, &higher.subject(), &higher.request(), now()), Decision::Allow);
            }
        }
    }

    #[test]
    fn a_copy_of_an_earlier_rule_changes_nothing(document in document(), cases in proptest::collection::vec(case(), 8)) {
        let before = Policy::compile(document.clone()).unwrap();
        let mut longer = document;
        if let Some(first) = longer.rules.first().cloned() {
            longer.rules.push(Rule { id: "shadowed".into(), effect: Decision::Allow, ..first });
        }
        let after = Policy::compile(longer).unwrap();
        for case in cases {
            let of = |policy| decide(policy, &case.subject(), &case.request(), now());
            prop_assert_eq!(of(&before), of(&after));
        }
    }
}
