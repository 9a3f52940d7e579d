"""Connections: a member's own credential for a service, sealed.

Without a live member key a credential is sealed under the server's key, so that making a key can re-seal it;
with one it is sealed at once under the member's public half, and nobody but the key's holder can open it.
What is sealed is the token itself, in UTF-8.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa

from wicket.connectors.services import auth_facts, catalog
from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.core.keys import SERVER_KEY_ID, Binding, ServerKeys, seal
from wicket.core.model import AuthType, JsonObject, MemberStatus
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.instants import from_us, to_us

TOKEN_CHARS_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Connection:
    """What may be seen of a connection: everything but the credential."""

    id: str
    agent_id: str
    member_id: str
    service: str
    version: int
    sealed_by_member: bool
    """Whether the member's key is needed to open it."""
    created_at: datetime
    updated_at: datetime
    """When the credential was last given; a change of key does not count."""


@dataclass(frozen=True, slots=True)
class SealedConnection:
    """What opening a connection takes, besides the key."""

    id: str
    agent_id: str
    member_id: str
    service: str
    version: int
    key_id: str | None
    """The member key that it is sealed under; None: the server's."""
    sealed: bytes = field(repr=False)

    @property
    def binding(self) -> Binding:
        """What is bound into the seal as it is stored."""
        return self.binding_under(self.key_id)

    def binding_under(self, key_id: str | None) -> Binding:
        return Binding(
            agent_id=self.agent_id,
            member_id=self.member_id,
            service=self.service,
            connection_id=self.id,
            key_id=key_id or SERVER_KEY_ID,
        )


def put_connection(
    tx: sa.Connection,
    *,
    agent_id: str,
    member_id: str,
    service: str,
    token: str,
    server: ServerKeys,
    now: datetime,
) -> Connection:
    """Store a credential that the member pasted, in place of an earlier one.

    Raises Invalid (`token`), NotFound, or Conflict `member_not_active`, `service_not_enabled`,
    `connection_not_needed`.
    """
    check_token(token)
    account_id = _check_member(tx, agent_id=agent_id, member_id=member_id)
    _check_service(tx, agent_id=agent_id, service=service)
    before = find_sealed(tx, agent_id=agent_id, member_id=member_id, service=service)
    key_id, public_key = _recipient(tx, agent_id=agent_id, member_id=member_id)
    unsealed = SealedConnection(
        id=before.id if before else str(uuid4()),
        agent_id=agent_id,
        member_id=member_id,
        service=service,
        version=before.version + 1 if before else 1,
        key_id=key_id,
        sealed=b"",
    )
    sealed = seal(token.encode(), public_key or server.public_key, unsealed.binding)
    values = {"id": unsealed.id, "version": unsealed.version, "key_id": key_id, "sealed": sealed}
    if before is None:
        place = {"agent_id": agent_id, "member_id": member_id, "service": service}
        times = {"created_at": to_us(now), "updated_at": to_us(now)}
        tx.execute(sa.insert(tables.connections).values(**place, **values, **times))
    else:
        tx.execute(
            sa.update(tables.connections)
            .where(_connections.id == before.id)
            .values(**values, updated_at=to_us(now))
        )
    _record(tx, "connection_saved", unsealed, actor_id=account_id, now=now)
    return _connection_of(
        tx.execute(_of_member(agent_id, member_id).where(_connections.service == service)).one()
    )


def list_connections(tx: sa.Connection, *, agent_id: str, member_id: str) -> tuple[Connection, ...]:
    """A member's connections by service; never more than there are services."""
    return tuple(
        map(_connection_of, tx.execute(_of_member(agent_id, member_id).order_by(_connections.service)))
    )


def find_sealed(tx: sa.Connection, *, agent_id: str, member_id: str, service: str) -> SealedConnection | None:
    """A connection's sealed credential, under the version that a world's ConnectionRef names."""
    row = tx.execute(_of_member(agent_id, member_id).where(_connections.service == service)).one_or_none()
    return None if row is None else _sealed_of(row)


def list_sealed(tx: sa.Connection, *, agent_id: str, member_id: str) -> tuple[SealedConnection, ...]:
    """All of a member's sealed credentials, by service."""
    return tuple(map(_sealed_of, tx.execute(_of_member(agent_id, member_id).order_by(_connections.service))))


def replace_sealed(tx: sa.Connection, *, before: SealedConnection, sealed: bytes, key_id: str | None) -> None:
    """Store the same credential under another key; whoever has it open reads the new version."""
    tx.execute(
        sa.update(tables.connections)
        .where(_connections.id == before.id)
        .values(sealed=sealed, key_id=key_id, version=before.version + 1)
    )


def delete_connection(
    tx: sa.Connection, *, agent_id: str, member_id: str, service: str, actor_id: str | None, now: datetime
) -> None:
    """Forget a credential; raises NotFound when there is none."""
    if not discard_connections(
        tx,
        agent_id=agent_id,
        member_id=member_id,
        actor_id=actor_id,
        now=now,
        only=lambda c: c.service == service,
    ):
        raise NotFound(f"`{service}` is not connected; connect it first")


