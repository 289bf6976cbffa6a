"""The native half: see src/ in bindings-python. Its users are the modules of this package."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, final
from uuid import UUID

from typing_extensions import Self, disjoint_base

from ._types import CeilingAnswer, GateAnswer

version: str

def call_table() -> str:
    """JSON of the table of calls."""

def forked() -> None:
    """Notes that the process is a child: engines that were opened before refuse calls."""

@final
class GateVerdict:
    """A gate's verdict. It is true when the agent may take the role."""

    @property
    def allowed(self) -> bool: ...
    @property
    def decision(self) -> Literal["ALLOW", "DENY", "ESCALATE"]: ...
    @property
    def reason(self) -> str: ...
    @property
    def reason_code(self) -> str: ...
    @property
    def evaluated_at(self) -> datetime: ...
    @property
    def provenance_id(self) -> UUID: ...
    @property
    def required_tier(self) -> str | None: ...
    @property
    def escalation_path(self) -> str | None: ...
    @property
    def recorded(self) -> Literal["committed", "pending", "none"]: ...
    @property
    def receipt(self) -> Receipt | None: ...
    @property
    def trace(self) -> str: ...
    def to_dict(self) -> GateAnswer: ...
    def committed(self) -> Receipt | None: ...
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class CeilingVerdict:
    """A ceiling's verdict. It is true when the amounts may be used."""

    @property
    def allowed(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def reason_code(self) -> str: ...
    @property
    def current_usage(self) -> int: ...
    @property
    def ceiling(self) -> int: ...
    @property
    def remaining(self) -> int: ...
    @property
    def reset_at(self) -> datetime | None: ...
    @property
    def evaluated_at(self) -> datetime: ...
    @property
    def near_limit(self) -> bool: ...
    @property
    def repeated(self) -> bool: ...
    @property
    def retryable(self) -> bool: ...
    @property
    def retry_after(self) -> float | None: ...
    @property
    def provenance_id(self) -> UUID | None: ...
    @property
    def recorded(self) -> Literal["committed", "pending", "none"]: ...
    @property
    def receipt(self) -> Receipt | None: ...
    def to_dict(self) -> CeilingAnswer: ...
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Receipt:
    """Acknowledges a record: it is durable, and this is its place in the log."""

    @property
    def id(self) -> UUID: ...
    @property
    def origin(self) -> str: ...
    @property
    def leaf_index(self) -> int: ...
    @property
    def tree_size(self) -> int: ...
    @property
    def merkle_root(self) -> str: ...
    @property
    def signature(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Quota:
    """The quota of one agent, for callers that check it often. Threads may share it."""

    def try_take(self, resource_type: str, amount: int, /) -> CeilingVerdict: ...

@final
class Reservation:
    """Amounts that are charged and may turn out not to be needed."""

    @property
    def verdict(self) -> CeilingVerdict: ...
    def commit(self, used: int | Sequence[int]) -> Receipt | None: ...
    def void(self) -> Receipt | None: ...

@final
class Caller:
    """The caller of calls by name, read from JSON."""

    def __new__(cls, json: str, /) -> Self: ...

@final
class Answer:
    """The answer of a call by name that succeeded; one that failed is raised as the engine's error."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def etag(self) -> str | None: ...
    @property
    def immutable(self) -> bool: ...

@final
class Subscription:
    """A stream of items, each JSON. `next` waits without the GIL; None is the end, also of a stream that was ended."""

    def next(self) -> str | None: ...
    def end(self) -> None: ...

@disjoint_base
class NativeEngine:
    """An open engine. Methods that may wait let go of the GIL; signals are seen to while they wait."""

    def __new__(cls, options: str, /) -> Self: ...
    @property
    def is_closed(self) -> bool: ...
    def decide_gate(
        self,
        agent_id: str,
        role: str,
        *,
        tier: str | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
        resource_id: str | None = None,
        action: str | None = None,
        environment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> GateVerdict: ...
    def evaluate_gate(
        self,
        agent_id: str,
        role: str,
        *,
        tier: str | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
        resource_id: str | None = None,
        action: str | None = None,
        environment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> GateVerdict: ...
    def check_ceiling(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        *,
        resources: Mapping[str, int] | None = None,
        tier: str | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
        request_id: str | None = None,
    ) -> CeilingVerdict: ...
    def check_ceiling_now(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        *,
        resources: Mapping[str, int] | None = None,
        tier: str | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
        request_id: str | None = None,
    ) -> CeilingVerdict: ...
    def reserve(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        *,
        resources: Mapping[str, int] | None = None,
        tier: str | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[CeilingVerdict, Reservation | None]: ...
    def quota(self, agent_id: str, *, organization: str | None = None) -> Quota: ...
    def record(
        self,
        type: str,
        agent_id: str,
        decision: str,
        *,
        id: str | UUID | None = None,
        reason_code: str | None = None,
        reason: str | None = None,
        context: Mapping[str, Any] | None = None,
        parent_id: str | UUID | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
    ) -> Receipt: ...
    def call_json(
        self,
        caller: Caller,
        name: str,
        parameters: str,
        body: bytes | None = None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Answer: ...
    def subscribe_json(self, caller: Caller, name: str, parameters: str) -> Subscription: ...
    def close(self) -> None: ...
    # The asynchronous forms. Each gives its result at once where it need not wait, and otherwise an int: the number
    # that `drain` gives it by. `event_fd` is readable while there is something to drain.
    def event_fd(self) -> int: ...
    def drain(self) -> list[tuple[int, Any, BaseException | None]]: ...
    def begin_evaluate_gate(
        self,
        agent_id: str,
        role: str,
        *,
        tier: str | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
        resource_id: str | None = None,
        action: str | None = None,
        environment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> GateVerdict | int: ...
    def begin_check_ceiling(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        *,
        resources: Mapping[str, int] | None = None,
        tier: str | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
        request_id: str | None = None,
    ) -> CeilingVerdict | int: ...
    def begin_reserve(
        self,
        agent_id: str,
        resource_type: str | None = None,
        amount: int | None = None,
        *,
        resources: Mapping[str, int] | None = None,
        tier: str | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[CeilingVerdict, Reservation | None] | int: ...
    def begin_record(
        self,
        type: str,
        agent_id: str,
        decision: str,
        *,
        id: str | UUID | None = None,
        reason_code: str | None = None,
        reason: str | None = None,
        context: Mapping[str, Any] | None = None,
        parent_id: str | UUID | None = None,
        organization: str | None = None,
        caller: str | None = None,
        on_behalf_of: str | None = None,
        traceparent: str | None = None,
    ) -> Receipt | int: ...
    def begin_committed(self, verdict: GateVerdict) -> Receipt | int | None: ...
    def begin_settle(
        self, reservation: Reservation, used: int | Sequence[int] | None = None
    ) -> Receipt | int | None: ...
    def begin_call(
        self,
        caller: Caller,
        name: str,
        parameters: str,
        body: bytes | None = None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Answer | int: ...
    def begin_next(self, subscription: Subscription) -> str | int | None: ...
    def begin_close(self) -> int | None: ...

def verify_record(entry: bytes, proof: str, verifier_key: str) -> None: ...
def verify_payload(entry: bytes, payload: bytes, salt: bytes) -> None: ...
def verify_consistency(older: str, newer: str, proof: Sequence[str], verifier_key: str) -> None: ...
def verify_log(folder: str, verifier_key: str, since: str | None = None) -> None: ...

# What pickle calls.
def restore_gate_verdict(json: str, id: str, trace: str, receipt: Receipt | None = None) -> GateVerdict: ...
def restore_ceiling_verdict(
    json: str, retryable: bool, retry_after: float | None = None, receipt: Receipt | None = None
) -> CeilingVerdict: ...
def restore_receipt(json: str) -> Receipt: ...
