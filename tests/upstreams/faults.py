"""What upstreams do wrong: behaviours for `RecordingUpstream`, by name."""

import gzip

from tests.upstreams.recording import Behaviour, Out, Seen
from wicket.core.model import Json, JsonObject

DRIP_EVERY_S = 0.05
"""Between two bytes of an upstream that drips: less than any patience in the tests."""


def result_of(request_id: Json, text: str = "done") -> JsonObject:
    return {"jsonrpc": "2.0", "id": request_id, "result": {"content": [{"type": "text", "text": text}]}}


async def hang(seen: Seen, out: Out) -> None:
    await out.until_left()


async def hang_after_head(seen: Seen, out: Out) -> None:
    await out.head(200, {"Content-Type": "application/json", "Content-Length": "100"})
    await out.until_left()


async def hang_in_stream(seen: Seen, out: Out) -> None:
    await out.stream()
    await out.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "working"}})
    await out.until_left()


async def reset(seen: Seen, out: Out) -> None:
    out.reset()


async def hang_up(seen: Seen, out: Out) -> None:
    out.hang_up()


async def hang_up_in_body(seen: Seen, out: Out) -> None:
    await out.head(200, {"Content-Type": "application/json", "Content-Length": "100"})
    await out.raw(b'{"jsonrpc": "2.0"')
    out.hang_up()


async def stream_without_answer(seen: Seen, out: Out) -> None:
    await out.stream()
    await out.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
    await out.finish()


async def malformed_json(seen: Seen, out: Out) -> None:
    await out.body(b'{"jsonrpc": "2.0", "id": 1, "result": {')


async def repeated_keys(seen: Seen, out: Out) -> None:
    await out.body(f'{{"jsonrpc": "2.0", "id": {seen.id}, "result": {{"a": 1, "a": 2}}}}'.encode())


async def wrong_id(seen: Seen, out: Out) -> None:
    await out.json(result_of("of-another"))


async def no_json_rpc(seen: Seen, out: Out) -> None:
    await out.json({"ok": True})


async def html(seen: Seen, out: Out) -> None:
    await out.body(b"<html>Please log in</html>", kind="text/html; charset=utf-8")


async def redirect(seen: Seen, out: Out) -> None:
    await out.body(b"", status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"})


async def gzip_bomb(seen: Seen, out: Out) -> None:
    await out.body(gzip.compress(bytes(10_000_000)), headers={"Content-Encoding": "gzip"})


async def huge_answer(seen: Seen, out: Out) -> None:
    await out.json(result_of(seen.id, "x" * 10_000_000))


async def huge_event(seen: Seen, out: Out) -> None:
    await out.stream()
    await out.event(result_of(seen.id, "x" * 10_000_000))
    await out.finish()


async def endless_header(seen: Seen, out: Out) -> None:
    await out.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000)
    await out.until_left()


async def not_http(seen: Seen, out: Out) -> None:
    await out.raw(b"220 mail.example.com ESMTP\r\n")
    out.hang_up()


async def drip_head(seen: Seen, out: Out) -> None:
    """A header that goes on, byte by byte, and no end of it."""
    await out.raw(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    await _drip(out, b"x")


async def drip_body(seen: Seen, out: Out) -> None:
    await out.head(200, {"Content-Type": "application/json", "Content-Length": "1000000000"})
    await _drip(out, b" ")


async def drip_stream(seen: Seen, out: Out) -> None:
    await out.stream()
    await out.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "working"}})
    await _drip(out, b"1\r\n:\r\n")


async def _drip(out: Out, piece: bytes) -> None:
    while not await out.is_left(within_s=DRIP_EVERY_S):
        await out.raw(piece)


async def endless_body(seen: Seen, out: Out) -> None:
    await out.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    while True:
        await out.chunk(b" " * 65_536)


async def hundred_megabytes(seen: Seen, out: Out) -> None:
    await out.head(200, {"Content-Type": "application/json", "Content-Length": "100000000"})
    for _ in range(1_000):
        await out.raw(b" " * 100_000)


async def two_answers(seen: Seen, out: Out) -> None:
    """The second contradicts the first."""
    await out.stream()
    await out.event(result_of(seen.id, "first"))
    await out.event(result_of(seen.id, "second"))
    await out.finish()


async def answers_unasked(seen: Seen, out: Out) -> None:
    """A second HTTP answer behind the first: whoever asked next on this connection would get it."""
    await out.json(result_of(seen.id, "first"))
    await out.json(result_of(seen.id, "second"))


async def session_gone(seen: Seen, out: Out) -> None:
    await out.json({"jsonrpc": "2.0", "id": None, "error": {"code": -32001, "message": "?"}}, status=404)


async def unauthorized(seen: Seen, out: Out) -> None:
    await out.json({"error": "invalid_token"}, status=401, headers={"WWW-Authenticate": "Bearer"})


async def too_many(seen: Seen, out: Out) -> None:
    await out.body(b"slow down", kind="text/plain", status=429, headers={"Retry-After": "soon"})


async def server_error(seen: Seen, out: Out) -> None:
    await out.body(b"oops", kind="text/plain", status=500)


async def accepted(seen: Seen, out: Out) -> None:
    await out.accepted()


BROKEN: dict[str, Behaviour] = {
    fault.__name__: fault
    for fault in (
        reset,
        hang_up,
        hang_up_in_body,
        stream_without_answer,
        malformed_json,
        repeated_keys,
        wrong_id,
        no_json_rpc,
        html,
        redirect,
        gzip_bomb,
        huge_answer,
        huge_event,
        endless_header,
        not_http,
        unauthorized,
        too_many,
        server_error,
        accepted,
    )
}
"""Answered at once, and badly: 502."""

SILENT: dict[str, Behaviour] = {fault.__name__: fault for fault in (hang, hang_after_head)}
"""Not answered, or not to the end: 504."""
