"""A database that others hold, that cannot be written, or that is damaged: refused in time, and said clearly."""

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import Ended, environment, started, wicket
from tests.databases import Location
from tests.faults.storage_disk import Disk, Kind
from tests.faults.storage_server import Serve, staged
from tests.journeys.log import read_log
from tests.journeys.servers import outside
from wicket.store.db.sqlite import connect_raw

LONGER_THAN_SQLITE_WAITS = 24
"""Calls one after the other, each refused after a quarter of a second: SQLite waits five seconds for a lock."""
pytestmark = [pytest.mark.promise("P2"), pytest.mark.promise("P3")]

PAGE_BYTES = 4_096
CUTS = 4
HOLD = """
import os, pathlib, signal, sys
from wicket.store.gate import WriteGate
with WriteGate(pathlib.Path(sys.argv[1])) as gate, gate.turn():
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def stranger(path: Path) -> Iterator[None]:
    """A program that knows nothing of the gate, in the middle of a transaction."""
    raw = connect_raw(path)
    raw.execute("BEGIN EXCLUSIVE").fetchall()
    try:
        yield
    finally:
        raw.execute("ROLLBACK").fetchall()
        raw.close()


@contextmanager
def stopped_holder(path: Path) -> Iterator[None]:
    """One of us, whose turn it is to write, and who was stopped."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], env=environment(), stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"held\n"
            os.waitpid(holder.pid, os.WUNTRACED)
            yield
        finally:
            holder.send_signal(signal.SIGCONT)
            assert holder.wait(20) == 0


@pytest.mark.slow
@pytest.mark.parametrize("holder", [stranger, stopped_holder])
async def test_while_somebody_holds_the_database_calls_are_refused(
    on_disk: Location, holder: Callable[[Path], AbstractContextManager[None]]
) -> None:
    async with staged(on_disk) as scene:
        with holder(on_disk.sqlite_path):
            for _ in range(LONGER_THAN_SQLITE_WAITS):
                assert (await scene.call()).failed  # answered, while it is held
            together = await asyncio.gather(*(scene.call() for _ in range(16)))
            assert all(story.failed for story in together)
        await scene.until_it_works()
        await scene.check()


@pytest.mark.slow
async def test_on_a_disk_that_has_become_read_only_calls_are_refused(on_disk: Location, disk: Disk) -> None:
    async with staged(on_disk, disk.environment) as scene:
        disk.be_read_only()
        for _ in range(4):
            assert (await scene.call()).failed
        assert disk.struck > 0
        disk.work()
        await scene.until_it_works()
        await scene.check()


def refusal_to_serve(data_dir: Path, **settings: str) -> Ended:
    """How the command ended, and what it said."""
    server = started("serve", "--port", "0", "--data-dir", data_dir, cwd=data_dir, settings=settings)
    try:
        out, err = server.communicate(timeout=60)
    finally:
        server.kill()
    return Ended(server.returncode, out, err)


@pytest.mark.slow
async def test_from_a_database_that_a_stranger_holds_nothing_is_served(on_disk: Location) -> None:
    with stranger(on_disk.sqlite_path):
        ended = await asyncio.to_thread(refusal_to_serve, on_disk.sqlite_path.parent)
    check_refusal(ended, "another program")


@pytest.mark.slow
async def test_a_command_that_waits_for_a_stopped_process_says_so(on_disk: Location) -> None:
    data_dir = on_disk.sqlite_path.parent
    async with staged(on_disk) as scene:
        with stopped_holder(on_disk.sqlite_path):
            command = started("agents", "disable", "helper", "--data-dir", data_dir, cwd=data_dir)
            assert command.stderr is not None
            assert "has been stopped" in await asyncio.to_thread(command.stderr.readline)
        _, err = await asyncio.to_thread(command.communicate, timeout=60)
        assert command.returncode == 0, err
        while (story := await scene.call()).failed:
            await asyncio.sleep(0)
        assert story.reason == "agent_disabled"


def page_of(path: Path, table: str) -> int:
    """Where a table begins, with all of the database in its main file."""
    raw = connect_raw(path)
    try:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return int(raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0])
    finally:
        raw.close()


