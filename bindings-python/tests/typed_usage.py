"""Uses of the package for mypy and pyright to check; nothing here is run."""

from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from trust_engine import (
    Agent,
    Answer,
    AsyncEngine,
    AsyncReservation,
    AsyncSubscription,
    CeilingAnswer,
    CeilingVerdict,
    Engine,
    Evidence,
    GateAnswer,
    GateVerdict,
    NewAgent,
    ProvenanceRecord,
    Quota,
    Receipt,
    Reservation,
    Subscription,
    TrustEngineError,
    caller,
    verify,
)
from typing_extensions import assert_type


def waiting(key: bytes) -> None:
    """The engine that waits."""
    engine = Engine(storage={"embedded": Path("trust")}, policy="…", signing_key=key, tier_authorities=["gateway"])
    Engine(storage={"postgres": {"url": "…", "connections": 8}, "redis": "redis://…"}, deployment="d", shard=0)
    assert_type(engine, Engine)
    with engine as same:
        assert_type(same, Engine)
    verdict = engine.evaluate_gate("a", "READER", resource_id="r", metadata={"n": [1, None]})
    assert_type(verdict, GateVerdict)
    assert_type(verdict.decision, Literal["ALLOW", "DENY", "ESCALATE"])
    assert_type(verdict.provenance_id, UUID)
    assert_type(verdict.evaluated_at, datetime)
    assert_type(verdict.committed(), Receipt | None)
    assert_type(verdict.to_dict(), GateAnswer)
    assert_type(engine.check_ceiling("a", "API_CALLS", 1), CeilingVerdict)
    assert_type(engine.check_ceiling_now("a", resources={"API_CALLS": 1}, request_id="r"), CeilingVerdict)
    assert_type(engine.reserve("a", "API_CALLS", 1), tuple[CeilingVerdict, Reservation | None])
    assert_type(engine.quota("a", organization="acme"), Quota)
    assert_type(engine.record("ALERT", "a", "RAISED", parent_id=verdict.provenance_id), Receipt)
    new: NewAgent = {"id": "a", "tier": "BASIC", "attestations": ("soc2",)}
    assert_type(engine.agents().register(new), Agent)
    assert_type(engine.agents("acme").import_many([new]), list[Agent | TrustEngineError])
    assert_type(engine.agents().list(status="ACTIVE", page_size=5), Iterator[Agent])
    assert_type(engine.log().query(start_time=datetime.now(), type="ALERT"), Iterator[ProvenanceRecord])  # noqa: DTZ005
    assert_type(engine.log(fleet_wide=True).follow(type="ALERT"), Subscription[ProvenanceRecord])
    assert_type(engine.subscribe("agents.list"), Subscription[dict[str, Any]])
    assert_type(engine.ceilings().peek("a", "API_CALLS", 1), CeilingAnswer)
    evidence = engine.log().evidence(verdict.provenance_id)
    assert_type(evidence, Evidence)
    verify.evidence(evidence, engine.verifier_key())
    assert_type(engine.call("agents.list", {"pageSize": 5}, caller=caller("c", permissions=["agents:read"])), Answer)
    assert_type(engine.stats("7d")["roleGates"]["byTier"], dict[str, int])
    engine.backup(Path("copy"))


async def awaiting() -> None:
    """The engine that is awaited."""
    engine = await AsyncEngine.open(storage={"memory": True}, queue=100)
    assert_type(engine, AsyncEngine)
    assert_type(await engine.evaluate_gate("a", "READER", action="read"), GateVerdict)
    verdict = engine.decide_gate("a", "READER")
    assert_type(verdict, GateVerdict)
    assert_type(await engine.committed(verdict), Receipt | None)
    assert_type(await engine.check_ceiling("a", "API_CALLS", 1), CeilingVerdict)
    assert_type(await engine.reserve("a", "API_CALLS", 1), tuple[CeilingVerdict, AsyncReservation | None])
    assert_type(await engine.record("ALERT", "a", "RAISED", context={"n": 1}), Receipt)
    assert_type(await engine.agents().change("a", {"version": 1, "status": "REVOKED"}), Agent)
    assert_type(engine.agents().list(tier="BASIC"), AsyncGenerator[Agent, None])
    assert_type(engine.log().query(decision="ALLOW"), AsyncGenerator[ProvenanceRecord, None])
    assert_type(engine.log("acme").follow(), AsyncSubscription[ProvenanceRecord])
    assert_type(await engine.log().chain(verdict.provenance_id, 3), list[ProvenanceRecord])
    assert_type((await engine.policy.current())["hash"], str)
    assert_type(await engine.call("agents.put", {"agentId": "a"}, {"tier": "BASIC"}, if_match="*"), Answer)


def mistakes(engine: Engine, engine2: AsyncEngine) -> None:
    """What the checkers are to find: an ignore that is not needed is an error."""
    engine.evaluate_gate("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    engine.evaluate_gate("a", "r", resource="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    engine.agents().register({"tier": "BASIC"})  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
    engine.log().query(agentId="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    engine.stats("2h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Engine(storage={"memory": True}, polcy="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Engine(policy="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    engine2.decide_gate("a", "r", tier=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    engine2.agents().list(tear="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
