"""The event loop: many calls at once, cancellation, closing, other loops."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import asynchronous
from trust_engine import AsyncEngine, ClosedError, Engine, GateVerdict, ProvenanceRecord, Receipt, TrustEngineError


@asynccontextmanager
async def engine_on(folder: Path) -> AsyncIterator[AsyncEngine]:
    """An engine on a folder, with an agent."""
    async with await AsyncEngine.open(storage={"embedded": folder / "trust"}) as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        yield engine


async def gates(engine: AsyncEngine) -> list[ProvenanceRecord]:
    """The records of every gate."""
    return [record async for record in engine.log().query(type="ROLE_GATE", page_size=1000)]


@asynchronous
async def test_hundreds_of_calls_are_under_way_at_once(tmp_path: Path) -> None:
    async with engine_on(tmp_path) as engine:
        verdicts = await asyncio.gather(*(engine.evaluate_gate("agent_001", "READER") for _ in range(256)))
        ids = {str(verdict.provenance_id) for verdict in verdicts}
        assert all(verdict.recorded == "committed" for verdict in verdicts)
        assert len(ids) == 256
        assert {record["id"] for record in await gates(engine)} == ids


@asynchronous
async def test_one_commit_answers_many_calls_and_wakes_the_loop_for_them_together(tmp_path: Path) -> None:
    async with engine_on(tmp_path) as engine:
        wakes = 0
        loop = asyncio.get_running_loop()
        waiting = engine._waiting
        descriptor = waiting._descriptor

        def drain() -> None:
            nonlocal wakes
            wakes += 1
            waiting._drain()

        loop.add_reader(descriptor, drain)
        for _ in range(10):
            await asyncio.gather(*(engine.evaluate_gate("agent_001", "READER") for _ in range(256)))
        stats = await engine.stats(fleet_wide=True)
        assert stats["provenance"]["committed"] >= 2560
        assert wakes <= 2560 / 4


@asynchronous
async def test_a_call_whose_task_is_cancelled_is_made_all_the_same(tmp_path: Path) -> None:
    async with engine_on(tmp_path) as engine:
        tasks: list[asyncio.Task[Any]] = []
        tasks += [asyncio.create_task(engine.evaluate_gate("agent_001", "READER")) for _ in range(64)]
        tasks += [asyncio.create_task(engine.record("ALERT", "a", "RAISED")) for _ in range(64)]
        # Each begins its call.
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for n, outcome in enumerate(outcomes):
            if n % 2 == 1:
                assert isinstance(outcome, (GateVerdict, Receipt)), outcome
            else:
                # It may have been done at once, before it was cancelled.
                assert isinstance(outcome, (GateVerdict, Receipt, asyncio.CancelledError)), outcome
        # Others do not notice.
        assert await engine.evaluate_gate("agent_001", "READER")
    with Engine(storage={"embedded": tmp_path / "trust"}) as reopened:
        found = [record["type"] for record in reopened.log().query(page_size=1000)]
        assert (found.count("ROLE_GATE"), found.count("ALERT")) == (65, 64)


@asynchronous
async def test_a_timeout_of_one_call_costs_no_other(tmp_path: Path) -> None:
    async with engine_on(tmp_path) as engine:

        async def impatient() -> GateVerdict | None:
            try:
                return await asyncio.wait_for(engine.evaluate_gate("agent_001", "READER"), 0.000_001)
            except asyncio.TimeoutError:
                return None

        await asyncio.gather(*(impatient() for _ in range(200)))
        verdicts = await asyncio.gather(*(engine.evaluate_gate("agent_001", "READER") for _ in range(200)))
        assert len({verdict.provenance_id for verdict in verdicts}) == 200


@asynchronous
async def test_closing_waits_for_the_calls_that_are_under_way(tmp_path: Path) -> None:
    engine = await AsyncEngine.open(storage={"embedded": tmp_path / "trust"})
    await engine.evaluate_gate("a", "READER")
    calls = [asyncio.create_task(engine.evaluate_gate("a", "READER")) for _ in range(500)]
    await asyncio.sleep(0)
    late = asyncio.create_task(engine.close())
    await engine.close()
    assert all(call.done() for call in calls)
    await late
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    committed = [outcome for outcome in outcomes if isinstance(outcome, GateVerdict)]
    assert all(isinstance(outcome, (GateVerdict, ClosedError)) for outcome in outcomes)
    with pytest.raises(ClosedError):
        await engine.evaluate_gate("a", "READER")
    with Engine(storage={"embedded": tmp_path / "trust"}) as reopened:
        found = {record["id"] for record in reopened.log().query(type="ROLE_GATE", page_size=1000)}
        assert {str(verdict.provenance_id) for verdict in committed} <= found


@asynchronous
async def test_closing_goes_on_when_its_task_is_cancelled(tmp_path: Path) -> None:
    engine = await AsyncEngine.open(storage={"embedded": tmp_path / "trust"})
    calls = [asyncio.create_task(engine.record("ALERT", "a", "RAISED")) for _ in range(100)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await engine.close()
    assert all(call.done() for call in calls)
    await asyncio.gather(*calls, return_exceptions=True)


@asynchronous
async def test_opening_that_is_cancelled_leaves_the_store_free(tmp_path: Path) -> None:
    for _ in range(10):
        opening = asyncio.create_task(AsyncEngine.open(storage={"embedded": tmp_path / "trust"}))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    for _ in range(1000):
        try:
            async with await AsyncEngine.open(storage={"embedded": tmp_path / "trust"}) as engine:
                assert (await engine.health())["database"] == "up"
                break
        except TrustEngineError as error:
            # One that was cancelled is being opened or closed yet.
            assert error.code == "TE_LOCKED"
            await asyncio.sleep(0.01)
    else:
        pytest.fail("the store was never free")


def test_an_engine_is_of_the_loop_that_it_was_opened_in() -> None:
    loop = asyncio.new_event_loop()
    engine = loop.run_until_complete(AsyncEngine.open(storage={"memory": True}))

    async def use() -> None:
        for call in (
            engine.evaluate_gate("a", "READER"),
            engine.check_ceiling("a", "API_CALLS", 1),
            engine.record("ALERT", "a", "RAISED"),
            engine.stats(),
            engine.log().get("x"),
            engine.subscribe("agents.list").__anext__(),
            engine.close(),
        ):
            with pytest.raises(RuntimeError, match="another event loop"):
                await call
        # The verbs that never wait are of no loop.
        assert engine.decide_gate("a", "READER").recorded == "pending"

    asyncio.run(use())
    assert loop.run_until_complete(engine.evaluate_gate("a", "READER")).recorded == "committed"
    loop.run_until_complete(engine.close())
    loop.close()


def test_each_loop_has_an_engine_of_its_own() -> None:
    decisions: list[str] = []

    async def work() -> None:
        async with await AsyncEngine.open(storage={"memory": True}) as engine:
            verdicts = await asyncio.gather(*(engine.evaluate_gate("a", "READER") for _ in range(50)))
            decisions.extend(verdict.decision for verdict in verdicts)

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decisions == ["DENY"] * 200


def test_a_loop_that_ends_before_its_engine_is_closed_says_nothing() -> None:
    tasks: list[asyncio.Task[GateVerdict]] = []

    async def work() -> None:
        engine = await AsyncEngine.open(storage={"memory": True})
        await engine.evaluate_gate("a", "READER")
        tasks.append(asyncio.create_task(engine.evaluate_gate("a", "READER")))
        await asyncio.sleep(0)

    for _ in range(5):
        asyncio.run(work())
    gc.collect()


@asynchronous
async def test_errors_of_calls_that_wait_are_raised_where_they_are_awaited(tmp_path: Path) -> None:
    async with engine_on(tmp_path) as engine:
        calls = [engine.agents().register({"id": "same"}) for _ in range(20)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        registered = [outcome for outcome in outcomes if isinstance(outcome, dict)]
        refused = [outcome for outcome in outcomes if isinstance(outcome, TrustEngineError)]
        assert (len(registered), len(refused)) == (1, 19)
        assert {error.code for error in refused} == {"TE_CONFLICT"}
