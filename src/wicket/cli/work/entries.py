"""Entries of the log for people: a page of them, or each as it comes."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from wicket.cli.output import print_json, print_json_line, print_row, print_table, say
from wicket.cli.work.host import Host, now, on_host
from wicket.core.model import Json, JsonObject
from wicket.store.audit.query import LIMIT_MAX, AuditFilter, AuditPage, list_entries, parse_filter
from wicket.store.instants import to_us

HEADS: Final = ("time", "agent", "member", "tool", "decision", "reason", "outcome")
FOLLOW_EVERY_S: Final = 0.5
LATE_US: Final = 10_000_000
"""Entries are dated when decided and seen when committed: how far back one may turn up behind a newer one."""
SEEN_MAX: Final = 100_000


def print_page(
    parameters: Mapping[str, str], *, limit: int, cursor: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Print up to `limit` matching entries, newest first."""
    wanted = parse_filter(parameters)

    async def work(host: Host) -> AuditPage:
        return await gather(host, wanted, limit=limit, cursor=cursor)

    page = on_host(work, data_dir=data_dir)
    if as_json:
        print_json({"items": [*page.items], "nextCursor": page.next_cursor})
        return
    print_table(HEADS, map(row_of, page.items))
    if page.next_cursor is not None:
        say(f"there are more: --cursor {page.next_cursor}")


def follow(parameters: Mapping[str, str], *, lines: int, data_dir: Path | None, as_json: bool) -> None:
    """Print the newest entries, then new ones for ever."""
    wanted = parse_filter(parameters)

    async def work(host: Host) -> None:
        seen: OrderedDict[str, None] = OrderedDict()
        newest_us = to_us(now())
        # What is there already counts as seen, also beyond the lines that are printed.
        present = await _since(host, wanted, newest_us - LATE_US)
        shown = (await gather(host, wanted, limit=lines)).items if lines else ()
        seen.update(dict.fromkeys(str(entry["id"]) for entry in (*present, *shown)))
        _print_oldest_first(shown, as_json=as_json)
        while True:
            await asyncio.sleep(FOLLOW_EVERY_S)
            found = await _since(host, wanted, newest_us - LATE_US)
            newest_us = to_us(now())
            fresh = [entry for entry in found if str(entry["id"]) not in seen]
            seen.update(dict.fromkeys(str(entry["id"]) for entry in fresh))
            while len(seen) > SEEN_MAX:
                seen.popitem(last=False)
            _print_oldest_first(fresh, as_json=as_json)

    on_host(work, data_dir=data_dir)


async def gather(host: Host, wanted: AuditFilter, *, limit: int, cursor: str | None = None) -> AuditPage:
    """A full page: a page of the store may be short and yet go on."""
    items: list[JsonObject] = []
    while True:
        page = await host.database.read(
            list_entries, account_id=None, wanted=wanted, limit=limit - len(items), cursor=cursor
        )
        items += page.items
        cursor = page.next_cursor
        if cursor is None or len(items) >= limit:
            return AuditPage(items, cursor, None)


async def _since(host: Host, wanted: AuditFilter, from_us: int) -> Sequence[JsonObject]:
    """Newest first, and no more than could ever be remembered."""
    since = replace(wanted, from_us=max(from_us, 0))
    found: list[JsonObject] = []
    cursor: str | None = None
    while len(found) < SEEN_MAX // 2:
        page = await gather(host, since, limit=LIMIT_MAX, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


def row_of(entry: JsonObject) -> tuple[str, ...]:
    """An entry as the cells of a row."""
    tool = f"{entry['service']}__{entry['tool']}" if entry["service"] else str(entry["tool"])
    count = f" x{entry['count']}" if entry["count"] != 1 else ""
    return (
        str(entry["timestamp"]),
        str(entry["agentName"]),
        _text(entry["memberName"]),
        tool,
        str(entry["decision"]),
        f"{entry['reasonCode']}{count}",
        str(entry["outcome"]),
    )


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _print_oldest_first(entries: Sequence[JsonObject], *, as_json: bool) -> None:
    for entry in reversed(entries):
        if as_json:
            print_json_line(entry)
        else:
            print_row(row_of(entry))
