"""From a member's request to the call that is decided: service, tool, tier, selector and resource.

Pure. What cannot be understood without doubt is refused with the reason that the entry will hold. Names are
never repaired: an argument that says what a call does is taken in its one spelling, or the call is refused.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

from wicket.connectors.arguments import NAME_CHARS_MAX, Arguments
from wicket.connectors.knowledge import EntitiesNeeded, Knowledge, Question
from wicket.connectors.services import SELECTOR_VALUE, label_rules, mapper_of
from wicket.core.errors import Invalid
from wicket.core.model import (
    SERVICE_TYPE,
    TIER_ORDER,
    Call,
    Connector,
    Decision,
    EntityUid,
    JsonObject,
    Reason,
    Resource,
    Tier,
    ToolFacts,
)
from wicket.core.world import Member, ToolPin, World

Resolution: TypeAlias = Call | Decision
"""A call that can be decided, or the refusal of what cannot."""

TOOLS_CALL = "tools/call"
_RANK = {tier: rank for rank, tier in enumerate(TIER_ORDER)}


def resolve(
    world: World,
    member: Member,
    service: str,
    tool: str,
    arguments: JsonObject,
    *,
    caller_ip: str,
    method: str = TOOLS_CALL,
) -> Resolution:
    """What `member` asks for, in terms that policies speak; `tool` is the upstream's own name.

    Other methods than `tools/call` are reads whose action is the method's name. Raises EntitiesNeeded where the
    world has not been told of what the call names.
    """
    connector = world.services.get(service)
    if connector is None:
        return _refused(Reason.SERVICE_NOT_ENABLED, f"`{service}` is not enabled for this agent")
    selector, facts = None, None
    if method != TOOLS_CALL:
        tool, tier = method, Tier.READ
    else:
        facts, pin = connector.tools.get(tool), world.pins.get((service, tool))
        known_tier = _tier(facts, pin)
        if known_tier is None:
            return _refused(
                Reason.UNKNOWN_TOOL, f"`{tool}` has not been reviewed: the owner gives it a tier first"
            )
        if pin is not None and (pin.held or member.id in pin.changed_for):
            return _refused(Reason.TOOL_CHANGED, _why_held(tool, pin))
        tier = known_tier
        if facts is not None and facts.selector is not None:
            trouble = _selector_trouble(facts, facts.selector, arguments)
            if trouble is not None:
                return _refused(Reason.ARGUMENTS_REJECTED, trouble)
            value = arguments.get(facts.selector)
            selector = value if isinstance(value, str) else None
            tier = _selector_tier(facts, selector, tier)
    resources: Sequence[Resource] = ()
    canonical: JsonObject = {}
    if facts is not None and facts.target:
        try:
            resources, canonical = _find_resources(world, connector, facts, selector, arguments)
        except Invalid as refused:
            return _refused(Reason.ARGUMENTS_REJECTED, str(refused))
    return Call(
        method=method,
        service=service,
        namespace=connector.namespace,
        tool=tool,
        tier=tier,
        arguments=arguments | canonical if canonical else arguments,
        canonical=canonical,
        user_id=member.user_id,
        member_id=member.id,
        caller_ip=caller_ip,
        selector=selector,
        resources=tuple(resources)
        or (Resource(EntityUid(f"{connector.namespace}::{SERVICE_TYPE}", service)),),
    )


def _find_resources(
    world: World, connector: Connector, facts: ToolFacts, selector: str | None, arguments: JsonObject
) -> tuple[Sequence[Resource], JsonObject]:
    """What the call targets, and the arguments that are forwarded otherwise; raises Invalid, EntitiesNeeded."""
    known = Knowledge(connector, world.entities)
    question = Question(Arguments(arguments), selector, known)
    found = mapper_of(connector.key, facts.target)(question)
    if known.missing:
        raise EntitiesNeeded(frozenset(known.missing))
    return _distinct(found), question.arguments.replaced


def labels_of(call: Call) -> frozenset[str]:
    """What a call leaves behind in its session, once it is allowed."""
    return frozenset(rule.label for rule in label_rules(call.service) if rule.applies(call.resources))


class KnownTools:
    """Names of a service's tools that the catalog or a pin knows, looked up where they are and never copied."""

    __slots__ = ("_service", "_world")

    def __init__(self, world: World, service: str) -> None:
        self._world = world
        self._service = service

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and is_known_tool(self._world, self._service, name)

    def __iter__(self) -> Iterator[str]:
        connector = self._world.services.get(self._service)
        catalog: Mapping[str, ToolFacts] = {} if connector is None else connector.tools
        yield from catalog
        yield from (
            tool for service, tool in self._world.pins if service == self._service and tool not in catalog
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)


