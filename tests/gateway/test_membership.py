"""A membership from the invitation to its end, as the REST API makes it and as the proxy sees it."""

from pathlib import Path
from typing import Any

from tests.gateway.scene import SERVICE, Scene, scene, until
from tests.gateway.signed_in import SignedIn
from wicket.core.model import AuthType, TrustMode

BEN = "ben@example.com"
TOKEN = "canary-token-of-ben"


async def invited(owner: SignedIn, agent_id: str, person: SignedIn, email: str = BEN) -> dict[str, Any]:
    """Have somebody join by a link."""
    made = await owner.done("POST", f"/api/agents/{agent_id}/invite", {"email": email})
    token = str(made["url"]).partition("#token=")[2]
    joined: dict[str, Any] = await person.done("POST", f"/api/agents/{agent_id}/join", {"token": token})
    return joined


async def called(s: Scene, key: str, service: str = SERVICE) -> tuple[int, str | None]:
    """Status and reason of a call."""
    answer = await s.call(key=key, tool=f"{service}__echo")
    is_explained = "error" in answer.json and "data" in answer.error
    return answer.status, str(answer.data["reason"]) if is_explained else None


async def test_a_member_of_a_trusted_agent_from_the_link_to_the_end(tmp_path: Path) -> None:
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        owner, ben = await SignedIn.of(s, "owner@example.com"), await SignedIn.of(s, BEN)
        member = await invited(owner, s.agent.id, ben)
        own = f"/api/agents/{s.agent.id}/members/{member['id']}"
        assert (await ben.send("PUT", f"{own}/key"))[0] == 403
        await ben.done("PUT", f"{own}/connections/{SERVICE}", {"token": TOKEN})
        await owner.done("PUT", f"{own}/status", {"status": "approved"})
        first = (await ben.done("PUT", f"{own}/key"))["key"]
        before = await called(s, first)
        status, problem = await ben.send("PUT", f"{own}/key")
        second = (await ben.done("PUT", f"{own}/key", {"currentKey": first}))["key"]
        rotated = [await called(s, key) for key in (first, second)]
        await owner.done("DELETE", own)
        removed = await called(s, second)
        entries = await s.ended(4)
        tokens = {sent.headers["authorization"] for sent in s.upstream.calls}
    assert (status, problem["code"]) == (409, "current_key_required")
    assert (before, rotated, removed) == ((200, None), [(401, None), (200, None)], (401, None))
    assert [entry.reason for entry in entries] == ["permitted", "key_revoked", "permitted", "key_revoked"]
    assert {entry.member_id for entry in entries} == {member["id"]}
    assert tokens == {f"Bearer {TOKEN}"}


async def test_a_member_of_an_untrusted_agent_starts_with_nothing_each_time(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        agent = await s.wicket.agent(
            "other", services={SERVICE: s.upstream.url}, trust_mode=TrustMode.UNTRUSTED
        )
        owner, ben = await SignedIn.of(s, "owner@example.com"), await SignedIn.of(s, BEN)
        root = f"/api/agents/{agent.id}"
        seen = []
        for _ in range(2):
            member = await invited(owner, agent.id, ben)
            own = f"{root}/members/{member['id']}"
            await owner.done("PUT", f"{own}/status", {"status": "approved"})
            key = (await ben.done("PUT", f"{own}/key"))["key"]
            seen.append(await called(s, key))
            policy = {"name": "Ben reads", "service": SERVICE, "effect": "permit", "tools": ["tier:read"]}
            await owner.done("POST", f"{root}/policies", {**policy, "memberId": member["id"]})
            seen.append(await called(s, key))
            await owner.done("DELETE", own)
            seen.append(await called(s, key))
        policies = await owner.done("GET", f"{root}/policies")
    assert seen == [(200, "no_permit_matched"), (200, None), (401, None)] * 2
    assert policies["total"] == 0


async def test_a_rejected_applicant_leaves_nothing_behind(tmp_path: Path) -> None:
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        owner, ben = await SignedIn.of(s, "owner@example.com"), await SignedIn.of(s, BEN)
        member = await invited(owner, s.agent.id, ben)
        own = f"/api/agents/{s.agent.id}/members/{member['id']}"
        await ben.done("PUT", f"{own}/connections/{SERVICE}", {"token": TOKEN})
        await owner.done("POST", f"{own}/reject")
        gone = await ben.send("GET", f"/api/agents/{s.agent.id}")
        again = await invited(owner, s.agent.id, ben)
        connections = await ben.done("GET", f"{own}/connections")
    assert gone[0] == 404
    assert (again["id"], again["status"]) == (member["id"], "pending")
    assert connections["items"] == []


async def test_a_disabled_agent_answers_403_from_the_next_request_on_and_keys_live_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        owner = await SignedIn.of(s, "owner@example.com")
        path = f"/api/agents/{s.agent.id}/status"
        bens = await s.agent.key(BEN)
        seen = [await called(s, s.key)]
        await owner.done("PUT", path, {"status": "disabled", "reason": "it ran wild"})
        seen += [await called(s, key) for key in (s.key, bens, s.key)]
        listed = await s.wicket.rpc(s.key, "tools/list")
        await owner.done("PUT", path, {"status": "active"})
        seen += [await called(s, key) for key in (s.key, bens)]

        async def are_all_entered() -> bool:
            return sum(entry.count for entry in await s.log() if entry.denied) == 3

        await until(are_all_entered)  # refusals of a second share an entry, which counts them when it is over
        entries = await s.log()
    refused = (403, "agent_disabled")
    assert seen == [(200, None), refused, refused, refused, (200, None), (200, None)]
    assert listed.status == 403
    assert {entry.reason for entry in entries if entry.denied} == {"agent_disabled"}
    assert len([entry for entry in entries if not entry.denied]) == 3


async def test_who_waits_for_approval_is_refused_with_an_entry(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        ben = await s.agent.member(BEN)
        key = await s.agent.key(BEN)
        await s.put_back(ben)
        seen = await called(s, key)
        (entry,) = await s.ended()
    assert seen == (403, "member_not_approved")
    assert (entry.reason, entry.member_id, entry.denied) == ("member_not_approved", ben, True)
