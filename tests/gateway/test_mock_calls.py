"""Calls from the dashboard: the whole path of a call, admitted by the membership of who is signed in."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.gateway.scene import SERVICE, Scene, scene
from tests.gateway.signed_in import SignedIn
from tests.upstreams import faults
from wicket.core.model import AgentStatus, AuthType, Json, TrustMode

PATH = "/api/mcp/mock-call"
BEN = "ben@example.com"


class Dashboard(SignedIn):
    """Somebody who tries the scene's agent."""

    async def call(
        self,
        arguments: Mapping[str, Json] | None = None,
        *,
        key: str | None = None,
        said: Mapping[str, object] | None = None,
    ) -> tuple[int, Any]:
        """Status and answer."""
        body: dict[str, object] = {"agentId": self._s.agent.id, "service": SERVICE, "tool": "echo"}
        headers = {} if key is None else {"x-wicket-member-key": key}
        return await self.send("POST", PATH, {**body, **(said or {}), "arguments": arguments or {}}, headers)


async def _dashboard(s: Scene, email: str) -> Dashboard:
    return Dashboard(s, await s.wicket.token(email))


async def test_a_permitted_call_is_made_and_entered_like_any_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        owner = await _dashboard(s, "owner@example.com")
        status, answer = await owner.call({"text": "hello"})
        (entry,) = await s.ended()
        (sent,) = s.upstream.calls
    assert status == 200
    assert (answer["decision"], answer["reasonCode"], answer["entryId"]) == ("ALLOW", "permitted", entry.id)
    assert [policy["key"] for policy in answer["matchedPolicies"]] == ["a-policy"]
    assert (answer["result"]["content"][0]["type"], answer["error"]) == ("text", None)
    assert sent.params["arguments"] == {"text": "hello"}
    assert (entry.outcome, entry.member_id, entry.tool) == ("ok", s.agent.owner_member, "echo")
    assert entry.body["clientName"] == "wicket dashboard"


async def test_who_has_no_key_may_try_the_agent_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        ben_id = await s.agent.member(BEN)
        status, answer = await (await _dashboard(s, BEN)).call()
        (entry,) = await s.ended()
    assert (status, answer["decision"], answer["matchedPolicies"]) == (200, "ALLOW", None)
    assert (entry.member_id, entry.key_id) == (ben_id, ben_id)


async def test_a_denied_call_is_answered_with_the_reason_and_sends_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, permit=False) as s:
        await s.agent.policy(
            service=SERVICE, tools=["echo"], effect="forbid", denyMessage="Ask Ada.", name="never"
        )
        await s.agent.member(BEN)
        answers = [(await (await _dashboard(s, email)).call())[1] for email in ("owner@example.com", BEN)]
        entries = await s.ended(2)
        seen = len(s.upstream.seen)
    assert {(a["decision"], a["reasonCode"], a["result"]) for a in answers} == {
        ("DENY", "forbidden_by_policy", None)
    }
    assert [a["entryId"] for a in answers] == [entry.id for entry in entries]
    assert all(a["reason"].endswith("Ask Ada.") for a in answers)
    assert [a["matchedPolicies"] and a["matchedPolicies"][0]["key"] for a in answers] == ["never", None]
    assert "never" not in str(answers[1])
    assert seen == 0


async def test_a_denial_in_the_shape_of_a_result_is_a_denial(tmp_path: Path) -> None:
    async with scene(tmp_path, permit=False) as s:
        await s.agent.settings(denialShape="toolResult")
        status, answer = await (await _dashboard(s, "owner@example.com")).call()
    assert (status, answer["decision"], answer["reasonCode"]) == (200, "DENY", "no_permit_matched")
    assert answer["reason"].startswith("Authorization denied: tool 'echo'")


UNCALLABLE = (
    ({"tool": "nothing"}, "unknown_tool"),
    ({"service": "github", "tool": "get_me"}, "service_not_enabled"),
    ({"service": "nowhere"}, "service_not_enabled"),
    ({"service": "../fake"}, "service_not_enabled"),
)