def overwrite(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


def check_refusal(ended: Ended, word: str) -> None:
    """Said in a sentence, with what to do, and an exit code for "not available"."""
    assert ended.code == 6, ended
    assert ended.out == ""
    assert ended.err.startswith("wicket: "), ended
    assert word in ended.err
    assert "Traceback" not in ended.err


def test_from_a_read_only_disk_nothing_is_served(on_disk: Location, disk: Disk) -> None:
    disk.be_read_only()
    check_refusal(refusal_to_serve(on_disk.sqlite_path.parent, **disk.environment), "read-only")
    disk.fail(Kind.CREATE, error=errno.EROFS)
    check_refusal(refusal_to_serve(on_disk.sqlite_path.parent, **disk.environment), "check path and owner")


@pytest.mark.slow
@pytest.mark.parametrize("table", ["alembic_version", "agents", "policies", "member_keys", "writers"])
def test_from_a_database_with_a_damaged_table_nothing_is_served(on_disk: Location, table: str) -> None:
    overwrite(on_disk.sqlite_path, page_of(on_disk.sqlite_path, table))
    check_refusal(refusal_to_serve(on_disk.sqlite_path.parent), "damaged")


@pytest.mark.slow
@pytest.mark.parametrize("bytes_left", [0.5, 0.01])
def test_from_a_piece_of_a_database_nothing_is_served(on_disk: Location, bytes_left: float) -> None:
    page_of(on_disk.sqlite_path, "agents")
    os.truncate(on_disk.sqlite_path, int(on_disk.sqlite_path.stat().st_size * bytes_left))
    check_refusal(refusal_to_serve(on_disk.sqlite_path.parent), "damaged")


def test_from_what_is_no_database_nothing_is_served(on_disk: Location) -> None:
    on_disk.sqlite_path.write_bytes(b"not a database" * 1_000)
    check_refusal(refusal_to_serve(on_disk.sqlite_path.parent), "damaged")


@pytest.mark.slow
async def test_with_a_log_damaged_under_it_a_server_refuses_calls(on_disk: Location) -> None:
    async with staged(on_disk) as scene:
        arrived = scene.crowd.count("arrived")
        overwrite(on_disk.sqlite_path, page_of(on_disk.sqlite_path, "audit"))
        for _ in range(4):
            assert (await scene.call()).failed
        assert scene.crowd.count("arrived") == arrived
        await scene.server.kill()


def copy_of(path: Path, folder: Path, wal_bytes: int) -> Location:
    """The database as another machine would find it, with so much of its write-ahead log."""
    folder.mkdir(mode=0o700)
    copied = Path(shutil.copy(path, folder))
    shutil.copy(f"{path}-wal", folder)
    os.truncate(f"{copied}-wal", wal_bytes)
    return Location(copied)


def size_of_log(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


async def numbers_after_a_start(location: Location) -> list[int]:
    """Of the calls on record once a server has started on it, and has been stopped."""
    async with Serve(location) as server:
        await server.start()
        await server.stop()
    async with outside(location, "") as wicket_there:
        return [entry.number for entry in await read_log(wicket_there.database) if entry.allowed]


@pytest.mark.slow
async def test_a_write_ahead_log_that_was_cut_off_is_read_to_its_last_whole_commit(
    on_disk: Location, tmp_path: Path
) -> None:
    async with staged(on_disk) as scene:
        for _ in range(5):
            await scene.call()
            await scene.until_settled()
        await scene.server.kill()
        whole = size_of_log(on_disk.sqlite_path)
        rows = []
        for part in range(CUTS):
            copied = copy_of(on_disk.sqlite_path, tmp_path / str(part), whole * part // (CUTS - 1))
            rows.append(await numbers_after_a_start(copied))
            verified = await asyncio.to_thread(wicket, "audit", "verify", "--data-dir", tmp_path / str(part))
            assert verified.code == 0, verified
        assert rows[-1] == [story.number for story in scene.crowd.stories.values() if story.allowed]
        assert all(some == rows[-1][: len(some)] for some in rows)
        assert len(rows[0]) < len(rows[-1])
