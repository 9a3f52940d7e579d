"""Real clients in front of Wicket: an allowed call is answered, and a denial is said so that its user sees it."""

from typing import Final

import pytest

from tests.interop.cases import CLIENTS, SHAPES, ClientCase, Shape
from tests.interop.clients.claude import NAME, claude_code
from tests.interop.clients.driven import Call, Heard
from tests.interop.scene import AGENT, DENY_MESSAGE, FORBIDDEN, HIDING, HTTP_SERVICE, Scene
from wicket.core.model import JsonObject

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
AGENTS: Final = {"error": AGENT, "toolResult": HIDING}
UNLISTED: Final = "toggle-simulated-logging"


def sentence(tool: str, agent: str) -> str:
    return f"Authorization denied: tool '{tool}' is not permitted for agent '{agent}'"


def decision_of(heard: Heard) -> object:
    """The `decisionId` that came with a denial, where the client passes it on."""
    return None if heard.data is None else heard.data["decisionId"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CLIENTS, ids=lambda case: case.title)
async def test_a_call_is_answered_and_a_denial_is_seen(case: ClientCase, shape: Shape, s: Scene) -> None:
    agent, title = AGENTS[shape], f"{case.title} {shape}"
    message: JsonObject = {"message": title}
    numbers: JsonObject = {"a": [*CLIENTS].index(case), "b": SHAPES.index(shape)}
    calls = [
        Call(f"{HTTP_SERVICE}__echo", message),
        Call(f"{HTTP_SERVICE}__{FORBIDDEN}", numbers),
        Call(f"{HTTP_SERVICE}__{UNLISTED}", {"by": title}),
    ]
    seen = await case.drive(s.url + "/mcp", await s.key(agent=agent), calls)

    assert {calls[0].tool, calls[1].tool} <= set(seen.tools)
    assert calls[2].tool not in seen.tools
    allowed, denied, unlisted = seen.heard
    assert (allowed.text, allowed.is_error) == (f"Echo: {title}", False)
    assert f"{sentence(FORBIDDEN, agent)}. {DENY_MESSAGE}" in denied.text
    assert denied.is_error
    assert unlisted.is_error

    entry = await s.entry("echo", message)
    assert (entry["decision"], entry["reasonCode"], entry["outcome"]) == ("ALLOW", "permitted", "ok")
    assert (entry["agentName"], entry["clientName"]) == (agent, case.name)
    assert entry["protocolVersion"] == case.protocol
    entry = await s.entry(FORBIDDEN, numbers)
    assert (entry["decision"], entry["reasonCode"]) == ("DENY", "forbidden_by_policy")
    assert (entry["denyMessage"], entry["clientName"]) == (DENY_MESSAGE, case.name)
    assert decision_of(denied) == (entry["id"] if shape in case.shows_data else None)
    if case.sends_unlisted:
        assert sentence(UNLISTED, agent) in unlisted.text
        assert (await s.entry(UNLISTED, {"by": title}))["reasonCode"] == "no_permit_matched"
    else:
        assert [e for e in await s.entries(UNLISTED) if e["toolArgs"] == {"by": title}] == []


async def test_claude_code_says_that_it_is_connected(s: Scene) -> None:
    async with claude_code(s.url + "/mcp", await s.key()) as claude:
        assert f"{NAME}: {s.url}/mcp (HTTP) - ✔ Connected" in await claude.run("mcp", "list")


async def test_claude_code_says_that_a_revoked_key_does_not_connect(s: Scene) -> None:
    email = "lea@example.com"
    async with claude_code(s.url + "/mcp", await s.key(email)) as claude:
        await s.remove(email)
        said = await claude.run("mcp", "list")
    assert "Connected" not in said
    assert f"{NAME}: {s.url}/mcp (HTTP) - " in said
