import pytest

from tests.bench.many_policies import EVERYBODYS, applying, calls_of, world_of_many
from tests.core.policy.worlds import ALICE, BOB, NOON, PERMIT_ALL, call_of, raw_policy, world_of
from wicket.core.model import JsonObject, Tier, TrustMode
from wicket.core.policy.engine import decide, may_list
from wicket.core.policy.slices import CACHED_MAX, Subject, find_covering
from wicket.core.session import FRESH
from wicket.core.world import Member, World


def is_listed(world: World, *, member: Member = ALICE, tier: Tier = Tier.READ) -> bool:
    return may_list(world, member, "github", "get_file_contents", tier, [None])


LISTED: list[tuple[str, list[JsonObject], bool]] = [
    ("nothing permits", [], False),
    ("a permit covers it", [raw_policy()], True),
    ("a permit covers other tools", [raw_policy(tools=["other"])], False),
    ("a permit is disabled", [raw_policy(enabled=False)], False),
    ("a permit may hold by time", [raw_policy(time={"activeTo": "2000-01-01"})], True),
    ("a permit may hold by address", [raw_policy(network={"in": ["10.0.0.0/8"]})], True),
    (
        "a permit is for another member",
        [raw_policy(principal={"type": "specific_members", "userIds": ["u"]})],
        False,
    ),
    ("a forbid stands", [raw_policy(), raw_policy(effect="forbid")], False),
    ("a forbid is disabled", [raw_policy(), raw_policy(effect="forbid", enabled=False)], True),
    (
        "a forbid may not hold by time",
        [raw_policy(), raw_policy(effect="forbid", time={"daysOfWeek": [0]})],
        True,
    ),
    (
        "a forbid may not hold by session",
        [raw_policy(), raw_policy(effect="forbid", session=[{"type": "hasLabel", "value": "x"}])],
        True,
    ),
    (
        "a forbid may not hold by address",
        [raw_policy(), raw_policy(effect="forbid", network={"in": ["10.0.0.0/8"]})],
        True,
    ),
    (
        "a forbid stands on every service",
        [raw_policy(), raw_policy(effect="forbid", service="*", tools=["*"])],
        False,
    ),
]


@pytest.mark.parametrize(
    ("policies", "listed"), [case[1:] for case in LISTED], ids=[case[0] for case in LISTED]
)
def test_a_tool_is_listed_when_a_permit_may_match_and_no_forbid_must(
    policies: list[JsonObject], *, listed: bool
) -> None:
    assert is_listed(world_of(*policies)) is listed


def test_a_tool_is_listed_for_the_sake_of_one_of_its_selectors() -> None:
    world = world_of(PERMIT_ALL, raw_policy(effect="forbid", tools=["label_write::delete"]))
    listed = {
        selectors: may_list(world, ALICE, "github", "label_write", Tier.WRITE, selectors)
        for selectors in (("create", "delete"), ("delete",), ("delete", None), ())
    }
    assert listed == {("create", "delete"): True, ("delete",): False, ("delete", None): True, (): False}


def test_tiers_of_selectors_decide_what_is_listed() -> None:
    world = world_of(raw_policy(tools=["tier:write"]))
    assert may_list(world, ALICE, "github", "label_write", Tier.WRITE, ["create"])
    assert not may_list(world, ALICE, "github", "label_write", Tier.DESTRUCTIVE, ["delete"])


def test_on_an_untrusted_agent_a_member_lists_by_their_own_policies() -> None:
    world = world_of({**PERMIT_ALL, "memberId": ALICE.id}, trust_mode=TrustMode.UNTRUSTED)
    assert is_listed(world, member=ALICE)
    assert not is_listed(world, member=BOB)


def test_a_policy_that_covers_a_call_twice_is_in_its_slice_once_and_in_order() -> None:
    world = world_of(
        raw_policy(tools=["tier:read"]), raw_policy(tools=["get", "tier:read"]), raw_policy(tools=["get"])
    )
    found = find_covering(world, Subject("github", "get", None, Tier.READ, ALICE.user_id, ALICE.id))
    assert [policy.ref.key for policy in found] == ["p0", "p1", "p2"]


def test_the_cache_of_a_world_stays_within_its_bound_and_decisions_stay_right() -> None:
    world = world_of(raw_policy(tools=["multi::s7", f"multi::s{CACHED_MAX}"]))
    allowed = [
        number
        for number in range(CACHED_MAX + 10)
        if decide(world, call_of("multi", selector=f"s{number}"), FRESH, NOON).decision.allowed
    ]
    assert allowed == [7, CACHED_MAX]
    assert len(world.slices) <= CACHED_MAX


def test_a_slice_holds_what_bears_on_the_call_however_many_policies_there_are() -> None:
    sizes = {}
    for count in (EVERYBODYS, 2_000):
        world = world_of_many(count)
        sizes[count] = {applying(world, call) for call in calls_of(world)}
    assert sizes[EVERYBODYS] == {EVERYBODYS}
    # A member has two of the two thousand, and one of them is for everything that reads.
    assert sizes[2_000] <= {EVERYBODYS, EVERYBODYS + 1, EVERYBODYS + 2}
