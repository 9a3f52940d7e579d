"""Every operation against every kind of caller: what is answered follows from the guard that its route states."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from tests.api.callers import UNKNOWN, Caller, Operation, Scene, every_operation, made_up, set_scene
from tests.api.people import Instance
from tests.databases import Location
from wicket.api.guards import GUARD, OPEN, Guard, by
from wicket.api.http import GuardedRoute, SessionRoute, StrictRoute

Refusal = tuple[int, str]

ABOUT = {"/api/openapi.json", "/api/docs", "/api/docs.css"}
"""About the API, and no part of it: anybody may read it."""
NOT_REACHED = {"invalid", "unsupported_media_type", "not_found", "method_not_allowed", "internal_error"}
OWN_NOTHING = {"join_agent"}
"""What is named in the body is made up: it is not found by those who are let in either."""
ROLES = (Caller.STRANGER, Caller.PENDING, Caller.MEMBER)


@pytest.fixture
async def scene(wicket: Instance, location: Location) -> Scene:
    return await set_scene(wicket, location)


def refusal_of(operation: Operation, caller: Caller) -> Refusal | None:
    """What the guard alone says; None is let in."""
    guard = operation.guard
    if guard in OPEN:
        return None
    if guard is Guard.SESSION:
        return by_session_only(operation, caller)
    if caller is Caller.NOBODY or caller in UNKNOWN:
        return 401, "unauthenticated"
    if caller is Caller.READ_TOKEN and not operation.reads:
        return 403, "insufficient_scope"
    if caller in {Caller.SESSION_WITHOUT_CSRF, Caller.SESSION_OF_FOREIGN_PAGE} and not operation.reads:
        return 403, "csrf_failed"
    if caller is Caller.SESSION_OWING:
        return 403, "mfa_required"
    return by_role(operation, caller) if caller in ROLES else None


def by_session_only(operation: Operation, caller: Caller) -> Refusal | None:
    match caller:
        case Caller.NOBODY:
            return 401, "unauthenticated"
        case Caller.SESSION | Caller.SESSION_OWING:
            return None
        case Caller.SESSION_WITHOUT_CSRF | Caller.SESSION_OF_FOREIGN_PAGE:
            return None if operation.reads else (403, "csrf_failed")
        case _:
            return 403, "session_required"


def by_role(operation: Operation, caller: Caller) -> Refusal | None:
    """What an account is told that does not own the agent."""
    hidden = (404, "not_found")
    is_stranger = caller is Caller.STRANGER
    match operation.guard:
        case Guard.ACCOUNT:
            return hidden if set(operation.names) & OBJECTS else None
        case Guard.MEMBER | Guard.SELF | Guard.SELF_OR_OWNER:
            return hidden if is_stranger else None
        case Guard.APPROVED if caller is Caller.PENDING:
            return 403, "member_not_approved"
        case Guard.APPROVED:
            return hidden if is_stranger else None
        case _:
            is_told = "agentId" in operation.names and "memberId" not in operation.names
            return (403, "owner_only") if is_told and not is_stranger else hidden


OBJECTS = {"tokenId", "sessionId", "entryId", "key"}
"""What an account owns by itself."""
OF_GUARDS = {
    "insufficient_scope",
    "csrf_failed",
    "mfa_required",
    "session_required",
    "owner_only",
    "self_only",
}


SITE = {caller: {"csrf_failed"} if caller is Caller.SESSION_OF_FOREIGN_PAGE else set() for caller in Caller}
"""Nobody is signed in by a foreign page either, though anybody may sign in."""


def code_of(answer: Any) -> str:
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return str(answer.json()["code"]) if is_problem else ""


@pytest.mark.promise("P15")
async def test_every_route_answers_every_kind_of_caller_as_its_guard_says(
    wicket: Instance, scene: Scene
) -> None:
    wrong: list[tuple[object, ...]] = []
    for operation in every_operation(wicket):
        refusals = {caller: refusal_of(operation, caller) for caller in Caller}
        before = await wicket.database.revision(scene.agent_id)
        for caller, refusal in refusals.items():
            if refusal is not None and (told := await told_to(scene, operation, caller)) != refusal:
                wrong.append((operation.id, caller, told, refusal))
        assert await wicket.database.revision(scene.agent_id) == before, operation.id
        let_in = [caller for caller, refusal in refusals.items() if refusal is None]
        answers = {caller: await told_to(scene, operation, caller) for caller in let_in}
        wrong += [
            (operation.id, caller, told, "let in")
            for caller, told in answers.items()
            if told[0] == 401 or told[1] in OF_GUARDS - SITE[caller]
        ]
        # The first who is let in finds everything; what ends something ends it for who comes after.
        if operation.id not in OWN_NOTHING and answers[let_in[0]][1] in NOT_REACHED:
            wrong.append((operation.id, let_in[0], answers[let_in[0]], "found, and taken as it is shown"))
    assert not wrong, wrong


async def told_to(scene: Scene, operation: Operation, caller: Caller) -> Refusal:
    answer = await scene.ask(operation, caller, scene.ids_for(operation, caller))
    return answer.status_code, code_of(answer)


@pytest.mark.promise("P15")
async def test_nobody_is_told_what_is_wrong_with_a_request(wicket: Instance) -> None:
    """Who asks comes before everything else about a request."""
    ids = {name: made_up(name) for operation in every_operation(wicket) for name in operation.names}
    async with wicket.client() as anonymous:
        for operation in every_operation(wicket):
            if operation.guard in OPEN:
                continue
            answer = await anonymous.request(
                operation.method.upper(),
                operation.url(ids) + "?nonsense=1",
                content=b"{",
                headers={"Content-Type": "text/plain"},
            )
            assert (answer.status_code, code_of(answer)) == (401, "unauthenticated"), operation.id
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.promise("P15")
async def test_the_membership_of_somebody_else_is_the_owners_to_see_and_nobodys_to_use(
    wicket: Instance, scene: Scene
) -> None:
    for operation in every_operation(wicket):
        if operation.guard not in {Guard.SELF, Guard.SELF_OR_OWNER}:
            continue
        others = scene.ids | {"memberId": scene.other_member}
        for caller in ROLES:
            answer = await scene.ask(operation, caller, others)
            assert (answer.status_code, code_of(answer)) == (404, "not_found"), (operation.id, caller)
        answer = await scene.ask(operation, Caller.OWNER, others)
        if operation.guard is Guard.SELF:
            assert (answer.status_code, code_of(answer)) == (403, "self_only"), operation.id
        else:
            assert answer.status_code < 300, (operation.id, answer.text)


@pytest.mark.promise("P15")
async def test_ids_of_others_are_answered_like_ids_of_nothing(wicket: Instance, scene: Scene) -> None:
    """In paths, queries and bodies: by a stranger to the agent, and by the owner of another one."""
    compared = 0
    for operation in every_operation(wicket):
        for real in foreign_ids(scene, operation):
            unreal = {name: made_up(name) if real[name] == scene.ids[name] else real[name] for name in real}
            told = [await told_by(scene, operation, ids) for ids in (real, unreal)]
            assert told[0] == told[1], operation.id
            assert told[0][0] == 404 or not operation.names, (operation.id, told[0])
            compared += 1
    assert compared >= 50


def foreign_ids(scene: Scene, operation: Operation) -> Iterator[dict[str, str]]:
    """The owner's ids, and the same below an agent that is the stranger's own."""
    in_body = {name for name in operation.body or {} if name.endswith("Id")}
    named = {*operation.names, *operation.asked, *in_body} & scene.ids.keys() - {"service", "tool", "version"}
    if not named or operation.guard in OPEN:
        return
    theirs = {name: scene.ids[name] for name in named}
    yield theirs
    if "agentId" in named and len(named) > 1:
        yield theirs | {"agentId": scene.strangers_agent}


async def told_by(scene: Scene, operation: Operation, ids: dict[str, str]) -> tuple[int, str]:
    """Status and body, without the ids that were asked for."""
    query = {name: ids[name] for name in operation.asked & ids.keys()}
    body = operation.body
    if body is not None:
        body |= {name: ids[name] for name in body.keys() & ids.keys() if name.endswith("Id")}
    answer = await scene.ask(operation, Caller.STRANGER, {**scene.ids, **ids}, body=body, query=query)
    text = answer.text
    for value in sorted({*ids.values(), *scene.ids.values()}, key=len, reverse=True):
        text = text.replace(value, "...")
    return answer.status_code, text


def routes_of(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        below = getattr(getattr(route, "original_router", route), "routes", None)
        if below is None:
            yield route
        else:
            yield from routes_of(below)


async def test_the_description_leaves_no_route_out(wicket: Instance) -> None:
    served = {
        (method.lower(), route.path)
        for route in routes_of(wicket.api.routes)
        if isinstance(route, Route) and route.path not in ABOUT
        for method in route.methods or ()
    }
    described = {(one.method, one.path) for one in every_operation(wicket)}
    assert served - {(method, path) for method, path in served if method == "head"} == described


async def test_every_route_is_of_a_class_that_checks_its_guard(wicket: Instance) -> None:
    for route in routes_of(wicket.api.routes):
        if isinstance(route, Route) and route.path in ABOUT:
            continue
        assert isinstance(route, StrictRoute), route
        assert (route.openapi_extra or {})[GUARD] in route.guards


@pytest.mark.parametrize("kind", [StrictRoute, GuardedRoute, SessionRoute])
def test_a_route_that_does_not_say_who_may_ask_cannot_be_added(kind: type[APIRoute]) -> None:
    router = APIRouter(route_class=kind)
    with pytest.raises(ValueError, match="has guard `None`"):
        router.get("/api/secrets")(str)


def test_a_route_cannot_say_what_its_class_does_not_check() -> None:
    open_one, guarded = APIRouter(route_class=StrictRoute), APIRouter(route_class=GuardedRoute)
    with pytest.raises(ValueError, match="has guard `owner`"):
        open_one.get("/api/secrets", **by(Guard.OWNER))(str)
    with pytest.raises(ValueError, match="has guard `public`"):
        guarded.get("/api/secrets", **by(Guard.PUBLIC))(str)


def test_a_route_cannot_name_a_code_that_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="made_up"):
        by(Guard.OWNER, "made_up")
