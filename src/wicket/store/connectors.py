"""Custom connectors: remote MCP servers by URL, each belonging to the account that made it.

A credential that all members share is sealed under the server's key. A new URL drops every secret and every
pin: what was given to, or accepted of, one server says nothing about another.

Whoever calls `update_connector` or `delete_connector` changes all agents (`ALL_AGENTS`): any may use it.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from wicket.connectors.services import custom_namespace, is_reserved
from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.core.keys import Binding, ServerKeys
from wicket.core.model import AuthType, Connector, ConnectorKind, JsonObject, Tier
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.connections import check_token, discard_service
from wicket.store.instants import from_us, to_us
from wicket.store.pins import SeenTool, connector_tools_to_json, drop_pins

CONNECTORS_MAX: Final = 100
"""Of one account."""
TOOLS_MAX: Final = 1_000
NAME_CHARS_MAX: Final = 100
URL_CHARS_MAX: Final = 2_000

_KEY: Final = re.compile(r"[a-z][a-z0-9]{0,30}", re.ASCII)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)  # RFC 9110, section 5.6.2
_OUR_HEADERS: Final = frozenset({
    "accept", "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive",
    "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
})  # fmt: skip
"""Headers that the wire sets; a credential in their place would change the request instead."""


@dataclass(frozen=True, slots=True)
class ConnectorSpec:
    """What an owner says of a custom connector."""

    key: str
    name: str
    url: str
    auth: AuthType = AuthType.NONE
    auth_header: str = "Authorization"
    credential: str | None = field(default=None, repr=False)
    """The header's value for all members; not stored when each member gives one."""
    per_member: bool = False
    tier_from_annotations: bool = False


@dataclass(frozen=True, slots=True)
class ConnectorTool:
    """A tool that the server had when the connector was made."""

    name: str
    tier: Tier | None
    """Accepted from the server's annotations; None: an agent's owner has to review it."""


@dataclass(frozen=True, slots=True)
class CustomConnector:
    """What may be seen of a custom connector: everything but its credential."""

    id: str
    account_id: str
    key: str
    name: str
    url: str
    auth: AuthType
    auth_header: str
    per_member: bool
    has_credential: bool
    tier_from_annotations: bool
    tools: tuple[ConnectorTool, ...]
    created_at: datetime


def create_connector(
    tx: sa.Connection,
    *,
    account_id: str,
    spec: ConnectorSpec,
    tools: Sequence[SeenTool],
    server: ServerKeys,
    now: datetime,
    stdio_keys: Collection[str] = (),
) -> CustomConnector:
    """Add a connector with the tools just fetched from it; raises Invalid or Conflict (`key_taken`)."""
    check_spec(spec, tools=tools, stdio_keys=stdio_keys)
    owned = sa.select(sa.func.count()).where(
        _connectors.account_id == account_id, _connectors.deleted_at.is_(None)
    )
    if tx.execute(owned).scalar_one() >= CONNECTORS_MAX:
        raise Conflict(
            f"an account has at most {CONNECTORS_MAX} connectors; delete one", code="limit_reached"
        )
    connector_id = str(uuid4())
    try:
        tx.execute(
            sa.insert(tables.connectors).values(
                id=connector_id,
                account_id=account_id,
                key=spec.key,
                created_at=to_us(now),
                sealed_credential=_sealed(spec, connector_id=connector_id, server=server),
                tools=connector_tools_to_json(tools, accept_tiers=spec.tier_from_annotations),
                **_columns(spec),
            )
        )
    except IntegrityError as error:
        raise Conflict(f"the key `{spec.key}` is taken; choose another", code="key_taken") from error
    _record(tx, "connector_created", connector_id=connector_id, key=spec.key, actor_id=account_id, now=now)
    return get_connector(tx, account_id=account_id, connector_id=connector_id)


