"""What a call names decides it at the proxy: of services known by data, and across services by what was read."""

from pathlib import Path

import pytest

from tests.gateway.recipes import ask, prepare, recipes
from tests.instance import Instance
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import Json, JsonObject

PAGE, OTHER_PAGE = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
NO_CREDENTIALS = 412
"""What is allowed gets as far as the credentials, which nobody has connected."""
LABEL = "github:private"
SERVICES = ["github", "slack", "linear", "fake"]


@pytest.mark.parametrize(
    ("service", "limit", "tool", "let_by", "denied", "refused"),
    [
        (
            "notion",
            {"restrictions": {"pages": [PAGE]}},
            "notion-update-page",
            {"page_id": PAGE},
            {"page_id": OTHER_PAGE},
            {"page_id": f"https://www.notion.so/{PAGE}"},
        ),
        (
            "vercel",
            {"conditions": {"items": [{"type": "projectId", "value": "prj_mine"}]}},
            "pause_project",
            {"projectId": "prj_mine"},
            {"projectId": "prj_other"},
            {"projectId": "prj_mine/../prj_other"},
        ),
    ],
)
async def test_the_proxy_decides_by_what_a_call_names(
    tmp_path: Path,
    service: str,
    limit: JsonObject,
    tool: str,
    let_by: JsonObject,
    denied: JsonObject,
    refused: JsonObject,
) -> None:
    async with Instance.started(tmp_path) as wicket:
        token, agent = await wicket.token(), await wicket.agent()
        root = f"/agents/{agent.id}"
        await ask(wicket, token, "PUT", f"{root}/services", {"services": [service]})
        for seeded in (await ask(wicket, token, "GET", f"{root}/policies", None))["items"]:
            await ask(wicket, token, "DELETE", f"{root}/policies/{seeded['id']}", None)
        permit = {"name": "p", "service": service, "effect": "permit", "tools": [tool], **limit}
        await ask(wicket, token, "POST", f"{root}/policies", permit)
        key = await agent.key()
        assert (await wicket.call(key, f"{service}__{tool}", let_by)).status == NO_CREDENTIALS
        for arguments, reason in ((denied, "no_permit_matched"), (refused, "arguments_rejected")):
            answer = await wicket.call(key, f"{service}__{tool}", arguments)
            assert (answer.status, answer.data["reason"]) == (200, reason)


@pytest.mark.parametrize("visibility", ["public", "private"])
async def test_a_session_that_has_read_something_private_sends_nothing(
    tmp_path: Path, visibility: str
) -> None:
    known: Json = {"type": "Repository", "id": "my-org/site", "attributes": {"visibility": visibility}}
    async with RecordingUpstream() as upstream, Instance.started(tmp_path) as wicket:
        token, agent = await wicket.token(), await wicket.agent(services={"fake": upstream.url})
        await prepare(wicket, token, agent, dict(recipes())["private-then-no-sending"])
        await ask(wicket, token, "PUT", f"/agents/{agent.id}/services", {"services": SERVICES})
        await agent.policy(service="fake")
        await agent.policy(service="fake", effect="forbid", session=[{"type": "hasLabel", "value": LABEL}])
        body: JsonObject = {"service": "github", "entities": [known]}
        await ask(wicket, token, "PUT", f"/agents/{agent.id}/entities", body)
        key = await agent.key()
        message: JsonObject = {"channel_id": "C0123ABCD", "message": "hello"}
        assert (await wicket.call(key, "slack__slack_send_message", message)).status == NO_CREDENTIALS
        read = await wicket.call(key, "github__get_file_contents", {"owner": "my-org", "repo": "site"})
        assert read.status == NO_CREDENTIALS
        sent = await wicket.call(key, "slack__slack_send_message", message)
        elsewhere = await wicket.call(key, "fake__echo", {"text": "hello"})
        assert elsewhere.status == 200
        assert len(upstream.calls) == (1 if visibility == "public" else 0)
        if visibility == "public":
            assert sent.status == NO_CREDENTIALS
        else:
            assert (sent.status, sent.data["reason"]) == (200, "forbidden_by_policy")
