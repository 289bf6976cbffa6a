//! The decoder: from the tree of a text to a document.
//!
//! The decoder is written by hand instead of with serde, because serde stops at the first mistake and forgets its
//! place. Each function names the fields of one type; all other names are unknown.

mod fields;

use self::fields::{Fields, Slot, choice, flag, integer, list, record, text};
use super::bounds;
use super::document::{
    self, AgentCeiling, AgentHandling, CeilingRecording, Ceilings, Conditions, Day, Decision, Durability,
    FamilyCeiling, FleetCeiling, GateRecording, OrganizationCeiling, PolicyDocument, Precision, RateLimit,
    Recording, RecordingMode, Role, Rule, ScoreBand, Tier, TimeWindow, WindowKind,
};
use super::mistakes::Mistakes;
use super::path::Path;
use super::source::Node;

/// Reads the whole document; every mistake goes to `mistakes`, and a placeholder stands in its place.
pub(crate) fn decode(root: &Node, mistakes: &mut Mistakes) -> PolicyDocument {
    record(Some(root), &Path::Root, mistakes, |fields| PolicyDocument {
        policy_format: fields.required("policyFormat", integer(bounds::FORMAT)),
        name: fields.required("name", text),
        description: fields.optional("description", text),
        tiers: fields.required("tiers", list(tier)),
        roles: fields.required("roles", list(role)),
        rules: fields.or("rules", Vec::new(), list(rule)),
        default_effect: fields.required("defaultEffect", choice(Decision::Deny)),
        agents: fields.or("agents", AgentHandling::default(), agents),
        resources: fields.or("resources", Vec::new(), list(text)),
        ceilings: fields.or("ceilings", Ceilings::default(), ceilings),
        recording: fields.or("recording", Recording::default(), recording),
    })
}

