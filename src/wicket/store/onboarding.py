"""What stands between a member and the first call: the services to connect, the key to make, the owner's word."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from wicket.connectors.services import AuthKind, auth_facts, catalog
from wicket.core.keys import SealBroken, ServerKeys
from wicket.core.model import AuthType, Connector, ConnectorKind, MemberStatus
from wicket.store.agents import SeenAgent
from wicket.store.connections import SealedConnection, list_sealed
from wicket.store.connectors import load_connectors
from wicket.store.keys import KeyRecord, find_live_key


class KeyState(StrEnum):
    NONE = "none"
    """There is none yet, and nothing waits for one that was."""
    LIVE = "live"
    REVOKED = "revoked"
    """There is none any more, and connections are sealed under the one that was."""


class NextStep(StrEnum):
    CONNECT_SERVICES = "connect_services"
    WAIT_FOR_APPROVAL = "wait_for_approval"
    MAKE_KEY = "make_key"
    REPLACE_KEY = "replace_key"
    """Make a key with the revoked one as `currentKey`, or reset it as lost."""
    READY = "ready"


@dataclass(frozen=True, slots=True)
class ServiceToConnect:
    service: str
    name: str
    kinds: tuple[AuthKind, ...]
    """The ways to connect it; empty where no member needs to."""
    can_paste_token: bool
    is_connected: bool
    """Also where no member needs to."""
    needs_reconnect: bool
    """Connected once, but what is stored opens neither with the live key nor with the server's."""


@dataclass(frozen=True, slots=True)
class Onboarding:
    seen: SeenAgent
    key: KeyRecord | None
    key_state: KeyState
    services: tuple[ServiceToConnect, ...]

    @property
    def next_step(self) -> NextStep:
        """What the member does next; a key can be made before everything is connected, but not before approval."""
        is_approved = self.seen.member_status is MemberStatus.APPROVED
        if is_approved and self.key_state is KeyState.REVOKED:
            return NextStep.REPLACE_KEY
        if any(not one.is_connected or one.needs_reconnect for one in self.services):
            return NextStep.CONNECT_SERVICES
        if not is_approved:
            return NextStep.WAIT_FOR_APPROVAL
        return NextStep.READY if self.key_state is KeyState.LIVE else NextStep.MAKE_KEY


def describe(
    tx: sa.Connection, *, seen: SeenAgent, local: Mapping[str, Connector], server: ServerKeys
) -> Onboarding:
    """How far the member is who sees this agent; opens no credential but to see whether it does open."""
    place = {"agent_id": seen.agent.id, "member_id": seen.member_id}
    key = find_live_key(tx, **place)
    sealed = {connection.service: connection for connection in list_sealed(tx, **place)}
    known = {**load_connectors(tx, list(seen.agent.services)), **local, **catalog()}
    live_id = None if key is None else key.id
    services = tuple(
        _describe(known[service], sealed.get(service), live_id, server)
        for service in seen.agent.services
        if service in known
    )
    return Onboarding(seen, key, _key_state(key, sealed.values()), services)


def _key_state(key: KeyRecord | None, sealed: Iterable[SealedConnection]) -> KeyState:
    if key is not None:
        return KeyState.LIVE
    is_missed = any(connection.key_id is not None for connection in sealed)
    return KeyState.REVOKED if is_missed else KeyState.NONE


def _describe(
    connector: Connector, sealed: SealedConnection | None, live_id: str | None, server: ServerKeys
) -> ServiceToConnect:
    kinds = _kinds(connector)
    return ServiceToConnect(
        service=connector.key,
        name=connector.name,
        kinds=kinds,
        can_paste_token=AuthKind.TOKEN in kinds,
        is_connected=sealed is not None or not kinds,
        needs_reconnect=bool(kinds) and sealed is not None and not _opens(sealed, live_id, server),
    )


def _kinds(connector: Connector) -> tuple[AuthKind, ...]:
    if connector.kind is ConnectorKind.CATALOG:
        return auth_facts(connector.key).kinds
    return () if connector.auth is AuthType.NONE or not connector.per_member else (AuthKind.TOKEN,)


def _opens(sealed: SealedConnection, live_id: str | None, server: ServerKeys) -> bool:
    if sealed.key_id is not None:
        return sealed.key_id == live_id
    try:
        server.open_sealed(sealed.sealed, sealed.binding)
    except SealBroken:
        return False
    return True
