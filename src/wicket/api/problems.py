"""Errors as `application/problem+json` (RFC 9457): every one, also those of paths that nobody serves."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException

from wicket.api.models import Problem
from wicket.core.errors import Invalid, Limited, NotFound, Unauthenticated, Unavailable, WicketError
from wicket.core.model import Json

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1

_HTTP_CODES: Final[Mapping[int, tuple[str, str]]] = {
    404: ("not_found", "there is nothing at this path: see `/api/openapi.json` for what there is"),
    405: ("method_not_allowed", "this path does not take the method: see the `Allow` header"),
}


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    app.add_exception_handler(WicketError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


def render_problem(error: WicketError) -> ProblemResponse:
    """A problem with the facts of the error beside it."""
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, Limited):
        headers["Retry-After"] = str(error.retry_after_s)
    return _problem(error.status, error.code, error.sentence, facts=error.facts, headers=headers)


def _problem(
    status: int,
    code: str,
    detail: str,
    *,
    facts: Mapping[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    problem = Problem(title=HTTPStatus(status).phrase, status=status, code=code, detail=detail)
    named = {to_camel(name): value for name, value in (facts or {}).items()}
    content = named | problem.model_dump(by_alias=True, exclude_none=True)
    return ProblemResponse(jsonable_encoder(content), status_code=status, headers=dict(headers or {}))


async def _answer_ours(_request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, WicketError):
        raise error
    return render_problem(error)


async def _answer_invalid(_request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    place, *path = first["loc"]
    if place == "path":
        # No object has an id that is not spelled like one.
        return render_problem(NotFound("there is nothing by this id: list the objects to find it"))
    field = _dotted(path) or str(place)
    message = str(first["msg"]).removeprefix("Value error, ")
    return render_problem(Invalid(f"`{field}`: {message[:1].lower()}{message[1:]}", field=field))


async def _answer_http(_request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, HTTPException):
        raise error
    code, detail = _HTTP_CODES.get(error.status_code, ("http_error", str(error.detail)))
    return _problem(error.status_code, code, detail, headers=error.headers)


async def _answer_unexpected(_request: Request, _error: Exception) -> ProblemResponse:
    # What went wrong is in the server's log, which gets the exception itself; it is nobody else's business.
    return _problem(
        500, "internal_error", "something went wrong here: try again, or ask who runs this instance"
    )


def _dotted(path: list[object]) -> str:
    """`["tools", 2, "name"]` -> `tools[2].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
