"""The policy, in both engines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import Opened, asynchronous, names
from trust_engine import AsyncEngine, Engine, InvalidInputError, InvalidPolicyError


@asynchronous
async def test_the_policy_is_swapped_and_its_versions_are_kept(opened: Opened) -> None:
    async with opened() as engine:
        before = await engine.policy.current()
        document = json.dumps({**json.loads(before["document"]), "name": "other"})
        receipt = await engine.policy.swap(document, "ops")
        after = await engine.policy.current()
        assert after["hash"] != before["hash"]
        versions = await engine.policy.history()
        assert [version["version"] for version in versions] == [2, 1]
        assert [version["hash"] for version in versions] == [after["hash"], before["hash"]]
        assert [version["version"] for version in await engine.policy.history(below=2, limit=1)] == [1]
        record = await engine.log(fleet_wide=True).get(receipt["id"])
        assert (record["type"], record["leafIndex"]) == ("POLICY", receipt["leafIndex"])


@asynchronous
async def test_a_policy_with_mistakes_is_told_whole(in_memory: Opened) -> None:
    async with in_memory() as engine:
        with pytest.raises(InvalidPolicyError, match="1:8 roles: expected a list") as raised:
            await engine.policy.swap("roles: 1\n", "ops")
        assert isinstance(raised.value, ValueError)
        assert raised.value.code == "TE_INVALID_POLICY"


@asynchronous
async def test_a_swap_needs_a_text_and_a_name(in_memory: Opened) -> None:
    async with in_memory() as engine:
        document = (await engine.policy.current())["document"]
        junk: list[Any] = [document.encode(), None, {}]
        for wrong in junk:
            with pytest.raises(TypeError):
                await engine.policy.swap(wrong, "ops")
        for actor in (None, "", "two\nlines", 7):
            with pytest.raises(InvalidInputError):
                await engine.policy.swap(document, actor)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError) as raised:
            await engine.policy.swap("name: \ud800", "ops")
        assert names(raised.value, "document")
        for limit in (0, 101, "5", True):
            with pytest.raises(InvalidInputError) as raised:
                await engine.policy.history(limit=limit)  # type: ignore[arg-type]
            assert names(raised.value, "limit", "pageSize")


def test_an_engine_that_is_opened_with_a_bad_policy_is_none() -> None:
    with pytest.raises(InvalidPolicyError):
        Engine(storage={"memory": True}, policy="roles: 1")


@asynchronous
async def test_an_awaited_engine_that_is_opened_with_a_bad_policy_is_none() -> None:
    with pytest.raises(InvalidPolicyError):
        await AsyncEngine.open(storage={"memory": True}, policy="roles: 1")
