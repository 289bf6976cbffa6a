"""The engine itself: opening, closing, calls by name, statistics."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import trust_engine
from support import NOWHERE, Opened, asynchronous, names
from trust_engine import (
    AsyncAgents,
    AsyncCeilings,
    AsyncEngine,
    AsyncLog,
    AsyncPolicy,
    AsyncReservation,
    ClosedError,
    ConflictError,
    Engine,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    Reservation,
    StoreError,
    TrustEngineError,
    UnavailableError,
    _calls,
    call_table,
    caller,
)
from trust_engine._trust_engine import NativeEngine


@asynchronous
async def test_the_engine_counts_is_healthy_and_names_its_key(opened: Opened) -> None:
    async with opened() as engine:
        await engine.evaluate_gate("a", "READER")
        stats = await engine.stats("1h")
        assert (stats["roleGates"]["total"], stats["roleGates"]["denied"]) == (1, 1)
        assert (await engine.health())["database"] == "up"
        info = await engine.info()
        assert (info["version"], info["shard"]) == (trust_engine.__version__, 0)
        assert "/prov/0+" in await engine.verifier_key()
        assert isinstance(await engine.warnings(), list)
        for wrong in ("2h", 7, None, ""):
            if wrong is not None:
                with pytest.raises(InvalidInputError) as raised:
                    await engine.stats(wrong)  # type: ignore[arg-type]
                assert names(raised.value, "timeRange")


def test_an_engine_closes_with_its_block_and_once(tmp_path: Path) -> None:
    with Engine(storage={"embedded": str(tmp_path / "trust")}) as engine:
        assert not engine.is_closed
        engine.record("ALERT", "a", "RAISED")
    assert engine.is_closed
    engine.close()
    with pytest.raises(ZeroDivisionError), Engine(storage={"embedded": tmp_path / "trust"}) as engine:
        raise ZeroDivisionError
    assert engine.is_closed
    # Its folder is free at once.
    with Engine(storage={"embedded": tmp_path / "trust"}) as engine:
        assert engine.log().page(type="ALERT")["data"][0]["agentId"] == "a"


@asynchronous
async def test_an_awaited_engine_closes_with_its_block_and_once(tmp_path: Path) -> None:
    engine = await AsyncEngine.open(storage={"embedded": tmp_path / "trust"})
    async with engine:
        await engine.record("ALERT", "a", "RAISED")
        assert not engine.is_closed
    assert engine.is_closed
    await engine.close()
    async with await AsyncEngine.open(storage={"embedded": tmp_path / "trust"}) as engine:
        assert (await engine.log().page(type="ALERT"))["data"][0]["agentId"] == "a"


@asynchronous
async def test_an_engine_that_is_closed_says_so(in_memory: Opened) -> None:
    async with in_memory() as engine:
        verdict = engine.decide_gate("a", "READER")
        await engine.committed(verdict)
        log, agents, policy, quota = engine.log(), engine.agents(), engine.policy, engine.quota
    for call in (
        lambda: engine.evaluate_gate("a", "READER"),
        lambda: engine.check_ceiling("a", "API_CALLS", 1),
        lambda: engine.reserve("a", "API_CALLS", 1),
        lambda: engine.record("ALERT", "a", "RAISED"),
        lambda: engine.call("agents.list"),
        lambda: engine.stats(),
        lambda: engine.health(),
        lambda: engine.info(),
        lambda: engine.verifier_key(),
        lambda: engine.warnings(),
        lambda: log.get(NOWHERE),
        lambda: log.page(),
        lambda: log.verify(),
        lambda: agents.get("a"),
        lambda: policy.current(),
    ):
        with pytest.raises(ClosedError) as raised:
            await call()
        assert (raised.value.code, raised.value.retryable) == ("TE_CLOSED", False)
    for at_once in (
        lambda: engine.decide_gate("a", "READER"),
        lambda: engine.check_ceiling_now("a", "API_CALLS", 1),
        lambda: quota("a"),
    ):
        with pytest.raises(ClosedError):
            at_once()
    with pytest.raises(ClosedError):
        async for _ in log.query():
            pass
    with pytest.raises(ClosedError):
        async for _ in engine.subscribe("agents.list"):
            pass
    # What is known already is told.
    assert (await engine.committed(verdict)) == verdict.receipt


def test_a_store_is_open_once(tmp_path: Path) -> None:
    with Engine(storage={"embedded": tmp_path}):
        with pytest.raises(UnavailableError) as raised:
            Engine(storage={"embedded": tmp_path})
        assert (raised.value.code, raised.value.retryable) == ("TE_LOCKED", True)


SIGNED: dict[str, Any] = {"signing_key": bytes(32), "deployment": "d"}
UNREACHABLE = {"postgres": {"url": "postgres://postgres@127.0.0.1:1/test", "connectTimeoutMs": 500}}


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"storage": {}}, InvalidInputError),
        ({"storage": None}, InvalidInputError),
        ({"storage": []}, InvalidInputError),
        ({"storage": {"memry": True}}, InvalidInputError),
        ({"storage": {"memory": "yes"}}, InvalidInputError),
        ({"storage": {"memory": True, "embedded": "x"}}, InvalidInputError),
        ({"storage": {"memory": True, 7: 8}}, InvalidInputError),
        ({"storage": {"memory": True}, "signing_key": bytes(31)}, InvalidInputError),
        ({"storage": {"memory": True}, "signing_key": "00" * 32}, TypeError),
        ({"storage": {"memory": True}, "queue": "9"}, InvalidInputError),
        ({"storage": {"memory": True}, "queue": -1}, InvalidInputError),
        ({"storage": {"memory": True}, "queue": 2**70}, InvalidInputError),
        ({"storage": {"memory": True}, "tier_authorities": "gateway"}, InvalidInputError),
        ({"storage": {"memory": True}, "tier_authorities": ["a\ud800"]}, InvalidInputError),
        ({"storage": {"memory": True}, "policy": b"roles: 1"}, InvalidInputError),
        ({"storage": {"memory": True, "redis": "redis://127.0.0.1:6379"}}, InvalidInputError),
        ({"storage": {"memory": True, "redis": {"url": "redis://h", "prefx": "x"}}}, InvalidInputError),
        ({"storage": {"postgres": {}}}, InvalidInputError),
        ({"storage": UNREACHABLE}, InvalidInputError),
        ({"storage": UNREACHABLE, **SIGNED}, UnavailableError),
        ({"storage": {"embedded": "/proc/nowhere"}}, TrustEngineError),
        ({"storage": {"embedded": "x\x00y"}}, TrustEngineError),
        ({"storage": {"embedded": "x\udcff"}}, InvalidInputError),
        ({"storage": {"embedded": b"x"}}, InvalidInputError),
        ({"storage": {"memory": True}, "polcy": "x"}, TypeError),
        ({}, TypeError),
    ],
    ids=repr,
)
def test_options_that_are_none_are_told_apart(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        Engine(**options)


@pytest.mark.parametrize(
    ("storage", "field"),
    [
        ({"memory": "yes"}, "storage.memory"),
        ({"memory": True, "redis": {"url": "redis://h", "prefx": "x"}}, "storage.redis.prefx"),
        ({"postgres": {}}, "storage.postgres.url"),
        ({"postgres": {"url": "postgres://h", "connections": 1.5}}, "storage.postgres.connections"),
        ({"embedded": float("nan")}, "storage.embedded"),
    ],
    ids=repr,
)
def test_the_option_that_is_wrong_is_named(storage: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        Engine(storage=storage)
    assert names(raised.value, field)


@asynchronous
async def test_an_awaited_engine_takes_the_same_options() -> None:
    with pytest.raises(TypeError, match="polcy"):
        await AsyncEngine.open(storage={"memory": True}, polcy="x")  # type: ignore[call-arg]
    with pytest.raises(InvalidInputError):
        await AsyncEngine.open(storage={})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"AsyncEngine\.open"):
        AsyncEngine()
    with pytest.raises(TypeError):
        AsyncEngine(storage={"memory": True})  # type: ignore[call-arg]


def test_a_key_of_the_host_signs() -> None:
    keys = set()
    for key in (bytes([7]) * 32, bytearray([7]) * 32, memoryview(bytes([7]) * 32)):
        with Engine(storage={"memory": True}, signing_key=key, deployment="test.example.com/python") as engine:
            keys.add(engine.verifier_key())
    [name] = keys
    assert name.startswith("test.example.com/python/prov/0+")


@asynchronous
async def test_a_backup_is_made_into_a_new_folder_and_nowhere_else(in_memory: Opened, tmp_path: Path) -> None:
    async with in_memory() as engine:
        with pytest.raises(StoreError) as raised:
            await engine.backup(tmp_path / "copy")
        assert raised.value.code == "TE_UNSUPPORTED"
    with Engine(storage={"embedded": tmp_path / "trust"}) as store:
        store.backup(tmp_path / "copy")
        with pytest.raises(StoreError) as raised:
            store.backup(str(tmp_path / "copy"))
        assert raised.value.code == "TE_FOREIGN"
    with pytest.raises(StoreError, match="restore"):
        Engine(storage={"embedded": tmp_path / "copy"})


@asynchronous
async def test_the_calls_of_the_table_are_made_by_name(opened: Opened) -> None:
    async with opened() as engine:
        console = caller("console")
        put = await engine.call("agents.put", {"agentId": "a"}, {"tier": "BASIC"}, caller=console)
        assert (put.status, put.etag, put.content_type) == (201, '"1"', "application/json; charset=utf-8")
        with pytest.raises(ConflictError):
            await engine.call("agents.put", {"agentId": "a"}, b'{"tier":"BASIC"}', caller=console, if_match='"7"')
        again = await engine.call("agents.put", {"agentId": "a"}, bytearray(b"{}"), caller=console, if_match='"1"')
        assert (again.status, again.immutable) == (200, False)
        page = await engine.call("agents.list", {"tier": "BASIC", "total": True})
        assert json.loads(page.body)["total"] == 1
        record = await engine.call("provenance.record", None, {"type": "ALERT", "agentId": "a", "decision": "RAISED"})
        id = json.loads(record.body)["id"]
        read = await engine.call("provenance.get", {"id": id, "includeEvidence": True})
        assert (read.immutable, json.loads(read.body)["evidence"]["payload"] is None) == (True, False)
        proof = await engine.call("provenance.proof", {"id": id})
        assert proof.content_type.startswith("text/plain")
        for name in ("agents.lst", "", "agents.list "):
            with pytest.raises(NotFoundError):
                await engine.call(name)
        with pytest.raises(InvalidInputError) as raised:
            await engine.call("agents.list", {"teir": "BASIC"})
        assert names(raised.value, "teir")
        with pytest.raises(InvalidInputError) as raised:
            await engine.call("agents.list", None, b"{}")
        assert names(raised.value, "body")


@asynchronous
async def test_a_caller_does_what_its_permissions_allow_and_nothing_else(in_memory: Opened) -> None:
    async with in_memory() as engine:
        reader = caller("key", permissions=["agents:read"])
        assert (await engine.call("agents.list", caller=reader)).status == 200
        with pytest.raises(ForbiddenError) as raised:
            await engine.call("agents.put", {"agentId": "a"}, {}, caller=reader)
        assert raised.value.details["permission"] == "agents:write"
        with pytest.raises(ForbiddenError):
            await engine.call("agents.list", caller=caller(permissions=[]))
        tenant, fleet = caller("t", organization="acme"), caller("f", fleet_wide=True, internal=True)
        await engine.call("agents.put", {"agentId": "a"}, {}, caller=tenant)
        with pytest.raises(NotFoundError):
            await engine.call("agents.get", {"agentId": "a"})
        with pytest.raises(ForbiddenError):
            await engine.call("provenance.query", {"type": "AGENT"}, caller=tenant)
        found = json.loads((await engine.call("provenance.query", {"type": "AGENT"}, caller=fleet)).body)["data"]
        assert [(record["organization"], record["agentId"]) for record in found] == [("acme", "a")]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "caller"),
        ({"name": 7}, "name"),
        ({"name": "a\ud800"}, "name"),
        ({"organization": "*"}, "organization"),
        ({"fleet_wide": "yes"}, "fleetWide"),
        ({"internal": 1}, "internal"),
        ({"permissions": ["agents:reed"]}, "permissions"),
        ({"permissions": "agents:read"}, "permissions"),
        ({"permissions": [7]}, "permissions[0]"),
        # A list that could not be had gives no rights.
        ({"permissions": None}, "permissions"),
    ],
    ids=repr,
)
def test_a_caller_that_is_none_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        caller(**fields)
    assert names(raised.value, field)


def test_a_caller_that_could_not_be_found_is_not_the_host() -> None:
    with Engine(storage={"memory": True}) as engine:
        for call in (
            lambda: engine.call("engine.info", caller=None),  # type: ignore[arg-type]
            lambda: engine.subscribe("agents.list", caller=None),  # type: ignore[arg-type]
        ):
            with pytest.raises(TypeError):
                call()


def test_what_is_of_every_organization_is_for_callers_of_the_whole_fleet(tmp_path: Path) -> None:
    with Engine(storage={"embedded": tmp_path / "trust"}) as engine:
        folder = {"folder": str(tmp_path / "out")}
        for name, parameters in (("log.verify", {}), ("log.export", folder), ("engine.backup", folder)):
            with pytest.raises(ForbiddenError):
                engine.call(name, parameters, caller=caller(organization="acme"))
        assert not (tmp_path / "out").exists()
        engine.log("acme").export(tmp_path / "out")


def test_a_caller_has_no_other_fields() -> None:
    with pytest.raises(TypeError, match="nmae"):
        caller(nmae="x")  # type: ignore[call-arg]


def test_the_table_of_calls_is_the_one_of_the_page() -> None:
    table = call_table()
    [row] = [row for row in table if row["name"] == "agents.list"]
    assert (row["route"], row["permission"]) == ({"method": "GET", "path": "/agents"}, "agents:read")
    page = (Path(__file__).parents[2] / "docs" / "calls.md").read_text()
    assert all(f"| `{row['name']}` |" in page for row in table)


def verbs(kind: type) -> set[str]:
    """The public methods and properties of a class."""
    return {name for name in dir(kind) if not name.startswith("_")}


def test_both_engines_have_the_same_verbs() -> None:
    # The forms that waiting is built of; `committed` stands at the verdict itself.
    halves = {name for name in dir(NativeEngine) if name.startswith("begin_")}
    halves |= {"event_fd", "drain", "call_json", "subscribe_json"}
    # What only a build for tests has.
    halves |= {"test_panic"}
    assert verbs(AsyncEngine) - {"open", "committed"} == verbs(Engine) - halves
    for waiting, awaited in (
        (trust_engine.Agents, AsyncAgents),
        (trust_engine.Log, AsyncLog),
        (trust_engine.Ceilings, AsyncCeilings),
        (trust_engine.Policy, AsyncPolicy),
        (Reservation, AsyncReservation),
    ):
        assert verbs(waiting) == verbs(awaited)
        for name in verbs(waiting):
            if inspect.isfunction(method := getattr(waiting, name)):
                own = inspect.signature(getattr(awaited, name)).parameters
                assert list(inspect.signature(method).parameters) == list(own), name


def test_the_keywords_of_an_awaited_engine_are_those_of_the_native_half() -> None:
    for name, keywords in (
        ("evaluate_gate", _calls.GateKeywords),
        ("decide_gate", _calls.GateKeywords),
        ("check_ceiling", _calls.CheckKeywords),
        ("check_ceiling_now", _calls.CheckKeywords),
        ("reserve", _calls.ReserveKeywords),
        ("record", _calls.RecordKeywords),
    ):
        parameters = inspect.signature(getattr(NativeEngine, name)).parameters
        beside = {name for name, of in parameters.items() if of.kind is inspect.Parameter.KEYWORD_ONLY}
        assert beside == set(keywords.__annotations__), name


def test_everything_that_is_public_is_there() -> None:
    assert sorted(trust_engine.__all__) == sorted(set(trust_engine.__all__))
    assert all(hasattr(trust_engine, name) for name in trust_engine.__all__)
    assert trust_engine.__version__.count(".") == 2
