"""Memberships, from joining to leaving, on both databases."""

import pytest

from tests.store.scene import KEY, LATER, NOW, SERVER, add_account, add_member, set_scene
from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.core.model import MemberStatus, Role, TrustMode
from wicket.core.policy.document import parse_policy
from wicket.store import connections, keys, members, policies
from wicket.store.db import Database

TOKEN = "ghp_canary"


async def test_the_owner_is_a_member_from_the_start(database: Database) -> None:
    scene = await set_scene(database)
    owner = await database.read(members.get_member, agent_id=scene.agent_id, member_id=scene.owner.id)
    assert (owner.role, owner.status, owner.email) == (Role.OWNER, MemberStatus.APPROVED, "owner@example.com")
    assert owner.key is None


async def test_who_joins_is_pending_until_approved(database: Database) -> None:
    scene = await set_scene(database)
    joined = await database.change(
        add_member, agent_id=scene.agent_id, email="new@example.com", approved=False, agents=[scene.agent_id]
    )
    assert joined.status is MemberStatus.PENDING
    approved = await database.change(
        members.set_status,
        agent_id=scene.agent_id,
        member_id=joined.id,
        status=MemberStatus.APPROVED,
        actor_id=scene.owner.account_id,
        now=LATER,
        agents=[scene.agent_id],
    )
    assert approved.status is MemberStatus.APPROVED
    assert (await scene.kinds())[-2:] == ["member_joined", "member_approved"]


async def test_joining_twice_changes_nothing(database: Database) -> None:
    scene = await set_scene(database)
    before = await scene.kinds()
    again = await database.change(
        members.join,
        agent_id=scene.agent_id,
        account_id=scene.member.account_id,
        now=LATER,
        agents=[scene.agent_id],
    )
    assert again == scene.member
    assert await scene.kinds() == before


async def test_approving_twice_enters_one_event(database: Database) -> None:
    scene = await set_scene(database)
    before = await scene.kinds()
    for _ in range(2):
        await database.change(
            members.approve,
            agent_id=scene.agent_id,
            member_id=scene.member.id,
            actor_id=None,
            now=LATER,
            agents=[scene.agent_id],
        )
    assert await scene.kinds() == before


async def test_a_removed_member_has_neither_key_nor_connection(database: Database) -> None:
    scene = await set_scene(database)
    place = {"agent_id": scene.agent_id, "member_id": scene.member.id}
    await database.change(
        keys.put_key, **place, key=KEY, current_key=None, server=SERVER, now=NOW, agents=[scene.agent_id]
    )
    await database.change(
        connections.put_connection,
        **place,
        service="github",
        token=TOKEN,
        server=SERVER,
        now=NOW,
        agents=[scene.agent_id],
    )
    removed = await database.change(
        members.remove, **place, actor_id=scene.owner.account_id, now=LATER, agents=[scene.agent_id]
    )
    assert (removed.status, removed.key) == (MemberStatus.REMOVED, None)
    assert await database.read(connections.list_connections, **place) == ()
    assert (await scene.kinds())[-3:] == ["member_removed", "key_revoked", "connection_deleted"]


async def test_a_rejected_applicant_loses_what_was_connected(database: Database) -> None:
    scene = await set_scene(database)
    applicant = await database.change(
        add_member, agent_id=scene.agent_id, email="new@example.com", approved=False, agents=[scene.agent_id]
    )
    place = {"agent_id": scene.agent_id, "member_id": applicant.id}
    await database.change(
        connections.put_connection,
        **place,
        service="github",
        token=TOKEN,
        server=SERVER,
        now=NOW,
        agents=[scene.agent_id],
    )
    rejected = await database.change(
        members.reject, **place, actor_id=None, now=LATER, agents=[scene.agent_id]
    )
    assert rejected.status is MemberStatus.REJECTED
    assert await database.read(connections.list_connections, **place) == ()


async def test_who_comes_back_starts_pending_and_without_own_policies(database: Database) -> None:
    scene = await set_scene(database, trust_mode=TrustMode.UNTRUSTED)
    place = {"agent_id": scene.agent_id, "member_id": scene.member.id}
    document = parse_policy(
        {
            "name": "mine",
            "service": "github",
            "effect": "permit",
            "tools": ["tier:read"],
            "memberId": scene.member.id,
        }
    )
    await database.change(
        policies.create_policy,
        agent=scene,
        document=document,
        actor_id=None,
        note=None,
        now=NOW,
        known_tools={"github": {}},
        agents=[scene.agent_id],
    )
    await database.change(members.remove, **place, actor_id=None, now=LATER, agents=[scene.agent_id])
    back = await database.change(
        members.join,
        agent_id=scene.agent_id,
        account_id=scene.member.account_id,
        now=LATER,
        agents=[scene.agent_id],
    )
    assert (back.id, back.status) == (scene.member.id, MemberStatus.PENDING)
    assert (await database.read(policies.list_policies, agent_id=scene.agent_id)).total == 0


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (MemberStatus.APPROVED, MemberStatus.REJECTED),
        (MemberStatus.APPROVED, MemberStatus.PENDING),
        (MemberStatus.REMOVED, MemberStatus.APPROVED),
        (MemberStatus.REMOVED, MemberStatus.REJECTED),
    ],
)
async def test_a_status_that_cannot_follow_is_a_conflict(
    database: Database, start: MemberStatus, status: MemberStatus
) -> None:
    scene = await set_scene(database)
    place = {"agent_id": scene.agent_id, "member_id": scene.member.id}
    if start is MemberStatus.REMOVED:
        await database.change(members.remove, **place, actor_id=None, now=NOW, agents=[scene.agent_id])
    with pytest.raises(Conflict) as refused:
        await database.change(
            members.set_status, **place, status=status, actor_id=None, now=LATER, agents=[scene.agent_id]
        )
    assert refused.value.code == "member_status"


async def test_the_owner_cannot_be_removed(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(Conflict) as refused:
        await database.change(
            members.remove,
            agent_id=scene.agent_id,
            member_id=scene.owner.id,
            actor_id=scene.owner.account_id,
            now=LATER,
            agents=[scene.agent_id],
        )
    assert refused.value.code == "owner_membership"


async def test_a_member_of_another_agent_is_not_found(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(NotFound):
        await database.read(members.get_member, agent_id="another", member_id=scene.member.id)


async def test_members_are_listed_by_status_in_pages(database: Database) -> None:
    scene = await set_scene(database)
    for n in range(3):
        await database.change(
            add_member,
            agent_id=scene.agent_id,
            email=f"n{n}@example.com",
            approved=False,
            agents=[scene.agent_id],
        )
    everybody = await database.read(members.list_members, agent_id=scene.agent_id)
    pending = await database.read(
        members.list_members, agent_id=scene.agent_id, status=MemberStatus.PENDING, limit=2, offset=2
    )
    assert everybody.total == len(everybody.items) == 5
    assert (pending.total, len(pending.items)) == (3, 1)
    with pytest.raises(Invalid):
        await database.read(members.list_members, agent_id=scene.agent_id, limit=501)


async def test_a_membership_is_found_by_account(database: Database) -> None:
    scene = await set_scene(database)
    stranger = await database.change(add_account, email="stranger@example.com", agents=())
    found = await database.read(
        members.find_membership, agent_id=scene.agent_id, account_id=scene.member.account_id
    )
    assert found == scene.member
    assert await database.read(members.find_membership, agent_id=scene.agent_id, account_id=stranger) is None
