"""Bytes and headers -> one JSON-RPC message, in one of MCP's two eras, or a refusal that echoes its id.

    legacy   2024-11-05 ... 2025-11-25   `initialize` negotiates; the version comes in a header, or not at all
    modern   2026-07-28                  each request says its version, client and capabilities in `params._meta`

A message is modern when its header or its `_meta` says so. The envelope is validated here; what a method carries
stays plain JSON. Nothing in a message may look like one of the protocol's keys without being it: a parser that
ignores case, as some upstreams have, would read another call than the one that was decided.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from wicket.core.errors import Refused, RpcCode, UpstreamFailed
from wicket.core.jsonrpc.headers import (
    RoutingHeaders,
    check_routing_headers,
    check_version_header,
    refuse_repeated,
    routing_headers,
)
from wicket.core.jsonrpc.strict import (
    parse_json,
    parse_json_in_steps,
    parse_upstream_json,
    parse_upstream_json_in_steps,
)
from wicket.core.model import Json, JsonObject
from wicket.core.steps import Steps

LEGACY_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS: Final = ("2026-07-28",)

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"

CLIENT_TEXT_CHARS_MAX: Final = 200
"""Of a client's name and version; they are labels, and the rest of a longer one is cut off."""

METHOD_CHARS_MAX: Final = 256
ID_CHARS_MAX: Final = 512

_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class _Keys:
    """Keys of the protocol, and how they look when case is ignored."""

    def __init__(self, *keys: str) -> None:
        self.exact = frozenset(keys)
        self.folded = {key.casefold(): key for key in keys}
        self.chars_max = max(map(len, self.folded))
        """Folding makes no text shorter, so that a longer key is like none of them."""


_ENVELOPE_KEYS: Final = _Keys("jsonrpc", "id", "method", "params", "result", "error")
_PARAMS_KEYS: Final = _Keys(
    *("_meta", "name", "arguments", "uri", "ref", "argument", "context", "cursor", "level", "task"),
    *("requestState", "inputResponses", "requestId", "protocolVersion", "capabilities", "clientInfo"),
)
_META_KEYS: Final = _Keys(
    *(META_VERSION, META_CLIENT, META_CAPABILITIES, META_LOG_LEVEL, META_SUBSCRIPTION),
    *("progressToken", "traceparent", "tracestate", "baggage"),
)

RequestId: TypeAlias = str | int


class Era(StrEnum):
    LEGACY = "legacy"
    MODERN = "modern"


@dataclass(frozen=True, slots=True)
class Request:
    """A message that wants an answer."""

    id: RequestId
    method: str
    params: JsonObject
    meta: JsonObject
    era: Era = Era.LEGACY
    version: str | None = None
    """Protocol version; None where a legacy client did not say."""
    client_name: str = ""
    client_version: str = ""
    capabilities: JsonObject = field(default_factory=dict)
    """The client's; on legacy sessions only `initialize` tells."""


class Notification(NamedTuple):
    """A message that wants none; one is made for each event of a stream, and this is the cheapest kind of value."""

    method: str
    params: JsonObject
    meta: JsonObject
    era: Era = Era.LEGACY
    version: str | None = None


@dataclass(frozen=True, slots=True)
class PostedResponse:
    """The answer to a request of the other side: `result`, or else `error`, as it came."""

    id: RequestId | None
    """None only in an upstream's error about a request that it could not read."""
    result: JsonObject | None = None
    error: JsonObject | None = None
    era: Era = Era.LEGACY


Response: TypeAlias = PostedResponse
Message: TypeAlias = Request | Notification | PostedResponse
MessageFromUpstream: TypeAlias = Response | Request | Notification


class MessageRefused(Refused):
    """A message that is no request we take, with what of it could be read: the id to echo, the method to count."""

    def __init__(self, refused: Refused, document: Json) -> None:
        super().__init__(refused.sentence, rpc_code=refused.rpc_code, status=refused.status)
        self.facts = refused.facts
        self.request_id, self.method = _echo(document)


def parse_message(body: bytes, headers: Sequence[tuple[str, str]]) -> Message:
    """The one message that a client posted; header names are lower case. Raises MessageRefused."""
    document: Json = None
    try:
        document = parse_json(body)
        return _posted(document, routing_headers(headers, MODERN_VERSIONS))
    except Refused as refused:
        raise MessageRefused(refused, document) from refused


def parse_message_in_steps(body: bytes, headers: Sequence[tuple[str, str]]) -> Steps[Message]:
    """As `parse_message`, of a long body."""
    document: Json = None
    try:
        document = yield from parse_json_in_steps(body)
        return _posted(document, routing_headers(headers, MODERN_VERSIONS))
    except Refused as refused:
        raise MessageRefused(refused, document) from refused


def parse_response(body: bytes) -> MessageFromUpstream:
    """One message of an upstream server; raises UpstreamFailed (502, `upstream_broken`)."""
    try:
        return _answered(parse_upstream_json(body))
    except Refused as refused:
        raise _no_message(refused) from refused


