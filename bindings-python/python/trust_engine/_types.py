"""The shapes of the bodies and answers of calls: dictionaries as JSON has them, with the names of the wire.

Instants are text: RFC 3339, UTC. What is not required is left out of an answer, and `None` where the type says so.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict, Union

if sys.version_info >= (3, 11):
    from typing import NotRequired
else:
    from typing_extensions import NotRequired

Decision = Literal["ALLOW", "DENY", "ESCALATE"]
HostRecordType = Literal["ROLE_GATE", "CEILING", "ESCALATION", "ALERT"]
RecordType = Literal[
    "ROLE_GATE", "CEILING", "ESCALATION", "ALERT", "AGENT", "POLICY", "SIGNAL", "ERASURE", "GAP", "STATE"
]
Recorded = Literal["committed", "pending", "none"]
Source = Literal["ENGINE", "HOST"]
AgentStatus = Literal["ACTIVE", "SUSPENDED", "REVOKED"]
Creation = Literal["FRESH", "CLONED", "EVOLVED", "PROMOTED", "IMPORTED"]
Level = Literal["AGENT", "FAMILY", "ORGANIZATION", "FLEET"]
TimeRange = Literal["1h", "6h", "24h", "7d", "30d", "all"]
Up = Literal["up", "down"]
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


# The options of an engine.


class PostgresOptions(TypedDict):
    """A PostgreSQL database, 14 or later."""

    url: str
    schema: NotRequired[str]
    connections: NotRequired[int]
    connectTimeoutMs: NotRequired[int]
    statementTimeoutMs: NotRequired[int]
    rootCertificates: NotRequired[str | PathLike[str]]
    replica: NotRequired[str]


class RedisOptions(TypedDict):
    """A Redis server, 7.0 or later."""

    url: str
    prefix: NotRequired[str]
    timeoutMs: NotRequired[int]
    connectTimeoutMs: NotRequired[int]
    statsTtlMs: NotRequired[int]
    rootCertificates: NotRequired[str | PathLike[str]]
    bestEffort: NotRequired[bool]


class MemoryStorage(TypedDict):
    """The log and the state are gone with the engine."""

    memory: Literal[True]
    redis: NotRequired[str | RedisOptions]


class EmbeddedStorage(TypedDict):
    """A folder, which one engine at a time uses."""

    embedded: str | PathLike[str]
    redis: NotRequired[str | RedisOptions]


class PostgresStorage(TypedDict):
    """A database, which the engines of a fleet share."""

    postgres: str | PostgresOptions
    redis: NotRequired[str | RedisOptions]


StorageOptions = Union[MemoryStorage, EmbeddedStorage, PostgresStorage]


class Options(TypedDict):
    """The options of an engine, as the native half reads them."""

    storage: StorageOptions
    policy: NotRequired[str]
    signingKey: NotRequired[str]
    deployment: NotRequired[str]
    tierAuthorities: NotRequired[Sequence[str]]
    shard: NotRequired[int]
    takeoverAfterMs: NotRequired[int]
    maxClockJumpMs: NotRequired[int]
    queue: NotRequired[int]
    cachedAgents: NotRequired[int]


class CallerBody(TypedDict):
    """The caller of calls by name; every permission is meant where none are named."""

    name: NotRequired[str]
    organization: NotRequired[str]
    fleetWide: NotRequired[bool]
    internal: NotRequired[bool]
    permissions: NotRequired[Sequence[Permission]]


# Gates and ceilings.


class GateContext(TypedDict):
    """The resource, the action and the place of a gate's request."""

    resourceId: NotRequired[str]
    action: NotRequired[str]
    environment: NotRequired[str]
    metadata: NotRequired[Mapping[str, Any]]


class GateBody(TypedDict):
    """The body of `gates.evaluate`."""

    agentId: str
    role: str
    tier: NotRequired[str]
    context: NotRequired[GateContext]
    onBehalfOf: NotRequired[str]
    traceparent: NotRequired[str]


class GateAnswer(TypedDict):
    """A gate's verdict; `provenanceId` is `None` where the policy does not record it."""

    allowed: bool
    decision: Decision
    reason: str
    reasonCode: str
    evaluatedAt: str
    provenanceId: str | None
    requiredTier: NotRequired[str]
    escalationPath: NotRequired[str]
    recorded: Recorded


class Demand(TypedDict):
    """An amount of one resource."""

    resourceType: str
    requestedAmount: int


