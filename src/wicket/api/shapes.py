"""Shapes that the description shows and no code reads: documents whose rules are the store's and the core's to judge.

What a policy may say is `parse_policy`'s to decide, what an entry holds `store.audit.render`'s; here is how that looks
from outside. Tests hold every answer against it, so it cannot go stale.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema, create_model
from pydantic.json_schema import models_json_schema

from wicket.api.models import SHAPE, In, Out, RawObject
from wicket.core.model import DenialShape, Effect, Outcome, PolicyEffect, Reason
from wicket.core.policy.arguments import ARGUMENTS_MAX, CHOICES_MAX, PATH_LENGTH_MAX, ArgumentOperator
from wicket.core.policy.conditions import (
    COUNT_MAX,
    NETWORKS_MAX,
    SESSION_CONDITIONS_MAX,
    Operator,
    SessionScope,
)
from wicket.core.policy.document import DENY_MESSAGE_LENGTH_MAX, NAME_LENGTH_MAX, TOOLS_MAX, USERS_MAX
from wicket.core.policy.resources import ALTERNATIVES_MAX, CONDITIONS_MAX, RESTRICTIONS_MAX, Match
from wicket.store.audit.fields import FIELDS


class AllMembers(In):
    type: Literal["all_members"]
    user_ids: list[str] | None = Field(None, max_length=0)


class SpecificMembers(In):
    type: Literal["specific_members"]
    user_ids: list[str] = Field(min_length=1, max_length=USERS_MAX, description="`userId`s of members")


Hour: TypeAlias = Annotated[int, Field(ge=0, le=23)]
Day: TypeAlias = Annotated[int, Field(ge=0, le=6)]
Date: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class PolicyTime(In):
    """When the policy matches: of the call's own local instant, everything inclusive."""

    days_of_week: list[Day] | None = Field(None, min_length=1, description="0 is Sunday")
    hours_from: Hour | None = Field(
        None, description="goes with `hoursTo`; later than that wraps past midnight"
    )
    hours_to: Hour | None = Field(None, description="inclusive: 17 covers 17:59")
    active_from: Date | None = None
    active_to: Date | None = None
    time_zone: str | None = Field(None, description="IANA name; UTC without one")


class PolicyNetwork(In):
    """The caller's address is in one of `in`, if any, and in none of `notIn`."""

    in_: list[str] | None = Field(None, alias="in", min_length=1, max_length=NETWORKS_MAX, description="CIDR")
    not_in: list[str] | None = Field(None, min_length=1, max_length=NETWORKS_MAX, description="CIDR")


Over: TypeAlias = Annotated[
    SessionScope | None, Field(description="`session` without it; `member` is not supported yet")
]


class CountOfSession(In):
    type: Literal["denyCount", "callCount"]
    operator: Operator
    value: int = Field(ge=0, le=COUNT_MAX)
    scope: Over = None


class CountOfTool(In):
    type: Literal["toolCount"]
    tool: str = Field(description="`service:tool`")
    operator: Operator
    value: int = Field(ge=0, le=COUNT_MAX)
    scope: Over = None


class CountOfPolicy(In):
    type: Literal["policyDenyCount", "policyAllowCount"]
    policy: str = Field(description="the policy's key")
    operator: Operator
    value: int = Field(ge=0, le=COUNT_MAX)
    scope: Over = None


class LabelOfSession(In):
    type: Literal["hasLabel"]
    value: str = Field(max_length=200, description="such as `github:private`")
    scope: Over = None


SessionCondition: TypeAlias = CountOfSession | CountOfTool | CountOfPolicy | LabelOfSession


class RestrictedRepository(In):
    owner: str
    repo: str | None = Field(None, description="without it whatever the owner has and will have")


class PolicyRestrictions(In):
    """The containers that a policy is limited to; those that the service has."""

    repositories: list[RestrictedRepository] | None = Field(None, max_length=RESTRICTIONS_MAX)
    channels: list[str] | None = Field(None, max_length=RESTRICTIONS_MAX, description="ids")
    pages: list[str] | None = Field(None, max_length=RESTRICTIONS_MAX, description="ids")


class ResourceCondition(In):
    type: str = Field(description="one of the service's: `isDraft`")
    value: bool | int | str | Annotated[list[str], Field(min_length=1, max_length=ALTERNATIVES_MAX)] = Field(
        description="of ids a list too, whose items are alternatives"
    )


class ResourceConditions(In):
    """What is known of the resource. What nobody has told holds for a forbid, and does not for a permit."""

    match: Match | None = Field(None, description="`all` without it")
    items: list[ResourceCondition] | None = Field(None, max_length=CONDITIONS_MAX)


ArgumentScalar: TypeAlias = bool | int | float | str


class ArgumentCondition(In):
    """What is said of an argument; where that cannot be told, it holds for a forbid, and does not for a permit."""

    path: str = Field(max_length=PATH_LENGTH_MAX, description="`branch`, `options.force`, `files[*].path`")
    operator: ArgumentOperator
    value: ArgumentScalar | Annotated[list[ArgumentScalar], Field(min_length=1, max_length=CHOICES_MAX)] = (
        Field(
            description="of one type with the argument; a list for `in` and `notIn`; true or false for `exists`"
        )
    )


