"""The calls of the table, as both engines make them: what each takes, and how its answer is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar, cast
from uuid import UUID

from ._errors import TrustEngineError, invalid, of_contract
from ._json import path_text, text, written
from ._trust_engine import Answer, Caller
from ._trust_engine import call_table as native_call_table

if TYPE_CHECKING:
    from typing_extensions import NotRequired

    from ._types import (
        Agent,
        AgentChange,
        AgentPage,
        AgentStatus,
        CallRow,
        CeilingAnswer,
        CeilingUsage,
        Chain,
        Consistency,
        CurrentPolicy,
        EngineInfo,
        Evidence,
        Exported,
        Health,
        NewAgent,
        Page,
        Permission,
        PolicyVersion,
        ProvenanceRecord,
        ReceiptAnswer,
        RecordType,
        ResetAnswer,
        Stats,
        StorageOptions,
        TimeRange,
        UsageAnswer,
        Verification,
    )

T = TypeVar("T")

# The body of a call: its bytes, or an object to be written as JSON.
Body: TypeAlias = "bytes | bytearray | memoryview | Mapping[str, Any]"

# The engine's bounds of one import, with room for the text around the agents.
_IMPORT_AGENTS = 10_000
_IMPORT_BYTES = 1_000_000


class OpenOptions(TypedDict):
    """The options that an engine is opened with."""

    storage: StorageOptions
    """`{"memory": True}`, `{"embedded": folder}` or `{"postgres": url}`, with `"redis": url` beside it or not."""
    policy: NotRequired[str | None]
    """A policy document (YAML or JSON text) to bring into force if it is not the one in force."""
    signing_key: NotRequired[bytes | bytearray | memoryview | None]
    """The Ed25519 signing key: 32 bytes of seed. PostgreSQL needs one; the embedded store makes its own."""
    deployment: NotRequired[str | None]
    """Name of the deployment, part of every signature. PostgreSQL needs one."""
    tier_authorities: NotRequired[Sequence[str] | None]
    """Callers whose claims of a tier are believed and recorded as theirs."""
    shard: NotRequired[int | None]
    """The shard to write, also if another engine writes it now; a free one by default."""
    takeover_after_ms: NotRequired[int | None]
    """How long the owner of a shard may be silent before others take over, 2,000 to 3,600,000; 10,000 by default."""
    max_clock_jump_ms: NotRequired[int | None]
    """How far clocks may differ, or one may jump, without a warning, 1,000 to 86,400,000; 300,000 by default."""
    queue: NotRequired[int | None]
    """Submissions that may wait for a commit; 8,192 by default."""
    cached_agents: NotRequired[int | None]
    """Agents and quotas kept in memory; 100,000 by default."""


class GateKeywords(TypedDict, total=False):
    """What a gate may be told besides the agent and the role."""

    tier: str | None
    organization: str | None
    caller: str | None
    on_behalf_of: str | None
    traceparent: str | None
    resource_id: str | None
    action: str | None
    environment: str | None
    metadata: Mapping[str, Any] | None


class ReserveKeywords(TypedDict, total=False):
    """What a reservation may be told besides the agent, the resource and the amount."""

    resources: Mapping[str, int] | None
    tier: str | None
    organization: str | None
    caller: str | None
    on_behalf_of: str | None
    traceparent: str | None


class CheckKeywords(ReserveKeywords, total=False):
    """What a ceiling check may be told besides the agent, the resource and the amount."""

    request_id: str | None


class LogRecordKeywords(TypedDict, total=False):
    """What a record of an organization's log may say besides its type, agent and decision."""

    id: str | UUID | None
    reason_code: str | None
    reason: str | None
    context: Mapping[str, Any] | None
    parent_id: str | UUID | None
    caller: str | None
    on_behalf_of: str | None
    traceparent: str | None


class RecordKeywords(LogRecordKeywords, total=False):
    """What a record may say besides its type, agent and decision."""

    organization: str | None