class CeilingBody(TypedDict):
    """The body of `ceilings.check` and `ceilings.peek`: one resource with its amount, or `resources`."""

    agentId: str
    resourceType: NotRequired[str]
    requestedAmount: NotRequired[int]
    resources: NotRequired[Sequence[Demand]]
    tier: NotRequired[str]
    onBehalfOf: NotRequired[str]
    traceparent: NotRequired[str]


class ResourceUsage(TypedDict):
    """The counter of one of several resources."""

    currentUsage: int
    ceiling: int
    remaining: int
    resetAt: str


class CeilingAnswer(TypedDict):
    """A ceiling's verdict: the counter of the first resource, or the one that refused."""

    allowed: bool
    currentUsage: int
    ceiling: int
    remaining: int
    resetAt: str | None
    provenanceId: str | None
    reason: str
    reasonCode: str
    windowStart: str | None
    asOf: str
    nearLimit: bool
    repeated: NotRequired[Literal[True]]
    refusedBy: NotRequired[Level]
    retryAfter: NotRequired[int]
    recorded: Recorded
    resources: NotRequired[list[ResourceUsage]]


class CeilingUsage(TypedDict):
    """How far an agent has come with one resource, at one level."""

    resourceType: str
    level: Level
    current: int
    ceiling: int
    percentage: int
    resetAt: str


class UsageAnswer(TypedDict):
    """The answer of `ceilings.usage`."""

    agentId: str
    usage: list[CeilingUsage]


class ReceiptAnswer(TypedDict):
    """A receipt; `merkleRoot` and `signature` are base64."""

    id: str
    origin: str
    leafIndex: int
    treeSize: int
    merkleRoot: str
    signature: str
    timestamp: str


class ResetAnswer(TypedDict):
    """The answer of `ceilings.reset`: the counters that were brought back."""

    agentId: str
    usage: list[CeilingUsage]
    receipt: ReceiptAnswer


# The log.


class RecordBody(TypedDict):
    """The body of `provenance.record`."""

    type: HostRecordType
    agentId: str
    decision: str
    id: NotRequired[str]
    reasonCode: NotRequired[str]
    reason: NotRequired[str]
    context: NotRequired[Mapping[str, Any]]
    parentId: NotRequired[str]
    onBehalfOf: NotRequired[str]
    traceparent: NotRequired[str]


class RecordEvidence(TypedDict):
    """The exact texts of a record; the salt is hexadecimal."""

    entry: str
    payload: str | None
    salt: str | None


class ProvenanceRecord(TypedDict):
    """A committed record."""

    id: str
    type: RecordType
    source: Source
    organization: str
    agentId: str | None
    decision: str | None
    reasonCode: NotRequired[str]
    reason: str | None
    context: dict[str, Any] | None
    parentId: str | None
    inputs: NotRequired[dict[str, Any]]
    caller: NotRequired[str]
    onBehalfOf: NotRequired[str]
    traceparent: NotRequired[str]
    timestamp: str
    merkleRoot: str
    signature: str
    origin: str
    leafIndex: int
    treeSize: int
    payloadErased: NotRequired[Literal[True]]
    evidence: NotRequired[RecordEvidence]


class Page(TypedDict):
    """A page of records."""

    data: list[ProvenanceRecord]
    nextPageToken: str | None
    logAheadSeconds: NotRequired[int]


class Chain(TypedDict):
    """A record, first, and its ancestors; `root` is the last of them."""

    root: ProvenanceRecord | None
    chain: list[ProvenanceRecord]
    depth: int


class Evidence(TypedDict):
    """All that a record is verified by; `payload` and `salt` are `None` if the payload is gone."""

    entry: str
    payload: str | None
    salt: str | None
    proof: str
    verifierKey: str


class Consistency(TypedDict):
    """A proof that the checkpoint begins with the log of an older size: hashes in base64."""

    checkpoint: str
    proof: list[str]


class Verification(TypedDict):
    """The answer of `log.verify`: a text for each shard in which something is wrong."""

    findings: list[str]


class Exported(TypedDict):
    """The answer of `log.export`."""

    entries: int
    files: int


# Statistics.


class GateStats(TypedDict):
    """Verdicts of role gates."""

    total: int
    allowed: int
    denied: int
    escalated: int
    unrecorded: int
    byTier: dict[str, int]


