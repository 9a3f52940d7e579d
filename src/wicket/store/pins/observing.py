"""Taking note of what upstreams list."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.model import Json, JsonObject, Tier
from wicket.core.world import ToolPin
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.instants import to_us
from wicket.store.pins.values import SeenTool, by_name, table_of

PINS_MAX: Final = 2_000
"""Tools of one service that an agent remembers; whatever an upstream invents beyond has no pin, so no calls."""


def may_be_news(
    pins: Mapping[tuple[str, str], ToolPin], *, service: str, member_id: str, seen: Iterable[SeenTool]
) -> bool:
    """Whether `observe` might change anything, as far as a world tells: asked first, a change costs every cache."""
    for tool in seen:
        pin = pins.get((service, tool.name))
        if pin is None:
            if tool.is_addressable:
                return True
        elif tool.hash not in pin.accepted or member_id in pin.changed_for:
            return True
    return False


def observe(
    tx: sa.Connection,
    *,
    agent_id: str,
    service: str,
    member_id: str | None,
    seen: Sequence[SeenTool],
    now: datetime,
    accept_tiers: bool = False,
) -> bool:
    """Take note of the tools that a member's upstream lists now; whether anything changed by it.

    `member_id` None: a list that is no member's; it pins what is new and holds nothing. `accept_tiers`: the
    tiers that the annotations propose are accepted for what is pinned now.
    """
    notes = _Notes.begin(tx, agent_id=agent_id, service=service, member_id=member_id, now=now)
    if accept_tiers:
        notes.accepted_tiers = {(tool.name, tool.hash): tool.proposed_tier for tool in seen}
    for name, versions in by_name(seen).items():
        accepted = notes.accepted.get(name)
        if not accepted:
            if notes.is_full_for(name):
                continue
            accepted = notes.pin(versions[0])
        outside = next((version for version in versions if version.hash not in accepted), None)
        if outside is not None:
            notes.hold(outside)
        else:
            notes.let_go(name)
    return notes.enter()


def seed_connector_tools(tx: sa.Connection, *, agent_id: str, service: str, now: datetime) -> None:
    """Pin the tools that a custom connector was made with, for an agent that enables it.

    So the tiers that its owner accepted then are in force at once. Does nothing for other services.
    """
    seen = [
        SeenTool(tool["name"], tool["hash"], tool["definition"], Tier(tool["proposedTier"]))
        for tool in _made_with(tx, service=service)
    ]
    observe(tx, agent_id=agent_id, service=service, member_id=None, seen=seen, now=now)


@dataclass
class _Notes:
    """One observation under way: what was known before it, and what it has written."""

    tx: sa.Connection
    agent_id: str
    service: str
    member_id: str | None
    now: datetime
    accepted: dict[str, list[str]]
    """tool -> accepted hashes; empty for a tool that was reviewed before anybody saw it."""
    pending: dict[str, str]
    """tool -> the hash that is held for this member."""
    accepted_tiers: Mapping[tuple[str, str], Tier]
    """(tool, hash) -> the tier that was accepted when the custom connector was made."""
    pins: list[dict[str, object]] = field(default_factory=list)
    """Rows to insert: in one statement, since a first list may hold hundreds and the turn to write is short."""
    holds: list[dict[str, object]] = field(default_factory=list)
    pinned: list[Json] = field(default_factory=list)
    unreviewed: list[Json] = field(default_factory=list)
    changed: list[Json] = field(default_factory=list)
    restored: list[Json] = field(default_factory=list)

    @classmethod
    def begin(
        cls, tx: sa.Connection, *, agent_id: str, service: str, member_id: str | None, now: datetime
    ) -> "_Notes":
        pins, changes = tables.tool_pins.c, tables.tool_changes.c
        known = sa.select(pins.tool, pins.accepted).where(pins.agent_id == agent_id, pins.service == service)
        held = sa.select(changes.tool, changes.hash).where(
            changes.agent_id == agent_id, changes.service == service, changes.member_id == member_id
        )
        return cls(
            tx,
            agent_id,
            service,
            member_id,
            now,
            accepted={tool: json.loads(accepted) for tool, accepted in tx.execute(known)},
            pending={} if member_id is None else {row.tool: row.hash for row in tx.execute(held)},
            accepted_tiers={
                (tool["name"], tool["hash"]): Tier(tool["tier"])
                for tool in _made_with(tx, service=service)
                if tool["tier"] is not None
            },
        )

    def is_full_for(self, name: str) -> bool:
        return (
            len(self.accepted) >= PINS_MAX
            and name not in self.accepted
            and name not in table_of(self.service)
        )

    def pin(self, tool: SeenTool) -> list[str]:
        """Accept the first definition seen. That alone allows nothing where there is no tier."""
        tier = self.accepted_tiers.get((tool.name, tool.hash)) or _raised_tier(self.service, tool)
        first = {
            "accepted": json.dumps([tool.hash]),
            "definition": json.dumps(tool.definition, ensure_ascii=False),
        }
        if tool.name in self.accepted:
            # Reviewed by name before it was seen: the owner's tier stands, or the hold.
            pins = tables.tool_pins.c
            self.tx.execute(
                sa.update(tables.tool_pins)
                .where(pins.agent_id == self.agent_id, pins.service == self.service, pins.tool == tool.name)
                .values(**first, proposed_tier=tool.proposed_tier, tier=sa.func.coalesce(pins.tier, tier))
            )
        else:
            self.pins.append(
                {
                    "agent_id": self.agent_id,
                    "service": self.service,
                    "tool": tool.name,
                    "tier": tier,
                    "proposed_tier": tool.proposed_tier,
                    "held": False,
                    "first_seen_at": to_us(self.now),
                    **first,
                }
            )
        self.accepted[tool.name] = [tool.hash]
        self.pinned.append(tool.name)
        if tier is None and tool.name not in table_of(self.service):
            self.unreviewed.append(tool.name)
        return self.accepted[tool.name]

    def hold(self, tool: SeenTool) -> None:
        """Hold the tool back from this member, with the definition to be reviewed."""
        if self.member_id is None or self.pending.get(tool.name) == tool.hash:
            return
        if tool.name in self.pending:
            self._delete_change(tool.name)
        self.holds.append(
            {
                "agent_id": self.agent_id,
                "service": self.service,
                "tool": tool.name,
                "member_id": self.member_id,
                "hash": tool.hash,
                "definition": json.dumps(tool.definition, ensure_ascii=False),
                "seen_at": to_us(self.now),
            }
        )
        self.changed.append(tool.name)

    def let_go(self, name: str) -> None:
        """The member's upstream sends what is accepted (again)."""
        if name in self.pending:
            self._delete_change(name)
            self.restored.append(name)

    def enter(self) -> bool:
        """Write what is new, and tell people what needs their eyes; whether there was anything at all."""
        if self.pins:
            self.tx.execute(sa.insert(tables.tool_pins), self.pins)
        if self.holds:
            self.tx.execute(sa.insert(tables.tool_changes), self.holds)
        parts = {"unreviewed": self.unreviewed, "changed": self.changed, "restored": self.restored}
        news: dict[str, Json] = {part: names for part, names in parts.items() if names}
        if news:
            body: JsonObject = {"service": self.service, "memberId": self.member_id, **news}
            record_change(
                self.tx, kind="tools_observed", agent_id=self.agent_id, actor_id=None, body=body, now=self.now
            )
        return bool(self.pinned or news)

    def _delete_change(self, name: str) -> None:
        changes = tables.tool_changes.c
        self.tx.execute(
            sa.delete(tables.tool_changes).where(
                changes.agent_id == self.agent_id,
                changes.service == self.service,
                changes.tool == name,
                changes.member_id == self.member_id,
            )
        )


def _made_with(tx: sa.Connection, *, service: str) -> list[dict[str, Any]]:
    """The tools that a custom connector was made with, as `connector_tools_to_json` wrote them."""
    stored = tx.execute(
        sa.select(tables.connectors.c.tools).where(
            tables.connectors.c.key == service, tables.connectors.c.deleted_at.is_(None)
        )
    ).scalar_one_or_none()
    tools: list[dict[str, Any]] = [] if stored is None else json.loads(stored)
    return tools


def _raised_tier(service: str, tool: SeenTool) -> Tier | None:
    """A tier above the table's, where the tool's own annotations insist on one; they never lower it."""
    facts = table_of(service).get(tool.name)
    annotations = tool.definition.get("annotations")
    if facts is None or not isinstance(annotations, dict):
        return None
    read_only = annotations.get("readOnlyHint")
    if annotations.get("destructiveHint") is True and read_only is not True:
        return Tier.DESTRUCTIVE if facts.tier is not Tier.DESTRUCTIVE else None
    return Tier.WRITE if read_only is False and facts.tier is Tier.READ else None
