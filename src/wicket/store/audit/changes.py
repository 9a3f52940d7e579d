"""The changes that people made, for readers: owners see those of their agents, accounts what they did to themselves.

They are the chain of writer 0, whose numbers have no holes: a stretch of numbers is a stretch of the list. See
`store/changes.py` for how they are recorded.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from wicket.core.errors import Invalid
from wicket.core.model import JsonObject
from wicket.store import tables
from wicket.store.audit.entry import CHANGES_WRITER
from wicket.store.audit.filters import ChangeFilter
from wicket.store.audit.render import AnyRow, load_json, render_instant
from wicket.store.page import PAGE_DEFAULT, check_page

WINDOW: Final = 20_000
WINDOWS_MAX: Final = 5
"""Looked through for one page."""
SEQ_MAX: Final = 2**62

_E = tables.events.c
_CHANGES: Final = (
    sa.select(tables.events, tables.agents.c.name.label("agent_name"), tables.accounts.c.email)
    .outerjoin(tables.agents, tables.agents.c.id == _E.agent_id)
    .outerjoin(tables.accounts, tables.accounts.c.id == _E.actor_id)
    .where(_E.writer == CHANGES_WRITER)
    .order_by(_E.seq.desc())
)


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes, newest first; a page may be short and yet go on."""

    items: Sequence[JsonObject]
    next_cursor: str | None


def list_changes(
    tx: sa.Connection,
    *,
    account_id: str,
    wanted: ChangeFilter,
    limit: int = PAGE_DEFAULT,
    cursor: str | None = None,
) -> ChangePage:
    """The changes that match, of those the account may see; raises Invalid naming the parameter."""
    check_page(limit=limit, offset=0)
    newest = tx.execute(sa.select(sa.func.max(_E.seq)).where(_E.writer == CHANGES_WRITER)).scalar_one() or 0
    before: int = newest + 1 if cursor is None else min(_parse_cursor(cursor), newest + 1)
    matching = _CHANGES.where(_visible(account_id), *_conditions(wanted))
    found: list[AnyRow] = []
    for _ in range(WINDOWS_MAX):
        start = max(before - WINDOW, 0)
        window = matching.where(_E.seq < before, _E.seq >= start).limit(limit + 1 - len(found))
        found += tx.execute(window).all()
        before = start
        if len(found) > limit or not start:
            break
    if len(found) > limit:
        found, before = found[:limit], found[limit - 1].seq
    return ChangePage([*map(_render, found)], _render_cursor(before) if before else None)


def _visible(account_id: str) -> sa.ColumnElement[bool]:
    owned = sa.select(tables.agents.c.id).where(tables.agents.c.owner_id == account_id)
    return sa.or_(_E.agent_id.in_(owned), sa.and_(_E.agent_id.is_(None), _E.actor_id == account_id))


def _conditions(wanted: ChangeFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.from_us is not None:
        conditions.append(_E.at >= wanted.from_us)
    if wanted.to_us is not None:
        conditions.append(_E.at <= wanted.to_us)
    if wanted.agent_id is not None:
        conditions.append(_E.agent_id == wanted.agent_id)
    if wanted.kind is not None:
        conditions.append(_E.kind == wanted.kind)
    if wanted.actor is not None:
        by_address = "@" in wanted.actor
        conditions.append((tables.accounts.c.email if by_address else _E.actor_id) == wanted.actor)
    return conditions


def _render(row: AnyRow) -> JsonObject:
    return {
        "id": str(row.seq),
        "at": render_instant(row.at),
        "kind": row.kind,
        "agentId": row.agent_id,
        "agentName": row.agent_name,
        "actorId": row.actor_id,
        "actorEmail": row.email,
        "details": load_json(row.body),
        "seq": row.seq,
        "hash": row.hash.hex(),
    }


def _render_cursor(before: int) -> str:
    return urlsafe_b64encode(f"{before}".encode()).rstrip(b"=").decode()


def _parse_cursor(cursor: str) -> int:
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (BadBase64, ValueError):
        text = ""
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(SEQ_MAX))):
        raise Invalid("`cursor` is none of ours: send the `nextCursor` of a page", field="cursor")
    return int(text)
