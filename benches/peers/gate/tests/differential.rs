//! The trust engine, Cedar and Rego give the same answers; and the comparison notices when one of them is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::HashMap;

use gate_peers::model::{Case, GatePolicy};
use gate_peers::{cedar, generate, ours, rego, workload};
use trust_engine::Decision;

const POLICIES: u64 = 400;
const REQUESTS: usize = 60;

/// The answers of the three engines to one request.
#[derive(Debug, PartialEq)]
struct Answers {
    ours: Decision,
    cedar: bool,
    rego: Decision,
}

impl Answers {
    fn agree(&self) -> bool {
        self.cedar == (self.ours == Decision::Allow) && self.rego == self.ours
    }
}

/// Asks all three; each can be given a policy of its own.
fn answers(case: &Case, for_cedar: &GatePolicy, for_rego: &GatePolicy) -> Vec<Answers> {
    let ours = ours::Ours::new(&case.policy).unwrap();
    let cedar = cedar::Cedar::new(for_cedar, case).unwrap();
    let mut rego = rego::Rego::new(for_rego).unwrap();
    let ours_requests = ours::requests(case).unwrap();
    let cedar_requests = cedar::requests(case).unwrap();
    let rego_requests = rego::requests(case).unwrap();
    assert_eq!(
        (ours_requests.len(), cedar_requests.len(), rego_requests.len()),
        (case.asks.len(), case.asks.len(), case.asks.len())
    );
    let all = ours_requests.iter().zip(&cedar_requests).zip(&rego_requests);
    all.map(|((for_ours, for_cedar), for_rego)| Answers {
        ours: ours.decide(for_ours),
        cedar: cedar.allows_surely(for_cedar).unwrap(),
        rego: rego.decide(for_rego).unwrap(),
    })
    .collect()
}

fn assert_agreement(name: &str, case: &Case) -> Vec<Answers> {
    let answers = answers(case, &case.policy, &case.policy);
    for (ask, answers) in case.asks.iter().zip(&answers) {
        assert!(
            answers.agree(),
            "{name}: {answers:?}\nrequest: {ask:?}\nagent: {:?}\nours:\n{:#}\ncedar:\n{}\nrego:\n{}",
            case.agents[ask.agent],
            ours::document(&case.policy),
            cedar::text(&case.policy),
            rego::text(&case.policy)
        );
    }
    answers
}

#[test]
fn all_engines_agree_on_random_policies() {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for seed in 0..POLICIES {
        let case = generate::case(seed, REQUESTS);
        assert_agreement(&format!("seed {seed}"), &case);
        let ours = ours::Ours::new(&case.policy).unwrap();
        for request in ours::requests(&case).unwrap() {
            let evaluation = ours.evaluate(&request);
            assert_eq!(evaluation.decision(), ours.decide(&request), "seed {seed}");
            *seen.entry(evaluation.reason_code().to_string()).or_default() += 1;
            let late = evaluation.rule().is_some_and(|id| id[1..].parse::<usize>().unwrap() >= 64);
            *seen.entry("rule 64 or later".into()).or_default() += usize::from(late);
        }
    }
    println!("{} requests: {seen:?}", POLICIES as usize * REQUESTS);
    // Agreement on one kind of answer alone would say little.
    let codes = [
        "TIER_SUFFICIENT",
        "TIER_BELOW_MINIMUM",
        "UNKNOWN_ROLE",
        "RULE_ALLOW",
        "RULE_DENY",
        "RULE_ESCALATE",
        "DEFAULT_DENY",
        "DEFAULT_ESCALATE",
        "rule 64 or later",
    ];
    for code in codes {
        assert!(seen.get(code).is_some_and(|count| *count >= 20), "{code}: {seen:?}");
    }
}

#[test]
fn all_engines_agree_on_what_the_bench_measures() {
    for rules in [1, 10, 100, 1000] {
        let answers = assert_agreement(&format!("{rules} rules"), &workload::case(rules).unwrap());
        let allowed = answers.iter().filter(|answers| answers.cedar).count();
        assert!((20..236).contains(&allowed), "{allowed} of 256 allowed");
    }
}

/// The effect of every rule that decided something is turned, in one translation at a time.
#[test]
fn a_turned_effect_is_noticed() {
    let mut turned = 0;
    for seed in 0..POLICIES / 4 {
        let case = generate::case(seed, REQUESTS);
        let ours = ours::Ours::new(&case.policy).unwrap();
        let deciders: Vec<Option<usize>> = ours::requests(&case)
            .unwrap()
            .iter()
            .map(|request| ours.evaluate(request).rule().map(|id| id[1..].parse().unwrap()))
            .collect();
        let mut rules: Vec<usize> = deciders.iter().flatten().copied().collect();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            let mut wrong = case.policy.clone();
            let effect = &mut wrong.rules[rule].effect;
            *effect = if *effect == Decision::Allow { Decision::Deny } else { Decision::Allow };
            let with_cedar = answers(&case, &wrong, &case.policy);
            let with_rego = answers(&case, &case.policy, &wrong);
            for (at, decider) in deciders.iter().enumerate() {
                // Exactly the requests that the rule decides come out otherwise.
                assert_eq!(with_cedar[at].agree(), *decider != Some(rule), "seed {seed}, rule {rule}");
                assert_eq!(with_rego[at].agree(), *decider != Some(rule), "seed {seed}, rule {rule}");
            }
            turned += 1;
        }
    }
    println!("{turned} effects turned, each noticed in both translations");
    assert!(turned > 100, "{turned}");
}

/// The same for the kernel and the order.
#[test]
fn a_wrong_minimum_and_a_wrong_order_are_noticed() {
    let (mut minimum, mut order) = (0, 0);
    for seed in 0..POLICIES / 4 {
        let case = generate::case(seed, REQUESTS);
        let disagreements = |wrong: &GatePolicy| {
            let cedar = answers(&case, wrong, &case.policy);
            let rego = answers(&case, &case.policy, wrong);
            let count = |answers: &[Answers]| answers.iter().filter(|answers| !answers.agree()).count();
            count(&cedar).min(count(&rego))
        };
        let mut wrong = case.policy.clone();
        for role in &mut wrong.roles {
            role.minimum += 1;
        }
        minimum += usize::from(disagreements(&wrong) > 0);
        let mut wrong = case.policy.clone();
        wrong.rules.reverse();
        order += usize::from(disagreements(&wrong) > 0);
    }
    println!("of {}: minimum noticed in {minimum}, order in {order}", POLICIES / 4);
    assert!(minimum > 50 && order > 20, "{minimum} {order}");
}