def parse_response_in_steps(body: bytes) -> Steps[MessageFromUpstream]:
    """As `parse_response`, of a long body."""
    try:
        return _answered((yield from parse_upstream_json_in_steps(body)))
    except Refused as refused:
        raise _no_message(refused) from refused


def tool_call(params: JsonObject) -> tuple[str, JsonObject]:
    """Name and arguments of a `tools/call`; raises Refused (400, -32602) with the `field` at fault."""
    name = params.get("name")
    if not isinstance(name, str):
        raise _invalid_params("`name` must be a string: name the tool to call", "name")
    if not _TOOL_NAME.fullmatch(name):
        raise _invalid_params(
            "`name` is no tool's name: it has 1 to 128 letters, digits, `_`, `.` and `-`, as `tools/list` says",
            "name",
        )
    arguments = params.get("arguments", {})
    if not isinstance(arguments, dict):
        raise _invalid_params("`arguments` must be an object: leave it out when there are none", "arguments")
    return name, arguments


def _answered(document: Json) -> MessageFromUpstream:
    envelope = _envelope(document)
    if "method" not in envelope:
        return _response(envelope, is_id_needed=False)
    method, params, meta = _method(envelope)
    if "id" in envelope:
        return Request(_request_id(envelope), method, params, meta)
    return Notification(method, params, meta)


def _posted(document: Json, sent: RoutingHeaders) -> Message:
    envelope = _envelope(document)
    if "method" not in envelope:
        era = Era.MODERN if sent.version in MODERN_VERSIONS else Era.LEGACY
        return _response(envelope, is_id_needed=True, era=era)
    method, params, meta = _method(envelope)
    is_modern = sent.version in MODERN_VERSIONS or (
        META_VERSION in meta and meta[META_VERSION] not in LEGACY_VERSIONS
    )
    if "id" not in envelope:
        return _notification(method, params, meta, sent, is_modern=is_modern)
    request_id = _request_id(envelope)
    if is_modern:
        return _modern_request(request_id, method, params, meta, sent)
    _check_legacy_version(sent)
    client, capabilities = None, None
    if method == "initialize":
        client, capabilities = params.get("clientInfo"), params.get("capabilities")
    return Request(
        request_id,
        method,
        params,
        meta,
        Era.LEGACY,
        sent.version,
        _client_text(client, "name"),
        _client_text(client, "version"),
        capabilities if isinstance(capabilities, dict) else {},
    )


def _modern_request(
    request_id: RequestId, method: str, params: JsonObject, meta: JsonObject, sent: RoutingHeaders
) -> Request:
    """MCP 2026-07-28, basic "Per-request protocol fields", and then the headers that mirror them, in that order."""
    refuse_repeated(sent)
    for key in (META_VERSION, META_CAPABILITIES):
        if key not in meta:
            raise _invalid_params(f"`params._meta` lacks `{key}`: send it with every request", f"_meta.{key}")
    version, capabilities = meta[META_VERSION], meta[META_CAPABILITIES]
    check_version_header(sent, version)
    check_routing_headers(sent, method, params)
    _check_modern_version(version)
    if not isinstance(capabilities, dict):
        raise _invalid_params(f"`{META_CAPABILITIES}` must be an object", f"_meta.{META_CAPABILITIES}")
    client = meta.get(META_CLIENT)
    return Request(
        request_id,
        method,
        params,
        meta,
        Era.MODERN,
        sent.version,
        _client_text(client, "name"),
        _client_text(client, "version"),
        capabilities,
    )


def _notification(
    method: str, params: JsonObject, meta: JsonObject, sent: RoutingHeaders, *, is_modern: bool
) -> Notification:
    """The modern era requires no headers of notifications; those that are sent must still tell the truth."""
    if not method.startswith("notifications/"):
        raise _invalid_request(f"`{method}` is a request: send it with an `id`")
    if not is_modern:
        _check_legacy_version(sent)
        return Notification(method, params, meta, Era.LEGACY, sent.version)
    refuse_repeated(sent)
    version = meta.get(META_VERSION, sent.version)
    if sent.version is not None:
        check_version_header(sent, version)
    if sent.method is not None:
        check_routing_headers(sent, method, params)
    return Notification(method, params, meta, Era.MODERN, _check_modern_version(version))


def _check_modern_version(version: Json) -> str:
    if not isinstance(version, str):
        raise _invalid_params(f"`{META_VERSION}` must be a string", f"_meta.{META_VERSION}")
    if version not in MODERN_VERSIONS:
        raise _unsupported(version, RpcCode.UNSUPPORTED_VERSION, MODERN_VERSIONS)
    return version


def _check_legacy_version(sent: RoutingHeaders) -> None:
    if sent.repeated == "MCP-Protocol-Version":
        raise _invalid_request("header MCP-Protocol-Version came twice: send it once")
    if sent.version is not None and sent.version not in LEGACY_VERSIONS:
        raise _unsupported(sent.version, RpcCode.INVALID_REQUEST, (*LEGACY_VERSIONS, *MODERN_VERSIONS))


