"""Worlds: everything that a decision reads, loaded whole; and that no secret lies in the file."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.databases import Location
from wicket.connectors.services import catalog
from wicket.core.errors import Unavailable
from wicket.core.keys import ServerKeys, make_key
from wicket.core.model import (
    AgentStatus,
    Connector,
    ConnectorKind,
    DenialShape,
    MemberStatus,
    PolicyEffect,
    Role,
    Tier,
    TrustMode,
)
from wicket.core.policy.document import PolicyDocument, digest_of
from wicket.core.world import AgentSettings, ConnectionRef, Member, World
from wicket.store import accounts, agents, connections, keys, members, pins, policies, tables, worlds
from wicket.store.connections import Connection
from wicket.store.db import Database, PostgresDatabase, SqliteDatabase, upgrade
from wicket.store.db.postgres import connection_over as postgres_connection_over
from wicket.store.db.sqlite import connect_raw
from wicket.store.db.sqlite import connection_over as sqlite_connection_over
from wicket.store.pins import SeenTool
from wicket.store.policies import StoredPolicy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVER = ServerKeys([b"a server secret of thirty-two bytes or more"])
KEYS = [make_key(bytes([n] * 24)) for n in range(3)]
GIT = Connector(
    key="git", name="Git here", namespace="Custom_gitMCP", kind=ConnectorKind.STDIO, url="stdio:git"
)
TOKENS = ["ghp_canaryBeforeTheKey", "xoxb-canaryAfterTheKey"]
FORBID = PolicyDocument(
    name="No merges",
    service="github",
    effect=PolicyEffect.FORBID,
    tools=("merge_pull_request",),
    deny_message="merges wait",
)


@dataclass(frozen=True)
class Made:
    """What `make` left in the database, as a world must tell it."""

    agent_id: str
    owner: Member
    member: Member
    revoked_key_id: str
    live_key_id: str
    policies: tuple[StoredPolicy, ...]
    connections: tuple[Connection, ...]


def make(tx: sa.Connection) -> Made:
    """An agent with something of everything."""
    ada = accounts.get_or_create_account(tx, email="ada@example.com", now=NOW)
    bob = accounts.get_or_create_account(tx, email="bob@example.com", now=NOW)
    agent = agents.create_agent(tx, owner_id=ada.id, name="Builder", trust_mode=TrustMode.TRUSTED, now=NOW)
    by_ada: dict[str, Any] = {"agent_id": agent.id, "actor_id": ada.id, "now": NOW}
    agents.put_settings(
        tx, settings=agents.StoredSettings(5, 0.5, DenialShape.TOOL_RESULT, "Europe/Berlin"), **by_ada
    )
    agents.set_services(tx, services=["slack", "github", "git"], local={"git": GIT}, **by_ada)
    owner = members.find_membership(tx, agent_id=agent.id, account_id=ada.id)
    joined = members.join(tx, agent_id=agent.id, account_id=bob.id, now=NOW)
    assert owner is not None
    mine: dict[str, Any] = {"agent_id": agent.id, "member_id": owner.id, "server": SERVER, "now": NOW}
    connections.put_connection(tx, service="github", token=TOKENS[0], **mine)
    revoked = keys.put_key(tx, key=KEYS[0], current_key=None, **mine)
    live = keys.put_key(tx, key=KEYS[1], current_key=KEYS[0], **mine)
    connections.put_connection(tx, service="slack", token=TOKENS[1], **mine)
    known = policies.load_known_tools(tx, agent_id=agent.id)
    policies.create_policy(
        tx, agent=agent, document=FORBID, actor_id=ada.id, note=None, now=NOW, known_tools=known
    )
    seen = SeenTool("canary_tool", "hash-1", {"name": "canary_tool"}, Tier.WRITE)
    pins.observe(tx, agent_id=agent.id, service="github", member_id=owner.id, seen=[seen], now=NOW)
    other = SeenTool("canary_tool", "hash-2", {"name": "canary_tool"}, Tier.WRITE)
    pins.observe(tx, agent_id=agent.id, service="github", member_id=joined.id, seen=[other], now=NOW)
    return Made(
        agent_id=agent.id,
        owner=Member(owner.id, ada.id, ada.email, Role.OWNER, MemberStatus.APPROVED),
        member=Member(joined.id, bob.id, bob.email, Role.MEMBER, MemberStatus.PENDING),
        revoked_key_id=revoked.id,
        live_key_id=live.id,
        policies=tuple(policies.list_policies(tx, agent_id=agent.id).items),
        connections=connections.list_connections(tx, agent_id=agent.id, member_id=owner.id),
    )


async def load(database: Database, agent_id: str) -> World:
    world = await database.read(worlds.load, agent_id, local={"git": GIT})
    assert world is not None
    return world


async def test_a_world_tells_everything_that_was_saved(database: Database) -> None:
    made = await database.change(make, agents=[])
    world = await load(database, made.agent_id)
    assert (world.agent_name, world.status, world.trust_mode) == (
        "Builder",
        AgentStatus.ACTIVE,
        TrustMode.TRUSTED,
    )
    assert world.revision == await database.revision(made.agent_id)
    assert world.settings == AgentSettings(5, 0.5, DenialShape.TOOL_RESULT)
    assert world.members == {made.owner.id: made.owner, made.member.id: made.member}
    assert world.services == {"slack": catalog()["slack"], "github": catalog()["github"], "git": GIT}
    assert list(world.services) == ["slack", "github", "git"]
    assert world.connections == {
        (made.owner.id, made_one.service): ConnectionRef(made_one.id, made_one.version)
        for made_one in made.connections
    }


async def test_a_world_knows_live_keys_and_revoked_ones(database: Database) -> None:
    made = await database.change(make, agents=[])
    world = await load(database, made.agent_id)
    known = {digest: (key.id, key.member_id, key.live) for digest, key in world.keys.items()}
    assert known == {
        SERVER.digest(KEYS[0]): (made.revoked_key_id, made.owner.id, False),
        SERVER.digest(KEYS[1]): (made.live_key_id, made.owner.id, True),
    }


async def test_a_world_holds_the_current_version_of_the_enabled_policies(database: Database) -> None:
    made = await database.change(make, agents=[])
    forbid = next(policy for policy in made.policies if policy.document == FORBID)
    off, *others = (policy.id for policy in made.policies if policy.document != FORBID)
    change: dict[str, Any] = {
        "agent_id": made.agent_id,
        "actor_id": None,
        "now": NOW,
        "agents": [made.agent_id],
    }
    await database.change(policies.toggle_policy, policy_id=off, enabled=False, **change)
    world = await load(database, made.agent_id)
    assert {policy.ref.id for policy in world.policies} == {forbid.id, *others}
    found = next(policy for policy in world.policies if policy.document == FORBID)
    assert (found.ref.key, found.ref.version, found.ref.name) == ("no-merges", 1, "No merges")
    assert (found.ref.effect, found.ref.deny_message) == (PolicyEffect.FORBID, "merges wait")
    assert found.ref.digest == digest_of(FORBID, 1)


async def test_a_changed_tool_is_held_for_the_member_who_gets_it_alone(database: Database) -> None:
    made = await database.change(make, agents=[])
    pin = (await load(database, made.agent_id)).pins["github", "canary_tool"]
    assert (pin.tier, pin.accepted, pin.held) == (None, frozenset({"hash-1"}), False)
    assert pin.changed_for == {made.member.id}


async def test_what_no_one_describes_any_more_is_not_enabled(database: Database) -> None:
    made = await database.change(make, agents=[])
    world = await database.read(worlds.load, made.agent_id)
    assert world is not None
    assert list(world.services) == ["slack", "github"]


async def test_a_digest_leads_to_its_agent_until_that_is_deleted(database: Database) -> None:
    made = await database.change(make, agents=[])
    for key, agent_id in zip(KEYS, (made.agent_id, made.agent_id, None), strict=True):
        assert await database.read(worlds.agent_of_digest, SERVER.digest(key)) == agent_id
    await database.change(
        agents.delete_agent, agent_id=made.agent_id, actor_id=None, now=NOW, agents=[made.agent_id]
    )
    assert await database.read(worlds.agent_of_digest, SERVER.digest(KEYS[1])) is None
    assert await database.read(worlds.load, made.agent_id) is None
    assert await database.read(worlds.load, "never") is None


@pytest.mark.parametrize(
    "spoil",
    [
        sa.update(tables.policy_versions).values(document="{"),
        sa.update(tables.policy_versions).values(
            document=json.dumps({"name": "x", "restrictions": {"channels": ["C"]}})
        ),
        sa.delete(tables.policy_versions),
        sa.update(tables.members).values(status="frozen"),
        sa.update(tables.agents).values(status="asleep"),
        sa.update(tables.agents).values(settings='{"rateBurst": -1}'),
        sa.update(tables.tool_pins).values(accepted="[1]"),
        sa.update(tables.tool_pins).values(tier="harmless"),
        sa.delete(tables.accounts),
    ],
)
async def test_a_row_that_cannot_be_understood_is_never_skipped(database: Database, spoil: sa.Update) -> None:
    made = await database.change(make, agents=[])
    await database.change(lambda tx: tx.execute(spoil) and None, agents=[])
    with pytest.raises(Unavailable) as refused:
        await database.read(worlds.load, made.agent_id)
    assert refused.value.code == "rules_unreadable"


async def test_a_world_loads_within_the_recorders_own_transaction(database: Database) -> None:
    made = await database.change(make, agents=[])
    expected = await load(database, made.agent_id)

    def load_here(tx: sa.Connection) -> World | None:
        return worlds.load(tx, made.agent_id, local={"git": GIT})

    if isinstance(database, SqliteDatabase):
        raw = connect_raw(database.path)
        connection = sqlite_connection_over(raw)
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("UPDATE agents SET revision = revision + 1")
        inside = load_here(connection)
        assert raw.in_transaction
        raw.execute("COMMIT")
        connection.close()
    else:
        assert isinstance(database, PostgresDatabase)
        raw = await database.connect_raw()
        over = await postgres_connection_over(raw)
        await raw.execute("BEGIN")
        await raw.execute("UPDATE agents SET revision = revision + 1")
        inside = await over.run_sync(load_here)
        assert raw.is_in_transaction()
        await raw.execute("COMMIT")
        await over.close()
        await raw.close()
    assert inside is not None
    assert (inside.revision, inside.policies) == (expected.revision + 1, expected.policies)
    assert await load(database, made.agent_id) == inside


def bytes_below(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def test_neither_keys_nor_tokens_lie_in_the_files(tmp_path: Path) -> None:
    database = await Location(tmp_path / "wicket.db").open()
    await upgrade(database)
    await database.change(make, agents=[])
    account = await database.change(
        accounts.get_or_create_account, email="ada@example.com", now=NOW, agents=[]
    )
    made = await database.change(
        accounts.create_token,
        account_id=account.id,
        name="ci",
        scopes=frozenset({accounts.Scope.READ}),
        expires_at=None,
        now=NOW,
        agents=[],
    )
    stored = bytes_below(tmp_path)
    assert b"ada@example.com" in stored
    assert [secret for secret in (*KEYS, *TOKENS, made.token) if secret.encode() in stored] == []
    await database.close()
