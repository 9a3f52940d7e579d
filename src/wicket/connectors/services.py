"""The sixteen services of the catalog: data in `catalog/<key>.toml`, read once and checked strictly.

A file holds `[service]` (key, name, namespace, endpoint), `[auth]` (how a member can connect) and `[tools]`: for
each tool its tier, the arguments that name its resource, how the resource is found (`target`), and for a
multiplexing tool the argument that says what the call really does, with the tiers of its values. `[types]`,
`[conditions]`, `[restrictions]`, `[labels]` and `[targets]` say what its resources are: see kinds.py and plain.py.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from wicket.connectors import github, linear, slack
from wicket.connectors.kinds import (
    LabelRule,
    parse_conditions,
    parse_labels,
    parse_restrictions,
    parse_types,
)
from wicket.connectors.knowledge import Mapper, find_everywhere
from wicket.connectors.plain import parse_targets
from wicket.connectors.tables import (
    ARGUMENT,
    Table,
    arguments,
    check_fields,
    flag,
    matching,
    one_of,
    table,
    text,
    texts,
    tier,
)
from wicket.core.errors import Invalid
from wicket.core.model import AuthType, Connector, ConnectorKind, Tier, ToolFacts

SERVICES = (
    "github", "slack", "linear", "notion", "stripe", "vercel", "supabase", "hubspot", "airtable", "planetscale",
    "atlassian", "sentry", "cloudflare", "huggingface", "google", "prowler",
)  # fmt: skip
"""Keys of the catalog, in the order in which they are shown."""

SEARCH = "search"
"""The target of a tool that crosses resources, whatever its service."""
OWN_MAPPERS: Mapping[str, Mapping[str, Mapper]] = {
    "github": github.TARGETS,
    "linear": linear.TARGETS,
    "slack": slack.TARGETS,
}
"""Where `[targets]` cannot say it."""
OWN_TYPES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "github": github.TYPES,
    "linear": linear.TYPES,
    "slack": slack.TYPES,
}
"""Of which types the resources are that these find."""
SELECTOR_VALUE = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
"""What a selector's value may look like: it becomes part of an action's name."""
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_NAMESPACE = re.compile(r"[A-Z][A-Za-z]*MCP", re.ASCII)
_ENDPOINT = re.compile(r"https://\S+", re.ASCII)

_FIELDS = frozenset({"service", "auth", "types", "conditions", "restrictions", "labels", "targets", "tools"})
_SERVICE_FIELDS = frozenset({"key", "name", "namespace", "endpoint", "endpoints"})
_AUTH_FIELDS = frozenset({"kinds", "notes", "authorize_url", "token_url", "registration_url", "scopes"})
_TOOL_FIELDS = frozenset(
    {"tier", "selector", "selector_tiers", "resource_args", "secret_args", "offered", "target"}
)


class AuthKind(StrEnum):
    """A way in which a member can connect a service."""

    TOKEN = "token"  # noqa: S105 - a word of the catalog
    """A token that the member pastes, sent as a bearer."""
    OAUTH_DYNAMIC = "oauth_dynamic"
    """OAuth with a client that registers itself."""
    OAUTH_REGISTERED = "oauth_registered"
    """OAuth with an app that the owner has registered beforehand."""
    OAUTH_APPROVED = "oauth_approved"
    """OAuth for clients that the vendor has reviewed."""
    OAUTH_DISCOVERED = "oauth_discovered"
    """OAuth as the server's own metadata describes it."""