fn tier(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> Tier {
    record(slot, path, mistakes, |fields| Tier {
        name: fields.required("name", text),
        description: fields.optional("description", text),
        scores: fields.optional("scores", score_band),
    })
}

fn score_band(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> ScoreBand {
    record(slot, path, mistakes, |fields| ScoreBand {
        min: fields.required("min", integer(bounds::SCORE)),
        max: fields.required("max", integer(bounds::SCORE)),
    })
}

fn role(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> Role {
    record(slot, path, mistakes, |fields| Role {
        name: fields.required("name", text),
        description: fields.optional("description", text),
        minimum_tier: fields.required("minimumTier", text),
        enabled: fields.or("enabled", document::yes(), flag),
    })
}

fn rule(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> Rule {
    record(slot, path, mistakes, |fields| Rule {
        id: fields.required("id", text),
        description: fields.optional("description", text),
        effect: fields.required("effect", choice(Decision::Deny)),
        reason: fields.optional("reason", text),
        escalation_path: fields.optional("escalationPath", text),
        when: fields.or("when", Conditions::default(), conditions),
    })
}

fn conditions(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> Conditions {
    record(slot, path, mistakes, |fields| Conditions {
        roles: fields.optional("roles", list(text)),
        tiers: fields.optional("tiers", list(text)),
        actions: fields.optional("actions", list(text)),
        resources: fields.optional("resources", list(text)),
        environments: fields.optional("environments", list(text)),
        attestations: fields.optional("attestations", list(text)),
        time: fields.optional("time", time_window),
        organizations: fields.optional("organizations", list(text)),
    })
}

fn time_window(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> TimeWindow {
    record(slot, path, mistakes, |fields| TimeWindow {
        zone: fields.required("zone", text),
        days: fields.optional("days", list(choice(Day::Mon))),
        from: fields.required("from", text),
        to: fields.required("to", text),
    })
}

fn agents(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> AgentHandling {
    let default = AgentHandling::default();
    record(slot, path, mistakes, |fields| AgentHandling {
        unregistered: fields.or("unregistered", default.unregistered, choice(default.unregistered)),
        excess_claim: fields.or("excessClaim", default.excess_claim, choice(default.excess_claim)),
    })
}

fn ceilings(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> Ceilings {
    let default = Ceilings::default();
    record(slot, path, mistakes, |fields| Ceilings {
        near_limit_percent: fields.or(
            "nearLimitPercent",
            default.near_limit_percent,
            integer(bounds::NEAR_LIMIT_PERCENT),
        ),
        max_hold_millis: fields.or(
            "maxHoldMillis",
            default.max_hold_millis,
            integer(bounds::MAX_HOLD_MILLIS),
        ),
        fail_open: fields.or("failOpen", default.fail_open, flag),
        agent: fields.or("agent", default.agent, list(agent_ceiling)),
        family: fields.or("family", default.family, list(family_ceiling)),
        organization: fields.or("organization", default.organization, list(organization_ceiling)),
        fleet: fields.or("fleet", default.fleet, list(fleet_ceiling)),
        rate: fields.or("rate", default.rate, list(rate_limit)),
    })
}

fn agent_ceiling(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> AgentCeiling {
    record(slot, path, mistakes, |fields| AgentCeiling {
        tier: fields.required("tier", text),
        resource: fields.required("resource", text),
        limit: limit(fields),
        window_seconds: window_seconds(fields),
        window: window(fields),
        precision: precision(fields),
    })
}

fn family_ceiling(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> FamilyCeiling {
    record(slot, path, mistakes, |fields| FamilyCeiling {
        resource: fields.required("resource", text),
        limit: limit(fields),
        window_seconds: window_seconds(fields),
        window: window(fields),
        precision: precision(fields),
    })
}

fn organization_ceiling(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> OrganizationCeiling {
    record(slot, path, mistakes, |fields| OrganizationCeiling {
        organization: fields.optional("organization", text),
        resource: fields.required("resource", text),
        limit: limit(fields),
        window_seconds: window_seconds(fields),
        window: window(fields),
        precision: precision(fields),
    })
}

fn fleet_ceiling(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> FleetCeiling {
    record(slot, path, mistakes, |fields| FleetCeiling {
        resource: fields.required("resource", text),
        limit: limit(fields),
        window_seconds: window_seconds(fields),
        window: window(fields),
        precision: precision(fields),
    })
}

fn rate_limit(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> RateLimit {
    record(slot, path, mistakes, |fields| RateLimit {
        tier: fields.required("tier", text),
        resource: fields.required("resource", text),
        amount: fields.required("amount", integer(bounds::LIMIT)),
        per_seconds: fields.or("perSeconds", document::per_seconds(), integer(bounds::PER_SECONDS)),
        burst: fields.required("burst", integer(bounds::LIMIT)),
    })
}

fn limit(fields: &mut Fields<'_, '_, '_>) -> u64 {
    fields.required("limit", integer(bounds::LIMIT))
}

fn window_seconds(fields: &mut Fields<'_, '_, '_>) -> u32 {
    fields.or("windowSeconds", document::window_seconds(), integer(bounds::WINDOW_SECONDS))
}

fn window(fields: &mut Fields<'_, '_, '_>) -> WindowKind {
    fields.or("window", WindowKind::default(), choice(WindowKind::default()))
}

fn precision(fields: &mut Fields<'_, '_, '_>) -> Precision {
    fields.or("precision", Precision::default(), choice(Precision::default()))
}

fn recording(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> Recording {
    let default = Recording::default();
    record(slot, path, mistakes, |fields| Recording {
        gates: fields.or("gates", default.gates, gate_recording),
        ceilings: fields.or("ceilings", default.ceilings, ceiling_recording),
    })
}

fn gate_recording(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> GateRecording {
    let default = GateRecording::default();
    record(slot, path, mistakes, |fields| GateRecording {
        mode: mode(fields),
        sample_per_thousand: sample(fields),
        durability: durability(fields, "durability", default.durability),
    })
}

fn ceiling_recording(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> CeilingRecording {
    let default = CeilingRecording::default();
    record(slot, path, mistakes, |fields| CeilingRecording {
        mode: mode(fields),
        sample_per_thousand: sample(fields),
        durability: durability(fields, "durability", default.durability),
        refusals: durability(fields, "refusals", default.refusals),
    })
}

fn mode(fields: &mut Fields<'_, '_, '_>) -> RecordingMode {
    fields.or("mode", RecordingMode::default(), choice(RecordingMode::default()))
}

fn sample(fields: &mut Fields<'_, '_, '_>) -> Option<u32> {
    fields.optional("samplePerThousand", integer(bounds::SAMPLE_PER_THOUSAND))
}

fn durability(fields: &mut Fields<'_, '_, '_>, name: &'static str, default: Durability) -> Durability {
    fields.or(name, default, choice(default))
}
