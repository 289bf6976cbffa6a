"""A WSGI application that opens its engine in each worker, when the first request comes."""

import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from trust_engine import Engine


@cache
def engine() -> Engine:
    """The engine of this worker."""
    return Engine(storage={"memory": True})


def app(_: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Answers with the worker's id and a verdict."""
    verdict = engine().evaluate_gate("a", "READER")
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"worker": os.getpid(), "decision": verdict.decision, "recorded": verdict.recorded}).encode()]
