"""How the databases answer the log's readers: along indexes, whatever is asked. Plans, not times."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.bench.big_log import World
from tests.bench.filling import fill
from tests.databases import Location
from wicket.store import tables
from wicket.store.audit.export import find_stretch, read_lines
from wicket.store.audit.fields import ExportFormat
from wicket.store.audit.filters import parse_filter
from wicket.store.audit.following import position_now
from wicket.store.audit.lanes import Place
from wicket.store.audit.query import get_entry, list_entries, list_members

pytestmark = pytest.mark.slow

ROWS = 100_000
BIG = re.compile(r"\b(audit|outcomes|audit_policies)\b")
FULL_SCAN = re.compile(r"^SCAN (audit|outcomes|audit_policies)$")
SMALL = 1_000
"""Rows of a partition that may be read whole."""

Ask = Callable[[sa.Connection], object]


def asked_by(world: World, sample: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Every filter alone, each with `result` beside it, and a few together."""
    busy, rare = world.agents[10], world.agents[-1]
    alone = [
        {},
        {"from": "2026-01-01"},
        {"to": "2099-01-01"},
        {"agent": "support"},
        {"agentId": busy.id},
        {"agentId": rare.id},
        {"service": busy.services[0]},
        {"tool": busy.tools[0][1]},
        {"tool": "list"},
        {"member": busy.members[0].id},
        {"member": busy.members[0].email},
        {"policy": busy.policies[0].id},
        {"policy": busy.policies[0].key},
        {"session": sample["session_id"]},
        {"reason": "rate_limited"},
        {"outcome": "ok"},
        {"outcome": "pending"},
        {"outcome": "interrupted"},
        {"ip": sample["caller_ip"]},
        {"q": "repository-77"},
        {"q": "no such thing"},
    ]
    for one in alone:
        yield one
        yield {**one, "result": "DENY"}
        yield {**one, "result": "ALLOW"}
    yield {"agentId": rare.id, "ip": sample["caller_ip"], "tool": "list"}
    yield {"member": busy.members[0].id, "reason": "permitted", "service": busy.services[0]}


def questions(tx: sa.Connection, world: World) -> Iterator[tuple[str, Ask]]:
    owned = sa.select(tables.agents.c.id).where(tables.agents.c.owner_id == world.owner_id)
    of_owner = sa.select(tables.audit).where(tables.audit.c.agent_id.in_(owned))
    newest = tx.execute(of_owner.order_by(tables.audit.c.id.desc()).limit(1)).mappings().one()
    sample = {name: str(newest[name]) for name in ("session_id", "caller_ip")}
    until = position_now(tx)
    guest = world.agents[10].members[-1].account_id
    yield "the position", position_now
    for account in (world.owner_id, guest, None):
        for asked in asked_by(world, sample):
            who: dict[str, Any] = {"account_id": account, "wanted": parse_filter(asked)}
            yield f"{asked} of {account}", partial(list_entries, **who)
            yield f"export {asked} of {account}", partial(_export, **who, until=until)
    for account in (world.owner_id, guest):
        yield "members", partial(list_members, account_id=account)
    yield "an entry", partial(get_entry, account_id=world.owner_id, entry_id=str(newest["id"]))


def _export(tx: sa.Connection, **asked: Any) -> None:
    stretch = find_stretch(tx, **asked, place=Place(), span=1_000)
    if stretch is not None:
        read_lines(tx, stretch, until=asked["until"], form=ExportFormat.JSONL)


def statements_of(tx: sa.Connection, ask: Ask) -> Mapping[str, Any]:
    """What is asked of the tables of the log, and with what."""
    found: dict[str, Any] = {}

    def keep(_tx: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if BIG.search(statement):
            found[statement] = parameters

    event.listen(tx, "before_cursor_execute", keep)
    try:
        ask(tx)
    finally:
        event.remove(tx, "before_cursor_execute", keep)
    return found


def scans_of(tx: sa.Connection, statement: str, parameters: Any) -> list[str]:
    """The tables that a statement reads whole."""
    if tx.dialect.name == "sqlite":
        plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return [row.detail for row in plan if FULL_SCAN.match(row.detail)]
    found = tx.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    plan = json.loads(found) if isinstance(found, str) else found
    return [
        f"{node['Node Type']} of {node['Relation Name']}"
        for node in nodes(plan[0]["Plan"])
        if node["Node Type"] == "Seq Scan" and BIG.match(node["Relation Name"].partition("_2")[0])
        if rows_in(tx, node["Relation Name"]) > SMALL
    ]


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_in(tx: sa.Connection, relation: str) -> int:
    counted = sa.text("SELECT reltuples::bigint FROM pg_class WHERE relname = :name")
    rows: int = tx.execute(counted, {"name": relation}).scalar_one()
    return rows


def _look(tx: sa.Connection, world: World) -> tuple[list[str], int]:
    """Questions that are answered by reading everything, and how many statements were looked at."""
    bad, looked_at = [], 0
    for name, ask in questions(tx, world):
        for statement, parameters in statements_of(tx, ask).items():
            looked_at += 1
            bad += [f"{name}: {scan}: {statement}" for scan in scans_of(tx, statement, parameters)]
    return bad, looked_at


def _forget_statistics(tx: sa.Connection) -> None:
    """As a database is that nobody has analysed, which is how SQLite's is."""
    if tx.dialect.name == "sqlite":
        tx.exec_driver_sql("DELETE FROM sqlite_stat1")


async def test_no_question_reads_the_whole_log(location: Location) -> None:
    world = await fill(location, ROWS)
    bad, looked_at = await _look_at(location, world)
    assert bad == []
    assert looked_at > 500
    opened = await location.open()
    await opened.change(_forget_statistics, agents=())
    await opened.close()
    bad, _ = await _look_at(location, world)
    assert bad == []


async def _look_at(location: Location, world: World) -> tuple[list[str], int]:
    opened = await location.open()
    try:
        return await opened.read(_look, world)
    finally:
        await opened.close()
