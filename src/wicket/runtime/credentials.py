"""The credential for one call: found, opened with the member key that the request carries, and soon forgotten.

Nothing here is reached before a decision is recorded. An opened credential is used for a minute at most, and let go
of when the next one is opened after that. It is kept under the bearer's digest and the revision of the agent's world:
whatever changes about the agent, it is gone.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from wicket.core.errors import WicketError
from wicket.core.keys import Binding, SealBroken, ServerKeys, open_sealed, private_key
from wicket.core.model import AuthType, Connector
from wicket.core.world import MemberKey, World
from wicket.runtime.upstream import Credential, Target
from wicket.store.connections import SealedConnection

OPENED_MAX: Final = 10_000
OPENED_FOR_NS: Final = 60_000_000_000

FindSealed = Callable[[str, str, str], Awaitable[SealedConnection | None]]
"""(agent id, member id, service) -> what is stored."""


class NoCredentials(WicketError):
    """The call was authorized, but the member has connected no account that opens, or not without the key."""

    code = "no_credentials"
    status = 412


@dataclass(frozen=True, slots=True)
class _Opened:
    target: Target
    until_ns: int


class Credentials:
    """Opens what a call needs."""

    def __init__(self, *, keys: ServerKeys, find_sealed: FindSealed, monotonic_ns: Callable[[], int]) -> None:
        self._keys = keys
        self._find_sealed = find_sealed
        self._monotonic_ns = monotonic_ns
        self._opened: OrderedDict[tuple[bytes, str, int, str], _Opened] = OrderedDict()

    async def target(self, world: World, key: MemberKey, service: str, bearer: str) -> Target:
        """Where a call of this member goes, and as whom; raises NoCredentials.

        `bearer` is empty where the member was let in without a key: then only the server's own seals open.
        """
        name = (key.digest, world.agent_id, world.revision, service)
        known = self._opened.get(name)
        if known is not None and known.until_ns > self._monotonic_ns():
            return known.target
        target = await self._target(world, key, service, bearer)
        self._remember(name, target)
        return target

    async def _target(self, world: World, key: MemberKey, service: str, bearer: str) -> Target:
        connector = world.services[service]
        owner = owner_of(world, key, service)
        if owner is None:
            raise NoCredentials(f"no account is connected for `{service}`: connect one in the dashboard")
        if connector.auth is AuthType.NONE:
            return Target(connector, None, owner)
        if not connector.per_member:
            return Target(connector, self._shared(connector), owner)
        return Target(connector, await self._open(world, key, connector, bearer), owner)

    def _shared(self, connector: Connector) -> Credential:
        if connector.sealed_credential is None:
            raise NoCredentials(f"`{connector.key}` has no credential: its owner must set one")
        try:
            opened = self._keys.open_sealed(connector.sealed_credential, Binding.of_connector(connector.id))
        except SealBroken as broken:
            raise NoCredentials(
                f"the credential of `{connector.key}` does not open: its owner must set it again"
            ) from broken
        return Credential(connector.auth_header, opened.decode())

    async def _open(self, world: World, key: MemberKey, connector: Connector, bearer: str) -> Credential:
        stored = await self._find_sealed(world.agent_id, key.member_id, connector.key)
        if stored is None:
            raise NoCredentials(
                f"no account is connected for `{connector.key}`: connect one in the dashboard"
            )
        if stored.key_id is not None and not bearer:
            raise NoCredentials(
                f"the credential for `{connector.key}` is sealed under your member key: send the key along",
                code="member_key_required",
            )
        binding = stored.binding
        try:
            if stored.key_id is None:
                opened = self._keys.open_sealed(stored.sealed, binding)
            else:
                opened = open_sealed(stored.sealed, private_key(bearer), binding)
        except SealBroken as broken:
            raise NoCredentials(
                f"reconnect needed: the credential for `{connector.key}` does not open"
            ) from broken
        token = opened.decode()
        return Credential(
            connector.auth_header, f"Bearer {token}" if connector.auth is AuthType.BEARER else token
        )

    def _remember(self, name: tuple[bytes, str, int, str], target: Target) -> None:
        now_ns, opened = self._monotonic_ns(), self._opened
        opened.pop(name, None)
        opened[name] = _Opened(target, now_ns + OPENED_FOR_NS)
        while len(opened) > OPENED_MAX or next(iter(opened.values())).until_ns <= now_ns:
            opened.popitem(last=False)


def owner_of(world: World, key: MemberKey, service: str) -> str | None:
    """Whose account a call goes out as (see `Target.owner`); None where the member has connected none."""
    connector = world.services[service]
    if connector.auth is AuthType.NONE:
        return ""
    if not connector.per_member:
        return connector.id
    reference = world.connections.get((key.member_id, service))
    return None if reference is None else f"{reference.id}:{reference.version}"
