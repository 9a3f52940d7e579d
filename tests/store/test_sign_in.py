"""Codes, links and sessions under many hands at once, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import pyotp
import pytest
import sqlalchemy as sa

from tests.databases import Location
from wicket.core.errors import Conflict, Invalid, Limited
from wicket.core.keys import ServerKeys
from wicket.store import accounts, dashboard_sessions, second_factor, sign_in, tables
from wicket.store.accounts import Account
from wicket.store.dashboard_sessions import Debt, OpenedSession, Terms, Visit
from wicket.store.db import Database
from wicket.store.second_factor import TotpCode, Wrong
from wicket.store.sign_in import CODE_ATTEMPTS_MAX, CODES_MAX, MadeCode, Signup

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD, NEW = b"an older secret of thirty-two bytes or so", b"a newer secret of thirty-two bytes or so"
KEYS: Final = ServerKeys([OLD])
OPEN: Final = Signup.parse("open")
TERMS: Final = Terms(idle=timedelta(hours=12), requires_mfa=False)
ADA: Final = "ada@example.com"


async def ask(database: Database, email: str = ADA, *, now: datetime = NOW) -> MadeCode:
    return await database.change(sign_in.make_code, email=email, keys=KEYS, signup=OPEN, now=now, agents=())


async def redeem(database: Database, code: str, *, keys: ServerKeys = KEYS) -> Account | None:
    return await database.change(
        sign_in.redeem_code, email=ADA, code=code, keys=keys, signup=OPEN, now=NOW, agents=()
    )


async def begin(database: Database) -> OpenedSession:
    account = await database.change(accounts.get_or_create_account, email=ADA, now=NOW, agents=())
    return await database.change(
        dashboard_sessions.begin,
        account=account,
        by="tests",
        visit=Visit("192.0.2.1", "tests"),
        terms=TERMS,
        now=NOW,
        agents=(),
    )


@asynccontextmanager
async def several(location: Location, count: int) -> AsyncIterator[list[Database]]:
    """As many processes have it open."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(await location.open())
            stack.push_async_callback(opened[-1].close)
        yield opened


async def test_a_code_is_redeemed_once_however_many_send_it_at_once(
    database: Database, location: Location
) -> None:
    made = await ask(database)
    async with several(location, 3) as replicas:
        found = await asyncio.gather(*(redeem(replica, made.code) for replica in replicas * 2))
    assert [account.email for account in found if account is not None] == [ADA]


async def test_guesses_of_many_processes_are_counted_as_one(database: Database, location: Location) -> None:
    made = await ask(database)
    async with several(location, 3) as replicas:
        found = await asyncio.gather(*(redeem(replica, "000000") for replica in replicas * 10))
    assert set(found) == {None}
    assert await database.read(attempts) == CODE_ATTEMPTS_MAX
    assert await redeem(database, made.code) is None


def count_of(tx: sa.Connection, table: sa.Table) -> int:
    return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def attempts(tx: sa.Connection) -> int:
    return int(tx.execute(sa.select(tables.sign_in_codes.c.attempts)).scalar_one())


async def test_codes_asked_for_by_many_processes_are_fifteen_and_the_last_one_counts(
    database: Database, location: Location
) -> None:
    async with several(location, 3) as replicas:
        made = await asyncio.gather(*(ask(replica) for replica in replicas * 8), return_exceptions=True)
    refused = [one for one in made if isinstance(one, Limited)]
    assert (len(made) - len(refused), {one.code for one in refused}) == (CODES_MAX, {"too_many_codes"})
    codes = [one.code for one in made if isinstance(one, MadeCode)]
    assert len(codes) == CODES_MAX
    live = await database.read(
        lambda tx: tx.execute(
            sa.select(sa.func.count()).where(tables.sign_in_codes.c.used_at.is_(None))
        ).scalar_one()
    )
    assert live == 1


async def test_a_code_survives_the_rotation_of_the_servers_key_and_not_its_loss(database: Database) -> None:
    made = await ask(database)
    assert await redeem(database, made.code, keys=ServerKeys([NEW])) is None
    assert await redeem(database, made.code, keys=ServerKeys([NEW, OLD])) is not None


async def test_a_link_is_redeemed_once_however_many_send_it_at_once(
    database: Database, location: Location
) -> None:
    made = await database.change(sign_in.make_link, email=ADA, now=NOW, agents=())
    async with several(location, 3) as replicas:
        found = await asyncio.gather(
            *(
                replica.change(sign_in.redeem_link, token=made.token, now=NOW, agents=())
                for replica in replicas * 2
            )
        )
    assert sum(account is not None for account in found) == 1


