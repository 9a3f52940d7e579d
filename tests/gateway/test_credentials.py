"""Credentials: each call carries its own member's token and no other; no secret is found where it does not belong."""

import asyncio
import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.gateway.scene import Scene, scene
from tests.instance import Answer, now
from tests.upstreams import faults
from tests.upstreams.recording import Out, Seen
from wicket.core.keys import make_key
from wicket.core.model import AuthType, JsonObject
from wicket.store import accounts, tables
from wicket.store.accounts import Scope

PEOPLE = ("ann@example.com", "ben@example.com", "cyd@example.com")


async def _moved_in(s: Scene) -> dict[str, str]:
    """Their keys; `token-of-<email>` is everybody's token."""
    keys = {email: await s.agent.key(email) for email in PEOPLE}
    for email in PEOPLE:
        await s.agent.connect("fake", f"token-of-{email}", email)
    return keys


@pytest.mark.promise("P8")
async def test_lists_are_fetched_with_each_member_s_own_token_too(tmp_path: Path) -> None:
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        keys = await _moved_in(s)
        await asyncio.gather(*(s.wicket.rpc(keys[email], "tools/list") for email in PEOPLE * 3))
        tokens = [seen.headers["authorization"] for seen in s.upstream.of("tools/list")]

    assert sorted(tokens) == [f"Bearer token-of-{email}" for email in PEOPLE]


def _break_seals(tx: sa.Connection) -> None:
    tx.execute(sa.update(tables.connections).values(sealed=b"\x01nothing that opens"))


@pytest.mark.promise("P8")
async def test_a_denied_call_opens_nothing(tmp_path: Path) -> None:
    """Seen by a seal that cannot be opened: whoever tries answers 412."""
    async with scene(tmp_path, auth=AuthType.BEARER, permit=False) as s:
        await s.agent.connect("fake", "token")
        await s.wicket.change(_break_seals, agents=[s.agent.id])
        denied = [await s.call(modern=modern) for modern in (False, True)]
        await s.agent.policy(service="fake")
        allowed = await s.call()
        seen = len(s.upstream.seen)

    assert [answer.status for answer in denied] == [200, 200]
    assert {answer.data["reason"] for answer in denied} == {"no_permit_matched"}
    assert allowed.status == 412
    assert seen == 0


@pytest.mark.promise("P8")
async def test_a_token_moved_to_another_member_does_not_open(tmp_path: Path) -> None:
    def move(tx: sa.Connection, ann: str, ben: str) -> None:
        connections = tables.connections
        stolen = tx.execute(
            sa.select(connections.c.sealed, connections.c.key_id).where(connections.c.member_id == ann)
        ).one()
        of_ben = connections.c.member_id == ben
        tx.execute(sa.update(connections).where(of_ben).values(sealed=stolen.sealed, key_id=stolen.key_id))

    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        keys = await _moved_in(s)
        ann, ben = [await s.agent.member(email) for email in PEOPLE[:2]]
        await s.wicket.change(move, ann, ben, agents=[s.agent.id])
        answer = await s.call(key=keys[PEOPLE[1]])

    assert answer.status == 412
    assert s.upstream.seen == []


async def test_what_was_connected_before_there_was_a_key_works_with_it(tmp_path: Path) -> None:
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        await s.agent.connect("fake", "given-early", "dan@example.com")
        key = await s.agent.key("dan@example.com")
        first = await s.call(key=key)
        rotated = await s.agent.key("dan@example.com", current_key=key)
        second = await s.call(key=rotated)
        tokens = {seen.headers["authorization"] for seen in s.upstream.calls}

    assert (first.status, second.status) == (200, 200)
    assert tokens == {"Bearer given-early"}


def _api_token(tx: sa.Connection, account_id: str) -> str:
    made = accounts.create_token(
        tx, account_id=account_id, name="ci", scopes=frozenset(Scope), expires_at=None, now=now()
    )
    return made.token


async def _live_through_everything(s: Scene, secrets: dict[str, str]) -> list[Answer]:
    """Calls that end well and badly, with secrets where they belong and where they do not."""
    heard: list[Answer] = []
    argument: JsonObject = {"text": secrets["in an argument"], "token": secrets["in a named argument"]}
    for behaviour in faults.BROKEN.values():
        s.upstream.on("tools/call", behaviour)
        heard.append(await s.call({"token": secrets["in a named argument"]}))
    s.upstream.on("tools/call", None)
    heard += [
        await s.call(argument, tool="fake__nothing"),
        await s.call({"nested": {"api_key": [secrets["in a named argument"]]}}, tool="github__get_me"),
        await s.call(key=secrets["the API token"]),
        await s.call(key="x" + secrets["the member key"]),
        await s.wicket.rpc(s.key, "tools/list", modern=True),
        await s.wicket.rpc(s.key, "initialize"),
        await s.wicket.post(b"{" + s.key.encode(), key=s.key),
        await s.wicket.post(b"{}", key=s.key, path=f"/mcp/{secrets['the member key']}"),
    ]
    async with s.wicket.http.get(s.wicket.url + "/metrics") as response:
        heard.append(Answer(response.status, response.headers, await response.read()))
    return heard


@pytest.mark.promise("P9")
async def test_no_secret_is_found_in_database_logs_answers_or_metrics(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        secrets = {
            "the member key": s.key,
            "another's key": make_key(os.urandom(24)),
            "the member's token": "canary-token-of-the-owner",
            "a token given early": "canary-token-given-early",
            "the API token": await s.wicket.change(_api_token, s.agent.owner_account, agents=[]),
            "the server's key": (tmp_path / "data" / "server.key").read_text(),
            "in an argument": "ghp_canary0123456789abcdefghijklmnop",
            "in a named argument": "canary-in-a-named-argument",
        }
        await s.agent.connect("fake", secrets["the member's token"])
        await s.agent.connect("fake", secrets["a token given early"], "eve@example.com")
        heard = await _live_through_everything(s, secrets)
        await s.ended()
        stored = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()}
    stored |= {
        f"{path.name}, closed": path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()
    }
    output = capfd.readouterr()

    places = {name: content for name, content in stored.items() if not name.startswith("server.key")}
    places |= {f"answer {number}": answer.body for number, answer in enumerate(heard)}
    places |= {f"headers {n}": repr(answer.headers).encode() for n, answer in enumerate(heard)}
    places |= {"stdout": output.out.encode(), "stderr": output.err.encode()}
    assert "wicket.db" in places
    assert "wicket.db-wal" in places
    assert any(
        seen.headers["authorization"].endswith(secrets["the member's token"]) for seen in s.upstream.calls
    )
    found = [
        (place, name)
        for place, content in places.items()
        for name, secret in secrets.items()
        if secret.encode() in content
    ]
    assert found == []


async def _echo_headers(seen: Seen, out: Out) -> None:
    await out.json({"jsonrpc": "2.0", "id": seen.id, "error": {"code": -1, "message": "no"}}, status=401)


async def test_a_rejected_token_is_told_as_reconnect_and_not_handed_down(tmp_path: Path) -> None:
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        await s.agent.connect("fake", "canary")
        s.upstream.on("tools/call", _echo_headers)
        answer = await s.call()
        (entry,) = await s.ended()

    assert answer.status == 502
    assert "www-authenticate" not in answer.headers
    assert "connect" in str(answer.error["message"])
    assert (entry.outcome, entry.ending["upstreamStatus"]) == ("upstream_error", 401)
