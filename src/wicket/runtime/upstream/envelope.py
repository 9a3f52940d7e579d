"""A request towards an upstream as bytes and headers. Nothing of the caller's is copied but what is named here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from wicket.core.errors import RpcCode
from wicket.core.jsonrpc import (
    LEGACY_VERSIONS,
    META_CAPABILITIES,
    META_CLIENT,
    META_LOG_LEVEL,
    META_VERSION,
    NAME_KEYS,
    Era,
    PostedResponse,
    Request,
    encode_header_value,
    render_error,
    render_notification,
    render_request,
    render_result,
)
from wicket.core.model import JsonObject
from wicket.runtime.upstream.values import Outgoing
from wicket.runtime.wire import HeaderLines, header_lines

CLIENT_NAME: Final = "wicket"
_RESERVED_LABELS: Final = frozenset({"mcp", "modelcontextprotocol"})


@dataclass(frozen=True, slots=True)
class Link:
    """How an upstream is spoken to: its era and, for a legacy one, the session."""

    era: Era
    version: str | None
    """None: there is none yet, `initialize` will tell."""
    session_id: str | None = None
    capabilities: JsonObject = field(default_factory=dict, compare=False)
    """Of the server, as it said."""
    lines: HeaderLines = field(init=False, repr=False, compare=False)
    """The headers that every request over it has."""

    def __post_init__(self) -> None:
        said = {"MCP-Protocol-Version": self.version, "Mcp-Session-Id": self.session_id}
        lines = header_lines({name: value for name, value in said.items() if value is not None})
        object.__setattr__(self, "lines", lines)


BEFORE_INITIALIZE: Final = Link(Era.LEGACY, None)


def passed_meta(meta: JsonObject, era: Era) -> JsonObject:
    """Application keys and trace context.

    What the protocol reserves is ours to say on this hop, but for the log level, which the caller asks of whoever
    runs the tool.
    """
    return {
        key: value
        for key, value in meta.items()
        if key != "progressToken" and (not _is_reserved(key) or (key == META_LOG_LEVEL and era is Era.MODERN))
    }


def _is_reserved(key: str) -> bool:
    """MCP 2026-07-28, basic, "_meta": a prefix whose second label is `modelcontextprotocol` or `mcp`."""
    prefix, slash, _ = key.partition("/")
    labels = prefix.split(".", 2)
    return bool(slash) and any(label.lower() in _RESERVED_LABELS for label in labels[:2])


def request_body(outgoing: Outgoing, link: Link, request_id: int, client_version: str) -> bytes:
    """The request with an id and a progress token of our own: the same number, made once in this process."""
    meta = passed_meta(outgoing.meta, link.era) if outgoing.meta else {}
    if outgoing.wants_progress:
        meta["progressToken"] = request_id
    if link.era is Era.MODERN:
        meta[META_VERSION] = link.version
        meta[META_CLIENT] = {"name": CLIENT_NAME, "version": client_version}
        meta[META_CAPABILITIES] = outgoing.capabilities
    params = outgoing.params
    if meta:
        params = params | {"_meta": meta}
    elif "_meta" in params:
        params = {key: value for key, value in params.items() if key != "_meta"}
    return render_request(request_id, outgoing.method, params)


def routing_lines(outgoing: Outgoing) -> HeaderLines:
    """What a modern upstream wants mirrored of a request."""
    method, params = outgoing.method, outgoing.params
    if method == "tools/call":
        return HeaderLines(_calling(str(params["name"])) + outgoing.param_lines)
    name = params.get(NAME_KEYS.get(method, ""))
    named = {"Mcp-Name": encode_header_value(name)} if isinstance(name, str) else {}
    return header_lines({"Mcp-Method": method} | named)


@lru_cache(maxsize=10_000)
def _calling(tool: str) -> HeaderLines:
    """Tools are few, and their names short."""
    return header_lines({"Mcp-Method": "tools/call", "Mcp-Name": encode_header_value(tool)})


def initialize_params(client_version: str, capabilities: JsonObject | None = None) -> JsonObject:
    """A legacy handshake; without capabilities the upstream asks for nothing."""
    return {
        "protocolVersion": LEGACY_VERSIONS[-1],
        "capabilities": capabilities or {},
        "clientInfo": {"name": CLIENT_NAME, "version": client_version},
    }


def response_body(request: Request, response: PostedResponse) -> bytes:
    """A client's response under the id that the upstream knows."""
    if response.error is None:
        return render_result(request.id, response.result or {})
    code, message = response.error.get("code"), response.error.get("message")
    return render_error(
        request.id,
        code if isinstance(code, int) else RpcCode.INTERNAL_ERROR,
        message if isinstance(message, str) else "the client failed without saying why",
        response.error.get("data"),
    )


def cancellation(request_id: int) -> bytes:
    """That nobody waits for the answer any more."""
    return render_notification(
        "notifications/cancelled",
        {"requestId": request_id, "reason": "the caller is gone or waits no longer"},
    )


def content_type(headers: Mapping[bytes, bytes]) -> str:
    """Media type without parameters, lower case."""
    return _media_type(headers.get(b"content-type", b""))


@lru_cache(maxsize=100)
def _media_type(value: bytes) -> str:
    return value.partition(b";")[0].strip().lower().decode("latin-1")
