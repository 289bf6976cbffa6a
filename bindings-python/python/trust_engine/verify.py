"""Verification with nothing but the log's public key: no engine, no store, no network.

Each function returns when what it checked is as it says, and raises `NotVerifiedError` when it is not. The verifier key
has to come from where the caller trusts it, and not from beside the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from ._errors import invalid
from ._json import path_text, text
from ._trust_engine import verify_consistency, verify_log, verify_payload, verify_record

if TYPE_CHECKING:
    from ._types import Evidence

__all__ = ["consistency", "evidence", "log", "payload", "record"]


def record(entry: str | bytes, proof: str, verifier_key: str) -> None:
    """Verifies that a record is in the log of a key: its exact entry, and a C2SP tlog-proof."""
    verify_record(_exact("entry", entry), proof, verifier_key)


def payload(entry: str | bytes, payload: str | bytes, salt: bytes) -> None:
    """Verifies that a payload is the one that a record commits to: the exact texts of both, and the salt (32 bytes)."""
    verify_payload(_exact("entry", entry), _exact("payload", payload), salt)


def evidence(evidence: Evidence, verifier_key: str) -> None:
    """Verifies what `Log.evidence` gave, against a key that the caller trusts: entry and payload.

    A payload that is gone (`None`) is not missed. The key within the evidence is not used.
    """
    entry, proof = _part(evidence, "entry"), _part(evidence, "proof")
    if entry is None or proof is None:
        raise invalid("evidence", "has no entry or no proof")
    record(entry, proof, verifier_key)
    content, salt = _part(evidence, "payload"), _part(evidence, "salt")
    if (content is None) != (salt is None):
        raise invalid("evidence", "has a payload without its salt, or a salt without its payload")
    if content is not None and salt is not None:
        payload(entry, content, _salt(salt))


def consistency(older: str, newer: str, proof: Sequence[str], verifier_key: str) -> None:
    """Verifies that the log at the checkpoint `newer` begins with the log at the checkpoint `older`: it only grew.

    Both are signed notes; `proof` is the hashes of RFC 6962, section 2.1.2, in base64.
    """
    if isinstance(proof, str):
        raise TypeError("proof is of type str; it takes a list of hashes")
    verify_consistency(older, newer, proof, verifier_key)


def log(folder: str | PathLike[str], verifier_key: str, since: str | None = None) -> None:
    """Verifies a log that was exported into a folder, from its first entry to its last.

    With `since`, a signed checkpoint that the caller kept, it verifies also that the log goes on from there.
    """
    verify_log(path_text("folder", folder), verifier_key, since)


def _exact(field: str, value: str | bytes) -> bytes:
    return text(field, value).encode() if isinstance(value, str) else value


def _part(evidence: Evidence, name: str) -> str | None:
    if not isinstance(evidence, Mapping):
        raise TypeError(f"evidence is of type {type(evidence).__name__}; it takes what Log.evidence gives")
    part = evidence.get(name)
    if part is None or isinstance(part, str):
        return part
    raise invalid(f"evidence.{name}", f"is of type {type(part).__name__}; it takes text")


def _salt(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise invalid("evidence.salt", "is not hexadecimal") from None
