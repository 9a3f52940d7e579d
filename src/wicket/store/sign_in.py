"""How an account proves an address: codes that go out by mail, and links that `wicket login` prints on the host.

A code is six characters: few enough to type, and so few that only the bounds here make them safe. It is valid for ten
minutes and once, a newer one voids it, five guesses are looked at whoever sends how many at a time, and an address
gets fifteen an hour. Addresses that may not sign in get rows too: neither answer nor work tells them apart.

Who failed is answered, never raised: what raises is rolled back, and would take the count of the guess with it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import uuid4
from zlib import crc32

import sqlalchemy as sa

from wicket.core.errors import Invalid, Limited
from wicket.core.keys import ServerKeys
from wicket.store import tables
from wicket.store.accounts import Account, find_account, get_account, get_or_create_account, parse_email
from wicket.store.changes import record_change
from wicket.store.instants import to_us

CODE_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Digits and letters that nobody mistakes for one another: no 0 and O, no 1 and I."""
CODE_CHARS: Final = 6
CODE_TTL: Final = timedelta(minutes=10)
CODE_ATTEMPTS_MAX: Final = 5
CODES_MAX: Final = 15
"""For one address, in `CODES_PER`."""
CODES_PER: Final = timedelta(hours=1)
LINK_TTL: Final = timedelta(minutes=15)
LINK_BYTES: Final = 32
PRUNED_MAX: Final = 100
"""Rows deleted at once: others wait for their turn to write."""

_ADDRESS_LOCK: Final = 10
"""First half of PostgreSQL's advisory locks on addresses."""
_C = tables.sign_in_codes.c
_L = tables.sign_in_links.c
_I = tables.invites.c


class SignupMode(StrEnum):
    INVITE = "invite"
    DOMAIN = "domain"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Signup:
    """Who may sign in beside those who have an account: `invite`, `domain:example.com`, `open`."""

    mode: SignupMode = SignupMode.INVITE
    domain: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Signup":
        """The setting; raises Invalid."""
        mode, separator, domain = text.partition(":")
        if mode == SignupMode.DOMAIN and separator and parse_email(f"a@{domain}") == f"a@{domain}":
            return cls(SignupMode.DOMAIN, domain)
        if separator or mode not in {SignupMode.INVITE, SignupMode.OPEN}:
            raise Invalid("one of `invite`, `domain:example.com`, `open`", field="signup")
        return cls(SignupMode(mode))

    @property
    def text(self) -> str:
        """The setting as it is written."""
        return self.mode.value if self.domain is None else f"{self.mode}:{self.domain}"


@dataclass(frozen=True, slots=True)
class MadeCode:
    """A code on the one occasion when it is known."""

    email: str
    code: str = field(repr=False)
    is_welcome: bool
    """Whether it may be sent: False for addresses that may not sign in."""


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link's token on the one occasion when it is known."""

    account_id: str
    token: str = field(repr=False)
    expires_at: datetime


def make_code(tx: sa.Connection, *, email: str, keys: ServerKeys, signup: Signup, now: datetime) -> MadeCode:
    """A new code for an address, voiding the older ones; raises Invalid, or Limited `too_many_codes`."""
    address = parse_email(email)
    _take_turn(tx, address)
    _prune(tx, tables.sign_in_codes, _C.created_at <= to_us(now - CODES_PER))
    _check_rate(tx, address, now)
    tx.execute(
        sa.update(tables.sign_in_codes)
        .where(_C.email == address, _C.used_at.is_(None))
        .values(used_at=to_us(now))
    )
    code = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_CHARS))
    code_id = str(uuid4())
    tx.execute(
        sa.insert(tables.sign_in_codes).values(
            id=code_id,
            email=address,
            digest=_digest(keys.sign_in_keys[0], code_id, code),
            created_at=to_us(now),
            expires_at=to_us(now + CODE_TTL),
            attempts=0,
        )
    )
    return MadeCode(address, code, is_welcome=_may_sign_in(tx, address, signup, now))


def redeem_code(
    tx: sa.Connection, *, email: str, code: str, keys: ServerKeys, signup: Signup, now: datetime
) -> Account | None:
    """The account of an address whose live code this is, made on first use; None, and a guess less, otherwise."""
    address = parse_email(email)
    # One statement looks and counts, so that guesses sent all at once are counted one after the other.
    live = tx.execute(
        sa.update(tables.sign_in_codes)
        .where(
            _C.email == address,
            _C.used_at.is_(None),
            _C.expires_at > to_us(now),
            _C.attempts < CODE_ATTEMPTS_MAX,
        )
        .values(attempts=_C.attempts + 1)
        .returning(_C.id, _C.digest)
    ).first()
    if live is None or not _is_code(keys.sign_in_keys, live.id, code, live.digest):
        return None
    tx.execute(sa.update(tables.sign_in_codes).where(_C.id == live.id).values(used_at=to_us(now)))
    # Asked again: the invitation may have been revoked since the code was sent.
    return (
        get_or_create_account(tx, email=address, now=now) if _may_sign_in(tx, address, signup, now) else None
    )


