"""The description of the API, OpenAPI 3.1: what FastAPI reads from signatures, and what only we know.

Beside shapes it says of each operation who may ask, with what, and which problems may come back, code by code.
"""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from wicket.api import shapes
from wicket.api.cookies import CSRF_HEADER
from wicket.api.examples import BODIES
from wicket.api.guards import GUARD, OPEN, OWN_CODES, SCOPE, Guard
from wicket.api.idempotency import CODES as IDEMPOTENCY_CODES
from wicket.api.idempotency import HEADER as IDEMPOTENCY_HEADER
from wicket.api.models import Problem
from wicket.api.problems import MEDIA_TYPE
from wicket.api.shapes import tidy
from wicket.core.codes import CODES

METHODS: Final = ("get", "put", "post", "delete")
REFERENCE: Final = "#/components/{}/{}"
RETRYABLE: Final = frozenset({429, 503})

Required = dict[str, list[str]]
TOKEN: Final[Required] = {"token": []}
SESSION_READS: Final[Required] = {"session": []}
SESSION_CHANGES: Final[Required] = {"session": [], "csrf": []}
SCHEMES: Final[Mapping[str, Mapping[str, str]]] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A personal API token, `wkt_...`: scope `read` to read, `write` for everything else",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-wicket_session",
        "description": "A dashboard session. Where the instance is served by plain http on loopback, the cookie is"
        " `wicket_session`",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "With a session, every change needs the `csrfToken` of `/api/auth/status`",
    },
    "metrics": {
        "type": "http",
        "scheme": "bearer",
        "description": "The instance's metrics token, where it has one",
    },
}
REPEATABLE: Final = {
    "name": IDEMPOTENCY_HEADER,
    "in": "header",
    "required": False,
    "description": "Send a request again with the same key, within a day, and get the first answer",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
ABOUT: Final = """\
JSON in and out, camelCase; instants are ISO 8601 in UTC, ids are UUIDs. A list is `{items, nextCursor, total?}`.
Every failure is `application/problem+json` (RFC 9457) with a stable `code`. What one may not know of is 404.

Before an operation is even looked for, any request may be answered 400 `bad_request` (no HTTP as it may be sent
here), 404 `not_found`, 405 `method_not_allowed`, 408 `request_timeout` or 413 `body_too_large`.
"""

TAGS: Final[Mapping[str, str]] = {
    "health": "Whether it lives and how it does: for probes and collectors",
    "auth": "Signing in to the dashboard and out, and the second factor",
    "me": "The account that asks, its sessions and its tokens",
    "agents": "Agents: names and tags, the kill switch, services, settings",
    "members": "Who uses an agent: invitations, approval, removal",
    "keys": "The key that a member's client holds: shown once, one live key a member",
    "connections": "A member's own accounts at the services; the credentials are never shown",
    "connectors": "What can be proxied: the built-in services, and own remote servers",
    "tools": "Tools of services: the catalog, pinned definitions, reviews",
    "entities": "What is known of the resources behind an agent's connectors: metadata, never contents",
    "sessions": "Tool sessions: what each client conversation has done so far, and its end",
    "policies": "Who may call what: structured documents, their versions, and the Cedar they become",
    "audit": "The record of calls and of changes: lists, export, live view",
    "stats": "The log in numbers",
    "trying it": "A real call from the dashboard, through the whole path",
}
"""What the groups of operations are about, in the order in which they are shown."""

Described = dict[str, Any]


def complete(described: Described) -> Described:
    """Add to FastAPI's description what it cannot know, in place."""
    described["info"]["description"] = ABOUT
    described["tags"] = [{"name": name, "description": about} for name, about in TAGS.items()]
    components = described.setdefault("components", {})
    components["securitySchemes"] = dict(SCHEMES)
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(shapes.schemas())
    names = {name: schema["title"] for name, schema in schemas.items() if "ListOut_" in name}
    components["schemas"] = tidy({names.get(name, name): schemas[name] for name in schemas}, names)
    described["paths"] = tidy(described["paths"], names)
    used: set[str] = set()
    for _path, method, operation in operations(described):
        guard = Guard(operation[GUARD])
        operation[SCOPE] = scope_of(method)
        operation["security"] = security_of(guard, method)
        own = operation.pop(OWN_CODES, [])
        _summarise(operation)
        if "201" in operation["responses"]:
            operation.setdefault("parameters", []).append(REPEATABLE)
        _show_example(operation)
        responses = operation["responses"]
        responses.pop("422", None)
        codes = sorted(
            {*own, *_codes_of(guard, method, operation)}, key=lambda code: (CODES[code].status, code)
        )
        for status, group in groupby(codes, key=lambda code: CODES[code].status):
            responses[str(status)] = _problems(status, list(group), used)
    components["responses"] = {code: _problem(CODES[code].status, [code]) for code in sorted(used)}
    return described


def operations(described: Mapping[str, Any]) -> Iterator[tuple[str, str, Described]]:
    """(path, method, operation) of a description, in its order."""
    for path, item in described["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def scope_of(method: str) -> str:
    """The scope that a token needs."""
    return "read" if method == "get" else "write"


def security_of(guard: Guard, method: str) -> list[Required]:
    """The alternatives that OpenAPI asks for; none is nobody's business."""
    session = SESSION_READS if method == "get" else SESSION_CHANGES
    match guard:
        case Guard.PUBLIC:
            return []
        case Guard.COLLECTOR:
            return [{}, {"metrics": []}]
        case Guard.SESSION:
            return [session]
        case _:
            return [TOKEN, session]


def _codes_of(guard: Guard, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """What may be answered because of who asks, and of how an operation is asked."""
    yield "unavailable"
    parameters: Sequence[Mapping[str, Any]] = operation.get("parameters", ())
    places = {parameter["in"] for parameter in parameters}
    if "path" in places:
        yield "not_found"
    if "requestBody" in operation:
        yield from ("invalid", "body_too_large", "unsupported_media_type")
    elif places - {"path"}:
        yield "invalid"
    if "201" in operation["responses"] and guard not in OPEN:
        yield from (*IDEMPOTENCY_CODES, "too_many_requests")
    yield from _refusals(guard)
    if guard not in OPEN and method != "get":
        yield from ("csrf_failed", *(() if guard is Guard.SESSION else ("insufficient_scope",)))


def _refusals(guard: Guard) -> Iterator[str]:
    match guard:
        case Guard.PUBLIC:
            return
        case Guard.COLLECTOR:
            yield "unauthenticated"
        case Guard.SESSION:
            yield from ("unauthenticated", "session_required")
        case _:
            yield from ("unauthenticated", "mfa_required", "mfa_setup_required")
            if guard is not Guard.ACCOUNT:
                yield from ("not_found", *_OF_RIGHTS.get(guard, ()))


_OF_RIGHTS: Final[Mapping[Guard, Sequence[str]]] = {
    Guard.APPROVED: ("member_not_approved",),
    Guard.SELF: ("self_only",),
    Guard.POLICY_READER: ("owner_only",),
    Guard.OWNER: ("owner_only",),
}


def _summarise(operation: Described) -> None:
    """The first sentence of the endpoint's docstring says what it does; FastAPI takes the function's name."""
    about = " ".join(operation.get("description", "").split())
    first, _, rest = about.partition(". ")
    operation["summary"] = first.removesuffix(".")
    if rest:
        operation["description"] = about
    else:
        operation.pop("description", None)


def _show_example(operation: Described) -> None:
    body = BODIES.get(operation["operationId"])
    if body is not None and "requestBody" in operation:
        operation["requestBody"]["content"]["application/json"]["example"] = dict(body)


def _problems(status: int, codes: Sequence[str], used: set[str]) -> Described:
    """A problem that many operations share is described once."""
    if len(codes) == 1:
        used.update(codes)
        return {"$ref": REFERENCE.format("responses", codes[0])}
    return _problem(status, codes)


def _problem(status: int, codes: Sequence[str]) -> Described:
    lines = [f"`{code}`: {CODES[code].meaning}." for code in codes]
    narrowed = {"type": "object", "properties": {"code": {"enum": list(codes)}}}
    described: Described = {
        "description": f"{HTTPStatus(status).phrase}. {' '.join(lines)}",
        "content": {
            MEDIA_TYPE: {"schema": {"allOf": [{"$ref": REFERENCE.format("schemas", "Problem")}, narrowed]}}
        },
    }
    if status in RETRYABLE:
        seconds = {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 0}}
        described["headers"] = {"Retry-After": seconds}
    return described
