"""What a request line means: the proxy, one of its services, or anything else. One spelling each."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from wicket.core.errors import Refused, RpcCode

_MCP: Final = re.compile(rb"/mcp(?:/([a-z][a-z0-9]{0,30}))?/?")
_PATH: Final = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_QUERY: Final = re.compile(rb"[!-~]*")
_TWO_WAYS: Final = re.compile(rb"//|;|/\.{1,2}(?:/|\Z)|%(?:2[eEfF5]|5[cC]|[01][0-9A-Fa-f]|7[fF]|3[bB])")
"""A path that another reader might take for another one: empty and dot segments, parameters, hidden separators."""
REMEMBERED_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes."""

    raw_path: bytes
    path: str
    query: bytes
    is_mcp: bool
    service: str | None
    """The connector of `/mcp/{service}`; None at the aggregator, and elsewhere."""


@lru_cache(maxsize=REMEMBERED_MAX)
def parse_target(url: bytes) -> Target:
    """The target of a request line; raises Refused (400, 404).

    Only the origin form is served (RFC 9112 section 3.2.1): this is no proxy that forwards by address.
    """
    raw_path, _, query = url.partition(b"?")
    if _PATH.fullmatch(raw_path) is None or _QUERY.fullmatch(query) is None or b"#" in query:
        raise Refused(
            "this is no path: ask for one that begins with a slash, percent-encoded where needed",
            rpc_code=RpcCode.INVALID_REQUEST,
        )
    if (mcp := _MCP.fullmatch(raw_path)) is not None:
        service = mcp[1].decode("ascii") if mcp[1] else None
        return Target(raw_path, raw_path.decode("ascii"), query, is_mcp=True, service=service)
    if is_below_mcp(raw_path) or _TWO_WAYS.search(raw_path) is not None:
        raise _nothing_here()
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _nothing_here() from error
    if is_below_mcp(path.lower().encode()):
        raise _nothing_here()
    return Target(raw_path, path, query, is_mcp=False, service=None)


def is_below_mcp(raw_path: bytes) -> bool:
    """Whether who asks for this path talks to the proxy, and is answered in its language."""
    return raw_path == b"/mcp" or raw_path.startswith((b"/mcp/", b"/mcp?"))


def _nothing_here() -> Refused:
    return Refused(
        "there is nothing at this path: the proxy is at `/mcp` and `/mcp/{service}`",
        rpc_code=RpcCode.METHOD_NOT_FOUND,
        status=404,
    )
