"""The account that asks, and its personal tokens."""

import httpx2
import pytest

from tests.api.people import NOW, Instance


async def test_people_see_who_they_are(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    me = await ada.get("/api/users/me")
    assert me == {
        "id": ada.account_id,
        "email": "ada@example.com",
        "createdAt": "2026-11-23T12:00:00Z",
        "mfaEnrolled": False,
    }


async def test_a_new_token_is_shown_once_and_opens_the_door(
    wicket: Instance, anonymous: httpx2.AsyncClient
) -> None:
    ada = await wicket.person("ada")
    made = await ada.post(
        "/api/users/me/tokens",
        {"name": "laptop", "scopes": ["read", "write"], "expiresAt": "2027-01-01T00:00:00Z"},
        expect=201,
    )
    token = made.pop("token")
    assert token.startswith("wkt_")
    assert made == {
        "id": made["id"],
        "name": "laptop",
        "scopes": ["read", "write"],
        "createdAt": "2026-11-23T12:00:00Z",
        "expiresAt": "2027-01-01T00:00:00Z",
        "lastUsedAt": None,
    }
    me = await anonymous.get("/api/users/me", headers={"Authorization": f"bearer {token}"})
    assert me.json()["email"] == ada.email
    listed = await ada.get("/api/users/me/tokens")
    assert token not in str(listed)
    assert listed["total"] == 2
    used = next(one for one in listed["items"] if one["id"] == made["id"])
    assert used["lastUsedAt"] == NOW.isoformat().replace("+00:00", "Z")


async def test_a_token_reads_only_unless_it_is_asked_to_write(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    made = await ada.post("/api/users/me/tokens", {"name": "reader"}, expect=201)
    assert made["scopes"] == ["read"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["write"]}, "scopes"),
        ({"name": "a", "scopes": ["admin"]}, "scopes[0]"),
        ({"name": "a", "expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"name": "a", "expiresAt": "2027-01-01T00:00:00"}, "expiresAt"),
        ({"name": "a", "token": "wkt_mine"}, "token"),
    ],
)
async def test_a_bad_token_is_refused_with_its_field(
    wicket: Instance, body: dict[str, object], field: str
) -> None:
    ada = await wicket.person("ada")
    problem = await ada.post("/api/users/me/tokens", body, expect=400)
    assert (problem["code"], problem["field"]) == ("invalid", field)


async def test_nobody_revokes_anothers_token(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    (token,) = (await ada.get("/api/users/me/tokens"))["items"]
    await bob.delete(f"/api/users/me/tokens/{token['id']}", expect=404)
    assert (await ada.get("/api/users/me"))["id"] == ada.account_id
