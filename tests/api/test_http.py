"""Who is let in, what is refused before any endpoint sees it, and how refusals look."""

import re
from datetime import timedelta

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.api.people import NOW, PERMIT, Instance, Person, Servers, open_instance
from wicket.core.checkpoints import Signer
from wicket.core.errors import Unavailable
from wicket.core.keys import make_key
from wicket.core.model import JsonObject
from wicket.runtime.checkpoints import Checkpoints
from wicket.store import accounts
from wicket.store.accounts import Scope
from wicket.store.db import Database

ID = "0f5ad4a1-7be5-4a8a-8d32-a8a2c4cfae4e"
BODIES: tuple[object, ...] = (None, {}, [], {"name": "\u0000"}, {"name": 1, "nope": {}}, "text")
VALUES = {"service": "github", "key": "mine", "tool": "get_me", "version": "1"}


def operations(wicket: Instance) -> list[tuple[str, str]]:
    """Every operation of the description, with something in place of each parameter."""
    return [
        (method.upper(), re.sub(r"{(\w+)}", lambda match: VALUES.get(match[1], ID), path))
        for path, methods in wicket.api.openapi()["paths"].items()
        for method in methods
    ]


async def test_a_known_person_meets_no_server_error_anywhere(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    for method, path in operations(wicket):
        for body in BODIES:
            response = await ada.http.request(method, path, json=body)
            assert response.status_code < 500, (method, path, body, response.text)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer wkt_short",
        f"Bearer {make_key(bytes(24))}",
        f"Bearer wkt_{'a' * 43}",
        f"wkt_{'a' * 43}",
    ],
)
async def test_what_is_no_live_token_is_refused(anonymous: httpx2.AsyncClient, header: str) -> None:
    response = await anonymous.get("/api/users/me", headers={"Authorization": header})
    assert response.status_code == 401


async def test_a_members_key_opens_nothing_here(wicket: Instance, anonymous: httpx2.AsyncClient) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    made = await ada.put(f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}/key")
    response = await anonymous.get("/api/agents", headers={"Authorization": f"Bearer {made['key']}"})
    assert response.status_code == 401


async def test_two_authorization_headers_are_none(wicket: Instance, anonymous: httpx2.AsyncClient) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    headers = [("Authorization", f"Bearer {person.token}") for person in (ada, bob)]
    assert (await anonymous.get("/api/users/me", headers=headers)).status_code == 401


