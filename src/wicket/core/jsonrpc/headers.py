"""The headers that mirror a request's body in the modern era, and their codec.

MCP 2026-07-28, basic/transports/streamable-http, "Request Metadata". A header that disagrees with the body means
that somebody on the way may have routed or judged another request than the one that is carried out, so it is
refused (400, -32020). What agrees is forgotten: the body decides.

Names are lower case, as ASGI gives them; values are text as HTTP carried it.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from wicket.core.errors import Invalid, Refused, RpcCode
from wicket.core.model import Json, JsonObject

NAME_KEYS: Final[Mapping[str, str]] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Method -> the parameter that `Mcp-Name` mirrors."""
PARAM_PREFIX: Final = "Mcp-Param-"
ANNOTATION: Final = "x-mcp-header"

_VERSION: Final = "mcp-protocol-version"
_METHOD: Final = "mcp-method"
_NAME: Final = "mcp-name"
_SHOWN: Final = {_VERSION: "MCP-Protocol-Version", _METHOD: "Mcp-Method", _NAME: "Mcp-Name"}
_SPACE: Final = " \t"
_WRAP: Final = ("=?base64?", "?=")
_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WHOLE_NUMBER: Final = re.compile(r"(-?[0-9]{1,400})(?:\.0+)?")
_MIRRORED_TYPES: Final = ("string", "integer", "boolean")

