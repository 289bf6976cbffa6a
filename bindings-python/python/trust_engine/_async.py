"""The engine, for asyncio.

The native half tries each call at once where it is begun. A call that has to wait is given a number, and its outcome
comes with that number through `drain`; the event loop calls `drain` when the descriptor of the native half is readable.
One commit that answers hundreds of calls so wakes the loop once. Only opening an engine and beginning a subscription
take a thread.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
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

    from ._calls import (
        AgentFilter,
        AgentQuery,
        Body,
        CheckKeywords,
        GateKeywords,
        LogRecordKeywords,
        OpenOptions,
        RecordFilter,
        RecordKeywords,
        RecordQuery,
        ReserveKeywords,
    )
    from ._trust_engine import Answer, Caller, CeilingVerdict, GateVerdict, Quota, Receipt, Reservation
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

# Items between two turns of the event loop: those that are there already would keep it from everything else.
_ITEMS_PER_TURN = 100


class AsyncEngine:
    """An open engine for the event loop that it was opened in: `engine = await AsyncEngine.open(storage=…)`.

    Its verbs are those of `Engine`, as coroutines. `decide_gate`, `check_ceiling_now` and `quota` never wait, and are
    plain methods. A call whose task is cancelled is made all the same: the record that it was about is committed.
    """

    _native: NativeEngine
    _waiting: _Waiting
    _committing: dict[int, asyncio.Future[Receipt | None]]

    def __init__(self) -> None:
        """Refuses: opening an engine waits."""
        raise TypeError("an AsyncEngine is opened with `await AsyncEngine.open(…)`")

    @classmethod
    async def open(cls, **options: Unpack[OpenOptions]) -> Self:
        """Opens an engine, with the options of `Engine`, within the connect timeouts."""
        loop = asyncio.get_running_loop()
        given = _calls.engine_options(**options)
        opening = loop.run_in_executor(None, NativeEngine, given)
        try:
            native = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread cannot be stopped: the engine is closed once it is open, so that its store is free.
            opening.add_done_callback(_close_unused)
            raise
        engine = cls.__new__(cls)
        engine._native = native
        engine._committing = {}
        try:
            engine._waiting = _Waiting(native, loop)
        except BaseException:
            # The native half has no descriptor to give, or this kind of loop watches none.
            native.close()
            raise
        return engine

    async def __aenter__(self) -> Self:
        """Gives the engine itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the engine."""
        await self.close()

    @property
    def is_closed(self) -> bool:
        """Whether the engine was closed."""
        return self._native.is_closed

    async def close(self) -> None:
        """Commits what waits and closes, once the calls that are under way are settled. It can be called again."""
        await self._waiting.close()

    # Gates and ceilings.

    def decide_gate(self, agent_id: str, role: str, **request: Unpack[GateKeywords]) -> GateVerdict:
        """Evaluates a gate at once; its record is on its way into the log.

        `WouldBlockError` if the agent has to be fetched.
        """
        return self._native.decide_gate(agent_id, role, **request)

    async def evaluate_gate(self, agent_id: str, role: str, **request: Unpack[GateKeywords]) -> GateVerdict:
        """Evaluates a gate; the verdict is committed when this returns, unless the policy says otherwise."""
        waiting = self._waiting.here()
        return await waiting.outcome(self._native.begin_evaluate_gate(agent_id, role, **request))

    async def committed(self, verdict: GateVerdict) -> Receipt | None:
        """Waits for the commit of a verdict that `decide_gate` of this engine gave.

        `None` if the policy does not record the verdict.
        """
        waiting = self._waiting.here()
        commit = self._committing.get(id(verdict))
        if commit is None:
            begun = self._native.begin_committed(verdict)
            if not isinstance(begun, int):
                return begun
            # The native half waits for a commit once; tasks that ask meanwhile share the outcome. The callback holds
            # the verdict, so no other object has its id until then.
            commit = self._committing[id(verdict)] = waiting.future(begun)
            commit.add_done_callback(lambda _: self._committing.pop(id(verdict)))
        return await asyncio.shield(commit)

    def check_ceiling_now(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        **request: Unpack[CheckKeywords],
    ) -> CeilingVerdict:
        """Checks and consumes at once, with what the engine holds.

        `WouldBlockError` if the counters have to be asked.
        """
        return self._native.check_ceiling_now(agent_id, resource_type, amount, **request)

    async def check_ceiling(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        **request: Unpack[CheckKeywords],
    ) -> CeilingVerdict:
        """Checks and consumes: all of the amounts or nothing."""
        waiting = self._waiting.here()
        return await waiting.outcome(self._native.begin_check_ceiling(agent_id, resource_type, amount, **request))

    async def reserve(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        **request: Unpack[ReserveKeywords],
    ) -> tuple[CeilingVerdict, AsyncReservation | None]:
        """Charges amounts that are not certain yet; no reservation if the check was refused.

        If the task is cancelled meanwhile, the amounts stay charged until their window has gone by.
        """
        waiting = self._waiting.here()
        begun = self._native.begin_reserve(agent_id, resource_type, amount, **request)
        verdict, reservation = await waiting.outcome(begun)
        return verdict, None if reservation is None else AsyncReservation(self, reservation)

    def quota(self, agent_id: str, *, organization: str | None = None) -> Quota:
        """The quota of an agent, for callers that check it often. `WouldBlockError` if the agent has to be fetched."""
        return self._native.quota(agent_id, organization=organization)

    async def record(
        self, type: HostRecordType, agent_id: str, decision: str, **record: Unpack[RecordKeywords]
    ) -> Receipt:
        """Records something that the host decided; committed when this returns."""
        waiting = self._waiting.here()
        return await waiting.outcome(self._native.begin_record(type, agent_id, decision, **record))

    # Calls by name.

    async def call(
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
        waiting = self._waiting.here()
        begun = self._native.begin_call(
            *_calls.call_arguments(caller, name, parameters, body),
            if_match=if_match,
            idempotency_key=idempotency_key,
            request_id=request_id,
            traceparent=traceparent,
        )
        return await waiting.outcome(begun)

    def subscribe(
        self, name: str, parameters: Mapping[str, object] | None = None, *, caller: Caller = _calls.HOST
    ) -> AsyncSubscription[dict[str, Any]]:
        """Subscribes to a stream: `provenance.query`, `agents.list` or `provenance.follow`.

        The subscription begins with `async with`, or when its first item is asked for.
        """
        caller, name, given, _ = _calls.call_arguments(caller, name, parameters, b"")
        return AsyncSubscription(self, caller, name, given)

    def agents(self, organization: str | None = None) -> AsyncAgents:
        """The agents of an organization; `default` where none is named."""
        return AsyncAgents(self, organization)

    def log(self, organization: str | None = None, *, fleet_wide: bool = False) -> AsyncLog:
        """The log as an organization sees it, or the whole fleet; as `default` where neither is named."""
        return AsyncLog(self, organization, fleet_wide)

    def ceilings(self, organization: str | None = None) -> AsyncCeilings:
        """The ceilings of an organization's agents; `default` where none is named."""
        return AsyncCeilings(self, organization)

    @property
    def policy(self) -> AsyncPolicy:
        """The policy in force and its history."""
        return AsyncPolicy(self)

    async def stats(
        self, time_range: TimeRange = "24h", *, organization: str | None = None, fleet_wide: bool = False
    ) -> Stats:
        """Statistics of an organization, or of the whole fleet; of `default` where neither is named."""
        return await self._made(_calls.stats(time_range, organization, fleet_wide))

    async def health(self) -> Health:
        """Whether the services that the engine stands on answer."""
        return await self._made(_calls.health())

    async def info(self) -> EngineInfo:
        """The version, the shard that the engine writes, the key that verifies it, and warnings."""
        return await self._made(_calls.info())

    async def warnings(self) -> list[str]:
        """Warnings for the operator of the store."""
        return (await self.info())["warnings"]

    async def verifier_key(self) -> str:
        """The key that verifies the shard of the log that this engine writes."""
        return (await self.info())["verifierKey"]

    async def backup(self, folder: str | PathLike[str]) -> None:
        """Copies the embedded store, as it is now, into a new folder, while it is in use, with its key."""
        await self._made(_calls.backup(folder))

    async def _made(self, call: Call[T]) -> T:
        waiting = self._waiting.here()
        return call.read(await waiting.outcome(self._native.begin_call(*call.arguments())))

    async def _items(self, call: Call[Any]) -> AsyncGenerator[Any, None]:
        """The items of every page from that of the call on."""
        while True:
            page = await self._made(call)
            for item in page["data"]:
                yield item
            token = page["nextPageToken"]
            if token is None:
                return
            call = call.after(token)

    async def _settled(self, reservation: Reservation, used: int | Sequence[int] | None) -> Receipt | None:
        waiting = self._waiting.here()
        return await waiting.outcome(self._native.begin_settle(reservation, used))

    async def _subscribed(self, caller: Caller, name: str, parameters: str) -> NativeSubscription:
        # A stream that follows asks the store where it begins, and the native half does that only while it waits.
        loop = self._waiting.here().loop
        return await loop.run_in_executor(None, self._native.subscribe_json, caller, name, parameters)

    async def _next(self, subscription: NativeSubscription) -> str | None:
        waiting = self._waiting.here()
        return await waiting.outcome(self._native.begin_next(subscription))


