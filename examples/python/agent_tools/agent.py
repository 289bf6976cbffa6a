"""A small agent that runs without any model: a planner with a script asks for tools, and hears what came of it.

`pip install ../../../bindings-python && python agent.py`
"""

import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trust_engine import Engine

from guard import ToolGuard, ToolRefusedError

POLICY = """
policyFormat: 1
name: research agents
tiers: [{ name: TRIAL }, { name: STANDARD }]
roles:
  - { name: RESEARCHER, minimumTier: TRIAL }
  - { name: AUTHOR, minimumTier: STANDARD }
  - { name: SENDER, minimumTier: STANDARD }
rules:
  - id: no-payroll
    effect: DENY
    reason: payroll is not for agents
    when: { resources: ["file:payroll/*"] }
  - id: mail-needs-a-person
    effect: ESCALATE
    reason: a person reads every mail before it is sent
    escalationPath: the user
    when: { roles: [SENDER] }
defaultEffect: ALLOW
resources: [TOOL_CALLS, TOKENS]
ceilings:
  agent:
    - { tier: STANDARD, resource: TOOL_CALLS, limit: 5, windowSeconds: 3600 }
    - { tier: STANDARD, resource: TOKENS, limit: 1000, windowSeconds: 3600 }
"""

Tool = Callable[..., str]


@dataclass
class World:
    """What the tools work on."""

    files: dict[str, str] = field(default_factory=lambda: {"notes/a": "water boils at 100 °C", "payroll/b": "secret"})
    mails: list[str] = field(default_factory=list)


def tools_of(guard: ToolGuard, world: World) -> Mapping[str, Tool]:
    """The tools, each behind its gate."""

    @guard.tool(role="RESEARCHER", resource="file:{path}", action="read", costs={"TOOL_CALLS": 1, "TOKENS": 50})
    def read_file(path: str) -> str:
        return world.files[path]

    @guard.tool(role="AUTHOR", resource="file:{path}", action="write", costs={"TOOL_CALLS": 1, "TOKENS": 200})
    def write_file(path: str, text: str) -> str:
        world.files[path] = text
        return "written"

    @guard.tool(role="SENDER", resource="mail:{to}", action="send", costs={"TOOL_CALLS": 1, "TOKENS": 100})
    def send_mail(to: str, text: str) -> str:
        world.mails.append(f"{to}: {text}")
        return "sent"

    return {tool.__name__: tool for tool in (read_file, write_file, send_mail)}


@dataclass(frozen=True)
class ToolCall:
    """A tool that the planner asks for."""

    tool: str
    arguments: dict[str, Any]


# A planner asks for tools, and is sent what each has come to. A model would be asked here.
Planner = Generator[ToolCall, str, str]


def scripted_planner() -> Planner:
    """Reads, tries what it may not, writes, tries to send."""
    fact = yield ToolCall("read_file", {"path": "notes/a"})
    yield ToolCall("read_file", {"path": "payroll/b"})
    yield ToolCall("write_file", {"path": "notes/summary", "text": f"We know: {fact}."})
    yield ToolCall("send_mail", {"to": "everyone@example.org", "text": "Done."})
    yield ToolCall("read_file", {"path": "notes/missing"})
    return "the summary is in notes/summary"


def run(planner: Planner, tools: Mapping[str, Tool]) -> tuple[str, list[str]]:
    """The loop: gives the planner's answer, and what each of its calls has come to."""
    heard: list[str] = []
    try:
        call = next(planner)
        while True:
            heard.append(outcome(call, tools))
            call = planner.send(heard[-1])
    except StopIteration as end:
        return str(end.value), heard


def outcome(call: ToolCall, tools: Mapping[str, Tool]) -> str:
    """The result of a tool, or the reason for which there is none. Errors of the engine end the agent."""
    if call.tool not in tools:
        return f"there is no tool {call.tool}"
    try:
        return tools[call.tool](**call.arguments)
    except (ToolRefusedError, LookupError, TypeError) as error:
        return str(error)


def main() -> None:
    """Runs the agent once, and shows what the log has of it."""
    with tempfile.TemporaryDirectory() as folder, Engine(storage={"embedded": Path(folder)}, policy=POLICY) as engine:
        engine.agents().register({"id": "researcher-7", "tier": "STANDARD", "creator": "ops"})
        guard, world = ToolGuard(engine, "researcher-7", on_behalf_of="user-1"), World()
        answer, heard = run(scripted_planner(), tools_of(guard, world))
        print(*heard, answer, sep="\n")
        for record in engine.log().query(agent_id="researcher-7", oldest_first=True):
            print(record["type"], record["decision"], record["reason"] or record["context"])
        if world.mails or "secret" in "".join(heard) or world.files["notes/summary"] == "" or engine.log().verify():
            sys.exit("the guard has let something through")


if __name__ == "__main__":
    main()
