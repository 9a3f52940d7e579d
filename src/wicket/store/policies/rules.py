"""What may be saved as a policy, and under which key."""

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

import sqlalchemy as sa

from wicket.connectors.services import catalog, namespace_of
from wicket.core.errors import Conflict, Invalid
from wicket.core.model import OTHER_METHODS, JsonObject, MemberStatus, Tier, ToolFacts, TrustMode
from wicket.core.policy.checks import check_arguments, check_facts
from wicket.core.policy.document import PolicyDocument
from wicket.core.policy.engine import validate
from wicket.store import tables

POLICIES_MAX: Final = 20_000
NOTE_CHARS_MAX: Final = 500
KEY_CHARS_MAX: Final = 80
CHECKED_MAX: Final = 4_096
"""Documents that were found to be evaluable, kept at hand."""

KnownTools: TypeAlias = Mapping[str, Mapping[str, ToolFacts]]
"""service -> tool -> what is known of it: whatever a policy of an agent may name."""


class AgentRef(Protocol):
    """What the rules need to know of the agent that a policy belongs to."""

    @property
    def agent_id(self) -> str: ...

    @property
    def trust_mode(self) -> TrustMode: ...


def load_known_tools(tx: sa.Connection, *, agent_id: str) -> KnownTools:
    """What policies of an agent may name: the catalog, the owner's custom connectors, whatever is pinned."""
    known: dict[str, dict[str, ToolFacts]] = {key: dict(c.tools) for key, c in catalog().items()}
    services = sa.select(tables.agent_services.c.service).where(tables.agent_services.c.agent_id == agent_id)
    for service in tx.execute(services).scalars():
        known.setdefault(service, {})
    custom = (
        sa.select(tables.connectors.c.key, tables.connectors.c.tools)
        .join(tables.agents, tables.agents.c.owner_id == tables.connectors.c.account_id)
        .where(tables.agents.c.id == agent_id, tables.connectors.c.deleted_at.is_(None))
    )
    named = [(key, tool["name"]) for key, tools in tx.execute(custom) for tool in json.loads(tools)]
    pins = sa.select(tables.tool_pins.c.service, tables.tool_pins.c.tool)
    named += [
        (service, tool) for service, tool in tx.execute(pins.where(tables.tool_pins.c.agent_id == agent_id))
    ]
    for service, tool in named:
        known.setdefault(service, {}).setdefault(tool, ToolFacts(name=tool, tier=Tier.DESTRUCTIVE))
    return known


def check(
    tx: sa.Connection, *, agent: AgentRef, document: PolicyDocument, note: str | None, known_tools: KnownTools
) -> None:
    """Raise Invalid, naming the field, unless `document` may be saved as a policy of `agent`."""
    if note is not None and len(note) > NOTE_CHARS_MAX:
        raise Invalid(f"a note has at most {NOTE_CHARS_MAX} characters; shorten it", field="note")
    _check_member(tx, agent=agent, member_id=document.member_id)
    check_evaluable(document)
    if document.service == "*":
        return
    tools = known_tools.get(document.service)
    if tools is None:
        raise Invalid(
            f"no service `{document.service}` is known to this agent; name a connector",
            field="service",
            code="unknown_service",
        )
    for index, named in enumerate(document.tools):
        _check_tool(tools, named, service=document.service, field=f"tools[{index}]")
    if document.arguments:
        schemas = _load_schemas(tx, agent_id=agent.agent_id, service=document.service)
        check_arguments(document, schemas)


@lru_cache(maxsize=CHECKED_MAX)
def check_evaluable(document: PolicyDocument) -> None:
    """Raise Invalid, naming the field, for a policy that could fail when it is evaluated.

    That takes milliseconds: ask before it is our turn to write, and in the transaction the answer is there.
    """
    check_facts(document)
    validate(document, namespace_of(document.service), catalog().get(document.service))


def _load_schemas(tx: sa.Connection, *, agent_id: str, service: str) -> Mapping[str, JsonObject]:
    """By tool, the input schema of its definition seen last."""
    pins = tables.tool_pins.c
    rows = tx.execute(
        sa.select(pins.tool, pins.definition).where(pins.agent_id == agent_id, pins.service == service)
    )
    schemas = {tool: json.loads(definition).get("inputSchema") for tool, definition in rows}
    return {tool: schema for tool, schema in schemas.items() if isinstance(schema, dict)}


def _check_tool(tools: Mapping[str, ToolFacts], named: str, *, service: str, field: str) -> None:
    if named.startswith("tier:") or named in OTHER_METHODS:
        return
    tool, _, selector = named.partition("::")
    facts = tools.get(tool)
    if facts is None:
        raise Invalid(
            f"`{service}` has no tool `{tool}`; name one of its catalog, or fetch its tools first",
            field=field,
            code="unknown_tool",
        )
    if not selector:
        return
    if facts.selector is None:
        raise Invalid(f"`{tool}` has no selectors; name it alone", field=field, code="unknown_tool")
    if facts.selector_tiers and selector not in facts.selector_tiers:
        known = ", ".join(sorted(facts.selector_tiers))
        raise Invalid(
            f"`{tool}` has no selector `{selector}`; it has {known}", field=field, code="unknown_tool"
        )


def _check_member(tx: sa.Connection, *, agent: AgentRef, member_id: str | None) -> None:
    if agent.trust_mode is TrustMode.TRUSTED:
        if member_id is not None:
            raise Invalid("policies of a trusted agent bind all its members; leave it out", field="memberId")
        return
    if member_id is None:
        raise Invalid("a policy of an untrusted agent is one member's; say whose", field="memberId")
    status = tx.execute(
        sa.select(tables.members.c.status).where(
            tables.members.c.agent_id == agent.agent_id, tables.members.c.id == member_id
        )
    ).scalar_one_or_none()
    if status not in (MemberStatus.PENDING, MemberStatus.APPROVED):
        raise Invalid(f"`{member_id}` is no member of this agent; list its members", field="memberId")


def slug_of(name: str) -> str:
    """`No merges at night!` -> `no-merges-at-night`."""
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", folded).strip("-")[:KEY_CHARS_MAX].rstrip("-") or "policy"


def free_key(tx: sa.Connection, *, agent_id: str, name: str, wanted: str | None = None) -> str:
    """A slug that no policy of the agent has, nor a deleted one had; raises Conflict when `wanted` is not free."""
    count = tx.execute(sa.select(sa.func.count()).where(tables.policies.c.agent_id == agent_id)).scalar_one()
    if count >= POLICIES_MAX:
        raise Conflict(
            f"an agent holds at most {POLICIES_MAX} policies; make another agent", code="limit_reached"
        )
    slug = wanted or slug_of(name)
    taken = set(
        tx.execute(
            sa.select(tables.policies.c.key).where(
                tables.policies.c.agent_id == agent_id,
                sa.or_(tables.policies.c.key == slug, tables.policies.c.key.startswith(f"{slug}-")),
            )
        ).scalars()
    )
    if slug not in taken:
        return slug
    if wanted is not None:
        raise Conflict(
            f"the key `{wanted}` is another policy's, or was a deleted one's that entries still cite: choose another",
            code="policy_key_taken",
        )
    return next(key for n in range(2, POLICIES_MAX + 2) if (key := f"{slug}-{n}") not in taken)
