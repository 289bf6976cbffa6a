"""The service, from the outside."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from trust_engine import Engine

from app import app, documents, lifespan

READER, EDITOR = {"X-Agent-Id": "reader"}, {"X-Agent-Id": "editor"}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh store, and the one document that there is at first."""
    monkeypatch.setenv("TRUST_ENGINE_STORE", str(tmp_path / "trust"))
    documents.clear()
    documents["handbook"] = "Be kind."
    return tmp_path / "trust"


@asynccontextmanager
async def service() -> AsyncIterator[httpx.AsyncClient]:
    """The service with its lifespan, in the loop of the test."""
    transport = httpx.ASGITransport(app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


def served(test: Callable[[httpx.AsyncClient], Awaitable[None]]) -> Callable[[], None]:
    """A test that is given the service."""

    async def with_service() -> None:
        async with service() as client:
            await test(client)

    return lambda: asyncio.run(with_service())


async def written(client: httpx.AsyncClient, text: str, headers: dict[str, str]) -> httpx.Response:
    """The answer to an edit."""
    return await client.put("/documents/plan", params={"text": text}, headers=headers)


@served
async def test_a_reader_reads_and_does_not_write(client: httpx.AsyncClient) -> None:
    read = await client.get("/documents/handbook", headers=READER)
    assert read.json() == {"text": "Be kind."}
    denied = await written(client, "mine", READER)
    assert denied.status_code == 403
    assert denied.json()["reason"] == "the agent holds GUEST; EDITOR needs MEMBER"
    assert (await client.get("/documents/plan", headers=READER)).status_code == 404


@served
async def test_an_editor_writes_until_its_ceiling_is_used_up(client: httpx.AsyncClient) -> None:
    for left in (2, 1, 0):
        answer = await written(client, f"{left}", EDITOR)
        assert (answer.status_code, answer.json()["editsLeft"]) == (200, left)
    refused = await written(client, "more", EDITOR)
    assert (refused.status_code, refused.json()["reasonCode"]) == (429, "CEILING_EXCEEDED")
    assert (await client.get("/documents/plan", headers=READER)).json() == {"text": "0"}


@served
async def test_edits_at_once_are_no_more_than_the_ceiling(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(written(client, "x", EDITOR) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 17


@served
async def test_a_retry_is_charged_once(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        answer = await written(client, "x", {**EDITOR, "Idempotency-Key": "edit-1"})
        assert answer.json()["editsLeft"] == 2


@served
async def test_a_deletion_waits_for_a_person(client: httpx.AsyncClient) -> None:
    escalated = await client.delete("/documents/handbook", headers=EDITOR)
    assert (escalated.status_code, escalated.json()["escalationPath"]) == (409, "document-owners")
    assert (await client.get("/documents/handbook", headers=READER)).status_code == 200


@served
async def test_a_request_without_an_agent_is_not_decided(client: httpx.AsyncClient) -> None:
    assert (await client.get("/documents/handbook")).status_code == 401
    nobody = await client.get("/documents/handbook", headers={"X-Agent-Id": "a" * 300})
    assert (nobody.status_code, nobody.json()["field"]) == (400, "agentId")


@served
async def test_without_a_verdict_nothing_is_done(client: httpx.AsyncClient) -> None:
    await app.state.engine.close()
    answer = await written(client, "x", EDITOR)
    assert (answer.status_code, answer.json()["code"]) == (503, "TE_CLOSED")
    assert "plan" not in documents


def test_everything_that_was_decided_is_in_the_log(store: Path) -> None:
    async def work() -> tuple[str, str]:
        async with service() as client:
            done, denied = await written(client, "x", EDITOR), await written(client, "y", READER)
            return done.json()["record"], denied.json()["record"]

    done, denied = asyncio.run(work())
    with Engine(storage={"embedded": store}) as engine:
        record, gate = engine.log().chain(done)
        assert (record["decision"], gate["decision"]) == ("DOCUMENT_WRITTEN", "ALLOW")
        assert gate["context"] == {"resourceId": "/documents/plan", "action": "PUT"}
        assert engine.log().get(denied)["decision"] == "DENY"
        assert engine.log().verify() == []
