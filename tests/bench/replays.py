"""How long past calls take under a draft: a hundred thousand entries of a thousand sessions, through the API.

Seen on two cores: 100,000 entries take 10 s of CPU, with facts of sessions or without; 15 to 28 s on the clock while
other work kept both cores busy.

`PYTHONPATH=src:. python -m tests.bench.replays [--rows 100000] [--facts]`
"""

import argparse
import asyncio
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import sqlalchemy as sa

from tests.api.calls import recording
from tests.api.people import NOW, PERMIT, Servers, open_instance
from tests.databases import Location
from wicket.core.ids import uuid7
from wicket.store import tables
from wicket.store.audit.statements import AUDIT_COLUMNS
from wicket.store.db import upgrade
from wicket.store.instants import to_us

SESSIONS = 1_000
FORBID: dict[str, Any] = {"name": "Draft", "service": "github", "effect": "forbid", "tools": ["tier:write"]}
BY_FACTS = {"session": [{"type": "callCount", "operator": ">=", "value": 50}], "tools": ["tier:read"]}
TOOLS = ("get_me", "create_issue", "list_issues", "search_code", "list_commits")


def multiply(tx: sa.Connection, rows: int) -> None:
    """Entries like those that were recorded, one a half second."""
    made = [dict(row._mapping) for row in tx.execute(sa.select(tables.audit).order_by(tables.audit.c.id))]
    assert len(made[0]) == len(AUDIT_COLUMNS)
    start = to_us(NOW - timedelta(hours=20))
    copies = [
        made[n % len(made)]
        | {
            "id": uuid7(start + n * 500_000, n.to_bytes(10)),
            "seq": 10_000 + n,
            "decided_at": start + n * 500_000,
            "session_id": f"ts_{n % SESSIONS}",
        }
        for n in range(rows)
    ]
    tx.execute(sa.insert(tables.audit), copies)


async def measure(directory: Path, rows: int, draft: dict[str, Any]) -> None:
    location = Location(directory / "wicket.db")
    database = await location.open()
    await upgrade(database)
    async with open_instance(database, Servers()) as wicket:
        ada = await wicket.person("ada")
        agent = await ada.make_agent()
        await ada.put(f"/api/agents/{agent}/services", {"services": ["github"]})
        for n in range(20):
            name = {"name": f"Reads {n}", "time": {"hoursFrom": n, "hoursTo": 23}}
            await ada.post(f"/api/agents/{agent}/policies", {**PERMIT, **name}, expect=201)
        member = await ada.membership(agent)
        async with recording(database, location) as calls:
            for tool in TOOLS:
                await calls.make(agent, member, f"github__{tool}", {"owner": "a", "repo": "b", "query": "c"})
        await database.run_alone(lambda tx: multiply(tx, rows))
        body = {"draft": draft, "to": (NOW + timedelta(days=1)).isoformat(), "from": "2026-11-22"}
        headers = {"Authorization": f"Bearer {ada.token}"}
        transport = httpx2.ASGITransport(app=wicket.served)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://wicket.test", timeout=600
        ) as http:
            begun, cpu = time.perf_counter(), time.process_time()
            answer = await http.post(f"/api/agents/{agent}/policies/simulate", json=body, headers=headers)
            took, used = time.perf_counter() - begun, time.process_time() - cpu
        sums = {name: value for name, value in answer.json().items() if name != "rows"}
        print(f"{took:.1f} s, {used:.1f} s of CPU, {len(answer.content) / 1e6:.0f} MB: {sums}")  # noqa: T201
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=99_990)
    parser.add_argument("--facts", action="store_true", help="with a draft that reads the session's facts")
    given = parser.parse_args()
    draft = {**FORBID, **(BY_FACTS if given.facts else {})}
    with TemporaryDirectory() as directory:
        asyncio.run(measure(Path(directory), given.rows, draft))


if __name__ == "__main__":
    main()
