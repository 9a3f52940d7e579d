"""The second factor: time-based codes of an authenticator (RFC 6238), and backup codes for when it is lost.

    begun -> confirmed -> disabled, or dropped on the host
                       `-> backup codes made anew

Whoever shows a factor has guesses counted before they are looked at: five in a session, which a sixth ends, and twenty
of the six digits in a day for an account, over all its sessions. A time step is good for one code. Who failed
is answered, never raised: what raises is rolled back, and would take the count of the guess with it.

A backup code is a name and a secret. The name finds the one digest to compare with, since each comparison is made to
cost something (Argon2): that is done outside of transactions, and off the event loop.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, TypeAlias

import argon2
import pyotp
import sqlalchemy as sa

from wicket.core.errors import Conflict, Forbidden, Limited
from wicket.core.keys import Binding, SealBroken, ServerKeys
from wicket.core.model import JsonObject
from wicket.store import dashboard_sessions, tables
from wicket.store.accounts import get_account
from wicket.store.changes import record_change
from wicket.store.dashboard_sessions import OpenedSession, Session, Terms
from wicket.store.instants import to_us
from wicket.store.sign_in import CODE_ALPHABET

ISSUER: Final = "Wicket"
SECRET_CHARS: Final = 32
"""160 bits in base32, as RFC 4226 recommends."""
STEPS_AROUND: Final = 1
ATTEMPTS_MAX: Final = 5
"""Of a session."""
TOTP_ATTEMPTS_MAX: Final = 20
"""Of an account, in `TOTP_ATTEMPTS_PER`."""
TOTP_ATTEMPTS_PER: Final = timedelta(days=1)
RETRY_AFTER_S: Final = 3600
BACKUP_CODES: Final = 10
BACKUP_NAME_CHARS: Final = 4
BACKUP_SECRET_CHARS: Final = 10

_TOTP: Final = re.compile(r"[0-9]{6}", re.ASCII)
_BACKUP: Final = re.compile(rf"[{CODE_ALPHABET}]{{{BACKUP_NAME_CHARS + BACKUP_SECRET_CHARS}}}", re.ASCII)
# What OWASP recommends at least. The secrets are random and guesses counted, so it need not cost more.
_HASHER: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODYS: Final = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43
"""Compared with where there is no such code, so that a name is not found out by time."""
_A = tables.accounts.c
_B = tables.backup_codes.c
_S = tables.dashboard_sessions.c


@dataclass(frozen=True, slots=True)
class TotpCode:
    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BackupCode:
    name: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """As people write it down: three groups."""
        half = BACKUP_SECRET_CHARS // 2
        return f"{self.name}-{self.secret[:half]}-{self.secret[half:]}"


FactorCode: TypeAlias = TotpCode | BackupCode


class Wrong(Enum):
    """Why a factor was not accepted."""

    CODE = "code"
    SESSION = "session"
    """There is none any more, or it has no guesses left."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A new shared secret, on the one occasion when it is shown."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    """What authenticators scan: `otpauth://totp/...`."""


def parse_code(text: str) -> FactorCode | None:
    """What somebody typed, in groups or not, in either case; None for what can be no code."""
    typed = text.replace(" ", "").replace("-", "")
    if not typed.isascii():
        return None
    if _TOTP.fullmatch(typed):
        return TotpCode(typed)
    if _BACKUP.fullmatch(typed.upper()):
        return BackupCode(typed.upper()[:BACKUP_NAME_CHARS], typed.upper()[BACKUP_NAME_CHARS:])
    return None


def make_backup_codes() -> tuple[BackupCode, ...]:
    """Ten codes whose names differ."""
    codes: dict[str, BackupCode] = {}
    while len(codes) < BACKUP_CODES:
        name, secret = (_random(chars) for chars in (BACKUP_NAME_CHARS, BACKUP_SECRET_CHARS))
        codes[name] = BackupCode(name, secret)
    return tuple(codes.values())


def digest_backup_codes(codes: Sequence[BackupCode]) -> dict[str, str]:
    """Name -> digest. Takes long, on purpose."""
    return {code.name: _HASHER.hash(code.secret) for code in codes}


def is_backup_code(code: BackupCode, digest: str | None) -> bool:
    """Whether a code is the one of this digest. Takes long, on purpose, also where there is no digest."""
    try:
        _HASHER.verify(digest or _NOBODYS, code.secret)
    except argon2.exceptions.VerificationError:
        return False
    return digest is not None


