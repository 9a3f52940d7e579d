from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.connectors import catalog, resolve, selectors_of, tool_tier
from wicket.connectors.resolve import Resolution, known_tools
from wicket.core.model import (
    AgentStatus,
    Call,
    Connector,
    ConnectorKind,
    Decision,
    Effect,
    Json,
    JsonObject,
    MemberStatus,
    PolicyEffect,
    PolicyRef,
    Reason,
    Role,
    Tier,
    TrustMode,
)
from wicket.core.policy.document import parse_policy
from wicket.core.world import AgentPolicy, AgentSettings, Member, ToolPin, World

READ, WRITE, DESTRUCTIVE = Tier
ADA = Member("ada", "user-ada", "ada@example.org", Role.OWNER, MemberStatus.APPROVED)
BOB = Member("bob", "user-bob", "bob@example.org", Role.MEMBER, MemberStatus.APPROVED)
WIKI = Connector("wiki", "Wiki", "Custom_wikiMCP", ConnectorKind.CUSTOM, "https://wiki.example/mcp", id="1")
WORLD = World(
    agent_id="agent",
    agent_name="builder",
    revision=1,
    status=AgentStatus.ACTIVE,
    trust_mode=TrustMode.TRUSTED,
    settings=AgentSettings(),
    members={"ada": ADA, "bob": BOB},
    keys={},
    services={key: catalog()[key] for key in ("github", "slack", "stripe", "sentry")} | {"wiki": WIKI},
    policies=(),
    pins={},
    connections={},
)


def with_pin(service: str, tool: str, pin: ToolPin) -> World:
    return replace(WORLD, pins={(service, tool): pin})


def with_policy(service: str, *tools: str) -> World:
    document = parse_policy({"name": "p", "service": service, "effect": "permit", "tools": list(tools)})
    ref = PolicyRef("id", "p", "p", 1, PolicyEffect.PERMIT)
    return replace(WORLD, policies=(AgentPolicy(ref, document),))


def ask(
    world: World, service: str, tool: str, arguments: JsonObject | None = None, *, member: Member = ADA
) -> Resolution:
    return resolve(world, member, service, tool, arguments or {}, caller_ip="192.0.2.1")


def check_call(resolution: Resolution) -> Call:
    assert isinstance(resolution, Call)
    return resolution


def check_refused(resolution: Resolution, reason: Reason) -> Decision:
    assert isinstance(resolution, Decision)
    assert resolution.effect is Effect.DENY
    assert resolution.reason is reason
    assert resolution.detail
    return resolution


def test_a_call_says_who_does_what_to_what() -> None:
    call = check_call(ask(WORLD, "github", "get_me", {"owner": "o", "repo": "r", "path": "README.md"}))
    assert str(call.principal) == 'GitHubMCP::User::"user-ada"'
    assert str(call.action) == 'GitHubMCP::Action::"get_me"'
    assert [str(resource.uid) for resource in call.resources] == ['GitHubMCP::Service::"github"']
    assert call.arguments == {"owner": "o", "repo": "r", "path": "README.md"}
    assert (call.method, call.tier, call.member_id, call.caller_ip) == (
        "tools/call",
        READ,
        "ada",
        "192.0.2.1",
    )


@pytest.mark.parametrize("service", ["linear", "", "GitHub", "github "])
def test_a_service_that_is_not_enabled_is_refused(service: str) -> None:
    check_refused(ask(WORLD, service, "get_issue"), Reason.SERVICE_NOT_ENABLED)


@pytest.mark.parametrize("tool", ["frobnicate", "", "GET_ME", "get_me ", "get_m\u0435", "get_me\u200b"])
def test_a_tool_in_no_table_is_unknown_until_it_is_reviewed(tool: str) -> None:
    check_refused(ask(WORLD, "github", tool), Reason.UNKNOWN_TOOL)
    check_refused(ask(with_pin("github", tool, ToolPin(None)), "github", tool), Reason.UNKNOWN_TOOL)
    assert check_call(ask(with_pin("github", tool, ToolPin(WRITE)), "github", tool)).tier is WRITE


def test_a_custom_connectors_tool_needs_a_reviewed_pin() -> None:
    check_refused(ask(WORLD, "wiki", "edit"), Reason.UNKNOWN_TOOL)
    call = check_call(ask(with_pin("wiki", "edit", ToolPin(DESTRUCTIVE)), "wiki", "edit"))
    assert call.tier is DESTRUCTIVE
    assert str(call.resources[0].uid) == 'Custom_wikiMCP::Service::"wiki"'


def test_a_pin_of_another_service_says_nothing_about_this_one() -> None:
    check_refused(ask(with_pin("github", "edit", ToolPin(READ)), "wiki", "edit"), Reason.UNKNOWN_TOOL)


