from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import cedarpy
import pytest

from tests.core.policy.worlds import (
    ALICE,
    BOB,
    NAMESPACE,
    NOON,
    PERMIT_ALL,
    build_world,
    call_of,
    matched_keys,
    raw_policy,
    world_of,
)
from wicket.core.model import (
    Call,
    Decision,
    Effect,
    EntityUid,
    JsonObject,
    PolicyEffect,
    Reason,
    Resource,
    Tier,
    TrustMode,
)
from wicket.core.policy.conditions import CountCondition, CountFact, Network, Operator, Time
from wicket.core.policy.document import parse_policy
from wicket.core.policy.engine import Rules, decide, decide_again
from wicket.core.session import FRESH, Facts
from wicket.core.world import World

FORBID_READS = raw_policy(name="Stop", effect="forbid", denyMessage="Not today.")


def decided(
    world: World, call: Call | None = None, *, facts: Facts = FRESH, now: datetime = NOON
) -> Decision:
    return decide(world, call or call_of(), facts, now).decision


def is_permitted(
    changes: JsonObject, *, ip: str = "192.0.2.7", facts: Facts = FRESH, now: datetime = NOON
) -> bool:
    return decided(world_of(raw_policy(**changes)), call_of(ip=ip), facts=facts, now=now).allowed


@pytest.mark.promise("P2")
def test_without_policies_every_call_is_denied() -> None:
    decision = decided(world_of())
    assert (decision.effect, decision.reason, decision.matched) == (Effect.DENY, Reason.NO_PERMIT_MATCHED, ())
    assert decision.request is not None
    assert decision.request["action"] == {"type": "GitHubMCP::Action", "id": "get_file_contents"}


def test_a_permit_that_covers_the_call_allows_it_and_is_cited() -> None:
    decision = decided(world_of(raw_policy(), PERMIT_ALL, raw_policy(tools=["other"])))
    assert (decision.effect, decision.reason) == (Effect.ALLOW, Reason.PERMITTED)
    assert matched_keys(decision.matched) == ["p0", "p1"]
    assert decision.deny_message is None


def test_a_forbid_beats_every_permit_and_alone_is_cited() -> None:
    decision = decided(world_of(PERMIT_ALL, FORBID_READS, PERMIT_ALL))
    assert (decision.effect, decision.reason) == (Effect.DENY, Reason.FORBIDDEN_BY_POLICY)
    assert matched_keys(decision.matched) == ["p1"]
    assert decision.deny_message == "Not today."


def test_a_forbid_is_cited_even_where_nothing_permits() -> None:
    assert decided(world_of(FORBID_READS)).reason is Reason.FORBIDDEN_BY_POLICY


def test_a_disabled_policy_is_not_evaluated() -> None:
    assert not decided(world_of({**PERMIT_ALL, "enabled": False})).allowed
    assert decided(world_of(PERMIT_ALL, {**FORBID_READS, "enabled": False})).allowed


COVERAGE: list[tuple[list[str], Call, bool]] = [
    (["label_write"], call_of("label_write", tier=Tier.WRITE), True),
    (["label_write"], call_of("label_write", selector="delete", tier=Tier.DESTRUCTIVE), True),
    (["label_write::delete"], call_of("label_write", selector="delete", tier=Tier.DESTRUCTIVE), True),
    (["label_write::delete"], call_of("label_write", selector="create", tier=Tier.WRITE), False),
    (["label_write::delete"], call_of("label_write", tier=Tier.DESTRUCTIVE), False),
    (["label_write::delete"], call_of("label_write", selector="Delete", tier=Tier.DESTRUCTIVE), False),
    (["tier:write"], call_of("label_write", selector="create", tier=Tier.WRITE), True),
    (["tier:write"], call_of("label_write", selector="delete", tier=Tier.DESTRUCTIVE), False),
    (["tier:destructive"], call_of("label_write", tier=Tier.WRITE), False),
    (["tier:read", "tier:write"], call_of("label_write", tier=Tier.WRITE), True),
    (["label"], call_of("label_write"), False),
    (["Label_write"], call_of("label_write"), False),
    (["label_write"], call_of("label_write", service="slack", namespace="SlackMCP"), False),
]


@pytest.mark.parametrize(("tools", "call", "covered"), COVERAGE)
def test_tools_are_covered_by_name_selector_and_tier(tools: list[str], call: Call, *, covered: bool) -> None:
    world = world_of(raw_policy(tools=[*tools]))
    assert decided(world, call).allowed is covered


