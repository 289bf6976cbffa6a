"""A WSGI application that opens its engine too early: where it is loaded before the workers are forked off."""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from trust_engine import Engine, ForkedError

engine = Engine(storage={"memory": True})


def app(_: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Answers with what the engine says."""
    try:
        answer: dict[str, object] = {"worker": os.getpid(), "decision": engine.evaluate_gate("a", "READER").decision}
    except ForkedError as error:
        answer = {"worker": os.getpid(), "code": error.code, "message": str(error)}
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
