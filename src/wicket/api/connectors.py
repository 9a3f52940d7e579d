"""Connectors: what there is to enable, and the caller's own remote servers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field, SecretStr, StrictBool

from wicket.api.guards import UPSTREAM, Guard, by
from wicket.api.http import ApiParts, Caller, ConnectorKey, Parts, guarded_router
from wicket.api.models import In, ListOut, Out, whole
from wicket.connectors.services import AuthKind, auth_facts, catalog, custom_namespace
from wicket.core.errors import Conflict, Invalid
from wicket.core.keys import Binding, SealBroken
from wicket.core.model import (
    AttributeKind,
    AuthType,
    ConditionKind,
    ConditionType,
    Connector,
    ConnectorKind,
    ResourceType,
    RestrictionType,
    Tier,
)
from wicket.runtime.upstream import Credential
from wicket.store import connectors
from wicket.store.connectors import ConnectorSpec, CustomConnector
from wicket.store.db import ALL_AGENTS
from wicket.store.pins import SeenTool, seen_tools


class AuthMetaOut(Out):
    type: AuthType
    kinds: Sequence[AuthKind]
    """The ways in which a member can connect; empty where nobody needs to."""
    accepts_token: bool
    notes: str


class ResourceTypeOut(Out):
    """A kind of thing that calls of a service target, and that entities describe."""

    name: str
    """As entities have it: `PullRequest`."""
    label: str
    """As `resourceScope` has it: `pull_request`."""
    within: Sequence[str]
    """Names of the types that contain it, nearest first."""
    attributes: Mapping[str, AttributeKind]
    """Its own and those of its containers."""

    @classmethod
    def of(cls, described: ResourceType) -> "ResourceTypeOut":
        return cls(
            name=described.name,
            label=described.label,
            within=described.within,
            attributes=dict(described.attributes),
        )


class ConditionTypeOut(Out):
    """What `conditions` of a policy may say."""

    type: str
    kind: ConditionKind
    value: AttributeKind
    """Of one value. Of `within` conditions several are alternatives."""
    choices: Sequence[str]
    """The texts that it can be; empty: any."""
    attribute: str | None
    resource_type: str | None
    """Name of the type whose ids are the values, of `within` conditions."""

    @classmethod
    def of(cls, condition: ConditionType) -> "ConditionTypeOut":
        return cls(
            type=condition.name,
            kind=condition.kind,
            value=condition.value,
            choices=condition.choices,
            attribute=condition.attribute or None,
            resource_type=condition.resource_type or None,
        )


class RestrictionTypeOut(Out):
    """What `restrictions` of a policy may name."""

    type: str
    """`repositories`, `channels` or `pages`."""
    resource_types: Sequence[str]
    """Names of the types that are named, outermost first."""

    @classmethod
    def of(cls, name: str, restriction: RestrictionType) -> "RestrictionTypeOut":
        return cls(type=name, resource_types=restriction.resource_types)


class MetaOut(Out):
    key: str
    name: str
    kind: ConnectorKind
    namespace: str
    """Cedar namespace of its actions and resources."""
    per_member: bool
    """Whether each member connects an account of their own."""
    auth: AuthMetaOut
    tool_count: int
    resource_types: Sequence[ResourceTypeOut] = ()
    conditions: Sequence[ConditionTypeOut] = ()
    restrictions: Sequence[RestrictionTypeOut] = ()


class AuthOut(Out):
    type: AuthType
    header: str | None = None
    per_member: bool = False


class ConnectorToolOut(Out):
    name: str
    tier: Tier | None


class ConnectorOut(Out):
    id: str
    key: str
    name: str
    url: str
    auth: AuthOut
    tier_from_annotations: bool
    tools: Sequence[ConnectorToolOut]
    created_at: datetime

    @classmethod
    def of(cls, connector: CustomConnector) -> "ConnectorOut":
        is_header = connector.auth is AuthType.HEADER
        return cls(
            id=connector.id,
            key=connector.key,
            name=connector.name,
            url=connector.url,
            auth=AuthOut(
                type=connector.auth,
                header=connector.auth_header if is_header else None,
                per_member=connector.per_member,
            ),
            tier_from_annotations=connector.tier_from_annotations,
            tools=[ConnectorToolOut(name=tool.name, tier=tool.tier) for tool in connector.tools],
            created_at=connector.created_at,
        )


class AuthIn(In):
    type: Literal["none", "header"]
    header: str = "Authorization"
    value: SecretStr | None = None
    per_member: StrictBool | None = None


class ConnectorChangeIn(In):
    name: str
    url: str
    auth: AuthIn
    per_member: StrictBool | None = None
    tier_from_annotations: StrictBool = False

    def spec(self, key: str) -> ConnectorSpec:
        """The same as the store takes it; `perMember` may stand inside `auth` or beside it."""
        said = {self.per_member, self.auth.per_member} - {None}
        if len(said) > 1:
            raise Invalid("`perMember` is said twice, differently: say it once", field="perMember")
        return ConnectorSpec(
            key=key,
            name=self.name,
            url=self.url,
            auth=AuthType(self.auth.type),
            auth_header=self.auth.header,
            credential=None if self.auth.value is None else self.auth.value.get_secret_value(),
            per_member=True in said,
            tier_from_annotations=self.tier_from_annotations,
        )


class ConnectorIn(ConnectorChangeIn):
    key: str = Field(max_length=31)


def routes() -> APIRouter:
    """`/api/connectors/...`."""
    router = guarded_router("connectors")
    router.get("/api/connectors/meta", **by(Guard.ACCOUNT))(list_meta)
    router.get("/api/connectors/custom", **by(Guard.ACCOUNT))(list_custom)
    router.post(
        "/api/connectors/custom",
        status_code=201,
        **by(Guard.ACCOUNT, "key_taken", "limit_reached", *UPSTREAM),
    )(create_custom)
    router.get("/api/connectors/custom/{key}", **by(Guard.ACCOUNT))(read_custom)
    router.put("/api/connectors/custom/{key}", **by(Guard.ACCOUNT, "connection_broken", *UPSTREAM))(
        update_custom
    )
    router.delete("/api/connectors/custom/{key}", status_code=204, **by(Guard.ACCOUNT))(delete_custom)
    return router


async def list_meta(caller: Caller, parts: Parts) -> ListOut[MetaOut]:
    """Every connector that the caller's agents may enable."""
    own = await parts.db.read(connectors.list_connectors, account_id=caller.account_id)
    return whole(
        [
            *(_built_in(connector) for connector in (*catalog().values(), *parts.stdio.values())),
            *(_custom(connector) for connector in own),
        ]
    )


