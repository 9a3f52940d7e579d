"""Sessions of the dashboard: who signed in, from where, and for how much longer that counts.

    sign-in -> owes a second factor -> may do everything -> ended, idle for too long, or too old
            `---------------------------^

A session is known by a cookie of 256 random bits, of which only a digest is kept. The cookie gets a new value at
sign-in and when the second factor has been shown, so that one planted before is worth nothing after.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa

from wicket.core.errors import NotFound
from wicket.core.model import JsonObject
from wicket.store import tables
from wicket.store.accounts import Account
from wicket.store.changes import record_change
from wicket.store.instants import from_us, to_us

COOKIE_BYTES: Final = 32
AGE_MAX: Final = timedelta(days=30)
OWING_MAX: Final = timedelta(minutes=30)
"""For how long a session may go without the second factor that it owes."""
TOUCH_EVERY: Final = timedelta(minutes=1)
"""How exact `last_seen_at` is: noting each request would make every read a write."""
SESSIONS_MAX: Final = 50
"""Live ones of one account; another one ends the one that was seen longest ago."""
KEPT: Final = timedelta(days=1)
"""After their end: as long as attempts at the second factor are counted."""
USER_AGENT_CHARS_MAX: Final = 200

_S = tables.dashboard_sessions.c
_A = tables.accounts.c


class Debt(StrEnum):
    """What a session has to do before it may do anything else; the codes of the refusals."""

    SHOW = "mfa_required"
    SET_UP = "mfa_setup_required"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the instance asks of sessions."""

    idle: timedelta
    requires_mfa: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """Where somebody signs in from, as far as that can be known."""

    caller_ip: str
    user_agent: str

    @property
    def shown_agent(self) -> str:
        """The browser's own words, shortened to what can be shown in a list."""
        return "".join(filter(str.isprintable, self.user_agent))[:USER_AGENT_CHARS_MAX]


@dataclass(frozen=True, slots=True)
class Session:
    """What is known of a session; its cookie is nowhere."""

    id: str
    account: Account
    created_at: datetime
    last_seen_at: datetime
    mfa_at: datetime | None
    """When the second factor was shown."""
    caller_ip: str
    user_agent: str

    def debt(self, terms: Terms) -> Debt | None:
        """What is owed before anything else."""
        if self.account.is_enrolled:
            return Debt.SHOW if self.mfa_at is None else None
        return Debt.SET_UP if terms.requires_mfa else None

    def expires_at(self, terms: Terms) -> datetime:
        """When it ends unless it is used, or whatever is done."""
        owes = self.mfa_at is None and self.debt(terms) is not None
        return min(self.last_seen_at + terms.idle, self.created_at + (OWING_MAX if owes else AGE_MAX))


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session and its cookie's value, on the one occasion when that is known."""

    session: Session
    cookie: str = field(repr=False)


def begin(
    tx: sa.Connection, *, account: Account, by: str, visit: Visit, terms: Terms, now: datetime
) -> OpenedSession:
    """A session of somebody who has just proven the account's address; `by` says how."""
    _prune(tx, account.id, terms, now)
    cookie = secrets.token_urlsafe(COOKIE_BYTES)
    session = Session(str(uuid4()), account, now, now, None, visit.caller_ip, visit.shown_agent)
    tx.execute(
        sa.insert(tables.dashboard_sessions).values(
            id=session.id,
            account_id=account.id,
            digest=_digest(cookie),
            created_at=to_us(now),
            last_seen_at=to_us(now),
            mfa_attempts=0,
            caller_ip=session.caller_ip,
            user_agent=session.user_agent,
        )
    )
    kind = "signed_in" if session.debt(terms) is None else "sign_in_begun"
    _record(tx, kind, session, now, by=by, callerIp=visit.caller_ip)
    return OpenedSession(session, cookie)


def find_live(tx: sa.Connection, *, cookie: str, terms: Terms, now: datetime) -> Session | None:
    """The session of a cookie; None when it is unknown, ended, idle for too long or too old."""
    row = tx.execute(_SESSIONS.where(_S.digest == _digest(cookie), _S.ended_at.is_(None))).one_or_none()
    session = None if row is None else _session_of(row)
    return session if session is not None and now < session.expires_at(terms) else None


def touch(tx: sa.Connection, *, session_id: str, now: datetime) -> None:
    """Note that a session is used; worth a write only now and then."""
    tx.execute(
        sa.update(tables.dashboard_sessions)
        .where(_S.id == session_id, _S.ended_at.is_(None), _S.last_seen_at < to_us(now))
        .values(last_seen_at=to_us(now))
    )