class RecordFilter(TypedDict, total=False):
    """Which records to find."""

    agent_id: str | None
    type: RecordType | None
    decision: str | None


class RecordQuery(RecordFilter, total=False):
    """Which records to find, and how to list them."""

    start_time: str | datetime | None
    """Inclusive: a datetime with a time zone, or RFC 3339."""
    end_time: str | datetime | None
    """Exclusive."""
    parent_id: str | UUID | None
    oldest_first: bool
    page_size: int | None
    """Records per page, 1 to 1,000; 20 by default."""
    page_token: str | None
    read_your_writes: bool
    """Searches the store itself and not its replica."""


class AgentFilter(TypedDict, total=False):
    """Which agents to find."""

    tier: str | None
    status: AgentStatus | None
    family: str | None
    """The agent at the root of a family: it and all that descend from it."""


class AgentQuery(AgentFilter, total=False):
    """Which agents to find, and how to list them."""

    page_size: int | None
    """Agents per page, 1 to 1,000; 20 by default."""
    page_token: str | None


def engine_options(
    *,
    storage: StorageOptions,
    policy: str | None = None,
    signing_key: bytes | bytearray | memoryview | None = None,
    deployment: str | None = None,
    tier_authorities: Sequence[str] | None = None,
    shard: int | None = None,
    takeover_after_ms: int | None = None,
    max_clock_jump_ms: int | None = None,
    queue: int | None = None,
    cached_agents: int | None = None,
) -> str:
    """The options of an engine as JSON, as the native half reads them. What is in `storage` is checked there."""
    if signing_key is not None and not isinstance(signing_key, (bytes, bytearray, memoryview)):
        raise TypeError(f"signing_key is of type {type(signing_key).__name__}; it takes bytes")
    options = _given(
        storage=storage,
        policy=policy,
        signingKey=None if signing_key is None else signing_key.hex(),
        deployment=deployment,
        tierAuthorities=tier_authorities,
        shard=shard,
        takeoverAfterMs=takeover_after_ms,
        maxClockJumpMs=max_clock_jump_ms,
        queue=queue,
        cachedAgents=cached_agents,
    )
    return written("options", options, paths=True)


def caller(
    name: str | None = None,
    *,
    organization: str | None = None,
    fleet_wide: bool = False,
    internal: bool = False,
    permissions: Sequence[Permission] | Literal["all"] = "all",
) -> Caller:
    """The caller of calls by name, as the host has authenticated it: nothing of this should come from a body.

    `name` is recorded, and makes the caller a tier authority if the engine was opened with it as one. `fleet_wide`
    shows records of every organization, `internal` those of internal types. The caller may do what `permissions` allow
    and nothing else; everything unless they are given.
    """
    fields = _given(name=name, organization=organization, fleetWide=fleet_wide, internal=internal)
    if permissions != "all":
        # None too: a list that could not be had gives no rights, and is refused.
        fields = {**fields, "permissions": permissions}
    return Caller(written("caller", fields))


# The host itself: a caller of the organization `default` that may make every call.
HOST: Final = Caller("{}")
# The host, for what is that of every organization.
FLEET: Final = Caller('{"fleetWide":true}')


def scope(organization: str | None, fleet_wide: bool, *, internal: bool = False) -> Caller:
    """A caller who sees one organization, or the whole fleet. The fleet is never meant by leaving something out."""
    if fleet_wide is not False and organization is not None:
        raise invalid("organization", "is named, and the whole fleet is asked for too; it takes one of them")
    return caller(organization=organization, fleet_wide=fleet_wide, internal=internal)


@dataclass(frozen=True)
class Call(Generic[T]):
    """A call that is ready to be made, and the reader of its answer."""

    name: str
    caller: Caller
    read: Callable[[Answer], T]
    parameters: Mapping[str, object] = field(default_factory=dict)
    body: bytes = b""

    def arguments(self) -> tuple[Caller, str, str, bytes]:
        """The arguments of `call_json` and `begin_call`."""
        return self.caller, self.name, written("parameters", self.parameters), self.body

    def after(self, page_token: str) -> Call[T]:
        """The same call for the next page."""
        return replace(self, parameters={**self.parameters, "pageToken": page_token})


