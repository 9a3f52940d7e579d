"""The API's own description as the judge of every answer that a test gets.

What an operation answers, it has to say: the status, the media type, the shape, and of a problem the code. Every test
of this folder asks through this, so each of them also checks the description.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

import jsonschema_rs
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wicket.api import describe_api
from wicket.api.description import operations

PROBLEM: Final = "application/problem+json"
JSON: Final = re.compile(r"application/(\w+\+)?json")
OF_A_BODY: Final = frozenset({"invalid", "body_too_large", "unsupported_media_type"})
"""What a body earns where none is taken."""


@dataclass(frozen=True, eq=False)
class Said:
    """One operation, and what it says that it answers; there is one of each, for good."""

    method: str
    path: str
    described: Mapping[str, Any]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"{\w+}", "[^/]+", self.path))

    @property
    def name(self) -> str:
        return str(self.described["operationId"])

    @cache  # noqa: B019 - one of each, for good
    def check_of(self, status: int, media_type: str) -> jsonschema_rs.Draft202012Validator | None:
        """What judges such an answer; None where the description has no shape for it. Raises AssertionError."""
        said = self.described["responses"].get(str(status))
        assert said is not None, f"`{self.name}` answered {status}, which its description does not say"
        content = resolve(said).get("content", {})
        assert media_type in content or (not media_type and not content), (
            f"`{self.name}` answered {status} as `{media_type}`, and says {sorted(content)}"
        )
        schema = content.get(media_type, {}).get("schema")
        if schema is None or not JSON.fullmatch(media_type):
            return None
        return jsonschema_rs.Draft202012Validator({**schema, "components": description()["components"]})


@cache
def description() -> dict[str, Any]:
    return describe_api("tests")


@cache
def all_said() -> tuple[Said, ...]:
    """Paths without parameters first, as they are served."""
    said = [Said(method.upper(), path, one) for path, method, one in operations(description())]
    return tuple(sorted(said, key=lambda one: one.path.count("{")))


def resolve(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` stands for."""
    if "$ref" not in described:
        return described
    found: Any = description()
    for name in described["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return resolve(found)


def find_said(method: str, path: str) -> Said | None:
    return next((one for one in all_said() if one.method == method and one.pattern.fullmatch(path)), None)


def check_answer(method: str, path: str, status: int, content_type: str, body: bytes, *, sent: bool) -> None:
    """Raise AssertionError for an answer that its operation does not describe; `sent`: a body came along."""
    said = find_said(method, path)
    if said is None:
        return
    media_type = content_type.partition(";")[0].strip()
    document: Any = json.loads(body) if JSON.fullmatch(media_type) else None
    if media_type == PROBLEM:
        code = document["code"]
        if sent and code in OF_A_BODY and "requestBody" not in said.described:
            return
        expected = f"`{said.name}` answered {status} `{code}`: name the code in its `by(...)`"
        assert str(status) in said.described["responses"], expected
        validator = said.check_of(status, media_type)
        assert validator is None or validator.is_valid(document), expected
        return
    validator = said.check_of(status, media_type)
    if validator is not None:
        wrong = [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(document)]
        assert not wrong, f"`{said.name}` answered {status} in a shape that it does not describe: {wrong[:5]}"


def is_stream(start: Message) -> bool:
    return any(value.startswith(b"text/event-stream") for _, value in start["headers"])


class AsDescribed:
    """An application whose answers have to be as its description says."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}
        body: list[bytes] = []
        sent: list[bytes] = []
        left = asyncio.Event()

        async def receiving() -> Message:
            if left.is_set():
                return {"type": "http.disconnect"}
            waiting = asyncio.ensure_future(receive())
            leaving = asyncio.ensure_future(left.wait())
            try:
                done, _ = await asyncio.wait([waiting, leaving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                leaving.cancel()
            if waiting not in done:
                return {"type": "http.disconnect"}
            sent.append(waiting.result().get("body", b""))
            return waiting.result()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.append(message.get("body", b""))
                if is_stream(start):
                    # Who asks through this reads no stream to its end: it has none.
                    message = {**message, "more_body": False}
                    if left.is_set():
                        return
                    left.set()
            await send(message)

        await self._app(scope, receiving, sending)
        headers = {name.lower(): value for name, value in start["headers"]}
        check_answer(
            scope["method"],
            scope["path"],
            start["status"],
            headers.get(b"content-type", b"").decode("latin-1"),
            b"".join(body),
            sent=any(sent),
        )
