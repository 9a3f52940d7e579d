"""The nouns of Wicket, as values.

Everything here is frozen and knows nothing of databases, clocks or the network. Instants are aware UTC
datetimes whose names end in `_at`; identifiers are text UUIDs unless a comment says otherwise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
JsonObject: TypeAlias = dict[str, Json]


class Effect(StrEnum):
    """What was decided for a call."""

    ALLOW = "ALLOW"
    DENY = "DENY"


class PolicyEffect(StrEnum):
    PERMIT = "permit"
    FORBID = "forbid"


class Tier(StrEnum):
    """How much harm a tool can do, in rising order."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


TIER_ORDER = (Tier.READ, Tier.WRITE, Tier.DESTRUCTIVE)
OTHER_METHODS = (
    "completion/complete",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
)
"""What is decided like a call beside `tools/call`: reads, each an action of its own name."""


class AgentStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class TrustMode(StrEnum):
    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


class Role(StrEnum):
    OWNER = "owner"
    MEMBER = "member"


class MemberStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    REMOVED = "removed"


class DenialShape(StrEnum):
    """How a policy denial is answered: a JSON-RPC error, or a tool result with `isError: true`."""

    ERROR = "error"
    TOOL_RESULT = "toolResult"


class Reason(StrEnum):
    """Why a call was decided or refused as it was: the stable codes of audit entries and `error.data.reason`."""

    PERMITTED = "permitted"
    """A permit matched and no forbid did."""
    NO_PERMIT_MATCHED = "no_permit_matched"
    """Nothing permits the call."""
    FORBIDDEN_BY_POLICY = "forbidden_by_policy"
    """A forbid matched, whatever is permitted beside it."""
    POLICY_ERRORED = "policy_errored"
    """A policy that applies could not be evaluated, so the call is denied."""
    AGENT_DISABLED = "agent_disabled"
    """The agent is switched off (HTTP 403)."""
    MEMBER_NOT_APPROVED = "member_not_approved"
    """The membership is pending, rejected or removed (HTTP 403)."""
    SERVICE_NOT_ENABLED = "service_not_enabled"
    """The agent has not enabled the tool's service."""
    UNKNOWN_TOOL = "unknown_tool"
    """The tool is in no table and its owner has not reviewed it."""
    TOOL_CHANGED = "tool_changed"
    """The tool is no longer what was accepted, or is held back, until its owner reviews it."""
    RESOURCE_NOT_RECOGNISED = "resource_not_recognised"
    """A policy of this tool is scoped to resources and the call names none."""
    ARGUMENTS_REJECTED = "arguments_rejected"
    """An argument that says what the call targets or does is not in the strict grammar."""
    UNKNOWN_SESSION = "unknown_session"
    """The call names an `Mcp-Session-Id` that was not handed out to its key, or has ended (HTTP 404)."""
    RATE_LIMITED = "rate_limited"
    """The key's bucket is empty (HTTP 429); `Retry-After` says for how long."""
    KEY_REVOKED = "key_revoked"
    """The key was revoked or rotated; the caller hears what an unknown key hears (HTTP 401)."""
    NO_CREDENTIALS = "no_credentials"
    """The call was permitted, but the member has not connected the service (HTTP 412)."""
    MEMBER_KEY_REQUIRED = "member_key_required"
    """The call was permitted and tried without the member key that its credential is sealed under (HTTP 412)."""
    AUDIT_UNAVAILABLE = "audit_unavailable"
    """Nothing can be recorded now, so nothing is forwarded (HTTP 503)."""
    DECISION_EXPIRED = "decision_expired"
    """The rules moved before the permitted call could be sent (HTTP 503)."""


class Outcome(StrEnum):
    """How a call ended. An allowed entry starts as `pending`, a denied one as `refused`."""

    PENDING = "pending"
    """Permitted and not ended yet."""
    OK = "ok"
    """The upstream answered."""
    TOOL_ERROR = "tool_error"
    """The upstream answered that the tool failed."""
    UPSTREAM_ERROR = "upstream_error"
    """The upstream could not be reached, or what it sent could not be used."""
    TIMEOUT = "timeout"
    """The upstream was silent for too long."""
    CANCELLED = "cancelled"
    """The client cancelled, or the agent or member was cut off while the call ran."""
    INTERRUPTED = "interrupted"
    """The process that ran the call died; whether the upstream carried it out is not known."""
    EXPIRED = "expired"
    """Never sent: the rules moved after the decision."""
    REFUSED = "refused"
    """Never sent: denied, or refused before or after the decision."""