@pytest.mark.parametrize("service", ["*", "github"])
@pytest.mark.parametrize(
    ("users", "covered"), [(["u-alice"], True), (["u-bob"], False), (["u-bob", "u-alice"], True)]
)
def test_a_policy_of_specific_members_binds_those_alone(
    service: str, users: list[str], *, covered: bool
) -> None:
    raw = raw_policy(
        service=service,
        tools=["*"] if service == "*" else ["tier:read"],
        principal={"type": "specific_members", "userIds": [*users]},
    )
    assert decided(world_of(raw)).allowed is covered


def test_a_policy_of_every_service_binds_on_each() -> None:
    world = world_of(raw_policy(service="*", tools=["*"]))
    for service, namespace in (("github", NAMESPACE), ("crm", "Custom_crmMCP")):
        call = call_of("drop", tier=Tier.DESTRUCTIVE, service=service, namespace=namespace, selector="all")
        assert decided(world, call).allowed


def test_on_an_untrusted_agent_a_member_is_bound_by_their_own_policies_alone() -> None:
    raws = ({**PERMIT_ALL, "memberId": ALICE.id}, {**FORBID_READS, "memberId": BOB.id}, PERMIT_ALL)
    world = world_of(*raws, trust_mode=TrustMode.UNTRUSTED)
    assert matched_keys(decided(world, call_of(member=ALICE)).matched) == ["p0"]
    assert decided(world, call_of(member=BOB)).reason is Reason.FORBIDDEN_BY_POLICY


WORKDAY: JsonObject = {"hoursFrom": 9, "hoursTo": 17}
NIGHT: JsonObject = {"hoursFrom": 22, "hoursTo": 5}
BERLIN: JsonObject = {"timeZone": "Europe/Berlin"}
INSTANTS: list[tuple[JsonObject, str, bool]] = [
    (WORKDAY, "2026-03-04T08:59:59", False),
    (WORKDAY, "2026-03-04T09:00:00", True),
    (WORKDAY, "2026-03-04T17:59:59", True),
    (WORKDAY, "2026-03-04T18:00:00", False),
    (NIGHT, "2026-03-04T21:59:59", False),
    (NIGHT, "2026-03-04T22:00:00", True),
    (NIGHT, "2026-03-04T00:00:00", True),
    (NIGHT, "2026-03-04T05:59:59", True),
    (NIGHT, "2026-03-04T06:00:00", False),
    ({"hoursFrom": 7, "hoursTo": 7}, "2026-03-04T07:59:00", True),
    ({"hoursFrom": 7, "hoursTo": 7}, "2026-03-04T08:00:00", False),
    ({"daysOfWeek": [0]}, "2026-03-01T23:59:59", True),
    ({"daysOfWeek": [0]}, "2026-03-02T00:00:00", False),
    ({"daysOfWeek": [1, 6]}, "2026-02-28T00:00:00", True),
    # Monday from 22 h, and Monday until 5 h: the hours after midnight belong to the day they are on.
    ({"daysOfWeek": [1], **NIGHT}, "2026-03-02T23:00:00", True),
    ({"daysOfWeek": [1], **NIGHT}, "2026-03-03T01:00:00", False),
    ({"daysOfWeek": [1], **NIGHT}, "2026-03-02T01:00:00", True),
    ({"activeFrom": "2026-03-04", "activeTo": "2026-03-05"}, "2026-03-03T23:59:59", False),
    ({"activeFrom": "2026-03-04", "activeTo": "2026-03-05"}, "2026-03-04T00:00:00", True),
    ({"activeFrom": "2026-03-04", "activeTo": "2026-03-05"}, "2026-03-05T23:59:59", True),
    ({"activeFrom": "2026-03-04", "activeTo": "2026-03-05"}, "2026-03-06T00:00:00", False),
    ({"activeFrom": "2026-03-04"}, "2027-01-01T00:00:00", True),
    ({"activeTo": "2026-03-04"}, "2025-12-31T00:00:00", True),
    ({**WORKDAY, **BERLIN}, "2026-03-04T07:59:59", False),
    ({**WORKDAY, **BERLIN}, "2026-03-04T08:00:00", True),
    ({**WORKDAY, **BERLIN}, "2026-07-01T07:00:00", True),
    ({**WORKDAY, **BERLIN}, "2026-07-01T16:00:00", False),
    ({"daysOfWeek": [4], **BERLIN}, "2026-03-04T23:00:00", True),
    ({"activeFrom": "2026-03-05", **BERLIN}, "2026-03-04T22:59:59", False),
    ({"activeFrom": "2026-03-05", **BERLIN}, "2026-03-04T23:00:00", True),
    # The hour from 2 to 3 does not exist on the day that summer time begins.
    ({"hoursFrom": 2, "hoursTo": 2, **BERLIN}, "2026-03-29T00:59:59", False),
    ({"hoursFrom": 2, "hoursTo": 2, **BERLIN}, "2026-03-29T01:00:00", False),
    ({**WORKDAY, "timeZone": "UTC"}, "2026-03-04T09:00:00", True),
]


