"""The REST API as the demo uses it: an address, a token, JSON there and back."""

import asyncio
from types import TracebackType
from typing import Final, Self

import aiohttp

from wicket.core.errors import Unavailable, UpstreamFailed
from wicket.core.model import Json, JsonObject

ALIVE_WAIT_S: Final = 60
ALIVE_EVERY_S: Final = 0.05
TIMEOUT_S: Final = 30


class Control:
    """One person's REST API."""

    def __init__(self, base_url: str, token: str) -> None:
        self._http = aiohttp.ClientSession(
            base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def get(self, path: str, **query: str) -> JsonObject:
        """Read something."""
        return await self._ask("GET", path, query=query)

    async def post(self, path: str, body: JsonObject) -> JsonObject:
        """Make something."""
        return await self._ask("POST", path, body=body)

    async def put(self, path: str, body: JsonObject) -> JsonObject:
        """Set something."""
        return await self._ask("PUT", path, body=body)

    async def items(self, path: str, **query: str) -> list[JsonObject]:
        """The objects of a list's first page."""
        items = (await self.get(path, **query))["items"]
        return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    async def wait_until_alive(self) -> None:
        """Come back once the server answers; raises Unavailable when it does not."""
        try:
            async with asyncio.timeout(ALIVE_WAIT_S):
                while not await self._is_alive():  # noqa: ASYNC110 - another process has no event to wait for
                    await asyncio.sleep(ALIVE_EVERY_S)
        except TimeoutError as error:
            raise Unavailable("the demo's server does not answer: its messages above say why") from error

    async def _is_alive(self) -> bool:
        try:
            async with self._http.get("/alive") as answer:
                return answer.ok
        except aiohttp.ClientConnectionError:
            return False

    async def _ask(
        self, method: str, path: str, *, query: dict[str, str] | None = None, body: JsonObject | None = None
    ) -> JsonObject:
        try:
            async with self._http.request(method, path, params=query, json=body) as answer:
                content: Json = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UpstreamFailed(f"{method} {path} got no answer: {error}") from error
        if answer.ok and isinstance(content, dict):
            return content
        detail = content.get("detail") if isinstance(content, dict) else None
        raise UpstreamFailed(f"{method} {path} answered {answer.status}: {detail}")


def text(value: Json) -> str:
    """A text of an answer that always has it."""
    if not isinstance(value, str):
        raise UpstreamFailed(f"a text was expected of the API, not {value!r}")
    return value
