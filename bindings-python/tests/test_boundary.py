"""Strictness at the boundary: an argument is taken, or refused as a TypeError or an error of the engine."""

from __future__ import annotations

import asyncio
import enum
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import HEAVY, NOWHERE, names, vectors
from trust_engine import (
    AsyncEngine,
    Engine,
    InternalError,
    InvalidInputError,
    TrustEngineError,
    call_table,
    caller,
    verify,
)

Arguments = dict[str, Any]
Verb = Callable[..., Any]


class Number(enum.IntEnum):
    """An int that says of itself that it is something else."""

    ONE = 1


class Word(str):
    """A str that says of itself that it is something else."""

    __slots__ = ()

    def __str__(self) -> str:
        """Another text."""
        return "another"


WEIRD = [
    object(),
    ...,
    NotImplemented,
    int,
    len,
    range(3),
    Exception("x"),
    Number.ONE,
    Word("word"),
    10**4000,
    -(10**4000),
    2**63,
    2**64,
    2**1100,
    bytearray(b"x"),
    memoryview(b"x"),
    frozenset("a"),
    {"a": {"b": {None: 1}}},
    {Word("a"): Number.ONE},
    [[[[[[[[[[[[]]]]]]]]]]]],
    "\ud800",
    "a\x00b",
    "x" * 100_000,
    b"\xff",
]
SURROGATES = st.text(st.characters(categories=["Cs", "Cc", "Ll"]), max_size=4)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=8),
    SURROGATES,
    st.binary(max_size=8),
    st.uuids(),
    st.decimals(),
    st.fractions(),
    st.datetimes(),
    st.datetimes(timezones=st.just(timezone.utc)),
    st.dates(),
    st.timedeltas(),
    st.sampled_from(WEIRD),
)
KEYS = st.one_of(st.text(max_size=4), SURROGATES, st.integers(), st.none(), st.booleans(), st.tuples(st.integers()))
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(st.text(max_size=4), inner, max_size=3),
    ),
    max_leaves=6,
)

