"""The recipes of docs/recipes, put into effect on an agent over the API, and their calls made through the proxy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.events import bearer
from tests.instance import AgentUnderTest, Instance
from wicket.app import known_zones
from wicket.cli.work.policy_files.document import Given, People, PolicyFile, PolicyTest, parse_file
from wicket.cli.work.policy_files.yaml import read_yaml
from wicket.core.model import Effect, JsonObject
from wicket.core.policy.document import render_policy

FOLDER: Final = Path(__file__).parents[2] / "docs" / "recipes"


def recipes() -> Iterator[tuple[str, PolicyFile]]:
    """Each by its name."""
    for file in sorted(FOLDER.glob("*.yaml")):
        yield file.stem, parse_file(read_yaml(file), People([]), known_zones=known_zones())


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