def _envelope(document: Json) -> JsonObject:
    if isinstance(document, list):
        raise _invalid_request("batches are not accepted: send one message a request")
    if not isinstance(document, dict):
        raise _invalid_request("a message is a JSON object: send one")
    if not document.keys() <= _ENVELOPE_KEYS.exact:
        _refuse_look_alike(document, _ENVELOPE_KEYS, "")
    if document.get("jsonrpc") != "2.0":
        raise _invalid_request('`jsonrpc` must be "2.0"')
    return document


def _method(envelope: JsonObject) -> tuple[str, JsonObject, JsonObject]:
    """Method, params and `_meta`; null stands for an absent object."""
    method = envelope["method"]
    if not isinstance(method, str) or not 0 < len(method) <= METHOD_CHARS_MAX:
        raise _invalid_request(f"`method` must be a string of 1 to {METHOD_CHARS_MAX} characters")
    if "result" in envelope or "error" in envelope:
        raise _invalid_request("a message has a `method`, or else a `result` or an `error`")
    params = envelope.get("params")
    if params is None:
        return method, {}, {}
    if not isinstance(params, dict):
        raise _invalid_request("`params` must be an object: name the parameters")
    _refuse_look_alike(params, _PARAMS_KEYS, "params.")
    meta = params.get("_meta")
    if meta is None:
        return method, params, {}
    if not isinstance(meta, dict):
        raise _invalid_params("`params._meta` must be an object", "_meta")
    _refuse_look_alike(meta, _META_KEYS, "params._meta.")
    return method, params, meta


def _response(envelope: JsonObject, *, is_id_needed: bool, era: Era = Era.LEGACY) -> PostedResponse:
    if ("result" in envelope) == ("error" in envelope):
        raise _invalid_request("a message has a `method`, or else one of `result` and `error`")
    result, error = envelope.get("result"), envelope.get("error")
    if "result" in envelope:
        if not isinstance(result, dict):
            raise _invalid_request("`result` must be an object")
        return PostedResponse(_request_id(envelope), result=result, era=era)
    if (
        not isinstance(error, dict)
        or type(error.get("code")) is not int
        or not isinstance(error.get("message"), str)
    ):
        raise _invalid_request("`error` must be an object with an integer `code` and a `message`")
    unread = not is_id_needed and envelope.get("id") is None
    return PostedResponse(None if unread else _request_id(envelope), error=error, era=era)


def _request_id(envelope: JsonObject) -> RequestId:
    request_id = _find_id(envelope)
    if request_id is None:
        raise _invalid_request(f"`id` must be an integer or a string of at most {ID_CHARS_MAX} characters")
    return request_id


def _find_id(envelope: JsonObject) -> RequestId | None:
    request_id = envelope.get("id")
    if type(request_id) is int:  # which a bool is not
        return request_id
    return request_id if isinstance(request_id, str) and len(request_id) <= ID_CHARS_MAX else None


def _echo(document: Json) -> tuple[RequestId | None, str | None]:
    """Id and method of a refused message, each where it is one."""
    if not isinstance(document, dict):
        return None, None
    method = document.get("method")
    return _find_id(document), (
        method if isinstance(method, str) and len(method) <= METHOD_CHARS_MAX else None
    )


def _no_message(refused: Refused) -> UpstreamFailed:
    return UpstreamFailed(
        f"the upstream sent what is no message of MCP: {refused.sentence}", code="upstream_broken"
    )


def _client_text(client: Json, key: str) -> str:
    text = client.get(key) if isinstance(client, dict) else None
    return text[:CLIENT_TEXT_CHARS_MAX] if isinstance(text, str) else ""


def _refuse_look_alike(found: JsonObject, protocol: _Keys, where: str) -> None:
    """Refuse a key that is none of the protocol's but may be read as one.

    Folding takes in U+017F and U+212A, which stand for `s` and `k` to parsers that ignore case.
    """
    for key in found:
        if key in protocol.exact or len(key) > protocol.chars_max:
            continue
        if (meant := protocol.folded.get(key.casefold())) is not None:
            raise _invalid_request(
                f"a key is not `{where}{meant}` but could be read as it: spell it exactly so"
            )


def _unsupported(requested: str, code: RpcCode, versions: Sequence[str]) -> Refused:
    supported: list[Json] = list(versions)
    sentence = f"protocol version `{requested}` is not supported: use one of {', '.join(versions)}"
    return Refused(sentence, rpc_code=code, supported=supported, requested=requested)


def _invalid_request(sentence: str) -> Refused:
    return Refused(sentence, rpc_code=RpcCode.INVALID_REQUEST)


def _invalid_params(sentence: str, field: str) -> Refused:
    return Refused(sentence, rpc_code=RpcCode.INVALID_PARAMS, field=field)
