"""Policies and calls that nobody thought of: resources and arguments told, untold and misspelled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeAlias

from tests.core.policy.connectors import CONNECTORS, GITHUB
from tests.core.policy.worlds import ALICE, BOB, NAMESPACE, build_world, call_of
from wicket.core.model import Call, EntityUid, Json, JsonObject, Resource, ResourceType, Tier
from wicket.core.policy.document import parse_policy
from wicket.core.session import Facts
from wicket.core.world import World

OWNERS, NAMES, NUMBERS = ("my-org", "other"), ("site", "api"), ("1", "2")
VALUES: dict[str, list[Json]] = {
    "visibility": ["public", "private"],
    "archived": [True, False],
    "topics": [[], ["web"], ["api", "web"]],
    "isDraft": [True, False],
    "size": [0, 1, 2],
}
CONDITIONS: dict[str, list[Json]] = {
    "visibility": ["public", "private"],
    "archived": [True, False],
    "topic": ["web", "api"],
    "isDraft": [True, False],
    "size": [0, 1],
    "pullRequest": ["my-org/site#1", ["other/api#2", "my-org/site#2"]],
}
PATHS = (
    "branch",
    "branch",
    "options.force",
    "files[*].path",
    "files[*].size",
    "labels",
    "labels[*]",
    "__entity",
)
TEXTS: list[Json] = ["main", "dev", "src/main", "", "1.5", "*"]
SCALARS: list[Json] = [*TEXTS, 0, 1, 2**63, -(2**63), True, False, 1.5, None]
OPERATORS: dict[str, list[Json]] = {
    "equals": ["main", "1.5", 1, True, 1.5],
    "notEquals": ["main", 0, False],
    "in": [["main", "dev"], [0, 1], [True]],
    "notIn": [["main", "dev"], [0, 1], [False]],
    "contains": ["main", "*", 1],
    "startsWith": ["src/", "m", ""],
    "endsWith": ["main", "*", ""],
    "atLeast": [0, 1],
    "atMost": [0, 1],
    "exists": [True, False],
}
TOOLS: list[tuple[str, str | None, Tier]] = [
    ("get", None, Tier.READ),
    ("put", None, Tier.WRITE),
    ("multi", "look", Tier.READ),
    ("multi", "wipe", Tier.DESTRUCTIVE),
]
PATTERNS = ("get", "put", "multi", "multi::wipe", "tier:read", "tier:write", "tier:destructive")
Part: TypeAlias = Callable[[Random], JsonObject]


def restrictions(chance: Random) -> JsonObject:
    named: list[Json] = [{"owner": owner} for owner in OWNERS]
    named += [{"owner": owner, "repo": name} for owner in OWNERS for name in NAMES]
    return {"restrictions": {"repositories": chance.sample(named, chance.randint(1, 2))}}


def scope(chance: Random) -> JsonObject:
    return {"resourceScope": chance.choice(("repository", "pull_request", "owner"))}


def conditions(chance: Random) -> JsonObject:
    kinds = chance.choices(sorted(CONDITIONS), k=chance.randint(1, 3))
    items: list[Json] = [{"type": kind, "value": chance.choice(CONDITIONS[kind])} for kind in kinds]
    return {"conditions": {"match": chance.choice(("all", "any")), "items": items}}


def arguments(chance: Random) -> JsonObject:
    items: list[JsonObject] = []
    told: list[JsonObject] = []
    for _ in range(chance.randint(1, 2)):
        operator = chance.choice(sorted(OPERATORS))
        value = chance.choice(OPERATORS[operator])
        item: JsonObject = {"path": chance.choice(PATHS), "operator": operator, "value": value}
        # A fraction is compared as its text: beside that text it would be the same item twice.
        as_told = {**item, "value": str(value) if isinstance(value, float) else value}
        if as_told not in told:
            items.append(item)
            told.append(as_told)
    return {"arguments": [*items]}


def time(chance: Random) -> JsonObject:
    hours: JsonObject = {"hoursFrom": chance.randrange(24), "hoursTo": chance.randrange(24)}
    return {"time": {**hours, "timeZone": chance.choice(("UTC", "Europe/Berlin"))}}


def session(chance: Random) -> JsonObject:
    return {"session": [{"type": "denyCount", "operator": ">=", "value": chance.randrange(3)}]}


PARTS: list[Part] = [restrictions, scope, conditions, arguments, time, session]


def policy_of(chance: Random, parts: list[Part]) -> JsonObject:
    everyone: JsonObject = {"type": "all_members"}
    alice: JsonObject = {"type": "specific_members", "userIds": [ALICE.user_id]}
    raw: JsonObject = {
        "name": "Any",
        "service": "github",
        "effect": chance.choice(("permit", "permit", "forbid")),
        "tools": [*chance.sample(PATTERNS, chance.randint(1, 3))],
        "principal": chance.choice((everyone, everyone, alice)),
        "enabled": chance.random() < 0.9,
    }
    for part in chance.sample(parts, min(chance.randint(0, 2), len(parts))):
        raw |= part(chance)
    return raw


def world_of_chance(chance: Random, parts: list[Part]) -> World:
    raws = [policy_of(chance, parts) for _ in range(chance.randint(1, 6))]
    return build_world(*(parse_policy(raw, CONNECTORS) for raw in raws))


def call_of_chance(chance: Random) -> Call:
    tool, selector, tier = chance.choice(TOOLS)
    found = [resource_of(chance) for _ in range(2 if chance.random() < 0.1 else 1)]
    return call_of(
        tool,
        selector=selector,
        tier=tier,
        member=chance.choice((ALICE, BOB)),
        resources=tuple({one.uid: one for one in found}.values()),
        arguments=arguments_of(chance),
    )


def resource_of(chance: Random) -> Resource:
    kind = chance.choice(("Repository", "PullRequest", "PullRequest", "PullRequest", "Search", "Service"))
    if kind == "Service":
        return Resource(uid("Service", "github"))
    if kind == "Search":
        every = {name for one in GITHUB.resource_types.values() for name in one.attributes}
        around = tuple(uid(one, "?") for one in GITHUB.resource_types)
        return Resource(uid("Search", "github"), around, {}, frozenset(every))
    owner, name = chance.choice(OWNERS), chance.choice(NAMES)
    inside = uid("Repository", "?" if chance.random() < 0.2 else f"{owner}/{name}")
    above = uid("Owner", "?" if chance.random() < 0.1 else owner)
    if kind == "Repository":
        return told(chance, GITHUB.resource_types[kind], inside, (above,))
    number = f"{owner}/{name}#{chance.choice(NUMBERS)}"
    return told(chance, GITHUB.resource_types[kind], uid(kind, number), (inside, above))


def told(chance: Random, kind: ResourceType, name: EntityUid, parents: tuple[EntityUid, ...]) -> Resource:
    """Each attribute told, unknown, or not applicable."""
    known: dict[str, Json] = {}
    unknown: set[str] = set()
    for attribute in kind.attributes:
        match chance.randrange(5):
            case 0:
                unknown.add(attribute)
            case 1:
                pass
            case _:
                known[attribute] = chance.choice(VALUES[attribute])
    return Resource(name, parents, known, frozenset(unknown))


def uid(kind: str, name: str) -> EntityUid:
    return EntityUid(f"{NAMESPACE}::{kind}", name)


def arguments_of(chance: Random) -> JsonObject:
    files: list[Json] = [
        {"path": chance.choice(TEXTS), "size": chance.choice(SCALARS)} for _ in range(chance.randrange(3))
    ]
    many: list[Json] = [[], ["main"], ["main", 1], [0, 1], [1.5], [None], chance.choice(SCALARS)]
    options: list[Json] = [{"force": chance.choice(SCALARS)}, {"FORCE": 1, "force": 1}, {}, "x"]
    listed: list[Json] = [files, files, [*files, {}], "x", {"path": "main"}]
    may_be: list[tuple[str, Json]] = [
        ("branch", chance.choice(SCALARS)),
        ("Branch", "main"),
        ("options", chance.choice(options)),
        ("files", chance.choice(listed)),
        ("labels", chance.choice(many)),
        ("__entity", chance.choice(SCALARS)),
    ]
    return {name: value for name, value in may_be if chance.random() < (0.3 if name == "Branch" else 0.7)}


def moment_of(chance: Random) -> datetime:
    return datetime(2026, 3, 28, tzinfo=UTC) + timedelta(minutes=chance.randrange(3 * 24 * 60))


def facts_of(chance: Random) -> Facts:
    return Facts(deny_count=chance.randrange(4))
