"""Invitations: one address, one use, one week, on both databases."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.store.scene import LATER, NOW, SERVER, Scene, add_account, set_scene
from wicket.core.errors import Conflict, Forbidden, Invalid, Limited, NotFound
from wicket.core.keys import ServerKeys
from wicket.core.model import MemberStatus
from wicket.store import agents, invites, members, tables
from wicket.store.db import Database
from wicket.store.instants import to_us
from wicket.store.invites import InviteStatus, NewInvite
from wicket.store.members import MemberRecord

EVE = "eve@example.com"
WEEK = timedelta(days=7)


async def invite(scene: Scene, email: str = EVE, **other: Any) -> NewInvite:
    given = {"created_by": scene.owner.account_id, "actor_id": scene.owner.account_id, "now": NOW} | other
    return await scene.database.change(
        invites.create_invite, agent_id=scene.agent_id, email=email, server=SERVER, agents=(), **given
    )


async def accept(scene: Scene, token: str, email: str = EVE, **other: Any) -> MemberRecord:
    account_id = await scene.database.change(add_account, email=email, agents=())
    given = {"agent_id": scene.agent_id, "server": SERVER, "now": LATER} | other
    return await scene.database.change(
        invites.accept_invite, account_id=account_id, token=token, agents=[scene.agent_id], **given
    )


async def revoke(scene: Scene, invite_id: str) -> None:
    await scene.database.change(
        invites.revoke_invite,
        agent_id=scene.agent_id,
        invite_id=invite_id,
        actor_id=scene.owner.account_id,
        now=LATER,
        agents=(),
    )


async def statuses(scene: Scene) -> list[InviteStatus]:
    page = await scene.database.read(invites.list_invites, agent_id=scene.agent_id)
    return [found.status(LATER) for found in page.items]


async def test_who_was_invited_joins_and_waits_for_the_owner(database: Database) -> None:
    scene = await set_scene(database)
    made = await invite(scene, "Eve@Example.com")
    assert (made.invite.email, made.invite.expires_at) == (EVE, NOW + WEEK)
    member = await accept(scene, made.token)
    assert (member.email, member.status) == (EVE, MemberStatus.PENDING)
    assert await statuses(scene) == [InviteStatus.USED]
    assert (await scene.kinds())[-2:] == ["member_invited", "member_joined"]


@pytest.mark.parametrize("status", [MemberStatus.PENDING, MemberStatus.APPROVED])
async def test_joining_again_changes_nothing(database: Database, status: MemberStatus) -> None:
    scene = await set_scene(database)
    made = await invite(scene)
    member = await accept(scene, made.token)
    if status is MemberStatus.APPROVED:
        place = {"agent_id": scene.agent_id, "member_id": member.id}
        await database.change(members.approve, **place, actor_id=None, now=LATER, agents=[scene.agent_id])
    before = await scene.kinds()
    again = await accept(scene, made.token)
    assert (again.id, again.status) == (member.id, status)
    assert await scene.kinds() == before


@pytest.mark.parametrize("end", [members.reject, members.remove])
async def test_a_used_invitation_does_not_bring_back_who_was_turned_away(
    database: Database, end: Any
) -> None:
    scene = await set_scene(database)
    made = await invite(scene)
    member = await accept(scene, made.token)
    place = {"agent_id": scene.agent_id, "member_id": member.id}
    await database.change(end, **place, actor_id=None, now=LATER, agents=[scene.agent_id])
    with pytest.raises(Conflict) as refused:
        await accept(scene, made.token)
    assert (refused.value.status, refused.value.code) == (410, "invite_used")
    another = await invite(scene, now=LATER)
    assert (await accept(scene, another.token)).status is MemberStatus.PENDING


async def test_somebody_else_cannot_use_it(database: Database) -> None:
    scene = await set_scene(database)
    made = await invite(scene)
    with pytest.raises(Forbidden) as refused:
        await accept(scene, made.token, "mallory@example.com")
    assert refused.value.code == "invite_for_another_address"
    assert await statuses(scene) == [InviteStatus.LIVE]


async def test_an_invitation_lasts_a_week(database: Database) -> None:
    scene = await set_scene(database)
    made = await invite(scene)
    with pytest.raises(Conflict) as refused:
        await accept(scene, made.token, now=NOW + WEEK)
    assert (refused.value.status, refused.value.code) == (410, "invite_expired")
    assert (await accept(scene, made.token, now=NOW + WEEK - timedelta(seconds=1))).email == EVE


async def test_a_revoked_invitation_is_void(database: Database) -> None:
    scene = await set_scene(database)
    made = await invite(scene)
    for _ in range(2):
        await revoke(scene, made.invite.id)
    with pytest.raises(Conflict) as refused:
        await accept(scene, made.token)
    assert (refused.value.status, refused.value.code) == (410, "invite_revoked")
    assert await statuses(scene) == [InviteStatus.REVOKED]
    assert (await scene.kinds()).count("invite_revoked") == 1


async def test_what_was_used_is_not_revoked(database: Database) -> None:
    scene = await set_scene(database)
    made = await invite(scene)
    await accept(scene, made.token)
    with pytest.raises(Conflict) as refused:
        await revoke(scene, made.invite.id)
    assert refused.value.code == "invite_used"
    with pytest.raises(NotFound):
        await revoke(scene, "another")


async def test_a_newer_invitation_voids_the_older_one_of_the_address_alone(database: Database) -> None:
    scene = await set_scene(database)
    other = await invite(scene, "dan@example.com")
    older, newer = await invite(scene), await invite(scene, now=LATER)
    with pytest.raises(Conflict) as refused:
        await accept(scene, older.token)
    assert refused.value.code == "invite_revoked"
    for made in (newer, other):
        assert (await accept(scene, made.token, made.invite.email)).status is MemberStatus.PENDING


async def test_a_token_that_was_made_up_or_altered_finds_nothing(database: Database) -> None:
    scene, elsewhere = await set_scene(database), str(tables.accounts)
    made = await invite(scene)
    agent_id, invite_id, signature = made.token.split(".")
    other = await invite(scene, "dan@example.com")
    forged = [
        "", "x", f"{agent_id}.{invite_id}.", f"{made.token}=", f" {made.token}", made.token.upper(),
        f"{agent_id}.{other.invite.id}.{signature}", f"{elsewhere}.{invite_id}.{signature}",
        f"{agent_id}.{invite_id}.{'A' * 43}",
    ]  # fmt: skip
    for token in forged:
        with pytest.raises(NotFound):
            await accept(scene, token)
    with pytest.raises(NotFound):
        await accept(scene, made.token, server=ServerKeys([b"another secret of thirty-two bytes or more"]))
    with pytest.raises(NotFound):
        await accept(scene, made.token, agent_id=elsewhere)
    assert await statuses(scene) == [InviteStatus.LIVE, InviteStatus.LIVE]


async def test_a_row_that_was_changed_makes_the_link_void(database: Database) -> None:
    def extend(tx: sa.Connection) -> None:
        tx.execute(sa.update(tables.invites).values(expires_at=tables.invites.c.expires_at + 1))

    scene = await set_scene(database)
    made = await invite(scene)
    await database.change(extend, agents=())
    with pytest.raises(NotFound):
        await accept(scene, made.token)


async def test_a_link_signed_with_the_older_secret_still_works(database: Database) -> None:
    old, new = b"an old secret of the server, long", b"a new secret of the server, long!"
    scene = await set_scene(database)
    made = await database.change(
        invites.create_invite,
        agent_id=scene.agent_id,
        email=EVE,
        created_by=scene.owner.account_id,
        actor_id=None,
        server=ServerKeys([old]),
        now=NOW,
        agents=(),
    )
    assert (await accept(scene, made.token, server=ServerKeys([new, old]))).email == EVE


async def test_nobody_joins_an_agent_that_was_deleted(database: Database) -> None:
    scene = await set_scene(database)
    made = await invite(scene)
    assert await database.read(invites.is_invited, email=EVE, now=LATER)
    await database.change(
        agents.delete_agent, agent_id=scene.agent_id, actor_id=None, now=NOW, agents=[scene.agent_id]
    )
    assert not await database.read(invites.is_invited, email=EVE, now=LATER)
    with pytest.raises(NotFound):
        await accept(scene, made.token)


async def test_only_live_invitations_let_an_address_sign_up(database: Database) -> None:
    scene = await set_scene(database)
    made = await invite(scene)
    assert not await database.read(invites.is_invited, email="dan@example.com", now=LATER)
    assert not await database.read(invites.is_invited, email=EVE, now=NOW + WEEK)
    await revoke(scene, made.invite.id)
    assert not await database.read(invites.is_invited, email=EVE, now=LATER)


@pytest.mark.parametrize("email", ["member@example.com", "OWNER@example.com"])
async def test_who_is_a_member_is_not_invited(database: Database, email: str) -> None:
    scene = await set_scene(database)
    with pytest.raises(Conflict) as refused:
        await invite(scene, email)
    assert refused.value.code == "already_member"


@pytest.mark.parametrize(
    "email", ["", "eve", "eve@", "eve@example.com\nBcc: x@example.com", "e\u212a@x.example"]
)
async def test_only_an_address_is_invited(database: Database, email: str) -> None:
    scene = await set_scene(database)
    with pytest.raises(Invalid) as refused:
        await invite(scene, email)
    assert refused.value.field == "email"


async def test_an_address_is_invited_fifteen_times_an_hour_at_most(database: Database) -> None:
    scene = await set_scene(database)
    for minute in range(15):
        await invite(scene, now=NOW + timedelta(minutes=minute))
    with pytest.raises(Limited) as refused:
        await invite(scene, now=NOW + timedelta(minutes=30))
    assert (refused.value.status, refused.value.code) == (429, "invited_too_often")
    assert refused.value.retry_after_s == 30 * 60
    await invite(scene, "dan@example.com", now=NOW + timedelta(minutes=30))
    await invite(scene, now=NOW + timedelta(minutes=60))


async def test_an_agent_has_five_hundred_open_invitations_at_most(database: Database) -> None:
    def fill(tx: sa.Connection) -> None:
        life = {
            "created_at": to_us(NOW),
            "expires_at": to_us(NOW + WEEK),
            "created_by": scene.owner.account_id,
        }
        rows = [
            {"agent_id": scene.agent_id, "id": str(uuid4()), "email": f"n{number}@example.com"} | life
            for number in range(499)
        ]
        tx.execute(sa.insert(tables.invites), rows)

    scene = await set_scene(database)
    await database.change(fill, agents=())
    made = await invite(scene)
    with pytest.raises(Conflict) as refused:
        await invite(scene, "dan@example.com")
    assert refused.value.code == "too_many_invites"
    await invite(scene, now=LATER)  # in place of the older one
    assert len(await statuses(scene)) == 100
    assert made.invite.email == EVE


async def test_invitations_that_ended_long_ago_are_forgotten(database: Database) -> None:
    scene = await set_scene(database)
    await invite(scene)
    await invite(scene, "dan@example.com", now=NOW + timedelta(days=98))
    page = await database.read(invites.list_invites, agent_id=scene.agent_id)
    assert [found.email for found in page.items] == ["dan@example.com"]


async def test_neither_token_nor_signature_is_stored(database: Database) -> None:
    def everything(tx: sa.Connection) -> str:
        return repr([tx.execute(sa.select(table)).all() for table in tables.METADATA.sorted_tables])

    scene = await set_scene(database)
    made = await invite(scene)
    stored = await database.read(everything)
    assert made.invite.id in stored
    assert made.token.split(".")[2] not in stored
    assert made.token not in repr(made)
