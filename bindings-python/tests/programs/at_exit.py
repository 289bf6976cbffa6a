"""Ends with an open engine, in the way that is asked for."""

import asyncio
import sys
import threading
import time

from trust_engine import AsyncEngine, Engine

way, folder = sys.argv[1:]


def open_and_idle() -> None:
    """The engine is a global when the interpreter ends."""
    globals()["engine"] = Engine(storage={"embedded": folder})
    globals()["engine"].evaluate_gate("a", "READER")
    globals()["parts"] = (globals()["engine"].quota("a"), globals()["engine"].log().follow())


def records_pending() -> None:
    """Records are on their way."""
    globals()["engine"] = Engine(storage={"embedded": folder})
    globals()["verdicts"] = [globals()["engine"].decide_gate("a", "READER") for _ in range(200)]


def threads_deciding() -> None:
    """Daemon threads are in the middle of calls."""
    engine = Engine(storage={"embedded": folder})

    def work() -> None:
        while True:
            engine.evaluate_gate("a", "READER")

    for _ in range(8):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.2)


def threads_following() -> None:
    """Daemon threads wait for items that do not come."""
    engine = Engine(storage={"embedded": folder})
    for _ in range(4):
        threading.Thread(target=lambda: list(engine.log().follow()), daemon=True).start()
    time.sleep(0.2)


def tasks_deciding() -> None:
    """The loop ends in the middle of calls."""

    async def work() -> None:
        engine = globals()["engine"] = await AsyncEngine.open(storage={"embedded": folder})
        tasks = globals()["tasks"] = [asyncio.create_task(engine.evaluate_gate("a", "READER")) for _ in range(200)]
        tasks.append(asyncio.create_task(engine.log().follow().__anext__()))
        await asyncio.sleep(0)

    asyncio.run(work())


def an_error() -> None:
    """The program ends by an exception."""
    globals()["engine"] = Engine(storage={"embedded": folder})
    raise SystemExit(0)


{
    "open": open_and_idle,
    "pending": records_pending,
    "threads": threads_deciding,
    "following": threads_following,
    "tasks": tasks_deciding,
    "error": an_error,
}[way]()