EXAMPLES = settings(
    max_examples=2000 if HEAVY else 40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

GATE: Arguments = {
    "agent_id": "agent_001",
    "role": "READER",
    "tier": "BASIC",
    "organization": "default",
    "caller": "c",
    "on_behalf_of": "u",
    "traceparent": None,
    "resource_id": "r",
    "action": "read",
    "environment": "e",
    "metadata": {},
}
CHECK: Arguments = {
    "agent_id": "agent_001",
    "resource_type": "API_CALLS",
    "amount": 1,
    "resources": None,
    "tier": "BASIC",
    "organization": "default",
    "caller": "c",
    "on_behalf_of": "u",
    "traceparent": None,
}
RECORD: Arguments = {
    "type": "ALERT",
    "agent_id": "a",
    "decision": "RAISED",
    "id": None,
    "reason_code": "X",
    "reason": "x",
    "context": {},
    "parent_id": None,
    "organization": None,
    "caller": None,
    "on_behalf_of": None,
    "traceparent": None,
}
CALL: Arguments = {
    "name": "agents.put",
    "parameters": {"agentId": "b"},
    "body": {"tier": "BASIC"},
    "caller": caller("c"),
    "if_match": None,
    "idempotency_key": None,
    "request_id": "r",
    "traceparent": None,
}
QUERY: Arguments = {
    "agent_id": "a",
    "type": "ALERT",
    "decision": "RAISED",
    "start_time": None,
    "end_time": None,
    "parent_id": None,
    "oldest_first": False,
    "page_size": 5,
    "page_token": None,
    "read_your_writes": False,
}
CHAIN: Arguments = {"id": NOWHERE, "depth": 1}
AGENTS: Arguments = {"tier": "BASIC", "status": "ACTIVE", "family": "a", "page_size": 5, "page_token": None}
CHANGE: Arguments = {"agent_id": "nobody", "change": {}}

# Each verb, and arguments that it takes. Verbs that are the same in both engines.
BOTH: dict[str, tuple[Callable[[Any], Verb], Arguments]] = {
    "decide_gate": (lambda e: e.decide_gate, GATE),
    "evaluate_gate": (lambda e: e.evaluate_gate, GATE),
    "check_ceiling": (lambda e: e.check_ceiling, {**CHECK, "request_id": None}),
    "check_ceiling_now": (lambda e: e.check_ceiling_now, {**CHECK, "request_id": None}),
    "reserve": (lambda e: e.reserve, CHECK),
    "quota": (lambda e: e.quota, {"agent_id": "agent_001", "organization": "default"}),
    "record": (lambda e: e.record, RECORD),
    "call": (lambda e: e.call, CALL),
    "agents": (lambda e: e.agents, {"organization": "acme"}),
    "agents.register": (lambda e: e.agents("new").register, {"agent": {"id": "c"}}),
    "agents.change": (lambda e: e.agents("new").change, CHANGE),
    "agents.get": (lambda e: e.agents("new").get, {"agent_id": "c"}),
    "agents.import_many": (lambda e: e.agents("new").import_many, {"agents": [{"id": "c"}]}),
    "agents.page": (lambda e: e.agents("new").page, AGENTS),
    "agents.count": (lambda e: e.agents("new").count, {"tier": "BASIC", "status": "ACTIVE", "family": "a"}),
    "log": (lambda e: e.log, {"organization": "acme", "fleet_wide": False}),
    "log.record": (lambda e: e.log("acme").record, {k: v for k, v in RECORD.items() if k != "organization"}),
    "log.page": (lambda e: e.log().page, QUERY),
    "log.get": (lambda e: e.log().get, {"id": NOWHERE}),
    "log.chain": (lambda e: e.log().chain, CHAIN),
    "log.prove": (lambda e: e.log().prove, {"id": NOWHERE}),
    "log.evidence": (lambda e: e.log().evidence, {"id": NOWHERE}),
    "log.checkpoint": (lambda e: e.log().checkpoint, {"shard": 0}),
    "log.consistency": (lambda e: e.log().consistency, {"older": 1, "shard": 0}),
    "ceilings": (lambda e: e.ceilings, {"organization": "acme"}),
    "ceilings.usage": (lambda e: e.ceilings().usage, {"agent_id": "agent_001", "resource_type": "API_CALLS"}),
    "ceilings.peek": (
        lambda e: e.ceilings().peek,
        {k: CHECK[k] for k in ("agent_id", "resource_type", "amount", "resources", "tier", "caller")},
    ),
    "ceilings.reset": (
        lambda e: e.ceilings().reset,
        {"agent_id": "agent_001", "resource_type": "API_CALLS", "actor": "ops"},
    ),
    "policy.swap": (lambda e: e.policy.swap, {"document": "roles: 1", "actor": "ops"}),
    "policy.history": (lambda e: e.policy.history, {"below": 5, "limit": 5}),
    "stats": (lambda e: e.stats, {"time_range": "1h", "organization": None, "fleet_wide": False}),
    "subscribe": (lambda e: e.subscribe, {"name": "agents.list", "parameters": {}, "caller": None}),
    "log.follow": (lambda e: e.log().follow, {"agent_id": "a", "type": "ALERT", "decision": "RAISED"}),
}


def answered(call: Callable[[], Any]) -> Any:
    """What a call gives; `None` if it is refused, as it should be. Any other exception fails the test."""
    try:
        return call()
    except (TypeError, TrustEngineError) as error:
        assert not isinstance(error, InternalError), error
        assert isinstance(repr(error), str)
        return None


def works(engine: Any) -> None:
    """The engine goes on working."""
    assert engine.decide_gate("agent_001", "READER").decision == "ALLOW"


@pytest.mark.parametrize("name", BOTH)
@EXAMPLES
@given(data=st.data())
def test_whatever_an_argument_is_the_engine_takes_or_refuses_it(memory: Engine, name: str, data: st.DataObject) -> None:
    verb, arguments = BOTH[name]
    changed = {**arguments, data.draw(st.sampled_from(sorted(arguments))): data.draw(JUNK)}
    answered(lambda: verb(memory)(**changed))
    works(memory)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that a test runs by hand."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.fixture
def awaited(loop: asyncio.AbstractEventLoop) -> Iterator[AsyncEngine]:
    """An engine in memory that is awaited, with an agent."""
    engine = loop.run_until_complete(AsyncEngine.open(storage={"memory": True}))
    loop.run_until_complete(engine.agents().register({"id": "agent_001", "tier": "VERIFIED"}))
    yield engine
    loop.run_until_complete(engine.close())


@pytest.mark.parametrize("name", BOTH)
@EXAMPLES
@given(data=st.data())
def test_whatever_an_argument_is_the_awaited_engine_takes_or_refuses_it(
    loop: asyncio.AbstractEventLoop, awaited: AsyncEngine, name: str, data: st.DataObject
) -> None:
    verb, arguments = BOTH[name]
    changed = {**arguments, data.draw(st.sampled_from(sorted(arguments))): data.draw(JUNK)}

    async def call() -> Any:
        made = verb(awaited)(**changed)
        return await made if asyncio.iscoroutine(made) else made

    answered(lambda: loop.run_until_complete(call()))
    works(awaited)


@EXAMPLES
@given(data=st.data())
def test_whatever_is_settled_or_taken_is_taken_or_refused(
    loop: asyncio.AbstractEventLoop, memory: Engine, awaited: AsyncEngine, data: st.DataObject
) -> None:
    quota = memory.quota("agent_001")
    junk = data.draw(JUNK)
    answered(lambda: quota.try_take(junk, 1))
    answered(lambda: quota.try_take("API_CALLS", junk))
    answered(lambda: loop.run_until_complete(awaited.committed(junk)))
    _, reservation = memory.reserve("agent_001", "API_CALLS", 1)
    if reservation is not None:
        answered(lambda: reservation.commit(junk))
    _, other = loop.run_until_complete(awaited.reserve("agent_001", "API_CALLS", 1))
    if other is not None:
        answered(lambda: loop.run_until_complete(other.commit(junk)))
    works(memory)
    works(awaited)


@EXAMPLES
@given(name=st.sampled_from(call_table()), parameters=JUNK, body=JUNK)
def test_every_call_of_the_table_takes_or_refuses_what_it_is_given(
    memory: Engine, name: Mapping[str, Any], parameters: object, body: object
) -> None:
    # These write into folders, of which there may be some by the names that are made up here.
    if name["name"] not in ("log.export", "engine.backup"):
        answered(lambda: memory.call(name["name"], parameters, body))  # type: ignore[arg-type]
        works(memory)


OPTIONS: Arguments = {
    "storage": {"memory": True},
    "policy": None,
    "signing_key": bytes(32),
    "deployment": "d",
    "tier_authorities": ["gateway"],
    "shard": 0,
    "takeover_after_ms": 10_000,
    "max_clock_jump_ms": 300_000,
    "queue": 100,
    "cached_agents": 100,
}


@EXAMPLES
@given(name=st.sampled_from(sorted(OPTIONS)), junk=JUNK)
def test_whatever_an_option_is_the_engine_is_opened_or_refused(name: str, junk: object) -> None:
    engine = answered(lambda: Engine(**{**OPTIONS, name: junk}))
    if engine is not None:
        assert engine.health() == {"database": "up"}
        engine.close()


LOG = vectors("log.json")
LAST = LOG["entries"][-1]
EVIDENCE = {
    **{key: LAST[key] for key in ("entry", "payload", "salt")},
    "proof": LOG["proof"]["text"],
    "verifierKey": "",
}
CHECKS: list[tuple[Verb, Arguments]] = [
    (
        verify.record,
        {"entry": LAST["entry"], "proof": LOG["proof"]["text"], "verifier_key": LOG["verifierKey"]},
    ),
    (verify.payload, {"entry": LAST["entry"], "payload": LAST["payload"], "salt": bytes.fromhex(LAST["salt"])}),
    (verify.evidence, {"evidence": EVIDENCE, "verifier_key": LOG["verifierKey"]}),
    (
        verify.consistency,
        {
            "older": LAST["checkpoint"],
            "newer": LAST["checkpoint"],
            "proof": [],
            "verifier_key": LOG["verifierKey"],
        },
    ),
    (verify.log, {"folder": "nowhere", "verifier_key": LOG["verifierKey"], "since": LAST["checkpoint"]}),
    (caller, {"name": "n", "organization": "o", "fleet_wide": False, "internal": False, "permissions": []}),
]


@EXAMPLES
@given(check=st.sampled_from(CHECKS), data=st.data())
def test_whatever_is_verified_is_verified_or_refused(check: tuple[Verb, Arguments], data: st.DataObject) -> None:
    verb, arguments = check
    name = data.draw(st.sampled_from(sorted(arguments)))
    answered(lambda: verb(**{**arguments, name: data.draw(JUNK)}))
    if name == "evidence":
        part = data.draw(st.sampled_from(sorted(EVIDENCE)))
        answered(lambda: verb(**{**arguments, "evidence": {**EVIDENCE, part: data.draw(JUNK)}}))


def looped() -> dict[str, Any]:
    """A mapping that holds itself."""
    loop: dict[str, Any] = {}
    loop["self"] = [loop]
    return loop


def deep(levels: int) -> dict[str, Any]:
    """A mapping of so many levels."""
    return functools.reduce(lambda inner, _: {"a": inner}, range(levels - 1), {})


@pytest.mark.parametrize(
    "metadata",
    [
        {"n": float("nan")},
        {"n": float("inf")},
        {"n": [1, {"m": -float("inf")}]},
        {"n": 2**53},
        {"n": -(2**64)},
        {"n": 10**400},
        {"n": 1e300},
        {"n": "a\ud800"},
        {"a\udfff": 1},
        {"a": {"b": "\ud800"}},
        {1: "a"},
        {None: "a"},
        {"a": {True: 1}},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {"a": object()},
        looped(),
        deep(9),
        deep(200),
        deep(100_000),
        {"long": "x" * 20_000},
        [1],
        "text",
        7,
        [("a", 1)],
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_metadata_is_what_json_has(memory: Engine, metadata: Any) -> None:
    for call in (
        functools.partial(memory.decide_gate, "agent_001", "READER"),
        functools.partial(memory.evaluate_gate, "agent_001", "READER"),
    ):
        with pytest.raises((TypeError, InvalidInputError)) as raised:
            call(metadata=metadata)
        if isinstance(raised.value, InvalidInputError):
            assert names(raised.value, "metadata", "context.metadata")
    with pytest.raises((TypeError, InvalidInputError)) as raised:
        memory.record("ALERT", "a", "RAISED", context=metadata)
    if isinstance(raised.value, InvalidInputError):
        assert names(raised.value, "context")
    works(memory)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"": ""},
        {"a": None, "b": True, "c": 0, "d": -1.5, "e": "é😀\x00\n", "f": [], "g": {}},
        {"n": 2**53 - 1, "m": -(2**53) + 1, "zero": -0.0},
        deep(8),
        {"tuple": (1, (2, "x"))},
    ],
    ids=lambda value: str(sorted(value)),
)
def test_metadata_comes_back_as_it_was_given(memory: Engine, metadata: dict[str, Any]) -> None:
    verdict = memory.evaluate_gate("agent_001", "READER", metadata=metadata)
    record = memory.log().get(verdict.provenance_id)
    plain = {**metadata, "tuple": [1, [2, "x"]]} if "tuple" in metadata else metadata
    assert (record["context"] or {}).get("metadata", {}) == plain
    receipt = memory.record("ALERT", "a", "RAISED", context=metadata)
    assert (memory.log().get(receipt.id)["context"] or {}) == plain


