"""Verdicts and receipts as values of Python."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from support import unrecorded_policy
from trust_engine import CeilingVerdict, Engine, GateVerdict, InvalidInputError, Receipt

COPIES: list[Callable[[Any], Any]] = [
    *(lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol)) for protocol in range(6)),
    copy.copy,
    copy.deepcopy,
]


@pytest.mark.parametrize("again", COPIES)
def test_a_gates_verdict_is_the_same_as_its_copy(memory: Engine, again: Callable[[Any], Any]) -> None:
    for role in ("READER", "SYSTEM_ADMIN"):
        verdict = memory.evaluate_gate("agent_001", role)
        same = again(verdict)
        assert (same, hash(same), repr(same)) == (verdict, hash(verdict), repr(verdict))
        assert isinstance(same, GateVerdict)
        for name in ("allowed", "decision", "reason", "reason_code", "evaluated_at", "provenance_id", "required_tier"):
            assert getattr(same, name) == getattr(verdict, name)
        assert (same.trace, same.receipt, same.recorded) == (verdict.trace, verdict.receipt, "committed")
        assert (same.to_dict(), bool(same), same.committed()) == (verdict.to_dict(), bool(verdict), verdict.receipt)


@pytest.mark.parametrize("again", COPIES)
def test_a_verdict_that_is_not_recorded_is_the_same_as_its_copy(memory: Engine, again: Callable[[Any], Any]) -> None:
    memory.policy.swap(unrecorded_policy(memory.policy.current()["document"]), "ops")
    verdict = memory.evaluate_gate("agent_001", "READER")
    same = again(verdict)
    assert (same, hash(same), same.provenance_id) == (verdict, hash(verdict), verdict.provenance_id)
    assert (same.recorded, same.committed()) == ("none", None)
    check = memory.check_ceiling("agent_001", "API_CALLS", 1)
    assert (again(check), hash(again(check)), check.provenance_id) == (check, hash(check), None)


@pytest.mark.parametrize("again", COPIES)
def test_a_ceilings_verdict_is_the_same_as_its_copy(memory: Engine, again: Callable[[Any], Any]) -> None:
    for amount in (10, 10_000):
        check = memory.check_ceiling("agent_001", "API_CALLS", amount)
        same = again(check)
        assert (same, hash(same), repr(same)) == (check, hash(check), repr(check))
        assert isinstance(same, CeilingVerdict)
        for name in (
            "allowed",
            "reason",
            "reason_code",
            "current_usage",
            "ceiling",
            "remaining",
            "reset_at",
            "evaluated_at",
            "near_limit",
            "repeated",
            "retryable",
            "retry_after",
            "provenance_id",
            "recorded",
            "receipt",
        ):
            assert getattr(same, name) == getattr(check, name), name
        assert (same.to_dict(), bool(same)) == (check.to_dict(), bool(check))


@pytest.mark.parametrize("again", COPIES)
def test_a_receipt_is_the_same_as_its_copy(memory: Engine, again: Callable[[Any], Any]) -> None:
    receipt = memory.record("ALERT", "a", "RAISED")
    same = again(receipt)
    assert (same, hash(same), repr(same)) == (receipt, hash(receipt), repr(receipt))
    assert isinstance(same, Receipt)
    for name in ("id", "origin", "leaf_index", "tree_size", "merkle_root", "signature", "time"):
        assert getattr(same, name) == getattr(receipt, name)
    assert str(receipt.id) in repr(receipt)


def test_a_verdict_equals_itself_and_nothing_else(memory: Engine) -> None:
    one, two = memory.evaluate_gate("agent_001", "READER"), memory.evaluate_gate("agent_001", "READER")
    check = memory.check_ceiling("agent_001", "API_CALLS", 1)
    receipt = one.receipt
    assert receipt is not None
    assert one != two
    assert receipt != two.receipt
    assert len({one, two, check, receipt, copy.copy(one)}) == 4
    for value in (one, check, receipt):
        for other in (None, 7, True, "ALLOW", object(), {}, value.__class__):
            assert value != other
            assert not value == other  # noqa: SIM201


def test_a_verdict_is_as_true_as_its_decision(memory: Engine) -> None:
    allowed, denied = memory.evaluate_gate("agent_001", "READER"), memory.evaluate_gate("agent_001", "SYSTEM_ADMIN")
    assert [bool(allowed), bool(denied)] == [allowed.allowed, denied.allowed] == [True, False]
    assert "ALLOW" in repr(allowed)
    assert "DENY" in repr(denied)
    assert "TIER_BELOW_MINIMUM" in repr(denied)
    admitted, refused = (memory.check_ceiling("agent_001", "API_CALLS", amount) for amount in (1, 1000))
    assert [bool(admitted), bool(refused)] == [True, False]
    assert "CEILING_EXCEEDED" in repr(refused)


def test_a_verdict_cannot_be_changed_or_made_up(memory: Engine) -> None:
    verdict = memory.evaluate_gate("agent_001", "SYSTEM_ADMIN")
    for name in ("allowed", "decision", "receipt", "else"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(verdict, name, True)
    assert not verdict
    verdict.to_dict()["allowed"] = True
    assert verdict.to_dict()["allowed"] is False
    for kind in (GateVerdict, CeilingVerdict, Receipt):
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            type("Mine", (kind,), {})


def test_the_copy_of_a_pending_verdict_knows_that_it_cannot_wait(memory: Engine) -> None:
    verdict = memory.decide_gate("agent_001", "READER")
    same = pickle.loads(pickle.dumps(verdict))
    assert same == verdict
    with pytest.raises(InvalidInputError):
        same.committed()
    receipt = verdict.committed()
    assert receipt is not None
    assert pickle.loads(pickle.dumps(verdict)).committed() == receipt


def test_an_engine_is_not_pickled_or_copied(memory: Engine) -> None:
    for value in (memory, memory.quota("agent_001")):
        for make in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                make(value)
