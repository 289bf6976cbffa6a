"""Verification without an engine: what is refused, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import names, vectors
from trust_engine import Evidence, InvalidInputError, NotVerifiedError, TrustEngineError, verify

LOG = vectors("log.json")
KEY: str = LOG["verifierKey"]
PROOF: str = LOG["proof"]["text"]
LAST: dict[str, str] = LOG["entries"][-1]


def evidence(**changes: Any) -> Evidence:
    """The evidence of the last golden record, with changes."""
    whole: Any = {
        "entry": LAST["entry"],
        "payload": LAST["payload"],
        "salt": LAST["salt"],
        "proof": PROOF,
        "verifierKey": KEY,
        **changes,
    }
    return whole  # type: ignore[no-any-return]


def test_evidence_is_checked_against_the_key_of_the_caller_and_no_other() -> None:
    verify.evidence(evidence(), KEY)
    # The key within the evidence is not looked at.
    verify.evidence(evidence(verifierKey="nonsense"), KEY)
    other = "vectors.example/trust/prov/0+00000000+" + KEY.rpartition("+")[2]
    with pytest.raises(TrustEngineError):
        verify.evidence(evidence(), other)


def test_evidence_without_its_payload_proves_the_entry() -> None:
    verify.evidence(evidence(payload=None, salt=None), KEY)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"entry": LAST["entry"].replace("ESCALATION", "ESCALATIOM")}, NotVerifiedError),
        ({"payload": LAST["payload"].replace("Ann", "Anna")}, NotVerifiedError),
        ({"salt": "00" * 32}, NotVerifiedError),
        ({"proof": PROOF.replace("index 7", "index 6")}, NotVerifiedError),
        ({"payload": None}, InvalidInputError),
        ({"salt": None}, InvalidInputError),
        ({"salt": "xyz"}, InvalidInputError),
        ({"salt": "00"}, InvalidInputError),
        ({"entry": None}, InvalidInputError),
        ({"proof": None}, InvalidInputError),
        ({"entry": 7}, InvalidInputError),
        ({"payload": {"reason": "x"}}, InvalidInputError),
        ({"entry": "a\ud800"}, InvalidInputError),
    ],
    ids=repr,
)
def test_evidence_that_was_changed_is_refused(changes: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        verify.evidence(evidence(**changes), KEY)


def test_what_is_no_evidence_is_a_type_error() -> None:
    junk: list[Any] = [None, "x", 7, [], ("entry", "proof")]
    for wrong in junk:
        with pytest.raises(TypeError):
            verify.evidence(wrong, KEY)
    with pytest.raises(InvalidInputError) as raised:
        verify.evidence({}, KEY)  # type: ignore[typeddict-item]
    assert names(raised.value, "evidence")


def test_a_key_that_is_none_is_named() -> None:
    for key in ("nonsense", "", KEY[:-1], KEY.replace("+", "-")):
        with pytest.raises(InvalidInputError) as raised:
            verify.record(LAST["entry"], PROOF, key)
        assert names(raised.value, "verifier_key", "verifierKey")


def test_a_payload_is_checked_with_its_own_entry_and_salt() -> None:
    entry, payload, salt = LAST["entry"], LAST["payload"], bytes.fromhex(LAST["salt"])
    verify.payload(entry, payload, salt)
    for e, p, s in ((entry, payload, bytes(32)), (entry, entry, salt), (payload, payload, salt)):
        with pytest.raises(NotVerifiedError):
            verify.payload(e, p, s)
    with pytest.raises(InvalidInputError) as raised:
        verify.payload(entry, payload, salt[1:])
    assert names(raised.value, "salt")


def test_a_proof_of_growth_is_a_list_of_hashes() -> None:
    older, newer = LOG["entries"][0]["checkpoint"], LAST["checkpoint"]
    with pytest.raises(TypeError):
        verify.consistency(older, newer, "abc", KEY)
    for proof in (["abc"], [""], ["=" * 44]):
        with pytest.raises((InvalidInputError, NotVerifiedError)):
            verify.consistency(older, newer, proof, KEY)
    with pytest.raises(NotVerifiedError):
        verify.consistency("x", newer, [], KEY)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrustEngineError):
        verify.log(tmp_path / "nowhere", KEY)
    with pytest.raises(TrustEngineError):
        verify.log(tmp_path, KEY, since="x")
    with pytest.raises(TypeError):
        verify.log(7, KEY)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        verify.log(b"folder", KEY)  # type: ignore[arg-type]