@pytest.mark.parametrize(("time", "instant", "holds"), INSTANTS)
def test_time_holds_by_the_calls_own_local_instant(time: JsonObject, instant: str, *, holds: bool) -> None:
    now = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert is_permitted({"time": time}, now=now) is holds
    elsewhere = now.astimezone(timezone(timedelta(hours=9)))
    assert is_permitted({"time": time}, now=elsewhere) is holds


ADDRESSES: list[tuple[JsonObject, str, bool]] = [
    ({"in": ["10.0.0.0/8"]}, "9.255.255.255", False),
    ({"in": ["10.0.0.0/8"]}, "10.0.0.0", True),
    ({"in": ["10.0.0.0/8"]}, "10.255.255.255", True),
    ({"in": ["10.0.0.0/8"]}, "11.0.0.0", False),
    ({"in": ["10.0.0.0/8"]}, "::ffff:10.1.2.3", True),
    ({"in": ["10.0.0.0/8"]}, "::ffff:11.1.2.3", False),
    ({"in": ["192.0.2.7"]}, "192.0.2.7", True),
    ({"in": ["192.0.2.7"]}, "192.0.2.8", False),
    ({"in": ["10.0.0.0/8", "2001:db8::/32"]}, "2001:db8:ffff::1", True),
    ({"in": ["10.0.0.0/8", "2001:db8::/32"]}, "2001:db9::", False),
    ({"in": ["fe80::/10"]}, "fe80::1%eth0", True),
    ({"in": ["0.0.0.0/0"]}, "2001:db8::1", False),
    ({"notIn": ["10.0.0.0/8"]}, "10.0.0.1", False),
    ({"notIn": ["10.0.0.0/8"]}, "2001:db8::1", True),
    ({"in": ["10.0.0.0/8"], "notIn": ["10.1.0.0/16"]}, "10.1.0.1", False),
    ({"in": ["10.0.0.0/8"], "notIn": ["10.1.0.0/16"]}, "10.2.0.1", True),
]


@pytest.mark.parametrize(("network", "ip", "holds"), ADDRESSES)
def test_network_holds_by_the_callers_address(network: JsonObject, ip: str, *, holds: bool) -> None:
    assert is_permitted({"network": network}, ip=ip) is holds


FACTS = Facts(
    call_count=7,
    deny_count=3,
    tools_used={"github:push_files": 5},
    policy_allows={"reads": 4},
    policy_denies={"no-merges": 2},
    labels=frozenset({"github:private"}),
)
COUNTED: list[tuple[JsonObject, int]] = [
    ({"type": "denyCount"}, 3),
    ({"type": "callCount"}, 7),
    ({"type": "toolCount", "tool": "github:push_files"}, 5),
    ({"type": "toolCount", "tool": "slack:push_files"}, 0),
    ({"type": "policyAllowCount", "policy": "reads"}, 4),
    ({"type": "policyAllowCount", "policy": "no-merges"}, 0),
    ({"type": "policyDenyCount", "policy": "no-merges"}, 2),
]


@pytest.mark.parametrize(("counted", "count"), COUNTED)
def test_counts_of_the_session_are_compared_at_their_edges(counted: JsonObject, count: int) -> None:
    for value in {max(count - 1, 0), count, count + 1}:
        holds = {">=": count >= value, ">": count > value, "<": count < value, "<=": count <= value}
        for operator, expected in holds.items():
            condition: JsonObject = {**counted, "operator": operator, "value": value}
            assert is_permitted({"session": [condition]}, facts=FACTS) is expected, condition


