"""What a decision costs as an agent's policies grow: 10 to 10,000 over 500 tools and 1,000 members, few of which apply.

`PYTHONPATH=src:. python -m tests.bench.many_policies` writes docs/benchmarks-policies.md.
"""

import gc
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.core.policy.worlds import NOON, PERMIT_ALL, bind, build_world, call_of, raw_policy
from wicket.core.model import Call, Json, JsonObject, MemberStatus, Role
from wicket.core.policy.document import PolicyDocument, parse_policy
from wicket.core.policy.engine import decide
from wicket.core.policy.slices import Subject, find_covering
from wicket.core.session import Facts
from wicket.core.world import Member, World

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks-policies.md"
MANY_DENIALS: JsonObject = {"type": "denyCount", "operator": ">=", "value": 100_000}
EVERYBODYS = 8
COUNTS = (10, 100, 1_000, 10_000)
TOOLS, MEMBERS = 500, 1_000
CALLS, ROUNDS = 400, 15


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one number of policies; CPU microseconds a call, medians of the rounds."""

    policies: int
    applying: int
    new: float
    known: float
    first: float


def member_of(number: int) -> Member:
    return Member(f"m{number}", f"u{number}", f"{number}@example.org", Role.MEMBER, MemberStatus.APPROVED)


def world_of_many(count: int) -> World:
    """An agent with `count` policies: eight for everybody, the others for one member each, by tool or by tier."""
    documents: list[PolicyDocument] = [
        parse_policy(PERMIT_ALL),
        parse_policy(raw_policy(effect="forbid", session=[MANY_DENIALS])),
        *(
            parse_policy(raw_policy(effect="forbid", network={"in": [f"10.{number}.0.0/16"]}))
            for number in range(EVERYBODYS - 2)
        ),
    ]
    for number in range(count - len(documents)):
        users: list[Json] = [f"u{number * 7 % MEMBERS}"]
        raw = raw_policy(
            name=f"policy {number}",
            effect="forbid" if number % 3 == 0 else "permit",
            tools=[f"tool_{number % TOOLS}" if number % 2 else "tier:read"],
            principal={"type": "specific_members", "userIds": users},
            network={"in": ["10.0.0.0/8"]},
        )
        documents.append(parse_policy(raw))
    members = {member.id: member for member in map(member_of, range(MEMBERS))}
    policies = tuple(bind(document, key=f"p{number}") for number, document in enumerate(documents))
    return replace(build_world(), members=members, policies=policies)


def calls_of(world: World) -> list[Call]:
    chosen = [world.members[f"m{number}"] for number in range(0, MEMBERS, MEMBERS // 40)]
    return [
        call_of(f"tool_{number * 13 % TOOLS}", member=chosen[number % len(chosen)]) for number in range(CALLS)
    ]


def applying(world: World, call: Call) -> int:
    """How many policies a call's slice holds."""
    subject = Subject(call.service, call.tool, call.selector, call.tier, call.user_id, call.member_id)
    return len(find_covering(world, subject))


def measure(count: int) -> Cost:
    world = world_of_many(count)
    calls = calls_of(world)
    find_covering(world, Subject("github", "tool_0", None, calls[0].tier, "u0", "m0"))
    first = _timed(world, calls, 0)
    new = [_timed(world, calls, denials) for denials in range(1, ROUNDS + 1)]
    known = [_timed(world, calls, ROUNDS) for _ in range(ROUNDS)]
    most = max(applying(world, call) for call in calls)
    return Cost(count, most, statistics.median(new), statistics.median(known), first)


def _timed(world: World, calls: list[Call], denials: int) -> float:
    facts = Facts(deny_count=denials)
    gc.collect()
    began = time.process_time_ns()
    for call in calls:
        decide(world, call, facts, NOON)
    return (time.process_time_ns() - began) / len(calls) / 1_000


def render(costs: list[Cost]) -> str:
    rows = [
        f"| {cost.policies:,} | {cost.applying} | {cost.new:.0f} | {cost.known:.1f} | {cost.first:.0f} "
        f"| {cost.new / costs[0].new:.2f}x | {cost.known / costs[0].known:.2f}x |\n"
        for cost in costs
    ]
    return PAGE + "".join(rows)


PAGE = f"""# Many policies

Written by `python -m tests.bench.many_policies`; do not edit. An agent has 500 tools and 1,000 members; eight policies
are everybody's, the others one member's each, by tool or by tier. CPU microseconds of one decision, in one thread of
one process; medians of {ROUNDS} rounds of {CALLS} calls. A *new* question is one that nobody has asked before, so Cedar
evaluates it; a *known* one is answered from the slice's memory; the *first* call of a member with a tool has its slice
found and parsed too. The goal is 1.5x at most, from 10 policies to 10,000 of which under 20 apply.

| policies | apply at most | new | known | first | new, to 10 | known, to 10 |
|---|---|---|---|---|---|---|
"""

if __name__ == "__main__":
    page = render([measure(count) for count in COUNTS])
    sys.stdout.write(page)
    DOCUMENT.write_text(page, encoding="utf-8")
