"""Checks the whole log, offline: whatever was changed, deleted, inserted or moved shows.

First the signed statements about it (attested.py), then every chain: that it is unbroken (links.py, core/chain.py),
that it holds what the statements and the starts of later writers name of it, and that what it cites is kept
(citations.py). Rows are read a stretch at a time, so memory stays flat however long the log is.

A chain that was cut off at its end shows when a checkpoint or a later start names its head. Who can write the
database can cut off both; that, only a checkpoint outside can tell.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import sqlalchemy as sa

from wicket.core.chain import GENESIS, ChainCheck, Flaw, link
from wicket.store import tables
from wicket.store.audit.attested import Attested, Trust, check_statements, heads_said
from wicket.store.audit.citations import Citations
from wicket.store.audit.entry import CHANGES_WRITER, EventKind, Table
from wicket.store.audit.flaws import LOG, STATEMENTS, Bad, Flawed
from wicket.store.audit.links import LOG_TABLES, Link, Links

NOBODY: Final = Trust()
BEGINNING: Final = -(2**63)
BEYOND: Final = 2**63

Heads: TypeAlias = Mapping[int, Mapping[int, str]]
"""writer -> seq -> hash (hex), as later rows name them."""

__all__ = ["Bad", "Trust", "VerifyReport", "verify"]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    ok: bool
    first_bad: Bad | None
    rows: int
    """Rows that were found good."""
    writers: int
    """Chains that were looked at, that of the changes included."""
    heads: Mapping[int, tuple[int, str]] = field(default_factory=dict, compare=False)
    """writer -> (seq, hash) of the last good row of each chain: kept elsewhere, they show what is cut off later."""
    attested: Attested = field(default_factory=Attested, compare=False)
    """What the checkpoints say."""

    @property
    def newer_rows(self) -> int:
        """Rows that no checkpoint covers yet."""
        begun = (
            (
                seq,
                max(
                    self.attested.heads.get(writer, (0, ""))[0], self.attested.bounds.get(writer, (0, ""))[0]
                ),
            )
            for writer, (seq, _) in self.heads.items()
        )
        return sum(max(seq - covered, 0) for seq, covered in begun)


def verify(tx: sa.Connection, trust: Trust = NOBODY) -> VerifyReport:
    """Check the whole log as one snapshot shows it."""
    check = _Verification(tx)
    bad = None
    try:
        check.run(trust)
    except Flawed as flawed:
        bad = flawed.bad
    return VerifyReport(bad is None, bad, check.rows, check.writers, check.heads, check.attested)


class _Verification:
    def __init__(self, tx: sa.Connection) -> None:
        self._tx = tx
        self._links = Links(tx)
        self._citations = Citations(tx)
        self.attested = Attested()
        self.rows = 0
        self.writers = 0
        self.heads: dict[int, tuple[int, str]] = {}

    def run(self, trust: Trust) -> None:
        self.attested = check_statements(self._tx, trust)
        registered = set(self._tx.execute(sa.select(tables.writers.c.id)).scalars())
        chains = {CHANGES_WRITER} | registered | self._writers_found()
        named = self._named_heads(chains)
        for writer in sorted(
            chains | named.keys() | self.attested.heads.keys() | self.attested.bounds.keys()
        ):
            if writer != CHANGES_WRITER and writer not in registered:
                raise Flawed(writer, 1, "writers", "missing: rows name a writer that is not registered")
            self._check_chain(writer, named.get(writer, {}))
            self.writers += 1
        self._citations.check_all_are_cited()

    def _writers_found(self) -> set[int]:
        """Writers of rows, found by leaps through the index."""
        found: set[int] = set()
        for table in LOG_TABLES.values():
            last = -1
            while (after := self._least_writer_after(table, last)) is not None:
                found.add(after)
                last = after
        return found

    def _least_writer_after(self, table: sa.Table, last: int) -> int | None:
        least = sa.select(sa.func.min(table.c.writer)).where(table.c.writer > last)
        found: int | None = self._tx.execute(least).scalar_one()
        return found

    def _named_heads(self, writers: set[int]) -> Heads:
        """What the first row of each chain says about the others."""
        named: dict[int, dict[int, str]] = {}
        for writer in sorted(writers - {CHANGES_WRITER} - self.attested.bounds.keys()):
            first = self._tx.execute(
                sa.select(tables.events.c.kind, tables.events.c.body).where(
                    tables.events.c.writer == writer, tables.events.c.seq == 1
                )
            ).one_or_none()
            if first is None or first.kind != EventKind.WRITER_STARTED:
                raise Flawed(writer, 1, Table.EVENTS, "missing: a chain begins with the start of its writer")
            for other, seq, digest in _heads(writer, first.body):
                if named.setdefault(other, {}).setdefault(seq, digest) != digest:
                    raise Flawed(writer, 1, Table.EVENTS, "changed: it contradicts another writer's start")
        return named

    def _check_chain(self, writer: int, named: Mapping[int, str]) -> None:
        base, digest = self.attested.bounds.get(writer, (0, GENESIS.hex()))
        self._check_before(writer, base, digest)
        check = ChainCheck(seq=base, previous=bytes.fromhex(digest))
        said = _Said(heads_said(self._tx, self.attested, writer), named)
        if (flaw := said.find_flaw(writer, base, digest, STATEMENTS)) is not None:
            raise flaw
        for links in self._links.stretches(writer, after=base):
            self._check_stretch(writer, links, check, said)
        self.heads[writer] = (check.seq, check.hash.hex())
        if check.seq < max(named, default=0):
            raise Flawed(writer, check.seq + 1, LOG, "missing: a later start names rows that are gone")
        if check.seq < self.attested.heads.get(writer, (0, ""))[0]:
            raise Flawed(writer, check.seq + 1, LOG, "missing: a checkpoint names rows that are gone")
        if writer == CHANGES_WRITER:
            self._check_changes_head(check)

    def _check_stretch(self, writer: int, links: Sequence[Link], check: ChainCheck, said: "_Said") -> None:
        """Check these rows; what the good ones before a flaw cite comes before the flaw."""
        flaw: Flawed | None = None
        good = 0
        for row in links:
            if (broken := check.take(row.seq, row.table, row.fields, row.hash)) is not None:
                table = LOG if broken.flaw is Flaw.MISSING else row.table
                flaw = Flawed(writer, broken.seq, table, broken.flaw)
            elif row.seq >= said.next_seq:
                flaw = said.find_flaw(writer, row.seq, row.hash.hex(), row.table)
            if flaw is not None:
                break
            good += 1
        self._citations.take(writer, links[:good])
        self.rows += good
        if flaw is not None:
            raise flaw

    def _check_before(self, writer: int, base: int, digest: str) -> None:
        """Before the first row that is to be there is none; but while they are pruned, some as they were."""
        if (least := self._links.least_after(writer, BEGINNING)) is None or least > base:
            return
        if not (self.attested.is_pruning and least > 0):
            found = self._links.read(writer, least - 1, least)
            raise Flawed(writer, least, found[0].table, "inserted: the chain begins behind it")
        self._check_leftovers(writer, base, digest)

    def _check_leftovers(self, writer: int, base: int, digest: str) -> None:
        """Each row that is still there follows the one before it, where that one is there too."""
        before: Link | None = None
        for row in self._links.between(writer, 0, base):
            if before is not None and row.seq == before.seq:
                raise Flawed(writer, row.seq, row.table, Flaw.INSERTED)
            follows = before is not None and row.seq == before.seq + 1
            if (follows and before is not None and link(before.hash, row.table, row.fields) != row.hash) or (
                row.seq == base and row.hash.hex() != digest
            ):
                raise Flawed(writer, row.seq, row.table, Flaw.CHANGED)
            self._citations.count_pruned(writer, row)
            before = row

    def _check_changes_head(self, check: ChainCheck) -> None:
        head = self._tx.execute(
            sa.select(tables.change_chain.c.seq, tables.change_chain.c.hash)
        ).one_or_none()
        if head is None or head.seq > check.seq:
            raise Flawed(CHANGES_WRITER, check.seq + 1, LOG, "missing: the head of the changes is further on")
        if (head.seq, bytes(head.hash)) != (check.seq, check.hash):
            raise Flawed(
                CHANGES_WRITER, check.seq, Table.EVENTS, "inserted: the head of the changes is another"
            )


class _Said:
    """What is said elsewhere of the rows of a chain, in the order of their numbers."""

    def __init__(self, heads: Iterator[tuple[int, str]], named: Mapping[int, str]) -> None:
        self._rest = heapq.merge(
            ((seq, digest, "a checkpoint") for seq, digest in heads),
            ((seq, digest, "a later start") for seq, digest in sorted(named.items())),
        )
        self._go_on()

    def _go_on(self) -> None:
        self.next_seq, self._digest, self._who = next(self._rest, (BEYOND, "", ""))

    def find_flaw(self, writer: int, seq: int, digest: str, table: str) -> Flawed | None:
        """Compare a row with whatever is said of it; rows come in the order of their numbers."""
        while self.next_seq <= seq:
            if self.next_seq == seq and self._digest != digest:
                return Flawed(writer, seq, table, f"changed: {self._who} names another hash")
            self._go_on()
        return None


def _heads(writer: int, body: str) -> Iterator[tuple[int, int, str]]:
    """(writer, seq, hash) for each head that a start names; an empty chain has none."""
    try:
        heads = [
            (int(other), int(seq), str(digest)) for other, (seq, digest) in json.loads(body)["heads"].items()
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Flawed(writer, 1, Table.EVENTS, "changed: the heads that it names cannot be read") from error
    yield from (head for head in heads if head[1] > 0)
