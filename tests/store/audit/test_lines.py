"""Lines that the database makes are those that we should have made of the same entries, byte for byte."""

import random
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from tests.databases import Location, database, database_kind, location, postgres_server, sqlite_template
from tests.runtime.recorder.support import ledger_at
from tests.store.audit.made_up import GUEST, MEMBERS, OWNER, POLICIES, START_US, STEP_US, TRUSTED, make_people
from wicket.core.ids import uuid7
from wicket.core.jsonrpc import render_json_text
from wicket.core.model import Json, Outcome
from wicket.runtime.recorder.entries import storable
from wicket.store.audit.entry import Entry, OutcomeRow
from wicket.store.audit.export import find_stretch, finish, lines_of, next_span, read_batch, read_lines
from wicket.store.audit.fields import ExportFormat
from wicket.store.audit.filters import AuditFilter, parse_filter
from wicket.store.audit.following import Position, position_now
from wicket.store.audit.lanes import Place
from wicket.store.audit.lines import BODY_BYTES_MAX, make_lines
from wicket.store.audit.viewer import HOST
from wicket.store.db import Database

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]

ENTRIES = 400
TEXTS = (
    *("", "plain", "null", "{", "[", "]\n[", "}\n{", '"', '\\"', "\\", "\\\\", "\\u0041", "/", "'", "''", "a,b"),
    *('","', ',"=1', "=1", "+1", "-1", "@x", "\t=1", "\r=1", "two\nlines", "two\r\nlines", "\x01", "\x1b[2J"),
    *("\x7f", "a\x85b", "a\u2028b", "é", "Grüße", "\N{GRINNING FACE}", "\N{KELVIN SIGN}", "\x00", "\ud800", "%s$1"),
    *(',"digest":"00ff"}', '{"digest":"00"}', ":name", "x" * 2_000),
)  # fmt: skip
NUMBERS = (0, 1, -1, 0.1, 0.05, 1e-7, 1.5e300, 123456.789, 2**53 + 1, -(2**63))


