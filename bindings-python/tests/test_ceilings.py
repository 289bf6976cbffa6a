"""Capability ceilings, in both engines and on every store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support import Opened, asynchronous, names
from trust_engine import ConflictError, InvalidInputError, WouldBlockError


@asynchronous
async def test_a_ceiling_is_admitted_exactly_however_many_ask(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "BASIC"})
        verdicts = await asyncio.gather(*(engine.check_ceiling("agent_001", "API_CALLS", 1) for _ in range(150)))
        admitted = sum(map(bool, verdicts))
        # A part that another lease holds is given back after a moment.
        for _ in range(500):
            if admitted == 100:
                break
            admitted += bool(await engine.check_ceiling("agent_001", "API_CALLS", 1))
        assert admitted == 100
        refused = await engine.check_ceiling("agent_001", "API_CALLS", 1)
        assert not refused
        assert (refused.reason_code, refused.current_usage, refused.ceiling, refused.remaining) == (
            "CEILING_EXCEEDED",
            100,
            100,
            0,
        )
        [row] = await engine.ceilings().usage("agent_001", "API_CALLS")
        assert (row["current"], row["ceiling"], row["percentage"], row["level"]) == (100, 100, 100, "AGENT")


@asynchronous
async def test_a_check_says_how_far_the_counter_has_come(in_memory: Opened) -> None:
    async with in_memory() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        check = await engine.check_ceiling("agent_001", "API_CALLS", 10)
        assert check
        assert (check.current_usage, check.ceiling, check.remaining, check.near_limit) == (10, 500, 490, False)
        assert check.reset_at is not None
        assert check.reset_at > check.evaluated_at
        assert (check.repeated, check.retryable, check.retry_after) == (False, False, None)
        near = await engine.check_ceiling("agent_001", "API_CALLS", 400)
        assert near.near_limit
        assert near.to_dict()["nearLimit"] is True


@asynchronous
async def test_several_resources_are_admitted_all_or_none(in_memory: Opened) -> None:
    async with in_memory() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        both = await engine.check_ceiling("agent_001", resources={"API_CALLS": 10, "DATA_ACCESS": 5})
        assert both
        assert [row["currentUsage"] for row in both.to_dict()["resources"]] == [10, 5]
        assert not await engine.check_ceiling("agent_001", resources={"API_CALLS": 10, "DATA_ACCESS": 46})
        usage = {row["resourceType"]: row["current"] for row in await engine.ceilings().usage("agent_001")}
        assert (usage["API_CALLS"], usage["DATA_ACCESS"]) == (10, 5)


@asynchronous
async def test_a_retry_with_its_request_id_is_free(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        one = await engine.check_ceiling("agent_001", "API_CALLS", 7, request_id="r1")
        two = await engine.check_ceiling("agent_001", "API_CALLS", 7, request_id="r1")
        assert (one.current_usage, one.repeated, two.current_usage, two.repeated) == (7, False, 7, True)
        with pytest.raises(ConflictError):
            await engine.check_ceiling("agent_001", "API_CALLS", 8, request_id="r1")


@asynchronous
async def test_a_check_at_once_charges_what_the_engine_holds(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        await engine.check_ceiling("agent_001", "API_CALLS", 1)
        for _ in range(1000):
            try:
                check = engine.check_ceiling_now("agent_001", "API_CALLS", 1)
                break
            except WouldBlockError:
                await engine.check_ceiling("agent_001", "API_CALLS", 1)
        assert check
        assert check.current_usage >= 2


@asynchronous
async def test_a_peek_charges_nothing(in_memory: Opened) -> None:
    async with in_memory(tier_authorities=["gateway"]) as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        ceilings = engine.ceilings()
        assert (await ceilings.peek("agent_001", "API_CALLS", 500))["allowed"] is True
        assert (await ceilings.peek("agent_001", "API_CALLS", 501))["allowed"] is False
        assert (await ceilings.peek("agent_001", resources={"API_CALLS": 1, "DATA_ACCESS": 1}))["allowed"] is True
        assert (await ceilings.peek("agent_001", "API_CALLS", 501, tier="TRUSTED"))["allowed"] is False
        assert (await ceilings.peek("agent_001", "API_CALLS", 501, tier="TRUSTED", caller="gateway"))["allowed"] is True
        [row] = await ceilings.usage("agent_001", "API_CALLS")
        assert row["current"] == 0


@asynchronous
async def test_ceilings_are_those_of_the_organization(in_memory: Opened) -> None:
    async with in_memory() as engine:
        await engine.agents("acme").register({"id": "agent_001", "tier": "VERIFIED"})
        await engine.check_ceiling("agent_001", "API_CALLS", 3, organization="acme")
        [row] = await engine.ceilings("acme").usage("agent_001", "API_CALLS")
        assert row["current"] == 3
        assert (await engine.ceilings().usage("agent_001", "API_CALLS"))[:1] != [row]


@asynchronous
async def test_counters_that_are_not_ahead_of_the_clock_are_not_reset(in_memory: Opened) -> None:
    async with in_memory() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        with pytest.raises(InvalidInputError):
            await engine.ceilings().reset("agent_001", "API_CALLS", "ops")


@asynchronous
async def test_what_a_reservation_did_not_use_is_free_again(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        verdict, reservation = await engine.reserve("agent_001", "API_CALLS", 400)
        assert verdict
        assert reservation is not None
        assert reservation.verdict == verdict
        await reservation.commit(150)
        [row] = await engine.ceilings().usage("agent_001", "API_CALLS")
        assert row["current"] == 150
        with pytest.raises(ConflictError):
            await reservation.void()
        _, unused = await engine.reserve("agent_001", resources={"API_CALLS": 100, "DATA_ACCESS": 10})
        assert unused is not None
        with pytest.raises(InvalidInputError):
            await unused.commit([100])
        with pytest.raises(InvalidInputError):
            await unused.commit([101, 0])
        await unused.void()
        [row] = await engine.ceilings().usage("agent_001", "API_CALLS")
        assert row["current"] == 150
        refused, nothing = await engine.reserve("agent_001", "API_CALLS", 100_000)
        assert (refused.allowed, nothing) == (False, None)


@asynchronous
async def test_a_quota_follows_its_agent(in_memory: Opened) -> None:
    async with in_memory() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        await engine.check_ceiling("agent_001", "API_CALLS", 1)
        quota = engine.quota("agent_001")
        assert quota.try_take("API_CALLS", 2)
        await engine.agents().change("agent_001", {"status": "SUSPENDED"})
        refused = quota.try_take("API_CALLS", 1)
        assert (refused.allowed, refused.reason_code) == (False, "AGENT_SUSPENDED")
        with pytest.raises(InvalidInputError):
            quota.try_take("API_CALLS", 0)


@pytest.mark.parametrize("amount", [0, -1, 2**40, 2**64, 10**400])
@asynchronous
async def test_an_amount_out_of_bounds_is_refused(in_memory: Opened, amount: int) -> None:
    async with in_memory() as engine:
        with pytest.raises(InvalidInputError) as raised:
            engine.check_ceiling_now("a", "API_CALLS", amount)
        assert names(raised.value, "amount", "requestedAmount")
        with pytest.raises(InvalidInputError) as raised:
            engine.check_ceiling_now("a", resources={"API_CALLS": amount})
        assert names(raised.value, "resources", "requestedAmount")
        with pytest.raises(InvalidInputError):
            await engine.check_ceiling("a", "API_CALLS", amount)
        with pytest.raises(InvalidInputError):
            await engine.ceilings().peek("a", "API_CALLS", amount)


@pytest.mark.parametrize("amount", [True, 1.0, "1", None])
@asynchronous
async def test_an_amount_of_another_type_is_refused(in_memory: Opened, amount: object) -> None:
    async with in_memory() as engine:
        wrong: dict[str, Any] = {"agent_id": "a", "resource_type": "API_CALLS", "amount": amount}
        with pytest.raises(TypeError):
            engine.check_ceiling_now(**wrong)
        with pytest.raises(TypeError):
            await engine.check_ceiling(**wrong)
        with pytest.raises(TypeError):
            await engine.reserve(**wrong)


@asynchronous
async def test_one_resource_or_several_are_taken_and_not_both_or_neither(in_memory: Opened) -> None:
    async with in_memory() as engine:
        mistakes: list[dict[str, Any]] = [
            {},
            {"resource_type": "API_CALLS"},
            {"amount": 1},
            {"resource_type": "API_CALLS", "amount": 1, "resources": {"DATA_ACCESS": 1}},
            {"resources": {}},
        ]
        for arguments in mistakes:
            with pytest.raises((TypeError, InvalidInputError)):
                await engine.check_ceiling("a", **arguments)
