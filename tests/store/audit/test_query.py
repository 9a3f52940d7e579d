from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.runtime.recorder.support import (
    AGENT,
    CALL,
    FORBID,
    FORBIDDEN,
    MEMBER,
    OWNER,
    allow,
    attempt,
    create_agent,
    deny,
    ledger_at,
    load_world,
)
from wicket.core.errors import Invalid, NotFound
from wicket.core.model import EntityUid, JsonObject, Outcome, Resource
from wicket.core.session import FRESH, Facts
from wicket.core.world import World
from wicket.runtime.recorder import Attempt, Judged
from wicket.runtime.recorder.entries import build_entry
from wicket.store import tables
from wicket.store.audit.entry import OutcomeRow
from wicket.store.audit.fields import FIELDS
from wicket.store.audit.lanes import COUNT_MAX, SCAN_MAX
from wicket.store.audit.query import AuditPage, get_entry, list_entries, list_members, parse_filter
from wicket.store.db import Database

OTHER_AGENT = "6f1c2b3a-0000-4000-8000-000000000002"
GUEST, STRANGER = "account-guest", "account-stranger"
GUESTS_MEMBER = "6f1c2b3a-0000-4000-8000-0000000000dd"
GUESTS_IP = "198.51.100.9"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add_person(
    tx: sa.Connection, account_id: str, member_id: str, agent_id: str, status: str = "approved"
) -> None:
    tx.execute(
        sa.insert(tables.accounts).values(id=account_id, email=f"{account_id}@example.com", created_at=1)
    )
    tx.execute(
        sa.insert(tables.members).values(
            agent_id=agent_id, id=member_id, account_id=account_id, role="member", status=status, created_at=1
        )
    )


def add_stranger(tx: sa.Connection) -> None:
    create_agent(tx, agent_id=OTHER_AGENT)
    tx.execute(sa.update(tables.agents).where(tables.agents.c.id == OTHER_AGENT).values(owner_id=STRANGER))


def on_repository(_world: World, _facts: Facts) -> Judged:
    repository = Resource(EntityUid("GitHubMCP::Repository", "my-org/50%_off"))
    return Judged(FORBIDDEN, replace(CALL, tool="create_issue", resources=(repository,)))


@dataclass(frozen=True)
class Log:
    """Five entries, the newest last: allow, deny, deny on a repository, allow by the guest, deny by the guest."""

    database: Database
    ids: tuple[str, ...]

    async def ask(self, account_id: str = OWNER, **asked: str) -> list[str]:
        return ids_of(await self.page(account_id, asked=asked))

    async def page(
        self,
        account_id: str = OWNER,
        *,
        asked: Mapping[str, str] | None = None,
        limit: int = 500,
        offset: int = 0,
        cursor: str | None = None,
    ) -> AuditPage:
        return await self.database.read(
            list_entries,
            account_id=account_id,
            wanted=parse_filter(asked or {}),
            limit=limit,
            offset=offset,
            cursor=cursor,
        )

    async def get(self, number: int, account_id: str = OWNER) -> JsonObject:
        return await self.database.read(get_entry, account_id=account_id, entry_id=self.ids[number])

    def numbers(self, ids: list[str]) -> list[int]:
        return [self.ids.index(entry_id) for entry_id in ids]


def ids_of(page: AuditPage) -> list[str]:
    return [str(item["id"]) for item in page.items]


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


