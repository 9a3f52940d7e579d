"""The bridge to the API: what an ASGI application is given, and what becomes of what it sends."""

import asyncio
from ipaddress import ip_network

import pytest
from starlette.types import Receive, Scope, Send

from tests.front.scene import Fronted, client, fronted, request
from wicket.front import Door


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, object]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(body: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def sends(f: Fronted, *messages: dict[str, object]) -> None:
    async def behave(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    f.api.behave = behave


async def test_an_application_is_given_what_was_read() -> None:
    door = Door("wicket.example", is_loopback=True, trusted_proxies=(ip_network("127.0.0.0/8"),))
    async with fronted(door=door) as f, client(f) as c:
        headers = ("X-A: 1", "x-a: 2", "X_A: 3", "X-Forwarded-For: 203.0.113.7")
        c.send(request("PUT", "/api/a%20b?q=%2f&r", *headers, body='{"a": 1}'))
        assert (await c.answer()).headers["x-api"] == "yes"
    (scope,) = f.api.scopes
    assert f.api.seen == [("PUT", "/api/a b", b'{"a": 1}')]
    assert (scope["type"], scope["http_version"], scope["root_path"]) == ("http", "1.1", "")
    assert (scope["raw_path"], scope["query_string"]) == (b"/api/a%20b", b"q=%2f&r")
    assert scope["client"][0] == "203.0.113.7"
    assert [value for name, value in scope["headers"] if name == b"x-a"] == [b"1", b"2"]
    assert b"x_a" not in dict(scope["headers"])


async def test_a_whole_answer_says_how_long_it_is_whatever_the_application_says() -> None:
    async with fronted() as f, client(f) as c:
        lies = ((b"Content-Length", b"99"), (b"Connection", b"close"), (b"X-A", b"b"))
        sends(f, start(201, *lies), part(b"abc", more=False))
        c.send(request("GET", "/api/x") * 2)
        for _ in range(2):
            answer = await c.answer()
            assert (answer.status, answer.body, answer.headers["x-a"]) == (201, b"abc", "b")
            assert answer.headers["content-length"] == "3"
            assert "connection" not in answer.headers


async def test_a_streamed_answer_comes_in_chunks() -> None:
    async with fronted() as f, client(f) as c:
        sends(
            f,
            start(),
            part(b"a", more=True),
            part(b"", more=True),
            part(b"b", more=True),
            part(b"", more=False),
        )
        c.send(request("GET", "/api/x") * 2)
        for _ in range(2):
            assert (await c.answer()).chunks == [b"a", b"b"]


async def test_head_of_a_streamed_answer_has_no_body() -> None:
    async with fronted() as f, client(f) as c:
        sends(f, start(), part(b"a", more=True), part(b"b", more=False))
        c.send(request("HEAD", "/api/x") * 2)
        for _ in range(2):
            assert (await c.answer(of_head=True)).status == 200


async def test_an_application_that_fails_is_answered_for() -> None:
    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError("a secret")

    async with fronted() as f, client(f) as c:
        f.api.behave = fail
        c.send(request("GET", "/api/x") * 2)
        for _ in range(2):
            answer = await c.answer()
            assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
            assert b"secret" not in answer.body


@pytest.mark.parametrize("is_streaming", [True, False])
async def test_an_application_that_gives_up_half_way_is_seen_to(*, is_streaming: bool) -> None:
    async with fronted() as f, client(f) as c:
        sends(f, start(), *([part(b"abc", more=True)] if is_streaming else ()))
        c.send(request("GET", "/api/x") * 2)
        assert not (await c.rest()).endswith(b"0\r\n\r\n")
    assert len(f.api.scopes) == 1


async def test_an_application_goes_on_when_its_client_leaves_and_may_find_that_out() -> None:
    asked, told, finished = asyncio.Event(), list[str](), asyncio.Event()

    async def behave(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        asked.set()
        told.append((await receive())["type"])
        await send(start())
        await send(part(b"abc", more=False))
        finished.set()

    async with fronted() as f:
        f.api.behave = behave
        async with client(f) as c, asyncio.timeout(5):
            c.send(request("GET", "/api/x"))
            await asked.wait()
        async with asyncio.timeout(5):
            await finished.wait()
        await f.until(lambda: not f.tasks and not f.connections)
    assert told == ["http.disconnect"]


async def test_an_application_that_streams_waits_for_its_reader() -> None:
    sent = 0

    async def behave(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(1000):
            await send(part(b"x" * 100_000, more=True))
            sent += 1

    async with fronted() as f:
        f.api.behave = behave
        async with client(f) as c:
            c.writer.transport.pause_reading()  # type: ignore[attr-defined]
            c.send(request("GET", "/api/x"))
            await f.until(lambda: any(one._writable is not None for one in f.connections))
            before = sent
            f.pass_time(30)
            assert before == sent < 1000
        await f.until(lambda: not f.connections)


async def test_a_silent_stream_of_events_of_the_application_gets_a_comment_now_and_then() -> None:
    going_on = asyncio.Event()

    async def behave(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-type", b"text/event-stream; charset=utf-8")))
        await send(part(b"data: 1\n\n", more=True))
        await going_on.wait()
        await send(part(b"", more=False))

    async with fronted() as f, client(f) as c:
        f.api.behave = behave
        c.send(request("GET", "/api/x"))
        await c.head()
        assert await c.chunk() == b"data: 1\n\n"
        f.pass_time(16)
        assert await c.chunk() == b": keep-alive\n\n"
        going_on.set()
        assert await c.chunk() == b""
