import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.connectors.resolving import call_of, containers, is_rejected, targets
from wicket.connectors import catalog, labels_of
from wicket.connectors.github import NAME, REF
from wicket.core.entities import Entity
from wicket.core.model import Json, JsonObject

HERE: JsonObject = {"owner": "My-Org", "repo": "Site"}
PUBLIC = Entity(
    "Repository", "my-org/site", "site", {"visibility": "public", "archived": False, "topics": ["web", "api"]}
)
PRIVATE = Entity("Repository", "my-org/site", "site", {"visibility": "private"})

BAD_NAMES = [
    "..",
    ".",
    "a..",
    "site.",
    "site.git",
    "Site.GIT",
    "site ",
    " site",
    "site\n",
    "si te",
    "my%2fsite",
    "%73ite",
    "a/b",
    "../x",
    "https://github.com/my-org/site",
    "git@github.com:my-org/site",
    "s\u0456te",
    "site\u200b",
    "\uff53ite",
    "si\u017fte",
    "\u212ait",
    "",
    "x" * 101,
    "site?",
    "site#1",
    "si\\te",
    None,
    1,
    True,
    ["site"],
    {"site": 1},
    1.5,
]
BAD_NUMBERS: list[Json] = [None, 0, -1, "5", "#5", 5.0, 5.5, True, [5], {"n": 5}, 2**53, "5/../6"]
BAD_REFS = [
    "..",
    "a..b",
    "/main",
    "main/",
    "a//b",
    "refs/heads/main",
    "Refs/heads/main",
    "heads/main",
    "main.lock",
    "a.lock/b",
    "main.",
    "main ",
    " main",
    "ma in",
    "ma~in",
    "ma^in",
    "ma:in",
    "ma?in",
    "ma*in",
    "ma[in",
    "ma\\in",
    "main%2f",
    "a@{1}",
    "-main",
    ".main",
    "a/.b",
    "m\u0430in",
    "main\u200b",
    "main\n",
    "",
    None,
    1,
    ["main"],
    {"b": 1},
    "x" * 256,
]


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("get_file_contents", {}, ["Repository my-org/site"]),
        ("get_me", {}, ["Service github"]),
        ("push_files", {"branch": "Main"}, ["Branch my-org/site@Main"]),
        ("push_files", {}, ["Branch my-org/site@?"]),
        ("create_branch", {"branch": "next"}, ["Branch my-org/site@next"]),
        ("issue_read", {"method": "get", "issue_number": 7}, ["Issue my-org/site#7"]),
        ("issue_write", {"method": "create"}, ["Issue my-org/site#new"]),
        (
            "issue_write",
            {"method": "create", "issue_number": 7},
            ["Issue my-org/site#new", "Issue my-org/site#7"],
        ),
        ("issue_write", {"method": "update", "issue_number": 7}, ["Issue my-org/site#7"]),
        ("issue_write", {"issue_number": 7}, ["Issue my-org/site#7"]),
        ("issue_write", {"method": "update"}, ["Issue my-org/site#?"]),
        ("merge_pull_request", {"pullNumber": 7}, ["PullRequest my-org/site#7"]),
        ("merge_pull_request", {}, ["PullRequest my-org/site#?"]),
        ("create_pull_request", {"head": "a", "base": "b"}, ["PullRequest my-org/site#new"]),
        ("pull_request_review_write", {"method": "create", "pullNumber": 7}, ["PullRequest my-org/site#7"]),
        (
            "pull_request_review_write",
            {"method": "resolve_thread", "pullNumber": 7, "threadId": "T"},
            ["PullRequest my-org/site#7", "PullRequest ?"],
        ),
        ("resolve_review_thread", {"threadID": "T"}, ["PullRequest ?"]),
        ("get_release_by_tag", {"tag": "v1.0"}, ["Release my-org/site@v1.0"]),
        ("get_latest_release", {}, ["Release my-org/site@?"]),
        ("fork_repository", {"organization": "Other"}, ["Repository my-org/site", "Repository other/site"]),
        ("fork_repository", {}, ["Repository my-org/site", "Repository ?/site"]),
        (
            "sub_issue_write",
            {"method": "add", "issue_number": 7, "sub_issue_id": 9},
            ["Issue my-org/site#7", "Issue ?"],
        ),
        (
            "issue_dependency_write",
            {
                "method": "add",
                "issue_number": 7,
                "related_owner": "o",
                "related_repo": "r",
                "related_issue_number": 8,
            },
            ["Issue my-org/site#7", "Issue o/r#8"],
        ),
        (
            "issue_dependency_write",
            {"method": "add", "issue_number": 7, "related_issue_number": 7},
            ["Issue my-org/site#7"],
        ),
        ("discussion_comment_write", {"method": "add", "discussionNumber": 1}, ["Repository my-org/site"]),
        (
            "discussion_comment_write",
            {"method": "delete", "commentNodeID": "N"},
            ["Repository my-org/site", "Repository ?"],
        ),
        ("search_issues", {"query": "x"}, ["Search github"]),
        ("list_notifications", {}, ["Repository my-org/site"]),
        ("add_issue_comment_reaction", {"comment_id": 1}, ["Issue my-org/site#?"]),
        ("projects_list", {"method": "list_project_items", "project_number": 1}, ["Search my-org"]),
        (
            "projects_write",
            {"method": "add_project_item", "item_owner": "o", "item_repo": "R", "issue_number": 3},
            ["Search my-org", "Issue o/r#3"],
        ),
    ],
)
def test_a_call_targets_what_it_names(tool: str, arguments: JsonObject, expected: list[str]) -> None:
    assert targets(call_of("github", tool, HERE | arguments)) == expected


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("get_file_contents", {}, ["Service github"]),
        ("get_file_contents", {"owner": "O"}, ["Repository o/?"]),
        ("list_discussions", {"owner": "O"}, ["Repository o/.github"]),
        ("list_issue_types", {"owner": "O"}, ["Owner o"]),
        ("get_team_members", {"org": "O", "team_slug": "t"}, ["Owner o"]),
        ("list_org_repository_security_advisories", {"org": "O"}, ["Search o"]),
        ("list_notifications", {}, ["Search github"]),
        ("create_repository", {"organization": "O", "name": "New"}, ["Repository o/new"]),
        ("create_repository", {"name": "New"}, ["Repository ?/new"]),
        ("dismiss_notification", {"threadID": "1", "state": "read"}, ["Repository ?"]),
    ],
)
def test_what_is_left_out_is_unknown(tool: str, arguments: JsonObject, expected: list[str]) -> None:
    assert targets(call_of("github", tool, arguments)) == expected


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("argument", ["owner", "repo"])
def test_a_name_of_another_spelling_is_refused(argument: str, name: Json) -> None:
    assert is_rejected("github", "get_file_contents", HERE | {argument: name})
    assert is_rejected("github", "fork_repository", HERE | {"organization": name})


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_a_number_of_another_spelling_is_refused(number: Json) -> None:
    assert is_rejected("github", "issue_read", HERE | {"method": "get", "issue_number": number})
    assert is_rejected("github", "merge_pull_request", HERE | {"pullNumber": number})