@pytest.fixture
async def log(location: Location, database: Database) -> Log:
    await database.change(create_agent, agents=[])
    await database.change(add_person, OWNER, MEMBER, AGENT, agents=[])
    await database.change(add_person, GUEST, GUESTS_MEMBER, AGENT, agents=[])
    await database.change(add_stranger, agents=[])
    world = await database.read(load_world, AGENT)
    assert world is not None
    attempts: list[Attempt] = [
        attempt(allow, at=at(0)),
        attempt(deny, at=at(1)),
        attempt(on_repository, at=at(2))._replace(service="linear"),
        attempt(allow, at=at(3))._replace(member_id=GUESTS_MEMBER, caller_ip=GUESTS_IP),
        attempt(deny, at=at(4))._replace(member_id=GUESTS_MEMBER, caller_ip=GUESTS_IP),
    ]
    entries = [
        build_entry(
            one,
            world,
            one.judge(world, FRESH),
            session_id="ts_1" if one is attempts[0] else None,
            decision_ms=1,
        )
        for one in attempts
    ]
    outcomes = [
        OutcomeRow(entries[0].id, Outcome.INTERRUPTED, 5),
        OutcomeRow(entries[0].id, Outcome.OK, 4, '{"durationMs":12.5,"upstreamStatus":200}'),
        OutcomeRow(entries[1].id, Outcome.REFUSED, 4, '{"count":7}'),
    ]
    ledger = ledger_at(location)
    await ledger.open(1)
    async with ledger.turn([AGENT], []) as turn:
        await turn.commit([*entries, *outcomes], [])
    await ledger.close(2)
    return Log(database, tuple(entry.id for entry in entries))


FILTERS: Mapping[str, tuple[Mapping[str, str], list[int]]] = {
    "nothing": ({}, [4, 3, 2, 1, 0]),
    "denied": ({"result": "DENY"}, [4, 2, 1]),
    "allowed": ({"result": "ALLOW"}, [3, 0]),
    "from": ({"from": "2026-03-01T12:03:00Z"}, [4, 3]),
    "to": ({"to": "2026-03-01T12:01:00+00:00"}, [1, 0]),
    "a day": ({"from": "2026-03-01", "to": "2026-03-01"}, [4, 3, 2, 1, 0]),
    "the day before": ({"to": "2026-02-28"}, []),
    "service": ({"service": "github"}, [4, 3, 1, 0]),
    "service and denied": ({"service": "github", "result": "DENY"}, [4, 1]),
    "no such service": ({"service": "git"}, []),
    "part of a tool": ({"tool": "ISSUE"}, [2]),
    "part of an agent": ({"agent": "Agent 0"}, [4, 3, 2, 1, 0]),
    "a wildcard is no wildcard": ({"tool": "%"}, []),
    "agent": ({"agentId": AGENT}, [4, 3, 2, 1, 0]),
    "another's agent": ({"agentId": OTHER_AGENT}, []),
    "member": ({"member": GUESTS_MEMBER}, [4, 3]),
    "member by address": ({"member": f"{GUEST}@EXAMPLE.com"}, [4, 3]),
    "session": ({"session": "ts_1"}, [0]),
    "reason": ({"reason": "permitted"}, [3, 0]),
    "address": ({"ip": "198.51.100.9", "result": "ALLOW"}, [3]),
    "policy by id": ({"policy": FORBID.id}, [4, 2, 1]),
    "ok": ({"outcome": "ok"}, [0]),
    "interrupted, and then not": ({"outcome": "interrupted"}, []),
    "pending": ({"outcome": "pending"}, [3]),
    "refused": ({"outcome": "refused"}, [4, 2, 1]),
    "text in a resource": ({"q": "50%_off"}, [2]),
    "text in a deny message": ({"q": "NOT TODAY"}, [4, 2, 1]),
    "text in a tool": ({"q": "create_"}, [2]),
    "two dimensions": ({"member": GUESTS_MEMBER, "tool": "delete", "result": "DENY"}, [4]),
}


def add_policy(tx: sa.Connection) -> None:
    """So that the policy filter can find it."""
    tx.execute(
        sa.insert(tables.policies).values(
            agent_id=AGENT, id=FORBID.id, key=FORBID.key, version=3, enabled=True, created_at=1, updated_at=1
        )
    )


@pytest.mark.parametrize("name", FILTERS)
async def test_an_owner_finds_what_the_filter_says(log: Log, name: str) -> None:
    await log.database.change(add_policy, agents=[])
    asked, expected = FILTERS[name]
    assert log.numbers(ids_of(await log.page(asked=asked))) == expected


async def test_a_policy_is_found_by_its_key(log: Log) -> None:
    await log.database.change(add_policy, agents=[])
    assert log.numbers(await log.ask(policy=FORBID.key)) == [4, 2, 1]