def begin_enrolment(tx: sa.Connection, *, session: Session, keys: ServerKeys, now: datetime) -> Enrolment:
    """A new secret that counts once a code of it was shown; raises Conflict `mfa_enrolled`."""
    account = session.account
    secret = pyotp.random_base32(SECRET_CHARS)
    begun = tx.execute(
        sa.update(tables.accounts)
        .where(_A.id == account.id, _A.totp_confirmed_at.is_(None))
        .values(totp_secret=keys.seal(secret.encode(), Binding.of_second_factor(account.id)), totp_step=None)
    )
    if begun.rowcount == 0:
        raise _enrolled()
    dashboard_sessions.touch(tx, session_id=session.id, now=now)
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=account.email, issuer_name=ISSUER))


def is_next_code(
    tx: sa.Connection, *, account_id: str, code: TotpCode, keys: ServerKeys, now: datetime
) -> bool:
    """Whether a code would confirm the enrolment that was begun; raises Conflict `mfa_enrolled`."""
    return _step_shown(tx, account_id, code, keys, now, is_confirmed=False) is not None


def confirm_enrolment(
    tx: sa.Connection,
    *,
    session: Session,
    code: TotpCode,
    backup_digests: dict[str, str],
    keys: ServerKeys,
    terms: Terms,
    now: datetime,
) -> OpenedSession | Wrong:
    """Ask for this factor from now on; this session has shown it, and every other one ends.

    Raises Conflict `mfa_enrolled`, or `mfa_not_begun`.
    """
    _lock(tx, session.account.id)
    step = _step_shown(tx, session.account.id, code, keys, now, is_confirmed=False)
    if step is None:
        return Wrong.CODE
    tx.execute(
        sa.update(tables.accounts)
        .where(_A.id == session.account.id)
        .values(totp_confirmed_at=to_us(now), totp_step=step)
    )
    _replace_backup_codes(tx, session.account.id, backup_digests)
    dashboard_sessions.end_others(tx, session=session, now=now)
    _record(tx, "mfa_enrolled", session, now)
    paid = dashboard_sessions.pay_debt(tx, session=session, terms=terms, by="totp", now=now)
    return paid or Wrong.SESSION


def show_totp(
    tx: sa.Connection, *, session: Session, code: TotpCode, keys: ServerKeys, terms: Terms, now: datetime
) -> OpenedSession | Wrong:
    """Show a code of the authenticator; raises Limited when the account has been guessed at too often."""
    _lock(tx, session.account.id)
    _check_rate(tx, session.account.id, now)
    if not count_attempt(tx, session=session, now=now):
        return Wrong.SESSION
    step = _step_shown(tx, session.account.id, code, keys, now, is_confirmed=True)
    if step is None:
        return Wrong.CODE
    tx.execute(sa.update(tables.accounts).where(_A.id == session.account.id).values(totp_step=step))
    return _accept(tx, session, terms, by="totp", now=now)


def count_attempt(tx: sa.Connection, *, session: Session, now: datetime) -> bool:
    """Count a guess of a session; False when it has none left, which ends it."""
    counted = tx.execute(
        sa.update(tables.dashboard_sessions)
        .where(_S.id == session.id, _S.ended_at.is_(None), _S.mfa_attempts < ATTEMPTS_MAX)
        .values(mfa_attempts=_S.mfa_attempts + 1)
    )
    if counted.rowcount == 0:
        dashboard_sessions.end(tx, session_id=session.id, now=now)
    return counted.rowcount > 0


def find_backup_digest(tx: sa.Connection, *, account_id: str, name: str) -> str | None:
    """The digest of an unused backup code."""
    found = tx.execute(
        sa.select(_B.digest).where(_B.account_id == account_id, _B.id == name, _B.used_at.is_(None))
    ).first()
    return None if found is None else str(found.digest)


def use_backup_code(
    tx: sa.Connection, *, session: Session, name: str, digest: str, terms: Terms, now: datetime
) -> OpenedSession | Wrong:
    """Use up a code that was compared with its digest; it counts only if it is still there."""
    used = tx.execute(
        sa.update(tables.backup_codes)
        .where(_B.account_id == session.account.id, _B.id == name, _B.digest == digest, _B.used_at.is_(None))
        .values(used_at=to_us(now))
    )
    if used.rowcount == 0:
        return Wrong.CODE
    left = sa.select(sa.func.count()).where(_B.account_id == session.account.id, _B.used_at.is_(None))
    _record(tx, "backup_code_used", session, now, left=int(tx.execute(left).scalar_one()))
    return _accept(tx, session, terms, by="backup_code", now=now)


def renew_backup_codes(
    tx: sa.Connection, *, session: Session, backup_digests: dict[str, str], now: datetime
) -> None:
    """Replace every backup code, used or not; the factor has been shown for it."""
    _replace_backup_codes(tx, session.account.id, backup_digests)
    _record(tx, "backup_codes_renewed", session, now)