def make_link(tx: sa.Connection, *, email: str, now: datetime) -> MadeLink:
    """A link that signs its holder in once, on the authority of the host; makes the account. Raises Invalid."""
    account = get_or_create_account(tx, email=email, now=now)
    _prune(tx, tables.sign_in_links, _L.expires_at <= to_us(now))
    token = secrets.token_urlsafe(LINK_BYTES)
    link_id, expires_at = str(uuid4()), now + LINK_TTL
    tx.execute(
        sa.insert(tables.sign_in_links).values(
            id=link_id,
            account_id=account.id,
            digest=_digest_token(token),
            created_at=to_us(now),
            expires_at=to_us(expires_at),
        )
    )
    body = {"accountId": account.id, "linkId": link_id}
    record_change(tx, kind="sign_in_link_made", agent_id=None, actor_id=None, body={**body}, now=now)
    return MadeLink(account.id, token, expires_at)


def redeem_link(tx: sa.Connection, *, token: str, now: datetime) -> Account | None:
    """The account that a live link is for, whose only use this was; None otherwise."""
    used = tx.execute(
        sa.update(tables.sign_in_links)
        .where(_L.digest == _digest_token(token), _L.used_at.is_(None), _L.expires_at > to_us(now))
        .values(used_at=to_us(now))
        .returning(_L.account_id)
    ).first()
    return None if used is None else get_account(tx, account_id=used.account_id)


def _may_sign_in(tx: sa.Connection, address: str, signup: Signup, now: datetime) -> bool:
    # Each question is asked of every address, so that the work is the same whatever the answers are.
    has_account = find_account(tx, email=address) is not None
    is_invited = _is_invited(tx, address, now)
    is_of_domain = signup.domain is not None and address.endswith(f"@{signup.domain}")
    return has_account or is_invited or is_of_domain or signup.mode is SignupMode.OPEN


def _is_invited(tx: sa.Connection, address: str, now: datetime) -> bool:
    live = (
        sa.select(_I.id)
        .join(tables.agents, tables.agents.c.id == _I.agent_id)
        .where(
            _I.email == address,
            _I.used_at.is_(None),
            _I.revoked_at.is_(None),
            _I.expires_at > to_us(now),
            tables.agents.c.deleted_at.is_(None),
        )
    )
    return tx.execute(live.limit(1)).first() is not None


def _check_rate(tx: sa.Connection, address: str, now: datetime) -> None:
    recent = sa.select(_C.created_at).where(_C.email == address, _C.created_at > to_us(now - CODES_PER))
    made_at = tx.execute(recent.order_by(_C.created_at.desc()).limit(CODES_MAX)).scalars().all()
    if len(made_at) < CODES_MAX:
        return
    wait_us = made_at[-1] + CODES_PER // timedelta(microseconds=1) - to_us(now)
    raise Limited(
        f"an address gets at most {CODES_MAX} codes an hour: use the last one, or wait",
        code="too_many_codes",
        retry_after_s=max(1, -(-wait_us // 1_000_000)),
    )


def _take_turn(tx: sa.Connection, address: str) -> None:
    """Codes of one address are made one after the other; SQLite's writers take turns anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADDRESS_LOCK, crc32(address.encode()) >> 1)))


def _prune(tx: sa.Connection, table: sa.Table, is_over: sa.ColumnElement[bool]) -> None:
    """Forget some of what is over; rows that somebody else forgets at the same time are left to them."""
    some = sa.select(table.c.id).where(is_over).limit(PRUNED_MAX).with_for_update(skip_locked=True)
    tx.execute(sa.delete(table).where(table.c.id.in_(tx.execute(some).scalars().all())))


def _is_code(keys: Sequence[bytes], code_id: str, code: str, digest: bytes) -> bool:
    typed = code.replace(" ", "").replace("-", "")
    # Before it is made upper case: a long s becomes a plain S, and would be somebody's code.
    if not typed.isascii():
        return False
    return any(hmac.compare_digest(_digest(key, code_id, typed.upper()), digest) for key in keys)


def _digest(key: bytes, code_id: str, code: str) -> bytes:
    """Keyed, since there are few codes; of the row too, so that equal codes do not look alike."""
    return hmac.digest(key, f"{code_id} {code}".encode(), "sha256")


def _digest_token(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
