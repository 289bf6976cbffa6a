//! The steps of a gate's decision, and the changes that would have led to ALLOW.
//!
//! A trace is a view: it reads the outcome of every condition from the sets that the decision looked up. For each
//! rule that was reached it says which conditions held; a condition is "not tested" when another one of the same
//! rule had already failed.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::evaluation::Evaluation;
use super::reason::ReasonCode;
use crate::policy::{Decision, Hits, Rule, TimeWindow};

/// The steps of one evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    of: &'a Evaluation,
}

/// The first layer: does the tier meet the role's minimum?
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelStep<'a> {
    /// The role, if the policy has it.
    pub role: Option<&'a str>,
    /// The tier that counted, if the policy has it.
    pub tier: Option<&'a str>,
    /// The source of that tier: HELD, CLAIMED or ASSERTED.
    pub tier_source: &'static str,
    /// The role's minimum tier.
    pub required: Option<&'a str>,
    /// Whether the kernel lets the request on to the rules.
    pub passed: bool,
}

/// One rule that was reached.
#[derive(Clone, Copy, Debug)]
pub struct RuleStep<'a> {
    of: &'a Evaluation,
    at: usize,
    rule: &'a Rule,
}

/// One condition of a rule.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConditionStep<'a> {
    /// The name of the condition: `roles`, `tiers`, `actions`, `resources`, `environments`, `attestations`, `time`,
    /// `organizations`.
    pub condition: &'static str,
    /// Whether it held; `None`: not tested, because another condition of the rule had failed.
    pub held: Option<bool>,
    /// The values or the window that the rule asks for.
    pub wanted: Wanted<'a>,
}

/// The values or the window that a condition asks for.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Wanted<'a> {
    /// The condition asks for any of these values (for attestations, for all of them).
    Values(&'a [String]),
    /// The condition asks for this time window.
    Window(&'a TimeWindow),
}

/// The last layer: may the agent act at all?
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeStep {
    /// Whether no refusal stood against the verdict of the rules.
    pub passed: bool,
    /// The refusal that stood against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<ReasonCode>,
}

impl Evaluation {
    /// Every step of the decision.
    pub fn trace(&self) -> Trace<'_> {
        Trace { of: self }
    }
}

impl<'a> Trace<'a> {
    /// The kernel's step.
    pub fn kernel(&self) -> KernelStep<'a> {
        KernelStep {
            role: self.of.role(),
            tier: self.of.tier(),
            tier_source: self.of.tier_source().as_str(),
            required: self.of.minimum_tier(),
            passed: self.of.outcome.kernel.is_ok(),
        }
    }

    /// The rules that were reached, in order: up to the one that matched, all if none did, none after a kernel denial.
    pub fn rules(&self) -> impl Iterator<Item = RuleStep<'a>> {
        let of = self.of;
        let reached = match (&of.hits, of.outcome.rule) {
            (None, _) => 0,
            (Some(_), Some(rule)) => rule + 1,
            (Some(_), None) => of.policy.document().rules.len(),
        };
        let rules = of.policy.document().rules.iter().enumerate().take(reached);
        rules.map(move |(at, rule)| RuleStep { of, at, rule })
    }

    /// The runtime's step.
    pub fn runtime(&self) -> RuntimeStep {
        RuntimeStep { passed: self.of.outcome.runtime.is_ok(), refusal: self.of.outcome.runtime.err() }
    }

    /// The decision when no rule matches.
    pub fn default_effect(&self) -> Decision {
        self.of.policy.document().default_effect
    }

    /// The decision that follows from the steps alone; always the one that was made.
    pub fn conclusion(&self) -> Decision {
        if !self.kernel().passed {
            return Decision::Deny;
        }
        let by_rules =
            self.rules().find(RuleStep::matched).map_or(self.default_effect(), |step| step.effect());
        if self.runtime().passed { by_rules } else { Decision::Deny }
    }

    /// The changes that would have led to ALLOW: sentences for people, at most five.
    pub fn remedies(&self) -> Vec<String> {
        let of = self.of;
        if of.allowed() {
            return Vec::new();
        }
        let mut remedies = Vec::new();
        match of.outcome.code {
            ReasonCode::TierBelowMinimum => {
                remedies.push(format!("hold tier {} or higher", of.minimum_tier().unwrap_or_default()));
            }
            ReasonCode::UnknownRole => remedies.push("ask for a role of the policy".into()),
            ReasonCode::RoleDisabled => remedies.push("enable the role in the policy".into()),
            ReasonCode::UnknownTier => remedies.push("use a tier of the policy".into()),
            ReasonCode::AgentSuspended => remedies.push("make the agent active again".into()),
            ReasonCode::AgentUnregistered => remedies.push("register the agent".into()),
            ReasonCode::ExcessClaim => remedies.push("claim no tier above the held one".into()),
            ReasonCode::RuleEscalate | ReasonCode::DefaultEscalate => remedies.push("get it approved".into()),
            _ => {}
        }
        if of.outcome.kernel.is_err() || of.outcome.runtime.is_err() {
            return remedies;
        }
        if let (Some(step), ReasonCode::RuleDeny) = (self.rules().find(RuleStep::matched), of.outcome.code) {
            let held: Vec<_> = step.conditions().map(|c| c.condition).collect();
            let by =
                if held.is_empty() { "always".to_owned() } else { format!("by its {}", held.join(", ")) };
            remedies.push(format!("do not match rule {} (it matches {by})", step.id()));
        }
        for step in self.rules().filter(|step| step.effect() == Decision::Allow && !step.matched()) {
            let missing: Vec<String> =
                step.conditions().filter(|c| c.held != Some(true)).map(|c| c.to_string()).collect();
            remedies.push(format!("match rule {}: {}", step.id(), missing.join(" and ")));
        }
        remedies.truncate(5);
        remedies
    }
}

