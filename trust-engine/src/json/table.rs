//! The table of the calls: one row says what a call is called, what it takes, who may make it and how REST reaches it.

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::answer::Answer;
use super::calls::JsonCalls;
use super::parameters::{Kind, Parameter, Values};
use super::permission::Permission;
use super::verbs::{agents, ceilings, engine, gates, log, policy, provenance, stats};
use crate::error::Result;

/// The REST route of a call. Parts of the path in braces are parameters; the others are in the query string.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
}

/// A row of the table.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The name, as [`JsonCalls::call`] takes it.
    pub name: &'static str,
    /// The route, if REST reaches it.
    pub route: Option<Route>,
    /// The parameters.
    pub parameters: &'static [Parameter],
    /// The most bytes of the body; 0 for a call that takes none.
    pub max_body: usize,
    /// Whether it may keep a processor busy for milliseconds: searches, and what reads large bodies.
    pub heavy: bool,
    /// Whether it takes the version that has to be there ([`JsonCalls::if_match`]).
    pub if_match: bool,
    /// The permission that the caller needs.
    pub permission: Permission,
    #[serde(skip)]
    pub(super) run: for<'a> fn(JsonCalls<'a>, Values, &'a [u8]) -> BoxFuture<'a, Result<Answer>>,
}

const fn route(method: &'static str, path: &'static str) -> Option<Route> {
    Some(Route { method, path })
}

const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: false }
}

/// Largest body of most calls.
const BODY: usize = super::MAX_BODY_BYTES;
/// Largest body of an import, and of a policy.
const LARGE_BODY: usize = 1024 * 1024;
/// Most rows of a page.
const PAGE: u64 = 1000;

const ID: Parameter = required("id", Kind::Uuid);
const AGENT: Parameter = required("agentId", Kind::Text);
const ORGANIZATION: Parameter = optional("organizationId", Kind::Text);
const INTERNAL: Parameter = optional("includeInternal", Kind::Flag);
/// The shard that the engine writes, if it is not given.
const SHARD: Parameter = optional("shard", Kind::Shard);
const FOLDER: Parameter = required("folder", Kind::Text);
const PAGE_SIZE: Parameter = optional("pageSize", Kind::Whole(PAGE));
const PAGE_TOKEN: Parameter = optional("pageToken", Kind::Text);
const TIER: Parameter = optional("tier", Kind::Text);
const STATUS: Parameter = optional("status", Kind::Word(&["ACTIVE", "SUSPENDED", "REVOKED"]));
const FAMILY: Parameter = optional("family", Kind::Text);

/// Parameters of a search through the log.
pub(super) const SEARCH: &[Parameter] = &[
    optional("agentId", Kind::Text),
    optional("type", Kind::Word(provenance::TYPES)),
    optional("decisionType", Kind::Word(provenance::KINDS)),
    optional("decision", Kind::Text),
    optional("parentId", Kind::Uuid),
    optional("startTime", Kind::Instant),
    optional("endTime", Kind::Instant),
    optional("order", Kind::Word(&["newest", "oldest"])),
    optional("readYourWrites", Kind::Flag),
    PAGE_SIZE,
    PAGE_TOKEN,
    INTERNAL,
];
/// Parameters of what follows the log.
pub(super) const FOLLOW: &[Parameter] = &[
    optional("agentId", Kind::Text),
    optional("type", Kind::Word(provenance::TYPES)),
    optional("decisionType", Kind::Word(provenance::KINDS)),
    optional("decision", Kind::Text),
    INTERNAL,
];
/// Parameters by which agents are found.
pub(super) const AGENTS: &[Parameter] = &[TIER, STATUS, FAMILY];

macro_rules! run {
    ($module:ident::$verb:ident) => {
        |calls, values, body| Box::pin($module::$verb(calls, values, body))
    };
}