class CeilingStats(TypedDict):
    """Verdicts of ceilings."""

    totalChecks: int
    admitted: int
    exceeded: int
    refused: int
    nearLimit: int
    unrecorded: int


class ProvenanceStats(TypedDict):
    """Records of the log; `queued`, `committed` and `commits` are there only for the whole fleet."""

    totalRecords: int
    byType: dict[str, int]
    aheadSeconds: int
    queued: NotRequired[int]
    committed: NotRequired[int]
    commits: NotRequired[int]


class Stats(TypedDict):
    """Totals over a range of time that ends now."""

    roleGates: GateStats
    ceiling: CeilingStats
    provenance: ProvenanceStats
    timestamp: str


# Agents.


class Agent(TypedDict):
    """A registered agent."""

    id: str
    organization: str
    tier: str
    score: NotRequired[int]
    status: AgentStatus
    attestations: list[str]
    creation: Creation
    creator: NotRequired[str]
    parent: NotRequired[str]
    family: NotRequired[str]
    version: int
    registeredAt: str
    changedAt: str


class NewAgent(TypedDict):
    """An agent to register."""

    id: str
    tier: NotRequired[str]
    score: NotRequired[int]
    status: NotRequired[AgentStatus]
    attestations: NotRequired[Sequence[str]]
    creation: NotRequired[Creation]
    creator: NotRequired[str]
    registeredBy: NotRequired[str]
    parent: NotRequired[str]


class AgentChange(TypedDict):
    """A change of an agent; a field that is not there stays as it is."""

    version: NotRequired[int]
    tier: NotRequired[str]
    score: NotRequired[int]
    status: NotRequired[AgentStatus]
    attestations: NotRequired[Sequence[str]]
    changedBy: NotRequired[str]
    reason: NotRequired[str]


class AgentBody(TypedDict):
    """The body of `agents.put`."""

    tier: NotRequired[str]
    score: NotRequired[int]
    status: NotRequired[AgentStatus]
    attestations: NotRequired[Sequence[str]]
    creation: NotRequired[Creation]
    parent: NotRequired[str]
    version: NotRequired[int]


class AgentPage(TypedDict):
    """A page of agents: there may be fewer than asked for, or none, although there are more to come."""

    data: list[Agent]
    nextPageToken: str | None
    total: NotRequired[int]


class ImportBody(TypedDict):
    """The body of `agents.import`."""

    agents: Sequence[NewAgent]


class ContractError(TypedDict):
    """An error within an answer, in the words of the REST contract."""

    code: str
    message: str
    details: NotRequired[dict[str, str]]
    requestId: NotRequired[str]
    retryAfter: NotRequired[int]


class ImportedAgent(TypedDict):
    """The outcome of an agent that was registered."""

    agent: Agent


class RefusedAgent(TypedDict):
    """The outcome of an agent that was refused."""

    error: ContractError


class ImportAnswer(TypedDict):
    """The answer of `agents.import`, with the outcomes in the places of the agents."""

    registered: int
    refused: int
    outcomes: list[ImportedAgent | RefusedAgent]


# The policy.


class CurrentPolicy(TypedDict):
    """The policy in force: its SHA-256 in hexadecimal, and canonical JSON."""

    hash: str
    document: str


class PolicyVersion(TypedDict):
    """A version of the policy."""

    version: int
    hash: str
    since: str
    document: str


# The engine.


class EngineInfo(TypedDict):
    """The answer of `engine.info`: the shard that the engine writes, and the key that verifies it."""

    version: str
    shard: int
    verifierKey: str
    warnings: list[str]


class Health(TypedDict):
    """Whether the services that the engine stands on answer; `redis` is not there without Redis."""

    database: Up
    redis: NotRequired[Up]


class Route(TypedDict):
    """The REST route of a call."""

    method: str
    path: str


class ParameterKind(TypedDict):
    """The values that a parameter takes."""

    type: Literal["text", "whole", "shard", "flag", "instant", "uuid", "word"]
    of: NotRequired[Any]


class Parameter(TypedDict):
    """A parameter of a call."""

    name: str
    kind: ParameterKind
    required: bool


class CallRow(TypedDict):
    """A row of the table of calls; `maxBody` is in bytes, and 0 for a call that takes none."""

    name: str
    route: Route | None
    parameters: list[Parameter]
    maxBody: int
    heavy: bool
    ifMatch: bool
    permission: Permission
