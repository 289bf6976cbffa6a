"""The process: forks, its end, kills, memory, signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import HEAVY, PATIENCE, command, run_program, unrecorded_policy
from trust_engine import Engine

# Python 3.12 and later warn of a fork in a process with threads, which is what is tested.
FORKING = ("error", "ignore:This process:DeprecationWarning")

posix = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@posix
def test_a_child_is_refused_the_engine_of_its_parent_and_opens_its_own(tmp_path: Path) -> None:
    assert run_program("fork.py", tmp_path / "trust", warnings=FORKING) == "done\n"


@posix
def test_a_child_of_an_event_loop_is_refused_its_engine() -> None:
    assert run_program("fork_async.py", warnings=FORKING) == "done\n"


@pytest.mark.parametrize("way", ["open", "pending", "threads", "following", "tasks", "error"])
@pytest.mark.parametrize("n", range(20 if HEAVY else 3))
def test_an_interpreter_ends_well_with_an_open_engine(tmp_path: Path, way: str, n: int) -> None:
    run_program("at_exit.py", way, tmp_path / "trust")
    with Engine(storage={"embedded": tmp_path / "trust"}) as engine:
        assert engine.log().verify() == []


@pytest.mark.parametrize("way", ["threads", "tasks"])
@pytest.mark.parametrize("n", range(50 if HEAVY else 3))
def test_a_kill_loses_no_acknowledged_record(tmp_path: Path, way: str, n: int) -> None:
    wanted = 500 + 700 * n
    acknowledged: list[str] = []
    with subprocess.Popen(command("writer.py", way, tmp_path / "trust"), stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            # The last line may have been cut.
            if line.endswith("\n") and len(line) == 37:
                acknowledged.append(line.strip())
            if len(acknowledged) == wanted:
                writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert len(acknowledged) >= wanted
    with Engine(storage={"embedded": tmp_path / "trust"}) as engine:
        found = {record["id"] for record in engine.log().query(agent_id="agent_001", page_size=1000)}
        assert [id for id in acknowledged if id not in found] == []
        assert engine.log().get(acknowledged[-1])["agentId"] == "agent_001"
        assert engine.log().verify() == []


@linux
def test_memory_stays_flat_over_many_calls() -> None:
    calls = 10_000_000 if HEAVY else 200_000
    with Engine(storage={"memory": True}) as engine:
        # Not recorded: a store in memory grows with what is recorded.
        policy = unrecorded_policy(engine.policy.current()["document"])
    done = subprocess.run(
        command("memory.py", calls, policy), capture_output=True, text=True, timeout=PATIENCE * 60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    rounds: list[int] = json.loads(done.stdout)
    # Allocators settle in the first rounds; a leak goes on.
    before, after = max(rounds[:10]), rounds[-1]
    assert after - before < 8 * 1024 * 1024, [size // 1_000_000 for size in rounds]


@posix
def test_a_wait_for_an_item_is_interrupted(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("interrupt.py"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out, err) == (0, "interrupted\ndone\n", "")
