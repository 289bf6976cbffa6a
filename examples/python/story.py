"""A gateway in front of a fleet of agents: it asks before each action, and an auditor checks one answer afterwards.

`pip install ../../bindings-python && python story.py`
"""

import json
import tempfile
from typing import Any

from trust_engine import Engine, Evidence, NotVerifiedError, verify

# Readers may read everything; only the release team may write to production, and two people have to agree.
POLICY = """
policyFormat: 1
name: release-team
tiers: [{ name: GUEST }, { name: MEMBER }, { name: RELEASER }]
roles:
  - { name: READER, minimumTier: GUEST }
  - { name: DEPLOYER, minimumTier: RELEASER }
rules:
  - id: production-needs-a-second-pair-of-eyes
    effect: ESCALATE
    reason: production is changed by two people
    escalationPath: release-managers
    when: { roles: [DEPLOYER], environments: [production] }
  - { id: anything-else, effect: ALLOW }
defaultEffect: DENY
resources: [DEPLOYMENTS]
ceilings:
  agent: [{ tier: RELEASER, resource: DEPLOYMENTS, limit: 3, windowSeconds: 86400 }]
"""


def gateway(folder: str) -> tuple[Evidence, str]:
    """Decides, counts and records; gives the evidence of one decision and the public key of the log."""
    with Engine(storage={"embedded": folder}, policy=POLICY) as engine:
        agents = engine.agents()
        agents.register({"id": "agent_docs", "tier": "GUEST", "creator": "ops"})
        agents.register({"id": "agent_ship", "tier": "RELEASER", "creator": "ops"})

        read = engine.evaluate_gate("agent_docs", "READER", resource_id="handbook", action="read")
        denied = engine.evaluate_gate("agent_docs", "DEPLOYER", resource_id="api", action="deploy")
        staging = engine.evaluate_gate("agent_ship", "DEPLOYER", resource_id="api", environment="staging")
        production = engine.evaluate_gate("agent_ship", "DEPLOYER", resource_id="api", environment="production")
        for verdict in (read, denied, staging, production):
            print(verdict.decision, verdict.reason)
        print(f"\n{denied.trace}\n")
        expect([bool(verdict) for verdict in (read, denied, staging, production)] == [True, False, True, False])
        expect((production.decision, production.escalation_path) == ("ESCALATE", "release-managers"))
        expect("to allow: hold tier RELEASER or higher" in denied.trace)

        # A releaser may deploy three times a day, so the fourth check is refused.
        checks = [engine.check_ceiling("agent_ship", "DEPLOYMENTS", 1) for _ in range(4)]
        print(*(check.reason for check in checks), sep="\n")
        expect([bool(check) for check in checks] == [True, True, True, False])

        # What the host does itself is recorded too, and follows from the verdict that asked for it.
        approved = engine.record(
            "ESCALATION", "agent_ship", "APPROVED", reason="Ann and Bo agree", parent_id=production.provenance_id
        )
        chain = engine.log().chain(approved.id)
        expect([record["decision"] for record in chain] == ["APPROVED", "ESCALATE"])
        found = [record["id"] for record in engine.log().query(agent_id="agent_ship", type="ESCALATION")]
        expect(found == [str(approved.id)])

        # A change of an agent counts from the next request on.
        agents.change("agent_ship", {"version": 1, "status": "SUSPENDED", "changedBy": "ops"})
        expect(not engine.evaluate_gate("agent_ship", "DEPLOYER", environment="staging"))
        return engine.log().evidence(approved.id), engine.verifier_key()


def auditor(evidence: Evidence, key: str) -> None:
    """Checks a decision with nothing but its evidence and the key, which came by another way."""
    verify.evidence(evidence, key)
    print(f"\nproved: {json.loads(evidence['payload'] or '{}')['reason']}\n{evidence['proof']}")
    for part in ("entry", "payload", "proof"):
        forged: Any = dict(evidence)
        forged[part] = forged[part].replace("e", "f", 1)
        try:
            verify.evidence(forged, key)
        except NotVerifiedError as error:
            print(f"a changed {part} is refused: {error}")
        else:
            raise SystemExit(f"a changed {part} was believed")


def expect(truth: bool) -> None:
    """Ends the program where something is not as it says. An assert would be left out by `python -O`."""
    if not truth:
        raise SystemExit("it is not as it should be")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        auditor(*gateway(folder))