def call_arguments(
    caller: Caller, name: str, parameters: Mapping[str, object] | None, body: Body
) -> tuple[Caller, str, str, bytes]:
    """The arguments of `call_json` and `begin_call` for a call that a host makes by its name."""
    given = written("parameters", {} if parameters is None else parameters)
    if isinstance(body, Mapping):
        body = _body("body", body)
    elif isinstance(body, (bytearray, memoryview)):
        body = bytes(body)
    return caller, name, given, body


def call_table() -> list[CallRow]:
    """The engine's table of calls: what each is called, what it takes, and who may make it."""
    return cast("list[CallRow]", json.loads(native_call_table()))


class AgentCalls:
    """The calls about the agents of one organization."""

    def __init__(self, organization: str | None) -> None:
        """Without a name it is the organization `default`."""
        self._caller = caller(organization=organization)

    def register(self, agent: NewAgent) -> Call[Agent]:
        """Registers an agent."""
        return Call("agents.register", self._caller, _json, body=_body("agent", agent))

    def change(self, agent_id: str, change: AgentChange) -> Call[Agent]:
        """Changes an agent."""
        return Call("agents.change", self._caller, _json, _given(agentId=agent_id), _body("change", change))

    def get(self, agent_id: str) -> Call[Agent]:
        """Reads an agent."""
        return Call("agents.get", self._caller, _json, _given(agentId=agent_id))

    def import_batches(self, agents: Iterable[NewAgent]) -> Iterator[tuple[int, Call[list[Agent | TrustEngineError]]]]:
        """Imports of as many agents as one call takes, each with their number.

        Every agent is read before the first is imported: one that JSON does not have stops them all.
        """
        if isinstance(agents, (str, bytes, Mapping)):
            raise TypeError(f"agents is of type {type(agents).__name__}; it takes an iterable of agents")
        bodies = [written(f"agents[{n}]", agent).encode() for n, agent in enumerate(agents)]
        return map(self._import, _batches(bodies))

    def _import(self, batch: list[bytes]) -> tuple[int, Call[list[Agent | TrustEngineError]]]:
        body = b'{"agents":[' + b",".join(batch) + b"]}"
        return len(batch), Call("agents.import", self._caller, _outcomes, body=body)

    def page(
        self,
        *,
        tier: str | None = None,
        status: AgentStatus | None = None,
        family: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
    ) -> Call[AgentPage]:
        """A page of agents."""
        size = _whole("pageSize", page_size)
        given = _given(tier=tier, status=status, family=family, pageSize=size, pageToken=page_token)
        return Call("agents.list", self._caller, _json, given)

    def count(
        self, *, tier: str | None = None, status: AgentStatus | None = None, family: str | None = None
    ) -> Call[int]:
        """The number of agents."""
        return Call("agents.count", self._caller, _json, _given(tier=tier, status=status, family=family))