@pytest.mark.parametrize("ref", BAD_REFS)
def test_a_branch_or_tag_of_another_spelling_is_refused(ref: Json) -> None:
    assert is_rejected("github", "push_files", HERE | {"branch": ref})
    assert is_rejected("github", "get_release_by_tag", HERE | {"tag": ref})


@pytest.mark.parametrize("other", ["Owner", "OWNER", "oWner"])
def test_a_parameter_in_two_places_is_refused(other: str) -> None:
    assert is_rejected("github", "get_file_contents", HERE | {other: "evil"})
    assert is_rejected("github", "get_file_contents", {other: "my-org", "repo": "site"})


def test_a_look_alike_of_a_parameters_name_is_refused() -> None:
    assert is_rejected("github", "list_issues", HERE | {"i\u017fsue_number": 1}) is False
    assert is_rejected("github", "issue_read", HERE | {"method": "get", "i\u017fsue_number": 1})


def test_a_repository_without_its_owner_is_refused() -> None:
    assert is_rejected("github", "get_file_contents", {"repo": "site"})


def test_case_decides_nothing_and_what_was_said_is_forwarded() -> None:
    loud = call_of("github", "get_file_contents", {"owner": "MY-ORG", "repo": "SITE"})
    quiet = call_of("github", "get_file_contents", {"owner": "my-org", "repo": "site"})
    assert loud.resources == quiet.resources
    assert loud.arguments == {"owner": "MY-ORG", "repo": "SITE"}


def test_what_lies_in_a_repository_has_its_attributes() -> None:
    pull_request = Entity(
        "PullRequest", "my-org/site#7", "", {"isDraft": True, "labels": ["b", "a", "a"], "locked": "no"}
    )
    resource = call_of(
        "github", "merge_pull_request", HERE | {"pullNumber": 7}, PUBLIC, pull_request
    ).resources[0]
    assert resource.attributes == {
        "visibility": "public",
        "archived": False,
        "topics": ["api", "web"],
        "isDraft": True,
        "labels": ["a", "b"],
    }
    assert resource.unknown == {"issueState", "locked"}


