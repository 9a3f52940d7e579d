"""A file's policies, tried before they bind: on the file's own tests, and on what the agent has called before."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from wicket.cli.work.deciding import decide, find_member, parse_ip
from wicket.cli.work.host import Host, now
from wicket.cli.work.policy_files.document import FiledPolicy, Given, PolicyTest
from wicket.connectors import hypothetical, labels_of
from wicket.connectors.knowledge import EntitiesNeeded
from wicket.core.entities import ALL, Entity, EntityCache, EntityKey
from wicket.core.errors import Invalid, WicketError
from wicket.core.ids import uuid7
from wicket.core.keys import ServerKeys
from wicket.core.model import Decision, Json, JsonObject, PolicyRef
from wicket.core.policy.replay import Replay
from wicket.core.redaction import Redactor
from wicket.core.session import FRESH, Facts, facts_from_json, facts_to_json
from wicket.core.world import AgentPolicy, World
from wicket.runtime import replaying
from wicket.settings import read_secrets
from wicket.store.lookups import ROUNDS_MAX

LOCALHOST: Final = "127.0.0.1"
ROWS_SHOWN_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Tried:
    """How a test went; `trouble` is empty where it went as expected."""

    name: str
    trouble: str


@dataclass(slots=True)
class Replayed:
    """What a file makes of past calls that the policies of now would decide otherwise."""

    total: int = 0
    unmatched: int = 0
    allowed: int = 0
    """Calls that would be allowed and are denied now."""
    denied: int = 0
    """Calls that would be denied and are allowed now."""
    rows: list[JsonObject] = field(default_factory=list)
    """The first of them."""

    @property
    def changed(self) -> int:
        return self.allowed + self.denied


def under_file(world: World, policies: Sequence[FiledPolicy]) -> World:
    """The world as it would be with the policies of a file, and no others."""
    bound = tuple(
        AgentPolicy(
            ref=PolicyRef(
                id=one.key,
                key=one.key,
                name=one.document.name,
                version=0,
                effect=one.document.effect,
                deny_message=one.document.deny_message,
            ),
            document=one.document,
            member_id=one.document.member_id,
        )
        for one in policies
        if one.document.enabled
    )
    return replace(world, policies=bound, slices={})


def run_tests(world: World, tests: Sequence[PolicyTest]) -> list[Tried]:
    """Try each; what cannot even be asked is trouble of that test alone."""
    return [Tried(test.name, _try(world, test)) for test in tests]


def _try(world: World, test: PolicyTest) -> str:
    try:
        decision = _decided(world, test.given)
    except WicketError as problem:
        return problem.sentence
    wanted = test.expected
    keys = frozenset(ref.key for ref in decision.matched)
    seen = f"{decision.effect} {decision.reason}" + (f" by {', '.join(sorted(keys))}" if keys else "")
    if decision.effect is not wanted.decision:
        return f"expected {wanted.decision}, was {seen}"
    if wanted.reason not in (None, decision.reason):
        return f"expected {wanted.decision} {wanted.reason}, was {seen}"
    if wanted.policies not in (None, keys):
        return f"expected it to be decided by {', '.join(sorted(wanted.policies or ())) or 'no policy'}, was {seen}"
    return ""


def _decided(world: World, given: Given) -> Decision:
    ip = given.ip or LOCALHOST
    parse_ip(ip)
    told = replace(world, entities=EntityCache())
    for _ in range(ROUNDS_MAX):
        try:
            return _ask(told, given, ip)
        except EntitiesNeeded as needed:
            told.entities.keep({key: _known(given, key) for key in needed.keys})
    return _ask(told, given, ip)


def _known(given: Given, key: EntityKey) -> tuple[Entity, ...]:
    """What a test knows, and nothing of what the database does: it comes out the same everywhere."""
    entities = given.entities.get(key.service, ())
    return tuple(one for one in entities if one.type == key.type and key.id in (one.id, ALL))


def _ask(world: World, given: Given, ip: str) -> Decision:
    return decide(
        world,
        find_member(world, given.member),
        given.tool,
        given.arguments,
        ip=ip,
        at=given.at or now(),
        facts=_facts(given.session),
    ).decision


def _facts(given: JsonObject | None) -> Facts:
    """Facts of the session before the call; those left out are of a fresh one."""
    fresh: Mapping[str, Json] = facts_to_json(FRESH)
    told = given or {}
    if unknown := sorted(set(told) - set(fresh)):
        raise Invalid(f"`session.{unknown[0]}` is no fact: use {', '.join(fresh)}", field="session")
    try:
        return facts_from_json({**fresh, **told})
    except TypeError as error:
        raise Invalid(f"`session`: {error}", field="session") from error


async def replay(host: Host, world: World, drafted: World, *, window: timedelta, until: datetime) -> Replayed:
    """Put what the agent called within `window` to the file's policies; raises Invalid where that is too much."""
    ends = [int(at.timestamp() * 1_000_000) for at in (until - window, until)]
    stretch = replaying.Stretch(
        world.agent_id, uuid7(max(ends[0], 0), bytes(10)), uuid7(ends[1], b"\xff" * 10)
    )
    again = Replay(
        drafted,
        replace(world, slices={}),
        find_gone=partial(hypothetical.find_gone, world),
        labels_of=labels_of,
        redactor=Redactor(ServerKeys(read_secrets(host.settings)).redaction_key),
    )
    sums = await replaying.begin(host.database, stretch)
    found = Replayed()
    async with aclosing(replaying.run(host.database, again, sums, stretch, needs_facts=True)) as batches:
        async for rows in batches:
            for row in rows:
                _note(found, row)
    found.total, found.unmatched = sums.done, sums.unmatched
    return found


def _note(found: Replayed, row: JsonObject) -> None:
    if row["draftDecision"] == row["baselineDecision"]:
        return
    if row["draftDecision"] == "ALLOW":
        found.allowed += 1
    else:
        found.denied += 1
    if len(found.rows) < ROWS_SHOWN_MAX:
        found.rows.append(row)
