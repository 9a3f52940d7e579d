"""One-time links, printed on the host."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.commands import wicket
from tests.cli.conftest import Left
from wicket.store import sign_in
from wicket.store.accounts import Account
from wicket.store.db import open_database


def redeem(data_dir: Path, url: str) -> Account | None:
    """Whom the token of a link signs in."""

    async def ask() -> Account | None:
        database = await open_database(sqlite_path=data_dir / "wicket.db")
        try:
            token = urlsplit(url).fragment.removeprefix("token=")
            return await database.change(sign_in.redeem_link, token=token, now=datetime.now(UTC), agents=())
        finally:
            await database.close()

    return asyncio.run(ask())


def test_a_link_signs_in_once_and_keeps_its_token_out_of_the_request_line(left: Left) -> None:
    made = wicket("login", "--email", "Owner@Example.com", "--json", "--data-dir", left.data_dir)
    assert (made.code, set(made.json)) == (0, {"url", "expiresAt"})
    url = str(made.json["url"])
    parts = urlsplit(url)
    assert (parts.netloc, parts.path, parts.query) == ("127.0.0.1:8420", "/sign-in", "")
    expires_in = datetime.fromisoformat(str(made.json["expiresAt"])) - datetime.now(UTC)
    assert timedelta(minutes=14) < expires_in <= timedelta(minutes=15)
    account = redeem(left.data_dir, url)
    assert account is not None
    assert account.email == "owner@example.com"
    assert redeem(left.data_dir, url) is None


def test_without_json_the_link_alone_is_on_standard_output_and_makes_the_account(left: Left) -> None:
    address = ("--public-url", "https://wicket.example/")
    made = wicket("login", "--email", "new@example.com", *address, "--data-dir", left.data_dir)
    (url,) = made.out.splitlines()
    assert url.startswith("https://wicket.example/sign-in#token=")
    assert url not in made.err
    account = redeem(left.data_dir, url)
    assert account is not None
    assert account.email == "new@example.com"


def test_dropping_a_second_factor_is_said_only_where_there_was_one(left: Left) -> None:
    made = wicket(
        "login", "--email", "owner@example.com", "--drop-second-factor", "--data-dir", left.data_dir
    )
    assert made.code == 0
    assert "no second factor any more" not in made.err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--email", "no address"), 2),
        (("--email", "a@example.com", "--public-url", "http://wicket.example"), 2),
        ((), 2),
        (("--email", "a@example.com"), 4),
    ],
)
def test_what_signs_nobody_in_makes_no_directory(options: tuple[str, ...], code: int, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert wicket("login", *options, "--data-dir", folder).code == code
    assert not folder.exists()
