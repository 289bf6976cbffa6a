//! The table of the calls: one row says what a call is called, what it takes, who may make it and how REST reaches it.

use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::answer::{Answer, CeilingAnswer, GateAnswer};
use super::body::{CeilingBody, GateBody, RecordBody};
use super::calls::{ChainAnswer, JsonCalls, PageAnswer};
use super::parameters::{Kind, Parameter, Values};
use super::permission::Permission;
use super::receipt::ReceiptAnswer;
use super::record::RecordAnswer;
use super::verbs::{agents, ceilings, engine, gates, log, policy, provenance, stats};
use crate::agent::{Agent, AgentChange, NewAgent};
use crate::engine::Stats;
use crate::error::{Error, ErrorKind, Result};

/// Gives the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

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
    /// The schema of the body.
    #[serde(skip)]
    pub(super) body: Option<SchemaOf>,
    /// The schema of the answer's body.
    #[serde(skip)]
    pub(super) answer: SchemaOf,
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

/// What a row has unless it says otherwise. Its name is none, and what it runs is never called.
const CALL: Call = Call {
    name: "",
    route: None,
    parameters: &[],
    max_body: 0,
    body: None,
    answer: of::<()>,
    heavy: false,
    if_match: false,
    permission: Permission::OperateEngine,
    run: |_, _, _| Box::pin(async { Err(Error::new(ErrorKind::NotFound, "there is no such call")) }),
};