def list_live(tx: sa.Connection, *, account_id: str, terms: Terms, now: datetime) -> tuple[Session, ...]:
    """The sessions of an account that count, the one seen last first."""
    rows = tx.execute(
        _SESSIONS.where(_S.account_id == account_id, _S.ended_at.is_(None)).order_by(
            _S.last_seen_at.desc(), _S.id
        )
    )
    sessions = map(_session_of, rows)
    return tuple(session for session in sessions if now < session.expires_at(terms))


def pay_debt(
    tx: sa.Connection, *, session: Session, terms: Terms, by: str, now: datetime
) -> OpenedSession | None:
    """Note that the second factor was shown, and give the session a new cookie; None when it has ended since."""
    cookie = secrets.token_urlsafe(COOKIE_BYTES)
    renewed = tx.execute(
        sa.update(tables.dashboard_sessions)
        .where(_S.id == session.id, _S.ended_at.is_(None))
        .values(digest=_digest(cookie), mfa_at=to_us(now), last_seen_at=to_us(now))
    )
    if renewed.rowcount == 0:
        return None
    if session.debt(terms) is not None:
        _record(tx, "signed_in", session, now, by=by, callerIp=session.caller_ip)
    paid = _session_of(tx.execute(_SESSIONS.where(_S.id == session.id)).one())
    return OpenedSession(paid, cookie)


def sign_out(tx: sa.Connection, *, session: Session, now: datetime) -> None:
    """End a session because its holder says so."""
    if end(tx, session_id=session.id, now=now):
        _record(tx, "signed_out", session, now)


def revoke(tx: sa.Connection, *, account_id: str, session_id: str, now: datetime) -> None:
    """End a session of one's own, at once; raises NotFound when the account has no such live one."""
    row = tx.execute(
        _SESSIONS.where(_S.id == session_id, _S.account_id == account_id, _S.ended_at.is_(None))
    ).one_or_none()
    if row is None or not end(tx, session_id=session_id, now=now):
        raise NotFound(f"you have no session `{session_id}`: list your sessions to find its id")
    _record(tx, "session_revoked", _session_of(row), now)


def end(tx: sa.Connection, *, session_id: str, now: datetime) -> bool:
    """End a session; False when it has ended before."""
    ended = tx.execute(
        sa.update(tables.dashboard_sessions)
        .where(_S.id == session_id, _S.ended_at.is_(None))
        .values(ended_at=to_us(now))
    )
    return ended.rowcount > 0


def end_others(tx: sa.Connection, *, session: Session, now: datetime) -> None:
    """End every session of the account but this one."""
    tx.execute(
        sa.update(tables.dashboard_sessions)
        .where(_S.account_id == session.account.id, _S.id != session.id, _S.ended_at.is_(None))
        .values(ended_at=to_us(now))
    )


def _prune(tx: sa.Connection, account_id: str, terms: Terms, now: datetime) -> None:
    """Forget what has long ended, and make room for one more."""
    long_ago = now - KEPT
    tx.execute(
        sa.delete(tables.dashboard_sessions).where(
            _S.account_id == account_id,
            sa.or_(
                _S.ended_at < to_us(long_ago),
                _S.last_seen_at < to_us(long_ago - terms.idle),
                _S.created_at < to_us(long_ago - AGE_MAX),
            ),
        )
    )
    live = sa.select(_S.id).where(_S.account_id == account_id, _S.ended_at.is_(None))
    crowd = live.order_by(_S.last_seen_at.desc(), _S.id).offset(SESSIONS_MAX - 1)
    tx.execute(
        sa.update(tables.dashboard_sessions)
        .where(_S.id.in_(tx.execute(crowd).scalars().all()))
        .values(ended_at=to_us(now))
    )


def _record(tx: sa.Connection, kind: str, session: Session, now: datetime, **facts: str) -> None:
    body: JsonObject = {"sessionId": session.id, **facts}
    record_change(tx, kind=kind, agent_id=None, actor_id=session.account.id, body=body, now=now)


def _digest(cookie: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(cookie.encode()).digest()


def _session_of(row: sa.Row[Any]) -> Session:
    return Session(
        id=row.id,
        account=Account(
            id=row.account_id,
            email=row.email,
            created_at=from_us(row.account_created_at),
            is_enrolled=row.totp_confirmed_at is not None,
        ),
        created_at=from_us(row.created_at),
        last_seen_at=from_us(row.last_seen_at),
        mfa_at=None if row.mfa_at is None else from_us(row.mfa_at),
        caller_ip=row.caller_ip,
        user_agent=row.user_agent,
    )


_SESSIONS: Final = sa.select(
    tables.dashboard_sessions,
    _A.email,
    _A.created_at.label("account_created_at"),
    _A.totp_confirmed_at,
).join(tables.accounts, _A.id == _S.account_id)
