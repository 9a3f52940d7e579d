"""The engine against the second opinion: policies on resources and arguments, by the thousand."""

import json
from random import Random

import pytest

from tests.core.policy.generated import (
    PARTS,
    Part,
    call_of_chance,
    facts_of,
    moment_of,
    world_of_chance,
)
from tests.core.policy.reference import is_covered, judge
from tests.core.policy.worlds import NAMESPACE, matched_keys
from tests.evidence import asked, note
from wicket.core.model import Call, Decision, Reason
from wicket.core.policy.engine import Rules, decide, decide_again, may_list
from wicket.core.policy.request import build_request, read_values
from wicket.core.session import Facts
from wicket.core.world import World

SEED = asked("WICKET_TEST_SEED", 20_261_123)
PAIRS = asked("WICKET_TEST_PAIRS", 5_000)


def told(number: int, world: World, call: Call) -> str:
    policies = "\n".join(str(policy.document) for policy in world.policies)
    return f"{SEED} {number}\n{policies}\n{call}"


def is_same(first: Decision, second: Decision) -> bool:
    return (first.effect, first.reason, first.matched) == (second.effect, second.reason, second.matched)


@pytest.mark.promise("P5")
def test_the_engine_decides_as_the_second_opinion_does_and_so_again_from_the_record() -> None:
    otherwise: list[str] = []
    again: list[str] = []
    reasons: set[Reason] = set()
    for number in range(PAIRS):
        chance = Random(f"{SEED} {number}")
        world, call = world_of_chance(chance, PARTS), call_of_chance(chance)
        facts, now = facts_of(chance), moment_of(chance)
        decision = decide(world, call, facts, now).decision
        reasons.add(decision.reason)
        found = (decision.effect, decision.reason, matched_keys(decision.matched))
        if found != judge(world.policies_of(call.member_id), call, facts, now):
            otherwise.append(told(number, world, call))
        cited = [policy for policy in world.policies if policy.ref in decision.matched]
        recorded = json.loads(json.dumps(decision.request))
        if not is_same(decide_again(recorded, cited), decision):
            again.append(told(number, world, call))
    note("policies", PAIRS, wrong={"decided otherwise": len(otherwise), "otherwise again": len(again)})
    assert otherwise[:1] == []
    assert again[:1] == []
    assert reasons == {
        Reason.PERMITTED,
        Reason.FORBIDDEN_BY_POLICY,
        Reason.NO_PERMIT_MATCHED,
        Reason.RESOURCE_NOT_RECOGNISED,
    }


def test_a_slice_decides_as_all_the_policies_of_the_service_do() -> None:
    for number in range(PAIRS // 10):
        chance = Random(f"{SEED} {number}")
        world, call = world_of_chance(chance, PARTS), call_of_chance(chance)
        facts, now = facts_of(chance), moment_of(chance)
        enabled = [policy for policy in world.policies if policy.document.enabled]
        rules = Rules(enabled, NAMESPACE)
        request = build_request(call, rules.reads, read_values(call, rules.reads, facts, now))
        whole = rules.decide(request, json.dumps(request["context"]), json.dumps(request["entities"]))
        part = decide(world, call, facts, now).decision
        if whole.reason is Reason.RESOURCE_NOT_RECOGNISED:
            # All the policies count there, and those that cover other tools are none of this call's.
            covering = [policy for policy in enabled if is_covered(policy.document, call)]
            assert part.reason is whole.reason or not any(one.document.is_scoped for one in covering)
        else:
            assert is_same(part, whole), told(number, world, call)


@pytest.mark.parametrize("parts", [[], PARTS], ids=["without conditions", "with conditions"])
def test_what_is_callable_is_listed_and_without_conditions_nothing_else(parts: list[Part]) -> None:
    for number in range(PAIRS // 10):
        chance = Random(f"{SEED} {number}")
        world, call = world_of_chance(chance, parts), call_of_chance(chance)
        member = world.members[call.member_id]
        listed = may_list(world, member, call.service, call.tool, call.tier, [call.selector])
        allowed = decide(world, call, Facts(), moment_of(chance)).decision.allowed
        assert listed or not allowed, told(number, world, call)
        assert parts or listed == allowed, told(number, world, call)