class Ordered(Mapping[str, Any]):
    """A mapping that is no dict; reading it may have an effect."""

    def __init__(self, of: dict[str, Any], effect: Callable[[], None] = lambda: None) -> None:
        self._of = of
        self._effect = effect

    def __getitem__(self, key: str) -> Any:
        return self._of[key]

    def __iter__(self) -> Iterator[str]:
        self._effect()
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)


def test_mappings_of_every_kind_are_read(memory: Engine) -> None:
    metadata = Ordered({"a": Ordered({"b": 1})})
    verdict = memory.evaluate_gate("agent_001", "READER", metadata=metadata)
    record = memory.log().get(verdict.provenance_id)
    assert record["context"] == {"metadata": {"a": {"b": 1}}}
    assert memory.check_ceiling("agent_001", resources=Ordered({"API_CALLS": 1}))


def test_a_mapping_that_changes_while_it_is_read_is_no_panic(memory: Engine) -> None:
    numbers = itertools.count()
    metadata: dict[str, Any] = {}
    metadata.update({f"k{n}": Ordered({}, lambda: metadata.update({f"new{next(numbers)}": 1})) for n in range(5)})
    # What comes of it is the caller's doing; it is an exception like others, and the engine goes on.
    for call in (
        lambda: memory.decide_gate("agent_001", "READER", metadata=metadata),
        lambda: memory.record("ALERT", "a", "RAISED", context=metadata),
    ):
        try:
            call()
        except Exception as error:
            assert not isinstance(error, InternalError)
    works(memory)


