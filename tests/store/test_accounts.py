"""Accounts by e-mail address, and their API tokens."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.databases import Location
from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.store import accounts
from wicket.store.accounts import Account, NewToken, Scope
from wicket.store.db import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
READ = frozenset({Scope.READ})
BOTH = frozenset({Scope.READ, Scope.WRITE})


async def make_account(database: Database, email: str = "ada@example.com") -> Account:
    return await database.change(accounts.get_or_create_account, email=email, now=NOW, agents=[])


async def make_token(
    database: Database,
    account: Account,
    *,
    scopes: frozenset[Scope] = READ,
    expires_at: datetime | None = None,
) -> NewToken:
    return await database.change(
        accounts.create_token,
        account_id=account.id,
        name="laptop",
        scopes=scopes,
        expires_at=expires_at,
        now=NOW,
        agents=[],
    )


@pytest.mark.parametrize("spelling", ["ada@example.com", "ADA@Example.com", " ada@example.com "])
async def test_an_address_has_one_account_however_it_is_spelled(database: Database, spelling: str) -> None:
    assert await make_account(database, spelling) == await make_account(database)


@pytest.mark.parametrize("email", ["a+b@x.de", "o'neil@sub.example.co.uk", "root@localhost"])
async def test_an_address_is_accepted(database: Database, email: str) -> None:
    assert (await make_account(database, email)).email == email


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "a@b@c.de",
        "a b@c.de",
        "ada@-x.de",
        "a\n@x.de",
        "\u212aim@x.de",
        "ada@ex\x00ample.com",
        f"{'a' * 65}@x.de",
        f"a@{'x' * 64}.de",
        f"a@{'x.' * 130}de",
    ],
)
async def test_what_is_no_address_makes_no_account(database: Database, email: str) -> None:
    with pytest.raises(Invalid) as refused:
        await make_account(database, email)
    assert refused.value.field == "email"


async def test_two_who_sign_up_at_once_get_one_account(location: Location) -> None:
    first, second = await location.open(), await location.open()
    made = await asyncio.gather(*(make_account(opened) for opened in (first, second) * 5))
    assert len({account.id for account in made}) == 1
    await first.close()
    await second.close()


async def test_a_token_is_known_by_what_was_shown_once(database: Database) -> None:
    account = await make_account(database)
    made = await make_token(database, account, scopes=BOTH)
    assert made.token.startswith("wkt_")
    assert made.token not in repr(made)
    assert await database.read(accounts.find_live_token, token=made.token, now=NOW) == (account, made.record)


@pytest.mark.parametrize("token", ["", "wkt_", "wkt_" + "A" * 43, "Bearer x", "wkt_" + "\x00" * 43])
async def test_an_unknown_token_is_nobodys(database: Database, token: str) -> None:
    assert await database.read(accounts.find_live_token, token=token, now=NOW) is None


async def test_a_revoked_token_is_dead_at_once(database: Database) -> None:
    account = await make_account(database)
    made = await make_token(database, account)
    revoke: dict[str, Any] = {"account_id": account.id, "token_id": made.record.id, "now": NOW}
    await database.change(accounts.revoke_token, **revoke, agents=[])
    assert await database.read(accounts.find_live_token, token=made.token, now=NOW) is None
    assert await database.read(accounts.list_tokens, account_id=account.id) == ()
    with pytest.raises(NotFound):
        await database.change(accounts.revoke_token, **revoke, agents=[])


async def test_another_accounts_token_cannot_be_revoked(database: Database) -> None:
    made = await make_token(database, await make_account(database))
    other = await make_account(database, "bob@example.com")
    with pytest.raises(NotFound):
        await database.change(
            accounts.revoke_token, account_id=other.id, token_id=made.record.id, now=NOW, agents=[]
        )


async def test_a_token_expires_to_the_instant(database: Database) -> None:
    end = NOW + timedelta(hours=1)
    made = await make_token(database, await make_account(database), expires_at=end)
    before = end - timedelta(microseconds=1)
    assert await database.read(accounts.find_live_token, token=made.token, now=before) is not None
    assert await database.read(accounts.find_live_token, token=made.token, now=end) is None


async def test_a_token_that_was_used_says_when(database: Database) -> None:
    account = await make_account(database)
    made = await make_token(database, account)
    used_at = NOW + timedelta(microseconds=1)
    await database.change(accounts.touch_token, token_id=made.record.id, now=used_at, agents=[])
    assert [t.last_used_at for t in await database.read(accounts.list_tokens, account_id=account.id)] == [
        used_at
    ]


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "a\nb"}),
        ("scopes", {"scopes": frozenset()}),
        ("scopes", {"scopes": frozenset({Scope.WRITE})}),
        ("expiresAt", {"expires_at": NOW}),
    ],
)
async def test_a_token_is_refused_by_field(database: Database, field: str, given: dict[str, Any]) -> None:
    account = await make_account(database)
    asked: dict[str, Any] = {
        "account_id": account.id,
        "name": "ci",
        "scopes": READ,
        "expires_at": None,
        "now": NOW,
        **given,
    }
    with pytest.raises(Invalid) as refused:
        await database.change(accounts.create_token, **asked, agents=[])
    assert refused.value.field == field


async def test_tokens_of_one_account_are_bounded(database: Database) -> None:
    account = await make_account(database)
    for _ in range(accounts.TOKENS_MAX):
        await make_token(database, account)
    with pytest.raises(Conflict) as refused:
        await make_token(database, account)
    assert refused.value.code == "too_many_tokens"