/// Every call.
pub const CALLS: &[Call] = &[
    Call {
        name: "gates.evaluate",
        route: route("POST", "/role-gates/evaluate"),
        max_body: BODY,
        body: Some(of::<GateBody>),
        answer: of::<GateAnswer<'static>>,
        permission: Permission::EvaluateGates,
        run: run!(gates::evaluate),
        ..CALL
    },
    Call {
        name: "ceilings.check",
        route: route("POST", "/ceiling/check"),
        max_body: BODY,
        body: Some(of::<CeilingBody>),
        answer: of::<CeilingAnswer<'static>>,
        permission: Permission::CheckCeilings,
        run: run!(ceilings::check),
        ..CALL
    },
    Call {
        name: "ceilings.usage",
        route: route("GET", "/ceiling/usage"),
        parameters: &[AGENT, optional("resourceType", Kind::Text)],
        answer: of::<ceilings::UsageAnswer<'static>>,
        permission: Permission::CheckCeilings,
        run: run!(ceilings::usage),
        ..CALL
    },
    Call {
        name: "ceilings.peek",
        max_body: BODY,
        body: Some(of::<CeilingBody>),
        answer: of::<CeilingAnswer<'static>>,
        permission: Permission::CheckCeilings,
        run: run!(ceilings::peek),
        ..CALL
    },
    Call {
        name: "ceilings.reset",
        parameters: &[AGENT, required("resourceType", Kind::Text)],
        answer: of::<ceilings::ResetAnswer<'static>>,
        permission: Permission::OperateEngine,
        run: run!(ceilings::reset),
        ..CALL
    },
    Call {
        name: "provenance.record",
        route: route("POST", "/provenance"),
        max_body: BODY,
        body: Some(of::<RecordBody>),
        answer: of::<RecordAnswer<'static>>,
        permission: Permission::WriteProvenance,
        run: run!(provenance::record),
        ..CALL
    },
    Call {
        name: "provenance.query",
        route: route("GET", "/provenance"),
        parameters: SEARCH,
        answer: of::<PageAnswer<'static>>,
        heavy: true,
        permission: Permission::ReadProvenance,
        run: run!(provenance::query),
        ..CALL
    },
    Call {
        name: "provenance.get",
        route: route("GET", "/provenance/{id}"),
        parameters: &[ID, INTERNAL, ORGANIZATION, optional("includeEvidence", Kind::Flag)],
        answer: of::<RecordAnswer<'static>>,
        permission: Permission::ReadProvenance,
        run: run!(provenance::get),
        ..CALL
    },
    Call {
        name: "provenance.chain",
        route: route("GET", "/provenance/{id}/chain"),
        parameters: &[ID, optional("depth", Kind::Whole(100)), INTERNAL, ORGANIZATION],
        answer: of::<ChainAnswer<'static>>,
        permission: Permission::ReadProvenance,
        run: run!(provenance::chain),
        ..CALL
    },
    Call {
        name: "provenance.proof",
        route: route("GET", "/provenance/{id}/proof"),
        parameters: &[ID, INTERNAL, ORGANIZATION],
        answer: of::<String>,
        permission: Permission::ReadProvenance,
        run: run!(provenance::proof),
        ..CALL
    },
    Call {
        name: "provenance.evidence",
        parameters: &[ID, INTERNAL, ORGANIZATION],
        answer: of::<provenance::EvidenceAnswer<'static>>,
        permission: Permission::ReadProvenance,
        run: run!(provenance::evidence),
        ..CALL
    },
    Call {
        name: "log.checkpoint",
        route: route("GET", "/log/{shard}/checkpoint"),
        parameters: &[SHARD],
        answer: of::<String>,
        permission: Permission::ReadProvenance,
        run: run!(log::checkpoint),
        ..CALL
    },
    Call {
        name: "log.consistency",
        parameters: &[SHARD, required("older", Kind::Whole(u32::MAX as u64))],
        answer: of::<log::ConsistencyAnswer>,
        permission: Permission::ReadProvenance,
        run: run!(log::consistency),
        ..CALL
    },
    Call {
        name: "log.verify",
        answer: of::<log::VerifyAnswer>,
        heavy: true,
        permission: Permission::OperateEngine,
        run: run!(log::verify),
        ..CALL
    },
    Call {
        name: "log.export",
        parameters: &[SHARD, FOLDER],
        answer: of::<log::ExportAnswer>,
        heavy: true,
        permission: Permission::OperateEngine,
        run: run!(log::export),
        ..CALL
    },
    Call {
        name: "stats.get",
        route: route("GET", "/stats"),
        parameters: &[
            optional("timeRange", Kind::Word(&["1h", "6h", "24h", "7d", "30d", "all"])),
            ORGANIZATION,
        ],
        answer: of::<Stats>,
        heavy: true,
        permission: Permission::ReadStats,
        run: run!(stats::get),
        ..CALL
    },
    Call {
        name: "agents.list",
        route: route("GET", "/agents"),
        parameters: &[TIER, STATUS, FAMILY, PAGE_SIZE, PAGE_TOKEN, optional("total", Kind::Flag)],
        answer: of::<agents::PageAnswer<'static>>,
        heavy: true,
        permission: Permission::ReadAgents,
        run: run!(agents::list),
        ..CALL
    },
    Call {
        name: "agents.count",
        parameters: AGENTS,
        answer: of::<u64>,
        heavy: true,
        permission: Permission::ReadAgents,
        run: run!(agents::count),
        ..CALL
    },
    Call {
        name: "agents.import",
        route: route("POST", "/agents/import"),
        max_body: LARGE_BODY,
        body: Some(of::<agents::ImportShape>),
        answer: of::<agents::ImportAnswer>,
        heavy: true,
        permission: Permission::WriteAgents,
        run: run!(agents::import),
        ..CALL
    },
    Call {
        name: "agents.get",
        route: route("GET", "/agents/{agentId}"),
        parameters: &[AGENT],
        answer: of::<Agent>,
        permission: Permission::ReadAgents,
        run: run!(agents::get),
        ..CALL
    },
    Call {
        name: "agents.put",
        route: route("PUT", "/agents/{agentId}"),
        parameters: &[AGENT],
        max_body: BODY,
        body: Some(of::<agents::PutBody>),
        answer: of::<Agent>,
        if_match: true,
        permission: Permission::WriteAgents,
        run: run!(agents::put),
        ..CALL
    },
    Call {
        name: "agents.register",
        max_body: BODY,
        body: Some(of::<NewAgent>),
        answer: of::<Agent>,
        permission: Permission::WriteAgents,
        run: run!(agents::register),
        ..CALL
    },
    Call {
        name: "agents.change",
        parameters: &[AGENT],
        max_body: BODY,
        body: Some(of::<AgentChange>),
        answer: of::<Agent>,
        permission: Permission::WriteAgents,
        run: run!(agents::change),
        ..CALL
    },
    Call {
        name: "policy.get",
        route: route("GET", "/policy"),
        answer: of::<policy::PolicyAnswer>,
        permission: Permission::ReadPolicy,
        run: run!(policy::get),
        ..CALL
    },
    Call {
        name: "policy.versions",
        route: route("GET", "/policy/versions"),
        parameters: &[
            optional("below", Kind::Whole(u32::MAX as u64)),
            optional("pageSize", Kind::Whole(100)),
        ],
        answer: of::<Vec<policy::Version<'static>>>,
        heavy: true,
        permission: Permission::ReadPolicy,
        run: run!(policy::versions),
        ..CALL
    },
    Call {
        name: "policy.put",
        route: route("PUT", "/policy"),
        max_body: LARGE_BODY,
        body: Some(of::<String>),
        answer: of::<ReceiptAnswer<'static>>,
        heavy: true,
        permission: Permission::WritePolicy,
        run: run!(policy::put),
        ..CALL
    },
    Call {
        name: "engine.info",
        answer: of::<engine::InfoAnswer>,
        permission: Permission::OperateEngine,
        run: run!(engine::info),
        ..CALL
    },
    Call {
        name: "engine.health",
        answer: of::<engine::HealthAnswer>,
        permission: Permission::OperateEngine,
        run: run!(engine::health),
        ..CALL
    },
    Call {
        name: "engine.backup",
        parameters: &[FOLDER],
        answer: of::<engine::BackupAnswer>,
        heavy: true,
        permission: Permission::OperateEngine,
        run: run!(engine::backup),
        ..CALL
    },
];