# Where a JSON Schema 2020-12 holds further schemas. Data (`default`, `enum`, `examples`) and references are left
# alone, so an annotation there is none.
_HOLDS_ONE: Final = frozenset(
    (
        *("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
        *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
    )
)
_HOLDS_LIST: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_HOLDS_MAP: Final = frozenset(("$defs", "definitions", "dependentSchemas", "patternProperties"))


def encode_header_value(value: str) -> str:
    """`value` as a header carries it: as it is where HTTP lets it through unchanged, else wrapped in base64."""
    if _PLAIN.fullmatch(value) and value == value.strip(_SPACE) and _wrapped(value) is None:
        return value
    return b64encode(value.encode()).decode("ascii").join(_WRAP)


def decode_header_value(value: str) -> str | None:
    """What `encode_header_value` was given; None for a wrapping that no encoder writes."""
    payload = _wrapped(value)
    if payload is None:
        return value
    try:
        decoded = b64decode(payload, validate=True)
        text = decoded.decode()
    except ValueError:  # not base64, or not UTF-8 in it
        return None
    return text if b64encode(decoded).decode("ascii") == payload else None


def _wrapped(value: str) -> str | None:
    before, after = _WRAP
    if len(value) < len(before) + len(after) or not (value.startswith(before) and value.endswith(after)):
        return None
    return value[len(before) : -len(after)]


@dataclass(frozen=True, slots=True)
class RoutingHeaders:
    """The three headers that every modern request mirrors, as far as they were sent."""

    version: str | None = None
    method: str | None = None
    name: str | None = None
    repeated: str | None = None
    """One that was sent twice: readers of the first and of the last copy would disagree."""


_NONE_SENT: Final = RoutingHeaders()


def routing_headers(headers: Sequence[tuple[str, str]], modern_versions: Sequence[str]) -> RoutingHeaders:
    """Pick the routing headers. Of two versions a modern one counts, since its rules refuse the other."""
    found: dict[str, str] = {}
    repeated = None
    for name, value in headers:
        if name in _SHOWN:
            if name in found:
                repeated = _SHOWN[name] if repeated is None or name == _VERSION else repeated
                if found[name] in modern_versions:
                    continue
            found[name] = value.strip(_SPACE)
    if not found:
        return _NONE_SENT
    return RoutingHeaders(found.get(_VERSION), found.get(_METHOD), found.get(_NAME), repeated)


def check_version_header(sent: RoutingHeaders, version: Json) -> None:
    """`MCP-Protocol-Version` names the version of the body; raises Refused (400, -32020)."""
    if sent.version is None or sent.version != version:
        raise _mismatch(_SHOWN[_VERSION], "the body's protocol version", missing=sent.version is None)


def check_routing_headers(sent: RoutingHeaders, method: str, params: JsonObject) -> None:
    """`Mcp-Method`, and `Mcp-Name` where the method has one, equal the body; raises Refused (400, -32020)."""
    if sent.method != method:
        raise _mismatch(_SHOWN[_METHOD], f"the body's method `{method}`", missing=sent.method is None)
    key = NAME_KEYS.get(method)
    if key is None or (value := params.get(key)) is None:
        return
    if sent.name is None or not _FIELD_VALUE.fullmatch(sent.name) or decode_header_value(sent.name) != value:
        raise _mismatch(_SHOWN[_NAME], f"the body's `{key}`", missing=sent.name is None)


def refuse_repeated(sent: RoutingHeaders) -> None:
    """Each routing header comes once; raises Refused (400, -32020)."""
    if sent.repeated is not None:
        raise Refused(f"header {sent.repeated} came twice: send it once", rpc_code=RpcCode.HEADER_MISMATCH)


@dataclass(frozen=True, slots=True)
class ParamHeader:
    """One parameter of a tool that its schema wants mirrored into a header."""

    path: tuple[str, ...]
    """The properties that lead to it from the arguments."""
    header: str
    """`Mcp-Param-Owner`."""
    type: str


Mirrored: TypeAlias = "Json | tuple[ParamHeader, ...]"
"""A tool's input schema, or what `parse_param_headers` made of it once for many calls."""


def parse_param_headers(schema: Json) -> tuple[ParamHeader, ...]:
    """What a tool's input schema wants mirrored; raises Invalid, for then clients must not use the tool at all."""
    found: dict[str, ParamHeader] = {}
    for path, node in _schemas(schema):
        if ANNOTATION not in node:
            continue
        token, kind = node[ANNOTATION], node.get("type")
        field = ".".join(("inputSchema", *(path or ())))
        if not path:
            raise Invalid(f"`{ANNOTATION}` belongs on a property of an object, nowhere else", field=field)
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise Invalid(f"`{ANNOTATION}` must be the name of a header", field=field)
        if not isinstance(kind, str) or kind not in _MIRRORED_TYPES:
            raise Invalid(f"`{ANNOTATION}` belongs on a string, an integer or a boolean", field=field)
        if token.lower() in found:
            raise Invalid(f"`{ANNOTATION}` names `{token}` twice: give each property its own", field=field)
        found[token.lower()] = ParamHeader(path, PARAM_PREFIX + token, kind)
    return tuple(found.values())


def check_param_headers(schema: Mirrored, arguments: JsonObject, headers: Sequence[tuple[str, str]]) -> None:
    """The `Mcp-Param-*` headers that the tool's schema asks for equal the arguments; raises Refused (400, -32020).

    Headers that it does not ask for are nobody's concern; a schema whose annotations are invalid asks for none.
    """
    sent: dict[str, list[str]] = {}
    for name, value in headers:
        if name.startswith("mcp-param-"):
            sent.setdefault(name, []).append(value.strip(_SPACE))
    if sent or arguments:
        for param in _wanted(schema):
            _check_param(param, _at(arguments, param.path), sent.get(param.header.lower(), []))


def param_headers(schema: Mirrored, arguments: JsonObject) -> dict[str, str]:
    """The `Mcp-Param-*` headers that go with a call to a modern upstream; null and absent arguments have none."""
    texts = ((param.header, _header_text(_at(arguments, param.path))) for param in _wanted(schema))
    return {header: encode_header_value(text) for header, text in texts if text is not None}


def _wanted(schema: Mirrored) -> tuple[ParamHeader, ...]:
    if isinstance(schema, tuple):
        return schema
    try:
        return parse_param_headers(schema)
    except Invalid:
        return ()


def _check_param(param: ParamHeader, value: Json, sent: list[str]) -> None:
    text = _header_text(value)
    argument = f"argument `{'.'.join(param.path)}`"
    if len(sent) > 1:
        raise Refused(f"header {param.header} came twice: send it once", rpc_code=RpcCode.HEADER_MISMATCH)
    if text is None:
        if sent:
            raise _mismatch(param.header, f"{argument}, which the body leaves out")
        return
    if not sent:
        raise _mismatch(param.header, argument, missing=True)
    decoded = decode_header_value(sent[0]) if _FIELD_VALUE.fullmatch(sent[0]) else None
    if decoded is None or not (decoded == text or (param.type == "integer" and _same_number(decoded, value))):
        raise _mismatch(param.header, argument)


def _same_number(text: str, value: Json) -> bool:
    """Whether a whole number was meant by both: `42.0` is 42."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        return False
    number = _WHOLE_NUMBER.fullmatch(text)
    return number is not None and int(number[1]) == int(value)


def _header_text(value: Json) -> str | None:
    """A scalar as a header says it; None for what has no header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _at(arguments: JsonObject, path: Sequence[str]) -> Json:
    node: Json = arguments
    for name in path:
        if not isinstance(node, dict):
            return None
        node = node.get(name)
    return node


def _schemas(root: Json) -> Iterator[tuple[tuple[str, ...] | None, JsonObject]]:
    """Every schema in a schema, with the properties that lead to it; None where something else does.

    Without recursion, for the depth is the upstream's choice.
    """
    waiting: list[tuple[tuple[str, ...] | None, Json]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        if not isinstance(node, dict):
            continue
        yield path, node
        for keyword, held in node.items():
            if keyword == "properties" and isinstance(held, dict):
                waiting += [(None if path is None else (*path, name), below) for name, below in held.items()]
            elif keyword in _HOLDS_ONE:
                waiting.append((None, held))
            elif keyword in _HOLDS_LIST and isinstance(held, list):
                waiting += [(None, below) for below in held]
            elif keyword in _HOLDS_MAP and isinstance(held, dict):
                waiting += [(None, below) for below in held.values()]


def _mismatch(header: str, what: str, *, missing: bool = False) -> Refused:
    fault = "is missing" if missing else "does not match"
    return Refused(f"header {header} {fault}: it must say {what}", rpc_code=RpcCode.HEADER_MISMATCH)