class LogCalls:
    """The calls about the log, as one organization or the whole fleet sees it."""

    def __init__(self, organization: str | None, fleet_wide: bool) -> None:
        """Without either it is the log of the organization `default`."""
        self.caller = scope(organization, fleet_wide, internal=True)
        self._organization = organization
        self._fleet_wide = fleet_wide

    def organization(self) -> str | None:
        """The organization that records are written for."""
        if self._fleet_wide:
            raise invalid("organization", "is missing; the whole fleet records nothing")
        return self._organization

    def page(
        self,
        *,
        agent_id: str | None = None,
        type: RecordType | None = None,
        decision: str | None = None,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        parent_id: str | UUID | None = None,
        oldest_first: bool = False,
        page_size: int | None = None,
        page_token: str | None = None,
        read_your_writes: bool = False,
    ) -> Call[Page]:
        """A page of records."""
        given = _given(
            agentId=agent_id,
            type=type,
            decision=decision,
            startTime=_instant("startTime", start_time),
            endTime=_instant("endTime", end_time),
            parentId=_uuid(parent_id),
            order="oldest" if _flag("oldestFirst", oldest_first) else "newest",
            pageSize=_whole("pageSize", page_size),
            pageToken=page_token,
            readYourWrites=_flag("readYourWrites", read_your_writes),
        )
        return Call("provenance.query", self.caller, _json, given)

    def follow(
        self, *, agent_id: str | None = None, type: RecordType | None = None, decision: str | None = None
    ) -> str:
        """The parameters of the stream of records that are committed from now on."""
        return written("parameters", _given(agentId=agent_id, type=type, decision=decision))

    def get(self, id: str | UUID) -> Call[ProvenanceRecord]:
        """Reads a record."""
        return Call("provenance.get", self.caller, _json, _given(id=_uuid(id)))

    def chain(self, id: str | UUID, depth: int) -> Call[list[ProvenanceRecord]]:
        """Reads a record and its ancestors."""
        given = _given(id=_uuid(id), depth=_whole("depth", depth))
        return Call("provenance.chain", self.caller, _chain, given)

    def prove(self, id: str | UUID) -> Call[str]:
        """Proves a record."""
        return Call("provenance.proof", self.caller, _text, _given(id=_uuid(id)))

    def evidence(self, id: str | UUID) -> Call[Evidence]:
        """Reads all that a record is verified by."""
        return Call("provenance.evidence", self.caller, _json, _given(id=_uuid(id)))

    def checkpoint(self, shard: int | None) -> Call[str]:
        """Reads the newest checkpoint."""
        return Call("log.checkpoint", self.caller, _text, _given(shard=_whole("shard", shard)))

    def consistency(self, older: int, shard: int | None) -> Call[Consistency]:
        """Proves that the log only grew."""
        given = _given(older=_whole("older", older), shard=_whole("shard", shard))
        return Call("log.consistency", self.caller, _json, given)

    def verify(self) -> Call[list[str]]:
        """Recomputes the log."""
        return Call("log.verify", FLEET, _findings)

    def export(self, folder: str | os.PathLike[str], shard: int | None) -> Call[Exported]:
        """Writes the log into a folder."""
        given = _given(folder=path_text("folder", folder), shard=_whole("shard", shard))
        return Call("log.export", FLEET, _json, given)


class CeilingCalls:
    """The calls about the ceilings of one organization's agents."""

    def __init__(self, organization: str | None) -> None:
        """Without a name it is the organization `default`."""
        self._organization = organization
        self._caller = caller(organization=organization)

    def usage(self, agent_id: str, resource_type: str | None) -> Call[list[CeilingUsage]]:
        """Reads how far an agent has come."""
        return Call("ceilings.usage", self._caller, _usage, _given(agentId=agent_id, resourceType=resource_type))

    def peek(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        *,
        resources: Mapping[str, int] | None = None,
        tier: str | None = None,
        caller: str | None = None,
    ) -> Call[CeilingAnswer]:
        """Asks whether a check would be admitted."""
        body = _given(
            agentId=agent_id,
            resourceType=resource_type,
            requestedAmount=amount,
            resources=None if resources is None else _demands(resources),
            tier=tier,
        )
        by = _caller_named(caller, self._organization)
        return Call("ceilings.peek", by, _json, body=_body("request", body))

    def reset(self, agent_id: str, resource_type: str, actor: str) -> Call[ResetAnswer]:
        """Brings counters back that are ahead of the clock."""
        by = _caller_named(actor, self._organization)
        return Call("ceilings.reset", by, _json, _given(agentId=agent_id, resourceType=resource_type))