def test_an_object_that_is_there_many_times_is_counted_as_often(memory: Engine) -> None:
    shared: list[Any] = [1]
    for _ in range(40):
        shared = [shared, shared]
    for call in (
        lambda: memory.decide_gate("agent_001", "READER", metadata={"a": shared}),
        lambda: memory.record("ALERT", "a", "RAISED", context={"a": shared}),
        lambda: memory.agents().register({"id": "b", "attestations": shared}),
    ):
        with pytest.raises((TypeError, InvalidInputError)):
            call()
    works(memory)


def test_an_error_of_the_callers_own_comes_through(memory: Engine) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    for call in (
        lambda: memory.decide_gate("agent_001", "READER", metadata=Ordered({}, fail)),
        lambda: memory.agents().register(Ordered({"id": "b"}, fail)),  # type: ignore[arg-type]
    ):
        with pytest.raises(ZeroDivisionError):
            call()
    works(memory)


def test_a_str_that_says_something_else_of_itself_is_taken_as_it_is(memory: Engine) -> None:
    verdict = memory.evaluate_gate(Word("agent_001"), Word("READER"), metadata={Word("k"): Word("v")})
    record = memory.log().get(verdict.provenance_id)
    assert (record["agentId"], record["context"]) == ("agent_001", {"metadata": {"k": "v"}})
    assert memory.agents().register({"id": Word("b"), "score": Number.ONE})["id"] == "b"
    assert memory.agents().get(Word("b"))["score"] == 1


