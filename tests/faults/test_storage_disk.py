"""A full disk and a broken one, at every write and sync that a few calls cause: nothing is lost or let through."""

import asyncio
import errno
import os
import random
from pathlib import Path

import pytest

from tests.cli.commands import wicket
from tests.databases import Location
from tests.faults.storage_disk import FOR_EVER, Disk, Kind
from tests.faults.storage_server import CALLERS, Scene, staged
from tests.journeys.log import open_entries

SEED = int(os.environ.get("WICKET_TEST_SEED", "11"))
IS_ALL = os.environ.get("WICKET_TEST_IO_FAULTS") == "all"
"""Every kind of fault at every operation: many minutes."""
UNDER_LOAD = 30 if IS_ALL else 5
AHEAD_MAX = 3_000
"""How many operations ahead a fault under load lies; a checkpoint comes after 2,000 writes or so."""

pytestmark = [pytest.mark.promise("P2"), pytest.mark.promise("P3")]

FULL, BROKEN = errno.ENOSPC, errno.EIO
FAULTS = {
    "no room once": (Kind.WRITE, FULL, 0),
    "syncs fail from then on": (Kind.SYNC, BROKEN, FOR_EVER),
    "a sync fails once": (Kind.SYNC, BROKEN, 0),
    "no room for a sync": (Kind.SYNC, FULL, FOR_EVER),
}
MORE_FAULTS = {
    "no room from then on": (Kind.WRITE, FULL, FOR_EVER),
    "a write fails once": (Kind.WRITE, BROKEN, 0),
    "writes fail from then on": (Kind.WRITE, BROKEN, FOR_EVER),
}
CHOSEN = FAULTS | (MORE_FAULTS if IS_ALL else {})


async def play(scene: Scene, disk: Disk) -> None:
    """Three commits: of an allowed call, of its outcome, of a denial; told apart where the disk allows it."""
    before = disk.struck
    await scene.call()
    while await open_entries(scene.wicket.database) and disk.struck == before:
        await asyncio.sleep(0)
    await scene.call("drop")


async def measured(scene: Scene, disk: Disk, kind: Kind) -> int:
    """How many operations of a kind the script takes when all goes well."""
    before = disk.count(kind)
    await play(scene, disk)
    await scene.until_settled()
    return disk.count(kind) - before


async def check_every(scene: Scene, disk: Disk, kind: Kind, error: int, lasts: int) -> None:
    """Play the script once for each of its operations, which fails; afterwards everything works by itself."""
    count = min([await measured(scene, disk, kind) for _ in range(3)])
    assert count > 0
    for number in range(1, count + 1):
        struck, first = disk.struck, disk.count(kind) + number
        disk.fail(kind, error=error, at=first, to=min(first + lasts, FOR_EVER))
        while disk.struck == struck:  # once, unless the machine was too busy to record a call of it in time
            await play(scene, disk)
        if lasts:
            assert (await scene.call()).failed
        disk.work()
        await scene.until_it_works()
        await scene.until_settled()
    await scene.check()


async def check_after_a_restart(scene: Scene, data_dir: Path) -> None:
    """Whatever was on the disk when the power went holds as well."""
    await scene.server.kill()
    await scene.server.start()
    await scene.until_it_works()
    await scene.check()
    verified = await asyncio.to_thread(wicket, "audit", "verify", "--data-dir", data_dir)
    assert verified.code == 0, verified


async def test_the_faults_reach_sqlite(on_disk: Location, disk: Disk) -> None:
    async with staged(on_disk, disk.environment) as scene:
        writes, syncs = disk.count(Kind.WRITE), disk.count(Kind.SYNC)
        await scene.call()
        assert disk.count(Kind.WRITE) > writes
        assert disk.count(Kind.SYNC) > syncs
        disk.fail(Kind.WRITE, error=FULL)
        assert (await scene.call()).failed
        assert disk.struck > 0
        disk.work()
        await scene.until_it_works()
        await scene.check()


@pytest.mark.slow
@pytest.mark.parametrize("fault", CHOSEN.values(), ids=CHOSEN)
async def test_at_every_operation_a_fault_loses_nothing_and_lets_nothing_through(
    on_disk: Location, disk: Disk, fault: tuple[Kind, int, int]
) -> None:
    async with staged(on_disk, disk.environment) as scene:
        await check_every(scene, disk, *fault)
        assert scene.failed
        await check_after_a_restart(scene, on_disk.sqlite_path.parent)


@pytest.mark.slow
async def test_under_load_a_fault_anywhere_loses_nothing_and_lets_nothing_through(
    on_disk: Location, disk: Disk
) -> None:
    chance = random.Random(SEED)
    kinds = [(Kind.WRITE, FULL), (Kind.WRITE, BROKEN), (Kind.SYNC, FULL), (Kind.SYNC, BROKEN)]
    async with staged(on_disk, disk.environment) as scene:
        for _ in range(UNDER_LOAD):
            (kind, error), lasts = chance.choice(kinds), chance.choice([0, 20, FOR_EVER])
            first = disk.count(kind) + chance.randrange(1, AHEAD_MAX if kind is Kind.WRITE else 100)
            struck, failed = disk.struck, len(scene.failed)
            disk.fail(kind, error=error, at=first, to=min(first + lasts, FOR_EVER))
            while disk.struck == struck:
                await scene.call_at_once()
            await scene.call_at_once()
            assert lasts < FOR_EVER or len(scene.failed) >= failed + CALLERS
            disk.work()
            await scene.until_it_works()
            await scene.until_settled()
        assert scene.failed
        await scene.check()
        await check_after_a_restart(scene, on_disk.sqlite_path.parent)
