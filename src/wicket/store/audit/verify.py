"""Checks every chain of the log, offline: whatever was changed, deleted, inserted or moved shows.

A chain that was cut off at its end shows when a later start of a writer named its head, or, for the chain of
changes, when its head is kept. What nobody has named yet, only a checkpoint outside can tell. Rows are read a
page at a time, so memory stays flat however long the log is.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from wicket.core.chain import ChainCheck, Field, Flaw
from wicket.core.errors import Invalid
from wicket.core.policy.document import digest_of, parse_policy
from wicket.store import tables
from wicket.store.audit.entry import CHANGES_WRITER, EventKind, Table

PAGE_ROWS: Final = 1_000
CITED_MAX: Final = 10_000
"""Policy versions whose digest has been checked, kept to check each but once."""
LOG: Final = "log"
"""Where a row is missing that could have been in any of the three tables."""

Heads: TypeAlias = Mapping[int, Mapping[int, str]]
"""writer -> seq -> hash (hex), as later rows name them."""


@dataclass(frozen=True, slots=True)
class Bad:
    """The first bad row."""

    writer: int
    seq: int
    table: str
    what: str


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


class Flawed(Exception):
    """A bad row was found."""

    def __init__(self, writer: int, seq: int, table: str, what: str) -> None:
        super().__init__(what)
        self.bad = Bad(writer, seq, table, what)


@dataclass(frozen=True, slots=True)
class Link:
    """A row as it is stored, ready to be checked."""

    seq: int
    table: Table
    fields: Sequence[Field]
    hash: bytes
    row: sa.Row[Any]


def verify(tx: sa.Connection) -> VerifyReport:
    """Check the whole log as one snapshot shows it."""
    check = _Verification(tx)
    try:
        check.run()
    except Flawed as flawed:
        return VerifyReport(
            ok=False, first_bad=flawed.bad, rows=check.rows, writers=check.writers, heads=check.heads
        )
    return VerifyReport(ok=True, first_bad=None, rows=check.rows, writers=check.writers, heads=check.heads)


class _Verification:
    def __init__(self, tx: sa.Connection) -> None:
        self._tx = tx
        self._cited: set[tuple[str, str, int, str]] = set()
        self._citations = 0
        self.rows = 0
        self.writers = 0
        self.heads: dict[int, tuple[int, str]] = {}

    def run(self) -> None:
        registered = set(self._tx.execute(sa.select(tables.writers.c.id)).scalars())
        chains = {CHANGES_WRITER} | registered | self._writers_found()
        named = self._named_heads(chains)
        for writer in sorted(chains | set(named)):
            if writer != CHANGES_WRITER and writer not in registered:
                raise Flawed(writer, 1, "writers", "missing: rows name a writer that is not registered")
            self._check_chain(writer, named.get(writer, {}))
            self.writers += 1
        cited = self._tx.execute(sa.select(sa.func.count()).select_from(tables.audit_policies)).scalar_one()
        if cited != self._citations:
            raise Flawed(
                0, 0, "audit_policies", "inserted: entries are said to cite policies that they do not cite"
            )

    def _writers_found(self) -> set[int]:
        """Writers of rows, found by leaps through the index."""
        found: set[int] = set()
        for table in (tables.audit, tables.outcomes, tables.events):
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
        for writer in sorted(writers - {CHANGES_WRITER}):
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
        check = ChainCheck()
        for link in _links(self._tx, writer):
            if (broken := check.take(link.seq, link.table, link.fields, link.hash)) is not None:
                raise Flawed(
                    writer, broken.seq, LOG if broken.flaw is Flaw.MISSING else link.table, broken.flaw
                )
            if named.get(link.seq, link.hash.hex()) != link.hash.hex():
                raise Flawed(writer, link.seq, link.table, "changed: a later start names another hash")
            if link.table is Table.AUDIT:
                self._check_citations(writer, link)
            self.rows += 1
        self.heads[writer] = (check.seq, check.hash.hex())
        if check.seq < max(named, default=0):
            raise Flawed(writer, check.seq + 1, LOG, "missing: a later start names rows that are gone")
        if writer == CHANGES_WRITER:
            self._check_changes_head(check)

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

    def _check_citations(self, writer: int, link: Link) -> None:
        """The policies that an entry cites are those it is found by, in the versions that are kept."""
        cited = {policy["id"]: policy for policy in json.loads(link.row.body).get("matchedPolicies", ())}
        for policy_id, policy in cited.items():
            version = (link.row.agent_id, policy_id, policy["version"], policy["digest"])
            if version not in self._cited:
                self._check_version(writer, link.seq, *version)
                if len(self._cited) >= CITED_MAX:
                    self._cited.clear()
                self._cited.add(version)
        if cited:
            indexed = tables.audit_policies.c
            found = self._tx.execute(
                sa.select(sa.func.count()).where(
                    indexed.policy_id.in_(cited), indexed.entry_id == link.row.id
                )
            ).scalar_one()
            if found != len(cited):
                raise Flawed(
                    writer, link.seq, "audit_policies", "missing: an entry is not found by a policy it cites"
                )
        self._citations += len(cited)

    def _check_version(
        self, writer: int, seq: int, agent_id: str, policy_id: str, version: int, digest: str
    ) -> None:
        versions = tables.policy_versions.c
        kept = self._tx.execute(
            sa.select(versions.document).where(
                versions.agent_id == agent_id, versions.policy_id == policy_id, versions.version == version
            )
        ).scalar_one_or_none()
        if kept is None:
            raise Flawed(writer, seq, "policy_versions", f"missing: version {version} of policy {policy_id}")
        try:
            is_same = digest_of(parse_policy(json.loads(kept)), version) == digest
        except (Invalid, ValueError, TypeError):
            is_same = False
        if not is_same:
            raise Flawed(writer, seq, "policy_versions", f"changed: version {version} of policy {policy_id}")


def _heads(writer: int, body: str) -> Iterator[tuple[int, int, str]]:
    """(writer, seq, hash) for each head that a start names; an empty chain has none."""
    try:
        heads = [
            (int(other), int(seq), str(digest)) for other, (seq, digest) in json.loads(body)["heads"].items()
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Flawed(writer, 1, Table.EVENTS, "changed: the heads that it names cannot be read") from error
    yield from (head for head in heads if head[1] > 0)


def _links(tx: sa.Connection, writer: int) -> Iterator[Link]:
    """The rows of a chain in the order of their numbers, out of its three tables."""
    streams = (_entries(tx, writer), _outcomes(tx, writer), _events(tx, writer))
    return heapq.merge(*streams, key=lambda link: link.seq)


def _pages(
    tx: sa.Connection, statement: sa.Select[Any], table: sa.Table, writer: int
) -> Iterator[sa.Row[Any]]:
    page = statement.where(table.c.writer == writer, table.c.seq > sa.bindparam("last")).order_by(table.c.seq)
    last = -(2**63)
    while rows := tx.execute(page.limit(PAGE_ROWS), {"last": last}).all():
        yield from rows
        last = rows[-1].seq


def _entries(tx: sa.Connection, writer: int) -> Iterator[Link]:
    agent, service, tool = (
        tables.names.alias(name) for name in ("agent_names", "service_names", "tool_names")
    )
    audit = tables.audit.c
    statement = (
        sa.select(
            tables.audit, agent.c.name.label("agent"), service.c.name.label("svc"), tool.c.name.label("tl")
        )
        .outerjoin(agent, agent.c.id == audit.agent_name)
        .outerjoin(service, service.c.id == audit.service)
        .outerjoin(tool, tool.c.id == audit.tool)
    )
    for row in _pages(tx, statement, tables.audit, writer):
        fields = (
            *(
                writer,
                row.seq,
                row.id,
                row.decided_at,
                row.agent_id,
                row.agent,
                row.svc,
                row.tl,
                row.member_id,
            ),
            *(
                row.key_id,
                row.session_id,
                int(row.denied),
                row.reason_code,
                row.caller_ip,
                row.resource,
                row.reason,
            ),
            *(row.deny_message, row.body),
        )
        yield Link(row.seq, Table.AUDIT, fields, bytes(row.hash), row)


def _outcomes(tx: sa.Connection, writer: int) -> Iterator[Link]:
    for row in _pages(tx, sa.select(tables.outcomes), tables.outcomes, writer):
        fields = (writer, row.seq, row.entry_id, row.outcome, row.ended_at, row.body)
        yield Link(row.seq, Table.OUTCOMES, fields, bytes(row.hash), row)


def _events(tx: sa.Connection, writer: int) -> Iterator[Link]:
    for row in _pages(tx, sa.select(tables.events), tables.events, writer):
        fields = (writer, row.seq, row.at, row.kind, row.agent_id, row.actor_id, row.body)
        yield Link(row.seq, Table.EVENTS, fields, bytes(row.hash), row)