async def test_a_revoked_token_is_refused_on_the_next_request(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    (token,) = (await ada.get("/api/users/me/tokens"))["items"]
    await ada.delete(f"/api/users/me/tokens/{token['id']}")
    assert (await ada.get("/api/users/me", expect=401))["code"] == "unauthenticated"


async def test_an_expired_token_is_refused(wicket: Instance, anonymous: httpx2.AsyncClient) -> None:
    ada = await wicket.person("ada")
    long_ago = NOW - timedelta(days=2)
    made = await wicket.database.change(
        accounts.create_token,
        account_id=ada.account_id,
        name="old",
        scopes=frozenset({Scope.READ}),
        expires_at=NOW - timedelta(days=1),
        now=long_ago,
        agents=(),
    )
    response = await anonymous.get("/api/users/me", headers={"Authorization": f"Bearer {made.token}"})
    assert response.status_code == 401


async def test_a_problem_says_what_is_wrong_and_where(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    problem = await ada.post("/api/agents", {"name": "a", "trustMode": "blind"}, expect=400)
    assert problem == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "invalid",
        "detail": problem["detail"],
        "field": "trustMode",
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": "a", "name": "b", "trustMode": "trusted"}', "body"),
        (b'{"name": "a", "trustMode": "trusted"', "body"),
        (b'{"name": NaN, "trustMode": "trusted"}', "body"),
        (b'{"name": "\\ud800", "trustMode": "trusted"}', "body"),
        (b"\xff", "body"),
        (b"[]", "body"),
        (b'{"name": "a", "trust_mode": "trusted"}', "trustMode"),
        (b'{"name": "a", "trustMode": "trusted", "owner": "b"}', "owner"),
        (b'{"name": "a", "trustMode": "trusted", "tags": ["x", 7]}', "tags[1]"),
        (b'{"name": "", "trustMode": "trusted"}', "name"),
    ],
)
async def test_a_bad_body_is_refused_with_its_field(wicket: Instance, body: bytes, field: str) -> None:
    ada = await wicket.person("ada")
    response = await ada.http.post("/api/agents", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert response.json()["field"] == field


async def test_only_json_is_taken(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    response = await ada.http.post("/api/agents", content=b"name=a", headers={"Content-Type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


async def test_a_body_of_more_than_a_mebibyte_is_refused(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    response = await ada.http.post("/api/agents", json={"name": "a" * 1024 * 1024, "trustMode": "trusted"})
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/agents/", 404, "not_found"),
        ("GET", "/api/agents/not-an-id", 404, "not_found"),
        ("GET", "/api/agents/%00", 404, "not_found"),
        ("PATCH", "/api/agents", 405, "method_not_allowed"),
    ],
)
async def test_paths_that_lead_nowhere_are_problems_too(
    wicket: Instance, method: str, path: str, status: int, code: str
) -> None:
    ada = await wicket.person("ada")
    assert (await ada.send(method, path, expect=status))["code"] == code


async def test_no_answer_is_kept_by_a_cache(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    for path in ("/api/users/me", "/api/nothing"):
        headers = (await ada.http.get(path)).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


async def test_pages_follow_one_another_by_cursor(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    for name in "abcde":
        await ada.make_agent(name)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        place = {} if cursor is None else {"cursor": cursor}
        page = await ada.query("/api/agents", {"sortBy": "name", "sortDir": "asc", "limit": 2, **place})
        assert page["total"] == 5
        seen += [agent["name"] for agent in page["items"]]
        cursor = page["nextCursor"]
    assert (seen, cursor) == (list("abcde"), None)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"cursor": "?"}, "cursor"),
        ({"cursor": "LTE="}, "cursor"),
        ({"status": "on"}, "status"),
        ({"role": "admin"}, "role"),
        ({"sortBy": "secret"}, "sortBy"),
        ({"search": "\0"}, "search"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_bad_parameter_is_named(wicket: Instance, params: dict[str, str], field: str) -> None:
    ada = await wicket.person("ada")
    problem = await ada.get("/api/agents", expect=400, **params)
    assert (problem["code"], problem["field"]) == ("invalid", field)


async def test_health_needs_no_token(anonymous: httpx2.AsyncClient) -> None:
    assert (await anonymous.get("/alive")).json() == {"status": "alive"}
    assert (await anonymous.get("/api/status")).json() == {
        "version": "1.2.3",
        "database": "sqlite",
        "recorder": "ok",
        "backlog": 0,
    }
    metrics = await anonymous.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")


async def test_metrics_ask_for_their_own_token_where_one_is_set(database: Database) -> None:
    async with open_instance(database, Servers(), metrics_token="scrape") as wicket:
        ada: Person = await wicket.person("ada")
        async with wicket.client() as nobody, wicket.client("scrape") as collector:
            assert (await nobody.get("/metrics")).status_code == 401
            assert (await ada.http.get("/metrics")).status_code == 401
            assert (await collector.get("/metrics")).status_code == 200


async def test_metrics_tell_how_old_the_newest_checkpoint_is(database: Database) -> None:
    async with open_instance(database, Servers()) as wicket, wicket.client() as collector:
        at = NOW - timedelta(seconds=90)
        signer = Signer(Ed25519PrivateKey.from_private_bytes(b"r" * 32))
        assert await Checkpoints(database, signer, every_s=3600, now=lambda: at).write()
        told = (await collector.get("/metrics")).text.splitlines()
    assert "wicket_checkpoint_age_seconds 90.0" in told


async def test_what_nobody_expected_is_a_problem_without_details(database: Database) -> None:
    async def broken() -> JsonObject:
        raise RuntimeError("the password is swordfish")

    async with open_instance(database, Servers(), status=broken) as wicket:
        transport = httpx2.ASGITransport(app=wicket.served, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://wicket.test") as client:
            response = await client.get("/api/status")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert response.headers["content-type"] == "application/problem+json"
    assert "swordfish" not in response.text


async def test_what_cannot_be_done_now_says_when_to_try_again(database: Database) -> None:
    async def busy() -> JsonObject:
        raise Unavailable("too many requests wait for the database: try again in a moment")

    async with open_instance(database, Servers(), status=busy) as wicket, wicket.client() as client:
        response = await client.get("/api/status")
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.headers["retry-after"] == "1"


async def test_a_problem_with_a_policy_names_the_field_inside_it(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    policy = {**PERMIT, "time": {"hoursFrom": 25, "hoursTo": 3}}
    problem = await ada.post(f"/api/agents/{agent_id}/policies", policy, expect=400)
    assert problem["field"] == "time.hoursFrom"
