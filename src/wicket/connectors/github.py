"""What a call of GitHub's tools targets.

Owners and repositories are compared in lower case, since GitHub ignores case; branches are not. A number may be an
issue's or a pull request's: where nobody has told which, the resource is an issue that may be the pull request.
What names a thing by an id of its own (a comment, a thread, a sub-issue) may reach any repository, whatever the
call says beside it.
"""

import re
from collections.abc import Mapping
from typing import Final

from wicket.connectors.arguments import Grammar
from wicket.connectors.knowledge import Mapper, Question
from wicket.core.entities import EntityRef
from wicket.core.errors import Invalid
from wicket.core.model import UNKNOWN_ID, Resource

NAME: Final = Grammar(
    re.compile(r"(?!.*\.[gG][iI][tT]\Z)(?!.*\.\Z)[A-Za-z0-9._-]{1,100}", re.ASCII),
    "letters, digits, `-`, `_` and `.`, without `.git` or a dot at its end",
)
REF: Final = Grammar(
    re.compile(
        r"(?![/.-]|(?i:refs|heads)/)(?!.*(?:\.\.|//|/\.|@\{|\.lock(?:/|\Z)))(?!.*[/.]\Z)[A-Za-z0-9._/#@+=,!()-]{1,255}",
        re.ASCII,
    ),
    "the plain name of a branch or tag, without `refs/heads/`",
)
ORGANIZATION_WIDE: Final = ".github"
"""The repository whose discussions are the owner's."""


def _name(asked: Question, argument: str = "owner") -> str | None:
    said = asked.arguments.text(argument, NAME)
    return None if said is None else said.lower()


def _path(
    asked: Question, owner: str = "owner", repo: str = "repo", *, default: str = UNKNOWN_ID
) -> str | None:
    """`owner/repo`; `owner/?` where the repository is left out, None where both are."""
    owner_name, repo_name = _name(asked, owner), _name(asked, repo)
    if owner_name is None:
        if repo_name is None:
            return None
        raise Invalid(f"`{repo}` is named without `{owner}`", field=owner)
    return f"{owner_name}/{repo_name or default}"


def _number(asked: Question, argument: str = "issue_number") -> str:
    number = asked.arguments.number(argument)
    return UNKNOWN_ID if number is None else str(number)


def _containers(repository: str) -> list[EntityRef]:
    return [EntityRef("Repository", repository), EntityRef("Owner", repository.partition("/")[0])]


def _repository(asked: Question, repository: str | None, *, spans: str | None = None) -> list[Resource]:
    if repository is None:
        return []
    return [asked.known.resource("Repository", repository, _containers(repository)[-1:], spans=spans)]


def _inside(asked: Question, kind: str, mark: str, *, is_new: bool = False) -> list[Resource]:
    """A thing of the repository that the call names."""
    repository = _path(asked)
    if repository is None:
        return []
    return [asked.known.resource(kind, f"{repository}{mark}", _containers(repository), is_new=is_new)]


def _issue(asked: Question, repository: str | None, number: str) -> list[Resource]:
    """The issue, which may be a pull request: both have their numbers from one row."""
    if repository is None:
        return []
    known, mark, above = asked.known, f"{repository}#{number}", _containers(repository)
    if number != UNKNOWN_ID:
        pull_request, issue = known.find("PullRequest", mark), known.find("Issue", mark)
        if pull_request is not None:
            return [known.resource("PullRequest", mark, [*above, EntityRef("Issue", mark)])]
        if issue is not None:
            return [known.resource("Issue", mark, above)]
    twin = EntityRef("PullRequest", UNKNOWN_ID if number == UNKNOWN_ID else mark)
    return [known.resource("Issue", mark, [*above, twin], unsure=("isDraft", "PullRequest"))]


def _pull_request(asked: Question, number: str) -> list[Resource]:
    repository = _path(asked)
    if repository is None:
        return []
    mark = f"{repository}#{number}"
    # A pull request is an issue too, to those who name it as one.
    twin = EntityRef("Issue", UNKNOWN_ID if number == UNKNOWN_ID else mark)
    return [asked.known.resource("PullRequest", mark, [*_containers(repository), twin])]


def _owner(asked: Question, name: str = "owner") -> list[Resource]:
    owner = _name(asked, name)
    return [] if owner is None else [asked.known.resource("Owner", owner)]


def _repository_or_owner(asked: Question) -> list[Resource]:
    return _repository(asked, _path(asked)) if asked.arguments.has("repo") else _owner(asked)


def _repository_or_search(asked: Question) -> list[Resource]:
    return _repository(asked, _path(asked)) or [asked.known.search()]


def _across_organization(asked: Question) -> list[Resource]:
    """Whatever lies in any repository of the organization."""
    owner = _name(asked, "org")
    return [] if owner is None else [asked.known.search(owner, [EntityRef("Owner", owner)])]


def _branch(asked: Question, *, is_new: bool = False) -> list[Resource]:
    branch = asked.arguments.text("branch", REF) or UNKNOWN_ID
    return _inside(asked, "Branch", f"@{branch}", is_new=is_new)


