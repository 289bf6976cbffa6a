"""The shapes of bodies and answers. Written by .ci/types from docs/calls.schema.json; do not edit.

Instants are text: RFC 3339, UTC. A key that is not required is left out of an answer.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union

if sys.version_info >= (3, 11):
    from typing import NotRequired, TypedDict
else:
    from typing_extensions import NotRequired, TypedDict

AgentStatus = Literal["ACTIVE", "SUSPENDED", "REVOKED"]

Creation = Literal["FRESH", "CLONED", "EVOLVED", "PROMOTED", "IMPORTED"]

Decision = Literal["ALLOW", "DENY", "ESCALATE"]

HostRecordType = Literal["ROLE_GATE", "CEILING", "ESCALATION", "ALERT"]

Level = Literal["AGENT", "FAMILY", "ORGANIZATION", "FLEET"]

Permission = Literal[
    "gates:evaluate",
    "ceilings:check",
    "provenance:read",
    "provenance:write",
    "stats:read",
    "agents:read",
    "agents:write",
    "policy:read",
    "policy:write",
    "engine:operate",
]

Reachable = Literal["up", "down"]

RecordType = Literal[
    "ROLE_GATE",
    "CEILING",
    "ESCALATION",
    "ALERT",
    "AGENT",
    "POLICY",
    "SIGNAL",
    "ERASURE",
    "GAP",
    "STATE",
]

Recorded = Literal["committed", "pending", "none"]

Source = Literal["ENGINE", "HOST"]


class Agent(TypedDict):
    """A registered agent."""

    attestations: list[str]
    changedAt: str
    creation: Creation
    creator: NotRequired[str]
    family: NotRequired[str]
    id: str
    organization: str
    parent: NotRequired[str]
    registeredAt: str
    score: NotRequired[int]
    status: AgentStatus
    tier: str
    version: int


class AgentBody(TypedDict):
    """The fields that a PUT may set. An absent field stays as it is, or has the default of a new agent."""

    attestations: NotRequired[Sequence[str]]
    creation: NotRequired[Creation]
    parent: NotRequired[str]
    score: NotRequired[int]
    status: NotRequired[AgentStatus]
    tier: NotRequired[str]
    version: NotRequired[int]


class AgentChange(TypedDict):
    """A change of a registered agent; a field that is not set stays as it is."""

    attestations: NotRequired[Sequence[str]]
    changedBy: NotRequired[str]
    reason: NotRequired[str]
    score: NotRequired[int]
    status: NotRequired[AgentStatus]
    tier: NotRequired[str]
    version: NotRequired[int]


class AgentPage(TypedDict):
    """A page of agents."""

    data: list[Agent]
    nextPageToken: str | None
    total: NotRequired[int]


class BackupAnswer(TypedDict):
    """A backup has nothing to tell."""


class Caller(TypedDict):
    """The caller of calls, as the host has authenticated it."""

    fleetWide: NotRequired[bool]
    internal: NotRequired[bool]
    name: NotRequired[str]
    organization: NotRequired[str]
    permissions: NotRequired[Sequence[Permission]]


class ResourceUsage(TypedDict):
    """How far the counter of one resource has come."""

    ceiling: int
    currentUsage: int
    remaining: int
    resetAt: str


class CeilingAnswer(TypedDict):
    """The answer to a ceiling check: the counter of the first resource, or the one that refused. Where no counter
    was asked nothing is allowed: the ceiling is 0."""

    allowed: bool
    asOf: str
    ceiling: int
    currentUsage: int
    nearLimit: bool
    provenanceId: str | None
    reason: str
    reasonCode: str
    recorded: Recorded
    refusedBy: NotRequired[Level]
    remaining: int
    repeated: NotRequired[bool]
    resetAt: str | None
    resources: NotRequired[list[ResourceUsage]]
    retryAfter: NotRequired[int]
    windowStart: str | None


class Demand(TypedDict):
    """An amount of one resource: 1 to 2^40 - 1."""

    requestedAmount: int
    resourceType: str


class CeilingBody(TypedDict):
    """One resource, or several of which all are admitted or none."""

    agentId: str
    onBehalfOf: NotRequired[str]
    requestedAmount: NotRequired[int]
    resourceType: NotRequired[str]
    resources: NotRequired[Sequence[Demand]]
    tier: NotRequired[str]
    traceparent: NotRequired[str]


class CeilingStats(TypedDict):
    """Verdicts of ceilings."""

    admitted: int
    exceeded: int
    nearLimit: int
    refused: int
    totalChecks: int
    unrecorded: int


class CeilingUsage(TypedDict):
    """The use of one resource by an agent, at one level."""

    ceiling: int
    current: int
    level: Level
    percentage: int
    resetAt: str
    resourceType: str


class RecordEvidence(TypedDict):
    """The exact texts that a record is checked by, as an export has them: the entry is hashed into the tree, and
    holds the HMAC of the payload under the salt."""

    entry: str
    payload: str | None
    salt: str | None


class ProvenanceRecord(TypedDict):
    """A record, with the parts that make its checkpoint a signed note again: origin, tree size, root and
    signature."""

    agentId: str | None
    caller: NotRequired[str]
    context: dict[str, Any] | None
    decision: str | None
    evidence: NotRequired[RecordEvidence]
    id: str
    inputs: NotRequired[dict[str, Any]]
    leafIndex: int
    merkleRoot: str
    onBehalfOf: NotRequired[str]
    organization: str
    origin: str
    parentId: str | None
    payloadErased: NotRequired[bool]
    reason: str | None
    reasonCode: NotRequired[str]
    signature: str
    source: Source
    timestamp: str
    traceparent: NotRequired[str]
    treeSize: int
    type: RecordType


class Chain(TypedDict):
    """A record and its ancestors."""

    chain: list[ProvenanceRecord]
    depth: int
    root: ProvenanceRecord | None


class Consistency(TypedDict):
    """A proof that the newest checkpoint begins with the log of an older size."""

    checkpoint: str
    proof: list[str]


class FieldDetails(TypedDict):
    """The field that an error is about, and what is wrong with it."""

    field: str
    issue: str


class PermissionDetails(TypedDict):
    """The permission that the caller lacks."""

    permission: str


ContractErrorDetails = Union[FieldDetails, PermissionDetails]


class ContractError(TypedDict):
    """The body of an answer that is an error of the contract."""

    code: str
    details: NotRequired[ContractErrorDetails]
    message: str
    requestId: NotRequired[str]
    retryAfter: NotRequired[int]


class CurrentPolicy(TypedDict):
    """The policy in force."""

    document: str
    hash: str


class EngineInfo(TypedDict):
    """The engine as it runs."""

    shard: int
    verifierKey: str
    version: str
    warnings: list[str]


class Evidence(TypedDict):
    """What a record is verified by, for whoever has nothing of ours."""

    entry: str
    payload: str | None
    proof: str
    salt: str | None
    verifierKey: str


class Exported(TypedDict):
    """The size of an export."""

    entries: int
    files: int


class GateAnswer(TypedDict):
    """The answer to a gate's request."""

    allowed: bool
    decision: Decision
    escalationPath: NotRequired[str]
    evaluatedAt: str
    provenanceId: str | None
    reason: str
    reasonCode: str
    recorded: Recorded
    requiredTier: NotRequired[str]


