"""What is probably not meant in a policy that may be saved: said before it is, and forbidding nothing."""

import ipaddress
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Final

from wicket.core.model import PolicyEffect, Tier, ToolFacts
from wicket.core.policy.conditions import CountCondition, Operator
from wicket.core.policy.document import EVERY, PolicyDocument, Principal, covering_patterns
from wicket.core.policy.slices import BindingPolicy

MANY_TOOLS: Final = 10
SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")
"""Alphabets some of whose letters look the same."""
Way = tuple[str, str | None, Tier]
"""How a tool is called: name, selector, tier."""


class LintCode(StrEnum):
    """What a lint is about; stable."""

    NEVER_MATCHES = "never_matches"
    """The conditions exclude one another, or what they ask for is over."""
    COVERED = "covered"
    """Another policy of the same effect matches whatever this one does."""
    OVERRULED = "overruled"
    """A forbid without conditions matches whatever this permit does."""
    UNSCOPED = "unscoped"
    """A permit of many tools on every resource, at any time, from anywhere."""
    MISLEADING_TEXT = "misleading_text"
    """Characters that look like others, or turn the direction of text round."""
    NOT_IN_CATALOG = "not_in_catalog"
    """The service's catalog has no such tool, though members have been shown one."""
    NOT_OFFERED = "not_offered"
    """The catalog says that the service does not offer the tool to everybody."""
    MATCHES_NO_TOOL = "matches_no_tool"
    """No tool that is known has the tier."""


@dataclass(frozen=True, slots=True)
class Lint:
    code: LintCode
    field: str
    """Dotted path: `tools[1]`."""
    message: str


def lint(
    document: PolicyDocument,
    *,
    tools: Mapping[str, ToolFacts],
    catalog: Mapping[str, ToolFacts] | None,
    others: Sequence[BindingPolicy],
    today: date,
) -> tuple[Lint, ...]:
    """What to say of a policy. `tools` are all that it may name, `catalog` those of the catalog where there is one.

    `others` are the enabled policies beside it.
    """
    return (
        *_names(document),
        *_tools(document, tools, catalog),
        *_never(document, today),
        *_beside(document, tools, others),
        *_unscoped(document, tools),
    )


def _names(document: PolicyDocument) -> Iterator[Lint]:
    for field, text in (("name", document.name), ("denyMessage", document.deny_message or "")):
        hidden = sorted({f"U+{ord(one):04X}" for one in text if unicodedata.category(one) == "Cf"})
        if hidden:
            yield Lint(
                LintCode.MISLEADING_TEXT,
                field,
                f"{', '.join(hidden)} cannot be seen, or turns the direction of text",
            )
        mixed = [word for word in text.split() if len(_scripts(word)) > 1]
        if mixed:
            yield Lint(LintCode.MISLEADING_TEXT, field, f"`{mixed[0]}` mixes letters that look alike")


def _scripts(word: str) -> set[str]:
    names = [unicodedata.name(one, "") for one in word if one.isalpha()]
    return {script for script in SCRIPTS for name in names if name.startswith(script)}


def _tools(
    document: PolicyDocument, tools: Mapping[str, ToolFacts], catalog: Mapping[str, ToolFacts] | None
) -> Iterator[Lint]:
    if document.service == EVERY:
        return
    for place, pattern in enumerate(document.tools):
        field, name = f"tools[{place}]", pattern.partition("::")[0]
        if pattern.startswith("tier:"):
            if tools and not _ways_of(replace(document, tools=(pattern,)), tools):
                yield Lint(LintCode.MATCHES_NO_TOOL, field, f"no tool that is known is of `{pattern}`")
        elif name in tools and catalog and name not in catalog:
            yield Lint(LintCode.NOT_IN_CATALOG, field, f"`{name}` is not in the catalog of the service")
        elif name in tools and not tools[name].offered:
            yield Lint(LintCode.NOT_OFFERED, field, f"the service does not offer `{name}` to everybody")


