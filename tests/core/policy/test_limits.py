"""What a policy that is limited to resources or arguments matches, and what it makes of what nobody has told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.core.policy.generated import uid
from tests.core.policy.test_document import argument, condition
from tests.core.policy.worlds import NOON, PERMIT_ALL, call_of, matched_keys, raw_policy, world_of
from wicket.core.model import Decision, EntityUid, Json, JsonObject, PolicyEffect, Reason, Resource
from wicket.core.policy.engine import decide, decide_again, may_list
from wicket.core.session import FRESH, Facts
from wicket.core.world import World

SITE, OWNER = uid("Repository", "my-org/site"), uid("Owner", "my-org")
UNKNOWN_OWNER = uid("Owner", "?")


def pull_request(*parents: EntityUid, unknown: frozenset[str] = frozenset(), **known: Json) -> Resource:
    return Resource(uid("PullRequest", "my-org/site#1"), parents or (SITE, OWNER), known, unknown)


EVERY = frozenset({"visibility", "archived", "topics", "isDraft", "size"})
SEARCH = Resource(
    uid("Search", "github"),
    (uid("Repository", "?"), UNKNOWN_OWNER, uid("PullRequest", "?")),
    {},
    EVERY,
)
OWN: JsonObject = {"restrictions": {"repositories": [{"owner": "my-org"}]}}
ANY: JsonObject = {
    "conditions": {
        "match": "any",
        "items": [{"type": "isDraft", "value": True}, {"type": "size", "value": 1}],
    }
}
DRAFT = condition("isDraft", value=True)
UNTOLD = frozenset({"isDraft"})
RESOURCES: list[tuple[str, JsonObject, Resource, bool, bool]] = [
    ("in the container", OWN, pull_request(), True, True),
    ("the container itself", OWN, Resource(OWNER), True, True),
    ("in another container", OWN, pull_request(uid("Owner", "other")), False, False),
    ("in a container that is not known", OWN, pull_request(SITE, UNKNOWN_OWNER), False, True),
    ("a search", OWN, SEARCH, False, True),
    ("of the type", {"resourceScope": "pull_request"}, pull_request(), True, True),
    ("of another type", {"resourceScope": "pull_request"}, Resource(SITE, (OWNER,)), False, False),
    ("a search for a type", {"resourceScope": "pull_request"}, SEARCH, False, True),
    ("told as wanted", DRAFT, pull_request(isDraft=True), True, True),
    ("told otherwise", DRAFT, pull_request(isDraft=False), False, False),
    ("untold", DRAFT, pull_request(unknown=UNTOLD), False, True),
    ("not applicable", DRAFT, pull_request(), False, False),
    ("a search by what is told", DRAFT, SEARCH, False, True),
    ("any, one told and one untold", ANY, pull_request(size=0, unknown=UNTOLD), False, True),
    ("any, one holds", ANY, pull_request(size=1, isDraft=False), True, True),
    ("a set that holds it", condition("topic", "web"), pull_request(topics=["api", "web"]), True, True),
    ("a set without it", condition("topic", "web"), pull_request(topics=["api"]), False, False),
    ("named", condition("pullRequest", ["A/b#1", "my-org/site#1"]), pull_request(), True, True),
    ("not named", condition("pullRequest", "my-org/site#10"), pull_request(), False, False),
    (
        "one limit of two",
        {**OWN, **DRAFT},
        pull_request(SITE, uid("Owner", "other"), isDraft=True),
        False,
        False,
    ),
]


def outcome(raw: JsonObject, resource: Resource | None, arguments: JsonObject | None = None) -> list[bool]:
    """Whether the policy matches as a permit, and as a forbid."""
    call = call_of(resources=None if resource is None else (resource,), arguments=arguments)
    permitted = decide(world_of({**raw, "effect": "permit"}), call, FRESH, NOON).decision
    world = world_of({**raw, "effect": "forbid"}, PERMIT_ALL)
    forbidden = decide(world, call, FRESH, NOON).decision
    return [permitted.allowed, forbidden.reason is Reason.FORBIDDEN_BY_POLICY]


@pytest.mark.parametrize(
    ("limits", "resource", "permits", "forbids"),
    [row[1:] for row in RESOURCES],
    ids=[r[0] for r in RESOURCES],
)
def test_what_is_not_known_of_a_resource_is_forbidden_and_never_permitted(
    limits: JsonObject, resource: Resource, *, permits: bool, forbids: bool
) -> None:
    assert outcome(raw_policy(**limits), resource) == [permits, forbids]


def test_what_is_told_of_one_resource_of_a_call_is_not_told_of_another() -> None:
    somewhere = Resource(uid("Repository", "?"), (OWNER,), {}, frozenset({"visibility"}))
    call = call_of(resources=(SEARCH, somewhere))
    decision = decide(world_of(raw_policy(**OWN)), call, FRESH, NOON).decision
    assert decision.reason is Reason.NO_PERMIT_MATCHED
    again = decide_again(decision.request or {}, world_of(raw_policy(**OWN)).policies)
    assert again.reason is Reason.NO_PERMIT_MATCHED
    assert decide(world_of(raw_policy(**OWN)), call_of(resources=(somewhere,)), FRESH, NOON).decision.allowed


MAIN = argument("branch", "equals", "main")
ALL_IN_SRC = argument("files[*].path", "startsWith", "src/")
SECOND: JsonObject = {"path": "docs/b"}
ARGUMENTS: list[tuple[str, JsonObject, JsonObject, bool, bool]] = [
    ("as wanted", MAIN, {"branch": "main"}, True, True),
    ("otherwise", MAIN, {"branch": "dev"}, False, False),
    ("by the case of its letters", MAIN, {"branch": "Main"}, False, False),
    ("absent", MAIN, {}, False, True),
    ("null", MAIN, {"branch": None}, False, True),
    ("of another type", MAIN, {"branch": ["main"]}, False, True),
    ("in two spellings", MAIN, {"branch": "dev", "Branch": "main"}, False, True),
    ("in a spelling that folds to it", argument("k", "equals", 1), {"k": 0, "\u212a": 1}, False, True),
    ("in another spelling alone", MAIN, {"BRANCH": "dev"}, False, True),
    ("an integer beyond Cedar's", argument("n", "atLeast", 1), {"n": 2**63}, False, True),
    ("a number in a text", argument("n", "equals", 1), {"n": "1"}, False, True),
    ("a bool for a number", argument("n", "equals", 1), {"n": True}, False, True),
    ("each of the items", ALL_IN_SRC, {"files": [{"path": "src/a"}]}, True, True),
    ("one of the items", ALL_IN_SRC, {"files": [{"path": "src/a"}, SECOND]}, False, True),
    ("none of the items", ALL_IN_SRC, {"files": [SECOND]}, False, False),
    ("an item without it", ALL_IN_SRC, {"files": [SECOND, {}]}, False, True),
    ("no items", ALL_IN_SRC, {"files": []}, False, False),
    ("no list", ALL_IN_SRC, {"files": "src/a"}, False, True),
    ("there", argument("force", "exists", value=True), {"force": False}, True, True),
    ("not there", argument("force", "exists", value=True), {}, False, False),
    ("null is not there", argument("force", "exists", value=False), {"force": None}, True, True),
    ("there in another spelling", argument("force", "exists", value=False), {"Force": 1}, False, True),
    ("a name of Cedar's own", argument("__extn", "equals", "ip"), {"__extn": "ip"}, True, True),
    ("the caller's own address", argument("ip", "equals", "10.0.0.1"), {"ip": "10.0.0.1"}, True, True),
]


@pytest.mark.parametrize(
    ("limits", "given", "permits", "forbids"), [row[1:] for row in ARGUMENTS], ids=[r[0] for r in ARGUMENTS]
)
def test_what_is_not_known_of_an_argument_is_forbidden_and_never_permitted(
    limits: JsonObject, given: JsonObject, *, permits: bool, forbids: bool
) -> None:
    assert outcome(raw_policy(**limits), None, given) == [permits, forbids]


def test_a_call_that_names_no_resource_is_denied_where_a_policy_that_covers_it_is_limited_to_some() -> None:
    scoped, elsewhere = raw_policy(**OWN), raw_policy(tools=["other"], **OWN)
    decision = decide(world_of(PERMIT_ALL, scoped), call_of(), FRESH, NOON).decision
    assert (decision.reason, matched_keys(decision.matched)) == (Reason.RESOURCE_NOT_RECOGNISED, ["p1"])
    assert decision.request is not None
    scoped_alone = [one for one in world_of(PERMIT_ALL, scoped).policies if one.ref.key == "p1"]
    assert decide_again(decision.request, scoped_alone) == decision
    assert decide(world_of(PERMIT_ALL, elsewhere), call_of(), FRESH, NOON).decision.allowed
    assert decide(world_of(PERMIT_ALL, {**scoped, "enabled": False}), call_of(), FRESH, NOON).decision.allowed
    both = call_of(resources=(Resource(SITE, (OWNER,)), Resource(uid("Service", "github"))))
    refused = decide(world_of(PERMIT_ALL, scoped), both, FRESH, NOON).decision
    assert refused.reason is Reason.RESOURCE_NOT_RECOGNISED


def test_a_forbid_of_the_tool_beats_that_no_resource_is_named() -> None:
    world = world_of(raw_policy(**OWN), raw_policy(effect="forbid"))
    decision = decide(world, call_of(), FRESH, NOON).decision
    assert (decision.reason, matched_keys(decision.matched)) == (Reason.FORBIDDEN_BY_POLICY, ["p1"])


def test_a_tool_with_a_limited_forbid_stays_listed() -> None:
    for limits in (OWN, DRAFT, MAIN, {"resourceScope": "owner"}):
        world = world_of(PERMIT_ALL, raw_policy(effect="forbid", **limits))
        member = next(iter(world.members.values()))
        call = call_of()
        assert may_list(world, member, "github", call.tool, call.tier, [None]), limits


def test_a_decision_is_remembered_by_all_that_is_known_of_its_resources() -> None:
    world = world_of(raw_policy(**DRAFT))
    told = [pull_request(isDraft=True), pull_request(isDraft=False), pull_request(unknown=UNTOLD)]
    rounds = [
        [decide(world, call_of(resources=(replace(one),)), FRESH, NOON) for one in told] for _ in range(2)
    ]
    assert [one.decision.allowed for one in rounds[0]] == [True, False, False]
    assert all(later is first for first, later in zip(*rounds, strict=True))


LONG = "src/" + "x" * 2_000
SECRETS: list[tuple[JsonObject, JsonObject]] = [
    (argument("apiKey", "equals", "hunter2"), {"apiKey": "hunter2"}),
    (argument("body", "startsWith", "src/"), {"body": LONG}),
    (argument("code", "equals", "hunter2"), {"code": "hunter2"}),
    (argument("pin.password", "equals", 1234), {"pin": {"password": 1234}}),
    (argument("text", "contains", "ghp_"), {"text": "ghp_abcdefghijklmnopqrstuvwxyz"}),
    (argument("tokens", "contains", "hunter2"), {"tokens": ["hunter2"]}),
]


@pytest.mark.promise("P9")
@pytest.mark.parametrize(("limits", "given"), SECRETS)
def test_a_secret_that_a_policy_reads_decides_and_is_not_recorded(
    limits: JsonObject, given: JsonObject
) -> None:
    world = world_of(raw_policy(tools=["get"], **limits))
    for _ in range(2):
        judged = decide(world, call_of("get", arguments=given), FRESH, NOON)
        assert judged.decision.allowed
        recorded = str(judged.decision.request) + judged.told.members
        assert "[redacted len=" in recorded
        assert not any(secret in recorded for secret in ("hunter2", LONG, "1234", "ghp_abcdef"))


def test_an_argument_that_names_a_resource_is_recorded_whatever_its_name() -> None:
    raw = raw_policy(tools=["get"], **argument("token_name", "equals", "deploy"))
    judged = decide(
        world_of(raw), call_of("get", arguments={"token_name": "deploy", "x": 1}), FRESH, NOON
    ).decision
    assert judged.request is not None
    assert judged.request["context"] == {"arguments": {"texts": {"token_name": "deploy"}}}


def test_a_sum_over_a_members_sessions_that_is_not_known_denies() -> None:
    counted: JsonObject = {"type": "toolCount", "tool": "github:get", "operator": "<", "value": 3}
    world = world_of(raw_policy(session=[{**counted, "scope": "member"}]))
    assert decided(world, FRESH).reason is Reason.POLICY_ERRORED
    assert decided(world, Facts(member=FRESH)).allowed
    assert decided(world, Facts(member=Facts(tools_used={"github:get": 3}))).allowed is False
    assert decide(world, call_of(), FRESH, NOON).reads_facts


def decided(world: World, facts: Facts) -> Decision:
    return decide(world, call_of(), facts, NOON).decision


BERLIN_NIGHT: JsonObject = {"hoursFrom": 18, "hoursTo": 8, "timeZone": "Europe/Berlin"}
OFFICE: JsonObject = {"hoursFrom": 9, "hoursTo": 17}
MOMENTS: list[tuple[str, JsonObject, str, datetime, bool]] = [
    ("17:59 is within 9-17", OFFICE, "permit", datetime(2026, 3, 4, 17, 59, 59, tzinfo=UTC), True),
    ("18:00 is not", OFFICE, "permit", datetime(2026, 3, 4, 18, tzinfo=UTC), False),
    # Clocks in Berlin go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC; back on 25 October.
    ("17:59 in winter", BERLIN_NIGHT, "forbid", datetime(2026, 3, 28, 16, 59, tzinfo=UTC), False),
    ("18:00 in winter", BERLIN_NIGHT, "forbid", datetime(2026, 3, 28, 17, 0, tzinfo=UTC), True),
    ("in the hour that is left out", BERLIN_NIGHT, "forbid", datetime(2026, 3, 29, 1, 30, tzinfo=UTC), True),
    ("08:59 in summer", BERLIN_NIGHT, "forbid", datetime(2026, 3, 29, 6, 59, tzinfo=UTC), True),
    ("09:00 in summer", BERLIN_NIGHT, "forbid", datetime(2026, 3, 29, 7, 0, tzinfo=UTC), False),
    ("18:00 in summer", BERLIN_NIGHT, "forbid", datetime(2026, 3, 29, 16, 0, tzinfo=UTC), True),
    ("08:59 in winter again", BERLIN_NIGHT, "forbid", datetime(2026, 10, 25, 7, 59, tzinfo=UTC), True),
    ("09:00 in winter again", BERLIN_NIGHT, "forbid", datetime(2026, 10, 25, 8, 0, tzinfo=UTC), False),
]


@pytest.mark.parametrize(
    ("time", "effect", "now", "matches"), [row[1:] for row in MOMENTS], ids=[row[0] for row in MOMENTS]
)
def test_hours_are_those_of_the_place_on_the_day(
    time: JsonObject, effect: str, now: datetime, *, matches: bool
) -> None:
    policies = [raw_policy(effect=effect, time=time)]
    if effect == PolicyEffect.FORBID:
        policies.append(PERMIT_ALL)
    decision = decide(world_of(*policies), call_of(), FRESH, now).decision
    assert decision.allowed is (matches is (effect == PolicyEffect.PERMIT))


def test_the_last_day_is_in_force_to_its_end_where_the_policy_is() -> None:
    world = world_of(raw_policy(time={"activeTo": "2026-03-29", "timeZone": "Europe/Berlin"}))
    ends = datetime(2026, 3, 29, 22, 0, tzinfo=UTC)
    assert decide(world, call_of(), FRESH, ends - timedelta(seconds=1)).decision.allowed
    assert not decide(world, call_of(), FRESH, ends).decision.allowed
