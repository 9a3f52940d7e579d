"""A request towards an upstream as bytes and headers. Nothing of the caller's is copied but what is named here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from wicket.runtime.upstream.values import Credential, Outgoing

CLIENT_NAME: Final = "wicket"
_RESERVED_LABELS: Final = frozenset({"mcp", "modelcontextprotocol"})


@dataclass(frozen=True, slots=True)
class Link:
    """How an upstream is spoken to: its era and, for a legacy one, the session."""

    era: Era
    version: str
    session_id: str | None = None
    capabilities: JsonObject = field(default_factory=dict, compare=False)
    """Of the server, as it said."""


BEFORE_INITIALIZE: Final = Link(Era.LEGACY, LEGACY_VERSIONS[-1])


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
    labels = prefix.split(".")
    return bool(slash) and any(label.lower() in _RESERVED_LABELS for label in labels[:2])


def request_body(outgoing: Outgoing, link: Link, request_id: int, client_version: str) -> bytes:
    """The request with an id and a progress token of our own: the same number, made once in this process."""
    meta = passed_meta(outgoing.meta, link.era)
    if outgoing.wants_progress:
        meta["progressToken"] = request_id
    if link.era is Era.MODERN:
        meta[META_VERSION] = link.version
        meta[META_CLIENT] = {"name": CLIENT_NAME, "version": client_version}
        meta[META_CAPABILITIES] = outgoing.capabilities
    params = {key: value for key, value in outgoing.params.items() if key != "_meta"}
    if meta:
        params["_meta"] = meta
    return render_request(request_id, outgoing.method, params)


def request_headers(
    outgoing: Outgoing, link: Link, credential: Credential | None, agent: str
) -> dict[str, str]:
    """The allow-list."""
    headers = base_headers(link, credential, agent)
    if link.era is Era.MODERN:
        headers |= outgoing.param_headers
        headers["Mcp-Method"] = outgoing.method
        name = outgoing.params.get(NAME_KEYS.get(outgoing.method, ""))
        if isinstance(name, str):
            headers["Mcp-Name"] = encode_header_value(name)
    elif outgoing.method == "initialize":
        del headers["MCP-Protocol-Version"]
    return headers


def base_headers(link: Link, credential: Credential | None, agent: str) -> dict[str, str]:
    """What every POST carries."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": link.version,
        "User-Agent": agent,
    }
    if link.session_id is not None:
        headers["Mcp-Session-Id"] = link.session_id
    if credential is not None:
        headers[credential.header] = credential.value
    return headers


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


def content_type(headers: Mapping[str, str]) -> str:
    """Media type without parameters, lower case."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
