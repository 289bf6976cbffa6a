"""Role gates, in both engines and on every store."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from support import Opened, asynchronous, names, unrecorded_policy
from trust_engine import AsyncEngine, Engine, GateVerdict, InvalidInputError, WouldBlockError

POLICY = """
policyFormat: 1
name: two people
tiers: [{ name: GUEST }, { name: RELEASER }]
roles: [{ name: DEPLOYER, minimumTier: RELEASER }]
rules:
  - id: production-needs-two
    effect: ESCALATE
    reason: production is changed by two people
    escalationPath: release-managers
    when: { environments: [production] }
defaultEffect: ALLOW
"""


async def decided(engine: AsyncEngine, agent_id: str, role: str) -> GateVerdict:
    """A verdict at once. On a shared store the engine may have to read the agent once more first."""
    while True:
        try:
            return engine.decide_gate(agent_id, role)
        except WouldBlockError as error:
            assert error.retryable
            await engine.evaluate_gate(agent_id, role)


@asynchronous
async def test_a_verdict_is_committed_when_it_says_so(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED", "creator": "ops"})
        verdict = await engine.evaluate_gate("agent_001", "DATA_ANALYST", resource_id="dataset_001", action="read")
        assert verdict
        assert (verdict.allowed, verdict.decision, verdict.reason_code) == (True, "ALLOW", "TIER_SUFFICIENT")
        assert verdict.recorded == "committed"
        assert verdict.receipt is not None
        assert verdict.receipt.id == verdict.provenance_id
        record = await engine.log().get(verdict.provenance_id)
        assert (record["decision"], record["leafIndex"]) == ("ALLOW", verdict.receipt.leaf_index)
        assert record["inputs"]["context"] == {"resourceId": "dataset_001", "action": "read"}


@asynchronous
async def test_a_denial_says_what_would_have_been_needed(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        verdict = await engine.evaluate_gate("agent_001", "SYSTEM_ADMIN")
        assert not verdict
        assert (verdict.decision, verdict.required_tier, verdict.reason_code) == (
            "DENY",
            "PRIVILEGED",
            "TIER_BELOW_MINIMUM",
        )
        assert "PRIVILEGED" in verdict.trace
        assert "\n" in verdict.trace
        assert verdict.escalation_path is None


@asynchronous
async def test_an_escalation_names_its_path_and_is_no_yes(in_memory: Opened) -> None:
    async with in_memory(policy=POLICY) as engine:
        await engine.agents().register({"id": "ship", "tier": "RELEASER"})
        verdict = await engine.evaluate_gate("ship", "DEPLOYER", environment="production")
        assert not verdict
        assert (verdict.decision, verdict.escalation_path) == ("ESCALATE", "release-managers")
        assert verdict.reason == "production is changed by two people"
        assert (await engine.evaluate_gate("ship", "DEPLOYER", environment="staging")).allowed


@asynchronous
async def test_a_verdict_at_once_is_pending_and_its_commit_can_be_waited_for_again_and_again(opened: Opened) -> None:
    async with opened() as engine:
        await engine.agents().register({"id": "agent_001", "tier": "VERIFIED"})
        verdict = await decided(engine, "agent_001", "READER")
        assert (verdict.recorded, verdict.receipt) == ("pending", None)
        receipt = await engine.committed(verdict)
        assert receipt is not None
        assert receipt.id == verdict.provenance_id
        assert await engine.committed(verdict) == receipt
        assert verdict.receipt == receipt


@asynchronous
async def test_tasks_that_wait_for_one_commit_share_its_receipt() -> None:
    async with await AsyncEngine.open(storage={"memory": True}) as engine:
        for _ in range(50):
            verdict = engine.decide_gate("a", "READER")
            receipts = await asyncio.gather(*(engine.committed(verdict) for _ in range(5)))
            assert {receipt and receipt.id for receipt in receipts} == {verdict.provenance_id}


@asynchronous
async def test_a_verdict_that_the_policy_does_not_record_has_no_receipt(in_memory: Opened) -> None:
    async with in_memory() as engine:
        await engine.policy.swap(unrecorded_policy((await engine.policy.current())["document"]), "ops")
        for verdict in (engine.decide_gate("a", "READER"), await engine.evaluate_gate("a", "READER")):
            assert (verdict.recorded, verdict.receipt, await engine.committed(verdict)) == ("none", None, None)
            assert verdict.to_dict()["provenanceId"] is None


@asynchronous
async def test_a_claimed_tier_is_believed_only_of_an_authority(opened: Opened) -> None:
    async with opened(tier_authorities=["gateway"]) as engine:
        assert not await engine.evaluate_gate("stranger", "DATA_ANALYST", tier="VERIFIED")
        assert await engine.evaluate_gate("stranger", "DATA_ANALYST", tier="VERIFIED", caller="gateway")


@asynchronous
async def test_everything_that_a_gate_is_told_is_recorded(in_memory: Opened) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with in_memory() as engine:
        verdict = await engine.evaluate_gate(
            "a",
            "READER",
            organization="acme",
            caller="gateway",
            on_behalf_of="user-7",
            traceparent=trace,
            resource_id="r",
            action="read",
            environment="test",
            metadata={"n": 1, "list": [1.5, None, True, "é"], "deep": {"er": {}}},
        )
        record = await engine.log("acme").get(str(verdict.provenance_id))
        assert (record["organization"], record["caller"], record["onBehalfOf"]) == ("acme", "gateway", "user-7")
        assert record["traceparent"] == trace
        assert record["context"] == {
            "resourceId": "r",
            "action": "read",
            "environment": "test",
            "metadata": {"n": 1, "list": [1.5, None, True, "é"], "deep": {"er": {}}},
        }


def test_a_verdict_has_values_of_python(memory: Engine) -> None:
    verdict = memory.evaluate_gate("agent_001", "READER")
    assert isinstance(verdict.provenance_id, UUID)
    assert verdict.evaluated_at.tzinfo is timezone.utc
    assert abs(datetime.now(timezone.utc) - verdict.evaluated_at) < timedelta(minutes=1)
    answer = verdict.to_dict()
    assert answer["provenanceId"] == str(verdict.provenance_id)
    assert datetime.fromisoformat(answer["evaluatedAt"].replace("Z", "+00:00")) == verdict.evaluated_at
    receipt = verdict.receipt
    assert receipt is not None
    assert isinstance(receipt.id, UUID)
    assert (receipt.time.tzinfo, receipt.tree_size > receipt.leaf_index >= 0) == (timezone.utc, True)
    assert receipt.origin.endswith("/prov/0")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"agent_id": ""}, "agentId"),
        ({"agent_id": "a\x00b"}, "agentId"),
        ({"agent_id": "a" * 257}, "agentId"),
        ({"role": "r" * 65}, "role"),
        ({"tier": ""}, "tier"),
        ({"organization": ""}, "organization"),
        ({"organization": "*"}, "organization"),
        ({"traceparent": "00"}, "traceparent"),
        ({"on_behalf_of": "two\nlines"}, "onBehalfOf"),
    ],
)
@asynchronous
async def test_a_value_out_of_bounds_is_named(in_memory: Opened, arguments: dict[str, str], field: str) -> None:
    request: dict[str, Any] = {"agent_id": "a", "role": "READER", **arguments}
    async with in_memory() as engine:
        with pytest.raises(InvalidInputError) as raised:
            engine.decide_gate(**request)
        assert names(raised.value, field)
        with pytest.raises(InvalidInputError) as raised:
            await engine.evaluate_gate(**request)
        assert names(raised.value, field)
        assert engine.decide_gate("a", "READER").reason_code == "TIER_BELOW_MINIMUM"