class GateContext(TypedDict):
    """The context in which the role is to be used."""

    action: NotRequired[str]
    environment: NotRequired[str]
    metadata: NotRequired[Mapping[str, Any]]
    resourceId: NotRequired[str]


class GateBody(TypedDict):
    """May this agent take this role here?"""

    agentId: str
    context: NotRequired[GateContext]
    onBehalfOf: NotRequired[str]
    role: str
    tier: NotRequired[str]
    traceparent: NotRequired[str]


class GateStats(TypedDict):
    """Verdicts of role gates."""

    allowed: int
    byTier: dict[str, int]
    denied: int
    escalated: int
    total: int
    unrecorded: int


class Health(TypedDict):
    """Whether the services that the engine depends on answer."""

    database: Reachable
    redis: NotRequired[Reachable]


class ImportedAgent(TypedDict):
    """An agent that was registered."""

    agent: Agent


class RefusedAgent(TypedDict):
    """The reason why an agent was not registered."""

    error: ContractError


Imported = Union[ImportedAgent, RefusedAgent]


class ImportAnswer(TypedDict):
    """The outcomes of an import."""

    outcomes: list[Imported]
    refused: int
    registered: int


class NewAgent(TypedDict):
    """An agent to register."""

    attestations: NotRequired[Sequence[str]]
    creation: NotRequired[Creation]
    creator: NotRequired[str]
    id: str
    parent: NotRequired[str]
    registeredBy: NotRequired[str]
    score: NotRequired[int]
    status: NotRequired[AgentStatus]
    tier: NotRequired[str]


