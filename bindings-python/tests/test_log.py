"""The log, in both engines and on every store."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from support import NOWHERE, Opened, asynchronous, names
from trust_engine import (
    AsyncEngine,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotVerifiedError,
    ProvenanceRecord,
    verify,
)


async def found(engine: AsyncEngine, **query: object) -> list[ProvenanceRecord]:
    """Every record that a query finds."""
    return [record async for record in engine.log().query(**query)]  # type: ignore[arg-type]


@asynchronous
async def test_records_are_found_page_by_page_and_chains_are_followed(opened: Opened) -> None:
    async with opened() as engine:
        ids: list[UUID] = []
        for n in range(7):
            parent = ids[0] if ids else None
            receipt = await engine.record(
                "ALERT", "agent_001", "DENY", reason=f"n {n}", context={"n": n}, parent_id=parent
            )
            ids.insert(0, receipt.id)
        assert [UUID(record["id"]) for record in await found(engine, agent_id="agent_001", page_size=3)] == ids
        oldest = await found(engine, agent_id="agent_001", oldest_first=True)
        assert [UUID(record["id"]) for record in oldest] == ids[::-1]
        chain = await engine.log().chain(ids[0], 3)
        assert [UUID(record["id"]) for record in chain] == ids[:4]
        assert (chain[0]["context"], chain[0]["reason"], chain[0]["source"]) == ({"n": 6}, "n 6", "HOST")
        assert len(await engine.log().chain(str(ids[0]))) == 7
        [child] = await found(engine, parent_id=ids[1])
        assert child["id"] == str(ids[0])
        page = await engine.log().page(agent_id="agent_001", page_size=2)
        assert (len(page["data"]), page["nextPageToken"] is None) == (2, False)
        with pytest.raises(InvalidInputError) as raised:
            await engine.log().page(agent_id="other", page_token=page["nextPageToken"])
        assert names(raised.value, "pageToken", "cursor")


@asynchronous
async def test_records_are_found_by_type_decision_and_time(in_memory: Opened) -> None:
    async with in_memory() as engine:
        before = datetime.now(timezone.utc) - timedelta(hours=1)
        await engine.record("ALERT", "a", "RAISED")
        await engine.record("ESCALATION", "a", "APPROVED")
        after = datetime.now(timezone.utc) + timedelta(hours=1)
        assert [record["decision"] for record in await found(engine, type="ALERT")] == ["RAISED"]
        assert [record["type"] for record in await found(engine, decision="APPROVED")] == ["ESCALATION"]
        assert len(await found(engine, agent_id="a", start_time=before, end_time=after)) == 2
        assert await found(engine, agent_id="a", start_time=after) == []
        zone = timezone(timedelta(hours=5, minutes=30))
        assert len(await found(engine, agent_id="a", start_time=before.astimezone(zone))) == 2
        assert len(await found(engine, agent_id="a", start_time=before.isoformat())) == 2


class Nowhere(tzinfo):
    """A time zone that does not say what it is."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise NotImplementedError

    def dst(self, _: datetime | None) -> timedelta:
        raise NotImplementedError

    def tzname(self, _: datetime | None) -> str:
        raise NotImplementedError


@pytest.mark.parametrize(
    "time",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))),
        datetime(1969, 12, 31, tzinfo=timezone.utc),
        datetime(2026, 1, 1, tzinfo=Nowhere()),
        "yesterday",
        "2026-01-01T00:00:00",
        1_700_000_000,
    ],
)
@asynchronous
async def test_an_instant_that_is_none_is_named(in_memory: Opened, time: object) -> None:
    async with in_memory() as engine:
        with pytest.raises(InvalidInputError) as raised:
            await found(engine, start_time=time)
        assert names(raised.value, "startTime")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"page_size": 0}, "pageSize"),
        ({"page_size": 1001}, "pageSize"),
        ({"page_size": "20"}, "pageSize"),
        ({"page_size": True}, "pageSize"),
        ({"page_token": "x"}, "pageToken"),
        ({"agent_id": ""}, "agentId"),
        ({"agent_id": "a\ud800"}, "agentId"),
        ({"agent_id": 7}, "agentId"),
        ({"type": "ALERTS"}, "type"),
        ({"parent_id": "x"}, "parentId"),
        ({"oldest_first": "no"}, "oldestFirst"),
        ({"oldest_first": None}, "oldestFirst"),
        ({"read_your_writes": 1}, "readYourWrites"),
    ],
)
@asynchronous
async def test_a_mistake_in_a_query_is_named(in_memory: Opened, query: dict[str, object], field: str) -> None:
    async with in_memory() as engine:
        for ask in (lambda: engine.log().page(**query), lambda: found(engine, **query)):  # type: ignore[arg-type]
            with pytest.raises(InvalidInputError) as raised:
                await ask()
            assert names(raised.value, field, "cursor", "limit")


