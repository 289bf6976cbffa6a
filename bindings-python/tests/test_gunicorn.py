"""Servers that fork their workers off: an engine is opened in each worker."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, PROGRAMS

pytest.importorskip("gunicorn", reason="gunicorn is not installed: pip install 'trust-engine[test]'")


class LocalConnection(http.client.HTTPConnection):
    """A connection through a Unix socket: no port has to be free."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))


@contextmanager
def served(folder: Path, app: str, *options: str) -> Iterator[Path]:
    """Gunicorn with two workers; gives its socket."""
    path = folder / "socket"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gunicorn",
                "--workers=2",
                f"--bind=unix:{path}",
                f"--chdir={PROGRAMS}",
                "--no-control-socket",
                *options,
                app,
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    try:
        yield path
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        finally:
            server.kill()
            server.wait()


def answer(path: Path) -> Any:
    """The answer of one worker, once there is one that listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = LocalConnection(path)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, (body, (path.parent / "log").read_text())
            return json.loads(body)
        except OSError:
            assert time.monotonic() < deadline, (path.parent / "log").read_text()
            time.sleep(0.05)
        finally:
            connection.close()


def of_two_workers(path: Path) -> list[Any]:
    """Answers of both workers."""
    answers: dict[int, Any] = {}
    deadline = time.monotonic() + PATIENCE
    while len(answers) < 2:
        given = answer(path)
        answers[given["worker"]] = given
        assert time.monotonic() < deadline, "one worker gave every answer"
    return list(answers.values())


def test_an_engine_that_is_opened_after_the_fork_works(tmp_path: Path) -> None:
    with served(tmp_path, "served:app") as path:
        for given in of_two_workers(path):
            assert (given["decision"], given["recorded"]) == ("DENY", "committed")


def test_an_engine_that_is_opened_before_the_fork_is_refused_and_says_why(tmp_path: Path) -> None:
    with served(tmp_path, "preloaded:app", "--preload") as path:
        for given in of_two_workers(path):
            assert given["code"] == "TE_FORKED"
            assert "open an engine in the child" in given["message"]