def test_a_label_holds_when_the_session_has_touched_it() -> None:
    for label, holds in (("github:private", True), ("slack:private", False), ("github", False)):
        assert is_permitted({"session": [{"type": "hasLabel", "value": label}]}, facts=FACTS) is holds


def test_conditions_hold_together_or_not_at_all() -> None:
    changes: JsonObject = {
        "time": WORKDAY,
        "session": [{"type": "denyCount", "operator": "<", "value": 3}],
        "network": {"in": ["10.0.0.0/8"]},
    }
    assert is_permitted(changes, ip="10.0.0.1")
    assert not is_permitted(changes, ip="192.0.2.7")
    assert not is_permitted(changes, ip="10.0.0.1", facts=FACTS)
    assert not is_permitted(changes, ip="10.0.0.1", now=NOON + timedelta(hours=12))


def test_whether_facts_of_the_session_were_read_is_told() -> None:
    condition: JsonObject = {"type": "denyCount", "operator": ">=", "value": 3}
    for session, reads in (([condition], True), ([], False)):
        world = world_of(PERMIT_ALL, raw_policy(effect="forbid", session=[*session]))
        for _ in range(2):
            assert decide(world, call_of(), FRESH, NOON).reads_facts is reads
    elsewhere = world_of(PERMIT_ALL, raw_policy(tools=["other"], session=[condition]))
    assert not decide(elsewhere, call_of(), FRESH, NOON).reads_facts


def test_the_third_denial_trips_a_breaker_on_the_same_world() -> None:
    breaker = raw_policy(effect="forbid", session=[{"type": "denyCount", "operator": ">=", "value": 3}])
    world = world_of(PERMIT_ALL, breaker)
    outcomes = [decided(world, facts=Facts(deny_count=count)).allowed for count in (0, 2, 3, 2, 4)]
    assert outcomes == [True, True, False, True, False]


def test_a_policy_that_reads_an_address_that_is_none_denies_the_call() -> None:
    forbid = raw_policy(effect="forbid", network={"in": ["10.0.0.0/8"]})
    for ip in ("unknown", "", "10.0.0.1:443"):
        decision = decided(world_of(PERMIT_ALL, forbid), call_of(ip=ip))
        assert (decision.effect, decision.reason) == (Effect.DENY, Reason.POLICY_ERRORED)
        assert matched_keys(decision.matched) == ["p1"]
        assert "ip" in decision.detail
        assert decided(world_of(PERMIT_ALL), call_of(ip=ip)).allowed


def test_a_policy_in_a_zone_that_is_unknown_here_denies_the_call() -> None:
    raw = raw_policy(effect="forbid", time={**WORKDAY, "timeZone": "Europe/Atlantis"})
    for zone in ("Europe/Atlantis", "Europe", "Europe/Berlin/Mitte"):
        time = Time(hours=(9, 17), zone=zone)
        world = build_world(parse_policy(PERMIT_ALL), replace(parse_policy(raw), time=time))
        decision = decided(world)
        assert (decision.reason, matched_keys(decision.matched)) == (Reason.POLICY_ERRORED, ["p1"])


@pytest.mark.promise("P2")
def test_a_failing_policy_beats_a_matching_forbid_and_every_failing_one_is_cited() -> None:
    broken = replace(parse_policy(raw_policy()), network=Network(inside=("nowhere",)))
    world = build_world(parse_policy(FORBID_READS), broken, parse_policy(PERMIT_ALL), broken)
    decision = decided(world)
    assert (decision.reason, matched_keys(decision.matched)) == (Reason.POLICY_ERRORED, ["p1", "p3"])


@pytest.mark.promise("P2")
def test_a_policy_that_cedar_cannot_read_denies_its_calls_and_is_cited() -> None:
    huge = CountCondition(CountFact.DENY_COUNT, Operator.LESS_THAN, 2**63)
    unreadable = replace(parse_policy(raw_policy()), effect=PolicyEffect.FORBID, session=(huge,))
    world = build_world(parse_policy(PERMIT_ALL), unreadable)
    decision = decided(world)
    assert (decision.effect, decision.reason) == (Effect.DENY, Reason.POLICY_ERRORED)
    assert matched_keys(decision.matched) == ["p1"]
    assert decided(world, call_of("push", tier=Tier.WRITE)).allowed


@pytest.mark.promise("P2")
def test_a_request_that_cedar_cannot_read_is_denied() -> None:
    call = call_of(namespace="not a namespace")
    decision = decided(world_of(raw_policy(service="*", tools=["*"])), call)
    assert (decision.effect, decision.reason) == (Effect.DENY, Reason.POLICY_ERRORED)
    assert decision.detail


