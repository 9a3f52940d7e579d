"""Server-sent events as a browser reads them: what is dispatched, and where to go on from."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True)
class Event:
    name: str
    data: Any
    id: str


@dataclass
class EventSource:
    """One connection; `last_id` is what the next one would send."""

    response: aiohttp.ClientResponse
    last_id: str = ""

    async def next(self) -> Event | None:
        """The next event; None when the stream is over."""
        fields: dict[str, str] = {}
        async for raw in self.response.content:
            line = raw.decode().removesuffix("\n")
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
                continue
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                return Event(fields.get("event", "message"), json.loads(fields["data"]), self.last_id)
            fields = {}
        return None

    async def take(self, count: int) -> list[Event]:
        """So many events, soon."""
        async with asyncio.timeout(10):
            found = [await self.next() for _ in range(count)]
        return [event for event in found if event is not None]

    async def begun(self) -> None:
        """Until it is said where the stream begins: whatever is committed from then on will come."""
        async with asyncio.timeout(10):
            while not self.last_id:
                line = (await self.response.content.readline()).decode()
                if line.startswith("id:"):
                    self.last_id = line.removeprefix("id:").strip()
                    await self.response.content.readline()


def bearer(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def listening(
    http: aiohttp.ClientSession,
    url: str,
    who: Mapping[str, str],
    *,
    after: str = "",
    params: Mapping[str, str] | None = None,
) -> AsyncIterator[EventSource]:
    """A live view, from its beginning or behind an event, for whom these headers name; it is cut in the end."""
    headers = {**who} | ({"last-event-id": after} if after else {})
    async with http.get(
        f"{url}/api/audit/stream", headers=headers, params=params, timeout=aiohttp.ClientTimeout(total=None)
    ) as response:
        assert response.status == 200, await response.text()
        source = EventSource(response)
        await source.begun()
        try:
            yield source
        finally:
            response.close()