def test_a_tool_that_the_owner_holds_back_is_refused_for_everybody() -> None:
    held = with_pin("github", "get_me", ToolPin(READ, held=True))
    check_refused(ask(held, "github", "get_me"), Reason.TOOL_CHANGED)
    check_refused(ask(held, "github", "get_me", member=BOB), Reason.TOOL_CHANGED)


def test_a_changed_definition_is_refused_for_the_member_whose_upstream_sends_it_alone() -> None:
    changed = with_pin("github", "get_me", ToolPin(READ, changed_for=frozenset({"bob"})))
    check_refused(ask(changed, "github", "get_me", member=BOB), Reason.TOOL_CHANGED)
    check_call(ask(changed, "github", "get_me", member=ADA))


def test_a_tool_known_by_name_only_can_be_decided() -> None:
    assert check_call(ask(WORLD, "slack", "slack_delete_message")).tier is DESTRUCTIVE


@pytest.mark.parametrize(
    ("tool", "pin", "tier"),
    [
        ("push_files", None, WRITE),
        ("push_files", ToolPin(None), WRITE),
        ("push_files", ToolPin(WRITE), WRITE),
        ("push_files", ToolPin(DESTRUCTIVE), DESTRUCTIVE),
        ("push_files", ToolPin(READ), READ),
    ],
)
def test_the_reviewed_tier_wins_over_the_tables(tool: str, pin: ToolPin | None, tier: Tier) -> None:
    world = WORLD if pin is None else with_pin("github", tool, pin)
    assert check_call(ask(world, "github", tool)).tier is tier
    assert tool_tier(world, "github", tool) is tier


@pytest.mark.parametrize(
    ("service", "tool", "selector", "tier"),
    [
        ("github", "label_write", {"method": "create"}, WRITE),
        ("github", "label_write", {"method": "delete"}, DESTRUCTIVE),
        ("github", "label_write", {"method": "obliterate"}, DESTRUCTIVE),
        ("github", "label_write", {}, DESTRUCTIVE),
        ("github", "sub_issue_write", {"method": "add"}, WRITE),
        ("github", "sub_issue_write", {"method": "remove"}, DESTRUCTIVE),
        ("github", "sub_issue_write", {"method": "replace"}, DESTRUCTIVE),
        ("github", "sub_issue_write", {}, DESTRUCTIVE),
        ("github", "issue_read", {"method": "get_comments"}, READ),
        ("github", "issue_read", {"method": "get_timeline"}, READ),
        ("github", "manage_notification_subscription", {"action": "delete"}, DESTRUCTIVE),
        ("sentry", "execute_sentry_tool", {"name": "whoami"}, READ),
        ("sentry", "execute_sentry_tool", {"name": "create_dsn"}, WRITE),
        ("sentry", "execute_sentry_tool", {"name": "execute_sentry_tool"}, DESTRUCTIVE),
        ("sentry", "execute_sentry_tool", {"name": "brand_new"}, DESTRUCTIVE),
        ("stripe", "stripe_api_write", {"stripe_api_operation_id": "PostRefunds"}, DESTRUCTIVE),
        ("stripe", "stripe_api_read", {"stripe_api_operation_id": "GetCharges"}, READ),
    ],
)
def test_a_selector_decides_the_tier_and_an_unknown_one_may_do_the_worst(
    service: str, tool: str, selector: JsonObject, tier: Tier
) -> None:
    call = check_call(ask(WORLD, service, tool, selector))
    assert call.tier is tier
    value = next(iter(selector.values()), None)
    assert call.selector == value
    assert call.action.id == (tool if value is None else f"{tool}::{value}")


@pytest.mark.parametrize(
    "value",
    [None, 1, True, ["delete"], {"method": "delete"}, "", " delete", "delete ", "delete\n", "de lete", "delete::x",
     "d\u0435lete", "del\u200bete", 'x"', "x" * 129, "DELETE", "Delete"],
)  # fmt: skip
def test_a_selector_that_is_not_spelled_exactly_is_refused_and_not_repaired(value: Json) -> None:
    check_refused(ask(WORLD, "github", "label_write", {"method": value}), Reason.ARGUMENTS_REJECTED)


@pytest.mark.parametrize("name", ["Method", "METHOD", "mEthod"])
@pytest.mark.parametrize("with_the_right_one", [True, False])
def test_a_selector_in_two_spellings_is_refused(name: str, *, with_the_right_one: bool) -> None:
    arguments: JsonObject = {name: "delete"}
    if with_the_right_one:
        arguments["method"] = "create"
    check_refused(ask(WORLD, "github", "label_write", arguments), Reason.ARGUMENTS_REJECTED)


