"""The recipes of docs/recipes on real calls: each is saved through the API, and then decides what the proxy lets by."""

from pathlib import Path
from typing import Any, Final

from tests.events import bearer
from tests.instance import AgentUnderTest, Instance
from wicket.app import known_zones
from wicket.cli.work.policy_files.document import (
    FiledPolicy,
    Given,
    People,
    PolicyFile,
    PolicyTest,
    parse_file,
)
from wicket.cli.work.policy_files.yaml import read_yaml
from wicket.core.model import Effect, Json, JsonObject
from wicket.core.policy.document import parse_policy, render_policy

TEAM: Final = "11111111-2222-4333-8444-555555555555"
RECIPES: Final = sorted((Path(__file__).parents[2] / "docs" / "recipes").glob("*.yaml"))


def can_be_made(test: PolicyTest) -> bool:
    """Now, from this host, in a session that has done nothing yet."""
    given = test.given
    return given.at is None and given.session is None and given.ip is None


async def ask(wicket: Instance, token: str, method: str, path: str, body: object) -> Any:
    async with wicket.http.request(
        method, f"{wicket.url}/api{path}", json=body, headers=bearer(token)
    ) as answer:
        assert answer.status in (200, 201, 204), await answer.text()
        return await answer.json() if answer.status != 204 else None


async def prepare(wicket: Instance, token: str, agent: AgentUnderTest, recipe: PolicyFile) -> None:
    root = f"/agents/{agent.id}"
    await ask(wicket, token, "PUT", f"{root}/services", {"services": ["github", "slack", "linear"]})
    seeded = await ask(wicket, token, "GET", f"{root}/policies", None)
    for policy in seeded["items"]:
        await ask(wicket, token, "DELETE", f"{root}/policies/{policy['id']}", None)
    for filed in recipe.policies:
        await ask(wicket, token, "POST", f"{root}/policies", render_policy(filed.document))
    for test in recipe.tests:
        for service, entities in test.given.entities.items():
            known = [
                {
                    "type": one.type,
                    "id": one.id,
                    "name": one.name,
                    "attributes": dict(one.attributes),
                    "parents": [{"type": ref.type, "id": ref.id} for ref in one.parents],
                }
                for one in entities
            ]
            body = {"service": service, "entities": known}
            await ask(wicket, token, "PUT", f"{root}/entities", body)


async def decision_of(wicket: Instance, token: str, key: str, given: Given) -> JsonObject:
    """What the log says of a call that the proxy was asked for."""
    answer = await wicket.call(key, given.tool, given.arguments)
    data = answer.data
    entry: JsonObject = await ask(wicket, token, "GET", f"/audit/{data['decisionId']}", None)
    # What is allowed gets as far as the credentials, which nobody has connected.
    assert answer.status == (412 if entry["decision"] == Effect.ALLOW else 200)
    return entry


def trouble(test: PolicyTest, entry: JsonObject) -> bool:
    """Whether an entry is another one than a test expects."""
    expected, keys = test.expected, entry["matchedPolicyIds"]
    assert isinstance(keys, list)
    return (
        entry["decision"] != expected.decision
        or expected.reason not in (None, entry["reasonCode"])
        or expected.policies not in (None, frozenset(map(str, keys)))
    )


async def test_every_recipe_decides_real_calls(tmp_path: Path) -> None:
    wrong, made = [], 0
    async with Instance.started(tmp_path) as wicket:
        token = await wicket.token()
        for file in RECIPES:
            recipe = parse_file(read_yaml(file), People([]), known_zones=known_zones())
            agent = await wicket.agent(name=file.stem)
            await prepare(wicket, token, agent, recipe)
            key = await agent.key()
            for test in filter(can_be_made, recipe.tests):
                entry = await decision_of(wicket, token, key, test.given)
                made += 1
                if trouble(test, entry):
                    wrong.append((file.stem, test.name, entry["decision"], entry["reason"]))
    assert wrong == []
    assert made >= 25


async def test_the_log_has_the_arguments_that_are_forwarded(tmp_path: Path) -> None:
    team: Json = {"type": "Team", "id": TEAM, "name": "Engineering", "attributes": {"teamKey": "ENG"}}
    async with Instance.started(tmp_path) as wicket:
        token, agent = await wicket.token(), await wicket.agent(name="helper")
        permit = parse_policy({"name": "a", "service": "linear", "effect": "permit", "tools": ["tier:read"]})
        await prepare(wicket, token, agent, PolicyFile((FiledPolicy("a", permit),), ()))
        body: JsonObject = {"service": "linear", "entities": [team]}
        await ask(wicket, token, "PUT", f"/agents/{agent.id}/entities", body)
        asked: JsonObject = {"team": "engineering", "limit": 5}
        given = Given("", "linear__list_issues", asked, at=None, session=None, ip=None)
        entry = await decision_of(wicket, token, await agent.key(), given)
    assert entry["resource"] == f'LinearMCP::Team::"{TEAM}"'
    assert entry["toolArgs"] == {"team": TEAM, "limit": 5}
