"""The log as its readers ask for it: pages of entries, one entry, the members seen in it."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from wicket.core.errors import Invalid, NotFound
from wicket.core.model import JsonObject
from wicket.store import tables
from wicket.store.audit.filters import AuditFilter, parse_filter
from wicket.store.audit.lanes import Place, count_along, find_ids
from wicket.store.audit.planning import plan
from wicket.store.audit.render import SELECT_ENTRIES, load_outcomes, render
from wicket.store.audit.viewer import Viewer, viewer_of

LIMIT_MAX: Final = 500
OFFSET_MAX: Final = 1_000_000
CURSOR_CHARS_MAX: Final = 200
MEMBERS_MAX: Final = 1_000
_CURSOR: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\+([0-9]{1,7}))?")

__all__ = [
    "LIMIT_MAX",
    "AuditFilter",
    "AuditPage",
    "get_entry",
    "list_entries",
    "list_members",
    "parse_filter",
]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first, as the API shows them."""

    items: Sequence[JsonObject]
    next_cursor: str | None
    """Continues behind this page. A page may be short, or even empty, and yet have one: look further back."""
    total: int | None
    """Where it is cheap to know; 10,000 means at least that many."""


def list_entries(
    tx: sa.Connection,
    *,
    account_id: str | None,
    wanted: AuditFilter,
    limit: int = LIMIT_MAX,
    offset: int = 0,
    cursor: str | None = None,
) -> AuditPage:
    """The entries that match, of those the account may see (None: the host's operator, all of them).

    Raises Invalid naming the parameter.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise Invalid(f"`limit` is a number from 1 to {LIMIT_MAX}", field="limit")
    if not 0 <= offset <= OFFSET_MAX:
        raise Invalid(f"`offset` is a number from 0 to {OFFSET_MAX}", field="offset")
    place = Place() if cursor is None else _parse_cursor(cursor)
    viewer = viewer_of(tx, account_id=account_id)
    search = plan(tx, wanted, viewer)
    if search is None:
        return AuditPage((), None, 0)
    found = find_ids(tx, search, Place(place.before, place.skip + offset), limit=limit)
    total = found.count if cursor is None else None
    if not search.is_checked:
        total = count_along(tx, search)
    return AuditPage(_load(tx, found.ids, viewer), _render_cursor(found.resume), total)


def get_entry(tx: sa.Connection, *, account_id: str, entry_id: str) -> JsonObject:
    """One entry; raises NotFound, also when the account may not see it."""
    viewer = viewer_of(tx, account_id=account_id)
    is_there = tx.execute(
        sa.select(tables.audit.c.id).where(tables.audit.c.id == entry_id, viewer.visible)
    ).first()
    if is_there is None:
        raise NotFound(f"there is no audit entry `{entry_id}`: list them to find the id")
    return _load(tx, [entry_id], viewer)[0]


def list_members(tx: sa.Connection, *, account_id: str) -> list[JsonObject]:
    """The members in the entries that the account may see, by e-mail address: for pickers."""
    viewer = viewer_of(tx, account_id=account_id)
    members, agents, accounts = tables.members.c, tables.agents.c, tables.accounts.c
    own = sorted(viewer.open_members | viewer.withheld_members)
    # The newest entry of each, which the index knows: with a limit no database makes one walk over all entries of it.
    newest = (
        sa.select(tables.audit.c.id)
        .where(tables.audit.c.member_id == members.id)
        .order_by(tables.audit.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = tx.execute(
        sa.select(members.id, accounts.email, agents.id.label("agent_id"), agents.name)
        .join(tables.agents, agents.id == members.agent_id)
        .join(tables.accounts, accounts.id == members.account_id)
        .where(
            sa.or_(
                members.agent_id.in_(sorted(viewer.owned)),
                sa.and_(members.account_id == account_id, members.id.in_(own)),
            ),
            newest.is_not(None),
        )
        .order_by(accounts.email, agents.name, members.id)
        .limit(MEMBERS_MAX)
    )
    return [{"id": row.id, "name": row.email, "agentId": row.agent_id, "agentName": row.name} for row in rows]


def _load(tx: sa.Connection, entry_ids: Sequence[str], viewer: Viewer) -> list[JsonObject]:
    """The entries in the order of their ids."""
    if not entry_ids:
        return []
    outcomes = load_outcomes(tx, entry_ids)
    rows = {row.id: row for row in tx.execute(SELECT_ENTRIES.where(tables.audit.c.id.in_(entry_ids)))}
    found = [rows[entry_id] for entry_id in entry_ids]
    return [
        render(row, outcomes.get(row.id, ()), is_withheld=viewer.is_withheld(row.agent_id, row.member_id))
        for row in found
    ]


def _render_cursor(place: Place | None) -> str | None:
    if place is None:
        return None
    text = f"{place.before}+{place.skip}" if place.skip else f"{place.before}"
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _parse_cursor(cursor: str) -> Place:
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (BadBase64, ValueError):
        text = ""
    place = _CURSOR.fullmatch(text)
    if place is None or int(place[2] or 0) > OFFSET_MAX:
        raise Invalid("`cursor` is none of ours: send the `nextCursor` of a page", field="cursor")
    return Place(place[1], int(place[2] or 0))