async def list_custom(caller: Caller, parts: Parts) -> ListOut[ConnectorOut]:
    """The caller's own connectors, oldest first."""
    own = await parts.db.read(connectors.list_connectors, account_id=caller.account_id)
    return whole([ConnectorOut.of(connector) for connector in own])


async def read_custom(key: ConnectorKey, caller: Caller, parts: Parts) -> ConnectorOut:
    """One of the caller's own connectors."""
    return ConnectorOut.of(await _get(parts, caller.account_id, key))


async def create_custom(body: ConnectorIn, response: Response, caller: Caller, parts: Parts) -> ConnectorOut:
    """Add a remote MCP server, once it has answered with its tools."""
    spec = body.spec(body.key)
    connectors.check_spec(spec, stdio_keys=parts.stdio)
    tools = await _fetch(parts, spec, spec.credential)
    connector = await parts.db.change(
        connectors.create_connector,
        account_id=caller.account_id,
        spec=spec,
        tools=tools,
        server=parts.keys,
        now=parts.now(),
        stdio_keys=frozenset(parts.stdio),
        agents=(),
    )
    response.headers["Location"] = f"/api/connectors/custom/{connector.key}"
    return ConnectorOut.of(connector)


async def update_custom(
    key: ConnectorKey, body: ConnectorChangeIn, caller: Caller, parts: Parts
) -> ConnectorOut:
    """Replace what a connector is. A new URL drops stored secrets and pins; a value left out is kept otherwise."""
    before = await _get(parts, caller.account_id, key)
    spec = body.spec(key)
    kept = await _kept_credential(parts, before, spec)
    connectors.check_spec(spec, keeps_credential=kept is not None)
    tools = await _fetch(parts, spec, spec.credential or kept)
    connector = await parts.db.change(
        connectors.update_connector,
        account_id=caller.account_id,
        connector_id=before.id,
        spec=spec,
        tools=tools,
        server=parts.keys,
        now=parts.now(),
        agents=ALL_AGENTS,
    )
    for agent_id in await parts.db.read(connectors.list_agents_using, service=key):
        parts.forget_tools(agent_id, key)
    return ConnectorOut.of(connector)


