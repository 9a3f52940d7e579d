"""The engine against a second opinion, on sets of policies that nobody thought of."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.policy.reference import judge
from tests.core.policy.worlds import ALICE, BOB, build_world, call_of, matched_keys
from wicket.core.model import Call, Json, JsonObject, Tier, TrustMode
from wicket.core.policy.document import PolicyDocument, parse_policy
from wicket.core.policy.engine import decide, decide_again, may_list
from wicket.core.policy.slices import Subject, find_covering
from wicket.core.session import Facts
from wicket.core.world import World

TOOLS = {"get": Tier.READ, "put": Tier.WRITE, "drop": Tier.DESTRUCTIVE, "multi": Tier.DESTRUCTIVE}
SELECTORS = {"look": Tier.READ, "set": Tier.WRITE, "wipe": Tier.DESTRUCTIVE}
CALLS: list[tuple[str, str | None, Tier]] = [
    *((tool, None, tier) for tool, tier in TOOLS.items()),
    *(("multi", selector, tier) for selector, tier in SELECTORS.items()),
]
PATTERNS = [*TOOLS, *(f"multi::{s}" for s in SELECTORS), "get::look", *(f"tier:{t}" for t in Tier)]
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32", "0.0.0.0/0", "::/0"]
ADDRESSES = ["10.1.2.3", "10.2.0.1", "192.0.2.1", "::ffff:10.1.2.3", "2001:db8::1", "fe80::1%eth0"]


def parse(*parts: Mapping[str, Json]) -> PolicyDocument:
    return parse_policy({name: value for part in parts for name, value in part.items()})


PRINCIPALS: st.SearchStrategy[JsonObject] = st.sampled_from(
    [
        {"type": "all_members"},
        {"type": "specific_members", "userIds": [ALICE.user_id]},
        {"type": "specific_members", "userIds": [ALICE.user_id, BOB.user_id]},
        {"type": "specific_members", "userIds": ["u-other"]},
    ]
)
HOURS = st.fixed_dictionaries({"hoursFrom": st.integers(0, 23), "hoursTo": st.integers(0, 23)})
DAYS = st.fixed_dictionaries({"daysOfWeek": st.lists(st.integers(0, 6), min_size=1, unique=True)})
DATES = st.sampled_from([{"activeFrom": "2026-03-29"}, {"activeTo": "2026-03-28"}])
ZONES = st.sampled_from(
    [{}, {"timeZone": "UTC"}, {"timeZone": "Europe/Berlin"}, {"timeZone": "Asia/Kolkata"}]
)
TIMES = st.builds(
    lambda *parts: {k: v for part in parts for k, v in part.items()}, HOURS | DAYS, DATES, ZONES
)
COUNTS = st.fixed_dictionaries(
    {"operator": st.sampled_from([">=", ">", "<", "<="]), "value": st.integers(0, 4)}
)
SUBJECTS = st.sampled_from(
    [
        {"type": "denyCount"},
        {"type": "callCount"},
        {"type": "toolCount", "tool": "github:get"},
        {"type": "policyDenyCount", "policy": "p0"},
        {"type": "policyAllowCount", "policy": "p1"},
    ]
)
CONDITIONS = st.builds(lambda a, b: {**a, **b}, SUBJECTS, COUNTS) | st.just(
    {"type": "hasLabel", "value": "github:private"}
)
PLACES = st.fixed_dictionaries(
    {},
    optional={name: st.lists(st.sampled_from(NETWORKS), min_size=1, unique=True) for name in ("in", "notIn")},
)
SCOPES = st.fixed_dictionaries(
    {
        "service": st.sampled_from(["github", "github", "github", "slack"]),
        "tools": st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True),
    }
) | st.just({"service": "*", "tools": ["*"]})
PLAIN = st.fixed_dictionaries(
    {
        "name": st.just("Any"),
        "effect": st.sampled_from(["permit", "permit", "forbid"]),
        "principal": PRINCIPALS,
        "enabled": st.sampled_from([True, True, True, False]),
        "memberId": st.sampled_from([ALICE.id, BOB.id]),
    }
)
EXTRAS = st.fixed_dictionaries(
    {}, optional={"time": TIMES, "session": st.lists(CONDITIONS, max_size=2), "network": PLACES}
)
UNCONDITIONAL = st.builds(parse, PLAIN, SCOPES)
POLICIES = st.builds(parse, PLAIN, SCOPES, EXTRAS)

COUNT_MAPS = st.dictionaries(st.sampled_from(["github:get", "p0", "p1"]), st.integers(1, 5))
FACTS = st.builds(
    Facts,
    call_count=st.integers(0, 5),
    deny_count=st.integers(0, 5),
    tools_used=COUNT_MAPS,
    policy_allows=COUNT_MAPS,
    policy_denies=COUNT_MAPS,
    labels=st.frozensets(st.sampled_from(["github:private", "slack:private"])),
    member=st.none(),
)
NOWS = st.datetimes(datetime(2026, 3, 27), datetime(2026, 3, 31), timezones=st.just(UTC))  # noqa: DTZ001


def world_for(documents: list[PolicyDocument], *, trusted: bool) -> World:
    if trusted:
        return build_world(*(replace(document, member_id=None) for document in documents))
    return build_world(*documents, trust_mode=TrustMode.UNTRUSTED)


def covering_calls(ip: str = ADDRESSES[0]) -> list[Call]:
    return [
        call_of(tool, selector=selector, tier=tier, member=member, ip=ip)
        for tool, selector, tier in CALLS
        for member in (ALICE, BOB)
    ]


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    documents=st.lists(POLICIES, max_size=6),
    trusted=st.booleans(),
    facts=FACTS,
    now=NOWS,
    ip=st.sampled_from(ADDRESSES),
)
def test_the_engine_decides_as_the_reference_does(
    documents: list[PolicyDocument], *, trusted: bool, facts: Facts, now: datetime, ip: str
) -> None:
    world = world_for(documents, trusted=trusted)
    for call in covering_calls(ip):
        decision = decide(world, call, facts, now).decision
        expected = judge(world.policies_of(call.member_id), call, facts, now)
        assert (decision.effect, decision.reason, matched_keys(decision.matched)) == expected


@pytest.mark.promise("P5")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=st.lists(POLICIES, max_size=6), facts=FACTS, now=NOWS, ip=st.sampled_from(ADDRESSES))
def test_a_recorded_request_is_decided_again_to_the_same_result(
    documents: list[PolicyDocument], facts: Facts, now: datetime, ip: str
) -> None:
    world = world_for(documents, trusted=True)
    for call in covering_calls(ip):
        decision = decide(world, call, facts, now).decision
        recorded = json.loads(json.dumps(decision.request))
        subject = Subject(call.service, call.tool, call.selector, call.tier, call.user_id, call.member_id)
        covering = [policy for policy in world.policies if policy in find_covering(world, subject)]
        assert decide_again(recorded, covering) == decision


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=st.lists(UNCONDITIONAL, max_size=6), trusted=st.booleans(), now=NOWS)
def test_without_conditions_a_tool_is_listed_exactly_when_it_is_callable(
    documents: list[PolicyDocument], *, trusted: bool, now: datetime
) -> None:
    world = world_for(documents, trusted=trusted)
    for call in covering_calls():
        member = world.members[call.member_id]
        listed = may_list(world, member, call.service, call.tool, call.tier, [call.selector])
        assert listed == decide(world, call, Facts(), now).decision.allowed


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=st.lists(POLICIES, max_size=6), facts=FACTS, now=NOWS, ip=st.sampled_from(ADDRESSES))
def test_whatever_is_callable_is_listed(
    documents: list[PolicyDocument], facts: Facts, now: datetime, ip: str
) -> None:
    world = world_for(documents, trusted=True)
    for call in covering_calls(ip):
        member = world.members[call.member_id]
        listed = may_list(world, member, call.service, call.tool, call.tier, [call.selector])
        assert listed or not decide(world, call, facts, now).decision.allowed
