"""The changes that people made: who did what, for owners of agents and for oneself."""

import hashlib

from tests.api.people import PERMIT, Instance
from wicket.store.changes import record_change


async def test_owners_see_the_changes_of_their_agents_newest_first(wicket: Instance) -> None:
    ada, ben = await wicket.person("ada"), await wicket.person("ben")
    agent_id = await ada.make_agent("helper")
    policy = await ada.post(f"/api/agents/{agent_id}/policies", {**PERMIT}, expect=201)
    await wicket.admit(ben, agent_id)
    page = await ada.get("/api/audit/changes")
    kinds = [item["kind"] for item in page["items"]]
    assert kinds[:3] == ["member_approved", "member_joined", "policy_created"]
    assert "account_created" in kinds
    seqs = [item["seq"] for item in page["items"]]
    assert seqs == sorted(seqs, reverse=True)
    created = page["items"][2]
    assert list(created) == [
        *("id", "at", "kind", "agentId", "agentName", "actorId", "actorEmail", "details", "seq", "hash")
    ]
    assert (created["agentId"], created["agentName"]) == (agent_id, "helper")
    assert (created["actorId"], created["actorEmail"]) == (ada.account_id, "ada@example.com")
    assert created["details"]["policyId"] == policy["id"]
    assert created["at"] == "2026-11-23T12:00:00.000000Z"
    assert len(created["hash"]) == 2 * hashlib.sha256().digest_size


async def test_members_and_strangers_see_their_own_accounts_changes_alone(wicket: Instance) -> None:
    ada, ben, eve = [await wicket.person(name) for name in ("ada", "ben", "eve")]
    agent_id = await ada.make_agent("helper")
    await wicket.admit(ben, agent_id)
    for person in (ben, eve):
        items = (await person.get("/api/audit/changes"))["items"]
        assert [item["kind"] for item in items] == ["token_created", "account_created"]
        assert {item["actorId"] for item in items} == {person.account_id}
        assert (await person.get("/api/audit/changes", agentId=agent_id))["items"] == []


async def test_filters_narrow_the_changes(wicket: Instance) -> None:
    ada, ben = await wicket.person("ada"), await wicket.person("ben")
    first, second = await ada.make_agent("first"), await ada.make_agent("second")
    await wicket.join(ben, second)
    for params, expected in (
        ({"agentId": first}, {first}),
        ({"kind": "member_joined"}, {second}),
        ({"actor": ben.account_id}, {second}),
        ({"actor": "BEN@example.com"}, {second}),
        ({"kind": "no_such_kind"}, set()),
        ({"from": "2026-11-24"}, set()),
        ({"to": "2026-11-22"}, set()),
        ({"from": "2026-11-23", "to": "2026-11-23"}, {first, second, None}),
    ):
        items = (await ada.query("/api/audit/changes", params))["items"]
        assert {item["agentId"] for item in items} == expected, params
    for name, value in (("agentId", "x"), ("actor", "x"), ("from", "x"), ("limit", "501"), ("q", "x")):
        problem = await ada.send("GET", "/api/audit/changes", expect=400, params={name: value})
        assert problem["field"] == name
    for cursor in ("x", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"):
        assert (await ada.get("/api/audit/changes", expect=400, cursor=cursor))["field"] == "cursor"


async def test_pages_of_changes_follow_one_another(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    for number in range(5):
        await wicket.database.change(
            record_change,
            kind="tested",
            agent_id=agent_id,
            actor_id=None,
            body={"number": number},
            now=wicket.parts.now(),
            agents=(),
        )
    seen, cursor = [], None
    while True:
        asked: dict[str, str | int] = {"kind": "tested", "limit": 2}
        if cursor:
            asked["cursor"] = cursor
        page = await ada.query("/api/audit/changes", asked)
        assert len(page["items"]) <= 2
        seen += [item["details"]["number"] for item in page["items"]]
        if (cursor := page["nextCursor"]) is None:
            break
    assert seen == [4, 3, 2, 1, 0]
