"""What a decided request means, as far as its message says: which service, which tool, with which arguments.

`tools/call` names a tool. The other decided methods are reads, judged as actions of their own names; what they
carry on is a closed vocabulary, so nothing reaches an upstream that was not parsed here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from wicket.connectors.resolve import TOOLS_CALL, is_known_tool, known_tools
from wicket.core.errors import Refused, RpcCode
from wicket.core.jsonrpc import Era, ParamHeader, Request, check_param_headers, tool_call
from wicket.core.model import OTHER_METHODS, Json, JsonObject, Reason
from wicket.core.naming import find_shortened, split_name
from wicket.core.world import World
from wicket.gateway.http import Headers

NAME_SHOWN_MAX: Final = 128
TEXT_CHARS_MAX: Final = 8_192
"""Of a prompt's name, a resource's address, and what is to be completed."""
SUBSCRIBE: Final = "resources/subscribe"
READ: Final = "resources/read"
PROMPT: Final = "prompts/get"
COMPLETE: Final = "completion/complete"
_LEGACY_ONLY: Final = frozenset({SUBSCRIBE, "resources/unsubscribe"})
_SINGLE_ONLY: Final = _LEGACY_ONLY | {READ}
"""Addresses of resources carry no service, so these are served where one connector has an address of its own."""
DECIDED: Final = frozenset({TOOLS_CALL, *OTHER_METHODS})


def is_decided(request: Request, service: str | None) -> bool:
    """Whether a request is decided and recorded like a call; `service` as in `parse_target`."""
    if request.method in _LEGACY_ONLY and request.era is Era.MODERN:
        return False
    return request.method in (DECIDED - _SINGLE_ONLY if service is None else DECIDED)


@dataclass(frozen=True, slots=True)
class CallTarget:
    """Which tool a call means, as far as its message says; no rule has been read yet.

    With `refused`, the call is malformed and is answered so once it is recorded.
    """

    service: str
    name: str
    """Without the service's prefix; perhaps the shortened name that lists show."""
    arguments: JsonObject
    exposed_as: str | None = None
    """The whole name behind the aggregator."""
    refused: Refused | None = None
    reason: Reason = Reason.UNKNOWN_TOOL
    method: str = TOOLS_CALL
    inputs: JsonObject = field(default_factory=dict)
    """What the upstream asked for in an earlier round: `inputResponses`, and its own `requestState`."""

    def tool(self, world: World) -> str:
        """The tool's own name, where the world knows the tool at all; other methods are their own action."""
        if self.method != TOOLS_CALL:
            return self.method
        if is_known_tool(world, self.service, self.name):
            return self.name
        shown, prefix = (self.name, None) if self.exposed_as is None else (self.exposed_as, self.service)
        return find_shortened(shown, prefix, known_tools(world, self.service)) or self.name


def parse_target(request: Request, service: str | None) -> CallTarget:
    """Read what a decided request is about; `service` is the connector endpoint's, None at `/mcp`."""
    if request.method != TOOLS_CALL:
        return _parse_other(request, service)
    said = request.params.get("name")
    name, exposed_as = said if isinstance(said, str) else "", None
    if service is None:
        exposed_as = name
        service, name = split_name(name) or ("", name)
    try:
        _, arguments = tool_call(request.params)
    except Refused as refused:
        bad_name = refused.facts.get("field") == "name"
        reason = Reason.UNKNOWN_TOOL if bad_name else Reason.ARGUMENTS_REJECTED
        return CallTarget(_shown(service), _shown(name), {}, refused=refused, reason=reason)
    if not service:
        return CallTarget("", name, arguments, refused=_no_prefix(name))
    return CallTarget(_shown(service), name, arguments, exposed_as)


def check_headers(target: CallTarget, mirrored: tuple[ParamHeader, ...], headers: Headers) -> CallTarget:
    """The target, malformed where a header says another thing than the argument that it mirrors."""
    try:
        check_param_headers(mirrored, target.arguments, headers)
    except Refused as refused:
        return replace(target, refused=refused, reason=Reason.ARGUMENTS_REJECTED)
    return target


