"""The credential of one call: found for its member, opened with the key at hand, and soon forgotten."""

import os
from dataclasses import dataclass, field, replace

import pytest

from wicket.core.keys import Binding, ServerKeys, key_pair, make_key, seal
from wicket.core.model import AgentStatus, AuthType, Connector, ConnectorKind, MemberStatus, Role, TrustMode
from wicket.core.world import AgentSettings, ConnectionRef, Member, MemberKey, World
from wicket.runtime.credentials import OPENED_FOR_NS, Credentials, NoCredentials
from wicket.store.connections import SealedConnection

SERVER = ServerKeys([b"a server secret of thirty-two bytes"])


def connector(auth: AuthType = AuthType.BEARER, **fields: object) -> Connector:
    plain = Connector(
        "fake", "Fake", "Custom_fakeMCP", ConnectorKind.CUSTOM, "https://up.example", auth, id="uuid"
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


@dataclass
class Person:
    """A member with a key and a sealed token."""

    name: str
    token: str
    bearer: str = field(default_factory=lambda: make_key(os.urandom(24)))

    @property
    def key(self) -> MemberKey:
        return MemberKey(f"key-{self.name}", self.name, SERVER.digest(self.bearer), live=True)

    def connection(self, *, by_server: bool = False) -> SealedConnection:
        key_id = None if by_server else self.key.id
        unsealed = SealedConnection(f"c-{self.name}", "agent", self.name, "fake", 1, key_id, b"")
        public = SERVER.public_key if by_server else key_pair(self.bearer)[1]
        return replace(unsealed, sealed=seal(self.token.encode(), public, unsealed.binding))


class Vault:
    """What is stored, and how often it was read."""

    def __init__(self, *stored: SealedConnection) -> None:
        self.stored = {one.member_id: one for one in stored}
        self.reads = 0
        self.now_ns = 0

    async def find(self, agent_id: str, member_id: str, service: str) -> SealedConnection | None:
        assert (agent_id, service) == ("agent", "fake")
        self.reads += 1
        return self.stored.get(member_id)

    def credentials(self) -> Credentials:
        return Credentials(keys=SERVER, find_sealed=self.find, monotonic_ns=lambda: self.now_ns)

    def world(self, *people: Person, revision: int = 1, fake: Connector | None = None) -> World:
        return World(
            agent_id="agent",
            agent_name="agent",
            revision=revision,
            status=AgentStatus.ACTIVE,
            trust_mode=TrustMode.TRUSTED,
            settings=AgentSettings(),
            members={
                p.name: Member(p.name, p.name, p.name, Role.MEMBER, MemberStatus.APPROVED) for p in people
            },
            keys={p.key.digest: p.key for p in people},
            services={"fake": fake or connector()},
            policies=(),
            pins={},
            connections={
                (one.member_id, "fake"): ConnectionRef(one.id, one.version) for one in self.stored.values()
            },
        )


ANN, BEN = Person("ann", "token-ann"), Person("ben", "token-ben")


async def test_each_member_gets_their_own_token() -> None:
    vault = Vault(ANN.connection(), BEN.connection())
    opener, world = vault.credentials(), vault.world(ANN, BEN)
    for person in (ANN, BEN, ANN, BEN):
        target = await opener.target(world, person.key, "fake", person.bearer)
        assert target.credential is not None
        assert (target.credential.header, target.credential.value) == (
            "Authorization",
            f"Bearer {person.token}",
        )
        assert target.owner == f"c-{person.name}:1"


async def test_what_the_server_sealed_before_there_was_a_key_opens_too() -> None:
    vault = Vault(ANN.connection(by_server=True))
    target = await vault.credentials().target(vault.world(ANN), ANN.key, "fake", ANN.bearer)
    assert target.credential is not None
    assert target.credential.value == "Bearer token-ann"


async def test_an_opened_token_is_kept_for_a_minute_and_no_longer() -> None:
    vault = Vault(ANN.connection())
    opener, world = vault.credentials(), vault.world(ANN)
    for at_ns, reads in ((0, 1), (OPENED_FOR_NS - 1, 1), (OPENED_FOR_NS, 2)):
        vault.now_ns = at_ns
        await opener.target(world, ANN.key, "fake", ANN.bearer)
        assert vault.reads == reads
    assert OPENED_FOR_NS == 60 * 10**9


async def test_what_was_opened_is_let_go_of_when_its_minute_is_over() -> None:
    vault = Vault(ANN.connection(), BEN.connection())
    opener, world = vault.credentials(), vault.world(ANN, BEN)
    for person, at_ns, kept in (
        (ANN, 0, 1),
        (BEN, OPENED_FOR_NS - 1, 2),
        (BEN, OPENED_FOR_NS, 2),
        (ANN, OPENED_FOR_NS, 2),
    ):
        vault.now_ns = at_ns
        await opener.target(world, person.key, "fake", person.bearer)
        assert len(opener._opened) == kept
    vault.now_ns = 3 * OPENED_FOR_NS
    await opener.target(world, ANN.key, "fake", ANN.bearer)
    assert len(opener._opened) == 1


async def test_an_opened_token_is_dropped_when_anything_about_the_agent_changes() -> None:
    vault = Vault(ANN.connection())
    opener = vault.credentials()
    await opener.target(vault.world(ANN), ANN.key, "fake", ANN.bearer)
    newer = Person("ann", "token-new", ANN.bearer)
    vault.stored["ann"] = newer.connection()
    target = await opener.target(vault.world(ANN, revision=2), ANN.key, "fake", ANN.bearer)
    assert target.credential is not None
    assert target.credential.value == "Bearer token-new"


@pytest.mark.parametrize(
    "stored",
    [
        replace(ANN.connection(), sealed=b""),
        replace(ANN.connection(), sealed=b"\x01" + b"x" * 80),
        replace(BEN.connection(), member_id="ann"),
        replace(ANN.connection(), key_id="another key"),
        replace(ANN.connection(), id="another connection"),
        replace(ANN.connection(), key_id=None),
    ],
    ids=["nothing", "noise", "another's", "another key's", "of another connection", "not the server's"],
)
async def test_what_does_not_open_is_told_as_reconnect_needed(stored: SealedConnection) -> None:
    vault = Vault(stored)
    with pytest.raises(NoCredentials, match="reconnect") as missing:
        await vault.credentials().target(vault.world(ANN), ANN.key, "fake", ANN.bearer)
    assert missing.value.status == 412


async def test_who_has_connected_nothing_has_no_credentials_and_nothing_is_read() -> None:
    vault = Vault(BEN.connection())
    with pytest.raises(NoCredentials):
        await vault.credentials().target(vault.world(ANN, BEN), ANN.key, "fake", ANN.bearer)
    assert vault.reads == 0


async def test_a_connection_that_was_removed_meanwhile_is_none() -> None:
    vault = Vault(ANN.connection())
    world = vault.world(ANN)
    vault.stored.clear()
    with pytest.raises(NoCredentials):
        await vault.credentials().target(world, ANN.key, "fake", ANN.bearer)


async def test_a_service_without_authentication_needs_no_token() -> None:
    vault = Vault()
    world = vault.world(ANN, fake=connector(AuthType.NONE))
    target = await vault.credentials().target(world, ANN.key, "fake", ANN.bearer)
    assert (target.credential, target.owner) == (None, "")


async def test_a_header_of_one_s_own_is_sent_as_it_is() -> None:
    vault = Vault(ANN.connection())
    world = vault.world(ANN, fake=connector(AuthType.HEADER, auth_header="X-Api-Key"))
    target = await vault.credentials().target(world, ANN.key, "fake", ANN.bearer)
    assert target.credential is not None
    assert (target.credential.header, target.credential.value) == ("X-Api-Key", "token-ann")


async def test_a_shared_credential_serves_everybody_and_one_that_does_not_open_nobody() -> None:
    vault = Vault()
    sealed = SERVER.seal(b"shared", Binding.of_connector("uuid"))
    shared = connector(AuthType.HEADER, auth_header="X-Key", per_member=False, sealed_credential=sealed)
    target = await vault.credentials().target(vault.world(ANN, fake=shared), ANN.key, "fake", ANN.bearer)
    assert target.credential is not None
    assert (target.credential.value, target.owner) == ("shared", "uuid")
    for broken in (None, SERVER.seal(b"shared", Binding.of_connector("another")), b"noise"):
        world = vault.world(ANN, fake=replace(shared, sealed_credential=broken))
        with pytest.raises(NoCredentials):
            await vault.credentials().target(world, ANN.key, "fake", ANN.bearer)


async def test_a_token_shows_in_no_representation() -> None:
    vault = Vault(ANN.connection())
    target = await vault.credentials().target(vault.world(ANN), ANN.key, "fake", ANN.bearer)
    assert target.credential is not None
    assert "token-ann" not in repr((target, vault.stored, SERVER))
