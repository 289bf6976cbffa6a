//! Policies, agents and requests in the common subset: no time windows, organizations, claims or disabled roles.

use trust_engine::Decision;

/// A policy, the agents that are registered, and requests of theirs.
#[derive(Clone, Debug)]
pub struct Case {
    /// The policy.
    pub policy: GatePolicy,
    /// Active agents, each with an explicit tier.
    pub agents: Vec<Agent>,
    /// The requests.
    pub asks: Vec<Ask>,
}

/// A role × tier kernel, ordered rules, and the decision when none matches.
#[derive(Clone, Debug)]
pub struct GatePolicy {
    /// Tiers, lowest first; elsewhere they are named by their place here.
    pub tiers: Vec<String>,
    /// The roles.
    pub roles: Vec<GateRole>,
    /// The rules; the first that matches decides.
    pub rules: Vec<GateRule>,
    /// The decision when no rule matches.
    pub default: Decision,
}

/// A role.
#[derive(Clone, Debug)]
pub struct GateRole {
    /// Its name.
    pub name: String,
    /// The lowest tier that may take it.
    pub minimum: usize,
}

/// A rule. A list that is `None` does not restrict.
#[derive(Clone, Debug)]
pub struct GateRule {
    /// The decision of the rule.
    pub effect: Decision,
    /// Any of these roles.
    pub roles: Option<Vec<String>>,
    /// Any of these tiers.
    pub tiers: Option<Vec<usize>>,
    /// Any of these actions.
    pub actions: Option<Vec<String>>,
    /// Any of these resources.
    pub resources: Option<Vec<Glob>>,
    /// Any of these environments.
    pub environments: Option<Vec<String>>,
    /// All of these attestations.
    pub attestations: Option<Vec<String>>,
}

impl GateRule {
    /// A rule without conditions.
    pub fn always(effect: Decision) -> Self {
        Self {
            effect,
            roles: None,
            tiers: None,
            actions: None,
            resources: None,
            environments: None,
            attestations: None,
        }
    }

    /// Whether it allows; every other effect is a "no" to engines without ESCALATE.
    pub fn allows(&self) -> bool {
        self.effect == Decision::Allow
    }
}

/// A resource pattern; the texts are literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glob {
    /// Exactly this text.
    Exact(String),
    /// Any text that begins so.
    Prefix(String),
    /// Any text that begins with the first and ends, after it, with the second.
    Between(String, String),
}

/// A registered, active agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The tier that it holds.
    pub tier: usize,
    /// The names of facts that have been verified about it; sorted.
    pub attestations: Vec<String>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The agent that asks: its place among the agents.
    pub agent: usize,
    /// The role asked for; need not be one of the policy's.
    pub role: String,
    /// The action that is asked for.
    pub action: Option<String>,
    /// The resource that the action is on.
    pub resource: Option<String>,
    /// The environment of the action.
    pub environment: Option<String>,
}
