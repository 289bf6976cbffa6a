"""Engines to test with."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis.configuration import set_hypothesis_home_dir
from support import LASTING, STORES, Opened, Store, open_engine
from trust_engine import Engine

# Hypothesis keeps tables of Unicode, which are not to lie in the repository.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "trust-engine-hypothesis")


@pytest.fixture
def memory() -> Iterator[Engine]:
    """An engine in memory, with an agent."""
    with Engine(storage={"memory": True}) as engine:
        engine.agents().register({"id": "agent_001", "tier": "VERIFIED", "creator": "ops"})
        yield engine


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Engine]:
    """An engine on a folder, with an agent."""
    with Engine(storage={"embedded": tmp_path / "trust"}) as engine:
        engine.agents().register({"id": "agent_001", "tier": "VERIFIED", "creator": "ops"})
        yield engine


@pytest.fixture(
    params=[(kind, name) for name in STORES for kind in ("sync", "async")], ids=lambda param: "-".join(param)
)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Opens engines of both kinds, on every store."""
    yield from _opened(STORES[request.param[1]](tmp_path), request.param[0])


@pytest.fixture(
    params=[(kind, name) for name in LASTING for kind in ("sync", "async")], ids=lambda param: "-".join(param)
)
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Opens engines of both kinds, on every store that outlives them."""
    yield from _opened(LASTING[request.param[1]](tmp_path), request.param[0])


@pytest.fixture(params=["sync", "async"])
def in_memory(request: pytest.FixtureRequest) -> Opened:
    """Opens engines of both kinds in memory."""
    options: Any = {"storage": {"memory": True}}
    return functools.partial(open_engine, request.param, options)


def _opened(store: Store, kind: str) -> Iterator[Opened]:
    yield functools.partial(open_engine, kind, store.options)
    store.remove()
