"""A look at this host: what would keep Wicket from working here, and what to do about it."""

import asyncio
import http.client
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from wicket.cli.output import print_json, print_table, say
from wicket.cli.work.host import Host, now, open_host
from wicket.cli.work.listening import listen
from wicket.core.errors import Conflict, Invalid, WicketError
from wicket.settings import SECRET_FILE, Settings, load_settings, read_secrets
from wicket.store import agents
from wicket.store.audit.verify import verify
from wicket.store.db import check_sqlite
from wicket.store.health import Health, find_damage
from wicket.store.health import examine as examine_database
from wicket.store.reserve import Reserve

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
EARLIEST: Final = datetime(2026, 1, 1, tzinfo=UTC)
SKEW_MAX: Final = timedelta(seconds=2)
ALIVE_TIMEOUT_S: Final = 2
VERIFIED_ROWS_MAX: Final = 100_000
"""A longer log takes more than a quick look."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A problem says what to do."""

    check: str
    is_ok: bool
    what: str


def examine(*, data_dir: Path | None, as_json: bool) -> bool:
    """Print what was found, and say whether all is well."""
    findings = asyncio.run(_examine(data_dir))
    if as_json:
        print_json(
            {
                "ok": all(finding.is_ok for finding in findings),
                "checks": [{"check": f.check, "ok": f.is_ok, "what": f.what} for f in findings],
            }
        )
    else:
        print_table(
            ("", "check", "finding"), [("ok" if f.is_ok else "problem", f.check, f.what) for f in findings]
        )
    problems = sum(not finding.is_ok for finding in findings)
    if problems:
        say(f"{problems} {'problem' if problems == 1 else 'problems'} found")
    return problems == 0


async def _examine(data_dir: Path | None) -> list[Finding]:
    try:
        settings = load_settings(data_dir=data_dir)
    except Invalid as error:
        return [Finding("settings", is_ok=False, what=error.sentence)]
    findings = [Finding("settings", is_ok=True, what="can be read")]
    findings += look_at_directory(settings)
    findings += await look_at_secrets(settings)
    findings += [finding async for finding in look_at_database(settings)]
    findings.append(look_at_port(settings))
    findings += look_at_commands(settings)
    return findings


def look_at_directory(settings: Settings) -> Iterator[Finding]:
    """The data directory and what must not be read by others."""
    folder = settings.data_dir
    if not folder.is_dir():
        advice = "start `wicket serve`, which makes it, or name another with --data-dir"
        yield Finding("data directory", is_ok=False, what=f"there is no `{folder}`: {advice}")
        return
    for path in (folder, settings.sqlite_path, folder / SECRET_FILE):
        if path.exists():
            yield _look_at_mode(path)