async def test_a_time_step_is_good_for_one_code_however_many_show_it_at_once(
    database: Database, location: Location
) -> None:
    opened = await begin(database)
    totp = await database.change(enrol, opened, agents=())
    later = NOW + timedelta(seconds=30)
    sessions = [(await begin(database)).session for _ in range(4)]
    async with several(location, 2) as replicas:
        shown = await asyncio.gather(
            *(
                replica.change(
                    second_factor.show_totp,
                    session=session,
                    code=TotpCode(totp.at(later)),
                    keys=KEYS,
                    terms=TERMS,
                    now=later,
                    agents=(),
                )
                for replica, session in zip(replicas * 2, sessions, strict=True)
            )
        )
    assert sum(isinstance(one, OpenedSession) for one in shown) == 1
    assert sum(one is Wrong.CODE for one in shown) == 3


async def test_a_second_factor_of_a_lost_server_key_says_so(database: Database) -> None:
    opened = await begin(database)
    await database.change(
        second_factor.begin_enrolment, session=opened.session, keys=KEYS, now=NOW, agents=()
    )
    with pytest.raises(Conflict) as refused:
        await database.read(
            second_factor.is_next_code,
            account_id=opened.session.account.id,
            code=TotpCode("000000"),
            keys=ServerKeys([NEW]),
            now=NOW,
        )
    assert refused.value.code == "mfa_unreadable"


async def test_codes_and_links_that_are_over_are_forgotten_bit_by_bit(database: Database) -> None:
    for number in range(5):
        await ask(database, f"a{number}@example.com")
        await database.change(sign_in.make_link, email=f"a{number}@example.com", now=NOW, agents=())
    later = NOW + timedelta(hours=1)
    await ask(database, now=later)
    await database.change(sign_in.make_link, email=ADA, now=later, agents=())
    for table in (tables.sign_in_codes, tables.sign_in_links):
        assert await database.read(count_of, table) == 1


def statements_of(tx: sa.Connection, email: str) -> list[str]:
    """What the database is asked when a code is asked for, and a wrong one is sent."""
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        said.append(statement)

    sa.event.listen(tx, "before_cursor_execute", note)
    try:
        sign_in.make_code(tx, email=email, keys=KEYS, signup=Signup(), now=NOW)
        sign_in.redeem_code(tx, email=email, code="000000", keys=KEYS, signup=Signup(), now=NOW)
    finally:
        sa.event.remove(tx, "before_cursor_execute", note)
    return said


async def test_the_work_is_the_same_for_who_has_an_account_and_who_has_none(database: Database) -> None:
    await begin(database)
    known = await database.change(statements_of, ADA, agents=())
    unknown = await database.change(statements_of, "nobody@example.com", agents=())
    assert known == unknown
    assert len(known) > 5


async def test_a_lost_factor_is_dropped_on_the_host(database: Database) -> None:
    opened = await begin(database)
    account_id = opened.session.account.id
    assert not await database.change(second_factor.drop, account_id=account_id, now=NOW, agents=())
    await database.change(enrol, opened, agents=())
    assert (await begin(database)).session.debt(TERMS) is Debt.SHOW
    assert await database.change(second_factor.drop, account_id=account_id, now=NOW, agents=())
    assert (await begin(database)).session.debt(TERMS) is None


def enrol(tx: sa.Connection, opened: OpenedSession) -> pyotp.TOTP:
    """Set up a second factor."""
    made = second_factor.begin_enrolment(tx, session=opened.session, keys=KEYS, now=NOW)
    totp = pyotp.TOTP(made.secret)
    confirmed = second_factor.confirm_enrolment(
        tx,
        session=opened.session,
        code=TotpCode(totp.at(NOW)),
        backup_digests={"AAAA": "x"},
        keys=KEYS,
        terms=TERMS,
        now=NOW,
    )
    assert isinstance(confirmed, OpenedSession)
    return totp


@pytest.mark.parametrize(
    "text", ["", "invited", "invite:", "open:x", "domain", "domain:", "domain:@x.de", "domain:X.de"]
)
def test_who_may_sign_up_is_one_of_three_words(text: str) -> None:
    with pytest.raises(Invalid):
        Signup.parse(text)


@pytest.mark.parametrize("text", ["invite", "open", "domain:example.com"])
def test_a_word_is_written_as_it_is_read(text: str) -> None:
    assert Signup.parse(text).text == text
