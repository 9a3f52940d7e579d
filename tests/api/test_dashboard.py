"""How the dashboard is served: its page at every address of it, its files from a table, and nothing else."""

import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from wicket.api.dashboard import NONCE_MARK, PAGES, Dashboard

ROUTER = Path(__file__).parent.parent.parent / "dashboard/src/app/router.tsx"
SCRIPT = b"console.log('wicket')"
PAGE = f'<html><script nonce="{NONCE_MARK}" src="/assets/main-1a2b3c4d.js"></script></html>'
ENDINGS = {None: "", "gzip": ".gz", "br": ".br"}
ADDRESSES = ["/", "/sign-in", "/agents", "/agents/0198/policies/new", "/audit", "/changes", "/account"]


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """What a build leaves."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "theme.js").write_bytes(SCRIPT)
    (folder / "assets/main-1a2b3c4d.js").write_bytes(SCRIPT)
    (folder / "assets/main-1a2b3c4d.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets/main-1a2b3c4d.js.br").write_bytes(b"as if by brotli")
    (tmp_path / "secret.js").write_text("not ours to show")
    return folder


@asynccontextmanager
async def browsing(static: Path) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=Dashboard(static))
    headers = {"Accept-Encoding": "identity"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://wicket.test", headers=headers
    ) as client:
        yield client


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_address_of_a_page_answers_the_page(static: Path, address: str) -> None:
    async with browsing(static) as client:
        answer = await client.get(address)
    assert Dashboard(static).serves(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_each_answer_has_a_nonce_of_its_own_and_a_policy_that_names_it(static: Path) -> None:
    nonces, policy = set(), ""
    async with browsing(static) as client:
        for _ in range(2):
            answer = await client.get("/agents")
            (nonce,) = re.findall(r'nonce="([\w-]{24})"', answer.text)
            policy = answer.headers["content-security-policy"]
            assert f"style-src 'self' 'nonce-{nonce}'" in policy
            nonces.add(nonce)
    assert len(nonces) == 2
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_what_has_its_digest_in_its_name_is_kept_for_ever(static: Path) -> None:
    async with browsing(static) as client:
        hashed = await client.get("/assets/main-1a2b3c4d.js")
        named = await client.get("/theme.js")
    assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert named.headers["cache-control"] == "no-cache"
    assert hashed.content == named.content == SCRIPT
    assert hashed.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("br; q=0.0, GZIP", "gzip"),
        ("identity", None),
        ("zstd", None),
        ("", None),
    ],
)
async def test_a_file_is_sent_as_it_was_compressed_when_built(
    static: Path, accepted: str, encoding: str | None
) -> None:
    dashboard = Dashboard(static)
    transport = httpx2.ASGITransport(app=dashboard)
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://wicket.test") as client,
        client.stream("GET", "/assets/main-1a2b3c4d.js", headers={"Accept-Encoding": accepted}) as answer,
    ):
        sent = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    stored = static / "assets/main-1a2b3c4d.js"
    assert sent == stored.with_name(stored.name + ENDINGS[encoding]).read_bytes()


async def test_what_a_browser_has_already_is_not_sent_again(static: Path) -> None:
    async with browsing(static) as client:
        first = await client.get("/theme.js")
        etag = first.headers["etag"]
        again = await client.get("/theme.js", headers={"If-None-Match": f'"other", W/{etag}'})
        (static / "theme.js").write_bytes(b"// changed")
    async with browsing(static) as client:
        changed = await client.get("/theme.js", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (changed.status_code, changed.content) == (200, b"// changed")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/unknown.js",
        "/assets/../../secret.js",
        "/../secret.js",
        "/assets/..%2f..%2fsecret.js",
        "/secret.js",
        "/index.html",
        "/assets/main-1a2b3c4d.js.gz",
        "/theme.js/",
        "/nonsense",
        "/agentsandmore",
        "/api",
        "/api/agents",
        "/alive",
        "/metrics",
    ],
)
def test_what_is_in_no_table_is_not_served(static: Path, path: str) -> None:
    assert not Dashboard(static).serves(path)


@pytest.mark.parametrize("path", ["/", "/agents", "/theme.js"])
async def test_pages_are_read_and_nothing_else(static: Path, path: str) -> None:
    async with browsing(static) as client:
        answer = await client.post(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_what_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    async with browsing(tmp_path / "nothing") as client:
        answer = await client.get("/agents")
    assert answer.status_code == 503
    assert "make dashboard" in answer.text
    assert "<script" not in answer.text


async def test_the_api_answers_for_what_is_no_page(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.get("/nonsense")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_server_knows_the_addresses_of_the_router() -> None:
    routed = re.findall(r'path: "/([a-z-]*)', ROUTER.read_text(encoding="utf-8"))
    assert set(routed) == PAGES