def _look_at_mode(path: Path) -> Finding:
    found, wanted = path.stat(), "700" if path.is_dir() else "600"
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        advice = f"run `chown {os.geteuid()} {path}`, or run wicket as its owner"
        return Finding("files", is_ok=False, what=f"`{path}` belongs to user {found.st_uid}: {advice}")
    if mode & OTHERS:
        advice = f"run `chmod {wanted} {path}`"
        return Finding(
            "files", is_ok=False, what=f"`{path}` has mode {mode:o} and is open to others: {advice}"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding("files", is_ok=False, what=f"`{path}` cannot be written: run `chmod {wanted} {path}`")
    return Finding("files", is_ok=True, what=f"`{path}` is its owner's alone ({mode:o})")


async def look_at_secrets(settings: Settings) -> list[Finding]:
    """The server key, which is never made here."""
    is_given = bool(settings.secret_key)
    if not is_given and not (settings.data_dir / SECRET_FILE).exists():
        if not await _has_agents(settings):
            return []  # the first `serve` makes it
        advice = "put it back, or every member makes a new key"
        return [Finding("server key", is_ok=False, what=f"`{SECRET_FILE}` is missing: {advice}")]
    try:
        count = len(read_secrets(settings))
    except (WicketError, OSError) as error:
        return [Finding("server key", is_ok=False, what=f"cannot be read: {error}")]
    source = "WICKET_SECRET_KEY" if is_given else SECRET_FILE
    return [
        Finding("server key", is_ok=True, what=f"from {source}" + (f", {count} values" if count > 1 else ""))
    ]


async def _has_agents(settings: Settings) -> bool:
    try:
        async with open_host(settings) as host:
            return bool(await host.database.read(agents.list_all_agents))
    except WicketError:
        return False


async def look_at_database(settings: Settings) -> AsyncIterator[Finding]:
    """The database, its schema, what it promises, its clock, and the log in it."""
    if settings.database_url is None and not settings.sqlite_path.exists():
        return
    try:
        async with open_host(settings) as host:
            health = await examine_database(host.database)
            yield Finding("database", is_ok=True, what=f"{health.kind} {health.version}, schema is current")
            yield _look_at_durability(health)
            yield _look_at_tables(await find_damage(host.database))
            yield _look_at_sharing(settings)
            if settings.database_url is None:
                yield look_at_reserve(Reserve(settings.sqlite_path))
            yield look_at_clock(health, now())
            yield await _look_at_log(host, health)
    except WicketError as error:
        yield Finding("database", is_ok=False, what=error.sentence)


def _look_at_durability(health: Health) -> Finding:
    if health.is_durable:
        return Finding("durability", is_ok=True, what=health.durability)
    return Finding("durability", is_ok=False, what=f"{health.durability}: what was recorded could be lost")


def _look_at_tables(damage: str | None) -> Finding:
    if damage is None:
        return Finding("tables", is_ok=True, what="undamaged, as far as decisions are made from them")
    return Finding(
        "tables", is_ok=False, what=f"{damage}: stop, keep a copy of the database, restore a backup"
    )


def _look_at_sharing(settings: Settings) -> Finding:
    count = f"{settings.workers} worker" + ("s" if settings.workers > 1 else "")
    if settings.database_url is None:
        try:
            check_sqlite(workers=settings.workers)
        except Invalid as error:
            return Finding("workers", is_ok=False, what=error.sentence)
    return Finding("workers", is_ok=True, what=count)


def look_at_reserve(reserve: Reserve) -> Finding:
    """What the kill switch needs on a full disk."""
    if reserve.is_whole:
        return Finding("reserve", is_ok=True, what="1 MiB is kept free for stopping agents on a full disk")
    advice = "make room, then start `wicket serve`, or change anything, which makes it"
    return Finding("reserve", is_ok=False, what=f"nothing is kept free for stopping agents: {advice}")


def look_at_clock(health: Health, here: datetime) -> Finding:
    """This host's clock, against the database server's and against what has been recorded."""
    advice = "set the clock, and keep it by NTP"
    if here < EARLIEST:
        return Finding("clock", is_ok=False, what=f"it is {here:%Y-%m-%d %H:%M} here: {advice}")
    if health.clock is not None and abs(health.clock - here) > SKEW_MAX:
        seconds = (health.clock - here).total_seconds()
        return Finding("clock", is_ok=False, what=f"the database server's is {seconds:+.1f} s off: {advice}")
    if health.last_change_at is not None and health.last_change_at - here > SKEW_MAX:
        last = f"{health.last_change_at:%Y-%m-%d %H:%M:%S}"
        return Finding(
            "clock", is_ok=False, what=f"the newest change was made at {last} UTC, later than now: {advice}"
        )
    return Finding("clock", is_ok=True, what=f"{here:%Y-%m-%d %H:%M:%S} UTC")


async def _look_at_log(host: Host, health: Health) -> Finding:
    if health.log_rows > VERIFIED_ROWS_MAX:
        return Finding(
            "log", is_ok=True, what=f"{health.log_rows:,} rows: run `wicket audit verify` to check them"
        )
    report = await host.database.read(verify)
    if report.first_bad is not None:
        bad = report.first_bad
        where = f"row {bad.seq} of writer {bad.writer} in {bad.table}: {bad.what}"
        return Finding("log", is_ok=False, what=f"{where}; keep a copy and run `wicket audit verify`")
    return Finding("log", is_ok=True, what=f"{report.rows} rows in {report.writers} chains, unbroken")


def look_at_port(settings: Settings) -> Finding:
    """Whether the port is free, or Wicket's already."""
    where = f"{settings.host}:{settings.port}"
    try:
        listen(settings).close()
    except Conflict as error:
        if _is_alive(settings):
            return Finding("port", is_ok=True, what=f"wicket is serving on {where}")
        return Finding("port", is_ok=False, what=error.sentence)
    return Finding("port", is_ok=True, what=f"{where} is free")


def _is_alive(settings: Settings) -> bool:
    with closing(
        http.client.HTTPConnection(settings.host, settings.port, timeout=ALIVE_TIMEOUT_S)
    ) as connection:
        try:
            connection.request("GET", "/alive")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def look_at_commands(settings: Settings) -> Iterator[Finding]:
    """The programs of local MCP servers."""
    for key, server in settings.stdio.items():
        found = shutil.which(server.command, path=server.env.get("PATH"))
        what = f"`{server.command}`" + (
            f" is {found}" if found else " is not on the PATH: install it, or give its path"
        )
        yield Finding(f"stdio {key}", is_ok=found is not None, what=what)