@asynchronous
async def test_a_keyword_that_a_query_does_not_have_is_a_type_error(in_memory: Opened) -> None:
    async with in_memory() as engine:
        with pytest.raises(TypeError, match="agentId"):
            await engine.log().page(agentId="a")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="teir"):
            await engine.agents().page(teir="BASIC")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="reson"):
            await engine.log().record("ALERT", "a", "RAISED", reson="typo")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="on_behalfof"):
            engine.decide_gate("a", "READER", on_behalfof="user-7")  # type: ignore[call-arg]


@asynchronous
async def test_an_organization_is_shown_its_own_and_the_fleet_only_to_those_who_say_so(opened: Opened) -> None:
    async with opened() as engine:
        receipt = await engine.log("acme").record("ALERT", "a", "DENY")
        for log in (engine.log("acme"), engine.log(fleet_wide=True)):
            assert (await log.get(receipt.id))["organization"] == "acme"
            assert (await log.prove(receipt.id)).startswith("c2sp.org/tlog-proof@v1\n")
        assert (await engine.stats("1h", organization="acme"))["provenance"]["byType"]["ALERT"] == 1
        fleet = await engine.stats("1h", fleet_wide=True)
        assert fleet["provenance"]["byType"]["ALERT"] == 1
        assert fleet["provenance"]["commits"] >= 1
        for log in (engine.log(), engine.log("other"), engine.log(None, fleet_wide=False)):
            for ask in (log.get, log.prove, log.chain, log.evidence):
                with pytest.raises(NotFoundError):
                    await ask(receipt.id)
        assert "ALERT" not in (await engine.stats("1h"))["provenance"]["byType"]
        assert "commits" not in (await engine.stats("1h"))["provenance"]


@asynchronous
async def test_the_fleet_is_no_organization_and_none_is_named_beside_it(in_memory: Opened) -> None:
    async with in_memory() as engine:
        scopes: list[dict[str, Any]] = [
            {"organization": "*"},
            {"organization": "acme", "fleet_wide": True},
            {"organization": ""},
            {"organization": "a\ud800"},
        ]
        for scope in scopes:
            with pytest.raises(InvalidInputError) as raised:
                engine.log(**scope)
            assert names(raised.value, "organization")
            with pytest.raises(InvalidInputError):
                await engine.stats("1h", **scope)
        for wide in ("yes", 1, None):
            with pytest.raises(InvalidInputError) as raised:
                engine.log("acme" if wide is None else None, fleet_wide=wide)  # type: ignore[arg-type]
            assert names(raised.value, "fleetWide", "organization")
        for make in (engine.agents, engine.ceilings):
            with pytest.raises(InvalidInputError):
                make("*")
        with pytest.raises(InvalidInputError) as raised:
            await engine.log(fleet_wide=True).record("ALERT", "a", "DENY")
        assert names(raised.value, "organization")


@asynchronous
async def test_a_record_is_repeated_under_its_id_and_other_content_there_is_refused(opened: Opened) -> None:
    id = UUID("01890000-0000-7000-8000-000000000001")
    async with opened() as engine:
        one = await engine.record("ALERT", "a", "DENY", id=id, reason="x")
        two = await engine.record("ALERT", "a", "DENY", id=str(id), reason="x")
        assert (one, one.id) == (two, id)
        with pytest.raises(ConflictError):
            await engine.record("ALERT", "a", "DENY", id=id, reason="y")


