"""Writes until it is killed, and prints every id once its record is acknowledged."""

import asyncio
import os
import sys
import threading

from trust_engine import AsyncEngine, Engine

way, folder = sys.argv[1:]


def acknowledged(id: object) -> None:
    """Tells the parent, at once and in one piece."""
    os.write(1, f"{id}\n".encode())


def in_threads() -> None:
    """Eight threads write."""
    engine = Engine(storage={"embedded": folder})

    def work(n: int) -> None:
        while True:
            if n % 2 == 0:
                acknowledged(engine.evaluate_gate("agent_001", "READER").provenance_id)
            else:
                acknowledged(engine.record("ALERT", "agent_001", "RAISED").id)

    for n in range(7):
        threading.Thread(target=work, args=(n,)).start()
    work(7)


async def in_tasks() -> None:
    """Sixty-four tasks write."""
    engine = await AsyncEngine.open(storage={"embedded": folder})

    async def work(n: int) -> None:
        while True:
            if n % 2 == 0:
                acknowledged((await engine.evaluate_gate("agent_001", "READER")).provenance_id)
            else:
                receipt = await engine.committed(engine.decide_gate("agent_001", "READER"))
                assert receipt is not None
                acknowledged(receipt.id)

    await asyncio.gather(*(work(n) for n in range(64)))


if way == "threads":
    in_threads()
else:
    asyncio.run(in_tasks())