def _issue_write(asked: Question) -> list[Resource]:
    """`create` makes one; a number beside it must be allowed as well, in case the upstream heeds it."""
    made = _inside(asked, "Issue", "#new", is_new=True) if asked.selector == "create" else []
    if made and not asked.arguments.has("issue_number"):
        return made
    return [*made, *_issue(asked, _path(asked), _number(asked))]


def _issue_dependency(asked: Question) -> list[Resource]:
    related = _path(asked, "related_owner", "related_repo") or _path(asked)
    return [
        *_issue(asked, _path(asked), _number(asked)),
        *_issue(asked, related, _number(asked, "related_issue_number")),
    ]


def _sub_issue(asked: Question) -> list[Resource]:
    issue = _issue(asked, _path(asked), _number(asked))
    return [*issue, asked.known.unknown("Issue")] if issue else []


def _review(asked: Question) -> list[Resource]:
    pull_request = _pull_request(asked, _number(asked, "pullNumber"))
    return [*pull_request, *_review_thread(asked)] if asked.arguments.has("threadId") else pull_request


def _review_thread(asked: Question) -> list[Resource]:
    return [asked.known.unknown("PullRequest")]


def _discussion_comment(asked: Question) -> list[Resource]:
    named = _repository(asked, _path(asked))
    return [*named, asked.known.unknown("Repository")] if asked.arguments.has("commentNodeID") else named


def _fork(asked: Question) -> list[Resource]:
    """From the repository, to an owner who is the member where none is named."""
    source = _path(asked)
    if source is None:
        return []
    return [*_repository(asked, source), _new_repository(asked, source.partition("/")[2])]


def _new_repository(asked: Question, name: str) -> Resource:
    owner = _name(asked, "organization") or UNKNOWN_ID
    return asked.known.resource("Repository", f"{owner}/{name}", [EntityRef("Owner", owner)], is_new=True)


def _create_repository(asked: Question) -> list[Resource]:
    return [_new_repository(asked, _name(asked, "name") or UNKNOWN_ID)]


def _project(asked: Question) -> list[Resource]:
    """A board of an owner's, which holds issues and pull requests of any repository; and the item that is named."""
    owner = _name(asked)
    if owner is None:
        return []
    item, board = (
        _path(asked, "item_owner", "item_repo"),
        asked.known.search(owner, [EntityRef("Owner", owner)]),
    )
    if item is None:
        return [board]
    number = "pull_request_number" if asked.arguments.has("pull_request_number") else "issue_number"
    return [board, *_issue(asked, item, _number(asked, number))]


TARGETS: Final[Mapping[str, Mapper]] = {
    "repository": lambda asked: _repository(asked, _path(asked)),
    "owner": _owner,
    "organization": lambda asked: _owner(asked, "org"),
    "organization_search": _across_organization,
    "repository_or_owner": _repository_or_owner,
    "repository_or_search": _repository_or_search,
    "any_repository": lambda asked: [asked.known.unknown("Repository")],
    "new_repository": _create_repository,
    "fork": _fork,
    "branch": _branch,
    "new_branch": lambda asked: _branch(asked, is_new=True),
    "branches": lambda asked: _repository(asked, _path(asked), spans="Branch"),
    "issue": lambda asked: _issue(asked, _path(asked), _number(asked)),
    "new_issue": lambda asked: _inside(asked, "Issue", "#new", is_new=True),
    "issue_write": _issue_write,
    "issue_comment": lambda asked: _issue(asked, _path(asked), UNKNOWN_ID),
    "issue_dependency": _issue_dependency,
    "sub_issue": _sub_issue,
    "issues": lambda asked: _repository(asked, _path(asked), spans="Issue"),
    "pull_request": lambda asked: _pull_request(asked, _number(asked, "pullNumber")),
    "new_pull_request": lambda asked: _inside(asked, "PullRequest", "#new", is_new=True),
    "pull_requests": lambda asked: _repository(asked, _path(asked), spans="PullRequest"),
    "review": _review,
    "review_comment": lambda asked: _pull_request(asked, UNKNOWN_ID),
    "review_thread": _review_thread,
    "release": lambda asked: _inside(asked, "Release", f"@{asked.arguments.text('tag', REF) or UNKNOWN_ID}"),
    "latest_release": lambda asked: _inside(asked, "Release", f"@{UNKNOWN_ID}"),
    "releases": lambda asked: _repository(asked, _path(asked), spans="Release"),
    "discussions": lambda asked: _repository(asked, _path(asked, default=ORGANIZATION_WIDE)),
    "discussion_comment": _discussion_comment,
    "project": _project,
}
"""How the catalog names the ways in which a tool's resources are found."""
TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "Owner": ("owner", "organization", "repository_or_owner"),
    "Repository": (
        "repository", "repository_or_search", "any_repository", "new_repository", "fork", "branches", "issues",
        "pull_requests", "releases", "discussions", "discussion_comment",
    ),
    "Branch": ("branch", "new_branch"),
    "Issue": ("issue", "new_issue", "issue_write", "issue_comment", "issue_dependency", "sub_issue"),
    "PullRequest": ("pull_request", "new_pull_request", "review", "review_comment", "review_thread"),
    "Release": ("release", "latest_release"),
    "": ("organization_search", "project"),
}  # fmt: skip
"""Type -> the targets whose resources are of it; without one: those that look through many."""
