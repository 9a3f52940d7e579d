"""Statements about the log as they are kept: how far each chain went, signed, one behind the other.

Heads are read first, in a snapshot of their own, and written in a short transaction that finds out whether somebody
else has written meanwhile: so a log with thousands of chains holds up nobody, and of several processes one writes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.checkpoints import (
    Checkpoint,
    Head,
    Pruned,
    Signed,
    Signer,
    Statement,
    StatementKind,
    digest_of,
    fingerprint_of,
    parse_statement,
    render_statement,
)
from wicket.store import tables
from wicket.store.audit.entry import CHANGES_WRITER, EventKind
from wicket.store.changes import record_change
from wicket.store.instants import from_us, to_us

STATEMENTS_LOCK: Final = (8, 2)

_S: Final = tables.checkpoints.c
_LOG: Final = (tables.audit, tables.outcomes, tables.events)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a checkpoint will say, unless another statement was written since this was read."""

    after: int
    """Number of the last statement that was there; 0 without one."""
    says: Checkpoint
    is_news: bool
    """Whether any chain has moved since the last checkpoint."""


def when_due(tx: sa.Connection, *, every: timedelta) -> datetime | None:
    """When the next checkpoint is to be written; None as long as there is no log."""
    newest = sa.select(_S.at).where(_S.kind == StatementKind.CHECKPOINT).order_by(_S.id.desc()).limit(1)
    last = tx.execute(newest).scalar_one_or_none()
    if last is None:
        last = tx.execute(sa.select(sa.func.min(tables.writers.c.started_at))).scalar_one()
    return None if last is None else from_us(last) + every


def draft_checkpoint(tx: sa.Connection) -> Draft:
    """Read how far the chains go; one snapshot."""
    last, before = find_last(tx), _last_checkpoint(tx)
    greatest = tx.execute(sa.select(sa.func.coalesce(sa.func.max(tables.writers.c.id), 0))).scalar_one()
    moving = {CHANGES_WRITER}
    if before is not None:
        moving |= before.heads.keys() - before.ended
    writers = tables.writers.c
    known = before.known if before is not None else 0
    to_name = tx.execute(
        sa.select(writers.id, writers.ended_at).where(sa.or_(writers.id > known, writers.id.in_(moving)))
    ).all()
    heads = {row.id: head for row in to_name if (head := head_of(tx, row.id)) is not None}
    if (changes := head_of(tx, CHANGES_WRITER)) is not None:
        heads[CHANGES_WRITER] = changes
    ended = frozenset(row.id for row in to_name if row.ended_at is not None and row.id in heads)
    is_news = before is None or any(before.heads.get(writer) != head for writer, head in heads.items())
    return Draft(0 if last is None else last.number, Checkpoint(heads, ended, greatest), is_news)


def head_of(tx: sa.Connection, writer: int) -> Head | None:
    """The last row of a chain."""
    rows = [
        tx.execute(
            sa.select(table.c.seq, table.c.hash)
            .where(table.c.writer == writer)
            .order_by(table.c.seq.desc())
            .limit(1)
        ).one_or_none()
        for table in _LOG
    ]
    found = max((row for row in rows if row is not None), key=lambda row: row.seq, default=None)
    return None if found is None else (found.seq, bytes(found.hash).hex())


def write_checkpoint(tx: sa.Connection, draft: Draft, *, signer: Signer, now: datetime) -> bool:
    """Sign and keep what was drafted; False when somebody else has written a statement since."""
    last = lock_statements(tx)
    if (0 if last is None else last.number) != draft.after:
        return False
    says = draft.says
    if announce_key(tx, last, signer=signer, now=now) and (changes := head_of(tx, CHANGES_WRITER)):
        says = replace(says, heads={**says.heads, CHANGES_WRITER: changes})
    append(tx, says, last=last, signer=signer, now=now)
    return True


def lock_statements(tx: sa.Connection) -> Statement | None:
    """Be the only one to add statements until the transaction ends; the last one there is.

    On SQLite whoever writes is alone already.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(*STATEMENTS_LOCK)))
    return find_last(tx)


def announce_key(tx: sa.Connection, last: Statement | None, *, signer: Signer, now: datetime) -> bool:
    """Whether a key signs for the first time, which is a change that everybody can read."""
    if last is not None and last.public_key == signer.public_key:
        return False
    body = {"publicKey": signer.public_key, "fingerprint": fingerprint_of(signer.public_key)}
    record_change(tx, kind=EventKind.CHECKPOINT_KEY, agent_id=None, actor_id=None, body={**body}, now=now)
    return True


def append(
    tx: sa.Connection, says: Checkpoint | Pruned, *, last: Statement | None, signer: Signer, now: datetime
) -> Statement:
    """Sign and keep a statement behind `last`, under the lock."""
    statement = Statement(
        number=1 if last is None else last.number + 1,
        at_us=to_us(now),
        previous=None if last is None else digest_of(render_statement(last)),
        public_key=signer.public_key,
        says=says,
    )
    body = render_statement(statement)
    tx.execute(
        sa.insert(tables.checkpoints).values(
            at=statement.at_us,
            kind=statement.kind,
            body=body,
            key=fingerprint_of(signer.public_key),
            signature=signer.sign(body),
        )
    )
    return statement


def find_last(tx: sa.Connection, *, kind: StatementKind | None = None) -> Statement | None:
    """The newest statement, of a kind or of all; raises ValueError when the row is damaged."""
    newest = sa.select(_S.body).order_by(_S.id.desc()).limit(1)
    body = tx.execute(newest if kind is None else newest.where(_S.kind == kind)).scalar_one_or_none()
    return None if body is None else parse_statement(body)


def _last_checkpoint(tx: sa.Connection) -> Checkpoint | None:
    last = find_last(tx, kind=StatementKind.CHECKPOINT)
    return last.says if last is not None and isinstance(last.says, Checkpoint) else None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A statement that the sink outside has not got."""

    id: int
    signed: Signed


def list_unsent(tx: sa.Connection, *, limit: int) -> Sequence[Unsent]:
    """The oldest of them first."""
    rows: Iterable[sa.Row[Any]] = tx.execute(
        sa.select(_S.id, _S.body, _S.signature).where(_S.sent_at.is_(None)).order_by(_S.id).limit(limit)
    )
    return [Unsent(row.id, Signed(row.body, bytes(row.signature))) for row in rows]


def mark_sent(tx: sa.Connection, statement_ids: Sequence[int], *, now: datetime) -> None:
    """The sink has them."""
    tx.execute(sa.update(tables.checkpoints).where(_S.id.in_(statement_ids)).values(sent_at=to_us(now)))
