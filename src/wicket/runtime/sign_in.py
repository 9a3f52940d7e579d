"""Signing in, from asking for a code to the session that has shown its second factor.

What is decided is in the store, each step one transaction. Here is what a transaction must not do: bounds on callers,
digests that are made to take long, and letters, which are sent after the answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final, TypeVar

from prometheus_client import Counter

from wicket.core.errors import Invalid, Limited, Unauthenticated, Unavailable
from wicket.core.keys import ServerKeys
from wicket.runtime.limiter import MemoryLimiter
from wicket.runtime.mail import Letter, Mailer, code_letter
from wicket.store import dashboard_sessions, second_factor, sign_in
from wicket.store.accounts import Account
from wicket.store.dashboard_sessions import TOUCH_EVERY, OpenedSession, Session, Terms, Visit
from wicket.store.db import Database, Transaction
from wicket.store.second_factor import BackupCode, Enrolment, TotpCode, Wrong
from wicket.store.sign_in import CODE_TTL, Signup

CALLER_BURST: Final = 60
CALLER_PER_SECOND: Final = 1.0
"""Requests of one address that sign in or show a factor, in each process."""
IPV6_NETWORK_BITS: Final = 64
"""What one subscriber has of IPv6: all of it counts as one address."""
DIGESTS_AT_ONCE: Final = 2
NETWORK_UNKNOWN: Final = "unknown"

R = TypeVar("R")

_SIGN_INS: Final = Counter(
    "wicket_sign_ins", "Steps of signing in, by what came of them", ("step", "outcome")
)


@dataclass(frozen=True, slots=True)
class SignInRules:
    """What the settings say."""

    signup: Signup
    terms: Terms
    base_url: str


class SignIn:
    """The part that the API signs people in with. Of one process."""

    def __init__(
        self,
        *,
        db: Database,
        keys: ServerKeys,
        mailer: Mailer,
        rules: SignInRules,
        now: Callable[[], datetime],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.rules = rules
        self.mailer = mailer
        self._db = db
        self._keys = keys
        self._now = now
        self._monotonic_ns = monotonic_ns
        self._callers = MemoryLimiter()
        self._digesting = asyncio.Semaphore(DIGESTS_AT_ONCE)

    def admit(self, caller_ip: str) -> None:
        """Count a request of an address; raises Limited."""
        wait_s = self._callers.take(
            network_of(caller_ip),
            burst=CALLER_BURST,
            per_second=CALLER_PER_SECOND,
            now_ns=self._monotonic_ns(),
        )
        if wait_s is not None:
            _count("admit", is_good=False)
            raise Limited("too many requests of your address: wait a moment", retry_after_s=wait_s)

    async def ask_code(self, email: str) -> Letter | None:
        """The letter to send once it has been answered; None for addresses that may not sign in.

        Raises Invalid, or Limited `too_many_codes`.
        """
        made = await self._db.change(
            sign_in.make_code,
            email=email,
            keys=self._keys,
            signup=self.rules.signup,
            now=self._now(),
            agents=(),
        )
        _count("ask", is_good=made.is_welcome)
        if not made.is_welcome:
            return None
        minutes = int(CODE_TTL.total_seconds()) // 60
        return code_letter(to=made.email, code=made.code, base_url=self.rules.base_url, minutes=minutes)

    async def by_code(
        self, email: str, code: str, visit: Visit, *, instead_of: Session | None
    ) -> OpenedSession:
        """A session for who got the code; raises Invalid `wrong_code`."""

        def redeem(tx: Transaction, now: datetime) -> Account | None:
            return sign_in.redeem_code(
                tx, email=email, code=code, keys=self._keys, signup=self.rules.signup, now=now
            )

        opened = await self._open(redeem, "code", visit, instead_of)
        if opened is None:
            raise _wrong(
                "this code is not, or no longer, the one for this address: ask for a new one", "code"
            )
        return opened

    async def by_link(self, token: str, visit: Visit, *, instead_of: Session | None) -> OpenedSession:
        """A session for who was given a link on the host; raises Invalid `wrong_code`."""

        def redeem(tx: Transaction, now: datetime) -> Account | None:
            return sign_in.redeem_link(tx, token=token, now=now)

        opened = await self._open(redeem, "link", visit, instead_of)
        if opened is None:
            raise _wrong("this link was used or is too old: make another with `wicket login`", "token")
        return opened

    async def find(self, cookie: str) -> Session | None:
        """The live session of a cookie's value, noted as seen."""
        now = self._now()
        session = await self._db.read(
            dashboard_sessions.find_live, cookie=cookie, terms=self.rules.terms, now=now
        )
        if session is not None and now - session.last_seen_at >= TOUCH_EVERY:
            # Who is signed in must not depend on whether anything can be written.
            with suppress(Unavailable):
                await self._db.change(dashboard_sessions.touch, session_id=session.id, now=now, agents=())
        return session

    async def list_sessions(self, account_id: str) -> Sequence[Session]:
        """The live sessions of an account."""
        return await self._db.read(
            dashboard_sessions.list_live, account_id=account_id, terms=self.rules.terms, now=self._now()
        )

    async def revoke(self, account_id: str, session_id: str) -> None:
        """End a session of an account; raises NotFound."""
        await self._db.change(
            dashboard_sessions.revoke,
            account_id=account_id,
            session_id=session_id,
            now=self._now(),
            agents=(),
        )

    async def sign_out(self, session: Session) -> None:
        """End a session."""
        await self._db.change(dashboard_sessions.sign_out, session=session, now=self._now(), agents=())

    async def set_up(self, session: Session) -> Enrolment:
        """Begin with a second factor; raises Conflict `mfa_enrolled`."""
        return await self._db.change(
            second_factor.begin_enrolment, session=session, keys=self._keys, now=self._now(), agents=()
        )

    async def confirm(self, session: Session, code: str) -> tuple[OpenedSession, Sequence[BackupCode]]:
        """Ask for the new factor from now on; raises Invalid `wrong_code`, Conflict."""
        parsed = second_factor.parse_code(code)
        if not isinstance(parsed, TotpCode) or not await self._db.read(
            second_factor.is_next_code,
            account_id=session.account.id,
            code=parsed,
            keys=self._keys,
            now=self._now(),
        ):
            raise _wrong_factor()
        codes, digests = await self._make_backup_codes()
        opened = await self._db.change(
            second_factor.confirm_enrolment,
            session=session,
            code=parsed,
            backup_digests=digests,
            keys=self._keys,
            terms=self.rules.terms,
            now=self._now(),
            agents=(),
        )
        return _accepted(opened), codes

    async def show(self, session: Session, code: str) -> OpenedSession:
        """Show the second factor, which gives the session a new cookie.

        Raises Invalid `wrong_code`, Unauthenticated when the session has no guesses left, Limited, Conflict.
        """
        parsed = second_factor.parse_code(code)
        if isinstance(parsed, TotpCode):
            opened = await self._use_totp(session, parsed)
        elif isinstance(parsed, BackupCode):
            opened = await self._use_backup(session, parsed)
        else:
            opened = Wrong.CODE if await self._may_guess(session) else Wrong.SESSION
        _count("factor", is_good=isinstance(opened, OpenedSession))
        return _accepted(opened)

    async def disable(self, session: Session, code: str) -> OpenedSession:
        """Ask for no second factor any more; raises as `show`."""
        opened = await self.show(session, code)
        await self._db.change(second_factor.disable, session=session, now=self._now(), agents=())
        account = replace(opened.session.account, is_enrolled=False)
        return replace(opened, session=replace(opened.session, account=account))

    async def renew_backup_codes(
        self, session: Session, code: str
    ) -> tuple[OpenedSession, Sequence[BackupCode]]:
        """Ten new codes in place of the old ones; raises as `show`."""
        opened = await self.show(session, code)
        codes, digests = await self._make_backup_codes()
        await self._db.change(
            second_factor.renew_backup_codes,
            session=session,
            backup_digests=digests,
            now=self._now(),
            agents=(),
        )
        return opened, codes

    async def _open(
        self,
        redeem: Callable[[Transaction, datetime], Account | None],
        by: str,
        visit: Visit,
        instead_of: Session | None,
    ) -> OpenedSession | None:
        now, terms = self._now(), self.rules.terms

        def open_session(tx: Transaction) -> OpenedSession | None:
            account = redeem(tx, now)
            if account is None:
                return None
            if instead_of is not None:
                dashboard_sessions.sign_out(tx, session=instead_of, now=now)
            return dashboard_sessions.begin(tx, account=account, by=by, visit=visit, terms=terms, now=now)

        opened = await self._db.change(open_session, agents=())
        _count(by, is_good=opened is not None)
        return opened

    async def _may_guess(self, session: Session) -> bool:
        return await self._db.change(second_factor.count_attempt, session=session, now=self._now(), agents=())

    async def _use_totp(self, session: Session, code: TotpCode) -> OpenedSession | Wrong:
        return await self._db.change(
            second_factor.show_totp,
            session=session,
            code=code,
            keys=self._keys,
            terms=self.rules.terms,
            now=self._now(),
            agents=(),
        )

    async def _use_backup(self, session: Session, code: BackupCode) -> OpenedSession | Wrong:
        if not await self._may_guess(session):
            return Wrong.SESSION
        digest = await self._db.read(
            second_factor.find_backup_digest, account_id=session.account.id, name=code.name
        )
        is_right = await self._digested(asyncio.to_thread(second_factor.is_backup_code, code, digest))
        if digest is None or not is_right:
            return Wrong.CODE
        return await self._db.change(
            second_factor.use_backup_code,
            session=session,
            name=code.name,
            digest=digest,
            terms=self.rules.terms,
            now=self._now(),
            agents=(),
        )

    async def _make_backup_codes(self) -> tuple[Sequence[BackupCode], dict[str, str]]:
        codes = second_factor.make_backup_codes()
        return codes, await self._digested(asyncio.to_thread(second_factor.digest_backup_codes, codes))

    async def _digested(self, work: Awaitable[R]) -> R:
        async with self._digesting:
            return await work


def network_of(caller_ip: str) -> str:
    """What a caller is counted by: an IPv4 address, or the network of an IPv6 one."""
    try:
        address = ip_address(caller_ip.partition("%")[0])
    except ValueError:
        return NETWORK_UNKNOWN
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), IPV6_NETWORK_BITS), strict=False))
    return str(address)


def _accepted(opened: OpenedSession | Wrong) -> OpenedSession:
    if isinstance(opened, OpenedSession):
        return opened
    if opened is Wrong.CODE:
        raise _wrong_factor()
    raise Unauthenticated("this session has ended: sign in again")


def _wrong(sentence: str, field: str) -> Invalid:
    return Invalid(sentence, field=field, code="wrong_code")


def _wrong_factor() -> Invalid:
    return _wrong("this code is not the next one: look again, and mind the clock of your device", "code")


def _count(step: str, *, is_good: bool) -> None:
    _SIGN_INS.labels(step, "accepted" if is_good else "refused").inc()