@asynchronous
async def test_a_host_records_in_words_of_its_own(in_memory: Opened) -> None:
    async with in_memory() as engine:
        receipt = await engine.log().record(
            "ESCALATION", "a", "APPROVED_BY_TWO", reason_code="FOUR_EYES", caller="console", on_behalf_of="user-7"
        )
        record = await engine.log().get(receipt.id)
        assert (record["decision"], record["reasonCode"]) == ("APPROVED_BY_TWO", "FOUR_EYES")
        assert (record["caller"], record["onBehalfOf"], record["parentId"]) == ("console", "user-7", None)
        for type in ("AGENT", "alert", ""):
            with pytest.raises(InvalidInputError):
                await engine.record(type, "a", "RAISED")  # type: ignore[arg-type]
        with pytest.raises(NotFoundError):
            await engine.record("ALERT", "a", "RAISED", parent_id=NOWHERE)


@asynchronous
async def test_a_record_is_proved_to_those_who_have_only_the_key(opened: Opened) -> None:
    async with opened() as engine:
        receipt = await engine.record("ALERT", "a", "DENY", reason="seen")
        evidence = await engine.log().evidence(receipt.id)
        key = await engine.verifier_key()
        assert evidence["verifierKey"] == key
        assert evidence["payload"] is not None
        assert json.loads(evidence["payload"])["reason"] == "seen"
        verify.evidence(evidence, key)
        verify.record(evidence["entry"], await engine.log().prove(receipt.id), key)
        with pytest.raises(NotVerifiedError):
            verify.evidence({**evidence, "payload": evidence["payload"].replace("seen", "sene")}, key)


@asynchronous
async def test_the_log_is_verified_and_only_grows(opened: Opened) -> None:
    async with opened() as engine:
        await engine.record("ALERT", "a", "RAISED")
        older = await engine.log().checkpoint()
        size = int(older.splitlines()[1])
        for _ in range(20):
            await engine.record("ALERT", "a", "RAISED")
        proof = await engine.log().consistency(size)
        key = await engine.verifier_key()
        verify.consistency(older, proof["checkpoint"], proof["proof"], key)
        with pytest.raises(NotVerifiedError):
            verify.consistency(older, proof["checkpoint"], proof["proof"][1:], key)
        shard = (await engine.info())["shard"]
        assert await engine.log().checkpoint(shard) == proof["checkpoint"]
        assert await engine.log().verify() == []
        with pytest.raises(NotFoundError):
            await engine.log().checkpoint(4_000_000_000)
        with pytest.raises(InvalidInputError) as raised:
            await engine.log().consistency(1_000_000)
        assert names(raised.value, "older")


@asynchronous
async def test_an_exported_log_is_verified_with_only_the_key(opened: Opened, tmp_path: Path) -> None:
    async with opened() as engine:
        await engine.record("ALERT", "a", "RAISED")
        kept = await engine.log().checkpoint()
        for _ in range(5):
            await engine.record("ALERT", "a", "RAISED")
        exported = await engine.log().export(tmp_path / "out")
        assert exported["entries"] >= 6
        assert exported["files"] >= 2
        key = await engine.verifier_key()
    verify.log(tmp_path / "out", key)
    verify.log(str(tmp_path / "out"), key, since=kept)
    [tile] = [path for path in sorted((tmp_path / "out").rglob("*")) if path.is_file() and "entries" in str(path)][:1]
    tile.write_bytes(tile.read_bytes().replace(b"RAISED", b"LOWERD"))
    with pytest.raises(NotVerifiedError):
        verify.log(tmp_path / "out", key)


@asynchronous
async def test_what_is_not_there_is_not_found(in_memory: Opened) -> None:
    async with in_memory() as engine:
        log = engine.log()
        for ask in (log.get, log.chain, log.prove, log.evidence):
            for id in (NOWHERE, UUID(NOWHERE)):
                with pytest.raises(NotFoundError, match=NOWHERE) as raised:
                    await ask(id)
                assert (raised.value.code, raised.value.retryable) == ("TE_NOT_FOUND", False)
                assert isinstance(raised.value, LookupError)
            for wrong in ("x", "", 7, None, [NOWHERE], b"x", object()):
                with pytest.raises(InvalidInputError) as invalid:
                    await ask(wrong)  # type: ignore[arg-type]
                assert names(invalid.value, "id")
        for depth in (0, 101, 1.5, "1", True):
            with pytest.raises(InvalidInputError) as invalid:
                await log.chain(NOWHERE, depth)  # type: ignore[arg-type]
            assert names(invalid.value, "depth")
