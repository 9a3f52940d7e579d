"""A policy saved on a disk that fails at every write and sync of the save: whole or not at all, and so in force."""

import asyncio
import errno
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.cli.commands import wicket
from tests.databases import Location
from tests.faults.storage_disk import Disk, Kind
from tests.faults.storage_server import Scene, staged
from wicket.core.model import Json, JsonObject


@dataclass
class Owner:
    """Who saves a policy again and again through the API."""

    scene: Scene
    token: str
    policy: str = ""

    @property
    def path(self) -> str:
        return f"{self.scene.server.url}/api/agents/{self.scene.agent.id}/policies{self.policy}"

    async def ask(self, method: str, path: str, body: Json = None) -> tuple[int, JsonObject]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.scene.wicket.http.request(method, path, json=body, headers=headers) as answer:
            document = await answer.json()
            assert isinstance(document, dict)
            return answer.status, document

    async def save(self, effect: str) -> int:
        body: JsonObject = {"name": "a switch", "effect": effect, "service": "fake", "tools": ["echo"]}
        status, saved = await self.ask("PUT" if self.policy else "POST", self.path, body)
        if not self.policy:
            self.policy = f"/{saved['id']}"
        return status

    async def found(self) -> tuple[str, int]:
        """Effect and version as the policy has them, which its newest version has too."""
        _, policy = await self.ask("GET", self.path)
        _, versions = await self.ask("GET", f"{self.path}/versions")
        newest = items_of(versions)[0]
        saved = newest["policy"]
        assert isinstance(saved, Mapping)
        assert (saved["effect"], newest["version"]) == (policy["effect"], policy["version"])
        return str(policy["effect"]), int(str(policy["version"]))


def items_of(listed: JsonObject) -> list[JsonObject]:
    items = listed["items"]
    assert isinstance(items, list)
    return [item for item in items if isinstance(item, dict)]


async def check_in_force(scene: Scene, effect: str) -> None:
    while (story := await scene.call()).failed:
        await asyncio.sleep(0)
    assert story.reason == ("forbidden_by_policy" if effect == "forbid" else None)


async def measured(owner: Owner, disk: Disk, kind: Kind) -> int:
    before = disk.count(kind)
    assert await owner.save("permit") == 200
    return disk.count(kind) - before


@pytest.mark.slow
@pytest.mark.promise("P13")
@pytest.mark.parametrize(("kind", "error"), [(Kind.WRITE, errno.ENOSPC), (Kind.SYNC, errno.EIO)])
async def test_a_policy_is_saved_whole_or_not_at_all(
    on_disk: Location, disk: Disk, kind: Kind, error: int
) -> None:
    async with staged(on_disk, disk.environment) as scene:
        made = await asyncio.to_thread(
            wicket,
            *("token", "create", "--email", "owner@example.com"),
            *("--data-dir", on_disk.sqlite_path.parent),
        )
        owner = Owner(scene, made.out.strip())
        assert await owner.save("permit") == 201
        count = min([await measured(owner, disk, kind) for _ in range(3)])
        refused, before = 0, await owner.found()
        for number in range(1, count + 1):
            wanted = "forbid" if before[0] == "permit" else "permit"
            first, struck = disk.count(kind) + number, disk.struck
            disk.fail(kind, error=error, at=first, to=first)
            status = await owner.save(wanted)
            disk.work()
            assert disk.struck > struck
            after = await owner.found()
            assert (status, after) in ((200, (wanted, before[1] + 1)), (503, before))
            await check_in_force(scene, after[0])
            refused, before = refused + (status == 503), after
            await scene.until_settled()
        assert refused > 0
        await scene.check()
