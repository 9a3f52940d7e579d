"""The owner's view of pinned tools, and the owner's word on them."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from wicket.core.errors import Invalid, NotFound
from wicket.core.model import JsonObject, Tier
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.instants import from_us, to_us
from wicket.store.pins.values import PinnedTool, ToolChange, table_of

_pins = tables.tool_pins.c
_changes = tables.tool_changes.c


def list_tools(tx: sa.Connection, *, agent_id: str, service: str) -> tuple[PinnedTool, ...]:
    """The tools seen so far, by name, with the changes that wait for a review; bounded by PINS_MAX."""
    return _read(
        tx,
        sa.and_(_pins.agent_id == agent_id, _pins.service == service),
        sa.and_(_changes.agent_id == agent_id, _changes.service == service),
    )


def review(
    tx: sa.Connection,
    *,
    agent_id: str,
    service: str,
    tool: str,
    actor_id: str | None,
    now: datetime,
    tier: Tier | None = None,
    hold: bool = False,
) -> PinnedTool:
    """Hold a tool back, or else accept whatever is pending of it, at a tier.

    Raises Invalid (`tier`), or NotFound for a tool that is in no table and was never seen.
    """
    if (tier is None) is not hold:
        raise Invalid("a review gives either a `tier` or `hold`; send one of them", field="tier")
    of_pin = sa.and_(_pins.agent_id == agent_id, _pins.service == service, _pins.tool == tool)
    of_changes = sa.and_(_changes.agent_id == agent_id, _changes.service == service, _changes.tool == tool)
    before = next(iter(_read(tx, of_pin, of_changes)), None)
    if before is None and tool not in table_of(service):
        raise NotFound(f"no tool `{tool}` of `{service}` was seen yet; fetch its tools first")
    if before is None:
        place = {"agent_id": agent_id, "service": service, "tool": tool, "first_seen_at": to_us(now)}
        tx.execute(sa.insert(tables.tool_pins).values(**place, held=False, accepted="[]", definition="{}"))
    word = {"held": True} if hold else {"held": False, "tier": tier, **_with_pending(before)}
    tx.execute(sa.update(tables.tool_pins).where(of_pin).values(reviewed_at=to_us(now), **word))
    if not hold:
        tx.execute(sa.delete(tables.tool_changes).where(of_changes))
    body: JsonObject = {"service": service, "tool": tool, "tier": tier, "hold": hold}
    record_change(tx, kind="tool_reviewed", agent_id=agent_id, actor_id=actor_id, body=body, now=now)
    (after,) = _read(tx, of_pin, of_changes)
    return after


def drop_pins(tx: sa.Connection, *, service: str) -> None:
    """Forget every agent's pins of a custom connector, which from now on leads elsewhere or nowhere."""
    tx.execute(sa.delete(tables.tool_changes).where(_changes.service == service))
    tx.execute(sa.delete(tables.tool_pins).where(_pins.service == service))


def forget_member(tx: sa.Connection, *, agent_id: str, member_id: str) -> None:
    """Drop what waits for a review on account of a member who has left."""
    tx.execute(
        sa.delete(tables.tool_changes).where(_changes.agent_id == agent_id, _changes.member_id == member_id)
    )


def _read(
    tx: sa.Connection, of_pins: sa.ColumnElement[bool], of_changes: sa.ColumnElement[bool]
) -> tuple[PinnedTool, ...]:
    changes: dict[str, list[ToolChange]] = {}
    pending = sa.select(tables.tool_changes).where(of_changes).order_by(_changes.seen_at, _changes.member_id)
    for row in tx.execute(pending):
        changes.setdefault(row.tool, []).append(_change_of(row))
    pins = sa.select(tables.tool_pins).where(of_pins).order_by(_pins.tool)
    return tuple(_tool_of(row, changes.get(row.tool, ())) for row in tx.execute(pins))


def _with_pending(tool: PinnedTool | None) -> dict[str, str]:
    """The accepted hashes once everything pending is accepted, and the definition seen last."""
    if tool is None or not tool.changes:
        return {}
    accepted = sorted({*tool.accepted, *(change.hash for change in tool.changes)})
    newest = tool.changes[-1].definition
    return {"accepted": json.dumps(accepted), "definition": json.dumps(newest, ensure_ascii=False)}


def _change_of(row: sa.Row[Any]) -> ToolChange:
    return ToolChange(
        member_id=row.member_id,
        hash=row.hash,
        definition=json.loads(row.definition),
        seen_at=from_us(row.seen_at),
    )


def _tool_of(row: sa.Row[Any], changes: Sequence[ToolChange]) -> PinnedTool:
    facts = table_of(row.service).get(row.tool)
    tier = None if row.tier is None else Tier(row.tier)
    return PinnedTool(
        name=row.tool,
        tier=tier or (facts.tier if facts else None),
        proposed_tier=None if row.proposed_tier is None else Tier(row.proposed_tier),
        held=row.held,
        accepted=tuple(json.loads(row.accepted)),
        definition=json.loads(row.definition),
        first_seen_at=from_us(row.first_seen_at),
        reviewed_at=None if row.reviewed_at is None else from_us(row.reviewed_at),
        changes=tuple(changes),
    )