async def test_what_cannot_be_called_is_denied_and_entered(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        owner = await _dashboard(s, "owner@example.com")
        answers = [await owner.call(said=said) for said, _ in UNCALLABLE]
        entries = await s.ended(len(UNCALLABLE))
        seen = len(s.upstream.seen)
    assert [(status, a["decision"], a["reasonCode"]) for status, a in answers] == [
        (200, "DENY", reason) for _, reason in UNCALLABLE
    ]
    assert [a["entryId"] for _, a in answers] == [entry.id for entry in entries]
    assert seen == 0


async def test_what_a_real_call_is_refused_for_is_refused_alike(tmp_path: Path) -> None:
    async with scene(tmp_path, settings={"rate_burst": 1, "rate_per_second": 0.001}) as s:
        waiting = await s.agent.member(BEN, approved=False)
        owner, ben = await _dashboard(s, "owner@example.com"), await _dashboard(s, BEN)
        pending = await ben.call()
        allowed, limited = await owner.call(), await owner.call()
        retry_after = owner.headers["retry-after"]
        await s.agent.status(AgentStatus.DISABLED)
        await s.agent.member("eve@example.com")
        disabled = await (await _dashboard(s, "eve@example.com")).call()
        entries = await s.ended(4)
    assert [allowed[0], *((status, p["code"]) for status, p in (pending, limited, disabled))] == [
        200, (403, "member_not_approved"), (429, "rate_limited"), (403, "agent_disabled"),
    ]  # fmt: skip
    assert int(retry_after) == limited[1]["retryAfterS"] > 100
    assert [entry.reason for entry in entries] == [
        "member_not_approved", "permitted", "rate_limited", "agent_disabled",
    ]  # fmt: skip
    assert {p["entryId"] for _, p in (pending, limited, disabled)} == {
        entry.id for entry in entries if entry.denied
    }
    assert entries[0].member_id == waiting


async def test_strangers_and_those_who_were_removed_find_no_agent(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.remove(await s.agent.member(BEN))
        for email in (BEN, "stranger@example.com"):
            status, problem = await (await _dashboard(s, email)).call()
            assert (status, problem["code"]) == (404, "not_found")
        for agent_id in ("", "x", "\0", "0f5ad4a1-7be5-4a8a-8d32-a8a2c4cfae4e"):
            status, _ = await (await _dashboard(s, BEN)).call(said={"agentId": agent_id})
            assert status in (400, 404)
        assert await s.log() == []


async def test_the_policies_of_an_untrusted_agent_are_the_members_own(tmp_path: Path) -> None:
    async with scene(tmp_path, permit=False) as s:
        agent = await s.wicket.agent(
            "other", services={SERVICE: s.upstream.url}, trust_mode=TrustMode.UNTRUSTED
        )
        s.agent = agent
        ben, eve = await agent.member(BEN), await agent.member("eve@example.com")
        await agent.policy(service=SERVICE, memberId=ben)
        answers = {
            email: (await (await _dashboard(s, email)).call())[1] for email in (BEN, "eve@example.com")
        }
    assert {email: answer["decision"] for email, answer in answers.items()} == {
        BEN: "ALLOW", "eve@example.com": "DENY",
    }  # fmt: skip
    assert [policy["name"] for policy in answers[BEN]["matchedPolicies"]] == ["a policy"]
    assert ben != eve


async def test_what_is_sealed_under_the_member_key_needs_it_each_time(tmp_path: Path) -> None:
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        owner = await _dashboard(s, "owner@example.com")
        before = await owner.call()
        await s.agent.connect(SERVICE, "canary-token")
        answers = [await owner.call(), await owner.call(key=s.key), await owner.call()]
        entries = await s.ended(4)
        tokens = [sent.headers["authorization"] for sent in s.upstream.calls]
    assert (before[0], before[1]["code"]) == (412, "no_credentials")
    assert [status for status, _ in answers] == [412, 200, 412]
    assert {answers[0][1]["code"], answers[2][1]["code"]} == {"member_key_required"}
    assert answers[0][1]["entryId"] == entries[1].id
    assert [entry.outcome for entry in entries] == ["refused", "refused", "ok", "refused"]
    assert tokens == ["Bearer canary-token"]
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("wicket.db*") if path.is_file())
    assert s.key.encode() not in stored


async def test_what_the_server_seals_needs_no_key(tmp_path: Path) -> None:
    """And each member's call carries that member's token, whatever was opened just before."""
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        people = (BEN, "eve@example.com", "dan@example.com")
        for email in people:
            await s.agent.connect(SERVICE, f"token-of-{email}", email)
        dashboards = [await _dashboard(s, email) for email in people]
        statuses = [status for _ in range(2) for status, _ in [await one.call() for one in dashboards]]
        tokens = [sent.headers["authorization"] for sent in s.upstream.calls]
    assert statuses == [200] * 6
    assert tokens == [f"Bearer token-of-{email}" for email in people] * 2


async def test_a_key_that_is_not_the_members_live_one_is_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        bens = await s.agent.key(BEN)
        owner = await _dashboard(s, "owner@example.com")
        await s.agent.key()
        for key in (bens, s.key, "A" * 32, "not a key", ""):
            status, problem = await owner.call(key=key)
            assert (status, problem["code"]) == (400, "not_your_key"), key
            assert key == "" or key not in str(problem)
        assert await s.log() == []


async def test_an_upstream_that_fails_is_told_beside_the_decision(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.upstream.on("tools/call", faults.hang_up)
        status, answer = await (await _dashboard(s, "owner@example.com")).call()
        (entry,) = await s.ended()
    assert (status, answer["decision"], answer["entryId"]) == (200, "ALLOW", entry.id)
    assert answer["error"]["data"]["reason"].startswith("upstream_")
    assert (answer["result"], entry.outcome) == (None, "upstream_error")


async def test_a_call_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.upstream.on("tools/call", faults.hang)
        calling = asyncio.create_task((await _dashboard(s, "owner@example.com")).call())
        await s.upstream.wait_for("tools/call")
        await s.agent.status(AgentStatus.DISABLED)
        status, problem = await calling
    assert (status, problem["code"]) == (403, "agent_disabled")


async def test_bad_bodies_are_refused_before_anything_is_decided(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        owner = await _dashboard(s, "owner@example.com")
        for said in ({"tool": 7}, {"service": None}, {"more": 1}, {"tool": "x\0y"}, {"tool": "x" * 1001}):
            status, problem = await owner.call(said=said)
            assert (status, problem["code"]) == (400, "invalid"), said
        assert await s.log() == []
        async with s.wicket.http.post(s.wicket.url + PATH, json={}) as answer:
            assert answer.status == 401
