"""What a call from Python costs: see benches/bindings/run. `bench.py POLICY FOLDER`"""

import asyncio
import statistics
import sys
import time

from trust_engine import AsyncEngine, Engine

BATCHES, CALLS, RECORDS, IN_FLIGHT = 41, 20_000, 50_000, 256


def median(name, call):
    times = []
    for _ in range(BATCHES):
        begun = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter_ns() - begun) / CALLS)
    print(f"python\t{name}\t{statistics.median(times):.1f}\tns")


async def records(name, storage):
    async with await AsyncEngine.open(storage=storage) as engine:
        begun = time.perf_counter()

        async def writer():
            for _ in range(RECORDS // IN_FLIGHT):
                await engine.record("ALERT", "agent_001", "SEEN")

        await asyncio.gather(*(writer() for _ in range(IN_FLIGHT)))
        print(f"python\t{name}\t{RECORDS / (time.perf_counter() - begun):.0f}\t/s")


policy, folder = sys.argv[1:]
with open(policy) as text, Engine(storage={"memory": True}, policy=text.read()) as engine:
    engine.agents().register({"id": "agent_001", "tier": "MEMBER"})
    decide, take = engine.decide_gate, engine.quota("agent_001").try_take
    median("nothing, for the loop", lambda: None)
    median("gate", lambda: decide("agent_001", "READER"))
    median("check by handle", lambda: take("CALLS", 1))
asyncio.run(records("records in memory, 256 in flight", {"memory": True}))
asyncio.run(records("records durable, 256 in flight", {"embedded": folder}))
