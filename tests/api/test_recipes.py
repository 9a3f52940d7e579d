"""Each recipe of docs/recipes, as its readers get it: its tests pass, and it becomes the Cedar beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.api.people import Instance, Person
from wicket.app import known_zones
from wicket.cli.work.policy_files.document import People, PolicyFile, named_agent, parse_file
from wicket.cli.work.policy_files.trying import run_tests, under_file
from wicket.cli.work.policy_files.yaml import read_yaml
from wicket.core.policy.document import render_policy
from wicket.core.world import World
from wicket.store import members, worlds

RECIPES: Final = Path(__file__).parents[2] / "docs" / "recipes"
FILES: Final = sorted(RECIPES.glob("*.yaml"))
GOLDEN: Final = Path(__file__).parent / "cedar"


@dataclass(frozen=True)
class Scene:
    owner: Person
    agent_id: str
    people: People
    world: World


@pytest.fixture
async def scene(wicket: Instance) -> Scene:
    owner = await wicket.person("ada")
    agent_id = await owner.make_agent("assistant")
    await owner.put(f"/api/agents/{agent_id}/services", {"services": ["github", "slack", "linear"]})
    listed = await wicket.database.read(members.list_members, agent_id=agent_id)
    world = await wicket.database.read(worlds.load, agent_id)
    assert world is not None
    return Scene(owner, agent_id, People(listed.items), world)


def read(file: Path, people: People) -> PolicyFile:
    raw = read_yaml(file)
    assert named_agent(raw) == "assistant"
    return parse_file(raw, people, known_zones=known_zones())


async def test_there_is_a_recipe_for_each_common_wish() -> None:
    assert {file.stem for file in FILES} == {golden.stem for golden in GOLDEN.glob("*.cedar")}
    assert len(FILES) == 12


async def test_each_recipe_decides_as_its_own_tests_say(scene: Scene) -> None:
    failed = []
    for file in FILES:
        recipe = read(file, scene.people)
        assert len({test.expected.decision for test in recipe.tests}) == 2, f"{file.stem} tries one way only"
        tried = run_tests(under_file(scene.world, recipe.policies), recipe.tests)
        failed += [(file.stem, test.name, test.trouble) for test in tried if test.trouble]
    assert failed == []


async def test_each_recipe_is_saved_and_becomes_the_cedar_beside_it(scene: Scene) -> None:
    path = f"/api/agents/{scene.agent_id}/policies"
    for file in FILES:
        shown = []
        for policy in read(file, scene.people).policies:
            body: dict[str, Any] = render_policy(policy.document)
            shown.append((await scene.owner.post(f"{path}/preview", body))["cedar"])
            await scene.owner.post(path, body, expect=201)
        assert "\n".join(shown) == (GOLDEN / f"{file.stem}.cedar").read_text("utf-8"), file.stem
