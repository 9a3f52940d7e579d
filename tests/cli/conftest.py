"""A data directory as a Wicket leaves it: an agent, members, policies, and calls that were decided."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.databases import database_kind, location, postgres_server, sqlite_template
from tests.instance import Instance

__all__ = ["database_kind", "location", "postgres_server", "sqlite_template"]

NOBODY_LISTENS = "http://127.0.0.1:9/mcp"


@dataclass(frozen=True)
class Left:
    """What was left behind: `owner@example.com` owns `helper`, `ben@example.com` may only read."""

    data_dir: Path
    agent_id: str
    owner_member: str
    ben: str
    policy_id: str


async def _leave(directory: Path) -> Left:
    async with Instance.started(directory) as wicket:
        agent = await wicket.agent(services={"fake": NOBODY_LISTENS})
        ben = await agent.member("ben@example.com")
        policy = await agent.policy(name="Everybody may read", service="fake", tools=["echo"])
        await agent.policy(
            name="=Not from outside", service="fake", tools=["echo"], effect="forbid",
            denyMessage="=only from this host", network={"notIn": ["127.0.0.0/8"]},
        )  # fmt: skip
        owners_key, bens_key = await agent.key(), await agent.key("ben@example.com")
        await wicket.call(owners_key, "fake__echo", {"text": "=1+1"})
        for _ in range(3):
            await wicket.call(bens_key, "fake__delete_everything")
        await wicket.settled(1)
    return Left(directory / "data", agent.id, agent.owner_member, ben, policy.id)


@pytest.fixture(scope="session")
def left_once(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return asyncio.run(_leave(tmp_path_factory.mktemp("left")))


@pytest.fixture
def left(left_once: Left, tmp_path: Path) -> Left:
    """A copy of one's own."""
    shutil.copytree(left_once.data_dir, tmp_path / "data")
    return Left(tmp_path / "data", *list(vars(left_once).values())[1:])