async def test_members_see_their_own_calls_without_the_policies(log: Log) -> None:
    await log.database.change(add_policy, agents=[])
    assert log.numbers(await log.ask(GUEST)) == [4, 3]
    entry = await log.get(4, GUEST)
    owners = await log.get(4)
    assert (entry["matchedPolicies"], entry["policyId"], entry["denyMessage"]) == ([], None, None)
    assert FORBID.name not in str(entry)
    assert FORBID.name in str(owners["reason"])
    assert await log.ask(GUEST, policy=FORBID.id) == []
    assert await log.ask(GUEST, q=FORBID.name) == []
    assert log.numbers(await log.ask(GUEST, q="delete_file")) == [4, 3]


async def test_strangers_see_nothing(log: Log) -> None:
    assert await log.ask(STRANGER) == []
    assert await log.ask("nobody") == []
    with pytest.raises(NotFound):
        await log.get(0, STRANGER)
    with pytest.raises(NotFound):
        await log.get(0, GUEST)


async def test_pages_follow_one_another(log: Log) -> None:
    first = await log.page(limit=2)
    second = await log.page(limit=2, cursor=first.next_cursor)
    third = await log.page(limit=2, cursor=second.next_cursor)
    ids = [entry_id for page in (first, second, third) for entry_id in ids_of(page)]
    assert log.numbers(ids) == [4, 3, 2, 1, 0]
    assert third.next_cursor is None
    assert (await log.page(asked={"agentId": AGENT})).total == 5
    assert log.numbers(ids_of(await log.page(limit=2, offset=1))) == [3, 2]
    assert log.numbers(ids_of(await log.page(asked={"q": "not today"}, limit=1, offset=1))) == [2]


async def test_an_entry_has_the_contracts_fields_in_its_order(log: Log) -> None:
    entry = await log.get(0)
    assert list(entry) == list(FIELDS)
    assert entry["timestamp"] == "2026-03-01T12:00:00.000000Z"
    assert (entry["outcome"], entry["durationMs"], entry["upstreamStatus"]) == ("ok", 12.5, 200)
    assert entry["principal"] == f'GitHubMCP::User::"{OWNER}"'
    assert entry["action"] == 'GitHubMCP::Action::"delete_file"'
    assert entry["toolArgs"] == {"path": "a"}
    assert (await log.get(1))["count"] == 7


async def test_the_members_that_were_seen(log: Log) -> None:
    of_owner = await log.database.read(list_members, account_id=OWNER)
    of_guest = await log.database.read(list_members, account_id=GUEST)
    assert {item["id"] for item in of_owner} == {MEMBER, GUESTS_MEMBER}
    assert [item["name"] for item in of_guest] == [f"{GUEST}@example.com"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from", "yesterday"),
        ("to", "2026-13-01"),
        ("result", "maybe"),
        ("outcome", "x"),
        ("reason", "x"),
        ("q", "\0"),
    ],
)
async def test_a_bad_parameter_is_named(name: str, value: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse_filter({name: value})
    assert raised.value.field == name


@pytest.mark.parametrize("cursor", ["x", "é", "AAAA", ""])
async def test_a_foreign_cursor_is_refused(log: Log, cursor: str) -> None:
    with pytest.raises(Invalid) as raised:
        await log.page(cursor=cursor)
    assert raised.value.field == "cursor"


async def test_a_filter_that_meets_nothing_can_be_continued(log: Log) -> None:
    def fill(tx: sa.Connection) -> None:
        row = dict(tx.execute(sa.select(tables.audit).where(tables.audit.c.seq == 2)).mappings().one())
        newer = [
            {**row, "id": f"ffffffff-{number:04x}-7000-8000-{number:012}", "seq": 100 + number}
            for number in range(max(SCAN_MAX, COUNT_MAX) + 1)
        ]
        tx.execute(sa.insert(tables.audit), newer)

    await log.database.change(fill, agents=[])
    first = await log.page(asked={"q": "50%_off"})
    page = first
    while page.next_cursor is not None and not ids_of(page):
        page = await log.page(asked={"q": "50%_off"}, cursor=page.next_cursor)
    assert ids_of(first) == []
    assert log.numbers(ids_of(page)) == [2]
    assert (await log.page(asked={"agentId": AGENT})).total == COUNT_MAX
