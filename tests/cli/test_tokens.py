import asyncio
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.commands import wicket
from wicket.cli.work.tokens import parse_expiry
from wicket.core.errors import Invalid
from wicket.store import accounts
from wicket.store.accounts import Account, ApiToken, Scope
from wicket.store.db import open_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def who_has(data_dir: Path, token: str) -> tuple[Account, ApiToken] | None:
    async def ask() -> tuple[Account, ApiToken] | None:
        database = await open_database(sqlite_path=data_dir / "wicket.db")
        try:
            return await database.read(accounts.find_live_token, token=token, now=datetime.now(UTC))
        finally:
            await database.close()

    return asyncio.run(ask())


def test_a_token_is_made_with_its_account_and_the_directory(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    made = wicket("token", "create", "--email", "Ada@Example.com", "--json", "--data-dir", folder)
    assert made.code == 0
    assert set(made.json) == {"token", "accountId"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found = who_has(folder, str(made.json["token"]))
    assert found is not None
    account, token = found
    assert (account.id, account.email) == (made.json["accountId"], "ada@example.com")
    assert token.scopes == {Scope.READ, Scope.WRITE}
    assert token.expires_at is None


def test_without_json_the_token_alone_is_on_standard_output(tmp_path: Path) -> None:
    made = wicket("token", "create", "--email", "ada@example.com", "--data-dir", tmp_path)
    (token,) = made.out.splitlines()
    assert who_has(tmp_path, token) is not None
    assert token not in made.err


def test_scope_and_expiry_are_what_was_asked_for(tmp_path: Path) -> None:
    options = ("--scope", "read", "--expires", "30d", "--name", "reports")
    made = wicket("token", "create", "--email", "ada@example.com", *options, "--json", "--data-dir", tmp_path)
    found = who_has(tmp_path, str(made.json["token"]))
    assert found is not None
    token = found[1]
    assert (token.scopes, token.name) == (frozenset({Scope.READ}), "reports")
    assert token.expires_at is not None
    assert token.expires_at - token.created_at - timedelta(days=30) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "options",
    [
        ("--email", "no address"),
        ("--email", "ada@example.com", "--scope", "all"),
        ("--email", "ada@example.com", "--expires", "soon"),
        (),
    ],
)
def test_what_makes_no_token_makes_no_directory_either(options: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert wicket("token", "create", *options, "--data-dir", folder).code == 2
    assert not folder.exists()


def test_an_expiry_in_the_past_is_refused(tmp_path: Path) -> None:
    options = ("--email", "ada@example.com", "--expires", "2020-01-01")
    assert wicket("token", "create", *options, "--data-dir", tmp_path).code == 2


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:30Z", datetime(2027, 1, 31, 12, 30, tzinfo=UTC)),
        ("2027-01-31T12:30+02:00", datetime(2027, 1, 31, 10, 30, tzinfo=UTC)),
        ("90d", NOW + timedelta(days=90)),
    ],
)
def test_an_expiry_is_a_date_an_instant_or_days(text: str, at: datetime) -> None:
    assert parse_expiry(text, NOW) == at


@pytest.mark.parametrize("text", ["", "d", "-1d", "1e3d", "99999999d", "²d", "tomorrow"])
def test_an_expiry_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_expiry(text, NOW)
