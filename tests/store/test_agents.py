"""Agents: who sees them, what they are called, which services they have."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.core.model import (
    AgentStatus,
    Connector,
    ConnectorKind,
    DenialShape,
    Json,
    MemberStatus,
    Role,
    TrustMode,
)
from wicket.store import accounts, agents, members, policies, tables
from wicket.store.agents import StoredAgent, StoredSettings
from wicket.store.db import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIT = Connector(
    key="git", name="Git here", namespace="Custom_gitMCP", kind=ConnectorKind.STDIO, url="stdio:git"
)


async def make_account(database: Database, email: str = "ada@example.com") -> str:
    account = await database.change(accounts.get_or_create_account, email=email, now=NOW, agents=[])
    return account.id


async def make_agent(
    database: Database,
    owner_id: str,
    name: str = "Builder",
    *,
    trust_mode: TrustMode = TrustMode.TRUSTED,
    tags: tuple[str, ...] = (),
    after_s: int = 0,
) -> StoredAgent:
    return await database.change(
        agents.create_agent,
        owner_id=owner_id,
        name=name,
        trust_mode=trust_mode,
        tags=tags,
        now=NOW + timedelta(seconds=after_s),
        agents=[],
    )


async def set_services(database: Database, agent: StoredAgent, *services: str) -> StoredAgent:
    return await database.change(
        agents.set_services,
        agent_id=agent.id,
        services=services,
        local={"git": GIT},
        actor_id=agent.owner_id,
        now=NOW,
        agents=[agent.id],
    )


async def join(database: Database, agent: StoredAgent, email: str) -> str:
    account_id = await make_account(database, email)
    await database.change(members.join, agent_id=agent.id, account_id=account_id, now=NOW, agents=[agent.id])
    return account_id


async def test_an_agent_is_made_active_and_its_owner_is_an_approved_member(database: Database) -> None:
    owner_id = await make_account(database)
    made = await make_agent(database, owner_id, " Builder ", tags=("prod", "web"))
    seen = await database.read(agents.get_agent_of, agent_id=made.id, account_id=owner_id)
    assert seen.agent == made
    assert (made.name, made.status, made.tags, made.services) == (
        "Builder",
        AgentStatus.ACTIVE,
        ("prod", "web"),
        (),
    )
    assert (seen.role, seen.member_status) == (Role.OWNER, MemberStatus.APPROVED)
    assert await database.revision(made.id) == made.revision == 1


@pytest.mark.parametrize("again", ["builder", "BUILDER", "Builder "])
async def test_an_owner_cannot_use_a_name_twice_in_any_letter_case(database: Database, again: str) -> None:
    owner_id = await make_account(database)
    await make_agent(database, owner_id, "Builder")
    with pytest.raises(Conflict) as refused:
        await make_agent(database, owner_id, again)
    assert refused.value.code == "name_taken"


async def test_another_owner_may_use_the_same_name_and_both_are_found_by_it(database: Database) -> None:
    first = await make_agent(database, await make_account(database))
    second = await make_agent(database, await make_account(database, "bob@example.com"), after_s=1)
    assert await database.read(agents.find_agents, name_or_id="BUILDER") == (first, second)
    assert await database.read(agents.find_agents, name_or_id=second.id) == (second,)
    assert await database.read(agents.find_agents, name_or_id="nobody") == ()
    assert await database.read(agents.list_all_agents) == (first, second)


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\x00b", "a\u202eb", "\ud800"])
async def test_a_name_that_would_mislead_is_refused(database: Database, name: str) -> None:
    owner_id = await make_account(database)
    with pytest.raises(Invalid) as refused:
        await make_agent(database, owner_id, name)
    assert refused.value.field == "name"


@pytest.mark.parametrize(
    ("tags", "field"),
    [
        (("a", ""), "tags[1]"),
        (("a", "a"), "tags[1]"),
        (("x" * 41,), "tags[0]"),
        (tuple(map(str, range(21))), "tags"),
    ],
)
async def test_tags_are_refused_by_their_place(database: Database, tags: tuple[str, ...], field: str) -> None:
    owner_id = await make_account(database)
    with pytest.raises(Invalid) as refused:
        await make_agent(database, owner_id, tags=tags)
    assert refused.value.field == field


async def test_an_agent_is_renamed_and_tagged(database: Database) -> None:
    agent = await make_agent(database, await make_account(database), tags=("old",))
    change: dict[str, Any] = {
        "agent_id": agent.id,
        "actor_id": agent.owner_id,
        "now": NOW,
        "agents": [agent.id],
    }
    renamed = await database.change(agents.update_agent, name="BUILDER", **change)
    assert (renamed.name, renamed.tags) == ("BUILDER", ("old",))
    tagged = await database.change(agents.update_agent, tags=["new"], **change)
    assert (tagged.name, tagged.tags) == ("BUILDER", ("new",))
    await make_agent(database, agent.owner_id, "Other")
    with pytest.raises(Conflict) as refused:
        await database.change(agents.update_agent, name="other", **change)
    assert refused.value.code == "name_taken"


async def test_a_disabled_agent_says_why_until_it_is_active_again(database: Database) -> None:
    agent = await make_agent(database, await make_account(database))
    change: dict[str, Any] = {
        "agent_id": agent.id,
        "actor_id": agent.owner_id,
        "now": NOW,
        "agents": [agent.id],
    }
    off = await database.change(agents.set_status, status=AgentStatus.DISABLED, reason="runs wild", **change)
    assert (off.status, off.status_reason) == (AgentStatus.DISABLED, "runs wild")
    on = await database.change(agents.set_status, status=AgentStatus.ACTIVE, reason=None, **change)
    assert (on.status, on.status_reason) == (AgentStatus.ACTIVE, None)
    assert await database.revision(agent.id) == 3
    with pytest.raises(Invalid):
        await database.change(agents.set_status, status=AgentStatus.DISABLED, reason="x" * 501, **change)


async def test_a_deleted_agent_is_gone_and_its_name_is_free(database: Database) -> None:
    agent = await make_agent(database, await make_account(database))
    delete: dict[str, Any] = {
        "agent_id": agent.id,
        "actor_id": agent.owner_id,
        "now": NOW,
        "agents": [agent.id],
    }
    await database.change(agents.delete_agent, **delete)
    with pytest.raises(NotFound):
        await database.read(agents.get_agent, agent_id=agent.id)
    with pytest.raises(NotFound):
        await database.change(agents.delete_agent, **delete)
    assert await database.revision(agent.id) is None
    again = await make_agent(database, agent.owner_id)
    await database.change(agents.delete_agent, **{**delete, "agent_id": again.id, "agents": [again.id]})
    assert await database.read(agents.list_all_agents) == ()


async def test_who_is_no_member_cannot_tell_an_agent_from_none(database: Database) -> None:
    agent = await make_agent(database, await make_account(database))
    stranger = await make_account(database, "eve@example.com")
    for agent_id in (agent.id, "nothing"):
        with pytest.raises(NotFound):
            await database.read(agents.get_agent_of, agent_id=agent_id, account_id=stranger)
    assert (await database.read(agents.list_agents, account_id=stranger)).total == 0


async def test_pending_members_see_the_agent_and_removed_ones_do_not(database: Database) -> None:
    agent = await make_agent(database, await make_account(database))
    account_id = await join(database, agent, "bob@example.com")
    seen = await database.read(agents.get_agent_of, agent_id=agent.id, account_id=account_id)
    assert (seen.role, seen.member_status) == (Role.MEMBER, MemberStatus.PENDING)
    await database.change(
        members.reject, agent_id=agent.id, member_id=seen.member_id, actor_id=None, now=NOW, agents=[agent.id]
    )
    with pytest.raises(NotFound):
        await database.read(agents.get_agent_of, agent_id=agent.id, account_id=account_id)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["zeta", "Straße", "beta", "Alpha"]),
        ({"sort_by": "name", "sort_dir": "asc"}, ["Alpha", "beta", "Straße", "zeta"]),
        ({"sort_by": "createdAt", "sort_dir": "asc"}, ["Alpha", "beta", "Straße", "zeta"]),
        ({"sort_by": "status", "sort_dir": "asc"}, ["Alpha", "Straße", "zeta", "beta"]),
        ({"search": "STRASSE"}, ["Straße"]),
        ({"search": "eta"}, ["zeta", "beta"]),
        ({"search": "%"}, []),
        ({"status": AgentStatus.DISABLED}, ["beta"]),
        ({"role": Role.MEMBER}, ["zeta"]),
        ({"role": Role.OWNER, "status": AgentStatus.ACTIVE}, ["Straße", "Alpha"]),
        ({"tag": "web"}, ["zeta", "Alpha"]),
        ({"tag": "WEB"}, []),
    ],
)
async def test_agents_are_listed_as_asked(
    database: Database, asked: dict[str, Any], names: list[str]
) -> None:
    me, other = await make_account(database), await make_account(database, "bob@example.com")
    await make_agent(database, me, "Alpha", tags=("web",))
    beta = await make_agent(database, me, "beta", after_s=1)
    await make_agent(database, me, "Straße", after_s=2)
    zeta = await make_agent(database, other, "zeta", tags=("web", "db"), after_s=3)
    await make_agent(database, other, "invisible", after_s=4)
    await join(database, zeta, "ada@example.com")
    await database.change(
        agents.set_status,
        agent_id=beta.id,
        status=AgentStatus.DISABLED,
        reason=None,
        actor_id=me,
        now=NOW,
        agents=[beta.id],
    )
    page = await database.read(lambda tx: agents.list_agents(tx, account_id=me, **asked))
    assert [seen.agent.name for seen in page.items] == names
    assert page.total == len(names)


async def test_a_page_of_agents_says_how_many_there_are(database: Database) -> None:
    me = await make_account(database)
    for index in range(5):
        await make_agent(database, me, f"agent {index}", after_s=index)
    page = await database.read(agents.list_agents, account_id=me, limit=2, offset=1)
    assert ([seen.agent.name for seen in page.items], page.total) == (["agent 3", "agent 2"], 5)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"sort_by": "owner"}, "sortBy"),
        ({"sort_dir": "up"}, "sortDir"),
        ({"limit": 0}, "limit"),
        ({"offset": -1}, "offset"),
    ],
)
async def test_a_bad_parameter_is_named(database: Database, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await database.read(lambda tx: agents.list_agents(tx, account_id="me", **asked))
    assert refused.value.field == field


async def test_services_are_replaced_in_the_owners_order(database: Database) -> None:
    agent = await make_agent(database, await make_account(database))
    assert (await set_services(database, agent, "slack", "github", "git")).services == (
        "slack",
        "github",
        "git",
    )
    assert (await set_services(database, agent, "github", "linear")).services == ("github", "linear")
    assert (await set_services(database, agent)).services == ()


@pytest.mark.parametrize(
    ("services", "field", "code"),
    [
        (("github", "nothing"), "services[1]", "unknown_service"),
        (("github", "github"), "services[1]", "invalid"),
    ],
)
async def test_a_service_that_cannot_be_enabled_is_named(
    database: Database, services: tuple[str, ...], field: str, code: str
) -> None:
    agent = await make_agent(database, await make_account(database))
    with pytest.raises(Invalid) as refused:
        await set_services(database, agent, *services)
    assert (refused.value.field, refused.value.code) == (field, code)
    assert (await database.read(agents.get_agent, agent_id=agent.id)).services == ()


async def test_a_custom_connector_is_its_makers_alone(database: Database) -> None:
    maker, other = await make_account(database), await make_account(database, "bob@example.com")

    def plant(tx: sa.Connection) -> None:
        tx.execute(
            sa.insert(tables.connectors).values(
                id="c1",
                account_id=maker,
                key="intranet",
                name="Intranet",
                url="https://x.example/mcp",
                auth="none",
                auth_header="Authorization",
                per_member=False,
                tier_from_annotations=False,
                tools="[]",
                created_at=0,
            )
        )

    await database.change(plant, agents=[])
    mine, theirs = await make_agent(database, maker), await make_agent(database, other)
    assert (await set_services(database, mine, "intranet")).services == ("intranet",)
    with pytest.raises(Invalid):
        await set_services(database, theirs, "intranet")


async def test_a_service_brings_its_baseline_once_and_never_again(database: Database) -> None:
    agent = await make_agent(database, await make_account(database))
    await set_services(database, agent, "github")
    (baseline,) = (await database.read(policies.list_policies, agent_id=agent.id)).items
    assert baseline.document.tools == ("tier:read", "tier:write")
    assert (baseline.document.effect, baseline.document.enabled) == ("permit", True)
    await database.change(
        policies.delete_policy,
        agent_id=agent.id,
        policy_id=baseline.id,
        actor_id=None,
        now=NOW,
        agents=[agent.id],
    )
    await set_services(database, agent)
    await set_services(database, agent, "github", "git")
    remaining = (await database.read(policies.list_policies, agent_id=agent.id)).items
    assert [policy.document.service for policy in remaining] == ["git"]
    states = await database.read(agents.list_services, agent_id=agent.id)
    assert [(s.service, s.enabled, s.baseline_seeded) for s in states] == [
        ("github", True, True),
        ("git", True, True),
    ]


async def test_an_untrusted_agent_starts_with_nothing(database: Database) -> None:
    agent = await make_agent(database, await make_account(database), trust_mode=TrustMode.UNTRUSTED)
    await set_services(database, agent, "github")
    assert (await database.read(policies.list_policies, agent_id=agent.id)).total == 0


async def test_settings_are_kept_as_put(database: Database) -> None:
    agent = await make_agent(database, await make_account(database))
    assert await database.read(agents.get_settings, agent_id=agent.id) == StoredSettings()
    wanted = StoredSettings(10, 0.5, DenialShape.TOOL_RESULT, "Europe/Berlin")
    await database.change(
        agents.put_settings, agent_id=agent.id, settings=wanted, actor_id=None, now=NOW, agents=[agent.id]
    )
    assert await database.read(agents.get_settings, agent_id=agent.id) == wanted
    assert agents.parse_settings(agents.render_settings(wanted)) == wanted


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rateBurst", 0),
        ("rateBurst", True),
        ("rateBurst", 1.5),
        ("ratePerSecond", 0),
        ("ratePerSecond", "1"),
        ("ratePerSecond", float("inf")),
        ("denialShape", "loud"),
        ("denialShape", []),
        ("timeZone", "Mars/Olympus"),
        ("unknown", 1),
    ],
)
def test_nonsense_in_settings_is_named(field: str, value: Json) -> None:
    with pytest.raises(Invalid) as refused:
        agents.parse_settings({field: value}, known_zones=frozenset({"Europe/Berlin"}))
    assert refused.value.field == field
