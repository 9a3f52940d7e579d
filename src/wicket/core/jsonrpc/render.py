"""Message -> bytes: compact JSON in UTF-8, always from values and never from somebody's bytes."""

from json import JSONEncoder
from typing import Final

import orjson

from wicket.core.model import Json, JsonObject

# Values come from our own parser or are built here, so they hold no cycles and no NaN.
_ENCODER: Final = JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_ASCII_ENCODER: Final = JSONEncoder(check_circular=False, separators=(",", ":"))


def render_json(value: Json) -> bytes:
    """Compact JSON. Raises ValueError for lone surrogates, which UTF-8 cannot say."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an upstream's integer of more than 64 bits, or a lone surrogate
        return _ENCODER.encode(value).encode()


def render_json_text(value: Json) -> str:
    """Compact JSON as text that every database can hold: what UTF-8 cannot say is escaped."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return _ASCII_ENCODER.encode(value)


def render_result(id: str | int, result: JsonObject) -> bytes:  # noqa: A002 - the protocol's own word
    """The successful response to request `id`."""
    return render_json({"jsonrpc": "2.0", "id": id, "result": result})


def render_error(
    id: str | int | None,  # noqa: A002 - the protocol's own word
    code: int,
    message: str,
    data: Json = None,
) -> bytes:
    """The error response to request `id`; None, where the request's id could not be read, is null on the wire."""
    error: JsonObject = {"code": int(code), "message": message}
    if data is not None:
        error["data"] = data
    return render_json({"jsonrpc": "2.0", "id": id, "error": error})


def render_request(
    id: str | int,  # noqa: A002 - the protocol's own word
    method: str,
    params: JsonObject | None = None,
) -> bytes:
    """A request; without `params` the key is left out."""
    request: JsonObject = {"jsonrpc": "2.0", "id": id, "method": method}
    if params is not None:
        request["params"] = params
    return render_json(request)


def render_notification(method: str, params: JsonObject | None = None) -> bytes:
    """A notification, which nobody answers; without `params` the key is left out."""
    notification: JsonObject = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        notification["params"] = params
    return render_json(notification)
