"""Who may do what, and what strangers are told: nothing."""

from dataclasses import dataclass

import pytest

from tests.api.people import PERMIT, Instance, Person, tool

URL = "https://tools.example.com/mcp"
SERVICES = {"services": ["github"]}

ROLES = ("owner", "member", "pending", "stranger")
MATRIX = [
    # method, path below the agent, body, what each of ROLES is answered
    ("GET", "", None, (200, 200, 200, 404)),
    ("PUT", "", {"tags": ["a"]}, (200, 403, 403, 404)),
    ("PUT", "/status", {"status": "active"}, (200, 403, 403, 404)),
    ("PUT", "/services", SERVICES, (200, 403, 403, 404)),
    ("GET", "/settings", None, (200, 200, 403, 404)),
    ("PUT", "/settings", {}, (200, 403, 403, 404)),
    ("POST", "/invite", {"email": "new@example.com"}, (201, 403, 403, 404)),
    ("GET", "/invites", None, (200, 403, 403, 404)),
    ("DELETE", "/invites/0f5ad4a1-7be5-4a8a-8d32-a8a2c4cfae4e", None, (404, 403, 403, 404)),
    ("GET", "/onboarding", None, (200, 200, 200, 404)),
    ("POST", "/join", {"token": "made up"}, (404, 404, 404, 404)),
    ("GET", "/members", None, (200, 200, 200, 404)),
    ("PUT", "/members/{own}/status", {"status": "approved"}, (409, 403, 403, 404)),
    ("PUT", "/members/{other}/status", {"status": "approved"}, (200, 404, 404, 404)),
    ("POST", "/members/{other}/reject", None, (409, 404, 404, 404)),
    ("GET", "/members/{own}/connections", None, (200, 200, 200, 404)),
    ("GET", "/members/{other}/connections", None, (200, 404, 404, 404)),
    ("PUT", "/members/{own}/connections/github", {"token": "t"}, (200, 200, 200, 404)),
    ("PUT", "/members/{other}/connections/github", {"token": "t"}, (403, 404, 404, 404)),
    ("DELETE", "/members/{other}/connections/github", None, (403, 404, 404, 404)),
    ("PUT", "/members/{own}/key", None, (200, 200, 403, 404)),
    ("PUT", "/members/{other}/key", None, (403, 404, 404, 404)),
    ("POST", "/members/{other}/key/reset-lost", None, (403, 404, 404, 404)),
    ("DELETE", "/members/{own}/key", None, (204, 204, 204, 404)),
    ("DELETE", "/members/{other}/key", None, (204, 404, 404, 404)),
    ("GET", "/services/github/tools", None, (200, 403, 403, 404)),
    ("POST", "/services/github/tools/refresh", None, (200, 403, 403, 404)),
    ("POST", "/services/github/tools/get_me/review", {"tier": "read"}, (200, 403, 403, 404)),
    ("GET", "/policies", None, (200, 403, 403, 404)),
    ("POST", "/policies", {**PERMIT}, (201, 403, 403, 404)),
    ("POST", "/policies/preview", {**PERMIT}, (200, 403, 403, 404)),
    ("GET", "/policies/{policy}", None, (200, 403, 403, 404)),
    ("PUT", "/policies/{policy}", {**PERMIT}, (200, 403, 403, 404)),
    ("POST", "/policies/{policy}/toggle", None, (200, 403, 403, 404)),
    ("GET", "/policies/{policy}/versions", None, (200, 403, 403, 404)),
    ("GET", "/policies/{policy}/versions/1", None, (200, 403, 403, 404)),
    ("POST", "/policies/{policy}/rollback", {"version": 1}, (200, 403, 403, 404)),
    ("DELETE", "/policies/{policy}", None, (204, 403, 403, 404)),
    ("DELETE", "/members/{other}", None, (204, 404, 404, 404)),
    ("DELETE", "", None, (204, 403, 403, 404)),
]


@dataclass
class Scene:
    """One trusted agent seen by one person of each role."""

    people: dict[str, Person]
    ids: dict[str, dict[str, str]]
    agent_id: str

    def path(self, role: str, below: str) -> str:
        return f"/api/agents/{self.agent_id}" + below.format(**self.ids[role])


