"""Entries of the log for people: a page of them, or each as it comes."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Final

from wicket.cli.output import print_json, print_json_line, print_row, print_table, say
from wicket.cli.work.host import Host, on_host
from wicket.core.model import Json, JsonObject
from wicket.runtime.reading import View
from wicket.runtime.tail import Tail
from wicket.store.audit.export import read_batch
from wicket.store.audit.filters import AuditFilter, parse_filter
from wicket.store.audit.following import Position, position_now, render_position
from wicket.store.audit.lanes import Place
from wicket.store.audit.query import AuditPage, list_entries

HEADS: Final = ("time", "agent", "member", "tool", "decision", "reason", "outcome")


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
        tail = Tail(host.database)
        await tail.start()
        position = await host.database.read(position_now)
        for entry in reversed(await _newest(host, wanted, lines, until=position)):
            _print(entry, as_json=as_json)
        subscription = await tail.subscribe(render_position(position))
        view = View(host.database, subscription, account_id=None, wanted=wanted)
        while (told := await view.next(within_s=inf)) is not None:
            for one in told:
                if one.event == "entry":
                    _print(one.body, as_json=as_json)

    on_host(work, data_dir=data_dir)


async def _newest(host: Host, wanted: AuditFilter, lines: int, *, until: Position) -> Sequence[JsonObject]:
    """The entries before the position, newest first."""
    found: list[JsonObject] = []
    place: Place | None = Place()
    while place is not None and len(found) < lines:
        batch = await host.database.read(
            read_batch, account_id=None, wanted=wanted, until=until, place=place, most=lines - len(found)
        )
        found += batch.objects()
        place = batch.resume
    return found


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


def _print(entry: JsonObject, *, as_json: bool) -> None:
    if as_json:
        print_json_line(entry)
    else:
        print_row(row_of(entry))
