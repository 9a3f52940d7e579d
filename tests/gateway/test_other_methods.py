"""Prompts, resources and completions are decided and recorded like calls, and listed where they may be used."""

from pathlib import Path

import pytest

from tests.gateway.suite_scene import PATH, SERVICE, Suite, at, suite
from wicket.core.model import JsonObject

PROMPT: JsonObject = {"name": "test_prompt_with_arguments", "arguments": {"arg1": "a", "arg2": "b"}}
COMPLETION: JsonObject = {
    "ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
    "argument": {"name": "arg1", "value": "par"},
}
ADDRESS: JsonObject = {"uri": "test://static-text"}
ASKED = {
    "prompts/get": (PROMPT, "messages"),
    "resources/read": (ADDRESS, "contents"),
    "completion/complete": (COMPLETION, "completion"),
}


async def actions(s: Suite) -> list[tuple[str, bool]]:
    await s.wicket.settled(0)
    return [(str(row["tool_name"]), bool(row["denied"])) for row in await s.wicket.entries()]


@pytest.mark.parametrize("method", ASKED)
async def test_what_is_permitted_is_answered_and_recorded_in_both_eras(method: str, tmp_path: Path) -> None:
    params, key = ASKED[method]
    async with suite(tmp_path) as s:
        assert key in (await s.modern(method, params)).result
        assert key in (await s.legacy(method, params)).result
        assert await actions(s) == [(method, False), (method, False)]


@pytest.mark.parametrize("method", ASKED)
async def test_what_nothing_permits_is_denied_and_recorded(method: str, tmp_path: Path) -> None:
    async with suite(tmp_path, permit=False) as s:
        answer = await s.modern(method, ASKED[method][0])
        assert answer.data["reason"] == "no_permit_matched"
        assert await actions(s) == [(method, True)]


async def test_a_policy_names_a_method_as_it_names_a_tool(tmp_path: Path) -> None:
    async with suite(tmp_path, permit=False) as s:
        await s.agent.policy(service=SERVICE, tools=["prompts/get"])
        assert "messages" in (await s.modern("prompts/get", PROMPT)).result
        assert (await s.modern("resources/read", ADDRESS)).data["reason"] == "no_permit_matched"


async def test_lists_show_what_some_policy_may_permit(tmp_path: Path) -> None:
    async with suite(tmp_path, permit=False) as s:
        await s.agent.policy(service=SERVICE, tools=["prompts/get"])
        assert len(at((await s.modern("prompts/list")).result, "prompts")) == 5
        for method, key in (
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ):
            assert (await s.modern(method)).result[key] == []


async def test_the_aggregator_prefixes_prompts_and_serves_no_resources(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        listed = at((await s.modern("prompts/list", path="/mcp")).result, "prompts")
        assert {prompt["name"].partition("__")[0] for prompt in listed} == {SERVICE}
        prefixed = PROMPT | {"name": f"{SERVICE}__{PROMPT['name']}"}
        assert "messages" in (await s.modern("prompts/get", prefixed, path="/mcp")).result
        assert (await s.modern("prompts/get", PROMPT, path="/mcp")).error["code"] == -32602
        assert (await s.modern("resources/read", ADDRESS, path="/mcp")).error["code"] == -32601


async def test_only_what_was_parsed_goes_on(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        wrong: tuple[JsonObject, ...] = (
            {"name": "test_simple_prompt", "arguments": {"a": 1}},
            {"name": ""},
            {"name": "x", "arguments": []},
        )
        for params in wrong:
            assert (await s.legacy("prompts/get", params)).data["reason"] == "arguments_rejected"
        assert (await s.legacy("completion/complete", {"ref": {"type": "x"}})).error["code"] == -32602
        assert all(denied for _, denied in await actions(s))


async def test_what_was_read_is_for_this_member_alone(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        assert (await s.modern("resources/read", ADDRESS)).result["cacheScope"] == "private"


@pytest.mark.parametrize("path", [PATH, "/mcp"])
async def test_capabilities_say_what_is_served(path: str, tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        able = (await s.modern("server/discover", path=path)).result["capabilities"]
        assert isinstance(able, dict)
        assert ("resources" in able) is (path == PATH)
        assert able["prompts"] == ({"listChanged": True} if path == PATH else {})
