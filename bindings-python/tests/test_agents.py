"""Agents, in both engines and on every store."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from support import Opened, asynchronous, names
from trust_engine import (
    AsyncEngine,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TrustEngineError,
)


async def listed(engine: AsyncEngine, **query: object) -> list[str]:
    """The ids of the agents that a query finds."""
    return [agent["id"] async for agent in engine.agents().list(**query)]  # type: ignore[arg-type]


@asynchronous
async def test_an_agent_is_changed_by_version_and_kept_across_openings(reopened: Opened) -> None:
    async with reopened() as engine:
        agent = await engine.agents().register({"id": "agent_001", "tier": "BASIC", "attestations": ["soc2"]})
        assert (agent["version"], agent["status"], agent["creation"], agent["attestations"]) == (
            1,
            "ACTIVE",
            "FRESH",
            ["soc2"],
        )
        with pytest.raises(ConflictError):
            await engine.agents().register({"id": "agent_001"})
        changed = await engine.agents().change("agent_001", {"version": 1, "tier": "TRUSTED", "changedBy": "ops"})
        assert (changed["version"], changed["tier"]) == (2, "TRUSTED")
        with pytest.raises(ConflictError):
            await engine.agents().change("agent_001", {"version": 1, "tier": "BASIC"})
        with pytest.raises(NotFoundError):
            await engine.agents().get("nobody")
    async with reopened() as engine:
        assert await engine.agents().get("agent_001") == changed


@asynchronous
async def test_agents_are_listed_and_counted_by_tier_status_and_family(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "TRUSTED"})
        await engine.agents().register({"id": "agent_002", "tier": "BASIC", "creator": "agent_001"})
        await engine.agents().register({"id": "agent_003", "tier": "BASIC", "status": "SUSPENDED"})
        queries: list[tuple[dict[str, object], list[str]]] = [
            ({}, ["agent_001", "agent_002", "agent_003"]),
            ({"page_size": 1}, ["agent_001", "agent_002", "agent_003"]),
            ({"tier": "BASIC"}, ["agent_002", "agent_003"]),
            ({"tier": "BASIC", "status": "SUSPENDED"}, ["agent_003"]),
            ({"family": "agent_001"}, ["agent_001", "agent_002"]),
            ({"family": "agent_001", "tier": "TRUSTED", "status": "ACTIVE"}, ["agent_001"]),
            ({"tier": "BASI"}, []),
        ]
        for query, ids in queries:
            assert await listed(engine, **query) == ids, query
            query.pop("page_size", None)
            assert await engine.agents().count(**query) == len(ids)  # type: ignore[arg-type]
        first = await engine.agents().page(tier="BASIC", page_size=1)
        assert [agent["id"] for agent in first["data"]] == ["agent_002"]
        rest = await engine.agents().page(tier="BASIC", page_size=1, page_token=first["nextPageToken"])
        assert [agent["id"] for agent in rest["data"]] == ["agent_003"]
        with pytest.raises(InvalidInputError, match="belongs to another query"):
            await engine.agents().page(page_token=first["nextPageToken"])
        with pytest.raises(InvalidInputError, match="must be one of ACTIVE, SUSPENDED, REVOKED"):
            await engine.agents().page(status="active")  # type: ignore[arg-type]
        assert (await engine.agents("other").page())["data"] == []


@asynchronous
async def test_an_import_tells_each_outcome_in_its_place(opened: Opened) -> None:
    async with opened() as engine:
        agents = engine.agents("other")
        outcomes = await agents.import_many(
            [
                {"id": "a", "tier": "BASIC"},
                {"id": "b", "parent": "a", "creation": "CLONED"},
                {"id": "a"},
                {"id": "c", "teir": "BASIC"},  # type: ignore[typeddict-unknown-key]
                ["d"],  # type: ignore[list-item]
                {"id": "e"},
            ]
        )
        told = [
            outcome.code if isinstance(outcome, TrustEngineError) else outcome.get("family", outcome["id"])
            for outcome in outcomes
        ]
        assert told == ["a", "a", "TE_CONFLICT", "TE_INVALID_INPUT", "TE_INVALID_INPUT", "e"]
        assert isinstance(outcomes[2], ConflictError)
        assert isinstance(outcomes[3], InvalidInputError)
        assert names(outcomes[3], "teir")
        assert await agents.count() == 3
        assert await agents.import_many([]) == []


@asynchronous
async def test_an_import_may_be_larger_than_one_call_takes(in_memory: Opened) -> None:
    async with in_memory() as engine:
        many = ({"id": f"many_{n}", "attestations": ["x" * 100]} for n in range(12_000))
        outcomes = await engine.agents().import_many(many)  # type: ignore[arg-type]
        assert [isinstance(outcome, dict) for outcome in outcomes] == [True] * 12_000
        assert await engine.agents().count() == 10_000


@asynchronous
async def test_an_import_of_what_json_does_not_have_registers_nothing(in_memory: Opened) -> None:
    async with in_memory() as engine:
        with pytest.raises(InvalidInputError) as raised:
            await engine.agents().import_many([{"id": "a"}, {"id": "b", "score": float("nan")}])  # type: ignore[typeddict-item]
        assert names(raised.value, "score")
        for wrong in ({"id": "a"}, "agents", b"agents", None, 7):
            with pytest.raises(TypeError):
                await engine.agents().import_many(wrong)  # type: ignore[arg-type]
        assert await engine.agents().count() == 0


@pytest.mark.parametrize(
    ("agent", "field"),
    [
        ({"id": "a", "tier": "NONE"}, "tier"),
        ({"id": "a", "teir": "BASIC"}, "teir"),
        ({"id": "a", "score": float("inf")}, "score"),
        ({"id": "a", "score": 2**70}, "score"),
        ({"id": "a", "score": None}, "score"),
        ({"id": "a", "score": "7"}, "score"),
        ({"id": "a", "status": "active"}, "status"),
        ({"id": "a\ud800"}, "id"),
        ({"id": "a", "attestations": ["\udfff"]}, "attestations[0]"),
        ({"id": "a", "attestations": {"soc2"}}, "attestations"),
        ({"id": "a", 7: "b"}, "agent"),
        ({"id": b"a"}, "id"),
        ({}, "id"),
        (["a"], "agent"),
        (None, "agent"),
        ("a", "agent"),
        (object(), "agent"),
    ],
    ids=repr,
)
@asynchronous
async def test_a_mistake_in_an_agent_is_named(in_memory: Opened, agent: object, field: str) -> None:
    async with in_memory() as engine:
        with pytest.raises(InvalidInputError) as raised:
            await engine.agents().register(agent)  # type: ignore[arg-type]
        assert names(raised.value, field, "body")
        assert await engine.agents().count() == 0


@asynchronous
async def test_mappings_of_every_kind_are_read(in_memory: Opened) -> None:
    async with in_memory() as engine:
        agent = MappingProxyType({"id": "a", "tier": "BASIC", "attestations": ("x", "y")})
        assert (await engine.agents().register(agent))["attestations"] == ["x", "y"]  # type: ignore[arg-type]


@asynchronous
async def test_a_value_that_holds_itself_is_refused(in_memory: Opened) -> None:
    async with in_memory() as engine:
        circular: dict[str, object] = {"id": "a"}
        circular["attestations"] = [circular]
        for call in (engine.agents().register, lambda agent: engine.agents().change("a", agent)):
            with pytest.raises(InvalidInputError, match="nested deeper"):
                await call(circular)  # type: ignore[arg-type]