def test_half_of_a_surrogate_pair_is_no_text_anywhere(memory: Engine) -> None:
    half = "a\ud800"
    for name in GATE:
        if name not in ("metadata",):
            with pytest.raises(InvalidInputError):
                memory.decide_gate(**{**GATE, name: half})
    for name in {**CHECK, "request_id": None}:
        if name not in ("amount", "resources"):
            with pytest.raises(InvalidInputError):
                memory.check_ceiling_now(**{**CHECK, name: half})
    with pytest.raises(InvalidInputError):
        memory.check_ceiling_now("a", resources={half: 1})
    for name in RECORD:
        if name != "context":
            with pytest.raises(InvalidInputError):
                memory.record(**{**RECORD, name: half})
    for call in (
        lambda: memory.call(half),
        lambda: memory.call("agents.list", {half: 1}),
        lambda: memory.call("agents.list", {"tier": half}),
        lambda: memory.call("agents.put", {"agentId": "a"}, {"tier": half}),
        lambda: memory.call("agents.put", {"agentId": "a"}, {}, if_match=half),
        lambda: memory.log().get(half),
        lambda: memory.agents().get(half),
        lambda: memory.ceilings().usage(half),
        lambda: memory.quota(half),
        lambda: memory.backup(half),
        lambda: memory.log().export(half),
        lambda: verify.record(half, "", ""),
    ):
        with pytest.raises(InvalidInputError):
            call()
    # A pair is text.
    assert not memory.decide_gate("agent_001", "a\U0001f600")


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["large", "small"])
def test_a_number_that_python_itself_does_not_print_is_refused(memory: Engine, number: int) -> None:
    for call in (
        lambda: memory.decide_gate("agent_001", "READER", metadata={"n": number}),
        lambda: memory.check_ceiling("agent_001", "API_CALLS", number),
        lambda: memory.agents().register({"id": "b", "score": number}),
        lambda: memory.log().page(page_size=number),
        lambda: memory.call("agents.list", {"pageSize": number}),
        lambda: Engine(storage={"memory": True}, queue=number),
    ):
        with pytest.raises(InvalidInputError):
            call()
    works(memory)


def test_a_path_is_text_or_leads_to_text(memory: Engine, tmp_path: Path) -> None:
    for wrong in (7, None, b"x", object(), ["x"]):
        for call in (memory.backup, memory.log().export):
            with pytest.raises((TypeError, InvalidInputError)):
                call(wrong)  # type: ignore[arg-type]
    assert memory.log().export(tmp_path / "é")["entries"] > 0