def test_nothing_is_known_of_what_nobody_has_told() -> None:
    resource = call_of("github", "push_files", HERE | {"branch": "main"}).resources[0]
    assert resource.attributes == {}
    assert resource.unknown == {"visibility", "archived", "topics", "isDefaultBranch", "isProtected"}


def test_what_a_call_makes_has_no_attributes_of_its_own_yet() -> None:
    resource = call_of("github", "create_branch", HERE | {"branch": "next"}, PUBLIC).resources[0]
    assert resource.unknown == frozenset()
    assert "isProtected" not in resource.attributes


def test_a_number_may_be_a_pull_requests_until_somebody_has_told() -> None:
    arguments = HERE | {"issue_number": 7}
    unsure = call_of("github", "add_issue_comment", arguments)
    assert containers(unsure) == ["Repository my-org/site", "Owner my-org", "PullRequest my-org/site#7"]
    assert {"isDraft", "PullRequest"} <= unsure.resources[0].unknown
    issue = call_of("github", "add_issue_comment", arguments, Entity("Issue", "my-org/site#7", "", {}))
    assert issue.resources[0].unknown.isdisjoint({"isDraft", "PullRequest"})
    pull = call_of("github", "add_issue_comment", arguments, Entity("PullRequest", "my-org/site#7", "", {}))
    assert targets(pull) == ["PullRequest my-org/site#7"]


def test_an_unknown_branch_lies_in_a_known_repository() -> None:
    assert containers(call_of("github", "push_files", HERE)) == [
        "Branch ?",
        "Repository my-org/site",
        "Owner my-org",
    ]


def test_a_list_goes_through_what_nobody_has_told() -> None:
    call = call_of("github", "list_issues", HERE, PUBLIC)
    assert containers(call) == ["Owner my-org", "Issue ?"]
    assert call.resources[0].unknown == {"issueState", "labels", "locked"}


def test_a_search_may_touch_anything() -> None:
    call = call_of("github", "search_code", {"query": "repo:my-org/site x"})
    assert set(containers(call)) == {f"{kind} ?" for kind in catalog()["github"].resource_types}
    everything = {a for kind in catalog()["github"].resource_types.values() for a in kind.attributes}
    assert call.resources[0].unknown == everything


@pytest.mark.parametrize(
    ("tool", "arguments", "entities", "labels"),
    [
        ("get_file_contents", HERE, [PUBLIC], set()),
        ("get_file_contents", HERE, [PRIVATE], {"github:private"}),
        ("get_file_contents", HERE, [], {"github:private"}),
        ("issue_read", HERE | {"method": "get", "issue_number": 1}, [PRIVATE], {"github:private"}),
        ("search_code", {"query": "x"}, [PUBLIC], {"github:private"}),
        ("get_me", {}, [], set()),
        ("list_issue_types", {"owner": "o"}, [], set()),
        ("create_repository", {"name": "x"}, [], set()),
    ],
)
def test_a_session_remembers_what_was_not_known_to_be_public(
    tool: str, arguments: JsonObject, entities: list[Entity], labels: set[str]
) -> None:
    assert labels_of(call_of("github", tool, arguments, *entities)) == labels


@given(st.text(max_size=30))
def test_no_name_outside_the_grammar_gets_through(name: str) -> None:
    plain = re.fullmatch("[A-Za-z0-9._-]{1,100}", name) is not None
    good = plain and not name.endswith(".") and not name.lower().endswith(".git")
    assert is_rejected("github", "get_file_contents", {"owner": "o", "repo": name}) is not good
    assert (NAME.pattern.fullmatch(name) is not None) is good


@given(st.text(st.sampled_from("ab/.@{#~^: \\%?*[\u0430-"), min_size=1, max_size=12))
def test_no_branch_gets_through_that_has_a_second_reading(name: str) -> None:
    if REF.pattern.fullmatch(name) is not None:
        assert not any(
            bad in name for bad in ("..", "//", "@{", "~", "^", ":", " ", "\\", "%", "?", "*", "[")
        )
        assert name.isascii()
        assert name[0] not in "/.-"
        assert name[-1] not in "/."
        assert targets(call_of("github", "push_files", HERE | {"branch": name})) == [
            f"Branch my-org/site@{name}"
        ]
    else:
        assert is_rejected("github", "push_files", HERE | {"branch": name})


def test_every_tool_has_a_target_or_is_known_to_have_none() -> None:
    none = {name for name, tool in catalog()["github"].tools.items() if not tool.target}
    assert none == {
        "get_me",
        "create_gist",
        "get_gist",
        "list_gists",
        "update_gist",
        "get_global_security_advisory",
        "list_global_security_advisories",
        "github_support_docs_search",
    }
