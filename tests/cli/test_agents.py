import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.commands import command_line, environment, wicket
from tests.cli.conftest import Left
from tests.databases import Location
from wicket.core.model import TrustMode
from wicket.store import accounts, agents
from wicket.store.db import Database, open_database


async def add_agent(database: Database, *, owner: str, name: str) -> agents.StoredAgent:
    now = datetime.now(UTC)
    account = await database.change(accounts.get_or_create_account, email=owner, now=now, agents=())
    return await database.change(
        agents.create_agent, owner_id=account.id, name=name, trust_mode=TrustMode.TRUSTED, now=now, agents=()
    )


def add_agent_in(data_dir: Path, *, owner: str, name: str) -> str:
    async def add() -> str:
        database = await open_database(sqlite_path=data_dir / "wicket.db")
        try:
            return (await add_agent(database, owner=owner, name=name)).id
        finally:
            await database.close()

    return asyncio.run(add())


def test_all_agents_are_listed(left: Left) -> None:
    listed = wicket("agents", "list", "--data-dir", left.data_dir)
    assert listed.rows == [["helper", "active", "trusted", "fake", "owner@example.com", left.agent_id]]
    as_json = wicket("agents", "list", "--json", "--data-dir", left.data_dir).json["items"]
    assert isinstance(as_json, list)
    assert [item["id"] for item in as_json if isinstance(item, dict)] == [left.agent_id]


@pytest.mark.parametrize("by_id", [True, False])
def test_an_agent_is_shown_by_name_or_id(left: Left, *, by_id: bool) -> None:
    shown = wicket(
        "agents", "show", left.agent_id if by_id else "HELPER", "--json", "--data-dir", left.data_dir
    )
    members, policies = shown.json["members"], shown.json["policies"]
    assert isinstance(members, list)
    assert isinstance(policies, list)
    assert [m["email"] for m in members if isinstance(m, dict)] == ["owner@example.com", "ben@example.com"]
    assert [p["key"] for p in policies if isinstance(p, dict)] == ["everybody-may-read", "not-from-outside"]


def test_an_agent_is_shown_to_people(left: Left) -> None:
    fields = dict(row[:2] for row in wicket("agents", "show", "helper", "--data-dir", left.data_dir).rows)
    assert fields["id"] == left.agent_id
    assert fields["owner"] == "owner@example.com"


def test_an_agent_is_disabled_and_enabled_with_no_server_running(left: Left) -> None:
    arguments = ("helper", "--json", "--data-dir", left.data_dir)
    disabled = wicket("agents", "disable", "--reason", "it ran wild", *arguments)
    assert (disabled.code, disabled.json["status"], disabled.json["statusReason"]) == (
        0, "disabled", "it ran wild",
    )  # fmt: skip
    refused = wicket("can", "ben@example.com", "fake__echo", "--json", "--data-dir", left.data_dir)
    assert (refused.code, refused.json["reasonCode"]) == (1, "agent_disabled")
    assert wicket("agents", "enable", *arguments).json["status"] == "active"
    assert wicket("can", "ben@example.com", "fake__echo", "--data-dir", left.data_dir).code == 0
    assert wicket("audit", "verify", "--data-dir", left.data_dir).code == 0


def test_an_unknown_agent_ends_with_4(left: Left) -> None:
    for command in ("show", "disable", "enable"):
        assert wicket("agents", command, "nobody", "--data-dir", left.data_dir).code == 4


def test_an_ambiguous_name_ends_with_5_and_names_the_ids(left: Left) -> None:
    other = add_agent_in(left.data_dir, owner="carol@example.com", name="Helper")
    ended = wicket("agents", "disable", "helper", "--data-dir", left.data_dir)
    assert ended.code == 5
    assert other in ended.err
    assert left.agent_id in ended.err
    assert wicket("agents", "disable", other, "--data-dir", left.data_dir).code == 0


async def test_the_kill_switch_works_on_both_databases(location: Location, tmp_path: Path) -> None:
    database = await location.open()
    agent = await add_agent(database, owner="ada@example.com", name="helper")
    before = await database.revision(agent.id)
    url = {} if location.url is None else {"WICKET_DATABASE_URL": location.url}
    process = await asyncio.create_subprocess_exec(
        *command_line("agents", "disable", "helper", "--data-dir", tmp_path), env=environment(**url)
    )
    async with asyncio.timeout(30):
        assert await process.wait() == 0
    found = await database.read(agents.get_agent, agent_id=agent.id)
    assert found.status == "disabled"
    assert before is not None
    assert found.revision > before
    await database.close()