class ConnectorKind(StrEnum):
    CATALOG = "catalog"
    CUSTOM = "custom"
    STDIO = "stdio"


class AuthType(StrEnum):
    """How a connector's upstream wants to be authenticated to."""

    NONE = "none"
    BEARER = "bearer"
    """`Authorization: Bearer <token>`, one token a member."""
    HEADER = "header"
    """A header of the owner's choice; one value for all members, or one a member (`per_member`)."""


@dataclass(frozen=True, slots=True)
class EntityUid:
    """A Cedar entity: `type` with its namespace (`GitHubMCP::Repository`) and an id."""

    type: str
    id: str

    def __str__(self) -> str:
        escaped = self.id.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.type}::"{escaped}"'

    def as_json(self) -> dict[str, str]:
        """The form that Cedar takes without parsing text."""
        return {"type": self.type, "id": self.id}


@dataclass(frozen=True, slots=True)
class Resource:
    """What a call targets, with the containers it lies in, nearest first.

    An attribute that the type has is known and in `attributes`, or nobody has told it and it is in `unknown`; one in
    neither does not apply. A container that is not known has the id `?`.
    """

    uid: EntityUid
    parents: tuple[EntityUid, ...] = ()
    attributes: Mapping[str, Json] = field(default_factory=dict)
    """Text, bool, int, or a sorted list of texts for a set."""
    unknown: frozenset[str] = frozenset()


class AttributeKind(StrEnum):
    """What the values of an attribute are."""

    TEXT = "text"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of thing that calls of a service target."""

    name: str
    """As entities have it, without the namespace: `PullRequest`."""
    label: str
    """On the wire: `pull_request`."""
    within: tuple[str, ...] = ()
    """Names of all the types that contain it, nearest first."""
    attributes: Mapping[str, AttributeKind] = field(default_factory=dict)
    """Its own and those of its containers."""
    own: tuple[str, ...] = ()
    """Names of its own attributes, which no container has."""
    grammar: str = ""
    """Regular expression of its ids, as entities have them; empty: any text."""


class ConditionKind(StrEnum):
    """What a resource condition says of the resource."""

    EQUALS = "equals"
    """An attribute has the value."""
    CONTAINS = "contains"
    """An attribute that is a set holds the value."""
    WITHIN = "within"
    """The resource is, or lies in, the entity whose id is the value; several are alternatives."""


@dataclass(frozen=True, slots=True)
class ConditionType:
    """A resource condition that policies of a service may use."""

    name: str
    """On the wire: `isDraft`."""
    kind: ConditionKind
    attribute: str = ""
    """`equals` and `contains`: of what."""
    resource_type: str = ""
    """`within`: of which type the entity is, without the namespace."""
    value: AttributeKind = AttributeKind.TEXT
    """Of one value; never `texts`."""
    choices: tuple[str, ...] = ()
    """The texts that it can be; empty: any."""
    grammar: str = ""
    """Regular expression of the texts that it can be; empty: any."""
    folded: bool = False
    """Whether texts are compared in lower case, because the service ignores case."""


@dataclass(frozen=True, slots=True)
class RestrictionType:
    """What policies of a service may be restricted to."""

    resource_types: tuple[str, ...]
    """Names of what is named, outermost first: `Owner`, `Repository`."""
    grammar: str = ""
    """Regular expression of each part of a name: of an owner as of a repository; empty: any text."""
    folded: bool = False


SEARCH_TYPE = "Search"
"""Type of what a call targets that looks through many resources at once."""
SERVICE_TYPE = "Service"
"""Type of what a call targets that names nothing narrower."""
UNKNOWN_ID = "?"
"""Id of the container that a resource lies in and that is not known."""


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """What a catalog knows of one tool of a service."""

    name: str
    tier: Tier
    selector: str | None = None
    """Name of the argument that says what the call really does, for multiplexing tools."""
    selector_tiers: Mapping[str, Tier] = field(default_factory=dict)
    resource_args: tuple[str, ...] = ()
    offered: bool = True
    secret_args: tuple[str, ...] = ()
    """Arguments that hold secrets though their names do not say so; redacted whole."""
    target: str = ""
    """How its resource is found: a name of the connector's mapper; `search`: it crosses resources; nothing: unknown."""