class PolicyCalls:
    """The calls about the policy, which is that of every organization."""

    def current(self) -> Call[CurrentPolicy]:
        """Reads the policy in force."""
        return Call("policy.get", HOST, _json)

    def swap(self, document: str, actor: str) -> Call[ReceiptAnswer]:
        """Brings a document into force."""
        if not isinstance(document, str):
            raise TypeError(f"document is of type {type(document).__name__}; it takes YAML or JSON as text")
        body = text("document", document).encode()
        return Call("policy.put", caller(actor, fleet_wide=True), _json, body=body)

    def history(self, below: int | None, limit: int) -> Call[list[PolicyVersion]]:
        """Reads the versions of the policy."""
        given = _given(below=_whole("below", below), pageSize=_whole("limit", limit))
        return Call("policy.versions", HOST, _json, given)


def stats(time_range: TimeRange, organization: str | None, fleet_wide: bool) -> Call[Stats]:
    """Reads statistics."""
    return Call("stats.get", scope(organization, fleet_wide), _json, _given(timeRange=time_range))


def info() -> Call[EngineInfo]:
    """Reads what the engine is."""
    return Call("engine.info", HOST, _json)


def health() -> Call[Health]:
    """Asks the services that the engine stands on."""
    return Call("engine.health", HOST, _json)


def backup(folder: str | os.PathLike[str]) -> Call[None]:
    """Copies the store into a folder."""
    return Call("engine.backup", FLEET, lambda _: None, _given(folder=path_text("folder", folder)))


# Arguments.


def _given(**values: object) -> dict[str, object]:
    """The values that were given."""
    return {name: value for name, value in values.items() if value is not None}


def _body(field: str, value: object) -> bytes:
    return written(field, value).encode()


def _uuid(value: str | UUID | None) -> str | None:
    return str(value) if isinstance(value, UUID) else value


def _whole(field: str, value: Any) -> int | None:
    """A whole number. As text it would be read too, as it comes from a query string; here that is a mistake."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise invalid(field, f"is of type {type(value).__name__}; it takes a whole number")


def _flag(field: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise invalid(field, f"is of type {type(value).__name__}; it takes True or False")


def _instant(field: str, value: str | datetime | None) -> str | None:
    if not isinstance(value, datetime):
        return value
    try:
        utc = None if value.utcoffset() is None else value.astimezone(timezone.utc)
    except (ArithmeticError, ValueError, NotImplementedError) as error:
        # Near the first and the last year, and where a time zone is wrong itself.
        raise invalid(field, f"is no instant: {error}") from error
    if utc is None:
        raise invalid(field, "has no time zone")
    return utc.isoformat().replace("+00:00", "Z")


def _demands(resources: Mapping[str, int]) -> list[dict[str, object]]:
    if not isinstance(resources, Mapping):
        raise TypeError(f"resources is of type {type(resources).__name__}; it takes amounts by their resources")
    return [{"resourceType": resource, "requestedAmount": amount} for resource, amount in resources.items()]


def _caller_named(name: str | None, organization: str | None) -> Caller:
    return caller(name, organization=organization)


def _batches(bodies: list[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) >= _IMPORT_AGENTS or size + len(body) >= _IMPORT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body) + 1
    if batch:
        yield batch


# Answers.


def _json(answer: Answer) -> Any:
    return json.loads(answer.body)


def _text(answer: Answer) -> str:
    return answer.body


def _chain(answer: Answer) -> list[ProvenanceRecord]:
    chain: Chain = json.loads(answer.body)
    return chain["chain"]


def _findings(answer: Answer) -> list[str]:
    verification: Verification = json.loads(answer.body)
    return verification["findings"]


def _usage(answer: Answer) -> list[CeilingUsage]:
    usage: UsageAnswer = json.loads(answer.body)
    return usage["usage"]


def _outcomes(answer: Answer) -> list[Agent | TrustEngineError]:
    return [_outcome(**outcome) for outcome in json.loads(answer.body)["outcomes"]]


def _outcome(agent: Agent | None = None, error: dict[str, Any] | None = None) -> Agent | TrustEngineError:
    if agent is not None:
        return agent
    told = error or {}
    return of_contract(told["code"], told["message"], told.get("details", {}))
