"""Lists of prompts and resources: every page, bounded; each item as it came."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from wicket.core.errors import RpcCode
from wicket.core.jsonrpc import Era
from wicket.core.model import JsonObject
from wicket.runtime.upstream.values import Answer, Outgoing, Target, UpstreamLimits
from wicket.runtime.wire import broken, timed_out

Ask: TypeAlias = Callable[[Target, Outgoing], Awaitable[tuple[Answer, Era]]]

_CURSOR_CHARS_MAX: Final = 4_096


async def read_pages(
    ask: Ask, target: Target, method: str, key: str, limits: UpstreamLimits
) -> list[JsonObject] | None:
    """What `method` lists under `key`; None where the upstream has no such method. Raises UpstreamFailed."""
    try:
        async with asyncio.timeout(limits.list_timeout_s):
            return await _read(ask, target, method, key, limits)
    except TimeoutError as error:
        raise timed_out(target.connector.key, limits.list_timeout_s) from error


async def _read(
    ask: Ask, target: Target, method: str, key: str, limits: UpstreamLimits
) -> list[JsonObject] | None:
    service = target.connector.key
    found: list[JsonObject] = []
    cursors: set[str] = set()
    params: JsonObject = {}
    for _ in range(limits.list_pages_max):
        answer, _era = await ask(target, Outgoing(method, params, limits.list_timeout_s))
        if (answer.error or {}).get("code") == RpcCode.METHOD_NOT_FOUND:
            return None
        if answer.result is None or not isinstance(listed := answer.result.get(key), list):
            raise broken(service, f"it does not list its {key}")
        found += (item for item in listed if isinstance(item, dict))
        if len(found) > limits.tools_max:
            raise broken(service, f"it lists more than {limits.tools_max} {key}")
        cursor = answer.result.get("nextCursor")
        if cursor is None:
            return found
        if not isinstance(cursor, str) or len(cursor) > _CURSOR_CHARS_MAX or cursor in cursors:
            raise broken(service, f"the pages of its list of {key} lead nowhere")
        cursors.add(cursor)
        params = {"cursor": cursor}
    raise broken(service, f"its list of {key} has more than {limits.list_pages_max} pages")