def test_a_call_on_several_resources_is_allowed_only_if_it_is_for_each() -> None:
    here, there = (EntityUid(f"{NAMESPACE}::Repository", f"my-org/{name}") for name in ("a", "b"))
    owner = EntityUid(f"{NAMESPACE}::Owner", "my-org")
    both = call_of(resources=(Resource(here, (owner,)), Resource(there, (owner,))))
    decision = decided(world_of(raw_policy()), both)
    assert decision.allowed
    assert decision.request is not None
    assert decision.request["resource"] == {"type": here.type, "id": here.id}
    assert decision.request["resources"] == [{"type": uid.type, "id": uid.id} for uid in (here, there)]
    poisoned = Resource(there, (owner,), {"visibility": 1.5})
    refused = decided(world_of(raw_policy()), replace(both, resources=(Resource(here, (owner,)), poisoned)))
    assert refused.reason is Reason.POLICY_ERRORED


ALLOWED = cedarpy.AuthzResult({"decision": "Allow", "diagnostics": {"reason": ["id-p0"], "errors": []}})
UNMATCHED = cedarpy.AuthzResult({"decision": "Deny", "diagnostics": {"reason": [], "errors": []}})
FORBIDDEN = cedarpy.AuthzResult({"decision": "Deny", "diagnostics": {"reason": ["id-p1"], "errors": []}})
UNANSWERED = cedarpy.AuthzResult({"decision": "NoDecision", "diagnostics": {"errors": ["unreadable"]}})
ANSWERS = [
    ([ALLOWED, ALLOWED], Reason.PERMITTED, ["p0"]),
    ([ALLOWED, UNMATCHED], Reason.NO_PERMIT_MATCHED, []),
    ([UNMATCHED, FORBIDDEN], Reason.FORBIDDEN_BY_POLICY, ["p1"]),
    ([ALLOWED, FORBIDDEN], Reason.FORBIDDEN_BY_POLICY, ["p1"]),
    ([ALLOWED, UNANSWERED], Reason.POLICY_ERRORED, []),
    ([], Reason.NO_PERMIT_MATCHED, []),
]


@pytest.mark.parametrize(("answers", "reason", "keys"), ANSWERS)
def test_answers_for_several_resources_are_joined_by_the_strictest(
    answers: list[cedarpy.AuthzResult], reason: Reason, keys: list[str]
) -> None:
    rules = Rules(world_of(PERMIT_ALL, FORBID_READS).policies, NAMESPACE)
    decision = rules._concluded({}, answers)
    assert (decision.reason, matched_keys(decision.matched)) == (reason, keys)
    assert decision.allowed is (reason is Reason.PERMITTED)


def test_a_request_holds_what_the_policies_read_and_nothing_else() -> None:
    session: JsonObject = {"type": "toolCount", "tool": "github:push_files", "operator": ">", "value": 9}
    world = world_of(raw_policy(session=[session], time={**WORKDAY, **BERLIN}))
    request = decided(world, facts=FACTS).request
    assert request == {
        "principal": {"type": "GitHubMCP::User", "id": "u-alice"},
        "action": {"type": "GitHubMCP::Action", "id": "get_file_contents"},
        "resource": {"type": "GitHubMCP::Service", "id": "github"},
        "context": {
            "session": {"toolsUsed": {"github:push_files": 5}},
            "time": {"in": {"Europe/Berlin": {"hour": 13}}},
        },
        "entities": [
            {
                "uid": {"type": "GitHubMCP::Action", "id": "get_file_contents"},
                "attrs": {},
                "parents": [{"type": "GitHubMCP::Action", "id": "tier:read"}],
            }
        ],
    }


def test_a_failed_decision_is_decided_again_to_the_same_result() -> None:
    world = world_of(PERMIT_ALL, raw_policy(network={"in": ["10.0.0.0/8"]}))
    decision = decided(world, call_of(ip="unknown"))
    assert decision.request is not None
    assert decide_again(decision.request, world.policies) == decision


def test_decisions_of_one_world_do_not_share_their_requests() -> None:
    world = world_of(PERMIT_ALL)
    first, second = decided(world), decided(world)
    assert first == second
    assert first.request is not None
    first.request["context"] = {"changed": True}
    assert second.request is not None
    assert decided(world) == second
