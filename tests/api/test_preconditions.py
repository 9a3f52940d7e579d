"""`If-Match` wherever there is an `ETag`: read from the description, tried on each operation."""

from typing import Any

import pytest

from tests.api.callers import Caller, Operation, Scene, every_operation, set_scene
from tests.api.people import Instance
from tests.databases import Location


@pytest.fixture
async def scene(wicket: Instance, location: Location) -> Scene:
    return await set_scene(wicket, location)


def takes_tags(operation: Operation) -> bool:
    return any(one["name"] == "If-Match" for one in operation.described.get("parameters", ()))


async def send(scene: Scene, operation: Operation, if_match: str | None = None) -> Any:
    url = operation.url(scene.ids_for(operation, Caller.OWNER))
    headers = {} if if_match is None else {"If-Match": if_match}
    http = scene.people[Caller.OWNER].http
    return await http.request(operation.method.upper(), url, json=operation.body, headers=headers)


async def test_what_has_a_tag_is_changed_and_deleted_under_it(wicket: Instance, scene: Scene) -> None:
    operations = every_operation(wicket)
    reads = [one for one in operations if one.reads and not one.streams and one.guard == "owner"]
    reads += [one for one in operations if one.reads and one.guard in {"member", "approved", "policy_reader"}]
    tagged = {one.path for one in reads if "etag" in (await send(scene, one)).headers}
    assert len(tagged) >= 3
    deaf = [one.id for one in operations if one.path in tagged and not one.reads and not takes_tags(one)]
    assert deaf == []


async def test_a_stale_tag_changes_nothing_and_a_spoilt_one_is_named(wicket: Instance, scene: Scene) -> None:
    taking = [one for one in every_operation(wicket) if takes_tags(one)]
    assert len(taking) >= 9
    before = await wicket.database.revision(scene.agent_id)
    for operation in taking:
        stale = await send(scene, operation, '"stale"')
        assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict"), operation.id
        spoilt = await send(scene, operation, "stale")
        assert (spoilt.status_code, spoilt.json()["field"]) == (400, "If-Match"), operation.id
    assert await wicket.database.revision(scene.agent_id) == before


async def test_a_toggle_is_seen_by_who_saves_meanwhile(wicket: Instance, scene: Scene) -> None:
    path = f"/api/agents/{scene.agent_id}/policies/{scene.ids['policyId']}"
    owner = scene.people[Caller.OWNER]
    read = (await owner.http.get(path)).headers["etag"]
    off = await owner.http.post(f"{path}/toggle", headers={"If-Match": read})
    assert (off.status_code, off.json()["enabled"]) == (200, False)
    again = await owner.http.post(f"{path}/toggle", headers={"If-Match": read})
    assert again.status_code == 412
    assert (await owner.http.get(path)).headers["etag"] == off.headers["etag"] != read
    gone = await owner.http.delete(path, headers={"If-Match": off.headers["etag"]})
    assert gone.status_code == 204
