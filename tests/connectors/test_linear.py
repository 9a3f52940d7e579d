import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.connectors.resolving import call_of, containers, is_rejected, targets
from wicket.connectors import catalog
from wicket.connectors.linear import ISSUE, NAME
from wicket.core.entities import Entity, EntityRef
from wicket.core.model import Json, JsonObject

ENG, OPS, APP = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")
ENGINEERING = Entity("Team", ENG, "Engineering", {"teamKey": "ENG"})
OPERATIONS = Entity("Team", OPS, "Operations", {"teamKey": "OPS"})
PROJECT = Entity("Project", APP, "The app", {}, (EntityRef("Team", ENG),))
MOVED = Entity(
    "Issue",
    "ENG-1",
    "",
    {"stateType": "started", "priority": 2},
    (EntityRef("Team", OPS), EntityRef("Project", APP)),
)
ALL_OF_THEM = (ENGINEERING, OPERATIONS, PROJECT, MOVED)

BAD_NAMES: list[Json] = [
    "",
    " Engineering",
    "Engineering ",
    "https://linear.app/x/team/ENG",
    "En%67",
    "Engineer\u0456ng",
    "ENG\u200b",
    "ENG\n",
    "x" * 256,
    None,
    1,
    True,
    ["ENG"],
    {"id": "ENG"},
]
BAD_ISSUES: list[Json] = [
    "",
    "ENG",
    "ENG-",
    "ENG-0",
    "ENG-01",
    "ENG--1",
    "ENG-1 ",
    " ENG-1",
    "ENG-1/../2",
    "https://linear.app/x/issue/ENG-1",
    "ENG-%31",
    "\u0395NG-1",
    "ENG-\u0661",
    "#1",
    None,
    1,
    ["ENG-1"],
    "ENG-1\n",
    "1-1",
]


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("get_issue", {"id": "ENG-1"}, ["Issue ENG-1"]),
        ("get_issue", {"id": "eng-1"}, ["Issue ENG-1"]),
        ("get_issue", {}, ["Service linear"]),
        ("list_issues", {"team": "Engineering"}, [f"Team {ENG}"]),
        ("list_issues", {"team": "eng"}, [f"Team {ENG}"]),
        ("list_issues", {"team": "ENGINEERING"}, [f"Team {ENG}"]),
        ("list_issues", {"team": OPS.upper()}, [f"Team {OPS}"]),
        ("list_issues", {"team": "Nobody"}, ["Team ?"]),
        ("list_issues", {"team": "eng", "project": "the app"}, [f"Project {APP}", f"Team {ENG}"]),
        ("list_issues", {}, ["Search linear"]),
        ("save_issue", {"title": "x", "team": "ENG"}, ["Issue new"]),
        ("save_issue", {"id": "ENG-1", "team": "OPS"}, ["Issue ENG-1", f"Team {OPS}"]),
        ("save_issue", {"id": "ENG-1", "parentId": "OPS-2"}, ["Issue ENG-1", "Issue OPS-2"]),
        ("save_comment", {"issueId": "ENG-1", "body": "x"}, ["Issue ENG-1"]),
        ("save_comment", {"id": "c", "body": "x"}, ["Issue ?"]),
        ("delete_comment", {"id": "c"}, ["Issue ?"]),
        ("save_project", {"name": "x", "team": "ENG"}, ["Project new"]),
        ("save_project", {"id": APP, "team": "OPS"}, [f"Project {APP}", f"Team {OPS}"]),
        ("save_document", {"id": "d", "project": APP}, [f"Project {APP}", "Project ?"]),
        ("get_workspace", {}, ["Service linear"]),
    ],
)
def test_a_call_targets_what_it_names(tool: str, arguments: JsonObject, expected: list[str]) -> None:
    assert targets(call_of("linear", tool, arguments, *ALL_OF_THEM)) == expected


def test_a_name_becomes_the_id_that_is_forwarded() -> None:
    call = call_of("linear", "list_issues", {"team": "Engineering", "limit": 5}, *ALL_OF_THEM)
    assert call.arguments == {"team": ENG, "limit": 5}


def test_a_name_that_nobody_knows_is_forwarded_as_it_is() -> None:
    assert call_of("linear", "list_issues", {"team": "Nobody"}, *ALL_OF_THEM).arguments == {"team": "Nobody"}


def test_a_name_of_two_teams_is_neither_of_them() -> None:
    twin = Entity("Team", APP, "engineering", {})
    assert targets(call_of("linear", "list_issues", {"team": "Engineering"}, ENGINEERING, twin)) == ["Team ?"]


@pytest.mark.parametrize(
    ("issue", "entities", "expected"),
    [
        ("ENG-2", ALL_OF_THEM, ["Project ?", f"Team {ENG}"]),
        ("ENG-1", ALL_OF_THEM, [f"Project {APP}", f"Team {OPS}"]),
        ("SEC-1", ALL_OF_THEM, ["Project ?", "Team ?"]),
        ("ENG-2", (), ["Project ?", "Team ?"]),
        (APP, ALL_OF_THEM, ["Project ?", "Team ?"]),
    ],
)
def test_an_issue_lies_where_the_entities_say_or_where_its_key_does(
    issue: str, entities: tuple[Entity, ...], expected: list[str]
) -> None:
    assert containers(call_of("linear", "get_issue", {"id": issue}, *entities)) == expected


def test_an_issue_has_the_attributes_that_were_told() -> None:
    resource = call_of("linear", "get_issue", {"id": "ENG-1"}, *ALL_OF_THEM).resources[0]
    assert resource.attributes == {"stateType": "started", "priority": 2, "teamKey": "OPS"}
    assert resource.unknown == {"labels", "labelIds"}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_team_or_project_of_another_spelling_is_refused(name: Json) -> None:
    assert is_rejected("linear", "list_issues", {"team": name})
    assert is_rejected("linear", "list_issues", {"project": name})


@pytest.mark.parametrize("issue", BAD_ISSUES)
def test_an_issue_of_another_spelling_is_refused(issue: Json) -> None:
    assert is_rejected("linear", "get_issue", {"id": issue})
    assert is_rejected("linear", "list_comments", {"issueId": issue})


@pytest.mark.parametrize("other", ["Team", "TEAM"])
def test_a_parameter_in_two_places_is_refused(other: str) -> None:
    assert is_rejected("linear", "list_issues", {"team": "ENG", other: "OPS"})
    assert is_rejected("linear", "list_issues", {other: "OPS"})


@given(st.text(max_size=20))
def test_nothing_outside_the_grammars_gets_through(text: str) -> None:
    assert is_rejected("linear", "list_issues", {"team": text}) is (NAME.pattern.fullmatch(text) is None)
    assert is_rejected("linear", "get_issue", {"id": text}) is (ISSUE.pattern.fullmatch(text) is None)
    if NAME.pattern.fullmatch(text) is not None:
        assert text.isascii()
        assert text.isprintable()
        assert text == text.strip()
        assert "//" not in text


def test_every_tool_has_a_target_or_is_known_to_have_none() -> None:
    none = {name for name, tool in catalog()["linear"].tools.items() if not tool.target}
    assert none == {
        "get_agent_skill",
        "get_user",
        "get_workspace",
        "get_template",
        "list_agent_skills",
        "list_initiative_labels",
        "list_project_labels",
        "list_templates",
        "search_documentation",
        "save_customer",
        "save_customer_need",
        "save_project_label",
        "create_initiative_label",
        "restore_project_label",
        "delete_customer",
        "delete_customer_need",
        "retire_project_label",
    }
