"""The table of roles, on both databases; what each endpoint makes of it is tested with the API."""

import pytest

from tests.store.scene import NOW, Scene, add_account, set_scene
from wicket.core.errors import Forbidden, NotFound
from wicket.core.model import PolicyEffect, TrustMode
from wicket.core.policy.document import PolicyDocument
from wicket.store import agents, policies, rights
from wicket.store.db import Database, Transaction

PERMIT = PolicyDocument("Reads", "github", PolicyEffect.PERMIT, ("tier:read",))


async def add_policy(scene: Scene) -> str:
    def build(tx: Transaction) -> str:
        return policies.create_policy(
            tx,
            agent=agents.get_agent(tx, agent_id=scene.agent_id),
            document=PERMIT,
            actor_id=None,
            note=None,
            now=NOW,
            known_tools=policies.load_known_tools(tx, agent_id=scene.agent_id),
        ).id

    return await scene.database.change(build, agents=[scene.agent_id])


async def test_owner_member_and_stranger_are_told_apart(database: Database) -> None:
    scene = await set_scene(database)
    stranger = await database.change(add_account, email="stranger@example.com", agents=())
    seen = await database.read(
        rights.require_owner, agent_id=scene.agent_id, account_id=scene.owner.account_id
    )
    assert seen.agent.id == scene.agent_id
    with pytest.raises(Forbidden):
        await database.read(rights.require_owner, agent_id=scene.agent_id, account_id=scene.member.account_id)
    with pytest.raises(NotFound):
        await database.read(rights.require_owner, agent_id=scene.agent_id, account_id=stranger)


async def test_only_the_owner_knows_of_other_members(database: Database) -> None:
    scene = await set_scene(database)
    for asker, known in ((scene.owner, 2), (scene.member, 1)):
        page = await database.read(
            rights.list_visible_members,
            agent_id=scene.agent_id,
            account_id=asker.account_id,
            status=None,
            limit=10,
            offset=0,
        )
        assert page.total == len(page.items) == known
    with pytest.raises(NotFound):
        await database.read(
            rights.require_self,
            agent_id=scene.agent_id,
            member_id=scene.owner.id,
            account_id=scene.member.account_id,
        )
    with pytest.raises(Forbidden):
        await database.read(
            rights.require_self,
            agent_id=scene.agent_id,
            member_id=scene.member.id,
            account_id=scene.owner.account_id,
        )


@pytest.mark.parametrize("trust_mode", list(TrustMode))
async def test_policies_of_others_are_not_there(database: Database, trust_mode: TrustMode) -> None:
    scene = await set_scene(database, trust_mode=trust_mode)
    if trust_mode is TrustMode.UNTRUSTED:
        theirs = await database.read(
            rights.policies_seen_by, agent_id=scene.agent_id, account_id=scene.member.account_id
        )
        assert theirs == scene.member.id
        return
    policy_id = await add_policy(scene)
    found = await database.read(
        rights.find_policy_agent, policy_id=policy_id, account_id=scene.owner.account_id
    )
    assert found == scene.agent_id
    with pytest.raises(NotFound):
        await database.read(rights.find_policy_agent, policy_id=policy_id, account_id=scene.member.account_id)
    with pytest.raises(Forbidden):
        await database.read(
            rights.policies_seen_by, agent_id=scene.agent_id, account_id=scene.member.account_id
        )