async def delete_custom(key: ConnectorKey, caller: Caller, parts: Parts) -> None:
    """Take a connector away from every agent, with its secrets and pins."""
    connector = await _get(parts, caller.account_id, key)
    using = await parts.db.read(connectors.list_agents_using, service=key)
    await parts.db.change(
        connectors.delete_connector,
        account_id=caller.account_id,
        connector_id=connector.id,
        now=parts.now(),
        agents=ALL_AGENTS,
    )
    for agent_id in using:
        parts.forget_tools(agent_id, key)


async def _get(parts: ApiParts, account_id: str, key: str) -> CustomConnector:
    return await parts.db.read(connectors.get_connector_by_key, account_id=account_id, key=key)


async def _fetch(parts: ApiParts, spec: ConnectorSpec, credential: str | None) -> Sequence[SeenTool]:
    """The server's tools, asked as the connector will be; raises Invalid or UpstreamFailed."""
    parts.vet_url(spec.url)
    connector = Connector(
        key=spec.key,
        name=spec.name,
        namespace=custom_namespace(spec.key),
        kind=ConnectorKind.CUSTOM,
        url=spec.url,
        auth=spec.auth,
        auth_header=spec.auth_header,
        per_member=spec.per_member,
    )
    header = None if credential is None else Credential(spec.auth_header, credential)
    return seen_tools(await parts.fetch_tools(connector, header))


async def _kept_credential(parts: ApiParts, before: CustomConnector, spec: ConnectorSpec) -> str | None:
    """The stored credential, where an update leaves it as it is."""
    if spec.credential is not None or spec.per_member or spec.auth is AuthType.NONE or spec.url != before.url:
        return None
    stored = (await parts.db.read(connectors.load_connectors, [before.key])).get(before.key)
    if stored is None or stored.sealed_credential is None:
        return None
    try:
        return parts.keys.open_sealed(stored.sealed_credential, Binding.of_connector(before.id)).decode()
    except SealBroken as broken:
        raise Conflict(
            "the stored credential does not open any more: send it again as `auth.value`",
            code="connection_broken",
        ) from broken


def _built_in(connector: Connector) -> MetaOut:
    facts = auth_facts(connector.key) if connector.kind is ConnectorKind.CATALOG else None
    return MetaOut(
        key=connector.key,
        name=connector.name,
        kind=connector.kind,
        namespace=connector.namespace,
        per_member=facts is not None and connector.per_member,
        auth=AuthMetaOut(
            type=connector.auth,
            kinds=[] if facts is None else facts.kinds,
            accepts_token=facts is not None and facts.accepts_token,
            notes="" if facts is None else facts.notes,
        ),
        tool_count=len(connector.tools),
        resource_types=[ResourceTypeOut.of(one) for one in connector.resource_types.values()],
        conditions=[ConditionTypeOut.of(one) for one in connector.condition_types.values()],
        restrictions=[RestrictionTypeOut.of(name, one) for name, one in connector.restrictions.items()],
    )


def _custom(connector: CustomConnector) -> MetaOut:
    return MetaOut(
        key=connector.key,
        name=connector.name,
        kind=ConnectorKind.CUSTOM,
        namespace=custom_namespace(connector.key),
        per_member=connector.per_member,
        auth=AuthMetaOut(
            type=connector.auth,
            kinds=[AuthKind.TOKEN] if connector.per_member else [],
            accepts_token=connector.per_member,
            notes="",
        ),
        tool_count=len(connector.tools),
    )
