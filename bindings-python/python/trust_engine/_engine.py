"""The engine, for callers that wait."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _calls
from ._calls import AgentCalls, Call, CeilingCalls, LogCalls, PolicyCalls
from ._errors import TrustEngineError
from ._trust_engine import NativeEngine
from ._trust_engine import Subscription as NativeSubscription

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike
    from types import TracebackType
    from uuid import UUID

    from typing_extensions import Self, Unpack

    from ._calls import AgentFilter, AgentQuery, Body, LogRecordKeywords, OpenOptions, RecordFilter, RecordQuery
    from ._trust_engine import Answer, Caller, Receipt
    from ._types import (
        Agent,
        AgentChange,
        AgentPage,
        CeilingAnswer,
        CeilingUsage,
        Consistency,
        CurrentPolicy,
        EngineInfo,
        Evidence,
        Exported,
        Health,
        HostRecordType,
        NewAgent,
        Page,
        PolicyVersion,
        ProvenanceRecord,
        ReceiptAnswer,
        ResetAnswer,
        Stats,
        TimeRange,
    )

T = TypeVar("T")


class Engine(NativeEngine):
    """An open engine. Threads may share it.

    Its options are keywords: `storage` is `{"memory": True}`, `{"embedded": folder}` or `{"postgres": url}`, with
    `"redis": url` beside it or not, and there are `policy`, `signing_key`, `deployment`, `tier_authorities`, `shard`,
    `takeover_after_ms`, `max_clock_jump_ms`, `queue` and `cached_agents`.

    `evaluate_gate`, `check_ceiling`, `reserve` and `record` wait until what has to be committed is committed.
    `decide_gate`, `check_ceiling_now` and `quota` never wait: they raise `WouldBlockError` instead.
    """

    def __new__(cls, **options: Unpack[OpenOptions]) -> Self:
        """Opens an engine, within the connect timeouts."""
        return super().__new__(cls, _calls.engine_options(**options))

    def __enter__(self) -> Self:
        """Gives the engine itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the engine."""
        self.close()

    def agents(self, organization: str | None = None) -> Agents:
        """The agents of an organization; `default` where none is named."""
        return Agents(self, organization)

    def log(self, organization: str | None = None, *, fleet_wide: bool = False) -> Log:
        """The log as an organization sees it, or the whole fleet; as `default` where neither is named."""
        return Log(self, organization, fleet_wide)

    def ceilings(self, organization: str | None = None) -> Ceilings:
        """The ceilings of an organization's agents; `default` where none is named."""
        return Ceilings(self, organization)

    @property
    def policy(self) -> Policy:
        """The policy in force and its history."""
        return Policy(self)

    def stats(
        self, time_range: TimeRange = "24h", *, organization: str | None = None, fleet_wide: bool = False
    ) -> Stats:
        """Statistics of an organization, or of the whole fleet; of `default` where neither is named."""
        return self._made(_calls.stats(time_range, organization, fleet_wide))

    def health(self) -> Health:
        """Whether the services that the engine stands on answer."""
        return self._made(_calls.health())

    def info(self) -> EngineInfo:
        """The version, the shard that the engine writes, the key that verifies it, and warnings."""
        return self._made(_calls.info())

    def warnings(self) -> list[str]:
        """Warnings for the operator of the store."""
        return self.info()["warnings"]

    def verifier_key(self) -> str:
        """The key that verifies the shard of the log that this engine writes."""
        return self.info()["verifierKey"]

    def backup(self, folder: str | PathLike[str]) -> None:
        """Copies the embedded store, as it is now, into a new folder, while it is in use, with its key."""
        self._made(_calls.backup(folder))

    def call(
        self,
        name: str,
        parameters: Mapping[str, object] | None = None,
        body: Body = b"",
        *,
        caller: Caller = _calls.HOST,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Answer:
        """Makes a call of the table (`call_table()`) by its name, as the host itself where no caller is given."""
        return self.call_json(
            *_calls.call_arguments(caller, name, parameters, body),
            if_match=if_match,
            idempotency_key=idempotency_key,
            request_id=request_id,
            traceparent=traceparent,
        )

    def subscribe(
        self, name: str, parameters: Mapping[str, object] | None = None, *, caller: Caller = _calls.HOST
    ) -> Subscription[dict[str, Any]]:
        """Subscribes to a stream: `provenance.query`, `agents.list` or `provenance.follow`."""
        caller, name, given, _ = _calls.call_arguments(caller, name, parameters, b"")
        return Subscription(self.subscribe_json(caller, name, given))

    def _made(self, call: Call[T]) -> T:
        return call.read(self.call_json(*call.arguments()))

    def _items(self, call: Call[Any]) -> Iterator[Any]:
        """The items of every page from that of the call on."""
        while True:
            page = self._made(call)
            yield from page["data"]
            token = page["nextPageToken"]
            if token is None:
                return
            call = call.after(token)


class Subscription(Generic[T]):
    """The items of a stream. Any thread may close it, also while another waits for an item."""

    def __init__(self, native: NativeSubscription) -> None:
        """Made by `Engine.subscribe` and `Log.follow`."""
        self._native = native

    def __iter__(self) -> Self:
        """Gives the subscription itself."""
        return self

    def __next__(self) -> T:
        """Waits for the next item.

        After an error that is retryable, and after a wait that a signal ended, it can be asked again where it stood.
        """
        item = self._native.next()
        if item is None:
            raise StopIteration
        return cast("T", json.loads(item))

    def close(self) -> None:
        """Ends the subscription; a thread that waits for an item finds it ended."""
        self._native.end()

    def __enter__(self) -> Self:
        """Gives the subscription itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the subscription."""
        self.close()


class Agents:
    """The agents of one organization."""

    def __init__(self, engine: Engine, organization: str | None) -> None:
        """Made by `Engine.agents`."""
        self._engine = engine
        self._calls = AgentCalls(organization)

    def register(self, agent: NewAgent) -> Agent:
        """Registers an agent; committed when this returns."""
        return self._engine._made(self._calls.register(agent))

    def change(self, agent_id: str, change: AgentChange) -> Agent:
        """Changes an agent; `ConflictError` if it is at another version than the change was made from."""
        return self._engine._made(self._calls.change(agent_id, change))

    def get(self, agent_id: str) -> Agent:
        """One agent."""
        return self._engine._made(self._calls.get(agent_id))

    def import_many(self, agents: Iterable[NewAgent]) -> list[Agent | TrustEngineError]:
        """Registers many agents as fast as they can be committed together.

        The outcomes are in the places of the agents: the agent, or the error for which it was refused. One that is
        refused costs no other. Parents and creators may stand before their descendants.
        """
        outcomes: list[Agent | TrustEngineError] = []
        for count, call in self._calls.import_batches(agents):
            try:
                made = self._engine._made(call)
                outcomes += made
            except TrustEngineError as error:
                # The outcomes of earlier batches are told all the same.
                outcomes += [error] * count
        return outcomes

    def list(self, **query: Unpack[AgentQuery]) -> Iterator[Agent]:
        """The agents of a query, in the order of their registration, page by page."""
        return self._engine._items(self._calls.page(**query))

    def page(self, **query: Unpack[AgentQuery]) -> AgentPage:
        """One page of the agents of a query."""
        return self._engine._made(self._calls.page(**query))

    def count(self, **query: Unpack[AgentFilter]) -> int:
        """The number of agents. Exact up to 10,000; more are 10,000."""
        return self._engine._made(self._calls.count(**query))


class Log:
    """The log, as one organization or the whole fleet sees it."""

    def __init__(self, engine: Engine, organization: str | None, fleet_wide: bool) -> None:
        """Made by `Engine.log`."""
        self._engine = engine
        self._calls = LogCalls(organization, fleet_wide)

    def record(
        self, type: HostRecordType, agent_id: str, decision: str, **record: Unpack[LogRecordKeywords]
    ) -> Receipt:
        """Records something that the host decided; committed when this returns. The whole fleet records nothing."""
        return self._engine.record(type, agent_id, decision, organization=self._calls.organization(), **record)

    def query(self, **query: Unpack[RecordQuery]) -> Iterator[ProvenanceRecord]:
        """Every record that matches, page by page; records committed meanwhile neither shift nor repeat anything."""
        return self._engine._items(self._calls.page(**query))

    def page(self, **query: Unpack[RecordQuery]) -> Page:
        """One page of the records of a query."""
        return self._engine._made(self._calls.page(**query))

    def follow(self, **query: Unpack[RecordFilter]) -> Subscription[ProvenanceRecord]:
        """Records as they are committed from now on, in their final order over all shards."""
        parameters = self._calls.follow(**query)
        return Subscription(self._engine.subscribe_json(self._calls.caller, "provenance.follow", parameters))

    def get(self, id: str | UUID) -> ProvenanceRecord:
        """One record."""
        return self._engine._made(self._calls.get(id))

    def chain(self, id: str | UUID, depth: int = 10) -> list[ProvenanceRecord]:
        """The record, first, and what it follows from: at most `depth` (1 to 100) ancestors."""
        return self._engine._made(self._calls.chain(id, depth))

    def prove(self, id: str | UUID) -> str:
        """A C2SP tlog-proof that the record is in the log, against the newest checkpoint."""
        return self._engine._made(self._calls.prove(id))

    def evidence(self, id: str | UUID) -> Evidence:
        """All that the record is verified by, for `verify.evidence`."""
        return self._engine._made(self._calls.evidence(id))

    def checkpoint(self, shard: int | None = None) -> str:
        """The newest signed checkpoint of a shard, by default of the one that this engine writes."""
        return self._engine._made(self._calls.checkpoint(shard))

    def consistency(self, older: int, shard: int | None = None) -> Consistency:
        """A proof that the newest checkpoint of a shard begins with the log of the size `older`."""
        return self._engine._made(self._calls.consistency(older, shard))

    def verify(self) -> list[str]:
        """Recomputes everything in every shard; gives what is wrong, nothing if it is clean."""
        return self._engine._made(self._calls.verify())

    def export(self, folder: str | PathLike[str], shard: int | None = None) -> Exported:
        """Writes the log of a shard into a folder, as C2SP tlog-tiles and JSON Lines."""
        return self._engine._made(self._calls.export(folder, shard))


class Ceilings:
    """The ceilings of one organization's agents."""

    def __init__(self, engine: Engine, organization: str | None) -> None:
        """Made by `Engine.ceilings`."""
        self._engine = engine
        self._calls = CeilingCalls(organization)

    def usage(self, agent_id: str, resource_type: str | None = None) -> list[CeilingUsage]:
        """How far an agent has come with every resource that its tier has a ceiling for, or with one of them."""
        return self._engine._made(self._calls.usage(agent_id, resource_type))

    def peek(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        *,
        resources: Mapping[str, int] | None = None,
        tier: str | None = None,
        caller: str | None = None,
    ) -> CeilingAnswer:
        """Whether a check would be admitted now; charges and records nothing."""
        call = self._calls.peek(agent_id, resource_type, amount, resources=resources, tier=tier, caller=caller)
        return self._engine._made(call)

    def reset(self, agent_id: str, resource_type: str, actor: str) -> ResetAnswer:
        """Brings counters that are ahead of the clock back to it, in the name of `actor`."""
        return self._engine._made(self._calls.reset(agent_id, resource_type, actor))


class Policy:
    """The policy in force and its history. There is one for all organizations."""

    def __init__(self, engine: Engine) -> None:
        """Made by `Engine.policy`."""
        self._engine = engine
        self._calls = PolicyCalls()

    def current(self) -> CurrentPolicy:
        """The policy in force."""
        return self._engine._made(self._calls.current())

    def swap(self, document: str, actor: str) -> ReceiptAnswer:
        """Brings a document (YAML or JSON text) into force; returns when its record is committed."""
        return self._engine._made(self._calls.swap(document, actor))

    def history(self, below: int | None = None, limit: int = 20) -> list[PolicyVersion]:
        """Versions below the given one, newest first."""
        return self._engine._made(self._calls.history(below, limit))