def _parse_other(request: Request, service: str | None) -> CallTarget:
    try:
        arguments = _READERS[request.method](request.params)
    except Refused as refused:
        at = _shown(service or "")
        reason = Reason.ARGUMENTS_REJECTED
        return CallTarget(at, request.method, {}, refused=refused, reason=reason, method=request.method)
    if service is None:
        service, arguments = _without_prefix(arguments)
    target = CallTarget(_shown(service), request.method, arguments, method=request.method)
    if service:
        return target
    return replace(target, refused=_no_prefix(request.method), reason=Reason.ARGUMENTS_REJECTED)


def _without_prefix(arguments: JsonObject) -> tuple[str, JsonObject]:
    """(service, arguments without its prefix) of a prompt or a completion for one; no service: none was named."""
    ref = arguments.get("ref")
    named = ref if isinstance(ref, dict) else arguments
    name = named.get("name")
    service, rest = (split_name(name) if isinstance(name, str) else None) or ("", "")
    renamed = named | {"name": rest}
    return service, (arguments | {"ref": renamed} if named is ref else renamed)


def _read_prompt(params: JsonObject) -> JsonObject:
    read: JsonObject = {"name": _text(params, "name")}
    if params.get("arguments") is not None:
        read["arguments"] = _texts(params, "arguments")
    return read


def _read_address(params: JsonObject) -> JsonObject:
    return {"uri": _text(params, "uri")}


def _read_completion(params: JsonObject) -> JsonObject:
    """MCP 2026-07-28, server/utilities/completion."""
    ref, argument = _object(params, "ref"), _object(params, "argument")
    match ref.get("type"):
        case "ref/prompt":
            meant: JsonObject = {"type": "ref/prompt", "name": _text(ref, "name")}
        case "ref/resource":
            meant = {"type": "ref/resource", "uri": _text(ref, "uri")}
        case _:
            raise _bad("ref.type", "`ref/prompt` or `ref/resource`")
    value = argument.get("value")
    if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX:
        raise _bad("argument.value", "a text")
    read: JsonObject = {"ref": meant, "argument": {"name": _text(argument, "name"), "value": value}}
    if params.get("context") is not None:
        context = _object(params, "context")
        read["context"] = {"arguments": _texts(context, "arguments")} if "arguments" in context else {}
    return read


_READERS: Final[Mapping[str, Callable[[JsonObject], JsonObject]]] = {
    PROMPT: _read_prompt,
    READ: _read_address,
    SUBSCRIBE: _read_address,
    "resources/unsubscribe": _read_address,
    COMPLETE: _read_completion,
}


def _text(params: JsonObject, key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX:
        raise _bad(key, f"a text of 1 to {TEXT_CHARS_MAX} characters")
    return value


def _object(params: JsonObject, key: str) -> JsonObject:
    value = params.get(key)
    if not isinstance(value, dict):
        raise _bad(key, "an object")
    return value


def _texts(params: JsonObject, key: str) -> dict[str, Json]:
    value = _object(params, key)
    if not all(isinstance(one, str) for one in value.values()):
        raise _bad(key, "an object of texts")
    return value


def _bad(field_name: str, what: str) -> Refused:
    return Refused(f"`{field_name}` must be {what}", rpc_code=RpcCode.INVALID_PARAMS, field=field_name)


def _shown(name: str) -> str:
    """A name that may be none, fit for an audit entry."""
    return name[:NAME_SHOWN_MAX].encode("unicode_escape").decode()[:NAME_SHOWN_MAX]


def _no_prefix(name: str) -> Refused:
    return Refused(
        f"`{name}` has no service prefix: call `service__tool`, as `tools/list` names it",
        rpc_code=RpcCode.INVALID_PARAMS,
    )
