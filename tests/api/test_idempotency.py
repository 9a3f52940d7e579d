"""`Idempotency-Key`: a creation that is asked for twice happens once, and is answered alike."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import httpx2
import pytest
import sqlalchemy as sa

from tests.api.people import NOW, PERMIT, Instance, Person, Servers, open_instance
from wicket.store import tables
from wicket.store.db import Database

KEY = "a-key-of-the-client"
AGENT = {"name": "helper", "trustMode": "trusted"}


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@asynccontextmanager
async def at_a_time(database: Database) -> AsyncIterator[tuple[Instance, Clock]]:
    clock = Clock()
    async with open_instance(database, Servers(), now=clock) as instance:
        yield instance, clock


async def post(person: Person, path: str, body: object, key: str = KEY, **headers: str) -> httpx2.Response:
    return await person.http.post(path, json=body, headers={"Idempotency-Key": key, **headers})


def seen(answer: httpx2.Response) -> tuple[int, bytes, Mapping[str, str | None]]:
    """What of an answer must be the same."""
    names = ("content-type", "location", "etag", "cache-control", "x-content-type-options")
    return answer.status_code, answer.content, {name: answer.headers.get(name) for name in names}


async def test_every_creation_is_answered_alike_and_happens_once(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    wicket.servers.tools["https://tools.example.com/mcp"] = []
    agent_id = await ada.make_agent("one")
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["github"]})
    connector = {
        "key": "tools",
        "name": "Tools",
        "url": "https://tools.example.com/mcp",
        "auth": {"type": "none"},
    }
    creations: dict[str, object] = {
        "/api/agents": AGENT,
        f"/api/agents/{agent_id}/policies": {**PERMIT},
        f"/api/agents/{agent_id}/invite": {"email": "bob@example.com"},
        "/api/connectors/custom": connector,
        "/api/users/me/tokens": {"name": "ci", "scopes": ["read"]},
    }
    for number, (path, body) in enumerate(creations.items()):
        first, second = [await post(ada, path, body, f"key-{number}") for _ in range(2)]
        assert (first.status_code, seen(first)) == (201, seen(second)), path
    assert (await ada.get("/api/agents"))["total"] == 2
    assert (await ada.get(f"/api/agents/{agent_id}/policies"))["total"] == 2
    assert (await ada.get(f"/api/agents/{agent_id}/invites"))["total"] == 1
    assert len((await ada.get("/api/connectors/custom"))["items"]) == 1
    assert len(wicket.mails) == 1


async def test_of_many_at_once_one_creates(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    body = {"name": "ci", "scopes": ["read"]}
    answers = await asyncio.gather(*(post(ada, "/api/users/me/tokens", body) for _ in range(20)))
    made = {answer.content for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    assert {a.json()["code"] for a in answers if a.status_code != 201} <= {"idempotency_key_in_use"}
    assert len((await ada.get("/api/users/me/tokens"))["items"]) == 2


async def test_a_key_stands_for_one_request(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    await post(ada, "/api/agents", AGENT)
    others: list[tuple[str, object]] = [
        ("/api/agents", {**AGENT, "name": "another"}),
        ("/api/agents?x=1", AGENT),
        ("/api/users/me/tokens", AGENT),
    ]
    for path, body in others:
        answer = await post(ada, path, body)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert (await ada.get("/api/agents"))["total"] == 1


async def test_a_key_is_its_accounts_own(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    answers = [await post(person, "/api/agents", AGENT) for person in (ada, bob)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


async def test_what_was_refused_may_be_mended_under_the_same_key(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    for body, code in (({"name": ""}, "invalid"), ({**AGENT, "name": "\0"}, "invalid")):
        assert (await post(ada, "/api/agents", body)).json()["code"] == code
    await ada.make_agent("helper")
    assert (await post(ada, "/api/agents", AGENT)).json()["code"] == "name_taken"
    assert (await post(ada, "/api/agents", {**AGENT, "name": "other"})).status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "k\xe4y", "tab\there"])
async def test_a_key_is_spelled_plainly(wicket: Instance, key: str) -> None:
    ada = await wicket.person("ada")
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    answer = await ada.http.post("/api/agents", json=AGENT, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")
    two = await ada.http.post(
        "/api/agents", json=AGENT, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    )
    assert two.status_code == 400
    assert (await ada.get("/api/agents"))["total"] == 0


async def test_who_may_not_create_learns_nothing_from_a_key(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    await post(ada, "/api/agents", AGENT)
    async with wicket.client() as nobody, wicket.client("wkt_" + "x" * 43) as stranger:
        for client in (nobody, stranger):
            answer = await client.post("/api/agents", json=AGENT, headers={"Idempotency-Key": KEY})
            assert answer.status_code == 401


async def test_no_answer_is_kept_in_the_clear(wicket: Instance) -> None:
    def everything(tx: sa.Connection) -> str:
        return repr(tx.execute(sa.select(tables.idempotency_keys)).all())

    ada = await wicket.person("ada")
    secret = "canary-in-a-request"
    made = await post(ada, "/api/users/me/tokens", {"name": secret})
    stored = await wicket.database.read(everything)
    assert KEY in stored
    assert made.json()["token"] not in stored
    assert secret not in stored


async def test_after_a_day_a_key_is_as_good_as_new(database: Database) -> None:
    async with at_a_time(database) as (wicket, clock):
        ada = await wicket.person("ada")
        first = await post(ada, "/api/agents", AGENT)
        clock.at += timedelta(hours=24)
        assert (await post(ada, "/api/agents", AGENT)).content == first.content
        clock.at += timedelta(seconds=1)
        assert (await post(ada, "/api/agents", AGENT)).json()["code"] == "name_taken"
        assert (await post(ada, "/api/agents", {**AGENT, "name": "other"})).status_code == 201
        assert await database.read(_count) == 1


def _count(tx: sa.Connection) -> int:
    return int(tx.execute(sa.select(sa.func.count()).select_from(tables.idempotency_keys)).scalar_one())