class Policy(In):
    """A structured policy. A call is denied unless a permit matches; a matching forbid beats every permit."""

    name: str = Field(min_length=1, max_length=NAME_LENGTH_MAX)
    service: str = Field(description='a connector\'s key; `*` for every service, with `tools: ["*"]`')
    effect: PolicyEffect
    tools: list[str] = Field(
        min_length=1,
        max_length=TOOLS_MAX,
        description="`tool`, `tool::selector` or `tier:read|write|destructive`",
    )
    principal: AllMembers | SpecificMembers | None = Field(None, description="all members without it")
    enabled: bool | None = Field(None, description="a disabled policy is not evaluated; enabled without it")
    deny_message: str | None = Field(None, max_length=DENY_MESSAGE_LENGTH_MAX, description="only on a forbid")
    time: PolicyTime | None = None
    session: list[SessionCondition] | None = Field(
        None, max_length=SESSION_CONDITIONS_MAX, description="all hold"
    )
    network: PolicyNetwork | None = None
    restrictions: PolicyRestrictions | None = None
    resource_scope: str | None = Field(None, description="the one type of resources: `pull_request`")
    conditions: ResourceConditions | None = None
    arguments: list[ArgumentCondition] | None = Field(
        None, max_length=ARGUMENTS_MAX, description="all hold; of one service's tools"
    )
    member_id: str | None = Field(None, description="whose policy it is: on untrusted agents, needed there")


class PolicySave(Policy):
    note: str | None = Field(None, description="why, for the list of versions")


class SavedPolicy(Policy):
    id: str
    key: str = Field(description="of its first name; stays when it is renamed")
    version: int = Field(ge=1)
    principal: AllMembers | SpecificMembers
    enabled: bool


class VersionOfPolicy(Policy):
    """As it was saved; whether it is enabled is no part of a version."""


class AgentSettings(In):
    """Null, or left out: the instance's."""

    rate_burst: int | None = Field(None, ge=1, description="calls of a key at once")
    rate_per_second: float | None = Field(None, gt=0, description="calls of a key that are refilled a second")
    denial_shape: DenialShape | None = Field(None, description="how clients are told of a denial")
    time_zone: str | None = Field(None, description="IANA name, for the dashboard")


class InstanceStatus(BaseModel):
    version: str
    database: str = Field(description="`sqlite` or `postgres`")
    recorder: str
    backlog: int = Field(description="decisions that wait to be recorded")


class MatchedPolicy(Out):
    model_config = ConfigDict(extra="forbid")

    id: str
    key: str
    name: str
    version: int
    effect: PolicyEffect


_TYPES: Final[Mapping[str, Any]] = {
    "timestamp": AwareDatetime,
    "toolArgs": RawObject,
    "decision": Effect,
    "matchedPolicyIds": list[str],
    "matchedPolicyNames": list[str],
    "durationMs": float | None,
    "reasonCode": Reason,
    "matchedPolicies": list[MatchedPolicy],
    "resources": list[str],
    "count": int,
    "outcome": Outcome,
    "upstreamStatus": int | None,
    "decisionMs": float,
    "recordMs": float | None,
    "upstreamMs": float | None,
    "requestBytes": int,
    "responseBytes": int | None,
    "seq": int,
}
_NEVER_NULL: Final = frozenset({"id", "agentId", "agentName", "service", "tool", "reason", "hash"})


def _entry() -> type[BaseModel]:
    """The entry as a model: the fields of the contract, in its order, with what each means."""
    fields: dict[str, Any] = {
        name: (_TYPES.get(name, str if name in _NEVER_NULL else str | None), Field(description=meaning))
        for name, meaning in FIELDS.items()
    }
    return create_model("AuditEntry", __config__=ConfigDict(extra="forbid"), **fields)


SHAPES: Final = (PolicySave, SavedPolicy, VersionOfPolicy, AgentSettings, InstanceStatus, _entry())


def shape(name: str) -> WithJsonSchema:
    """Mark a raw object as one of SHAPES, for the description alone."""
    return WithJsonSchema({SHAPE: name})


PolicyBody: TypeAlias = Annotated[RawObject, shape("PolicySave")]
PolicyOut: TypeAlias = Annotated[RawObject, shape("SavedPolicy")]
VersionBody: TypeAlias = Annotated[RawObject, shape("VersionOfPolicy")]
EntryOut: TypeAlias = Annotated[RawObject, shape("AuditEntry")]
InstanceStatusOut: TypeAlias = Annotated[RawObject, shape("InstanceStatus")]
SettingsBody: TypeAlias = Annotated[RawObject, shape("AgentSettings")]


REF: Final = "#/components/schemas/"


def schemas() -> dict[str, Any]:
    """Every shape, and what it is made of, as components of the description."""
    _, made = models_json_schema([(model, "serialization") for model in SHAPES], ref_template=REF + "{model}")
    found: dict[str, Any] = made["$defs"]
    return found


def tidy(node: Any, names: Mapping[str, str]) -> Any:
    """A part of the description with a `$ref` wherever a shape is named, and no titles made of names.

    `names` are those of schemas that are called differently now.
    """
    match node:
        case {"x-shape": str(name)}:
            return {"$ref": REF + name}
        case {"$ref": str(ref)} if len(node) == 1:
            name = ref.removeprefix(REF)
            return {"$ref": REF + names[name]} if name in names else node
        case dict():
            return {
                key: tidy(value, names)
                for key, value in node.items()
                if not (key == "title" and isinstance(value, str))
            }
        case list():
            return [tidy(value, names) for value in node]
        case _:
            return node
