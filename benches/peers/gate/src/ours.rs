//! The trust engine itself: the policy goes through its text form, as a host's would.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use trust_engine::gate::{Standing, Subject, decide, evaluate};
use trust_engine::{AgentStatus, Decision, Evaluation, GateRequest, Policy, Timestamp};

use crate::Result;
use crate::model::{Agent, Ask, Case, GatePolicy, GateRule, Glob};

/// The trust engine with one policy.
#[derive(Debug)]
pub struct Ours {
    policy: Arc<Policy>,
    now: Timestamp,
}

/// A request as the trust engine takes it.
#[derive(Debug)]
pub struct Request<'a> {
    subject: Subject<'a>,
    request: GateRequest,
}

impl Ours {
    /// Translates and compiles the policy.
    pub fn new(policy: &GatePolicy) -> Result<Self> {
        let policy = Arc::new(Policy::parse(&document(policy).to_string())?);
        Ok(Self { policy, now: Timestamp::from_micros(1_700_000_000_000_000) })
    }

    /// Decides only.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        decide(&self.policy, &request.subject, &request.request, self.now)
    }

    /// Decides, and keeps what explains it.
    pub fn evaluate(&self, request: &Request<'_>) -> Evaluation {
        evaluate(&self.policy, &request.subject, &request.request, self.now)
    }
}

/// The requests of a case, in its order.
pub fn requests(case: &Case) -> Result<Vec<Request<'_>>> {
    case.asks.iter().map(|ask| request(case, ask)).collect()
}

fn request<'a>(case: &'a Case, ask: &Ask) -> Result<Request<'a>> {
    let Agent { tier, attestations } = case.agents.get(ask.agent).ok_or("no such agent")?;
    let tier = case.policy.tiers.get(*tier).ok_or("no such tier")?;
    let standing = Standing { tier, status: AgentStatus::Active, attestations };
    let mut request = GateRequest::new(format!("agent_{}", ask.agent), &ask.role);
    if let Some(action) = &ask.action {
        request = request.action(action);
    }
    if let Some(resource) = &ask.resource {
        request = request.resource(resource);
    }
    if let Some(environment) = &ask.environment {
        request = request.environment(environment);
    }
    Ok(Request { subject: Subject { standing: Some(standing), authority: None }, request })
}

/// The policy as a document of the policy language.
pub fn document(policy: &GatePolicy) -> Value {
    let tier = |rank: &usize| policy.tiers.get(*rank);
    let roles =
        policy.roles.iter().map(|role| json!({"name": role.name, "minimumTier": tier(&role.minimum)}));
    let rules = policy.rules.iter().enumerate().map(
        |(n, rule)| json!({"id": format!("r{n}"), "effect": rule.effect, "when": conditions(policy, rule)}),
    );
    json!({
        "policyFormat": 1,
        "name": "peers",
        "tiers": policy.tiers.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        "roles": roles.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "defaultEffect": policy.default,
    })
}

fn conditions(policy: &GatePolicy, rule: &GateRule) -> Value {
    let mut when = Map::new();
    let mut put = |name: &str, values: Option<Value>| {
        if let Some(values) = values {
            when.insert(name.into(), values);
        }
    };
    put("roles", rule.roles.as_ref().map(|list| json!(list)));
    let tier_names = |list: &Vec<usize>| list.iter().map(|rank| json!(policy.tiers.get(*rank))).collect();
    put("tiers", rule.tiers.as_ref().map(tier_names));
    put("actions", rule.actions.as_ref().map(|list| json!(list)));
    put("resources", rule.resources.as_ref().map(|list| list.iter().map(|g| json!(pattern(g))).collect()));
    put("environments", rule.environments.as_ref().map(|list| json!(list)));
    put("attestations", rule.attestations.as_ref().map(|list| json!(list)));
    Value::Object(when)
}

fn pattern(glob: &Glob) -> String {
    match glob {
        Glob::Exact(text) => escape(text),
        // Both spellings mean the same; use both.
        Glob::Prefix(text) if text.ends_with('/') => format!("{}**", escape(text)),
        Glob::Prefix(text) => format!("{}*", escape(text)),
        Glob::Between(start, end) => format!("{}*{}", escape(start), escape(end)),
    }
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if matches!(c, '*' | '?' | '\\') {
            out.push('\\');
        }
        out.push(c);
        out
    })
}