class ImportBody(TypedDict):
    """Agents to register."""

    agents: Sequence[NewAgent]


class PostgresOptions(TypedDict):
    """A PostgreSQL database, 14 or later."""

    connectTimeoutMs: NotRequired[int]
    connections: NotRequired[int]
    replica: NotRequired[str]
    rootCertificates: NotRequired[str]
    schema: NotRequired[str]
    statementTimeoutMs: NotRequired[int]
    url: str


class RedisOptions(TypedDict):
    """A Redis server, 7.0 or later."""

    bestEffort: NotRequired[bool]
    connectTimeoutMs: NotRequired[int]
    prefix: NotRequired[str]
    rootCertificates: NotRequired[str]
    statsTtlMs: NotRequired[int]
    timeoutMs: NotRequired[int]
    url: str


class StorageOptions(TypedDict):
    """Where the log and the state live: one of memory, embedded and postgres."""

    embedded: NotRequired[str]
    memory: NotRequired[bool]
    postgres: NotRequired[str | PostgresOptions]
    redis: NotRequired[str | RedisOptions]


class Options(TypedDict):
    """The options that an engine is opened with. Durations are milliseconds."""

    cachedAgents: NotRequired[int]
    deployment: NotRequired[str]
    maxClockJumpMs: NotRequired[int]
    policy: NotRequired[str]
    queue: NotRequired[int]
    shard: NotRequired[int]
    signingKey: NotRequired[str]
    storage: StorageOptions
    takeoverAfterMs: NotRequired[int]
    tierAuthorities: NotRequired[Sequence[str]]


class Page(TypedDict):
    """A page of records."""

    data: list[ProvenanceRecord]
    logAheadSeconds: NotRequired[int]
    nextPageToken: str | None


class PolicyVersion(TypedDict):
    """A version of the policy."""

    document: str
    hash: str
    since: str
    version: int


class ProvenanceStats(TypedDict):
    """Records of the log."""

    aheadSeconds: int
    byType: dict[str, int]
    commits: NotRequired[int]
    committed: NotRequired[int]
    queued: NotRequired[int]
    totalRecords: int


class ReceiptAnswer(TypedDict):
    """A receipt: the place of a record, and what makes its checkpoint a signed note again."""

    id: str
    leafIndex: int
    merkleRoot: str
    origin: str
    signature: str
    timestamp: str
    treeSize: int


class RecordBody(TypedDict):
    """A record that the host writes itself."""

    agentId: str
    context: NotRequired[Mapping[str, Any]]
    decision: str
    id: NotRequired[str]
    onBehalfOf: NotRequired[str]
    parentId: NotRequired[str]
    reason: NotRequired[str]
    reasonCode: NotRequired[str]
    traceparent: NotRequired[str]
    type: HostRecordType


class ResetAnswer(TypedDict):
    """The counters of a reset."""

    agentId: str
    receipt: ReceiptAnswer
    usage: list[CeilingUsage]


class Stats(TypedDict):
    """Statistics of one organization, or of all."""

    ceiling: CeilingStats
    provenance: ProvenanceStats
    roleGates: GateStats
    timestamp: str


class UsageAnswer(TypedDict):
    """The use of each resource."""

    agentId: str
    usage: list[CeilingUsage]


class Verification(TypedDict):
    """The findings of a verification."""

    findings: list[str]
