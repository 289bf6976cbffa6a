"""Threads: many at once, and none that keeps the others waiting."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from support import PATIENCE
from trust_engine import ClosedError, Engine

THREADS = 8


@pytest.fixture
def kept_gil() -> Iterator[None]:
    """Lets no thread take the GIL from another that does not let go of it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(PATIENCE)
    yield
    sys.setswitchinterval(before)


def test_eight_threads_decide_at_once(embedded: Engine) -> None:
    def work(n: int) -> list[UUID]:
        ids = []
        for _ in range(100):
            verdict = embedded.evaluate_gate("agent_001", "READER", caller=f"thread {n}")
            assert verdict
            assert verdict.receipt is not None
            ids.append(verdict.provenance_id)
            assert embedded.decide_gate("agent_001", "SYSTEM_ADMIN").decision == "DENY"
        return ids

    with ThreadPoolExecutor(THREADS) as pool:
        ids = [str(id) for of in pool.map(work, range(THREADS)) for id in of]
    assert len(set(ids)) == THREADS * 100
    found = {record["id"] for record in embedded.log().query(type="ROLE_GATE", decision="ALLOW", page_size=1000)}
    assert found == set(ids)
    assert embedded.log().verify() == []


def test_eight_threads_are_admitted_exactly_a_ceiling(memory: Engine) -> None:
    def work(_: int) -> int:
        return sum(bool(memory.check_ceiling("agent_001", "API_CALLS", 1)) for _ in range(100))

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(work, range(THREADS))) == 500


def test_threads_share_a_quota(memory: Engine) -> None:
    memory.check_ceiling("agent_001", "API_CALLS", 1)
    quota = memory.quota("agent_001")
    with ThreadPoolExecutor(THREADS) as pool:
        taken = sum(pool.map(lambda _: bool(quota.try_take("API_CALLS", 1)), range(1000)))
    assert taken <= 499
    [row] = memory.ceilings().usage("agent_001", "API_CALLS")
    assert row["current"] >= taken + 1


@pytest.mark.usefixtures("kept_gil")
def test_a_thread_goes_on_while_another_waits_for_a_commit(embedded: Engine) -> None:
    calls = 100
    begun, done = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        for _ in range(calls):
            embedded.evaluate_gate("agent_001", "READER")
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    begun.wait(PATIENCE)
    turns = 0
    while not done.is_set():
        turns += 1
        time.sleep(0)
    worker.join()
    # Whoever holds the GIL keeps it here, so each of these turns is in the time that a commit was waited for.
    assert turns >= calls / 4


@pytest.mark.usefixtures("kept_gil")
def test_a_thread_goes_on_while_another_waits_for_an_item(memory: Engine) -> None:
    follow = memory.log().follow()
    items: list[str] = []
    waiting = threading.Thread(target=lambda: items.extend(record["id"] for record in follow))
    waiting.start()
    ids = [str(memory.record("ALERT", "a", "RAISED").id) for _ in range(20)]
    deadline = time.monotonic() + PATIENCE
    while len(items) < len(ids) and time.monotonic() < deadline:
        time.sleep(0.001)
    follow.close()
    waiting.join(PATIENCE)
    assert items == ids


@pytest.mark.parametrize(
    "call",
    [
        lambda engine: engine.evaluate_gate("agent_001", "READER"),
        lambda engine: engine.decide_gate("agent_001", "READER"),
        lambda engine: engine.check_ceiling("agent_001", "API_CALLS", 1),
        lambda engine: engine.record("ALERT", "a", "RAISED"),
        lambda engine: engine.log().page(),
    ],
    ids=["evaluate_gate", "decide_gate", "check_ceiling", "record", "page"],
)
def test_an_engine_is_closed_under_the_hands_of_eight_threads(
    embedded: Engine, call: Callable[[Engine], object]
) -> None:
    started = threading.Barrier(THREADS + 1)

    def work(_: int) -> int:
        started.wait(PATIENCE)
        for made in range(100_000):
            try:
                call(embedded)
            except ClosedError:
                return made
        return 100_000

    with ThreadPoolExecutor(THREADS) as pool:
        calls = pool.map(work, range(THREADS))
        started.wait(PATIENCE)
        time.sleep(0.05)
        embedded.close()
        assert max(calls) < 100_000


def test_a_commit_is_waited_for_in_another_thread_than_the_verdict_was_given_in(memory: Engine) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        verdicts = [memory.decide_gate("agent_001", "READER") for _ in range(200)]
        receipts = list(pool.map(lambda verdict: verdict.committed(), verdicts))
    assert [receipt and receipt.id for receipt in receipts] == [verdict.provenance_id for verdict in verdicts]


def test_any_number_of_threads_wait_for_the_commit_of_one_verdict(embedded: Engine) -> None:
    for _ in range(20):
        verdict = embedded.decide_gate("agent_001", "READER")
        receipts: list[object] = []
        threads = [threading.Thread(target=lambda: receipts.append(verdict.committed())) for _ in range(8)]  # noqa: B023
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert receipts == [verdict.receipt] * 8
        assert verdict.receipt is not None
