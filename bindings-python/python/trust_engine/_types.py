"""The types of dictionaries: the bodies and answers of the wire, and what only Python has.

Keys are those of the wire. Instants are text: RFC 3339, UTC. A key that is not required is left out of an answer.
"""

# Annotations are evaluated here, so that tools see at run time which keys are required.
import sys
from os import PathLike
from typing import Any, Literal

from ._wire import (
    Agent,
    AgentBody,
    AgentChange,
    AgentPage,
    AgentStatus,
    CeilingAnswer,
    CeilingBody,
    CeilingStats,
    CeilingUsage,
    Chain,
    Consistency,
    ContractError,
    Creation,
    CurrentPolicy,
    Decision,
    Demand,
    EngineInfo,
    Evidence,
    Exported,
    GateAnswer,
    GateBody,
    GateContext,
    GateStats,
    Health,
    HostRecordType,
    ImportAnswer,
    ImportBody,
    ImportedAgent,
    Level,
    NewAgent,
    Options,
    Page,
    Permission,
    PolicyVersion,
    PostgresOptions,
    ProvenanceRecord,
    ProvenanceStats,
    Reachable,
    ReceiptAnswer,
    RecordBody,
    Recorded,
    RecordEvidence,
    RecordType,
    RedisOptions,
    RefusedAgent,
    ResetAnswer,
    ResourceUsage,
    Source,
    Stats,
    UsageAnswer,
    Verification,
)

if sys.version_info >= (3, 11):
    from typing import NotRequired, TypedDict
else:
    from typing_extensions import NotRequired, TypedDict

__all__ = [
    "Agent",
    "AgentBody",
    "AgentChange",
    "AgentPage",
    "AgentStatus",
    "CallRow",
    "CeilingAnswer",
    "CeilingBody",
    "CeilingStats",
    "CeilingUsage",
    "Chain",
    "Consistency",
    "ContractError",
    "Creation",
    "CurrentPolicy",
    "Decision",
    "Demand",
    "EmbeddedStorage",
    "EngineInfo",
    "Evidence",
    "Exported",
    "GateAnswer",
    "GateBody",
    "GateContext",
    "GateStats",
    "Health",
    "HostRecordType",
    "ImportAnswer",
    "ImportBody",
    "ImportedAgent",
    "Level",
    "MemoryStorage",
    "NewAgent",
    "Options",
    "Page",
    "Parameter",
    "ParameterKind",
    "Permission",
    "PolicyVersion",
    "PostgresOptions",
    "PostgresStorage",
    "ProvenanceRecord",
    "ProvenanceStats",
    "Reachable",
    "ReceiptAnswer",
    "RecordBody",
    "RecordEvidence",
    "RecordType",
    "Recorded",
    "RedisOptions",
    "RefusedAgent",
    "ResetAnswer",
    "ResourceUsage",
    "Route",
    "Source",
    "Stats",
    "StorageOptions",
    "TimeRange",
    "UsageAnswer",
    "Verification",
]

TimeRange = Literal["1h", "6h", "24h", "7d", "30d", "all"]


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


StorageOptions = MemoryStorage | EmbeddedStorage | PostgresStorage


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
