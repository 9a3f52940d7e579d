"""The log as the API shows it: fields, filters, and who sees what."""

from collections.abc import Mapping, Sequence

import httpx2

from tests.api.logged import Scene, scene
from tests.api.people import Instance
from wicket.store.audit.fields import FIELDS

__all__ = ["scene"]


async def test_an_entry_has_every_field_in_order(scene: Scene) -> None:
    entry = await scene.owner.get(f"/api/audit/{scene.entries['delete']}")
    assert list(entry) == list(FIELDS)
    expected = {
        "timestamp": "2026-11-23T12:00:02.000000Z",
        "agentId": scene.agent_id,
        "agentName": "helper",
        "memberId": scene.owners_id,
        "memberName": "owner@example.com",
        "service": "github",
        "tool": "delete_file",
        "action": 'GitHubMCP::Action::"delete_file"',
        "callerIp": "192.0.2.7",
        "toolArgs": {"owner": "a", "repo": "b"},
        "decision": "DENY",
        "matchedPolicyIds": ["no-deletions"],
        "matchedPolicyNames": ["No deletions"],
        "principal": f'GitHubMCP::User::"{scene.owner.account_id}"',
        "policyId": scene.forbid["id"],
        "reasonCode": "forbidden_by_policy",
        "denyMessage": "Deleting is for people.",
        "outcome": "refused",
        "count": 1,
    }
    assert {name: entry[name] for name in expected} == expected
    assert entry["reason"] == (
        "denied: `github__delete_file` is forbidden for agent `helper` by policy `No deletions` version 1"
    )
    assert entry["matchedPolicies"] == [
        {
            "id": scene.forbid["id"],
            "key": "no-deletions",
            "name": "No deletions",
            "version": 1,
            "effect": "forbid",
        }
    ]


async def test_the_list_is_newest_first_and_in_pages(scene: Scene) -> None:
    everything = list(reversed(scene.entries))
    assert await scene.find() == everything
    assert await scene.find(limit=2, offset=1) == everything[1:3]
    seen, cursor = [], None
    while True:
        page = await scene.owner.get("/api/audit", limit=4, **({"cursor": cursor} if cursor else {}))
        seen += scene.named(page)
        if (cursor := page["nextCursor"]) is None:
            break
    assert seen == everything


async def test_the_documented_queries_work_to_the_letter(scene: Scene) -> None:
    for url, expected in (
        ("/api/audit?limit=100&result=DENY", ["slack", "members delete", "delete"]),
        ("/api/audit?service=github&result=DENY&limit=50", ["members delete", "delete"]),
        ("/api/audit?tool=delete_file", ["members delete", "delete"]),
        ("/api/audit?tool=DELETE_f", ["members delete", "delete"]),
        ("/api/audit?agent=eploy", ["other"]),
        (f"/api/audit?member={scene.members_id}", ["members delete", "members"]),
        (f"/api/audit?policy={scene.forbid['id']}", ["members delete", "delete"]),
        ("/api/audit?from=2026-11-23&to=2026-11-23&service=slack", ["slack"]),
        ("/api/audit?from=2026-11-23T12:00:02Z&to=2026-11-23T12:00:03Z", ["members", "delete"]),
        ("/api/audit?to=2026-11-22", []),
    ):
        response = await scene.owner.http.get(url)
        assert response.status_code == 200
        assert set(response.json()) == {"items", "nextCursor", "total"}
        assert scene.named(response.json()) == expected, url


FILTERS: Sequence[tuple[Mapping[str, str], Sequence[str]]] = (
    ({"agent": "DEPLOY"}, ["other"]),
    ({"agent": "nobody"}, []),
    ({"service": "slack"}, ["slack"]),
    ({"service": "git"}, []),
    ({"tool": "DELETE"}, ["members delete", "delete"]),
    ({"result": "ALLOW"}, ["other", "members", "read"]),
    ({"member": "member@example.com"}, ["members delete", "members"]),
    ({"policy": "no-deletions"}, ["members delete", "delete"]),
    ({"policy": "reads", "result": "ALLOW"}, ["members", "read"]),
    ({"reason": "service_not_enabled"}, ["slack"]),
    ({"outcome": "ok"}, ["other", "members", "read"]),
    ({"outcome": "refused"}, ["slack", "members delete", "delete"]),
    ({"ip": "198.51.100.9"}, ["members"]),
    ({"q": "for people"}, ["members delete", "delete"]),
    ({"q": "no such thing"}, []),
    ({"from": "2026-11-23T12:00:05Z"}, ["other", "slack"]),
    ({"to": "2026-11-23T12:00:02Z"}, ["delete", "read"]),
    ({"from": "2026-11-23", "to": "2026-11-23", "tool": "get_me"}, ["other", "members", "read"]),
    ({"from": "2026-11-24"}, []),
    ({"to": "2026-11-22"}, []),
    ({"service": ""}, ["other", "slack", "members delete", "members", "delete", "read"]),
)


async def test_every_filter_narrows_the_list(scene: Scene) -> None:
    for params, expected in FILTERS:
        assert await scene.find(**params) == expected, params


