"""The structured policy: what people write and read, parsed into frozen values.

`parse_policy` is the only way in and `render_policy` the only way out; what one gives, the other takes.
An optional field that is null or empty is the same as an absent one. What a field may say of resources is the
service's connector to tell; a service that has none knows no such field.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wicket.core.errors import Invalid
from wicket.core.model import OTHER_METHODS, Connector, Json, JsonObject, PolicyEffect, Tier
from wicket.core.policy.arguments import ArgumentCondition, parse_arguments, render_argument
from wicket.core.policy.conditions import (
    Network,
    SessionCondition,
    Time,
    parse_network,
    parse_session,
    parse_time,
    render_condition,
    render_network,
    render_time,
)
from wicket.core.policy.fields import (
    check_distinct,
    parse_boolean,
    parse_choice,
    parse_list,
    parse_match,
    parse_object,
    parse_required,
    parse_text,
)
from wicket.core.policy.resources import (
    ResourceConditions,
    Restrictions,
    Scope,
    parse_conditions,
    parse_restrictions,
    parse_scope,
    render_conditions,
    render_restrictions,
)

EVERY = "*"
"""The service of a policy that binds on every service, and then its one tool."""

NAME_LENGTH_MAX = 200
DENY_MESSAGE_LENGTH_MAX = 500
TOOLS_MAX = 500
USERS_MAX = 1_000

SERVICE_GRAMMAR = re.compile(r"[a-z][a-z0-9]{0,30}|\*")
TOOL_GRAMMAR = re.compile(
    rf"[A-Za-z0-9_.-]{{1,128}}(::[A-Za-z0-9_.-]{{1,64}})?|tier:({'|'.join(Tier)})|{'|'.join(OTHER_METHODS)}"
)
ID_GRAMMAR = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a policy binds: every member, or those whose user ids are listed."""

    user_ids: tuple[str, ...] | None = None

    def covers(self, user_id: str) -> bool:
        return self.user_ids is None or user_id in self.user_ids


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """One structured policy, valid by construction when `parse_policy` made it."""

    name: str
    service: str
    effect: PolicyEffect
    tools: tuple[str, ...]
    """Each `tool`, `tool::selector` or `tier:<tier>`; `("*",)` when the service is `"*"`."""
    principal: Principal = Principal()
    enabled: bool = True
    deny_message: str | None = None
    time: Time | None = None
    session: tuple[SessionCondition, ...] = ()
    network: Network | None = None
    restrictions: Restrictions | None = None
    resource_scope: Scope | None = None
    conditions: ResourceConditions | None = None
    arguments: tuple[ArgumentCondition, ...] = ()
    member_id: str | None = None

    @property
    def is_scoped(self) -> bool:
        """Whether the policy is limited to some resources."""
        return self.restrictions is not None or self.resource_scope is not None or self.conditions is not None

    @property
    def is_conditional(self) -> bool:
        """Whether more than tool and member decides if the policy matches."""
        return (
            self.time is not None
            or bool(self.session)
            or self.network is not None
            or self.is_scoped
            or bool(self.arguments)
        )


REQUIRED = ("name", "service", "effect", "tools")
OPTIONAL = (
    "principal", "enabled", "denyMessage", "time", "session", "network", "restrictions", "resourceScope",
    "conditions", "arguments", "memberId",
)  # fmt: skip
NO_CONNECTORS: Final[Mapping[str, Connector]] = MappingProxyType({})


def covering_patterns(tool: str, selector: str | None, tier: Tier) -> tuple[str, ...]:
    """The entries of `tools` by which a policy of the service covers a call of `tool`.

    `tier` is that of the call: the selector's where the tool has tiers by selector.
    """
    patterns = (tool, f"tier:{tier}")
    return patterns if selector is None else (*patterns, f"{tool}::{selector}")


