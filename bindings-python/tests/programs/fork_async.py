"""Forks from within an event loop: the child is refused the engine, and the parent goes on."""

import asyncio
import os

from trust_engine import AsyncEngine, ForkedError


async def main() -> None:
    """Opens, forks, goes on."""
    async with await AsyncEngine.open(storage={"memory": True}) as engine:
        await engine.evaluate_gate("a", "READER")
        child = os.fork()
        if child == 0:
            # The loop of the parent is not ended here: its threads are not there.
            try:
                await engine.evaluate_gate("a", "READER")
            except ForkedError:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        verdicts = await asyncio.gather(*(engine.evaluate_gate("a", "READER") for _ in range(50)))
        assert len(verdicts) == 50
    print("done")


asyncio.run(main())