async def test_filters_by_id_narrow_the_list(scene: Scene) -> None:
    assert await scene.find(member=scene.members_id) == ["members delete", "members"]
    assert await scene.find(member=scene.members_id.upper()) == ["members delete", "members"]
    assert await scene.find(policy=scene.forbid["id"]) == ["members delete", "delete"]
    assert "other" not in await scene.find(agentId=scene.agent_id)
    session = (await scene.owner.get(f"/api/audit/{scene.entries['members']}"))["sessionId"]
    assert await scene.find(session=session) == ["members"]


BAD: Sequence[tuple[Mapping[str, str], str]] = (
    ({"result": "deny"}, "result"),
    ({"reason": "because"}, "reason"),
    ({"outcome": "fine"}, "outcome"),
    ({"from": "yesterday"}, "from"),
    ({"to": "2026-13-01"}, "to"),
    ({"limit": "501"}, "limit"),
    ({"limit": "0"}, "limit"),
    ({"limit": "many"}, "limit"),
    ({"offset": "-1"}, "offset"),
    ({"cursor": "x"}, "cursor"),
    ({"member": "somebody"}, "member"),
    ({"agentId": "x"}, "agentId"),
    ({"ip": "here"}, "ip"),
    ({"q": "a\0b"}, "q"),
    ({"q": "a" * 500}, "q"),
    ({"decision": "DENY"}, "decision"),
    ({"agent_id": "x"}, "agent_id"),
)


async def test_a_bad_filter_is_named(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    for params, field in BAD:
        problem = await ada.get("/api/audit", expect=400, **params)
        assert (problem["code"], problem["field"]) == ("invalid", field), params
        if field not in {"cursor", "limit", "offset"}:
            for path in ("/api/audit/export", "/api/audit/stream"):
                assert (await ada.get(path, expect=400, **params))["field"] == field


async def test_a_member_sees_own_calls_without_the_policies(scene: Scene) -> None:
    page = await scene.member.get("/api/audit")
    assert scene.named(page) == ["members delete", "members"]
    assert "No deletions" not in str(page)
    assert "no-deletions" not in str(page)
    assert "Deleting is for people" not in str(page)
    denied = page["items"][0]
    assert denied["matchedPolicyIds"] == denied["matchedPolicies"] == []
    assert (denied["policyId"], denied["denyMessage"]) == (None, None)
    assert denied["reasonCode"] == "forbidden_by_policy"
    assert await scene.member.get(f"/api/audit/{denied['id']}") == denied


async def test_a_member_finds_no_policy_by_asking_for_it(scene: Scene) -> None:
    for params in (
        {"policy": "no-deletions"},
        {"policy": scene.forbid["id"]},
        {"q": "No deletions"},
        {"q": "for people"},
    ):
        assert (await scene.member.get("/api/audit", **params))["items"] == []
    for unknown in ("no-such-policy", "reads", "no-deletions", scene.forbid["id"]):
        answer = await scene.member.get("/api/audit", policy=unknown)
        assert answer == {"items": [], "nextCursor": None, "total": 0}, unknown


async def test_a_stranger_cannot_tell_what_others_have_from_what_there_is_not(
    wicket: Instance, scene: Scene
) -> None:
    eve = await wicket.person("eve")
    await eve.make_agent("eves")
    for filters in (
        [{"agent": "Deployer"}, {"agent": "nobody"}],
        [{"tool": "delete"}, {"tool": "no such tool"}],
        [{"member": "member@example.com"}, {"member": "nobody@example.com"}],
        [{"policy": scene.forbid["id"]}, {"policy": "none"}],
        [{"agentId": scene.agent_id}, {"agentId": "00000000-0000-4000-8000-000000000000"}],
    ):
        first, second = [await eve.get("/api/audit", **params) for params in filters]
        assert first == second, filters
        assert first["items"] == []


async def test_foreign_entries_do_not_exist(wicket: Instance, scene: Scene) -> None:
    eve = await wicket.person("eve")
    await eve.make_agent()
    assert (await eve.get("/api/audit"))["items"] == []
    assert (await eve.get("/api/audit", agentId=scene.agent_id))["items"] == []
    for person, name in ((eve, "read"), (scene.member, "read"), (scene.member, "other")):
        await person.get(f"/api/audit/{scene.entries[name]}", expect=404)
    assert (await eve.get("/api/audit/members"))["items"] == []


async def test_pickers_know_the_members_that_were_seen(scene: Scene) -> None:
    page = await scene.owner.get("/api/audit/members")
    assert [(one["name"], one["agentName"]) for one in page["items"]] == [
        ("member@example.com", "helper"),
        ("owner@example.com", "Deployer"),
        ("owner@example.com", "helper"),
    ]
    assert set(page["items"][0]) == {"id", "name", "agentId", "agentName"}
    (own,) = (await scene.member.get("/api/audit/members"))["items"]
    assert own["id"] == scene.members_id


async def test_entries_of_a_deleted_agent_stay_with_its_owner(scene: Scene) -> None:
    await scene.owner.delete(f"/api/agents/{scene.agent_id}")
    assert len(await scene.find()) == len(scene.entries)


async def test_the_log_is_never_written_here(scene: Scene) -> None:
    response: httpx2.Response = await scene.owner.http.delete(f"/api/audit/{scene.entries['read']}")
    assert response.status_code == 405
