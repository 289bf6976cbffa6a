"""What the tests share: stores, an engine that waits behind the verbs of one that is awaited, child processes."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from trust_engine import AsyncEngine, Engine, InvalidInputError, PostgresStorage, Reservation, Subscription

if TYPE_CHECKING:
    from trust_engine._calls import OpenOptions

P = ParamSpec("P")

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
VECTORS = HERE.parents[1] / "trust-engine" / "tests" / "vectors"

HEAVY = "TRUST_ENGINE_HEAVY" in os.environ
POSTGRES = os.environ.get("TRUST_ENGINE_TEST_POSTGRES_URL")
REDIS = os.environ.get("TRUST_ENGINE_TEST_REDIS_URL")

# The longest that anything here is waited for, in seconds: a test that comes so far has failed.
PATIENCE = 60.0

NOWHERE = "01890000-0000-7000-8000-00000000dead"


@dataclass(frozen=True)
class Store:
    """The options of a fresh store, and how it is removed."""

    options: OpenOptions
    remove: Callable[[], None] = lambda: None


def memory_store(_: Path) -> Store:
    """A store that is gone with its engine."""
    return Store({"storage": {"memory": True}})


def embedded_store(folder: Path) -> Store:
    """A store in a folder."""
    return Store({"storage": {"embedded": folder / "trust"}})


_schemas = iter(range(1_000_000))


def postgres_store(_: Path) -> Store:
    """A schema of its own in the database of the environment, with Redis if the environment has it."""
    assert POSTGRES is not None
    schema = f"te_python_{os.getpid()}_{next(_schemas)}"
    storage: PostgresStorage = {"postgres": {"url": POSTGRES, "schema": schema, "connections": 4}}
    if REDIS is not None:
        storage["redis"] = {"url": REDIS, "prefix": schema}
    options: OpenOptions = {
        "storage": storage,
        "signing_key": bytes([7]) * 32,
        "deployment": "test.example.com/python",
    }

    def remove() -> None:
        if shutil.which("psql") is not None:
            drop = f"drop schema if exists {schema} cascade"
            subprocess.run(["psql", "-qXc", drop, str(POSTGRES)], check=False, stderr=subprocess.DEVNULL)

    return Store(options, remove)


STORES: dict[str, Callable[[Path], Store]] = {"memory": memory_store, "embedded": embedded_store}
# Stores that outlive their engine.
LASTING: dict[str, Callable[[Path], Store]] = {"embedded": embedded_store}
if POSTGRES is not None:
    STORES["postgres" if REDIS is None else "postgres and redis"] = postgres_store
    LASTING["postgres"] = postgres_store


# Opens an engine of the store and the kind that the test is run for.
Opened = Callable[..., AbstractAsyncContextManager[AsyncEngine]]


@asynccontextmanager
async def open_engine(kind: str, options: OpenOptions, **more: Any) -> AsyncIterator[AsyncEngine]:
    """An engine that is awaited, or one that waits behind its verbs."""
    if kind == "async":
        async with await AsyncEngine.open(**cast("OpenOptions", {**options, **more})) as engine:
            yield engine
    else:
        with Engine(**cast("OpenOptions", {**options, **more})) as engine:
            yield cast("AsyncEngine", Waited(engine))


class Waited:
    """An object whose methods wait, behind methods that are awaited."""

    # Methods that are no coroutines in either engine.
    _PLAIN = frozenset({"decide_gate", "check_ceiling_now", "quota"})
    _MAKE = frozenset({"agents", "log", "ceilings", "subscribe", "follow", "query", "list"})

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        if name == "committed":
            return self._committed
        value = getattr(self._of, name)
        if not callable(value):
            return _waited(value)
        if name in self._PLAIN:
            return value
        if name in self._MAKE:
            return lambda *args, **kwargs: _waited(value(*args, **kwargs))

        async def call(*args: Any, **kwargs: Any) -> Any:
            return _waited(value(*args, **kwargs))

        return call

    @staticmethod
    async def _committed(verdict: Any) -> Any:
        return verdict.committed()


class WaitedSubscription:
    """A subscription that waits, behind one that is awaited."""

    def __init__(self, of: Subscription[Any]) -> None:
        self._of = of

    def __aiter__(self) -> WaitedSubscription:
        return self

    async def __anext__(self) -> Any:
        for item in self._of:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._of.close()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._of.close()


def _waited(value: Any) -> Any:
    if isinstance(value, Subscription):
        return WaitedSubscription(value)
    if isinstance(value, Iterator):
        return _each(value)
    if isinstance(value, tuple):
        return tuple(_waited(part) for part in value)
    if type(value).__module__ == "trust_engine._engine" or isinstance(value, Reservation):
        return Waited(value)
    return value


async def _each(items: Iterator[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def asynchronous(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def patiently() -> None:
            await asyncio.wait_for(test(*args, **kwargs), PATIENCE * (10 if HEAVY else 1))

        asyncio.run(patiently())

    return run


def vectors(name: str) -> Any:
    """A file of vectors that every language runs."""
    return json.loads((VECTORS / name).read_text())


def unrecorded_policy(document: str) -> str:
    """A policy as it is, but for recording, of which there is none."""
    policy = json.loads(document)
    policy["recording"] = {**policy.get("recording", {}), "gates": {"mode": "NONE"}}
    policy["recording"]["ceilings"] = {**policy["recording"].get("ceilings", {}), "mode": "NONE"}
    return json.dumps(policy)


def names(error: BaseException, *fields: str) -> bool:
    """Whether an error is of an invalid input, and names one of the fields."""
    assert isinstance(error, InvalidInputError), repr(error)
    assert (error.code, error.retryable, error.details.get("field")) == ("TE_INVALID_INPUT", False, error.field)
    assert error.field in fields, repr(error)
    return True


def command(program: str, *args: object, warnings: tuple[str, ...] = ("error",)) -> list[str]:
    """The command of a program of these tests, in which warnings are errors."""
    ways = [part for way in warnings for part in ("-W", way)]
    return [sys.executable, *ways, str(PROGRAMS / program), *map(str, args)]


def run_program(program: str, *args: object, warnings: tuple[str, ...] = ("error",)) -> str:
    """Runs a program, which ends well and says nothing on stderr; gives what it printed."""
    done = subprocess.run(
        command(program, *args, warnings=warnings),
        capture_output=True,
        text=True,
        timeout=PATIENCE * (30 if HEAVY else 3),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout
