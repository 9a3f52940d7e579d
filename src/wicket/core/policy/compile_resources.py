"""Resource limits of a policy as Cedar expressions.

A forbid matches what is not known as well: a resource in a container `?`, a search through many resources, an
attribute that the entity lists in `unknown`. A permit matches nothing but what is known.
"""

from collections.abc import Iterable
from typing import assert_never

from wicket.core.model import SEARCH_TYPE, UNKNOWN_ID, ConditionKind, PolicyEffect
from wicket.core.policy.expressions import (
    RESOURCE,
    Expression,
    binary,
    has,
    is_type,
    joined,
    literal,
    read,
    within,
)
from wicket.core.policy.resources import ResourceCondition, Restrictions, Scope, Value

UNKNOWN = "unknown"
"""Attribute of an entity: the names of those that it has and nobody has told, and of types that it may be of."""


def compile_restrictions(restrictions: Restrictions, effect: PolicyEffect, namespace: str) -> Expression:
    """The resource is one of the containers, or lies in one."""
    containers = restrictions.containers().items()
    return joined("||", [_inside(kind, ids, effect, namespace) for kind, ids in containers])


def compile_scope(scope: Scope, effect: PolicyEffect, namespace: str) -> Expression:
    """The resource is of a type; a forbid matches what may be, and what looks through many, as well."""
    kind = is_type(RESOURCE, f"{namespace}::{scope.name}")
    if effect is PolicyEffect.PERMIT:
        return kind
    search = is_type(RESOURCE, f"{namespace}::{SEARCH_TYPE}")
    return joined("||", [kind, search, _is_untold(scope.name)])


def compile_condition(condition: ResourceCondition, effect: PolicyEffect, namespace: str) -> Expression:
    """What is said of the resource holds."""
    kind = condition.type
    match kind.kind:
        case ConditionKind.WITHIN:
            return _inside(kind.resource_type, map(str, condition.values), effect, namespace)
        case ConditionKind.EQUALS:
            known = binary("==", read(RESOURCE, kind.attribute), literal(condition.values[0]))
        case ConditionKind.CONTAINS:
            known = _holds(kind.attribute, condition.values[0])
        case _:
            assert_never(kind.kind)
    holds = binary("&&", has(RESOURCE, kind.attribute), known)
    if effect is PolicyEffect.PERMIT:
        return holds
    return binary("||", holds, _is_untold(kind.attribute))


def _is_untold(name: str) -> Expression:
    """Nobody has told this attribute, or whether the resource is of this type."""
    return binary("&&", has(RESOURCE, UNKNOWN), _holds(UNKNOWN, name))


def _holds(attribute: str, value: Value) -> Expression:
    return binary("contains", read(RESOURCE, attribute), literal(value))


def _inside(kind: str, ids: Iterable[str], effect: PolicyEffect, namespace: str) -> Expression:
    named = [*ids] if effect is PolicyEffect.PERMIT else [*ids, UNKNOWN_ID]
    return within(RESOURCE, f"{namespace}::{kind}", named)
