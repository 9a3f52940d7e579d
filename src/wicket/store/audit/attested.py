"""The signed statements about the log checked: each signature, their chain, and those that are kept outside.

A statement is proven when a key that is trusted has signed it, or a later one: each names the digest of the one
before, so the newest proves them all, whichever keys have been in use.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.checkpoints import (
    Checkpoint,
    Head,
    Pruned,
    Statement,
    StatementKind,
    digest_of,
    fingerprint_of,
    is_signed,
    parse_statement,
)
from wicket.store import tables
from wicket.store.audit.entry import CHANGES_WRITER, EventKind
from wicket.store.audit.flaws import STATEMENTS, Flawed

PAGE_ROWS: Final = 500
_S: Final = tables.checkpoints.c


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known from elsewhere."""

    keys: frozenset[str] | None = None
    """Public keys, hex; None: of no key is known whose it is, so statements prove nothing against who has one."""
    outside: Mapping[int, str] = field(default_factory=dict)
    """number -> digest of the statements that were kept elsewhere, each of them proven."""


@dataclass(slots=True)
class Attested:
    """What the statements say, all of them together."""

    count: int = 0
    last_at: int | None = None
    """Of the newest checkpoint, microseconds since 1970 UTC."""
    heads: dict[int, Head] = field(default_factory=dict)
    """How far each chain went when it was looked at last."""
    bounds: dict[int, Head] = field(default_factory=dict)
    """Where what is left of a chain begins: behind this row."""
    is_pruning: bool = False
    """Whether rows before the bounds may still be there."""
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    """writer -> ids of the first and the last checkpoint that names its head."""


def check_statements(tx: sa.Connection, trust: Trust) -> Attested:
    """Read every statement; raises Flawed at the first bad one."""
    attested = Attested()
    previous, unproven_from = None, None
    for row in _rows(tx):
        number = attested.count + 1
        statement = _check_row(row, number, previous)
        previous = digest_of(row.body)
        if trust.outside.get(number, previous) != previous:
            raise Flawed(0, number, STATEMENTS, "changed: another one is kept outside")
        if trust.keys is not None and statement.public_key not in trust.keys:
            unproven_from = unproven_from or number
        else:
            unproven_from = None
        _take(attested, statement, row.id)
    if unproven_from is not None:
        raise Flawed(0, unproven_from, STATEMENTS, "changed: it is signed by a key that is not trusted")
    if max(trust.outside, default=0) > attested.count:
        raise Flawed(0, attested.count + 1, STATEMENTS, "missing: a later one is kept outside")
    if attested.count == 0 and _has_signed(tx):
        raise Flawed(0, 1, STATEMENTS, "missing: the changes say that there were some")
    return attested


def _rows(tx: sa.Connection) -> Iterator[sa.Row[Any]]:
    page = sa.select(tables.checkpoints).order_by(_S.id).limit(PAGE_ROWS)
    rows = tx.execute(page).all()
    while rows:
        yield from rows
        rows = tx.execute(page.where(_S.id > rows[-1].id)).all()


def _check_row(row: sa.Row[Any], number: int, previous: str | None) -> Statement:
    try:
        statement = parse_statement(row.body)
    except ValueError as error:
        raise Flawed(0, number, STATEMENTS, "changed: it cannot be read") from error
    if not is_signed(row.body, bytes(row.signature), statement.public_key):
        raise Flawed(0, number, STATEMENTS, "changed: its signature is not good")
    if statement.number > number:
        raise Flawed(0, number, STATEMENTS, "missing")
    if statement.number < number:
        raise Flawed(0, number, STATEMENTS, "inserted: its number is taken")
    if statement.previous != previous:
        raise Flawed(0, number, STATEMENTS, "changed: it follows another one than the one before it")
    kept = (row.kind, row.at, row.key)
    if kept != (statement.kind, statement.at_us, fingerprint_of(statement.public_key)):
        raise Flawed(0, number, STATEMENTS, "changed: the row says something else than what is signed")
    return statement


def _take(attested: Attested, statement: Statement, row_id: int) -> None:
    attested.count = statement.number
    match statement.says:
        case Checkpoint(heads):
            attested.last_at = statement.at_us
            for writer, head in heads.items():
                attested.heads[writer] = max(head, attested.heads.get(writer, head))
                attested.spans[writer] = (attested.spans.get(writer, (row_id, 0))[0], row_id)
        case Pruned(bounds, _, _, is_done):
            attested.bounds |= bounds
            attested.is_pruning = not is_done


def _has_signed(tx: sa.Connection) -> bool:
    events = tables.events.c
    signed = (
        sa.select(events.seq)
        .where(events.writer == CHANGES_WRITER, events.kind == EventKind.CHECKPOINT_KEY)
        .limit(1)
    )
    return tx.execute(signed).first() is not None


def heads_said(tx: sa.Connection, attested: Attested, writer: int) -> Iterator[Head]:
    """The heads that checkpoints name of a chain, oldest first and each once."""
    if writer not in attested.spans:
        return
    first, end = attested.spans[writer]
    page = (
        sa.select(_S.id, _S.body)
        .where(_S.id > sa.bindparam("last"), _S.id <= end, _S.kind == StatementKind.CHECKPOINT)
        .order_by(_S.id)
        .limit(PAGE_ROWS)
    )
    last, before = first - 1, 0
    while rows := tx.execute(page, {"last": last}).all():
        last = rows[-1].id
        for row in rows:
            said = parse_statement(row.body).says
            head = said.heads.get(writer) if isinstance(said, Checkpoint) else None
            if head is not None and head[0] > before:  # one that names less than another was checked with it
                before = head[0]
                yield head