class _Waiting:
    """The calls of one engine that are under way, by the numbers that the native half gave them.

    Everything here happens on the loop's thread, so a number is known before its outcome can be drained.
    """

    def __init__(self, native: NativeEngine, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._native = native
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._closed: asyncio.Future[None] | None = None
        self._ended = False
        self._descriptor = native.event_fd()
        loop.add_reader(self._descriptor, self._drain)

    def here(self) -> Self:
        """Gives itself to callers in the loop of the engine."""
        # In a child of fork no loop runs, and another one may be begun; that it is a child says more.
        if asyncio._get_running_loop() is not self.loop and self._native.event_fd() >= 0:
            raise RuntimeError("the engine was opened in another event loop; open one in each loop that calls")
        return self

    async def outcome(self, begun: T | int) -> T:
        """The outcome of a call that was begun, which is there at once or waited for."""
        if not isinstance(begun, int):
            return begun
        return cast("T", await self.future(begun))

    async def close(self) -> None:
        """Closes the engine, and gives back the descriptor when the last call is settled."""
        self.here()
        if self._closed is None:
            begun = self._native.begin_close()
            self._closed = self.loop.create_future()
            if begun is None:
                self._end(None)
            else:
                self.future(begun).add_done_callback(self._end)
        # Whoever waits may be cancelled; the closing goes on.
        await asyncio.shield(self._closed)

    def future(self, number: int) -> asyncio.Future[Any]:
        """The outcome of a call that was given a number."""
        future: asyncio.Future[Any] = self.loop.create_future()
        self._futures[number] = future
        return future

    def _drain(self) -> None:
        try:
            done = self._native.drain()
        except TrustEngineError as error:
            # The process is a child of the one that opened the engine: nothing comes any more.
            self.loop.remove_reader(self._descriptor)
            done = [(number, None, error) for number in self._futures]
        for number, result, failure in done:
            future = self._futures.pop(number, None)
            # The future of a call whose task was cancelled is done, and nobody waits for it.
            if future is None or future.done():
                continue
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)
        self._finish()

    def _end(self, closed: asyncio.Future[Any] | None) -> None:
        """The engine is closed; what is under way is settled before anybody hears of it."""
        self._ended = True
        error = None if closed is None else closed.exception()
        if error is not None and self._closed is not None and not self._closed.done():
            self._closed.set_exception(error)
        self._finish()

    def _finish(self) -> None:
        if not self._ended or self._futures:
            return
        self.loop.remove_reader(self._descriptor)
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


