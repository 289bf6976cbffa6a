//! Cedar: no order, a forbid wins over every permit.
//!
//! The kernel is one forbid on the role's attributes. With default ALLOW there is one permit for all, and each rule
//! that does not allow is a forbid `unless` an allowing rule before it matches; otherwise each allowing rule is a
//! permit `unless` one before it matches that does not allow. Only rules that can meet are excepted.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use crate::Result;
use crate::model::{Ask, Case, GatePolicy, GateRule, Glob};
use crate::overlap::can_meet;

/// Cedar with one policy set, and the roles and agents as entities.
#[derive(Debug)]
pub struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
}

impl Cedar {
    /// Translates and parses the policy; the agents and roles of `case` become entities.
    pub fn new(policy: &GatePolicy, case: &Case) -> Result<Self> {
        let mut entities = Vec::new();
        for role in &policy.roles {
            let minimum = HashMap::from([("minimum".to_owned(), long(role.minimum)?)]);
            entities.push(Entity::new(uid("Role", &role.name)?, minimum, HashSet::new())?);
        }
        for (at, agent) in case.agents.iter().enumerate() {
            let held = agent.attestations.iter().cloned().map(RestrictedExpression::new_string);
            let attributes = HashMap::from([
                ("tier".to_owned(), long(agent.tier)?),
                ("attestations".to_owned(), RestrictedExpression::new_set(held)),
            ]);
            entities.push(Entity::new(uid("Agent", &at.to_string())?, attributes, HashSet::new())?);
        }
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: text(policy).parse()?,
            entities: Entities::from_entities(entities, None)?,
        })
    }

    /// Decides.
    pub fn allows(&self, request: &Request) -> bool {
        self.authorizer.is_authorized(request, &self.policies, &self.entities).decision() == Decision::Allow
    }

    /// Decides; a policy that could not be evaluated, which Cedar skips, is an error.
    pub fn allows_surely(&self, request: &Request) -> Result<bool> {
        let response = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        match response.diagnostics().errors().next() {
            Some(error) => Err(error.to_string().into()),
            None => Ok(response.decision() == Decision::Allow),
        }
    }
}

/// The requests of a case, in its order: an agent does something, taking a role, somewhere.
pub fn requests(case: &Case) -> Result<Vec<Request>> {
    case.asks.iter().map(request).collect()
}

fn request(ask: &Ask) -> Result<Request> {
    let mut context = Vec::new();
    for (name, value) in [("resource", &ask.resource), ("environment", &ask.environment)] {
        if let Some(value) = value {
            context.push((name.to_owned(), RestrictedExpression::new_string(value.clone())));
        }
    }
    // Every Cedar request has an action; one without a name stands for none.
    let action = uid("Action", ask.action.as_deref().unwrap_or_default())?;
    let (agent, role) = (uid("Agent", &ask.agent.to_string())?, uid("Role", &ask.role)?);
    Ok(Request::new(agent, action, role, Context::from_pairs(context)?, None)?)
}

fn uid(kind: &str, name: &str) -> Result<EntityUid> {
    Ok(EntityUid::from_type_name_and_id(kind.parse::<EntityTypeName>()?, EntityId::new(name)))
}

fn long(rank: usize) -> Result<RestrictedExpression> {
    Ok(RestrictedExpression::new_long(i64::try_from(rank)?))
}

/// The policy in Cedar's language.
pub fn text(policy: &GatePolicy) -> String {
    let mut out = String::from(
        "forbid(principal, action, resource) unless { resource has minimum && principal.tier >= resource.minimum };\n",
    );
    let by_default = policy.default == trust_engine::Decision::Allow;
    if by_default {
        out.push_str("permit(principal, action, resource);\n");
    }
    let word = if by_default { "forbid" } else { "permit" };
    for (at, rule) in policy.rules.iter().enumerate().filter(|(_, rule)| rule.allows() != by_default) {
        let (action, resource) = (only(&rule.actions), only(&rule.roles));
        let scope = |name: &str, kind: &str, one: Option<&String>| match one {
            Some(one) => format!("{name} == {}", entity(kind, one)),
            None => name.to_owned(),
        };
        let (action, resource) = (scope("action", "Action", action), scope("resource", "Role", resource));
        let _ = write!(out, "{word}(principal, {action}, {resource})");
        let rest = conditions(rule, true);
        if !rest.is_empty() {
            let _ = write!(out, " when {{ {} }}", rest.join(" && "));
        }
        let earlier = policy.rules.iter().take(at);
        let exceptions: Vec<_> = earlier
            .filter(|earlier| earlier.allows() == by_default && can_meet(earlier, rule))
            .map(|earlier| match conditions(earlier, false) {
                none if none.is_empty() => "true".to_owned(),
                some => format!("({})", some.join(" && ")),
            })
            .collect();
        if !exceptions.is_empty() {
            let _ = write!(out, " unless {{ {} }}", exceptions.join(" || "));
        }
        out.push_str(";\n");
    }
    out
}

/// A rule's conditions, cheapest first; `scoped`: without those that the policy's scope already says.
fn conditions(rule: &GateRule, scoped: bool) -> Vec<String> {
    let entities = |name: &str, kind: &str, list: &Option<Vec<String>>| match list {
        Some(list) if !(scoped && list.len() == 1) => {
            Some(any_of(name, list.iter().map(|one| entity(kind, one)).collect()))
        }
        _ => None,
    };
    let tiers = |list: &Vec<usize>| any_of("principal.tier", list.iter().map(usize::to_string).collect());
    let environments = |list: &Vec<String>| {
        let any = any_of("context.environment", list.iter().map(|one| quoted(one)).collect());
        format!("context has environment && {any}")
    };
    let resources = |list: &Vec<Glob>| {
        let any: Vec<_> = list.iter().map(matches).collect();
        format!("context has resource && ({})", any.join(" || "))
    };
    let attestations = |list: &Vec<String>| {
        let all: Vec<_> = list.iter().map(|one| quoted(one)).collect();
        format!("principal.attestations.containsAll([{}])", all.join(", "))
    };
    [
        entities("action", "Action", &rule.actions),
        entities("resource", "Role", &rule.roles),
        rule.tiers.as_ref().map(tiers),
        rule.environments.as_ref().map(environments),
        rule.resources.as_ref().map(resources),
        rule.attestations.as_ref().map(attestations),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn only(list: &Option<Vec<String>>) -> Option<&String> {
    match list.as_deref() {
        Some([one]) => Some(one),
        _ => None,
    }
}

fn any_of(name: &str, values: Vec<String>) -> String {
    match values.as_slice() {
        [one] => format!("{name} == {one}"),
        _ => format!("[{}].contains({name})", values.join(", ")),
    }
}

fn matches(glob: &Glob) -> String {
    let literal = |text: &str| text.escape_debug().to_string().replace('*', r"\*");
    match glob {
        Glob::Exact(text) => format!("context.resource == {}", quoted(text)),
        Glob::Prefix(start) => format!("context.resource like \"{}*\"", literal(start)),
        Glob::Between(start, end) => {
            format!("context.resource like \"{}*{}\"", literal(start), literal(end))
        }
    }
}

fn entity(kind: &str, name: &str) -> String {
    format!("{kind}::{}", quoted(name))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}