def _never(document: PolicyDocument, today: date) -> Iterator[Lint]:
    time, network = document.time, document.network
    if time is not None and time.active_to is not None and time.active_to < today:
        yield Lint(LintCode.NEVER_MATCHES, "time.activeTo", f"{time.active_to} is over")
    if (
        network is not None
        and network.inside
        and all(_is_within(one, network.outside) for one in network.inside)
    ):
        yield Lint(LintCode.NEVER_MATCHES, "network.in", "all of it is in `network.notIn`")
    for place, condition in enumerate(document.session):
        if isinstance(condition, CountCondition) and _is_impossible(condition, document):
            yield Lint(
                LintCode.NEVER_MATCHES, f"session[{place}]", "no number meets this and the other conditions"
            )


def _is_within(network: str, others: Sequence[str]) -> bool:
    inner = ipaddress.ip_network(network)
    # A network of one version of IP holds no address of the other.
    return any(
        outer.version == inner.version
        and inner.network_address in outer
        and inner.prefixlen >= outer.prefixlen
        for outer in map(ipaddress.ip_network, others)
    )


def _is_impossible(condition: CountCondition, document: PolicyDocument) -> bool:
    """Whether no count from zero on meets every condition on the same fact."""
    same = [
        one
        for one in document.session
        if isinstance(one, CountCondition)
        and replace(one, operator=condition.operator, value=condition.value) == condition
    ]
    lower = max(
        (one.value + (one.operator is Operator.MORE_THAN) for one in same if ">" in one.operator), default=0
    )
    upper = min(
        (one.value - (one.operator is Operator.LESS_THAN) for one in same if "<" in one.operator),
        default=lower,
    )
    return upper < lower


def _beside(
    document: PolicyDocument, tools: Mapping[str, ToolFacts], others: Sequence[BindingPolicy]
) -> Iterator[Lint]:
    ways = _ways_of(document, tools)
    for other in others:
        if other.document.is_conditional or other.document.member_id != document.member_id:
            continue
        if not _binds_all(other.document.principal, document.principal):
            continue
        is_every = other.document.service == EVERY
        is_same = other.document.service == document.service and document.service != EVERY
        if not is_every and not (is_same and ways and ways <= _ways_of(other.document, tools)):
            continue
        if other.document.effect is document.effect:
            yield Lint(
                LintCode.COVERED, "tools", f"policy `{other.ref.name}` matches whatever this one matches"
            )
        elif other.document.effect is PolicyEffect.FORBID:
            yield Lint(
                LintCode.OVERRULED, "tools", f"policy `{other.ref.name}` forbids whatever this one permits"
            )


def _binds_all(wider: Principal, narrower: Principal) -> bool:
    if wider.user_ids is None:
        return True
    return narrower.user_ids is not None and set(narrower.user_ids) <= set(wider.user_ids)


def _unscoped(document: PolicyDocument, tools: Mapping[str, ToolFacts]) -> Iterator[Lint]:
    if document.effect is not PolicyEffect.PERMIT or document.is_conditional:
        return
    names = {name for name, _, _ in _ways_of(document, tools)}
    if document.service == EVERY:
        yield Lint(LintCode.UNSCOPED, "service", "permits every tool of every service, on every resource")
    elif len(names) >= MANY_TOOLS:
        yield Lint(
            LintCode.UNSCOPED,
            "tools",
            f"permits {len(names)} tools on every resource, at any time, from anywhere",
        )


def _ways_of(document: PolicyDocument, tools: Mapping[str, ToolFacts]) -> frozenset[Way]:
    """Every way to call a known tool that the policy covers, and what it names beside."""
    named = set(document.tools)
    ways = {
        way for facts in tools.values() for way in _ways(facts) if named.intersection(covering_patterns(*way))
    }
    others = {one for one in named if not one.startswith("tier:") and one.partition("::")[0] not in tools}
    return frozenset(ways | {(one, None, Tier.READ) for one in others})


def _ways(facts: ToolFacts) -> Iterator[Way]:
    for selector, tier in facts.selector_tiers.items():
        yield facts.name, selector, tier
    worst = max((facts.tier, *facts.selector_tiers.values()), key=tuple(Tier).index)
    yield facts.name, None, worst
