"""The sixteen services of the catalog: data in `catalog/<key>.toml`, read once and checked strictly.

A file holds `[service]` (key, name, namespace, endpoint), `[auth]` (how a member can connect) and `[tools]`: for
each tool its tier, the arguments that name its resource, and for a multiplexing tool the argument that says what
the call really does, with the tiers of its values.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TypeAlias

from wicket.core.errors import Invalid
from wicket.core.model import AuthType, Connector, ConnectorKind, Tier, ToolFacts

Table: TypeAlias = Mapping[str, object]

SERVICES = (
    "github", "slack", "linear", "notion", "stripe", "vercel", "supabase", "hubspot", "airtable", "planetscale",
    "atlassian", "sentry", "cloudflare", "huggingface", "google", "prowler",
)  # fmt: skip
"""Keys of the catalog, in the order in which they are shown."""

SELECTOR_VALUE = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
"""What a selector's value may look like: it becomes part of an action's name."""
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NAMESPACE = re.compile(r"[A-Z][A-Za-z]*MCP", re.ASCII)
_ENDPOINT = re.compile(r"https://\S+", re.ASCII)

_SERVICE_FIELDS = frozenset({"key", "name", "namespace", "endpoint", "endpoints"})
_AUTH_FIELDS = frozenset({"kinds", "notes", "authorize_url", "token_url", "registration_url", "scopes"})
_TOOL_FIELDS = frozenset({"tier", "selector", "selector_tiers", "resource_args", "secret_args", "offered"})


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


def catalog() -> Mapping[str, Connector]:
    """The sixteen connectors by key, in the order in which they are shown."""
    return _connectors()


def auth_facts(service: str) -> AuthFacts:
    """How a service of the catalog is connected; raises KeyError for any other."""
    return _entries()[service].auth


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
    _check_fields(raw, frozenset({"service", "auth", "tools"}), key)
    service = _table(raw.get("service"), f"{key}.service")
    _check_fields(service, _SERVICE_FIELDS, f"{key}.service")
    if service.get("key") != key:
        raise Invalid(f"the file of `{key}` must hold the key `{key}`", field=f"{key}.service.key")
    tools = {
        name: _parse_tool(name, _table(facts, f"{key}.tools.{name}"), f"{key}.tools.{name}")
        for name, facts in _table(raw.get("tools"), f"{key}.tools").items()
    }
    connector = Connector(
        key=key,
        name=_text(service.get("name"), f"{key}.service.name"),
        namespace=_matching(service.get("namespace"), _NAMESPACE, f"{key}.service.namespace"),
        kind=ConnectorKind.CATALOG,
        url=_matching(service.get("endpoint"), _ENDPOINT, f"{key}.service.endpoint"),
        auth=AuthType.BEARER,
        tools=MappingProxyType(tools),
        id=key,
    )
    return CatalogEntry(connector, _parse_auth(_table(raw.get("auth"), f"{key}.auth"), f"{key}.auth"))


def _parse_auth(raw: Table, path: str) -> AuthFacts:
    _check_fields(raw, _AUTH_FIELDS, path)
    kinds = _texts(raw.get("kinds"), f"{path}.kinds")
    unknown = [kind for kind in kinds if kind not in set(AuthKind)]
    if unknown or not kinds:
        raise Invalid(f"`kinds` must be some of {', '.join(AuthKind)}", field=f"{path}.kinds")
    urls = {
        name: _matching(raw[name], _ENDPOINT, f"{path}.{name}")
        for name in ("authorize_url", "token_url", "registration_url")
        if name in raw
    }
    return AuthFacts(
        kinds=tuple(AuthKind(kind) for kind in kinds),
        notes=_text(raw.get("notes", ""), f"{path}.notes"),
        scopes=_texts(raw.get("scopes", []), f"{path}.scopes"),
        authorize_url=urls.get("authorize_url"),
        token_url=urls.get("token_url"),
        registration_url=urls.get("registration_url"),
    )


def _parse_tool(name: str, raw: Table, path: str) -> ToolFacts:
    _check_fields(raw, _TOOL_FIELDS, path)
    _matching(name, _TOOL_NAME, path)
    selector = raw.get("selector")
    selector_tiers = _parse_selector_tiers(
        _table(raw.get("selector_tiers", {}), path), f"{path}.selector_tiers"
    )
    if selector_tiers and selector is None:
        raise Invalid("`selector_tiers` needs a `selector`", field=f"{path}.selector")
    offered = raw.get("offered", True)
    if not isinstance(offered, bool):
        raise Invalid("`offered` must be true or false", field=f"{path}.offered")
    return ToolFacts(
        name=name,
        tier=_tier(raw.get("tier"), f"{path}.tier"),
        selector=None if selector is None else _matching(selector, _ARGUMENT, f"{path}.selector"),
        selector_tiers=MappingProxyType(selector_tiers),
        resource_args=_arguments(raw.get("resource_args", []), f"{path}.resource_args"),
        offered=offered,
        secret_args=_arguments(raw.get("secret_args", []), f"{path}.secret_args"),
    )


def _parse_selector_tiers(raw: Table, path: str) -> dict[str, Tier]:
    """`{write = ["create", "update"]}` -> value -> tier; values differ by more than their case."""
    tiers: dict[str, Tier] = {}
    for tier, values in raw.items():
        for value in _texts(values, f"{path}.{tier}"):
            if value.lower() in {known.lower() for known in tiers}:
                raise Invalid(f"`{value}` is there twice", field=f"{path}.{tier}")
            tiers[_matching(value, SELECTOR_VALUE, f"{path}.{tier}")] = _tier(tier, path)
    return tiers


def _check_fields(raw: Table, known: frozenset[str], path: str) -> None:
    for name in raw:
        if name not in known:
            raise Invalid(f"`{name}` is no field here: {', '.join(sorted(known))}", field=f"{path}.{name}")


def _table(value: object, path: str) -> Table:
    if not isinstance(value, dict):
        raise Invalid("a table is needed here", field=path)
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise Invalid("a text is needed here", field=path)
    return value


def _texts(value: object, path: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Invalid("a list of texts is needed here", field=path)
    return tuple(_text(item, path) for item in value)


def _matching(value: object, grammar: re.Pattern[str], path: str) -> str:
    text = _text(value, path)
    if grammar.fullmatch(text) is None:
        raise Invalid(f"`{text}` does not match {grammar.pattern}", field=path)
    return text


def _arguments(value: object, path: str) -> tuple[str, ...]:
    return tuple(_matching(name, _ARGUMENT, path) for name in _texts(value, path))


def _tier(value: object, path: str) -> Tier:
    text = _text(value, path)
    if text not in set(Tier):
        raise Invalid(f"`{text}` is no tier: {', '.join(Tier)}", field=path)
    return Tier(text)