impl<'a> RuleStep<'a> {
    /// The rule's id.
    pub fn id(&self) -> &'a str {
        &self.rule.id
    }

    /// The decision of the rule when it matches.
    pub fn effect(&self) -> Decision {
        self.rule.effect
    }

    /// Says whether all conditions of the rule held.
    pub fn matched(&self) -> bool {
        self.conditions().all(|condition| condition.held == Some(true))
    }

    /// The conditions that the rule states.
    pub fn conditions(&self) -> impl Iterator<Item = ConditionStep<'a>> + use<'a> {
        let (of, at, when) = (self.of, self.at, &self.rule.when);
        let index = of.policy.rules();
        let tested = of.tested.iter().find(|test| test.rule == at);
        let hits = of.hits;
        let indexed = move |pick: fn(&Hits) -> _| hits.map(|hits| index.contains(pick(&hits), at));
        let values = |condition, held, wanted: &'a Option<Vec<String>>| {
            wanted.as_ref().map(|wanted| ConditionStep { condition, held, wanted: Wanted::Values(wanted) })
        };
        let in_index = indexed(|hits| hits.resource) == Some(true);
        let general = index.residual(at).is_some_and(|residual| !residual.globs.is_empty());
        let resource =
            if in_index || !general { Some(in_index) } else { tested.and_then(|test| test.resource) };
        let time = when.time.as_ref().map(|window| ConditionStep {
            condition: "time",
            held: tested.and_then(|test| test.time),
            wanted: Wanted::Window(window),
        });
        [
            values("roles", indexed(|hits| hits.role), &when.roles),
            values("tiers", indexed(|hits| hits.tier), &when.tiers),
            values("actions", indexed(|hits| hits.action), &when.actions),
            values("resources", resource, &when.resources),
            values("environments", indexed(|hits| hits.environment), &when.environments),
            values("organizations", indexed(|hits| hits.organization), &when.organizations),
            values("attestations", tested.and_then(|test| test.attestations), &when.attestations),
            time,
        ]
        .into_iter()
        .flatten()
    }
}

impl fmt::Display for ConditionStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wanted {
            Wanted::Values([one]) => write!(f, "{} {one}", self.condition),
            Wanted::Values(values) if self.condition == "attestations" => {
                write!(f, "attestations {}", values.join(" and "))
            }
            Wanted::Values(values) => write!(f, "{} {}", self.condition, values.join(" or ")),
            Wanted::Window(window) => write!(f, "time {} to {} {}", window.from, window.to, window.zone),
        }
    }
}

impl fmt::Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |held: Option<bool>| match held {
            Some(true) => "yes",
            Some(false) => "no ",
            None => "-  ",
        };
        let kernel = self.kernel();
        writeln!(
            f,
            "kernel   {} role {}, tier {} ({}), minimum {}",
            mark(Some(kernel.passed)),
            kernel.role.unwrap_or("unknown"),
            kernel.tier.unwrap_or("unknown"),
            kernel.tier_source,
            kernel.required.unwrap_or("none")
        )?;
        for step in self.rules() {
            writeln!(f, "rule     {} {} {}", mark(Some(step.matched())), step.effect(), step.id())?;
            for condition in step.conditions() {
                writeln!(f, "           {} {condition}", mark(condition.held))?;
            }
        }
        if kernel.passed && !self.rules().any(|step| step.matched()) {
            writeln!(f, "default  yes {}", self.default_effect())?;
        }
        let runtime = self.runtime();
        write!(f, "runtime  {}", mark(Some(runtime.passed)))?;
        if let Some(refusal) = runtime.refusal {
            write!(f, " {refusal}")?;
        }
        for remedy in self.remedies() {
            write!(f, "\nto allow: {remedy}")?;
        }
        Ok(())
    }
}

/// The most rules that a serialised trace spells out.
const MAX_RULES_SPELLED_OUT: usize = 32;

impl Serialize for Trace<'_> {
    /// Writes kernel, rules and runtime. Of the rules that were reached, those that came nearest are spelled out: the
    /// one that matched and the candidates whose indexed conditions all held. The other rules are only counted; they
    /// follow from the recorded inputs and the policy.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut candidates: Vec<usize> = self.of.tested.iter().map(|test| test.rule).collect();
        candidates.extend(self.of.outcome.rule);
        candidates.dedup();
        let skip = candidates.len().saturating_sub(MAX_RULES_SPELLED_OUT);
        let rules = self.of.policy.document().rules.as_slice();
        let spelled: Vec<RuleStep<'_>> = candidates
            .into_iter()
            .skip(skip)
            .filter_map(|at| rules.get(at).map(|rule| RuleStep { of: self.of, at, rule }))
            .collect();
        let mut out = serializer.serialize_struct("Trace", 4)?;
        out.serialize_field("kernel", &self.kernel())?;
        out.serialize_field("rulesReached", &self.rules().count())?;
        out.serialize_field("rules", &spelled)?;
        out.serialize_field("runtime", &self.runtime())?;
        out.end()
    }
}

impl Serialize for RuleStep<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("RuleStep", 4)?;
        out.serialize_field("rule", self.id())?;
        out.serialize_field("effect", &self.effect())?;
        out.serialize_field("matched", &self.matched())?;
        out.serialize_field("conditions", &self.conditions().collect::<Vec<_>>())?;
        out.end()
    }
}
