"""The kill switch on a full disk: a reserve is given up for it, with the server up or down."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cli.commands import Ended, environment, started, wicket
from tests.databases import Location
from tests.faults.storage_disk import Disk
from tests.faults.storage_server import Scene, staged
from wicket.store.reserve import Reserve

pytestmark = pytest.mark.promise("P7")

FULL_AFTER_MAX = 2_000
"""Calls that find room in what the write-ahead log has left over."""


def on_this_disk(disk: Disk, data_dir: Path, *arguments: str) -> Ended:
    """A command in a process of its own, which finds no more room than the others."""
    process = started(*arguments, "--data-dir", data_dir, cwd=data_dir, settings=disk.environment)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Ended(process.returncode, out, err)


async def status_in(data_dir: Path) -> str:
    shown = await asyncio.to_thread(wicket, "agents", "show", "helper", "--json", "--data-dir", data_dir)
    return str(shown.json["status"])


def reserve_of(location: Location) -> Reserve:
    return Reserve(location.sqlite_path)


async def left_behind(location: Location, disk: Disk) -> None:
    """A server has run and has been stopped in order."""
    async with staged(location, disk.environment) as scene:
        await scene.call()
        await scene.check()


async def fill(scene: Scene, disk: Disk) -> None:
    """No file may grow any more, and what the log had left over is used up."""
    struck = disk.struck
    disk.limit(0)
    for _ in range(FULL_AFTER_MAX):
        if (await scene.call()).failed and disk.struck > struck:
            return
    raise AssertionError("the disk is full, and calls are recorded all the same")


@asynccontextmanager
async def full(location: Location, disk: Disk) -> AsyncIterator[Scene]:
    async with staged(location, disk.environment) as scene:
        assert reserve_of(location).is_whole
        await fill(scene, disk)
        yield scene


@pytest.mark.slow
async def test_with_the_server_down_and_the_disk_full_an_agent_is_disabled(
    on_disk: Location, disk: Disk
) -> None:
    data_dir = on_disk.sqlite_path.parent
    await left_behind(on_disk, disk)
    assert reserve_of(on_disk).is_whole
    disk.limit(0)
    disabled = on_this_disk(disk, data_dir, "agents", "disable", "helper", "--reason", "it ran wild")
    assert disk.struck > 0
    assert disabled.code == 0, disabled
    assert "disk is full" in disabled.err
    assert disk.room_bytes > 0
    assert not reserve_of(on_disk).is_whole
    assert await status_in(data_dir) == "disabled"


@pytest.mark.slow
async def test_without_the_reserve_a_full_disk_keeps_the_agent_as_it_is(
    on_disk: Location, disk: Disk
) -> None:
    data_dir = on_disk.sqlite_path.parent
    await left_behind(on_disk, disk)
    assert reserve_of(on_disk).give_up()
    disk.limit(0)
    assert on_this_disk(disk, data_dir, "agents", "disable", "helper").code == 6
    assert await status_in(data_dir) == "active"


@pytest.mark.slow
async def test_what_is_no_stop_does_not_touch_the_reserve(on_disk: Location, disk: Disk) -> None:
    data_dir = on_disk.sqlite_path.parent
    await left_behind(on_disk, disk)
    disk.limit(0)
    assert on_this_disk(disk, data_dir, "agents", "enable", "helper").code == 6
    assert on_this_disk(disk, data_dir, "serve", "--port", "0").code == 6
    assert reserve_of(on_disk).is_whole


@pytest.mark.slow
async def test_with_the_server_up_and_the_disk_full_an_agent_is_disabled(
    on_disk: Location, disk: Disk
) -> None:
    data_dir = on_disk.sqlite_path.parent
    async with full(on_disk, disk) as scene:
        calling = [asyncio.create_task(call_until_told(scene)) for _ in range(8)]
        disabled = await asyncio.to_thread(on_this_disk, disk, data_dir, "agents", "disable", "helper")
        assert disabled.code == 0, disabled
        answered = scene.crowd.tick()
        assert "disk is full" in disabled.err
        assert not reserve_of(on_disk).is_whole
        disk.work()
        async with asyncio.timeout(30):
            assert set(await asyncio.gather(*calling)) == {"agent_disabled"}
        late = [story for story in scene.crowd.stories.values() if story.started > answered]
        assert [story.number for story in late if story.arrived is not None] == []
        enabled = await asyncio.to_thread(wicket, "agents", "enable", "helper", "--data-dir", data_dir)
        assert enabled.code == 0, enabled
        assert reserve_of(on_disk).is_whole
        await scene.until_it_works()
        await scene.check()


async def call_until_told(scene: Scene) -> str:
    """Call again and again, as long as calls are allowed, or fail for want of room; why they ended."""
    while True:
        story = await scene.call()
        if story.refused:
            return str(story.reason)


@pytest.mark.slow
async def test_with_the_disk_full_the_api_disables_an_agent(on_disk: Location, disk: Disk) -> None:
    data_dir = on_disk.sqlite_path.parent
    async with full(on_disk, disk) as scene:
        disk.work()
        made = await asyncio.to_thread(
            wicket, "token", "create", "--email", "owner@example.com", "--data-dir", data_dir
        )
        await scene.until_it_works()
        await fill(scene, disk)
        async with scene.wicket.http.put(
            f"{scene.server.url}/api/agents/{scene.agent.id}/status",
            data=json.dumps({"status": "disabled"}),
            headers={"Authorization": f"Bearer {made.out.strip()}", "Content-Type": "application/json"},
        ) as answer:
            assert answer.status == 200, await answer.text()
        assert not reserve_of(on_disk).is_whole
        disk.work()
        assert await call_until_told(scene) == "agent_disabled"
        await scene.agent.wicket.change(lambda _tx: None, agents=[])
        assert reserve_of(on_disk).is_whole
        await scene.check()


def test_the_doctor_misses_the_reserve(on_disk: Location) -> None:
    data_dir = on_disk.sqlite_path.parent
    found = {}
    for is_there in (False, True):
        if is_there:
            reserve_of(on_disk).keep()
        checks = wicket("doctor", "--json", "--data-dir", data_dir).json["checks"]
        assert isinstance(checks, list)
        found[is_there] = [c["ok"] for c in checks if isinstance(c, dict) and c["check"] == "reserve"]
    assert found == {False: [False], True: [True]}


@pytest.mark.parametrize("left", [0, 4_096])
def test_a_reserve_is_whole_or_not_there(on_disk: Location, disk: Disk, left: int) -> None:
    """Where there is not enough room for all of it, none is taken."""
    program = "import sys, pathlib; from wicket.store import reserve; reserve.Reserve(pathlib.Path(sys.argv[1])).keep()"
    disk.limit(left)
    keeping = [sys.executable, "-c", program, str(on_disk.sqlite_path)]
    subprocess.run(keeping, env=environment(**disk.environment), check=True)
    assert list(on_disk.sqlite_path.parent.glob("*.reserve")) == []
    assert disk.room_bytes == left
