"""The log for replays: an agent's entries oldest first, and what sessions did before."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.model import Reason
from wicket.core.policy.replay import Past
from wicket.store.audit.render import SELECT_ENTRIES, audit, load_json

BATCH_ROWS: Final = 500
EARLIER_MAX: Final = 20_000
"""Calls of before that sessions are followed back through, at most for one batch."""


def count_entries(tx: sa.Connection, *, agent_id: str, from_id: str, to_id: str, most: int) -> int:
    """How many entries there are between two ids, both inclusive; more than `most` are not counted on."""
    within = (
        sa.select(audit.id)
        .where(audit.agent_id == agent_id, audit.id >= from_id, audit.id <= to_id)
        .limit(most + 1)
    )
    return tx.execute(sa.select(sa.func.count()).select_from(within.subquery())).scalar_one()


def read_entries(
    tx: sa.Connection, *, agent_id: str, after_id: str, to_id: str, most: int = BATCH_ROWS
) -> Sequence[Sequence[Any]]:
    """The next entries behind an id, as the driver has them: see `past_of`."""
    query = SELECT_ENTRIES.where(audit.agent_id == agent_id, audit.id > after_id, audit.id <= to_id)
    return _fetch(tx, query.order_by(audit.id).limit(most))


def read_earlier(
    tx: sa.Connection, *, agent_id: str, sessions: Collection[str], before_id: str
) -> Sequence[Sequence[Any]]:
    """What these sessions did before an id, oldest first; the newest EARLIER_MAX of all."""
    query = SELECT_ENTRIES.where(
        audit.session_id.in_(sorted(sessions)), audit.agent_id == agent_id, audit.id < before_id
    )
    return _fetch(tx, query.order_by(audit.id.desc()).limit(EARLIER_MAX))[::-1]


def past_of(row: Sequence[Any]) -> Past:
    """An entry read: costly enough to be done elsewhere than in a transaction."""
    return Past(
        id=row[0],
        decided_us=row[3],
        service=row[6],
        tool=row[7],
        member_id=row[8],
        session_id=row[10],
        denied=bool(row[11]),
        reason_code=Reason(row[12]),
        caller_ip=row[13],
        body=load_json(row[17]),
    )


def _fetch(tx: sa.Connection, statement: sa.Select[*tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
    result = tx.execute(statement)
    rows: Sequence[Sequence[Any]] = result.cursor.fetchall()
    result.close()
    return rows