def parse_policy(
    raw: JsonObject,
    connectors: Mapping[str, Connector] = NO_CONNECTORS,
    *,
    known_zones: frozenset[str] | None = None,
) -> PolicyDocument:
    """Read a policy as written on the wire; raise `Invalid` with the dotted path of the bad field.

    `connectors`, by key, tell what can be said of the resources of a service. `known_zones` are the IANA names to
    accept; None accepts whatever is spelled like one.
    """
    raw = parse_object(raw, "", (*REQUIRED, *OPTIONAL))
    service = parse_match(
        parse_required(raw, "service", "service"), "service", SERVICE_GRAMMAR, "a connector's key or `*`"
    )
    effect = parse_choice(parse_required(raw, "effect", "effect"), "effect", PolicyEffect)
    connector = connectors.get(service)
    document = PolicyDocument(
        name=parse_text(parse_required(raw, "name", "name"), "name", length_max=NAME_LENGTH_MAX),
        service=service,
        effect=effect,
        tools=_parse_tools(parse_required(raw, "tools", "tools"), service),
        principal=_parse_principal(raw.get("principal")),
        enabled=True if raw.get("enabled") is None else parse_boolean(raw["enabled"], "enabled"),
        deny_message=_parse_deny_message(raw.get("denyMessage"), effect),
        time=parse_time(raw.get("time"), known_zones),
        session=parse_session(raw.get("session")),
        network=parse_network(raw.get("network")),
        restrictions=parse_restrictions(raw.get("restrictions"), connector),
        resource_scope=parse_scope(raw.get("resourceScope"), connector),
        conditions=parse_conditions(raw.get("conditions"), connector),
        arguments=parse_arguments(raw.get("arguments")),
        member_id=_parse_member_id(raw.get("memberId")),
    )
    if service == EVERY and document.arguments:
        raise Invalid("`arguments` are those of one service's tools, name the service", field="arguments")
    return document


def _parse_tools(raw: Json, service: str) -> tuple[str, ...]:
    items = parse_list(raw, "tools", count_min=1, count_max=TOOLS_MAX)
    if service == EVERY:
        if items != [EVERY]:
            raise Invalid('`tools` must be ["*"] where the service is `*`', field="tools")
        return (EVERY,)
    meaning = "`tool`, `tool::selector`, `tier:read`, `tier:write` or `tier:destructive`"
    tools = tuple(parse_match(item, f"tools[{i}]", TOOL_GRAMMAR, meaning) for i, item in enumerate(items))
    check_distinct(tools, "tools")
    return tools


def _parse_principal(raw: Json) -> Principal:
    if raw is None:
        return Principal()
    raw = parse_object(raw, "principal", ("type", "userIds"))
    match parse_required(raw, "type", "principal.type"):
        case "all_members":
            if raw.get("userIds"):
                raise Invalid(
                    "`principal.userIds` goes with the type `specific_members`", field="principal.userIds"
                )
            return Principal()
        case "specific_members":
            field = "principal.userIds"
            ids = parse_list(parse_required(raw, "userIds", field), field, count_min=1, count_max=USERS_MAX)
            users = tuple(
                parse_match(item, f"{field}[{i}]", ID_GRAMMAR, "a user's id") for i, item in enumerate(ids)
            )
            check_distinct(users, field)
            return Principal(users)
        case _:
            raise Invalid(
                "`principal.type` must be `all_members` or `specific_members`", field="principal.type"
            )


def _parse_deny_message(raw: Json, effect: PolicyEffect) -> str | None:
    if raw is None or raw == "":
        return None
    if effect is not PolicyEffect.FORBID:
        raise Invalid("`denyMessage` goes with the effect `forbid`, leave it out", field="denyMessage")
    return parse_text(raw, "denyMessage", length_max=DENY_MESSAGE_LENGTH_MAX, keep="\n")


def _parse_member_id(raw: Json) -> str | None:
    return None if raw is None else parse_match(raw, "memberId", ID_GRAMMAR, "a member's id")


def render_policy(document: PolicyDocument) -> JsonObject:
    """Write a policy as it stands on the wire, with `principal` and `enabled` and what else it says."""
    users = document.principal.user_ids
    rendered: JsonObject = {
        "name": document.name,
        "service": document.service,
        "effect": document.effect.value,
        "tools": list(document.tools),
        "principal": {"type": "all_members"}
        if users is None
        else {"type": "specific_members", "userIds": list(users)},
        "enabled": document.enabled,
    }
    if document.deny_message is not None:
        rendered["denyMessage"] = document.deny_message
    if document.time is not None:
        rendered["time"] = render_time(document.time)
    if document.session:
        rendered["session"] = [render_condition(condition) for condition in document.session]
    if document.network is not None:
        rendered["network"] = render_network(document.network)
    if document.restrictions is not None:
        rendered["restrictions"] = render_restrictions(document.restrictions)
    if document.resource_scope is not None:
        rendered["resourceScope"] = document.resource_scope.label
    if document.conditions is not None:
        rendered["conditions"] = render_conditions(document.conditions)
    if document.arguments:
        rendered["arguments"] = [render_argument(condition) for condition in document.arguments]
    if document.member_id is not None:
        rendered["memberId"] = document.member_id
    return rendered


def digest_of(document: PolicyDocument, version: int) -> str:
    """SHA-256 (hex) of a version of a policy, enabled or not: a toggle makes no version."""
    rendered = render_policy(document)
    del rendered["enabled"]
    canonical = json.dumps(
        {"policy": rendered, "version": version}, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
