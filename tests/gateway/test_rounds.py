"""Calls that take several rounds: each is decided anew, and a state is good for its own call alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gateway.suite_scene import SERVICE, Suite, suite
from wicket.core.model import Json, JsonObject

TOOL = "test_input_required_result_request_state"
YES: JsonObject = {"confirm": {"action": "accept", "content": {"ok": True}}}


def retry(state: Json, tool: str = TOOL, **arguments: Json) -> JsonObject:
    return {"name": tool, "arguments": arguments, "inputResponses": YES, "requestState": state}


async def first_round(s: Suite, key: str | None = None) -> str:
    result = (await s.modern("tools/call", {"name": TOOL, "arguments": {}}, key=key)).result
    assert result["resultType"] == "input_required"
    state = result["requestState"]
    assert isinstance(state, str)
    return state


async def test_the_second_round_is_answered_and_each_is_an_entry(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        answer = await s.modern("tools/call", retry(await first_round(s)))
        assert answer.result["content"] == [{"type": "text", "text": "state-ok"}]
        assert len(await s.wicket.entries()) == 2


async def test_the_upstreams_own_state_is_not_to_be_read(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        state = await first_round(s)
        assert await first_round(s) != state
        assert not state.startswith("v1.")  # as the upstream had said


async def test_the_second_round_is_decided_under_the_rules_of_then(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        state = await first_round(s)
        await s.agent.policy(service=SERVICE, tools=[TOOL], effect="forbid")
        assert (await s.modern("tools/call", retry(state))).data["reason"] == "forbidden_by_policy"


async def test_a_state_is_refused_for_another_member(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        other = await s.agent.key("ben@example.com")
        state = await first_round(s, key=other)
        answer = await s.modern("tools/call", retry(state))
        assert (answer.status, answer.error["code"]) == (400, -32602)
        assert answer.data["reason"] == "arguments_rejected"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: retry(state + "x"),
        lambda state: retry(state, tool="test_input_required_result_tampered_state"),
        lambda state: retry(state, changed="argument"),
        lambda _: retry("handed out"),
        lambda _: retry(17),
        lambda state: retry(state) | {"inputResponses": []},
    ],
    ids=["longer", "another tool", "another argument", "made up", "no text", "answers are no object"],
)
async def test_what_does_not_belong_together_is_refused_and_recorded(
    change: Callable[[str], JsonObject], tmp_path: Path
) -> None:
    async with suite(tmp_path) as s:
        answer = await s.modern("tools/call", change(await first_round(s)))
        assert (answer.status, answer.error["code"]) == (400, -32602)
        assert [row["reason_code"] for row in await s.wicket.entries()] == ["permitted", "arguments_rejected"]


async def test_a_prompt_may_take_two_rounds_too(tmp_path: Path) -> None:
    prompt: JsonObject = {"name": "test_input_required_result_prompt"}
    given: JsonObject = {"user_context": {"action": "accept", "content": {"context": "c"}}}
    async with suite(tmp_path) as s:
        assert (await s.modern("prompts/get", prompt)).result["resultType"] == "input_required"
        assert "messages" in (await s.modern("prompts/get", prompt | {"inputResponses": given})).result