@dataclass(frozen=True, slots=True)
class AuthFacts:
    """What the catalog knows of connecting a service."""

    kinds: tuple[AuthKind, ...]
    notes: str = ""
    authorize_url: str | None = None
    token_url: str | None = None
    registration_url: str | None = None
    scopes: tuple[str, ...] = ()

    @property
    def accepts_token(self) -> bool:
        """Whether a member may paste a token."""
        return AuthKind.TOKEN in self.kinds


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One file of the catalog."""

    connector: Connector
    auth: AuthFacts
    mappers: Mapping[str, Mapper]
    """What the `target` of a tool means."""
    target_types: Mapping[str, str]
    """Target -> the type of what it finds; empty: it looks through many."""
    labels: tuple[LabelRule, ...]


def catalog() -> Mapping[str, Connector]:
    """The sixteen connectors by key, in the order in which they are shown."""
    return _connectors()


def auth_facts(service: str) -> AuthFacts:
    """How a service of the catalog is connected; raises KeyError for any other."""
    return _entries()[service].auth


def mapper_of(service: str, target: str) -> Mapper:
    """How the resources of a tool with this `target` are found; raises KeyError for a service without any."""
    return _entries()[service].mappers[target]


def target_type(service: str, target: str) -> str:
    """The type of what tools with this `target` work on; empty for what looks through many resources."""
    return _entries()[service].target_types[target]


def label_rules(service: str) -> tuple[LabelRule, ...]:
    """What calls of a service leave behind in their sessions."""
    return _entries()[service].labels if service in SERVICES else ()


def custom_namespace(key: str) -> str:
    """The Cedar namespace of a connector that is not in the catalog."""
    return f"Custom_{key}MCP"


def namespace_of(service: str) -> str:
    """The Cedar namespace of a service, whatever it is and whether it is there or not."""
    connector = catalog().get(service)
    return custom_namespace(service) if connector is None else connector.namespace


def is_reserved(key: str) -> bool:
    """Whether a custom connector may not have this key, because the catalog has it."""
    return key in SERVICES


@cache
def _connectors() -> Mapping[str, Connector]:
    return MappingProxyType({key: entry.connector for key, entry in _entries().items()})


@cache
def _entries() -> Mapping[str, CatalogEntry]:
    folder = files(__package__).joinpath("catalog")
    return MappingProxyType(
        {
            key: parse_entry(key, tomllib.loads(folder.joinpath(f"{key}.toml").read_text("utf-8")))
            for key in SERVICES
        }
    )


def parse_entry(key: str, raw: Table) -> CatalogEntry:
    """Read the file of service `key`; raises Invalid with the dotted path of what is wrong."""
    check_fields(raw, _FIELDS, key)
    service = table(raw.get("service"), f"{key}.service")
    check_fields(service, _SERVICE_FIELDS, f"{key}.service")
    if service.get("key") != key:
        raise Invalid(f"the file of `{key}` must hold the key `{key}`", field=f"{key}.service.key")
    types = parse_types(_part(raw, key, "types"), f"{key}.types")
    plain = parse_targets(_part(raw, key, "targets"), f"{key}.targets", types)
    mappers = {SEARCH: find_everywhere, **plain, **OWN_MAPPERS.get(key, {})}
    own_types = {target: kind for kind, found in OWN_TYPES.get(key, {}).items() for target in found}
    target_types = {SEARCH: "", **{name: one.kind.name for name, one in plain.items()}, **own_types}
    tools = {
        name: _parse_tool(name, table(facts, f"{key}.tools.{name}"), f"{key}.tools.{name}", mappers)
        for name, facts in table(raw.get("tools"), f"{key}.tools").items()
    }
    connector = Connector(
        key=key,
        name=text(service.get("name"), f"{key}.service.name"),
        namespace=matching(service.get("namespace"), _NAMESPACE, f"{key}.service.namespace"),
        kind=ConnectorKind.CATALOG,
        url=matching(service.get("endpoint"), _ENDPOINT, f"{key}.service.endpoint"),
        auth=AuthType.BEARER,
        tools=MappingProxyType(tools),
        id=key,
        resource_types=types,
        condition_types=parse_conditions(_part(raw, key, "conditions"), f"{key}.conditions", types),
        restrictions=parse_restrictions(_part(raw, key, "restrictions"), f"{key}.restrictions", types),
    )
    return CatalogEntry(
        connector=connector,
        auth=_parse_auth(table(raw.get("auth"), f"{key}.auth"), f"{key}.auth"),
        mappers=MappingProxyType(mappers),
        target_types=MappingProxyType(target_types),
        labels=parse_labels(_part(raw, key, "labels"), f"{key}.labels", types),
    )


def _part(raw: Table, key: str, name: str) -> Table:
    """A part of a file that may be left out."""
    return table(raw.get(name, {}), f"{key}.{name}")


def _parse_auth(raw: Table, path: str) -> AuthFacts:
    check_fields(raw, _AUTH_FIELDS, path)
    kinds = texts(raw.get("kinds"), f"{path}.kinds")
    unknown = [kind for kind in kinds if kind not in set(AuthKind)]
    if unknown or not kinds:
        raise Invalid(f"`kinds` must be some of {', '.join(AuthKind)}", field=f"{path}.kinds")
    urls = {
        name: matching(raw[name], _ENDPOINT, f"{path}.{name}")
        for name in ("authorize_url", "token_url", "registration_url")
        if name in raw
    }
    return AuthFacts(
        kinds=tuple(AuthKind(kind) for kind in kinds),
        notes=text(raw.get("notes", ""), f"{path}.notes"),
        scopes=texts(raw.get("scopes", []), f"{path}.scopes"),
        authorize_url=urls.get("authorize_url"),
        token_url=urls.get("token_url"),
        registration_url=urls.get("registration_url"),
    )


def _parse_tool(name: str, raw: Table, path: str, targets: Collection[str]) -> ToolFacts:
    check_fields(raw, _TOOL_FIELDS, path)
    matching(name, _TOOL_NAME, path)
    selector = raw.get("selector")
    selector_tiers = _parse_selector_tiers(
        table(raw.get("selector_tiers", {}), path), f"{path}.selector_tiers"
    )
    if selector_tiers and selector is None:
        raise Invalid("`selector_tiers` needs a `selector`", field=f"{path}.selector")
    return ToolFacts(
        name=name,
        tier=tier(raw.get("tier"), f"{path}.tier"),
        selector=None if selector is None else matching(selector, ARGUMENT, f"{path}.selector"),
        selector_tiers=MappingProxyType(selector_tiers),
        resource_args=arguments(raw.get("resource_args", []), f"{path}.resource_args"),
        offered=flag(raw.get("offered", True), f"{path}.offered"),
        secret_args=arguments(raw.get("secret_args", []), f"{path}.secret_args"),
        target="" if "target" not in raw else one_of(raw["target"], targets, f"{path}.target"),
    )


def _parse_selector_tiers(raw: Table, path: str) -> dict[str, Tier]:
    """`{write = ["create", "update"]}` -> value -> tier; values differ by more than their case."""
    tiers: dict[str, Tier] = {}
    for name, values in raw.items():
        for value in texts(values, f"{path}.{name}"):
            if value.lower() in {known.lower() for known in tiers}:
                raise Invalid(f"`{value}` is there twice", field=f"{path}.{name}")
            tiers[matching(value, SELECTOR_VALUE, f"{path}.{name}")] = tier(name, path)
    return tiers
