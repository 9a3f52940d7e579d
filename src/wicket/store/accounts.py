"""Accounts, known by e-mail address, and their personal API tokens, known by digest."""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import exc

from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.instants import from_us, to_us

EMAIL_CHARS_MAX: Final = 254
TOKEN_NAME_CHARS_MAX: Final = 100
TOKENS_MAX: Final = 100
"""Live ones of one account."""
TOKEN_PREFIX: Final = "wkt_"  # noqa: S105 - what tokens begin with
TOKEN_BYTES: Final = 32

_TOKEN: Final = re.compile(r"wkt_[A-Za-z0-9_-]{43}", re.ASCII)
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL: Final = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_A = tables.accounts.c
_T = tables.api_tokens.c


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    email: str
    created_at: datetime
    is_enrolled: bool = False
    """Whether signing in asks for a second factor too."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is known of a token; the token itself is nowhere."""

    id: str
    account_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token on the one occasion when it is known."""

    record: ApiToken
    token: str = field(repr=False)


def parse_email(text: str) -> str:
    """An address in the form that accounts are known by: lower case. Raises Invalid."""
    address = text.strip(" ")
    # Before lowering: the Kelvin sign becomes a plain `k` and would be somebody else's address.
    if address.isascii() and len(address) <= EMAIL_CHARS_MAX and _EMAIL.fullmatch(address.lower()):
        return address.lower()
    raise Invalid("this is no e-mail address: write it like `name@example.com`", field="email")


def get_or_create_account(tx: sa.Connection, *, email: str, now: datetime) -> Account:
    """The account of an address, made on first use; raises Invalid for what is no address."""
    address = parse_email(email)
    found = find_account(tx, email=address)
    if found is not None:
        return found
    account = Account(id=str(uuid4()), email=address, created_at=now)
    try:
        with tx.begin_nested():
            tx.execute(
                sa.insert(tables.accounts).values(
                    id=account.id, email=account.email, created_at=to_us(account.created_at)
                )
            )
    except exc.IntegrityError:  # somebody else has made it since
        return _account_of(tx.execute(sa.select(tables.accounts).where(_A.email == address)).one())
    record_change(
        tx,
        kind="account_created",
        agent_id=None,
        actor_id=account.id,
        body={"accountId": account.id},
        now=now,
    )
    return account


def find_account(tx: sa.Connection, *, email: str) -> Account | None:
    """The account of an address, or None; raises Invalid for what is no address."""
    row = tx.execute(sa.select(tables.accounts).where(_A.email == parse_email(email))).one_or_none()
    return None if row is None else _account_of(row)


def get_account(tx: sa.Connection, *, account_id: str) -> Account:
    """An account by id; raises NotFound."""
    row = tx.execute(sa.select(tables.accounts).where(_A.id == account_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no account `{account_id}`")
    return _account_of(row)


def create_token(
    tx: sa.Connection,
    *,
    account_id: str,
    name: str,
    scopes: frozenset[Scope],
    expires_at: datetime | None,
    now: datetime,
) -> NewToken:
    """Make a personal API token; raises Invalid, or Conflict when the account holds too many."""
    if not (1 <= len(name) <= TOKEN_NAME_CHARS_MAX and name.isprintable()):
        raise Invalid(f"a token's name has 1 to {TOKEN_NAME_CHARS_MAX} printable characters", field="name")
    if Scope.READ not in scopes:
        raise Invalid("a token's scopes are `read`, or `read` and `write`", field="scopes")
    if expires_at is not None and expires_at <= now:
        raise Invalid("a token must expire in the future: choose a later instant", field="expiresAt")
    live = sum(token.is_live(now) for token in list_tokens(tx, account_id=account_id))
    if live >= TOKENS_MAX:
        raise Conflict(
            f"an account has at most {TOKENS_MAX} tokens: revoke one first", code="too_many_tokens"
        )
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    record = ApiToken(str(uuid4()), account_id, name, scopes, now, expires_at, None, None)
    tx.execute(
        sa.insert(tables.api_tokens).values(
            id=record.id,
            account_id=account_id,
            name=name,
            digest=_digest(token),
            scopes=" ".join(sorted(scopes)),
            created_at=to_us(now),
            expires_at=None if expires_at is None else to_us(expires_at),
        )
    )
    body = {"tokenId": record.id, "name": name, "scopes": " ".join(sorted(scopes))}
    record_change(tx, kind="token_created", agent_id=None, actor_id=account_id, body={**body}, now=now)
    return NewToken(record, token)


def find_live_token(tx: sa.Connection, *, token: str, now: datetime) -> tuple[Account, ApiToken] | None:
    """Who presents this token; None when it is unknown, revoked or expired."""
    if not _TOKEN.fullmatch(token):
        return None
    row = tx.execute(sa.select(tables.api_tokens).where(_T.digest == _digest(token))).one_or_none()
    if row is None:
        return None
    record = _token_of(row)
    return (get_account(tx, account_id=record.account_id), record) if record.is_live(now) else None


def touch_token(tx: sa.Connection, *, token_id: str, now: datetime) -> None:
    """Note that a token was used; worth a write only now and then."""
    tx.execute(sa.update(tables.api_tokens).where(_T.id == token_id).values(last_used_at=to_us(now)))


def list_tokens(tx: sa.Connection, *, account_id: str) -> tuple[ApiToken, ...]:
    """The tokens of an account that are not revoked, newest first."""
    rows = tx.execute(
        sa.select(tables.api_tokens)
        .where(_T.account_id == account_id, _T.revoked_at.is_(None))
        .order_by(_T.created_at.desc(), _T.id)
    )
    return tuple(map(_token_of, rows))


def revoke_token(tx: sa.Connection, *, account_id: str, token_id: str, now: datetime) -> None:
    """End a token at once; raises NotFound when the account has no such live token."""
    revoked = tx.execute(
        sa.update(tables.api_tokens)
        .where(_T.id == token_id, _T.account_id == account_id, _T.revoked_at.is_(None))
        .values(revoked_at=to_us(now))
    )
    if revoked.rowcount == 0:
        raise NotFound(f"you have no token `{token_id}`: list your tokens to find its id")
    record_change(
        tx, kind="token_revoked", agent_id=None, actor_id=account_id, body={"tokenId": token_id}, now=now
    )


def _digest(token: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(token.encode()).digest()


def _account_of(row: sa.Row[Any]) -> Account:
    return Account(
        id=row.id,
        email=row.email,
        created_at=from_us(row.created_at),
        is_enrolled=row.totp_confirmed_at is not None,
    )


def _token_of(row: sa.Row[Any]) -> ApiToken:
    return ApiToken(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        scopes=frozenset(map(Scope, row.scopes.split(" "))),
        created_at=from_us(row.created_at),
        expires_at=None if row.expires_at is None else from_us(row.expires_at),
        revoked_at=None if row.revoked_at is None else from_us(row.revoked_at),
        last_used_at=None if row.last_used_at is None else from_us(row.last_used_at),
    )
