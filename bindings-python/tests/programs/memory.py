"""Makes many calls, and prints the resident memory after every twentieth of them."""

import asyncio
import gc
import json
import os
import sys

from trust_engine import AsyncEngine, Engine, InvalidInputError

calls, policy = int(sys.argv[1]), sys.argv[2]


def resident() -> int:
    """Bytes of the process that are in memory."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def refused(engine: Engine) -> None:
    """A call that fails."""
    try:
        engine.decide_gate("", "READER")
    except InvalidInputError:
        return
    raise AssertionError


async def main() -> None:
    """The calls, in equal parts."""
    rounds = []
    with Engine(storage={"memory": True}, policy=policy) as engine:
        engine.agents().register({"id": "a", "tier": "PRIVILEGED"})
        async with await AsyncEngine.open(storage={"memory": True}, policy=policy) as awaited:
            for _ in range(20):
                for _ in range(calls // 20 // 8):
                    engine.decide_gate("a", "READER", resource_id="r", metadata={"a": [1, "x", {"b": None}]})
                    engine.evaluate_gate("a", "READER").to_dict()
                    engine.check_ceiling_now("a", "API_CALLS", 1)
                    engine.check_ceiling("a", resources={"API_CALLS": 1})
                    refused(engine)
                    engine.call("agents.list", {"tier": "PRIVILEGED"})
                    await awaited.evaluate_gate("a", "READER")
                    await awaited.check_ceiling("a", "API_CALLS", 1)
                rounds.append(resident())
    print(json.dumps(rounds))


asyncio.run(main())