def update_connector(
    tx: sa.Connection,
    *,
    account_id: str,
    connector_id: str,
    spec: ConnectorSpec,
    tools: Sequence[SeenTool],
    server: ServerKeys,
    now: datetime,
) -> CustomConnector:
    """Replace what a connector is; its key stays. A credential left out is kept while the URL is the same.

    `tools` are those just fetched from it. Agents keep their pins unless the URL is new.
    """
    before = get_connector(tx, account_id=account_id, connector_id=connector_id)
    if spec.key != before.key:
        raise Invalid("a connector keeps its key; make another connector", field="key")
    moved = spec.url != before.url
    kept = before.has_credential and not moved and not spec.per_member and spec.credential is None
    check_spec(spec, tools=tools, keeps_credential=kept)
    values = _columns(spec) | {
        "tools": connector_tools_to_json(tools, accept_tiers=spec.tier_from_annotations)
    }
    if not kept or spec.auth is AuthType.NONE:
        values["sealed_credential"] = _sealed(spec, connector_id=connector_id, server=server)
    tx.execute(sa.update(tables.connectors).where(_connectors.id == connector_id).values(**values))
    if moved:
        drop_pins(tx, service=spec.key)
    if moved or (spec.auth, spec.per_member) != (before.auth, before.per_member):
        discard_service(tx, service=spec.key, actor_id=account_id, now=now)
    _record(tx, "connector_updated", connector_id=connector_id, key=spec.key, actor_id=account_id, now=now)
    return get_connector(tx, account_id=account_id, connector_id=connector_id)


def delete_connector(tx: sa.Connection, *, account_id: str, connector_id: str, now: datetime) -> None:
    """Take a connector away from every agent, with its secrets and pins; its key becomes free."""
    connector = get_connector(tx, account_id=account_id, connector_id=connector_id)
    using = list_agents_using(tx, service=connector.key)
    services = tables.agent_services.c
    tx.execute(
        sa.update(tables.agent_services).where(services.service == connector.key).values(enabled=False)
    )
    drop_pins(tx, service=connector.key)
    discard_service(tx, service=connector.key, actor_id=account_id, now=now)
    tx.execute(
        sa.update(tables.connectors)
        .where(_connectors.id == connector_id)
        .values(key=f"{connector.key}#{connector_id}", sealed_credential=None, deleted_at=to_us(now))
    )
    _record(
        tx, "connector_deleted", connector_id=connector_id, key=connector.key, actor_id=account_id, now=now
    )
    for agent_id in using:
        body: JsonObject = {"service": connector.key, "connectorId": connector_id}
        record_change(tx, kind="service_disabled", agent_id=agent_id, actor_id=account_id, body=body, now=now)


