"""Past calls under a draft, on the wire: one document that comes bit by bit, or server-sent events with progress."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from fastapi import Response
from pydantic import AwareDatetime, Field

from wicket.api.http import ApiParts
from wicket.api.models import Out
from wicket.api.reading import EVENT_STREAM, Streamed
from wicket.connectors import hypothetical, labels_of
from wicket.core.ids import uuid7
from wicket.core.model import Effect, JsonObject, Reason
from wicket.core.policy.replay import Replay
from wicket.core.redaction import Redactor
from wicket.core.world import AgentPolicy, World
from wicket.runtime import replaying
from wicket.runtime.replaying import Stretch, Sums
from wicket.store.audit.filters import parse_filter
from wicket.store.audit.render import render_line
from wicket.store.instants import to_us

DAY: Final = timedelta(hours=24)


class ReplayedOut(Out):
    """One entry, decided again."""

    id: str
    timestamp: AwareDatetime
    member_id: str
    service: str
    tool: str
    decision: Effect
    reason_code: Reason
    draft_decision: Effect | None
    draft_reason_code: Reason | None
    draft_policy_ids: Sequence[str] = Field(description="keys of the policies that decide under the draft")
    baseline_decision: Effect | None = Field(description="the other enabled policies alone")
    changed: bool = Field(description="whether the draft decides otherwise than was recorded")
    unmatched: str | None = Field(description="why it cannot be decided again; then there are no decisions")


class CountsOut(Out):
    allowed: int
    denied: int


class ReplayOut(Out):
    """The sums, and a row for each entry, oldest first."""

    total: int
    before: CountsOut = Field(description="as recorded, all entries")
    after: CountsOut = Field(description="under the draft, all but the unmatched")
    changed: int
    unmatched: int
    rows: Sequence[ReplayedOut]


def find_window(agent_id: str, *, from_: str | None, to: str | None, now: datetime) -> Stretch:
    """Which entries are meant; raises Invalid naming the field."""
    wanted = parse_filter({"from": from_ or "", "to": to or ""})
    to_at = to_us(now) if wanted.to_us is None else wanted.to_us
    from_at = max(to_at - DAY // timedelta(microseconds=1), 0) if wanted.from_us is None else wanted.from_us
    return Stretch(agent_id, uuid7(from_at, bytes(10)), uuid7(to_at, b"\xff" * 10))


async def replayed(
    parts: ApiParts,
    world: World,
    draft: AgentPolicy,
    stretch: Stretch,
    *,
    account_id: str,
    wants_events: bool,
) -> Response:
    """The answer, which begins at once; whoever leaves ends it."""
    leave = parts.readers.replays.take(account_id)
    try:
        sums = await replaying.begin(parts.db, stretch)
    except BaseException:
        leave()
        raise
    batches = _run(parts, world, draft, sums, stretch)
    if wants_events:
        return Streamed(_as_events(batches, sums), leave, EVENT_STREAM, x_accel_buffering="no")
    return Streamed(_as_document(batches, sums), leave, "application/json")


def _run(
    parts: ApiParts, world: World, draft: AgentPolicy, sums: Sums, stretch: Stretch
) -> AsyncGenerator[list[JsonObject]]:
    drafted = hypothetical.under(world, draft)
    baseline = hypothetical.without(world, draft.ref.id)
    replay = Replay(
        drafted,
        baseline,
        find_gone=partial(hypothetical.find_gone, world),
        labels_of=labels_of,
        redactor=Redactor(parts.keys.redaction_key),
    )
    needs_facts = any(policy.document.session for policy in drafted.policies)
    return replaying.run(parts.db, replay, sums, stretch, needs_facts=needs_facts)


async def _as_document(batches: AsyncGenerator[list[JsonObject]], sums: Sums) -> AsyncGenerator[bytes]:
    """The sums are known at the end, so there they stand."""
    yield b'{"rows":['
    async with aclosing(batches):
        async for rows in batches:
            comma = b"," if sums.done > len(rows) else b""
            yield comma + b",".join(map(render_line, rows))
    yield b"]," + render_line(sums.render())[1:]


async def _as_events(batches: AsyncGenerator[list[JsonObject]], sums: Sums) -> AsyncGenerator[bytes]:
    yield _event("progress", {"done": 0, "total": sums.total})
    async with aclosing(batches):
        async for rows in batches:
            yield _event("rows", rows) + _event("progress", {"done": sums.done, "total": sums.total})
    yield _event("result", sums.render())


def _event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), render_line(data))