def _close_unused(opening: asyncio.Future[NativeEngine]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        # Nobody has used the engine, so closing it waits for nothing but its worker threads.
        opening.result().close()


class AsyncReservation:
    """Amounts that are charged and may turn out not to be needed."""

    def __init__(self, engine: AsyncEngine, native: Reservation) -> None:
        """Made by `AsyncEngine.reserve`."""
        self._engine = engine
        self._native = native

    @property
    def verdict(self) -> CeilingVerdict:
        """The verdict of the check that charged the amounts."""
        return self._native.verdict

    async def commit(self, used: int | Sequence[int]) -> Receipt | None:
        """Says how much was used of each resource, in the order of the request; the rest is free again."""
        if used is None:
            raise TypeError("used is None; it takes an amount for each resource")
        return await self._engine._settled(self._native, used)

    async def void(self) -> Receipt | None:
        """Says that nothing was used."""
        return await self._engine._settled(self._native, None)


class AsyncSubscription(Generic[T]):
    """The items of a stream, for one task at a time; any task may close it, also while another waits for an item.

    It ends when the task that waits for an item is cancelled, as an asynchronous generator does.
    """

    def __init__(self, engine: AsyncEngine, caller: Caller, name: str, parameters: str) -> None:
        """Made by `AsyncEngine.subscribe` and `AsyncLog.follow`."""
        self._engine = engine
        self._stream = (caller, name, parameters)
        self._native: NativeSubscription | None = None
        self._ended = False
        self._items = 0

    def __aiter__(self) -> Self:
        """Gives the subscription itself."""
        return self

    async def __anext__(self) -> T:
        """Waits for the next item. After an error that is retryable it can be asked again where it stood."""
        try:
            native = await self._begun()
            if native is None:
                raise StopAsyncIteration
            self._items += 1
            if self._items % _ITEMS_PER_TURN == 0:
                await asyncio.sleep(0)
            item = await self._engine._next(native)
        except asyncio.CancelledError:
            # An item that comes meanwhile is lost, so there is nothing that could be gone on with.
            self._end()
            raise
        except TrustEngineError as error:
            if not error.retryable:
                self._end()
            raise
        if item is None:
            self._end()
            raise StopAsyncIteration
        return cast("T", json.loads(item))

    async def aclose(self) -> None:
        """Ends the subscription; a task that waits for an item finds it ended."""
        self._end()

    async def __aenter__(self) -> Self:
        """Begins the subscription: what is committed from now on is part of it."""
        await self._begun()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the subscription."""
        self._end()

    async def _begun(self) -> NativeSubscription | None:
        """The subscription, begun if it was not; `None` once it is ended."""
        if self._native is None and not self._ended:
            native = await self._engine._subscribed(*self._stream)
            if self._ended:
                # It was closed while it began.
                native.end()
            else:
                self._native = native
        return self._native

    def _end(self) -> None:
        self._ended = True
        if self._native is not None:
            self._native.end()
            self._native = None


class AsyncAgents:
    """The agents of one organization."""

    def __init__(self, engine: AsyncEngine, organization: str | None) -> None:
        """Made by `AsyncEngine.agents`."""
        self._engine = engine
        self._calls = AgentCalls(organization)

    async def register(self, agent: NewAgent) -> Agent:
        """Registers an agent; committed when this returns."""
        return await self._engine._made(self._calls.register(agent))

    async def change(self, agent_id: str, change: AgentChange) -> Agent:
        """Changes an agent; `ConflictError` if it is at another version than the change was made from."""
        return await self._engine._made(self._calls.change(agent_id, change))

    async def get(self, agent_id: str) -> Agent:
        """One agent."""
        return await self._engine._made(self._calls.get(agent_id))

    async def import_many(self, agents: Iterable[NewAgent]) -> list[Agent | TrustEngineError]:
        """Registers many agents as fast as they can be committed together.

        The outcomes are in the places of the agents: the agent, or the error for which it was refused. One that is
        refused costs no other. Parents and creators may stand before their descendants.
        """
        outcomes: list[Agent | TrustEngineError] = []
        for count, call in self._calls.import_batches(agents):
            try:
                made = await self._engine._made(call)
                outcomes += made
            except TrustEngineError as error:
                # The outcomes of earlier batches are told all the same.
                outcomes += [error] * count
        return outcomes

    def list(self, **query: Unpack[AgentQuery]) -> AsyncGenerator[Agent, None]:
        """The agents of a query, in the order of their registration, page by page."""
        return self._engine._items(self._calls.page(**query))

    async def page(self, **query: Unpack[AgentQuery]) -> AgentPage:
        """One page of the agents of a query."""
        return await self._engine._made(self._calls.page(**query))

    async def count(self, **query: Unpack[AgentFilter]) -> int:
        """The number of agents. Exact up to 10,000; more are 10,000."""
        return await self._engine._made(self._calls.count(**query))


class AsyncLog:
    """The log, as one organization or the whole fleet sees it."""

    def __init__(self, engine: AsyncEngine, organization: str | None, fleet_wide: bool) -> None:
        """Made by `AsyncEngine.log`."""
        self._engine = engine
        self._calls = LogCalls(organization, fleet_wide)

    async def record(
        self, type: HostRecordType, agent_id: str, decision: str, **record: Unpack[LogRecordKeywords]
    ) -> Receipt:
        """Records something that the host decided; committed when this returns. The whole fleet records nothing."""
        organization = self._calls.organization()
        return await self._engine.record(type, agent_id, decision, organization=organization, **record)

    def query(self, **query: Unpack[RecordQuery]) -> AsyncGenerator[ProvenanceRecord, None]:
        """Every record that matches, page by page; records committed meanwhile neither shift nor repeat anything."""
        return self._engine._items(self._calls.page(**query))

    async def page(self, **query: Unpack[RecordQuery]) -> Page:
        """One page of the records of a query."""
        return await self._engine._made(self._calls.page(**query))

    def follow(self, **query: Unpack[RecordFilter]) -> AsyncSubscription[ProvenanceRecord]:
        """Records as they are committed from now on, in their final order over all shards.

        The subscription begins with `async with`, or when its first item is asked for.
        """
        parameters = self._calls.follow(**query)
        return AsyncSubscription(self._engine, self._calls.caller, "provenance.follow", parameters)

    async def get(self, id: str | UUID) -> ProvenanceRecord:
        """One record."""
        return await self._engine._made(self._calls.get(id))

    async def chain(self, id: str | UUID, depth: int = 10) -> list[ProvenanceRecord]:
        """The record, first, and what it follows from: at most `depth` (1 to 100) ancestors."""
        return await self._engine._made(self._calls.chain(id, depth))

    async def prove(self, id: str | UUID) -> str:
        """A C2SP tlog-proof that the record is in the log, against the newest checkpoint."""
        return await self._engine._made(self._calls.prove(id))

    async def evidence(self, id: str | UUID) -> Evidence:
        """All that the record is verified by, for `verify.evidence`."""
        return await self._engine._made(self._calls.evidence(id))

    async def checkpoint(self, shard: int | None = None) -> str:
        """The newest signed checkpoint of a shard, by default of the one that this engine writes."""
        return await self._engine._made(self._calls.checkpoint(shard))

    async def consistency(self, older: int, shard: int | None = None) -> Consistency:
        """A proof that the newest checkpoint of a shard begins with the log of the size `older`."""
        return await self._engine._made(self._calls.consistency(older, shard))

    async def verify(self) -> list[str]:
        """Recomputes everything in every shard; gives what is wrong, nothing if it is clean."""
        return await self._engine._made(self._calls.verify())

    async def export(self, folder: str | PathLike[str], shard: int | None = None) -> Exported:
        """Writes the log of a shard into a folder, as C2SP tlog-tiles and JSON Lines."""
        return await self._engine._made(self._calls.export(folder, shard))


class AsyncCeilings:
    """The ceilings of one organization's agents."""

    def __init__(self, engine: AsyncEngine, organization: str | None) -> None:
        """Made by `AsyncEngine.ceilings`."""
        self._engine = engine
        self._calls = CeilingCalls(organization)

    async def usage(self, agent_id: str, resource_type: str | None = None) -> list[CeilingUsage]:
        """How far an agent has come with every resource that its tier has a ceiling for, or with one of them."""
        return await self._engine._made(self._calls.usage(agent_id, resource_type))

    async def peek(
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
        return await self._engine._made(call)

    async def reset(self, agent_id: str, resource_type: str, actor: str) -> ResetAnswer:
        """Brings counters that are ahead of the clock back to it, in the name of `actor`."""
        return await self._engine._made(self._calls.reset(agent_id, resource_type, actor))


class AsyncPolicy:
    """The policy in force and its history. There is one for all organizations."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Made by `AsyncEngine.policy`."""
        self._engine = engine
        self._calls = PolicyCalls()

    async def current(self) -> CurrentPolicy:
        """The policy in force."""
        return await self._engine._made(self._calls.current())

    async def swap(self, document: str, actor: str) -> ReceiptAnswer:
        """Brings a document (YAML or JSON text) into force; returns when its record is committed."""
        return await self._engine._made(self._calls.swap(document, actor))

    async def history(self, below: int | None = None, limit: int = 20) -> list[PolicyVersion]:
        """Versions below the given one, newest first."""
        return await self._engine._made(self._calls.history(below, limit))
