"""The guard, and the agent behind it."""

from collections.abc import Iterator
from typing import Any

import pytest
from trust_engine import ClosedError, Engine, ProvenanceRecord

from agent import POLICY, ToolCall, World, outcome, run, scripted_planner, tools_of
from guard import ToolEscalatedError, ToolGuard, ToolRefusedError

AGENT = "researcher-7"


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine with one agent."""
    with Engine(storage={"memory": True}, policy=POLICY) as engine:
        engine.agents().register({"id": AGENT, "tier": "STANDARD", "creator": "ops"})
        yield engine


@pytest.fixture
def world() -> World:
    """Files, and no mails."""
    return World()


@pytest.fixture
def tools(engine: Engine, world: World) -> Any:
    """The tools of the agent."""
    return tools_of(ToolGuard(engine, AGENT, on_behalf_of="user-1"), world)


def outcomes(engine: Engine) -> list[ProvenanceRecord]:
    """What the guard has recorded, oldest first."""
    return list(engine.log().query(agent_id=AGENT, type="ALERT", oldest_first=True))


def used(engine: Engine) -> dict[str, int]:
    """What the agent has used."""
    return {row["resourceType"]: row["current"] for row in engine.ceilings().usage(AGENT)}


def test_the_agent_does_what_it_may_and_hears_why_it_may_not(engine: Engine, world: World, tools: Any) -> None:
    answer, heard = run(scripted_planner(), tools)
    assert answer == "the summary is in notes/summary"
    assert heard == [
        "water boils at 100 °C",
        "read_file was not run: payroll is not for agents",
        "written",
        "send_mail was not run: a person reads every mail before it is sent",
        "'notes/missing'",
    ]
    assert world.files["notes/summary"] == "We know: water boils at 100 °C."
    assert world.mails == []
    assert [record["decision"] for record in outcomes(engine)] == ["TOOL_DONE", "TOOL_DONE", "TOOL_FAILED"]
    # Two calls are charged: what was refused or has failed is free.
    assert used(engine) == {"TOOL_CALLS": 2, "TOKENS": 250}
    assert engine.log().verify() == []


def test_an_outcome_follows_from_the_verdict_that_allowed_it(engine: Engine, tools: Any) -> None:
    tools["read_file"](path="notes/a")
    [done] = outcomes(engine)
    record, gate = engine.log().chain(done["id"])
    assert record["context"] == {"tool": "read_file", "resource": "file:notes/a"}
    assert (gate["type"], gate["decision"], gate["onBehalfOf"]) == ("ROLE_GATE", "ALLOW", "user-1")
    assert gate["context"] == {"resourceId": "file:notes/a", "action": "read"}


def test_a_refused_tool_is_not_run(world: World, tools: Any) -> None:
    with pytest.raises(ToolEscalatedError) as escalated:
        tools["send_mail"]("a@example.org", "x")
    assert (escalated.value.verdict.allowed, world.mails) == (False, [])
    with pytest.raises(ToolRefusedError, match="payroll is not for agents"):
        tools["write_file"]("payroll/b", text="x")
    assert world.files["payroll/b"] == "secret"


def test_a_ceiling_ends_the_calls(engine: Engine, tools: Any) -> None:
    for _ in range(5):
        tools["read_file"]("notes/a")
    with pytest.raises(ToolRefusedError, match="ceiling"):
        tools["read_file"]("notes/a")
    assert (used(engine)["TOOL_CALLS"], len(outcomes(engine))) == (5, 5)


def test_a_suspended_agent_runs_nothing(engine: Engine, tools: Any) -> None:
    engine.agents().change(AGENT, {"status": "SUSPENDED", "changedBy": "ops"})
    with pytest.raises(ToolRefusedError):
        tools["read_file"]("notes/a")
    assert outcomes(engine) == []


def test_without_a_verdict_nothing_is_run(engine: Engine, world: World, tools: Any) -> None:
    engine.close()
    with pytest.raises(ClosedError):
        outcome(ToolCall("write_file", {"path": "notes/b", "text": "x"}), tools)
    assert "notes/b" not in world.files


def test_a_tool_that_is_not_there_is_told(tools: Any) -> None:
    assert outcome(ToolCall("rm", {}), tools) == "there is no tool rm"