def test_a_selector_named_with_a_letter_that_folds_to_another_is_refused() -> None:
    check_refused(
        ask(WORLD, "stripe", "stripe_api_write", {"\u017ftripe_api_operation_id": "PostRefunds"}),
        Reason.ARGUMENTS_REJECTED,
    )


def test_an_argument_called_method_is_free_where_the_tool_has_no_selector() -> None:
    assert check_call(ask(WORLD, "github", "get_me", {"method": ["anything"]})).selector is None


@pytest.mark.parametrize(
    ("pin", "method", "tier"),
    [
        (ToolPin(WRITE), "add", WRITE),
        (ToolPin(DESTRUCTIVE), "add", DESTRUCTIVE),
        (ToolPin(DESTRUCTIVE), "remove", DESTRUCTIVE),
        (ToolPin(READ), "add", WRITE),
        (ToolPin(READ), "remove", DESTRUCTIVE),
        (ToolPin(READ), "unheard_of", DESTRUCTIVE),
    ],
)
def test_a_raised_tool_raises_its_selectors_and_a_lowered_one_lowers_none(
    pin: ToolPin, method: str, tier: Tier
) -> None:
    world = with_pin("github", "sub_issue_write", pin)
    assert check_call(ask(world, "github", "sub_issue_write", {"method": method})).tier is tier


def test_other_methods_are_reads_named_by_the_method() -> None:
    call = check_call(resolve(WORLD, ADA, "wiki", "", {}, caller_ip="192.0.2.1", method="resources/read"))
    assert (call.method, call.tier, call.action.id) == ("resources/read", READ, "resources/read")
    refusal = resolve(WORLD, ADA, "linear", "", {}, caller_ip="192.0.2.1", method="resources/read")
    check_refused(refusal, Reason.SERVICE_NOT_ENABLED)


def test_the_tier_of_what_cannot_be_called_is_none() -> None:
    assert tool_tier(WORLD, "linear", "get_issue") is None
    assert tool_tier(WORLD, "wiki", "edit") is None
    assert selectors_of(WORLD, "linear", "get_issue") == ()
    assert selectors_of(WORLD, "wiki", "edit") == ()


def test_a_plain_tool_can_be_called_in_one_way() -> None:
    assert selectors_of(WORLD, "github", "push_files") == ((None, WRITE),)


def test_a_multiplexing_tool_can_be_called_in_each_known_way_and_in_unknown_ones() -> None:
    assert selectors_of(WORLD, "github", "label_write") == (
        ("create", WRITE),
        ("update", WRITE),
        ("delete", DESTRUCTIVE),
        (None, DESTRUCTIVE),
    )


def test_a_selector_that_only_a_policy_names_is_a_way_to_call_the_tool() -> None:
    world = with_policy("stripe", "stripe_api_read::GetCharges", "create_refund", "tier:read")
    assert selectors_of(world, "stripe", "stripe_api_read") == (("GetCharges", READ), (None, READ))
    assert selectors_of(world, "stripe", "stripe_api_write") == ((None, DESTRUCTIVE),)


def test_a_policy_of_another_service_adds_no_way() -> None:
    world = with_policy("slack", "stripe_api_read::GetCharges")
    assert selectors_of(world, "stripe", "stripe_api_read") == ((None, READ),)


def test_a_selector_that_a_policy_misspells_is_no_way_to_call_the_tool() -> None:
    world = with_policy("github", "label_write::Delete", "label_write::archive")
    assert [name for name, _ in selectors_of(world, "github", "label_write")] == [
        "create",
        "update",
        "delete",
        "archive",
        None,
    ]


@given(st.sampled_from(["create", "update", "delete", "archive", "other", "Delete", "x y"]))
def test_what_can_be_called_is_among_the_listed_ways(method: str) -> None:
    world = with_policy("github", "label_write::archive")
    resolution = ask(world, "github", "label_write", {"method": method})
    if isinstance(resolution, Call):
        ways = dict(selectors_of(world, "github", "label_write"))
        assert ways.get(method, ways[None]) is resolution.tier


def test_known_tools_are_those_of_the_table_and_of_the_pins() -> None:
    world = replace(WORLD, pins={("wiki", "edit"): ToolPin(READ), ("github", "extra"): ToolPin(None)})
    assert list(known_tools(world, "wiki")) == ["edit"]
    assert "extra" in known_tools(world, "github")
    assert "edit" not in known_tools(world, "github")
    assert len(known_tools(world, "github")) == len(catalog()["github"].tools) + 1
    assert list(known_tools(world, "linear")) == []


def test_a_tool_that_is_in_the_table_and_pinned_is_known_once() -> None:
    world = with_pin("github", "get_me", ToolPin(READ))
    assert len(known_tools(world, "github")) == len(catalog()["github"].tools)