/// Every call.
pub const CALLS: &[Call] = &[
    Call {
        name: "gates.evaluate",
        route: route("POST", "/role-gates/evaluate"),
        parameters: &[],
        max_body: BODY,
        heavy: false,
        if_match: false,
        permission: Permission::EvaluateGates,
        run: run!(gates::evaluate),
    },
    Call {
        name: "ceilings.check",
        route: route("POST", "/ceiling/check"),
        parameters: &[],
        max_body: BODY,
        heavy: false,
        if_match: false,
        permission: Permission::CheckCeilings,
        run: run!(ceilings::check),
    },
    Call {
        name: "ceilings.usage",
        route: route("GET", "/ceiling/usage"),
        parameters: &[AGENT, optional("resourceType", Kind::Text)],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::CheckCeilings,
        run: run!(ceilings::usage),
    },
    Call {
        name: "ceilings.peek",
        route: None,
        parameters: &[],
        max_body: BODY,
        heavy: false,
        if_match: false,
        permission: Permission::CheckCeilings,
        run: run!(ceilings::peek),
    },
    Call {
        name: "ceilings.reset",
        route: None,
        parameters: &[AGENT, required("resourceType", Kind::Text)],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::OperateEngine,
        run: run!(ceilings::reset),
    },
    Call {
        name: "provenance.record",
        route: route("POST", "/provenance"),
        parameters: &[],
        max_body: BODY,
        heavy: false,
        if_match: false,
        permission: Permission::WriteProvenance,
        run: run!(provenance::record),
    },
    Call {
        name: "provenance.query",
        route: route("GET", "/provenance"),
        parameters: SEARCH,
        max_body: 0,
        heavy: true,
        if_match: false,
        permission: Permission::ReadProvenance,
        run: run!(provenance::query),
    },
    Call {
        name: "provenance.get",
        route: route("GET", "/provenance/{id}"),
        parameters: &[ID, INTERNAL, ORGANIZATION, optional("includeEvidence", Kind::Flag)],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::ReadProvenance,
        run: run!(provenance::get),
    },
    Call {
        name: "provenance.chain",
        route: route("GET", "/provenance/{id}/chain"),
        parameters: &[ID, optional("depth", Kind::Whole(100)), INTERNAL, ORGANIZATION],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::ReadProvenance,
        run: run!(provenance::chain),
    },
    Call {
        name: "provenance.proof",
        route: route("GET", "/provenance/{id}/proof"),
        parameters: &[ID, INTERNAL, ORGANIZATION],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::ReadProvenance,
        run: run!(provenance::proof),
    },
    Call {
        name: "provenance.evidence",
        route: None,
        parameters: &[ID, INTERNAL, ORGANIZATION],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::ReadProvenance,
        run: run!(provenance::evidence),
    },
    Call {
        name: "log.checkpoint",
        route: route("GET", "/log/{shard}/checkpoint"),
        parameters: &[SHARD],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::ReadProvenance,
        run: run!(log::checkpoint),
    },
    Call {
        name: "log.consistency",
        route: None,
        parameters: &[SHARD, required("older", Kind::Whole(u32::MAX as u64))],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::ReadProvenance,
        run: run!(log::consistency),
    },
    Call {
        name: "log.verify",
        route: None,
        parameters: &[],
        max_body: 0,
        heavy: true,
        if_match: false,
        permission: Permission::OperateEngine,
        run: run!(log::verify),
    },
    Call {
        name: "log.export",
        route: None,
        parameters: &[SHARD, FOLDER],
        max_body: 0,
        heavy: true,
        if_match: false,
        permission: Permission::OperateEngine,
        run: run!(log::export),
    },
    Call {
        name: "stats.get",
        route: route("GET", "/stats"),
        parameters: &[
            optional("timeRange", Kind::Word(&["1h", "6h", "24h", "7d", "30d", "all"])),
            ORGANIZATION,
        ],
        max_body: 0,
        heavy: true,
        if_match: false,
        permission: Permission::ReadStats,
        run: run!(stats::get),
    },
    Call {
        name: "agents.list",
        route: route("GET", "/agents"),
        parameters: &[TIER, STATUS, FAMILY, PAGE_SIZE, PAGE_TOKEN, optional("total", Kind::Flag)],
        max_body: 0,
        heavy: true,
        if_match: false,
        permission: Permission::ReadAgents,
        run: run!(agents::list),
    },
    Call {
        name: "agents.count",
        route: None,
        parameters: AGENTS,
        max_body: 0,
        heavy: true,
        if_match: false,
        permission: Permission::ReadAgents,
        run: run!(agents::count),
    },
    Call {
        name: "agents.import",
        route: route("POST", "/agents/import"),
        parameters: &[],
        max_body: LARGE_BODY,
        heavy: true,
        if_match: false,
        permission: Permission::WriteAgents,
        run: run!(agents::import),
    },
    Call {
        name: "agents.get",
        route: route("GET", "/agents/{agentId}"),
        parameters: &[AGENT],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::ReadAgents,
        run: run!(agents::get),
    },
    Call {
        name: "agents.put",
        route: route("PUT", "/agents/{agentId}"),
        parameters: &[AGENT],
        max_body: BODY,
        heavy: false,
        if_match: true,
        permission: Permission::WriteAgents,
        run: run!(agents::put),
    },
    Call {
        name: "agents.register",
        route: None,
        parameters: &[],
        max_body: BODY,
        heavy: false,
        if_match: false,
        permission: Permission::WriteAgents,
        run: run!(agents::register),
    },
    Call {
        name: "agents.change",
        route: None,
        parameters: &[AGENT],
        max_body: BODY,
        heavy: false,
        if_match: false,
        permission: Permission::WriteAgents,
        run: run!(agents::change),
    },
    Call {
        name: "policy.get",
        route: route("GET", "/policy"),
        parameters: &[],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::ReadPolicy,
        run: run!(policy::get),
    },
    Call {
        name: "policy.versions",
        route: route("GET", "/policy/versions"),
        parameters: &[
            optional("below", Kind::Whole(u32::MAX as u64)),
            optional("pageSize", Kind::Whole(100)),
        ],
        max_body: 0,
        heavy: true,
        if_match: false,
        permission: Permission::ReadPolicy,
        run: run!(policy::versions),
    },
    Call {
        name: "policy.put",
        route: route("PUT", "/policy"),
        parameters: &[],
        max_body: LARGE_BODY,
        heavy: true,
        if_match: false,
        permission: Permission::WritePolicy,
        run: run!(policy::put),
    },
    Call {
        name: "engine.info",
        route: None,
        parameters: &[],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::OperateEngine,
        run: run!(engine::info),
    },
    Call {
        name: "engine.health",
        route: None,
        parameters: &[],
        max_body: 0,
        heavy: false,
        if_match: false,
        permission: Permission::OperateEngine,
        run: run!(engine::health),
    },
    Call {
        name: "engine.backup",
        route: None,
        parameters: &[FOLDER],
        max_body: 0,
        heavy: true,
        if_match: false,
        permission: Permission::OperateEngine,
        run: run!(engine::backup),
    },
];
