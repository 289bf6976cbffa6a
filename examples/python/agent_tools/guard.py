"""A guard around the tools of an agent: each call is gated, charged and recorded."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from trust_engine import CeilingVerdict, Engine, GateVerdict

P = ParamSpec("P")
T = TypeVar("T")


class ToolRefusedError(Exception):
    """A tool was not run; `verdict` says why."""

    def __init__(self, tool: str, verdict: GateVerdict | CeilingVerdict) -> None:
        """Names the tool and the reason, for the agent to read."""
        super().__init__(f"{tool} was not run: {verdict.reason}")
        self.verdict = verdict


class ToolEscalatedError(ToolRefusedError):
    """A tool was not run, because a person has to agree first."""


class ToolGuard:
    """Guards the tools of one agent, which acts on behalf of one user."""

    def __init__(self, engine: Engine, agent_id: str, *, on_behalf_of: str | None = None) -> None:
        """Errors of the engine come through: without a verdict no tool is run."""
        self._engine = engine
        self._agent_id = agent_id
        self._on_behalf_of = on_behalf_of

    def tool(
        self, *, role: str, resource: str, action: str, costs: Mapping[str, int]
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Guards a function. `resource` may hold names of its arguments in braces: `file:{path}`."""

        def guarded(function: Callable[P, T]) -> Callable[P, T]:
            signature = inspect.signature(function)

            @functools.wraps(function)
            def call(*args: P.args, **kwargs: P.kwargs) -> T:
                given = signature.bind(*args, **kwargs)
                given.apply_defaults()
                name = resource.format_map(given.arguments)
                return self._call(function.__name__, role, name, action, costs, lambda: function(*args, **kwargs))

            return call

        return guarded

    def _call(
        self, tool: str, role: str, resource: str, action: str, costs: Mapping[str, int], run: Callable[[], T]
    ) -> T:
        engine, agent, principal = self._engine, self._agent_id, self._on_behalf_of
        gate = engine.evaluate_gate(agent, role, resource_id=resource, action=action, on_behalf_of=principal)
        if gate.decision == "ESCALATE":
            raise ToolEscalatedError(tool, gate)
        if not gate:
            raise ToolRefusedError(tool, gate)
        # Charged before the tool runs, so that what runs at once cannot be more than the ceiling.
        check, reservation = engine.reserve(agent, resources=costs, on_behalf_of=principal)
        if reservation is None:
            raise ToolRefusedError(tool, check)
        outcome: dict[str, Any] = {"tool": tool, "resource": resource}
        try:
            result = run()
        except Exception as error:
            # What failed is free. What it has done all the same is for the tool to tell.
            reservation.void()
            self._record("TOOL_FAILED", gate, {**outcome, "error": type(error).__name__})
            raise
        reservation.commit(list(costs.values()))
        self._record("TOOL_DONE", gate, outcome)
        return result

    def _record(self, word: str, gate: GateVerdict, outcome: Mapping[str, Any]) -> None:
        self._engine.record(
            "ALERT",
            self._agent_id,
            word,
            context=outcome,
            parent_id=gate.provenance_id,
            on_behalf_of=self._on_behalf_of,
        )