def disable(tx: sa.Connection, *, session: Session, now: datetime) -> None:
    """Ask for no second factor any more; the factor has been shown for it."""
    _forget(tx, session.account.id)
    _record(tx, "mfa_disabled", session, now)


def drop(tx: sa.Connection, *, account_id: str, now: datetime) -> bool:
    """Forget a second factor that its owner has lost, on the authority of the host; False when there is none."""
    if not get_account(tx, account_id=account_id).is_enrolled:
        return False
    _forget(tx, account_id)
    body: JsonObject = {"accountId": account_id}
    record_change(tx, kind="mfa_disabled", agent_id=None, actor_id=None, body=body, now=now)
    return True


def _forget(tx: sa.Connection, account_id: str) -> None:
    tx.execute(
        sa.update(tables.accounts)
        .where(_A.id == account_id)
        .values(totp_secret=None, totp_confirmed_at=None, totp_step=None)
    )
    tx.execute(sa.delete(tables.backup_codes).where(_B.account_id == account_id))


def check_maker_of_tokens(tx: sa.Connection, *, account_id: str, is_session: bool, terms: Terms) -> None:
    """Raise Forbidden `session_required` where a token would make tokens past the account's second factor."""
    if not is_session and (terms.requires_mfa or get_account(tx, account_id=account_id).is_enrolled):
        raise Forbidden(
            "tokens of an account with a second factor are made in the dashboard: sign in there",
            code="session_required",
        )


def _step_shown(
    tx: sa.Connection,
    account_id: str,
    code: TotpCode,
    keys: ServerKeys,
    now: datetime,
    *,
    is_confirmed: bool,
) -> int | None:
    """The time step that a code is of, if it is newer than the last one used."""
    row = tx.execute(sa.select(tables.accounts).where(_A.id == account_id)).one()
    if not is_confirmed and row.totp_confirmed_at is not None:
        raise _enrolled()
    if row.totp_secret is None:
        raise Conflict("no second factor was set up: begin with `/api/auth/mfa/setup`", code="mfa_not_begun")
    try:
        secret = keys.open_sealed(row.totp_secret, Binding.of_second_factor(account_id)).decode()
    except SealBroken as broken:
        raise Conflict(
            "the second factor was set up under a server key that is gone: use a backup code, and set it up anew",
            code="mfa_unreadable",
        ) from broken
    totp = pyotp.TOTP(secret)
    here = totp.timecode(now)
    steps = range(here - STEPS_AROUND, here + STEPS_AROUND + 1)
    shown = [step for step in steps if hmac.compare_digest(totp.generate_otp(step), code.digits)]
    newer = [step for step in shown if row.totp_step is None or step > row.totp_step]
    return newer[0] if newer else None


def _accept(
    tx: sa.Connection, session: Session, terms: Terms, *, by: str, now: datetime
) -> OpenedSession | Wrong:
    tx.execute(sa.update(tables.dashboard_sessions).where(_S.id == session.id).values(mfa_attempts=0))
    return dashboard_sessions.pay_debt(tx, session=session, terms=terms, by=by, now=now) or Wrong.SESSION


def _check_rate(tx: sa.Connection, account_id: str, now: datetime) -> None:
    since = to_us(now - TOTP_ATTEMPTS_PER)
    guesses = sa.select(sa.func.sum(_S.mfa_attempts)).where(
        _S.account_id == account_id, _S.created_at > since
    )
    if (tx.execute(guesses).scalar_one() or 0) >= TOTP_ATTEMPTS_MAX:
        raise Limited(
            "too many wrong codes were tried for this account: use a backup code, or wait",
            code="too_many_attempts",
            retry_after_s=RETRY_AFTER_S,
        )


def _lock(tx: sa.Connection, account_id: str) -> None:
    """Guesses at one account are looked at one after the other."""
    tx.execute(sa.select(_A.id).where(_A.id == account_id).with_for_update())


def _replace_backup_codes(tx: sa.Connection, account_id: str, digests: dict[str, str]) -> None:
    tx.execute(sa.delete(tables.backup_codes).where(_B.account_id == account_id))
    rows = [{"account_id": account_id, "id": name, "digest": digest} for name, digest in digests.items()]
    tx.execute(sa.insert(tables.backup_codes), rows)


def _record(tx: sa.Connection, kind: str, session: Session, now: datetime, **facts: int) -> None:
    body: JsonObject = {"sessionId": session.id, **facts}
    record_change(tx, kind=kind, agent_id=None, actor_id=session.account.id, body=body, now=now)


def _random(chars: int) -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(chars))


def _enrolled() -> Conflict:
    return Conflict(
        "a second factor is set up: disable it first, which takes a code of it", code="mfa_enrolled"
    )