@dataclass(frozen=True, slots=True)
class Connector:
    """A service that can be proxied, as far as a call needs to know it."""

    key: str
    name: str
    namespace: str
    """Cedar namespace: `GitHubMCP`, `Custom_<key>MCP`."""
    kind: ConnectorKind
    url: str
    """Upstream MCP endpoint; for stdio `stdio:<key>`."""
    auth: AuthType = AuthType.NONE
    auth_header: str = "Authorization"
    per_member: bool = True
    """Whether each member connects an account of their own; False: the owner's one credential serves all."""
    upstream_timeout_s: float | None = None
    """Overrides the instance's setting."""
    tools: Mapping[str, ToolFacts] = field(default_factory=dict)
    """The catalog's table; empty for custom and stdio connectors."""
    sealed_credential: bytes | None = None
    """The shared credential of a custom connector, sealed under the server's key; None when per member."""
    id: str = ""
    """UUID of a custom connector; the key for the others. Bound into the seal of the shared credential."""
    resource_types: Mapping[str, ResourceType] = field(default_factory=dict)
    """By name."""
    condition_types: Mapping[str, ConditionType] = field(default_factory=dict)
    """By name."""
    restrictions: Mapping[str, RestrictionType] = field(default_factory=dict)
    """Those of `repositories`, `channels` and `pages` that it knows."""


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """A policy as a decision cites it."""

    id: str
    key: str
    name: str
    version: int
    effect: PolicyEffect
    deny_message: str | None = None
    digest: str = ""
    """SHA-256 (hex) of the canonical document of this version; chained into the audit log."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call after it was understood: what is decided, recorded and forwarded."""

    method: str
    """JSON-RPC method: `tools/call`."""
    service: str
    namespace: str
    tool: str
    """Unprefixed name, as the upstream knows it."""
    tier: Tier
    arguments: JsonObject
    user_id: str
    member_id: str
    caller_ip: str
    selector: str | None = None
    """Value of the selector argument, when the tool has one and the call names one."""
    resources: tuple[Resource, ...] = ()
    """Never empty: `Service` where nothing narrower is known."""
    canonical: JsonObject = field(default_factory=dict)
    """Those of `arguments` that are not as the client wrote them: a name that became an id."""

    @property
    def action(self) -> EntityUid:
        name = self.tool if self.selector is None else f"{self.tool}::{self.selector}"
        return EntityUid(f"{self.namespace}::Action", name)

    @property
    def principal(self) -> EntityUid:
        return EntityUid(f"{self.namespace}::User", self.user_id)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and why. Built without arguments it is a refusal: nothing has been proven."""

    effect: Effect = Effect.DENY
    reason: Reason = Reason.NO_PERMIT_MATCHED
    matched: tuple[PolicyRef, ...] = ()
    """The policies that determined the decision: forbids that matched, or else permits that matched; for
    `policy_errored` the policies that failed."""
    request: JsonObject | None = None
    """The Cedar request as it was evaluated (principal, action, resource, context, entities); None when
    the call was refused before the engine."""
    detail: str = ""
    """What a reader should know beyond the reason, without secrets: the engine's error, the bad argument."""
    hint: Callable[[], str] | None = field(default=None, compare=False, repr=False)
    """Of a denial that no forbid made: says which permit was nearest, for who may know of policies; worked out when
    it is asked for, once."""

    @property
    def allowed(self) -> bool:
        return self.effect is Effect.ALLOW

    @property
    def deny_message(self) -> str | None:
        """The message of the first matching forbid that has one."""
        return next((p.deny_message for p in self.matched if p.deny_message), None)
