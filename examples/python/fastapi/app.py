"""A service that asks the engine before each request: `uvicorn app:app`.

A dependency gates a route. A request that cannot be decided and recorded is answered with 503.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from trust_engine import (
    AsyncEngine,
    CeilingVerdict,
    GateVerdict,
    InvalidInputError,
    StorageOptions,
    TrustEngineError,
)

POLICY = """
policyFormat: 1
name: documents
tiers: [{ name: GUEST }, { name: MEMBER }]
roles:
  - { name: READER, minimumTier: GUEST }
  - { name: EDITOR, minimumTier: MEMBER }
rules:
  - id: deleting-needs-a-person
    effect: ESCALATE
    reason: a person has to agree before a document is deleted
    escalationPath: document-owners
    when: { actions: [DELETE] }
defaultEffect: ALLOW
resources: [EDITS]
ceilings:
  agent: [{ tier: MEMBER, resource: EDITS, limit: 3, windowSeconds: 3600 }]
"""


class RefusedError(Exception):
    """A request that ends with a verdict."""

    def __init__(self, status: int, verdict: GateVerdict | CeilingVerdict, **beside: object) -> None:
        """The status of the answer, the verdict, and what stands beside its reason."""
        super().__init__(verdict.reason)
        record = verdict.provenance_id
        self.status = status
        self.body = {
            "reason": verdict.reason,
            "reasonCode": verdict.reason_code,
            "record": record and str(record),
            **beside,
        }


def engine_of(request: Request) -> AsyncEngine:
    """The engine of this process."""
    engine: AsyncEngine = request.app.state.engine
    return engine


def agent_of(x_agent_id: Annotated[str | None, Header()] = None) -> str:
    """The agent that asks. A proxy has authenticated it, and removes this header from what comes from outside."""
    if x_agent_id is None:
        raise HTTPException(401, "the header X-Agent-Id is missing")
    return x_agent_id


AgentId = Annotated[str, Depends(agent_of)]


@dataclass(frozen=True)
class Gate:
    """A dependency: the agent may take this role for this request, or the request ends."""

    role: str

    async def __call__(
        self, request: Request, agent_id: AgentId, traceparent: Annotated[str | None, Header()] = None
    ) -> GateVerdict:
        """The verdict, which is committed before the route runs."""
        verdict = await engine_of(request).evaluate_gate(
            agent_id, self.role, resource_id=request.url.path, action=request.method, traceparent=traceparent
        )
        if verdict.decision == "ESCALATE":
            raise RefusedError(409, verdict, escalationPath=verdict.escalation_path)
        if not verdict:
            raise RefusedError(403, verdict)
        return verdict


@dataclass(frozen=True)
class Ceiling:
    """A dependency: the agent may use so much of a resource, or the request ends."""

    resource_type: str
    amount: int = 1

    async def __call__(
        self, request: Request, agent_id: AgentId, idempotency_key: Annotated[str | None, Header()] = None
    ) -> CeilingVerdict:
        """The verdict; the amount is charged. A retry with the same key is charged once."""
        verdict = await engine_of(request).check_ceiling(
            agent_id, self.resource_type, self.amount, request_id=idempotency_key
        )
        if not verdict:
            raise RefusedError(429, verdict, remaining=verdict.remaining)
        return verdict


def storage() -> StorageOptions:
    """The store of the environment: a folder, or a database that several workers share."""
    url = os.environ.get("TRUST_ENGINE_POSTGRES")
    return {"postgres": url} if url else {"embedded": os.environ.get("TRUST_ENGINE_STORE", "./trust")}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the engine in the worker that uses it, after the server has forked."""
    key = os.environ.get("TRUST_ENGINE_KEY")
    options: dict[str, Any] = {"signing_key": bytes.fromhex(key), "deployment": "documents"} if key else {}
    async with await AsyncEngine.open(storage=storage(), policy=POLICY, **options) as engine:
        # Agents that are registered already are refused, which is as well.
        await engine.agents().import_many([{"id": "reader", "tier": "GUEST"}, {"id": "editor", "tier": "MEMBER"}])
        app.state.engine = engine
        yield


app = FastAPI(title="documents", lifespan=lifespan)
documents: dict[str, str] = {"handbook": "Be kind."}


@app.exception_handler(RefusedError)
async def refused(_: Request, error: RefusedError) -> JSONResponse:
    """403 for a denial, 409 where a person has to agree first, 429 where a ceiling is used up."""
    return JSONResponse(error.body, error.status)


@app.exception_handler(InvalidInputError)
async def invalid(_: Request, error: InvalidInputError) -> JSONResponse:
    """An agent's id or a header that is none."""
    return JSONResponse({"reason": str(error), "field": error.field}, 400)


@app.exception_handler(TrustEngineError)
async def undecided(_: Request, error: TrustEngineError) -> JSONResponse:
    """There is no verdict. The error itself is for the log of the service, and not for the agent."""
    headers = {"Retry-After": "1"} if error.retryable else None
    return JSONResponse({"reason": "no verdict can be given now", "code": error.code}, 503, headers)


@app.get("/documents/{name}")
async def read(name: str, _: Annotated[GateVerdict, Depends(Gate("READER"))]) -> dict[str, str]:
    """Reads a document."""
    if name not in documents:
        raise HTTPException(404)
    return {"text": documents[name]}


@app.put("/documents/{name}")
async def write(
    name: str,
    text: str,
    request: Request,
    agent_id: AgentId,
    gate: Annotated[GateVerdict, Depends(Gate("EDITOR"))],
    edits: Annotated[CeilingVerdict, Depends(Ceiling("EDITS"))],
) -> dict[str, object]:
    """Writes a document, and records that it was done: the record follows from that of the gate."""
    documents[name] = text
    # If this fails, the answer is 503 and the document is written; the gate's record says who was let through.
    receipt = await engine_of(request).record(
        "ALERT", agent_id, "DOCUMENT_WRITTEN", context={"document": name}, parent_id=gate.provenance_id
    )
    return {"record": str(receipt.id), "editsLeft": edits.remaining}


@app.delete("/documents/{name}")
async def delete(name: str, _: Annotated[GateVerdict, Depends(Gate("EDITOR"))]) -> None:
    """Deletes a document: never without a person, by the policy."""
    documents.pop(name, None)
