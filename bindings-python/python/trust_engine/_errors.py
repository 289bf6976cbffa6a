"""The errors of the engine, and the class of each code."""

from __future__ import annotations

from collections.abc import Mapping


class TrustEngineError(Exception):
    """Any error of the engine. There is no verdict then: treat it as a denial."""

    code: str
    """The code of the class of errors, the same in every language: `TE_INVALID_INPUT`…"""
    retryable: bool
    """Whether the same call may succeed later without a change by the caller."""
    field: str | None
    """The field that the error is about, as the wire names it."""
    details: dict[str, str]
    """Values that help to find the cause."""

    # Every argument but the message has a default: that is how exceptions are pickled and copied.
    def __init__(
        self,
        message: str = "",
        *,
        code: str = "TE_OTHER",
        retryable: bool = False,
        field: str | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.field = field
        self.details = dict(details or {})

    def __repr__(self) -> str:
        """The class, the message, the code and what else there is."""
        told = [repr(str(self)), f"code={self.code!r}"]
        if self.field is not None:
            told.append(f"field={self.field!r}")
        if self.retryable:
            told.append("retryable=True")
        return f"{type(self).__name__}({', '.join(told)})"


class InvalidInputError(TrustEngineError, ValueError):
    """A value given by the caller is outside its bounds; `field` names it."""


class InvalidPolicyError(TrustEngineError, ValueError):
    """The policy document has mistakes; the message lists them all."""


class ForbiddenError(TrustEngineError):
    """The caller may not do this."""


class NotFoundError(TrustEngineError, LookupError):
    """The thing asked for does not exist, or not in this organization."""


class ConflictError(TrustEngineError):
    """The change was made against another version, or an id is taken by other content."""


class UnavailableError(TrustEngineError):
    """The store cannot be reached, is full, locked or fenced, or the queue is full."""


class WouldBlockError(TrustEngineError):
    """A call that never waits would have had to wait."""


class ClosedError(TrustEngineError):
    """The engine was closed."""


class StoreError(TrustEngineError):
    """The store or its key is damaged, foreign, of a newer version, or may not be accessed."""


class NotVerifiedError(TrustEngineError):
    """A proof, a signature or a payload is not what it says."""


class ForkedError(TrustEngineError, RuntimeError):
    """The process was forked after the engine was opened. Open an engine in the child."""


class InternalError(TrustEngineError):
    """The engine has failed in a way that it must not. Please report it."""


_CLASSES: dict[str, type[TrustEngineError]] = {
    "TE_INVALID_INPUT": InvalidInputError,
    "TE_INVALID_POLICY": InvalidPolicyError,
    "TE_FORBIDDEN": ForbiddenError,
    "TE_NOT_FOUND": NotFoundError,
    "TE_CONFLICT": ConflictError,
    "TE_UNAVAILABLE": UnavailableError,
    "TE_NO_SPACE": UnavailableError,
    "TE_LOCKED": UnavailableError,
    "TE_FENCED": UnavailableError,
    "TE_OVERLOADED": UnavailableError,
    "TE_WOULD_BLOCK": WouldBlockError,
    "TE_CLOSED": ClosedError,
    "TE_FOREIGN": StoreError,
    "TE_UNSUPPORTED": StoreError,
    "TE_CORRUPT": StoreError,
    "TE_PERMISSION_DENIED": StoreError,
    "TE_KEY": StoreError,
    "TE_NOT_VERIFIED": NotVerifiedError,
    "TE_FORKED": ForkedError,
    "TE_PANIC": InternalError,
}

# The codes of errors that stand within an answer, which are those of the REST contract.
_CONTRACT = {
    "P6_INVALID_REQUEST": "TE_INVALID_INPUT",
    "P6_FORBIDDEN": "TE_FORBIDDEN",
    "P6_NOT_FOUND": "TE_NOT_FOUND",
    "P6_CONFLICT": "TE_CONFLICT",
    "P6_UNAVAILABLE": "TE_UNAVAILABLE",
}


def error_class(code: str) -> type[TrustEngineError]:
    """The class of a code; the native half raises errors by it. A code of a later version is a TrustEngineError."""
    return _CLASSES.get(code, TrustEngineError)


def invalid(field: str, issue: str) -> InvalidInputError:
    """The error of a value that is not as it must be."""
    message = f"invalid input: {field} {issue}"
    return InvalidInputError(message, code="TE_INVALID_INPUT", field=field, details={"field": field})


def of_contract(code: str, message: str, details: Mapping[str, str]) -> TrustEngineError:
    """An error within an answer as the engine's own."""
    own = _CONTRACT.get(code, "TE_OTHER")
    retryable = own == "TE_UNAVAILABLE"
    return error_class(own)(message, code=own, retryable=retryable, field=details.get("field"), details=details)
