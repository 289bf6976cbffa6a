"""Subscriptions."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest
from support import PATIENCE, Opened, asynchronous, names
from trust_engine import (
    AsyncEngine,
    ClosedError,
    Engine,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ProvenanceRecord,
    Subscription,
    caller,
)


@asynchronous
async def test_streams_give_item_by_item_what_calls_list(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "a", "tier": "BASIC"})
        await engine.agents().register({"id": "b", "tier": "VERIFIED"})
        found = [item["id"] async for item in engine.subscribe("agents.list", {"tier": "BASIC"})]
        assert found == ["a"]
        ids = [str((await engine.record("ALERT", "a", "RAISED")).id) for _ in range(5)]
        given = [item["id"] async for item in engine.subscribe("provenance.query", {"pageSize": 2, "agentId": "a"})]
        assert given == ids[::-1]
        with pytest.raises(NotFoundError):
            async for _ in engine.subscribe("nothing"):
                pass
        with pytest.raises(ForbiddenError):
            async for _ in engine.subscribe("agents.list", caller=caller(permissions=["stats:read"])):
                pass
        with pytest.raises(InvalidInputError) as raised:
            async for _ in engine.subscribe("agents.list", {"teir": "BASIC"}):
                pass
        assert names(raised.value, "teir")


@asynchronous
async def test_a_follower_is_given_what_is_committed_from_its_beginning_on(opened: Opened) -> None:
    async with opened() as engine:
        await engine.record("ALERT", "followed", "EARLIER")
        async with engine.log().follow(agent_id="followed") as follow:
            recorded = []
            for agent_id in ("other", "followed", "other", "followed"):
                receipt = await engine.record("ALERT", agent_id, "RAISED")
                if agent_id == "followed":
                    recorded.append(str(receipt.id))
            seen = [(await follow.__anext__())["id"] for _ in recorded]
            assert seen == recorded
        with pytest.raises(StopAsyncIteration):
            await follow.__anext__()


@asynchronous
async def test_a_follower_sees_one_organization_or_the_fleet(in_memory: Opened) -> None:
    async with (
        in_memory() as engine,
        engine.log("acme").follow() as acme,
        engine.log(fleet_wide=True).follow(type="ALERT") as fleet,
    ):
        await engine.log().record("ALERT", "a", "RAISED")
        await engine.log("acme").record("ALERT", "b", "RAISED")
        assert (await acme.__anext__())["agentId"] == "b"
        assert [(await fleet.__anext__())["agentId"] for _ in range(2)] == ["a", "b"]


@asynchronous
async def test_a_subscription_that_is_closed_is_at_its_end(in_memory: Opened) -> None:
    async with in_memory() as engine:
        for stream in ("agents.list", "provenance.query", "provenance.follow"):
            subscription = engine.subscribe(stream)
            await subscription.aclose()
            await subscription.aclose()
            assert [item async for item in subscription] == []


@asynchronous
async def test_a_long_list_leaves_the_loop_to_others() -> None:
    async with await AsyncEngine.open(storage={"memory": True}) as engine:
        await engine.agents().import_many([{"id": f"agent_{n}"} for n in range(2000)])
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        assert len([item async for item in engine.subscribe("agents.list")]) == 2000
        turning.cancel()
        assert turns >= 10


@asynchronous
async def test_a_task_that_waits_for_an_item_hears_the_end_from_another() -> None:
    async with await AsyncEngine.open(storage={"memory": True}) as engine:
        follow = engine.log().follow()
        waiting = asyncio.create_task(follow.__anext__())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await follow.aclose()
        with pytest.raises(StopAsyncIteration):
            await waiting


@asynchronous
async def test_a_subscription_ends_with_the_task_that_waits_for_it() -> None:
    async with await AsyncEngine.open(storage={"memory": True}) as engine:
        follow = engine.log().follow()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(follow.__anext__(), 0.05)
        with pytest.raises(StopAsyncIteration):
            await follow.__anext__()
        # The engine goes on, and so do others.
        async with engine.log().follow() as another:
            receipt = await engine.record("ALERT", "a", "RAISED")
            assert (await another.__anext__())["id"] == str(receipt.id)


@asynchronous
async def test_generators_of_queries_and_lists_end_when_they_are_closed() -> None:
    async with await AsyncEngine.open(storage={"memory": True}) as engine:
        for n in range(5):
            await engine.record("ALERT", "a", "RAISED")
            await engine.agents().register({"id": f"agent_{n}"})
        for items in (engine.log().query(agent_id="a", page_size=2), engine.agents().list(page_size=2)):
            await items.__anext__()
            await items.aclose()
            with pytest.raises(StopAsyncIteration):
                await items.__anext__()


@asynchronous
async def test_a_follower_that_waits_hears_that_the_engine_is_closed() -> None:
    engine = await AsyncEngine.open(storage={"memory": True})
    follow = engine.log().follow()
    waiting = asyncio.create_task(follow.__anext__())
    await asyncio.sleep(0.05)
    await engine.close()
    with pytest.raises(ClosedError):
        await waiting


def waiting_for(subscription: Subscription[ProvenanceRecord]) -> tuple[threading.Thread, list[object]]:
    """A thread that waits for the items of a subscription, and what it has come to."""
    outcomes: list[object] = []

    def wait() -> None:
        try:
            outcomes.extend(record["id"] for record in subscription)
            outcomes.append("ended")
        except ClosedError as error:
            outcomes.append(error.code)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    return thread, outcomes


@pytest.mark.parametrize("end", [lambda _, follow: follow.close(), lambda engine, _: engine.close()])
def test_a_thread_that_waits_hears_the_end_from_another(
    memory: Engine, end: Callable[[Engine, Subscription[ProvenanceRecord]], None]
) -> None:
    follow = memory.log().follow()
    thread, outcomes = waiting_for(follow)
    id = str(memory.record("ALERT", "a", "RAISED").id)
    while not outcomes:
        thread.join(0.001)
    end(memory, follow)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert outcomes == [id, "TE_CLOSED" if memory.is_closed else "ended"]


def test_a_subscription_ends_with_its_loop_and_with_its_block(memory: Engine) -> None:
    for _ in range(3):
        memory.record("ALERT", "a", "RAISED")
    for record in memory.subscribe("provenance.query"):
        assert record["agentId"] == "a"
        break
    with memory.log().follow() as follow:
        pass
    assert list(follow) == []


def test_a_subscription_that_is_let_go_of_keeps_nothing(embedded: Engine) -> None:
    memory = Engine(storage={"memory": True})
    for _ in range(200):
        follow = memory.log().follow()
        memory.record("ALERT", "a", "RAISED")
        assert next(follow)["agentId"] == "a"
        del follow
    gc.collect()
    memory.close()
    assert embedded.decide_gate("agent_001", "READER")