def discard_connections(
    tx: sa.Connection,
    *,
    agent_id: str,
    member_id: str,
    actor_id: str | None,
    now: datetime,
    only: Callable[[SealedConnection], bool] = lambda _: True,
) -> tuple[str, ...]:
    """Forget a member's credentials, or those of them that `only` picks; answers their services."""
    gone = [c for c in list_sealed(tx, agent_id=agent_id, member_id=member_id) if only(c)]
    _delete(tx, gone, actor_id=actor_id, now=now)
    return tuple(c.service for c in gone)


def discard_service(tx: sa.Connection, *, service: str, actor_id: str | None, now: datetime) -> None:
    """Forget everybody's credentials for a custom connector, which from now on leads elsewhere or nowhere."""
    rows = tx.execute(
        sa.select(tables.connections)
        .where(_connections.service == service)
        .order_by(_connections.agent_id, _connections.id)
    )
    _delete(tx, [_sealed_of(row) for row in rows], actor_id=actor_id, now=now)


def check_token(token: str, *, field: str = "token") -> None:
    """A credential goes out in an HTTP header: printable ASCII (RFC 9110, section 5.5) without outer blanks."""
    if not token or token != token.strip() or not (token.isascii() and token.isprintable()):
        raise Invalid("a credential is printable ASCII without blanks around it; copy it again", field=field)
    if len(token) > TOKEN_CHARS_MAX:
        raise Invalid(
            f"a credential has at most {TOKEN_CHARS_MAX} characters; check what was pasted", field=field
        )


def _check_member(tx: sa.Connection, *, agent_id: str, member_id: str) -> str:
    """The account of a member who may connect services: one who is in, or waits to be let in."""
    members = tables.members.c
    row = tx.execute(
        sa.select(members.account_id, members.status).where(
            members.agent_id == agent_id, members.id == member_id
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"no member `{member_id}` on this agent; list its members")
    if row.status not in (MemberStatus.PENDING, MemberStatus.APPROVED):
        raise Conflict(
            f"the membership is {row.status}; ask the owner for an invitation", code="member_not_active"
        )
    return str(row.account_id)


def _check_service(tx: sa.Connection, *, agent_id: str, service: str) -> None:
    services = tables.agent_services.c
    enabled = tx.execute(
        sa.select(services.enabled).where(services.agent_id == agent_id, services.service == service)
    ).scalar_one_or_none()
    if not enabled:
        raise Conflict(
            f"`{service}` is not enabled for this agent; its owner can enable it", code="service_not_enabled"
        )
    if service in catalog():
        if not auth_facts(service).accepts_token:
            raise Conflict(
                f"`{service}` takes no pasted token; authorize it instead", code="token_not_accepted"
            )
        return
    custom = tx.execute(
        sa.select(tables.connectors.c.auth, tables.connectors.c.per_member).where(
            tables.connectors.c.key == service, tables.connectors.c.deleted_at.is_(None)
        )
    ).one_or_none()
    if custom is None or custom.auth == AuthType.NONE or not custom.per_member:
        raise Conflict(
            f"`{service}` asks no credential of its members; call its tools right away",
            code="connection_not_needed",
        )


def _recipient(tx: sa.Connection, *, agent_id: str, member_id: str) -> tuple[str | None, bytes | None]:
    """The member's live key, as (id, public half); (None, None) while there is none."""
    keys = tables.member_keys.c
    row = tx.execute(
        sa.select(keys.id, keys.public_key).where(
            keys.agent_id == agent_id, keys.member_id == member_id, keys.revoked_at.is_(None)
        )
    ).one_or_none()
    return (None, None) if row is None else (row.id, row.public_key)


def _delete(tx: sa.Connection, gone: list[SealedConnection], *, actor_id: str | None, now: datetime) -> None:
    for connection in gone:
        tx.execute(sa.delete(tables.connections).where(_connections.id == connection.id))
        _record(tx, "connection_deleted", connection, actor_id=actor_id, now=now)


def _record(
    tx: sa.Connection, kind: str, connection: SealedConnection, *, actor_id: str | None, now: datetime
) -> None:
    body: JsonObject = {
        "memberId": connection.member_id,
        "service": connection.service,
        "connectionId": connection.id,
        "version": connection.version,
    }
    record_change(tx, kind=kind, agent_id=connection.agent_id, actor_id=actor_id, body=body, now=now)


_connections = tables.connections.c


def _of_member(agent_id: str, member_id: str) -> sa.Select[Any]:
    return sa.select(tables.connections).where(
        _connections.agent_id == agent_id, _connections.member_id == member_id
    )


def _connection_of(row: sa.Row[Any]) -> Connection:
    return Connection(
        id=row.id,
        agent_id=row.agent_id,
        member_id=row.member_id,
        service=row.service,
        version=row.version,
        sealed_by_member=row.key_id is not None,
        created_at=from_us(row.created_at),
        updated_at=from_us(row.updated_at),
    )


def _sealed_of(row: sa.Row[Any]) -> SealedConnection:
    return SealedConnection(
        id=row.id,
        agent_id=row.agent_id,
        member_id=row.member_id,
        service=row.service,
        version=row.version,
        key_id=row.key_id,
        sealed=bytes(row.sealed),
    )