def get_connector(tx: sa.Connection, *, account_id: str, connector_id: str) -> CustomConnector:
    """A connector of this account; raises NotFound for another's, too."""
    row = tx.execute(
        _LIVE.where(_connectors.account_id == account_id, _connectors.id == connector_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"you have no connector `{connector_id}`; list yours")
    return _custom_of(row)


def get_connector_by_key(tx: sa.Connection, *, account_id: str, key: str) -> CustomConnector:
    """The same by the key; raises NotFound for another's, too."""
    row = tx.execute(_LIVE.where(_connectors.account_id == account_id, _connectors.key == key)).one_or_none()
    if row is None:
        raise NotFound(f"you have no connector `{key}`; list yours")
    return _custom_of(row)


def list_connectors(tx: sa.Connection, *, account_id: str) -> tuple[CustomConnector, ...]:
    """An account's connectors, oldest first; at most CONNECTORS_MAX."""
    return tuple(
        map(
            _custom_of,
            tx.execute(
                _LIVE.where(_connectors.account_id == account_id).order_by(
                    _connectors.created_at, _connectors.id
                )
            ),
        )
    )


def load_connectors(tx: sa.Connection, keys: Collection[str]) -> Mapping[str, Connector]:
    """The custom connectors among `keys`, as calls need them."""
    rows = tx.execute(_LIVE.where(_connectors.key.in_(sorted(set(keys)))))
    return {row.key: _connector_of(row) for row in rows}


def list_agents_using(tx: sa.Connection, *, service: str) -> tuple[str, ...]:
    """The agents for which a service is enabled."""
    services = tables.agent_services.c
    return tuple(
        tx.execute(
            sa.select(services.agent_id)
            .where(services.service == service, services.enabled)
            .order_by(services.agent_id)
        ).scalars()
    )


def check_spec(
    spec: ConnectorSpec,
    *,
    tools: Sequence[SeenTool] = (),
    stdio_keys: Collection[str] = (),
    keeps_credential: bool = False,
) -> None:
    """Raise Invalid for what cannot be a connector; to be asked before its server is."""
    if not _KEY.fullmatch(spec.key):
        raise Invalid("a key is a small letter, then up to 30 small letters and digits", field="key")
    if is_reserved(spec.key) or spec.key in stdio_keys:
        raise Invalid(f"the key `{spec.key}` belongs to a built-in connector; choose another", field="key")
    if not spec.name.strip() or len(spec.name) > NAME_CHARS_MAX or not spec.name.isprintable():
        raise Invalid(f"a name has 1 to {NAME_CHARS_MAX} printable characters", field="name")
    _check_url(spec.url)
    _check_auth(spec, keeps_credential=keeps_credential)
    if len(tools) > TOOLS_MAX:
        raise Invalid(f"the server lists more than {TOOLS_MAX} tools; use one with fewer", field="url")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid("this is no URL; give the server's MCP endpoint", field="url") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Invalid("an endpoint is an http or https URL with a host", field="url")
    if parts.username is not None or parts.password is not None or "#" in url:
        raise Invalid("an endpoint holds neither a user nor a fragment; leave them out", field="url")
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Invalid(f"a URL has at most {URL_CHARS_MAX} plain ASCII characters; escape others", field="url")


def _check_auth(spec: ConnectorSpec, *, keeps_credential: bool) -> None:
    if spec.auth is AuthType.NONE:
        if spec.credential is not None or spec.per_member:
            raise Invalid("a server without authentication takes no credential; leave it out", field="auth")
        return
    header = spec.auth_header.lower()
    if not _HEADER.fullmatch(spec.auth_header) or header in _OUR_HEADERS or header.startswith("mcp-"):
        raise Invalid(
            f"`{spec.auth_header}` cannot carry a credential; name another header", field="auth.header"
        )
    if spec.credential is not None:
        check_token(spec.credential, field="auth.value")
    elif not spec.per_member and not keeps_credential:
        raise Invalid(
            "a shared credential is needed; give it, or let each member give one", field="auth.value"
        )


def _sealed(spec: ConnectorSpec, *, connector_id: str, server: ServerKeys) -> bytes | None:
    if spec.credential is None or spec.per_member:
        return None
    return server.seal(spec.credential.encode(), Binding.of_connector(connector_id))


def _columns(spec: ConnectorSpec) -> dict[str, object]:
    return {
        "name": spec.name.strip(),
        "url": spec.url,
        "auth": spec.auth,
        "auth_header": spec.auth_header,
        "per_member": spec.per_member,
        "tier_from_annotations": spec.tier_from_annotations,
    }


def _record(
    tx: sa.Connection, kind: str, *, connector_id: str, key: str, actor_id: str, now: datetime
) -> None:
    # Neither URL nor header: both may hold what only the owner should see.
    body: JsonObject = {"connectorId": connector_id, "key": key}
    record_change(tx, kind=kind, agent_id=None, actor_id=actor_id, body=body, now=now)


_connectors = tables.connectors.c
_LIVE = sa.select(tables.connectors).where(_connectors.deleted_at.is_(None))


def _custom_of(row: sa.Row[Any]) -> CustomConnector:
    return CustomConnector(
        id=row.id,
        account_id=row.account_id,
        key=row.key,
        name=row.name,
        url=row.url,
        auth=AuthType(row.auth),
        auth_header=row.auth_header,
        per_member=row.per_member,
        has_credential=row.sealed_credential is not None,
        tier_from_annotations=row.tier_from_annotations,
        tools=tuple(
            ConnectorTool(name=tool["name"], tier=None if tool["tier"] is None else Tier(tool["tier"]))
            for tool in json.loads(row.tools)
        ),
        created_at=from_us(row.created_at),
    )


def _connector_of(row: sa.Row[Any]) -> Connector:
    return Connector(
        key=row.key,
        name=row.name,
        namespace=custom_namespace(row.key),
        kind=ConnectorKind.CUSTOM,
        url=row.url,
        auth=AuthType(row.auth),
        auth_header=row.auth_header,
        per_member=row.per_member,
        sealed_credential=None if row.sealed_credential is None else bytes(row.sealed_credential),
        id=row.id,
    )
