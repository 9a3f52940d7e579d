"""`ETag` of agents and of their settings, and `If-Match` where it is sent."""

import asyncio

import pytest

from tests.api.people import Instance, Person

CHANGES = [
    ("", {"tags": ["ci"]}),
    ("/services", {"services": ["github"]}),
    ("/status", {"status": "disabled", "reason": "it ran wild"}),
]


async def etag(person: Person, path: str) -> str:
    return str((await person.http.get(path)).headers["etag"])


async def put(person: Person, path: str, body: object, if_match: str) -> tuple[int, str | None, str | None]:
    """Status, code of a problem, and the new tag."""
    answer = await person.http.put(path, json=body, headers={"If-Match": if_match})
    return answer.status_code, answer.json().get("code"), answer.headers.get("etag")


@pytest.mark.parametrize(("below", "body"), CHANGES)
async def test_an_agent_is_changed_only_while_it_is_what_was_read(
    wicket: Instance, below: str, body: dict[str, object]
) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}"
    read = await etag(ada, path)
    assert await put(ada, path + below, body, '"another"') == (412, "version_conflict", None)
    assert await etag(ada, path) == read
    status, _, after = await put(ada, path + below, body, read)
    assert (status, after) == (200, await etag(ada, path))
    assert after != read
    assert (await put(ada, path, {"name": "renamed"}, read))[0] == 412
    assert (await ada.get(path))["name"] == "helper"


async def test_settings_have_a_tag_of_their_own(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    agent_id = await ada.make_agent()
    path = f"/api/agents/{agent_id}"
    await wicket.admit(bob, agent_id)
    read, agent = await etag(bob, f"{path}/settings"), await etag(bob, path)
    status, _, after = await put(ada, f"{path}/settings", {"rateBurst": 5}, read)
    assert (status, after) == (200, await etag(bob, f"{path}/settings"))
    assert await put(ada, f"{path}/settings", {"rateBurst": 6}, read) == (412, "version_conflict", None)
    assert (await ada.get(f"{path}/settings"))["rateBurst"] == 5
    assert await etag(bob, path) == agent


async def test_of_two_who_read_the_same_one_is_told_so(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}"
    read = await etag(ada, path)
    answers = await asyncio.gather(*(put(ada, path, {"name": name}, read) for name in ("one", "other")))
    assert sorted(status for status, _, _ in answers) == [200, 412]


@pytest.mark.parametrize(
    ("spelling", "status"),
    [
        ("{}", 200), ("W/{}", 200), ('"x", {}', 200), ("*", 200), (' "y" ,W/{} ', 200),
        ('"x", "y"', 412), ("x", 400), ('"', 400), ("", 400), ('""', 400), ('"x" {}', 400), ('"\xe4"', 400),
        (", ".join(['"x"'] * 21), 400),
    ],
)  # fmt: skip
async def test_if_match_is_read_strictly(wicket: Instance, spelling: str, status: int) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}"
    said = spelling.format(await etag(ada, path)).encode("latin-1")
    answer = await ada.http.put(path, json={"tags": ["ci"]}, headers={b"If-Match": said})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["field"] == "If-Match"


async def test_a_tag_tells_strangers_nothing(wicket: Instance) -> None:
    ada, eve = await wicket.person("ada"), await wicket.person("eve")
    path = f"/api/agents/{await ada.make_agent()}"
    assert (await put(eve, path, {"name": "mine"}, await etag(ada, path)))[:2] == (404, "not_found")
    assert (await put(eve, path, {"name": "mine"}, '"x"'))[:2] == (404, "not_found")