def json_of(chance: random.Random, depth: int = 0) -> Json:
    """Something that a client may send."""
    kind = chance.randrange(6 if depth < 3 else 4)
    if kind == 4:
        return [json_of(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 5:
        return {chance.choice(TEXTS): json_of(chance, depth + 1) for _ in range(chance.randrange(4))}
    return (chance.choice(TEXTS), chance.choice(NUMBERS), chance.choice((None, True, False)), "plain")[kind]


def body_of(chance: random.Random, policies: Sequence[str]) -> str:
    cited: list[Json] = [
        {
            "id": one,
            "key": chance.choice(TEXTS),
            "name": chance.choice(TEXTS),
            "version": chance.randrange(1, 9),
            "effect": "permit",
            "digest": chance.randbytes(32).hex(),
        }
        for one in policies
    ]
    own: dict[str, Json] = {
        "method": "tools/call",
        "memberName": chance.choice((None, *TEXTS)),
        "toolArgs": {chance.choice(TEXTS): json_of(chance) for _ in range(chance.randrange(4))},
        "decisionMs": chance.choice(NUMBERS),
        "requestBytes": chance.randrange(10**9),
        "clientName": chance.choice((None, *TEXTS)),
        "clientVersion": chance.choice((None, "1.0")),
        "protocolVersion": "2026-07-28",
        "matchedPolicies": cited,
        "reasonWithheld": "for a reason",
    }
    if chance.random() < 0.7:
        own |= {"principal": chance.choice(TEXTS), "action": "A", "resources": [chance.choice(TEXTS)]}
    if chance.random() < 0.02:
        own["request"] = "x" * BODY_BYTES_MAX
    return render_json_text(own)


def entry_of(chance: random.Random, number: int) -> Entry:
    at = START_US + number * STEP_US * 7
    member = chance.choice(sorted(MEMBERS))
    agent = MEMBERS[member][0]
    policies = [one for one, place in POLICIES.items() if place[0] == agent and chance.random() < 0.5]
    agent_name, service, tool, ip, resource, reason, message = storable(*chance.choices(TEXTS, k=7))
    return Entry(
        id=uuid7(at, chance.randbytes(8)),
        decided_at=at,
        agent_id=agent,
        agent_name=agent_name,
        service=service,
        tool=tool,
        member_id=member,
        key_id="k",
        session_id=chance.choice((None, "ts_1")),
        denied=chance.random() < 0.3,
        reason_code="permitted",
        caller_ip=ip,
        resource=resource,
        reason=reason,
        deny_message=chance.choice((None, message)),
        body=body_of(chance, policies),
        policy_ids=tuple(policies),
    )


def endings_of(chance: random.Random, entry: Entry) -> list[OutcomeRow]:
    """Never, once or twice, in either order."""
    measured = {name: chance.choice(NUMBERS) for name in ("durationMs", "upstreamMs", "recordMs")}
    told: dict[str, Json] = {**measured, "upstreamStatus": 200, "responseBytes": 7, "count": 3}
    some: dict[str, Json] = {name: value for name, value in told.items() if chance.random() < 0.7}
    ended = OutcomeRow(entry.id, Outcome.OK, entry.decided_at + 5, render_json_text(some))
    interrupted = OutcomeRow(entry.id, Outcome.INTERRUPTED, entry.decided_at + chance.choice((1, 9)))
    return chance.choice(([], [ended], [ended], [interrupted], [ended, interrupted], [interrupted, ended]))


async def write(location: Location, chance: random.Random, numbers: range) -> None:
    ledger = ledger_at(location)
    await ledger.open(START_US)
    rows: list[Entry | OutcomeRow] = []
    for number in numbers:
        entry = entry_of(chance, number)
        rows += [entry, *endings_of(chance, entry)]
    async with ledger.turn([TRUSTED], []) as turn:
        await turn.commit(rows, [])
    await ledger.close(START_US)


def plain(
    tx: sa.Connection, form: ExportFormat, *, account_id: str | None, wanted: AuditFilter, until: Position
) -> list[bytes]:
    """Entry by entry, made here."""
    lines: list[bytes] = []
    place: Place | None = Place()
    while place is not None:
        batch = read_batch(tx, account_id=account_id, wanted=wanted, until=until, place=place, most=90)
        lines += [finish(line, form) for line in lines_of(batch, form)]
        place = batch.resume
    return lines


def made(
    tx: sa.Connection, form: ExportFormat, *, account_id: str | None, wanted: AuditFilter, until: Position
) -> list[bytes]:
    """By the database, a few entries at a time."""
    lines: list[bytes] = []
    place: Place | None = Place()
    while place is not None:
        stretch = find_stretch(tx, account_id=account_id, wanted=wanted, until=until, place=place, span=70)
        if stretch is None:
            break
        found = read_lines(tx, stretch, until=until, form=form)
        text = finish(found.text, form)
        assert text.count(b"\n") == found.count
        lines += text.splitlines(keepends=True)
        place = stretch.resume
    return lines


async def test_a_line_of_the_database_is_the_line_that_we_make(
    location: Location, database: Database
) -> None:
    await database.change(make_people, agents=())
    chance = random.Random(20_261_123)
    await write(location, chance, range(ENTRIES))
    until = await database.read(position_now)
    await write(location, chance, range(ENTRIES, ENTRIES + 20))
    for account_id in (None, OWNER, GUEST):
        for asked in ({}, {"outcome": "ok"}, {"result": "DENY"}, {"q": "é"}, {"tool": "plain"}):
            wanted = parse_filter(asked)
            for form in ExportFormat:
                by_hand, by_database = [
                    await database.read(lines, form, account_id=account_id, wanted=wanted, until=until)
                    for lines in (plain, made)
                ]
                assert by_database == by_hand, (account_id, asked, form)
                assert by_hand or asked
    whole = await database.read(plain, ExportFormat.JSONL, account_id=None, wanted=AuditFilter(), until=until)
    assert len(whole) == ENTRIES


async def test_most_lines_are_made_by_the_database(location: Location, database: Database) -> None:
    await database.change(make_people, agents=())
    await write(location, random.Random(1), range(100))
    until = await database.read(position_now)
    for form, mark in ((ExportFormat.JSONL, b"{"), (ExportFormat.CSV, b"[")):
        text, count = await database.read(make_lines, [sa.true()], viewer=HOST, until=until, form=form)
        marks = [line[:1] for line in text.split(b"\n")]
        assert (len(marks), set(marks)) == (count, {mark, b"0"})
        assert marks.count(mark) > count / 5, "few are left to us, though all are nasty"


@pytest.mark.parametrize(
    ("span", "count", "expected"),
    [
        (1_000, 1_000, 1_000),
        (1_000, 200, 2_000),
        (4_000, 10, 5_000),
        (5_000, 0, 5_000),
        (5_000, 4_000, 1_000),
    ],
)
def test_where_little_matches_more_is_looked_at(span: int, count: int, expected: int) -> None:
    assert next_span(span, count) == expected
