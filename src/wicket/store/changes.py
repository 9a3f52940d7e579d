"""Changes that people make, as events of the log: the chain of writer 0, which every process appends to in turn.

An event is appended in the transaction of the change itself, so that one never stands without the other.
"""

import json
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from wicket.core.model import JsonObject
from wicket.store import tables
from wicket.store.audit.entry import CHANGES_WRITER, Event, hash_row
from wicket.store.instants import to_us

_HEAD_ID: Final = 1
"""The one row of `change_chain`, which the migrations insert."""

_HEAD = (
    sa.select(tables.change_chain.c.seq, tables.change_chain.c.hash)
    .where(tables.change_chain.c.id == _HEAD_ID)
    .with_for_update()
)


def record_change(
    tx: sa.Connection,
    *,
    kind: str,
    agent_id: str | None,
    actor_id: str | None,
    body: JsonObject,
    now: datetime,
) -> None:
    """Append an event. `body` says what changed, without secrets; `actor_id` is the account that did it.

    The head stays locked until the transaction ends: lock agents and sessions before, never after.
    """
    head = tx.execute(_HEAD).one()
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    event = Event(at=to_us(now), kind=kind, body=text, agent_id=agent_id, actor_id=actor_id)
    seq = head.seq + 1
    digest = hash_row(head.hash, CHANGES_WRITER, seq, event)
    tx.execute(
        sa.insert(tables.events).values(
            writer=CHANGES_WRITER,
            seq=seq,
            at=event.at,
            kind=event.kind,
            agent_id=event.agent_id,
            actor_id=event.actor_id,
            body=event.body,
            hash=digest,
        )
    )
    tx.execute(
        sa.update(tables.change_chain)
        .where(tables.change_chain.c.id == _HEAD_ID)
        .values(seq=seq, hash=digest)
    )
