"""Personal API tokens, made on the host."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from wicket.cli.output import print_json, print_line, say
from wicket.cli.work.host import Host, now, on_host
from wicket.core.errors import Invalid
from wicket.store import accounts
from wicket.store.accounts import Scope

DAYS_MAX: Final = 36_500


@dataclass(frozen=True, slots=True)
class Wanted:
    """A token as it is asked for on the command line."""

    email: str
    name: str
    scopes: Sequence[str]
    expires: str | None


def create(wanted: Wanted, *, data_dir: Path | None, as_json: bool) -> None:
    """Make a token, and its account and the database where there is none, and print it."""
    scopes = parse_scopes(wanted.scopes)
    expires_at = None if wanted.expires is None else parse_expiry(wanted.expires, now())
    email = accounts.parse_email(wanted.email)

    async def work(host: Host) -> accounts.NewToken:
        return await create_token(host, email, name=wanted.name, scopes=scopes, expires_at=expires_at)

    made = on_host(work, data_dir=data_dir, make=True)
    if as_json:
        print_json({"token": made.token, "accountId": made.record.account_id})
    else:
        print_line(made.token)
    say(f"a token of {email}, shown this once; it may {' and '.join(sorted(scopes))}")


async def create_token(
    host: Host, email: str, *, name: str, scopes: frozenset[Scope], expires_at: datetime | None
) -> accounts.NewToken:
    """A token of the account of an address."""
    account = await host.database.change(accounts.get_or_create_account, email=email, now=now(), agents=())
    return await host.database.change(
        accounts.create_token,
        account_id=account.id,
        name=name,
        scopes=scopes,
        expires_at=expires_at,
        now=now(),
        agents=(),
    )


def parse_scopes(names: Sequence[str]) -> frozenset[Scope]:
    """Scopes by name; who may write may read."""
    unknown = [name for name in names if name not in set(Scope)]
    if unknown:
        raise Invalid(f"`{unknown[0]}` is no scope: use `read` or `write`", field="scope")
    return frozenset(map(Scope, names)) | {Scope.READ}


def parse_expiry(text: str, today: datetime) -> datetime:
    """A date, an instant (UTC unless it says otherwise), or a number of days from now; raises Invalid."""
    days = text.removesuffix("d")
    if days != text and days.isdecimal() and int(days) <= DAYS_MAX:
        return today + timedelta(days=int(days))
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(
            f"`{text}` is no time: write `2027-01-31`, `2027-01-31T12:00Z` or `90d`", field="expires"
        ) from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
