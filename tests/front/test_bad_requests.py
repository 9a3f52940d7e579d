"""Requests that HTTP leaves to two readings: refused, or made canonical; and nothing behind them is executed."""

import json

import pytest

from tests.front.scene import HOST, client, fronted, post, request

BEHIND = post("/mcp/smuggled")
P = "POST /mcp HTTP/1.1\r\n" + HOST
CHUNKED = P + "Transfer-Encoding: chunked\r\n\r\n"
G = "GET /mcp HTTP/1.1\r\n"

FRAMING = {
    "length and chunks": P + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": P + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "a length twice": P + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": P + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a list of lengths": P + "Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": P + "Content-Length: +2\r\n\r\n{}",
    "a negative length": P + "Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": P + "Content-Length: 0x2\r\n\r\n{}",
    "a length of two words": P + "Content-Length: 2 2\r\n\r\n{}",
    "an empty length": P + "Content-Length:\r\n\r\n{}",
    "a length beyond 64 bits": P + "Content-Length: 18446744073709551618\r\n\r\n{}",
    "chunks twice": P + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity, then chunks": P + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": P + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked behind a control": P + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "an empty coding": P + "Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": f"POST /mcp HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk's quoted extension left open": CHUNKED + '2;a="\r\n{}\r\n0\r\n\r\n',
    "a space before an extension": CHUNKED + "2 ;a=b\r\n{}\r\n0\r\n\r\n",
    "a control in an extension": CHUNKED + "2;a\x01\r\n{}\r\n0\r\n\r\n",
    "an extension that ends in a bare line feed": CHUNKED + "2;a\n{}\r\n0\r\n\r\n",
    "a space behind a chunk's size": CHUNKED + "2 \r\n{}\r\n0\r\n\r\n",
    "a signed size": CHUNKED + "+2\r\n{}\r\n0\r\n\r\n",
    "a size with a prefix": CHUNKED + "0x2\r\n{}\r\n0\r\n\r\n",
    "a size beyond 64 bits": CHUNKED + "10000000000000002\r\n{}\r\n0\r\n\r\n",
    "chunks with bare line feeds": CHUNKED + "2\n{}\n0\n\n",
    "a chunk longer than it says": CHUNKED + "2\r\n{}x\r\n0\r\n\r\n",
    "an empty size": CHUNKED + "\r\n{}\r\n0\r\n\r\n",
    "a header after the body": CHUNKED + "2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
}
LINES = {
    "bare line feeds": f"POST /mcp HTTP/1.1\n{HOST.strip()}\nContent-Length: 2\n\n{{}}",
    "one bare line feed": P + "X: y\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return": P + "X: y\rContent-Length: 2\r\n\r\n{}",
    "two carriage returns": P + "X: y\r\r\nContent-Length: 2\r\n\r\n{}",
    "a head that ends in a bare line feed": P + "Content-Length: 2\r\n\n{}",
    "a folded header": P + "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "a header folded at once": P + "X:\r\n b\r\n\r\n",
    "a fold before the first header": f"POST /mcp HTTP/1.1\r\n {HOST}\r\n",
    "a space before the colon": P + "Content-Length : 2\r\n\r\n{}",
    "a tab before the colon": P + "X\t: y\r\n\r\n",
    "no colon": P + "X\r\n\r\n",
    "no name": P + ": y\r\n\r\n",
    "a control in a name": P + "X\x01: y\r\n\r\n",
    "a bracket in a name": P + "X(: y\r\n\r\n",
    "a letter that is not ASCII in a name": P + "X\xe4: y\r\n\r\n",
    "a NUL in a value": P + "X: y\x00z\r\n\r\n",
    "a control in a value": P + "X: y\x01z\r\n\r\n",
    "a delete in a value": P + "X: y\x7fz\r\n\r\n",
    "a method in lower case": f"post /mcp HTTP/1.1\r\n{HOST}\r\n",
    "an unknown method": f"SMUGGLE /mcp HTTP/1.1\r\n{HOST}\r\n",
    "a space before the method": f" POST /mcp HTTP/1.1\r\n{HOST}\r\n",
    "a version that is none": f"POST /mcp HTTP/1.2\r\n{HOST}\r\n",
    "a long version": f"POST /mcp HTTP/1.10\r\n{HOST}\r\n",
    "a version in lower case": f"POST /mcp http/1.1\r\n{HOST}\r\n",
    "no HTTP at all": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade": P + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "an upgrade to HTTP/2": P
    + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    "half an upgrade": P + "Upgrade: h2c\r\n\r\n",
}
HOSTS = {
    "no Host": "POST /mcp HTTP/1.1\r\n\r\n",
    "an empty Host": "POST /mcp HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host twice": P + HOST + "\r\n",
    "two Hosts": P + "Host: evil.example\r\n\r\n",
    "a Host with a path": G + "Host: wicket.example/mcp\r\n\r\n",
    "a Host with a user": G + "Host: wicket.example@evil.example\r\n\r\n",
    "a Host of two words": G + "Host: wicket.example evil.example\r\n\r\n",
    "a Host with two ports": G + "Host: wicket.example:1:2\r\n\r\n",
    "a Host with a port in words": G + "Host: wicket.example:http\r\n\r\n",
    "a Host with a query": G + "Host: wicket.example?x\r\n\r\n",
    "a Host with a fragment": G + "Host: wicket.example#x\r\n\r\n",
    "a Host with a backslash": G + "Host: wicket.example\\evil\r\n\r\n",
    "a Host that is not ASCII": G + "Host: wicket\xe4.example\r\n\r\n",
    "an open bracket": G + "Host: [::1\r\n\r\n",
    "a Host twice, for the API": "GET /api/x HTTP/1.1\r\n" + HOST + HOST + "\r\n",
    "no Host, for the API": "GET /api/x HTTP/1.1\r\n\r\n",
}
ELSEWHERE = {
    "two codings": (P + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "nearly chunked": (P + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "a tunnel": ("CONNECT wicket.example:80 HTTP/1.1\r\n" + HOST + "\r\n", 501),
    "a trace": (request("TRACE", "/mcp"), 501),
    "a method of WebDAV": (request("PROPFIND", "/mcp"), 501),
    "HTTP/2.0 in words": ("POST /mcp HTTP/2.0\r\n" + HOST + "\r\n", 505),
    "HTTP/0.9 in words": ("POST /mcp HTTP/0.9\r\n" + HOST + "\r\n", 505),
    "HTTP/0.9": ("GET /mcp\r\n\r\n", 505),
    "an unmet expectation": (P + "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", 417),
    "a foreign Host": (G + "Host: evil.example\r\n\r\n", 403),
    "a foreign Origin": (G + HOST + "Origin: https://evil.example\r\n\r\n", 403),
    "a foreign Origin behind ours": (
        G + HOST + "Origin: http://wicket.example\r\nOrigin: https://evil.example\r\n\r\n",
        403,
    ),
}
REFUSED = [
    *(pytest.param(raw, 400, id=name) for table in (FRAMING, LINES, HOSTS) for name, raw in table.items()),
    *(pytest.param(raw, status, id=name) for name, (raw, status) in ELSEWHERE.items()),
]


@pytest.mark.parametrize(("raw", "status"), REFUSED)
async def test_it_is_refused_and_nothing_behind_it_is_executed(raw: str, status: int) -> None:
    async with fronted() as f, client(f) as c:
        c.send(raw + BEHIND + BEHIND)
        answer = await c.answer()
        c.writer.write_eof()
        rest = await c.rest()
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert rest == b""
    assert f.handler.seen == []
    assert f.api.seen == []


@pytest.mark.parametrize(("raw", "status"), REFUSED)
async def test_what_came_before_it_is_answered_first(raw: str, status: int) -> None:
    async with fronted() as f, client(f) as c:
        c.send(post("/mcp/first") + raw + BEHIND)
        statuses = [(await c.answer()).status, (await c.answer()).status]
        c.writer.write_eof()
        rest = await c.rest()
    assert statuses == [200, status]
    assert rest == b""
    assert [inbound.service for inbound in f.handler.seen] == ["first"]


CANONICAL: dict[str, tuple[str, dict[str, str], bytes]] = {
    "spaces around a value": (P + "X-A: \t y \t \r\nContent-Length: 2 \r\n\r\n{}", {"x-a": "y"}, b"{}"),
    "names in any case": (P + "x-A: y\r\ncOnTeNt-LeNgTh: 2\r\n\r\n{}", {"x-a": "y"}, b"{}"),
    "a tab in a value": (P + "X-A: a\tb\r\n\r\n", {"x-a": "a\tb"}, b""),
    "bytes that are not ASCII in a value": (P + "X-A: \xe4\r\n\r\n", {"x-a": "\xe4"}, b""),
    "an empty value": (P + "X-A:\r\n\r\n", {"x-a": ""}, b""),
    "zeros before a length": (P + "Content-Length: 0002\r\n\r\n{}", {}, b"{}"),
    "chunks": (CHUNKED + "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", {}, b"{}"),
    "chunks in capitals": (P + "Transfer-Encoding: Chunked \r\n\r\n2\r\n{}\r\n0\r\n\r\n", {}, b"{}"),
    "zeros before a size": (CHUNKED + "00002\r\n{}\r\n000\r\n\r\n", {}, b"{}"),
    "an extension": (CHUNKED + '2;a="b";c\r\n{}\r\n0\r\n\r\n', {}, b"{}"),
    "two spaces before the path": (f"POST  /mcp HTTP/1.1\r\n{HOST}\r\n", {}, b""),
    "empty lines before the request": ("\r\n\r\n" + P + "\r\n", {}, b""),
    "a wish to upgrade, to nothing": (P + "Connection: upgrade\r\nContent-Length: 2\r\n\r\n{}", {}, b"{}"),
    "a body where none is usual": (G + HOST + "Content-Length: 2\r\n\r\n{}", {}, b"{}"),
    "an underscore for a hyphen": (
        P + "X_Forwarded_For: 1.2.3.4\r\nMcp_Session_Id: x\r\nAuthorization_: x\r\n\r\n",
        {"x-forwarded-for": "", "mcp-session-id": "", "authorization": "", "x_forwarded_for": ""},
        b"",
    ),
    "an underscore for the length": (P + "Content_Length: 9\r\nContent-Length: 2\r\n\r\n{}", {}, b"{}"),
}


@pytest.mark.parametrize(("raw", "headers", "body"), CANONICAL.values(), ids=CANONICAL.keys())
async def test_it_is_read_in_its_one_meaning(raw: str, headers: dict[str, str], body: bytes) -> None:
    async with fronted() as f, client(f) as c:
        c.send(raw + BEHIND)
        first, second = await c.answer(), await c.answer()
        assert (first.status, second.status) == (200, 200)
        seen, behind = f.handler.seen
    assert {name: seen.header(name) or "" for name in headers} == headers
    assert (seen.body, seen.service, behind.service) == (body, None, "smuggled")


@pytest.mark.parametrize(
    ("target", "kind"), [("/mcp", "application/json"), ("/api/x", "application/problem+json")]
)
async def test_a_refusal_speaks_the_language_of_who_asked(target: str, kind: str) -> None:
    async with fronted() as f, client(f) as c:
        c.send(request("POST", target, "Transfer-Encoding: gzip, chunked"))
        answer = await c.answer()
    document = json.loads(answer.body)
    assert answer.headers["content-type"] == kind
    assert (document["error"]["code"] if target == "/mcp" else document["status"]) in {-32600, 501}


TARGETS = {
    "/mcp": (200, None),
    "/mcp/": (200, None),
    "/mcp?x=/mcp/evil": (200, None),
    "/mcp/github": (200, "github"),
    "/mcp/github/": (200, "github"),
    "/mcp/github?%00": (200, "github"),
    "/mcp/GitHub": (404, None),
    "/mcp/git-hub": (404, None),
    "/mcp/1github": (404, None),
    "/mcp/" + "g" * 32: (404, None),
    "/mcp/github/x": (404, None),
    "/mcp/github//": (404, None),
    "/mcp//": (404, None),
    "//mcp": (404, None),
    "/mcp/../api": (404, None),
    "/mcp/..": (404, None),
    "/mcp/./github": (404, None),
    "/mcp/%67ithub": (404, None),
    "/mcp/github%2f..": (404, None),
    "/mcp/github%00": (404, None),
    "/mcp/github;x": (404, None),
    "/mcp;x": (404, None),
    "/%6dcp": (404, None),
    "/MCP": (404, None),
    "/MCP/github": (404, None),
    "/api/../mcp": (404, None),
    "/api/..": (404, None),
    "/api/%2e%2e/mcp": (404, None),
    "/api/%2E./mcp": (404, None),
    "/api%2fagents": (404, None),
    "/api%5cagents": (404, None),
    "/api/x%00": (404, None),
    "/api/x%0d%0aX:y": (404, None),
    "/api/%252e": (404, None),
    "/api/%ff": (404, None),
    "/api/x;y": (404, None),
    "/api//x": (404, None),
    "/api/x%": (400, None),
    "/api/x%2": (400, None),
    "/api/x%zz": (400, None),
    "/mcp%": (400, None),
    "/mcp#x": (400, None),
    "/api/x#y": (400, None),
    "/mcp?x#y": (400, None),
    "/mcp\\x": (400, None),
    "/mcp\xe4": (400, None),
    "/mcp\x00": (400, None),
    "/mcp\tx": (400, None),
    "mcp": (400, None),
    "*": (400, None),
    "http://wicket.example/mcp": (400, None),
    "http://evil.example/mcp": (400, None),
    "//evil.example/mcp": (404, None),
    "wicket.example:80": (400, None),
    "?x": (400, None),
}


@pytest.mark.parametrize("target", TARGETS)
async def test_a_path_is_served_in_one_spelling(target: str) -> None:
    status, service = TARGETS[target]
    async with fronted() as f, client(f) as c:
        c.send(post(target) + (BEHIND if status != 200 else ""))
        answer = await c.answer()
        c.writer.write_eof()
        rest = await c.rest()
    assert (answer.status, rest) == (status, b"")
    assert [inbound.service for inbound in f.handler.seen] == ([service] if status == 200 else [])
    assert f.api.seen == []


@pytest.mark.parametrize(
    ("target", "path"),
    [("/", "/"), ("/api/x", "/api/x"), ("/api/a%20b", "/api/a b"), ("/api/%C3%A4?q=%2f..", "/api/\xe4")],
)
async def test_any_other_path_is_the_api_s(target: str, path: str) -> None:
    async with fronted() as f, client(f) as c:
        c.send(request("GET", target))
        answer = await c.answer()
        assert (answer.status, answer.body) == (200, b"api")
    assert [seen[1] for seen in f.api.seen] == [path]
    assert f.handler.seen == []
