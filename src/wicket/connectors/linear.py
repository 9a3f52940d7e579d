"""What a call of Linear's tools targets: teams, projects and issues, by id.

Linear takes teams and projects by id, name or (teams) key. A name that the entities know, and know once, becomes
the id, which is what is forwarded; any other means an unknown one. An issue's identifier (`ENG-123`) begins with
the key of its team; where the entities know the issue, they say in which team and project it lies.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from wicket.connectors.arguments import Grammar
from wicket.connectors.knowledge import Mapper, Question
from wicket.core.entities import Entity, EntityRef
from wicket.core.model import UNKNOWN_ID, Resource

UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
NAME: Final = Grammar(
    re.compile(r"(?! )(?!.* \Z)(?!.*//)(?!.*%[0-9A-Fa-f]{2})[ -~]{1,255}", re.ASCII),
    "an id, a key or a plain name: printable ASCII, no URL, no space at its ends",
)
ISSUE: Final = Grammar(
    re.compile(rf"[A-Za-z][A-Za-z0-9]{{0,9}}-[1-9][0-9]{{0,9}}|{UUID.pattern}", re.ASCII),
    "an identifier such as `ENG-123`, or a UUID",
)
TEAM, PROJECT, ISSUES = "Team", "Project", "Issue"


def _named(asked: Question, kind: str, argument: str) -> str | None:
    """The id of the team or project that an argument names, which is forwarded from now on; None: it names none."""
    said = asked.arguments.text(argument, NAME)
    if said is None:
        return None
    if UUID.fullmatch(said):
        found = said.lower()
    else:
        meant = {one.id for one in asked.known.all_of(kind) if said.casefold() in _names(one)}
        if len(meant) != 1:
            return UNKNOWN_ID
        found = meant.pop()
    if found != said:
        asked.arguments.replaced[argument] = found
    return found


def _names(entity: Entity) -> set[str]:
    key = entity.attributes.get("teamKey")
    return {entity.id.casefold(), entity.name.casefold(), *([key.casefold()] if isinstance(key, str) else [])}


def _team(asked: Question, argument: str = "team", *, spans: str | None = None) -> list[Resource]:
    team = _named(asked, TEAM, argument)
    return [] if team is None else [asked.known.resource(TEAM, team, spans=spans)]


def _project(asked: Question, argument: str = "project", *, spans: str | None = None) -> list[Resource]:
    project = _named(asked, PROJECT, argument)
    return [] if project is None else [_project_by_id(asked, project, spans=spans)]


def _project_by_id(asked: Question, project: str, *, spans: str | None = None) -> Resource:
    entity = asked.known.find(PROJECT, project) if project != UNKNOWN_ID else None
    return asked.known.resource(PROJECT, project, _parents(entity, TEAM), spans=spans)


def _parents(entity: Entity | None, *kinds: str) -> list[EntityRef]:
    """The containers that are told of each kind, or else an unknown one of it."""
    told = () if entity is None else entity.parents
    return [
        ref
        for kind in kinds
        for ref in ([one for one in told if one.type == kind] or [EntityRef(kind, UNKNOWN_ID)])
    ]


def _issue(asked: Question, argument: str = "id") -> list[Resource]:
    said = asked.arguments.text(argument, ISSUE)
    if said is None:
        return []
    issue = said.lower() if UUID.fullmatch(said) else said.upper()
    entity = asked.known.find(ISSUES, issue)
    if entity is not None:
        return [asked.known.resource(ISSUES, issue, _parents(entity, PROJECT, TEAM))]
    key = issue.partition("-")[0].casefold()
    teams = [
        one.id
        for one in (() if UUID.fullmatch(said) else asked.known.all_of(TEAM))
        if str(one.attributes.get("teamKey")).casefold() == key
    ]
    team = teams[0] if len(teams) == 1 else UNKNOWN_ID
    above = [EntityRef(PROJECT, UNKNOWN_ID), EntityRef(TEAM, team)]
    return [asked.known.resource(ISSUES, issue, above)]


def _save_issue(asked: Question) -> list[Resource]:
    """A new issue in its team and project; or a known one, and where it is moved to."""
    parent = _issue(asked, "parentId")
    if asked.arguments.has("id"):
        return [*_issue(asked), *_team(asked), *_project(asked), *parent]
    team, project = _named(asked, TEAM, "team"), _named(asked, PROJECT, "project")
    if team is None and project is None:
        return parent
    above = [EntityRef(PROJECT, project or UNKNOWN_ID), EntityRef(TEAM, team or UNKNOWN_ID)]
    made = asked.known.resource(ISSUES, "new", above[project is None :], is_new=True)
    return [made, *parent]


def _save_project(asked: Question) -> list[Resource]:
    if asked.arguments.has("id"):
        return [*_project(asked, "id"), *_team(asked)]
    team = _named(asked, TEAM, "team")
    return (
        [] if team is None else [asked.known.resource(PROJECT, "new", [EntityRef(TEAM, team)], is_new=True)]
    )


def _any(asked: Question, kind: str) -> Resource:
    return asked.known.unknown(kind)


def _comment(asked: Question) -> list[Resource]:
    """On an issue or a project; of anything else, and by an id of its own, nobody knows where it lies."""
    named = [*_issue(asked, "issueId"), *_project(asked, "projectId")]
    elsewhere = ("id", "documentId", "initiativeId", "milestoneId", "statusUpdateId")
    if not named or any(asked.arguments.has(name) for name in elsewhere):
        return [*named, _any(asked, ISSUES)]
    return named


def _by_own_id(*found: Callable[[Question], list[Resource]]) -> Mapper:
    """What has an id of its own may lie in any project; what else the call names must be allowed as well."""

    def find(asked: Question) -> list[Resource]:
        named = [resource for one in found for resource in one(asked)]
        return [*named, _any(asked, PROJECT)] if asked.arguments.has("id") or not named else named

    return find


def _listing(asked: Question) -> list[Resource]:
    """The issues of a team, of a project, or of everything."""
    named = [*_project(asked, spans=ISSUES), *_team(asked, spans=ISSUES)]
    return named or [asked.known.search()]


def _or_search(find: Callable[[Question], list[Resource]]) -> Mapper:
    return lambda asked: find(asked) or [asked.known.search()]


TARGETS: Final[Mapping[str, Mapper]] = {
    "issue": _issue,
    "issue_by_issue": lambda asked: _issue(asked, "issue"),
    "issue_by_issue_id": lambda asked: _issue(asked, "issueId"),
    "save_issue": _save_issue,
    "issues": _listing,
    "any_issue": lambda asked: [_any(asked, ISSUES)],
    "team": _team,
    "team_by_query": lambda asked: _team(asked, "query"),
    "team_by_id": lambda asked: _team(asked, "teamId"),
    "team_or_search": _or_search(_team),
    "projects": _or_search(lambda asked: _team(asked, spans=PROJECT)),
    "project": _project,
    "project_by_query": lambda asked: _project(asked, "query"),
    "project_or_search": _or_search(_project),
    "save_project": _save_project,
    "any_project": lambda asked: [_any(asked, PROJECT)],
    "comment": _comment,
    "in_project": _by_own_id(_project),
    "document": _by_own_id(_project, lambda asked: _issue(asked, "issue")),
    "label": lambda asked: [*_team(asked), *([_any(asked, TEAM)] if asked.arguments.has("id") else [])],
    "any_team": lambda asked: [_any(asked, TEAM)],
}
"""How the catalog names the ways in which a tool's resources are found."""
TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    TEAM: ("team", "team_by_query", "team_by_id", "team_or_search", "projects", "label", "any_team"),
    PROJECT: (
        "project", "project_by_query", "project_or_search", "save_project", "any_project", "in_project", "document",
    ),
    ISSUES: ("issue", "issue_by_issue", "issue_by_issue_id", "save_issue", "any_issue", "comment"),
    "": ("issues",),
}  # fmt: skip
"""Type -> the targets whose resources are of it as a rule; without one: those that look through many."""