def is_known_tool(world: World, service: str, name: str) -> bool:
    """Whether a tool of a service can be meant by this name."""
    connector = world.services.get(service)
    return (connector is not None and name in connector.tools) or (service, name) in world.pins


def known_tools(world: World, service: str) -> Collection[str]:
    """The tools of a service that can be meant by name."""
    return KnownTools(world, service)


def tool_tier(world: World, service: str, tool: str) -> Tier | None:
    """The tier of an enabled service's tool as a whole, or None when the tool has none and cannot be called."""
    connector = world.services.get(service)
    return None if connector is None else _tier(connector.tools.get(tool), world.pins.get((service, tool)))


def selectors_of(world: World, service: str, tool: str) -> tuple[tuple[str | None, Tier], ...]:
    """Every way in which a tool can be called, as policies tell them apart, each with its tier.

    None stands for the call without a selector, or with one that nobody has named: those that the catalog or
    one of the agent's policies names come before it. Empty when the tool has no tier.
    """
    tier = tool_tier(world, service, tool)
    if tier is None:
        return ()
    facts = world.services[service].tools.get(tool)
    if facts is None or facts.selector is None:
        return ((None, tier),)
    names = dict.fromkeys((*facts.selector_tiers, *_named_by_policies(world, service, tool)))
    return (
        *((name, _selector_tier(facts, name, tier)) for name in names if not _misspells(facts, name)),
        (None, _selector_tier(facts, None, tier)),
    )


def _tier(facts: ToolFacts | None, pin: ToolPin | None) -> Tier | None:
    """The reviewed tier, or else the catalog's; a pin of a catalog tool only ever holds what was reviewed or raised."""
    if pin is not None and pin.tier is not None:
        return pin.tier
    return None if facts is None else facts.tier


def _why_held(tool: str, pin: ToolPin) -> str:
    if pin.held:
        return f"the owner holds `{tool}` back"
    return f"the definition of `{tool}` has changed: the owner reviews it first"


def _selector_trouble(facts: ToolFacts, name: str, arguments: JsonObject) -> str | None:
    """Why the argument that says what a call does cannot be taken at its word, or None."""
    for other in arguments:
        # Some upstreams read names without regard to case, and of two spellings the last.
        if len(other) <= NAME_CHARS_MAX and other != name and other.casefold() == name.casefold():
            return f"the argument is spelled `{name}`"
    if name not in arguments:
        return None
    value = arguments[name]
    if not isinstance(value, str) or SELECTOR_VALUE.fullmatch(value) is None:
        return f"`{name}` must be a text of letters, digits, `_`, `.` and `-`"
    if _misspells(facts, value):
        return f"the value of `{name}` differs from a known one by its case alone"
    return None


def _misspells(facts: ToolFacts, value: str) -> bool:
    """Whether the upstream might read a value that is not known as one that is."""
    return value not in facts.selector_tiers and value.lower() in {
        known.lower() for known in facts.selector_tiers
    }


def _selector_tier(facts: ToolFacts, selector: str | None, tier: Tier) -> Tier:
    """The tier of a selector, where `tier` is the tool's.

    A value that is not known, and a call that names none, may do the worst that the tool can do. A tool raised
    above the catalog's tier raises all of its selectors.
    """
    known = None if selector is None else facts.selector_tiers.get(selector)
    if known is None:
        return max((tier, *facts.selector_tiers.values()), key=_RANK.__getitem__)
    return max(known, tier, key=_RANK.__getitem__) if _RANK[tier] > _RANK[facts.tier] else known


def _named_by_policies(world: World, service: str, tool: str) -> list[str]:
    prefix = f"{tool}::"
    return [
        name.removeprefix(prefix)
        for policy in world.policies
        if policy.document.service == service
        for name in policy.document.tools
        if name.startswith(prefix)
    ]


def _distinct(found: Sequence[Resource]) -> Sequence[Resource]:
    """Each resource once: an entity may be told once in a request."""
    return found if len(found) == 1 else list({resource.uid: resource for resource in found}.values())


def _refused(reason: Reason, detail: str) -> Decision:
    return Decision(reason=reason, detail=detail)
