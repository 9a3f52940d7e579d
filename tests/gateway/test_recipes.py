"""The recipes of docs/recipes on real calls: each is saved through the API, and then decides what the proxy lets by."""

from pathlib import Path
from typing import Final

from tests.gateway.recipes import ask, can_be_made, decision_of, prepare, recipes
from tests.instance import Instance
from wicket.cli.work.policy_files.document import FiledPolicy, Given, PolicyFile, PolicyTest
from wicket.core.model import Json, JsonObject
from wicket.core.policy.document import parse_policy

TEAM: Final = "11111111-2222-4333-8444-555555555555"


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
        for name, recipe in recipes():
            agent = await wicket.agent(name=name)
            await prepare(wicket, token, agent, recipe)
            key = await agent.key()
            for test in filter(can_be_made, recipe.tests):
                entry = await decision_of(wicket, token, key, test.given)
                made += 1
                if trouble(test, entry):
                    wrong.append((name, test.name, entry["decision"], entry["reason"]))
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
