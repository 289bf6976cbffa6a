"""Errors: their classes, and what they carry."""

from __future__ import annotations

import copy
import pickle

import pytest
import trust_engine
from trust_engine import (
    ClosedError,
    ConflictError,
    Engine,
    ForbiddenError,
    ForkedError,
    InternalError,
    InvalidInputError,
    InvalidPolicyError,
    NotFoundError,
    NotVerifiedError,
    StoreError,
    TrustEngineError,
    UnavailableError,
    WouldBlockError,
)
from trust_engine._errors import error_class

CLASSES: dict[type[TrustEngineError], set[str]] = {
    InvalidInputError: {"TE_INVALID_INPUT"},
    InvalidPolicyError: {"TE_INVALID_POLICY"},
    ForbiddenError: {"TE_FORBIDDEN"},
    NotFoundError: {"TE_NOT_FOUND"},
    ConflictError: {"TE_CONFLICT"},
    UnavailableError: {"TE_UNAVAILABLE", "TE_NO_SPACE", "TE_LOCKED", "TE_FENCED", "TE_OVERLOADED"},
    WouldBlockError: {"TE_WOULD_BLOCK"},
    ClosedError: {"TE_CLOSED"},
    StoreError: {"TE_FOREIGN", "TE_UNSUPPORTED", "TE_CORRUPT", "TE_PERMISSION_DENIED", "TE_KEY"},
    NotVerifiedError: {"TE_NOT_VERIFIED"},
    ForkedError: {"TE_FORKED"},
    InternalError: {"TE_PANIC"},
}


def test_every_code_has_its_class() -> None:
    for kind, codes in CLASSES.items():
        assert issubclass(kind, TrustEngineError)
        assert getattr(trust_engine, kind.__name__) is kind
        for code in codes:
            assert error_class(code) is kind
    assert error_class("TE_OF_A_LATER_VERSION") is TrustEngineError


def test_errors_are_what_python_calls_them_too() -> None:
    assert issubclass(InvalidInputError, ValueError)
    assert issubclass(InvalidPolicyError, ValueError)
    assert issubclass(NotFoundError, LookupError)
    assert issubclass(ForkedError, RuntimeError)
    assert not issubclass(TrustEngineError, (ValueError, LookupError, RuntimeError, OSError))


@pytest.mark.parametrize("kind", [TrustEngineError, *CLASSES])
def test_an_error_is_pickled_and_copied_whole(kind: type[TrustEngineError]) -> None:
    error = kind("it is wrong", code="TE_X", retryable=True, field="agentId", details={"field": "agentId", "id": "é"})
    # As add_note does, which Python 3.10 does not have.
    error.__dict__["__notes__"] = ["seen in a test"]
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (str(again), repr(again), again.__dict__) == (str(error), repr(error), error.__dict__)
        assert (again.code, again.retryable, again.field, again.details) == ("TE_X", True, "agentId", error.details)


def test_an_error_tells_what_it_knows(memory: Engine) -> None:
    with pytest.raises(InvalidInputError) as raised:
        memory.decide_gate("", "READER")
    error = raised.value
    assert (error.code, error.retryable, error.field) == ("TE_INVALID_INPUT", False, "agentId")
    assert error.details["field"] == "agentId"
    assert "agentId is empty" in str(error)
    assert error.args == (str(error),)
    assert repr(error) == f"InvalidInputError({str(error)!r}, code='TE_INVALID_INPUT', field='agentId')"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.details) == (InvalidInputError, str(error), error.details)
    with pytest.raises(NotFoundError) as missing:
        memory.agents().get("nobody")
    assert (missing.value.code, missing.value.retryable) == ("TE_NOT_FOUND", False)


def test_an_error_may_be_retried_where_that_helps(memory: Engine) -> None:
    with pytest.raises(ConflictError) as raised:
        memory.agents().register({"id": "agent_001"})
    assert raised.value.retryable is False
    error = error_class("TE_UNAVAILABLE")("gone", code="TE_UNAVAILABLE", retryable=True, field=None, details={})
    assert repr(error) == "UnavailableError('gone', code='TE_UNAVAILABLE', retryable=True)"


def test_the_details_of_an_error_are_its_own() -> None:
    details = {"id": "a"}
    error = TrustEngineError("x", details=details)
    details["id"] = "b"
    assert error.details == {"id": "a"}
