"""Checkpoints: what they say, and that whatever is done to them, or behind what they say, is found."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.evidence import SEED, asked, note
from tests.runtime.recorder.support import ledger_at
from tests.store.audit.attacks import (
    FORGER,
    KNOWN,
    NOW,
    ON_STATEMENTS,
    SIGNER,
    Attack,
    checkpoint,
    leave_an_attested_log,
    outside_of,
    statements_of,
    tail_cut,
    verify_after,
)
from wicket.core.checkpoints import Checkpoint, parse_statement
from wicket.store.audit.attested import Trust
from wicket.store.audit.flaws import STATEMENTS, Bad
from wicket.store.audit.verify import verify
from wicket.store.checkpoints import (
    draft_checkpoint,
    head_of,
    list_unsent,
    mark_sent,
    when_due,
    write_checkpoint,
)
from wicket.store.db import Database, Kind

MUTATIONS = asked("WICKET_TEST_MUTATIONS", 40)


@pytest.fixture
async def log(location: Location, database: Database) -> Database:
    await leave_an_attested_log(location, database)
    return database


def said_in(body: str) -> Checkpoint:
    said = parse_statement(body).says
    assert isinstance(said, Checkpoint)
    return said


async def test_checkpoints_say_how_far_the_chains_that_may_have_moved_go(log: Database) -> None:
    said = [said_in(kept.body) for kept in await log.read(statements_of)]
    seqs = [{writer: seq for writer, (seq, _) in one.heads.items()} for one in said]
    # The first event of writer 0 is the key. The chain of a writer that has ended is named once more.
    assert seqs == [{0: 1, 1: 4}, {0: 1, 1: 6, 2: 3}, {0: 2, 1: 7, 2: 4}, {0: 2, 2: 5}]
    assert [set(one.ended) for one in said] == [set(), set(), {1}, {2}]
    assert [one.known for one in said] == [1, 2, 2, 2]


async def test_a_log_is_good_and_says_what_no_checkpoint_covers(log: Database) -> None:
    report = await log.read(verify, KNOWN)
    assert (report.ok, report.first_bad, report.writers) == (True, None, 3)
    assert (report.attested.count, report.newer_rows) == (4, 1)
    assert report.attested.last_at is not None


async def test_without_any_writer_there_is_nothing_to_attest(database: Database) -> None:
    assert await database.read(when_due, every=timedelta(minutes=5)) is None
    assert (await database.read(draft_checkpoint)).says.heads == {}


async def test_a_checkpoint_is_due_a_while_after_the_last_or_after_the_log_began(
    location: Location, database: Database
) -> None:
    ledger = ledger_at(location)
    await ledger.open(1_000_000)
    five = timedelta(minutes=5)
    assert await database.read(when_due, every=five) == datetime(1970, 1, 1, 0, 5, 1, tzinfo=UTC)
    await checkpoint(database, minute=7)
    assert await database.read(when_due, every=five) == NOW + timedelta(minutes=12)
    await ledger.close(None)


async def test_of_two_who_draft_at_once_one_writes(log: Database) -> None:
    drafts = [await log.read(draft_checkpoint) for _ in range(2)]
    written = [
        await log.change(write_checkpoint, draft, signer=SIGNER, now=NOW, agents=()) for draft in drafts
    ]
    assert written == [True, False]
    assert len(await log.read(statements_of)) == 5


async def test_the_sink_gets_what_it_has_not_got_in_order(log: Database) -> None:
    unsent = await log.read(list_unsent, limit=3)
    assert [parse_statement(one.signed.body).number for one in unsent] == [1, 2, 3]
    await log.change(mark_sent, [unsent[0].id, unsent[1].id], now=NOW, agents=())
    assert [one.id for one in await log.read(list_unsent, limit=9)] == [unsent[2].id, unsent[2].id + 1]


CUT = "DELETE FROM {0} WHERE writer = 2 AND seq >= 4"
CASES: dict[str, tuple[list[str], Bad]] = {
    "a tail that a checkpoint names": (
        [
            "DELETE FROM audit_policies WHERE entry_id IN (SELECT id FROM audit WHERE writer = 2 AND seq >= 4)",
            *(CUT.format(table) for table in ("audit", "outcomes", "events")),
        ],
        Bad(2, 4, "log", "missing: a checkpoint names rows that are gone"),
    ),
    "a whole chain that only checkpoints name": (
        [
            "DELETE FROM audit_policies WHERE entry_id IN (SELECT id FROM audit WHERE writer = 2)",
            *(f"DELETE FROM {table} WHERE writer = 2" for table in ("audit", "outcomes", "events")),
            "DELETE FROM writers WHERE id = 2",
        ],
        Bad(2, 1, "writers", "missing: rows name a writer that is not registered"),
    ),
    "every checkpoint": (
        ["DELETE FROM checkpoints"],
        Bad(0, 1, STATEMENTS, "missing: the changes say that there were some"),
    ),
    "the first checkpoint": (
        ["DELETE FROM checkpoints WHERE id = (SELECT min(id) FROM checkpoints)"],
        Bad(0, 1, STATEMENTS, "missing"),
    ),
    "a number of a checkpoint": (
        [r"""UPDATE checkpoints SET body = replace(body, '"number"\:3', '"number"\:2')"""],
        Bad(0, 3, STATEMENTS, "changed: its signature is not good"),
    ),
    "when a checkpoint was written": (
        ["UPDATE checkpoints SET at = at - 1"],
        Bad(0, 1, STATEMENTS, "changed: the row says something else than what is signed"),
    ),
}


@pytest.mark.promise("P4")
async def test_the_first_bad_row_is_named(log: Database) -> None:
    found = {name: (await verify_after(log, statements)).first_bad for name, (statements, _) in CASES.items()}
    assert found == {name: bad for name, (_, bad) in CASES.items()}


@pytest.mark.promise("P4")
async def test_what_is_cut_off_with_its_checkpoints_shows_against_one_that_is_kept_outside(
    log: Database,
) -> None:
    cut = [
        *CASES["a tail that a checkpoint names"][0],
        "DELETE FROM checkpoints WHERE id > (SELECT min(id) + 1 FROM checkpoints)",
    ]
    assert (await verify_after(log, cut)).ok  # who controls the database controls its end
    outside = await log.read(outside_of)
    for number in (3, 4):
        trust = Trust(KNOWN.keys, {number: outside[number]})
        found = (await verify_after(log, cut, trust)).first_bad
        assert found == Bad(0, 3, STATEMENTS, "missing: a later one is kept outside")
    assert (await log.read(verify, Trust(KNOWN.keys, outside))).ok


@pytest.mark.promise("P4")
async def test_another_end_signed_by_the_same_key_shows_against_one_that_is_kept_outside(
    log: Database,
) -> None:
    outside = await log.read(outside_of)

    def rewrite(tx: sa.Connection) -> None:
        for statement in CASES["a tail that a checkpoint names"][0]:
            tx.execute(sa.text(statement))
        tx.execute(sa.text("DELETE FROM checkpoints WHERE id > (SELECT min(id) + 1 FROM checkpoints)"))

    await log.change(rewrite, agents=())
    await checkpoint(log, minute=10)
    await checkpoint(log, minute=15)
    assert (await log.read(verify, KNOWN)).ok
    found = (await log.read(verify, Trust(KNOWN.keys, outside))).first_bad
    assert found == Bad(0, 3, STATEMENTS, "changed: another one is kept outside")


@pytest.mark.promise("P4")
async def test_keys_that_nobody_trusts_prove_nothing_and_later_ones_prove_what_earlier_ones_signed(
    log: Database,
) -> None:
    await checkpoint(log, signer=FORGER, minute=20)
    unknown = Bad(0, 5, STATEMENTS, "changed: it is signed by a key that is not trusted")
    assert (await log.read(verify, KNOWN)).first_bad == unknown
    both = Trust(frozenset({SIGNER.public_key, FORGER.public_key}))
    newest = Trust(frozenset({FORGER.public_key}))
    assert [(await log.read(verify, trust)).ok for trust in (both, newest, Trust())] == [True] * 3


async def test_a_key_is_said_in_the_changes_when_it_first_signs(log: Database) -> None:
    await checkpoint(log, signer=FORGER, minute=20)

    def keys(tx: sa.Connection) -> list[str]:
        found = sa.text("SELECT body FROM events WHERE writer = 0 AND kind = 'checkpoint_key' ORDER BY seq")
        return list(tx.execute(found).scalars())

    said = await log.read(keys)
    assert [signer.public_key in body for signer, body in zip((SIGNER, FORGER), said, strict=True)] == [
        True
    ] * 2


@pytest.mark.promise("P4")
async def test_whatever_is_done_to_checkpoints_or_to_the_end_of_chains_is_found_at_its_first_bad_row(
    log: Database,
) -> None:
    chance = random.Random(asked(SEED, 5))
    kept = await log.read(statements_of)
    outside = Trust(KNOWN.keys, await log.read(outside_of))
    lasts = {writer: said_in(kept[2].body).heads[writer][0] for writer in (1, 2)}
    kinds, missed, misplaced = Counter[str](), list[Attack](), list[tuple[Attack, Bad]]()
    while kinds.total() < MUTATIONS:
        if chance.random() < 0.4:
            writer = chance.choice([1, 2])
            attack = tail_cut(writer, lasts[writer], chance)
        else:
            attack = chance.choice(ON_STATEMENTS)(kept, chance)
        kinds[attack.what] += 1
        found = (
            await verify_after(log, attack.statements, outside if chance.random() < 0.5 else KNOWN)
        ).first_bad
        if found is None:
            missed.append(attack)
        elif found.seq not in places_of(attack) or (found.table == STATEMENTS) != (attack.writer == -1):
            misplaced.append((attack, found))
    note(
        f"attested-{'sqlite' if log.kind is Kind.SQLITE else 'postgresql'}",
        kinds.total(),
        wrong={"not found": len(missed), "found elsewhere": len(misplaced)},
        **kinds,
    )
    assert missed == []
    assert misplaced == []


def places_of(attack: Attack) -> set[int]:
    """Where it may be seen first; a copy kept outside shows a forged one a step before the chain does."""
    return {attack.seq, attack.seq - 1} if attack.what == "forged" else {attack.seq}


async def test_the_head_of_a_chain_is_its_last_row_in_any_table(log: Database) -> None:
    assert [(await log.read(head_of, writer) or (0, ""))[0] for writer in (0, 1, 2, 3)] == [3, 7, 5, 0]