@pytest.fixture
async def scene(wicket: Instance) -> Scene:
    people = {role: await wicket.person(role) for role in (*ROLES, "other")}
    owner = people["owner"]
    agent_id = await owner.make_agent()
    await owner.put(f"/api/agents/{agent_id}/services", SERVICES)
    policy = await owner.post(f"/api/agents/{agent_id}/policies", {**PERMIT}, expect=201)
    own = {
        "owner": await owner.membership(agent_id),
        "member": await wicket.admit(people["member"], agent_id),
        "pending": await wicket.join(people["pending"], agent_id),
        "stranger": await people["stranger"].membership(await people["stranger"].make_agent("other")),
    }
    other = await wicket.admit(people["other"], agent_id)
    ids = {role: {"own": own[role], "other": other, "policy": policy["id"]} for role in ROLES}
    return Scene(people, ids, agent_id)


@pytest.mark.promise("P15")
async def test_everybody_may_what_the_role_allows(scene: Scene) -> None:
    for method, below, body, answers in MATRIX:
        for role, status in reversed(list(zip(ROLES, answers, strict=True))):
            answer = await scene.people[role].http.request(method, scene.path(role, below), json=body)
            assert answer.status_code == status, (role, method, below, answer.text)


async def test_a_member_sees_no_other_member(scene: Scene) -> None:
    for role in ("member", "pending"):
        page = await scene.people[role].get(scene.path(role, "/members"))
        assert [member["email"] for member in page["items"]] == [f"{role}@example.com"]
    owner = await scene.people["owner"].get(scene.path("owner", "/members"))
    assert owner["total"] == 4


async def test_ids_of_one_agent_mean_nothing_on_another(wicket: Instance, scene: Scene) -> None:
    """Ada owns an agent, and names what belongs to the scene's by its ids."""
    ada = await wicket.person("ada")
    mine = f"/api/agents/{await ada.make_agent('mine')}"
    ids = scene.ids["owner"]
    for method, below, body in (
        ("PUT", "/members/{own}/status", {"status": "removed"}),
        ("POST", "/members/{own}/reject", None),
        ("DELETE", "/members/{own}", None),
        ("PUT", "/members/{own}/key", None),
        ("DELETE", "/members/{own}/key", None),
        ("POST", "/members/{own}/key/reset-lost", None),
        ("GET", "/members/{own}/connections", None),
        ("PUT", "/members/{own}/connections/github", {"token": "t"}),
        ("DELETE", "/members/{own}/connections/github", None),
        ("GET", "/policies/{policy}", None),
        ("PUT", "/policies/{policy}", {**PERMIT}),
        ("DELETE", "/policies/{policy}", None),
        ("POST", "/policies/{policy}/toggle", None),
        ("GET", "/policies/{policy}/versions", None),
        ("GET", "/policies/{policy}/versions/1", None),
        ("POST", "/policies/{policy}/rollback", {"version": 1}),
    ):
        problem = await ada.send(method, mine + below.format(**ids), body, expect=404)
        assert problem["code"] == "not_found"
    policy = await scene.people["owner"].get(scene.path("owner", "/policies/{policy}"))
    assert (policy["version"], policy["enabled"]) == (1, True)


async def test_the_flat_toggle_tells_others_nothing(wicket: Instance, scene: Scene) -> None:
    known = scene.ids["owner"]["policy"]
    for role in ("member", "pending", "stranger"):
        person = scene.people[role]
        hidden = await person.post(f"/api/policies/{known}/toggle", expect=404)
        absent = await person.post("/api/policies/0f5ad4a1-7be5-4a8a-8d32-a8a2c4cfae4e/toggle", expect=404)
        assert hidden["detail"].replace(known, "") == absent["detail"].replace(
            "0f5ad4a1-7be5-4a8a-8d32-a8a2c4cfae4e", ""
        )
        assert scene.agent_id not in str(hidden)


async def test_a_refusal_changes_nothing(wicket: Instance, scene: Scene) -> None:
    before = await wicket.database.revision(scene.agent_id)
    member = scene.people["member"]
    await member.put(scene.path("member", "/status"), {"status": "disabled"}, expect=403)
    await member.post(scene.path("member", "/policies"), {**PERMIT}, expect=403)
    assert await wicket.database.revision(scene.agent_id) == before


async def test_a_member_starts_no_local_server(wicket: Instance, scene: Scene) -> None:
    wicket.servers.tools["stdio:git"] = [tool("git_log")]
    await scene.people["member"].put(scene.path("member", "/services"), {"services": ["git"]}, expect=403)
    assert wicket.servers.asked == []
