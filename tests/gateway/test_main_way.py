"""The main way: a call comes in, is decided, recorded and forwarded."""

import gc
from pathlib import Path

import pytest

from tests.instance import Instance
from tests.upstreams.faults import result_of
from tests.upstreams.recording import Out, RecordingUpstream, Seen


async def test_an_allowed_call_is_answered_and_a_forbidden_one_is_denied(tmp_path: Path) -> None:
    async with RecordingUpstream() as upstream, Instance.started(tmp_path) as wicket:
        agent = await wicket.agent(services={"fake": upstream.url})
        key = await agent.key()

        denied = await wicket.call(key, "fake__echo", {"text": "hello"})
        await agent.policy(service="fake")
        allowed = await wicket.call(key, "fake__echo", {"text": "hello"})

        assert denied.status == 200
        assert (
            denied.error["message"] == "Authorization denied: tool 'echo' is not permitted for agent 'helper'"
        )
        assert denied.data["reason"] == "no_permit_matched"
        assert allowed.result["content"] == [{"type": "text", "text": '{"text": "hello"}'}]
        entries = await wicket.entries()
        assert [entry["denied"] for entry in entries] == [True, False]
        assert len(upstream.calls) == 1
        assert await wicket.settled() == {entries[1]["id"]: ["ok"]}


async def test_a_denial_names_the_nearest_permit_to_who_may_know_of_policies(tmp_path: Path) -> None:
    async with Instance.started(tmp_path) as wicket:
        agent = await wicket.agent(services={"fake": "http://127.0.0.1:9/mcp"})
        await agent.member("ben@example.com")
        await agent.policy(name="From the office", service="fake", network={"in": ["203.0.113.0/24"]})
        keys = [await agent.key(), await agent.key("ben@example.com")]
        owners, bens = [await wicket.call(key, "fake__echo", {"text": "hello"}) for key in keys]

    nearest = "nearest: `From the office`: address was 127.0.0.1, allowed in 203.0.113.0/24"
    assert owners.data["nearest"] == nearest
    assert str(owners.error["message"]).endswith(f"for agent 'helper'. {nearest}")
    assert "nearest" not in bens.data
    assert "office" not in str(bens.error)


async def notify(seen: Seen, out: Out) -> None:
    """Streams, however the upstream answers otherwise."""
    await out.stream()
    for _ in range(3):
        await out.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "working"}})
    await out.event(result_of(seen.id))
    await out.finish()


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_calls_leave_nothing_to_the_garbage_collector(tmp_path: Path, *, streams: bool) -> None:
    """Circles of objects would be found by it alone, which stops every thread while it looks."""
    calls = 40
    async with RecordingUpstream() as upstream, Instance.started(tmp_path) as wicket:
        if streams:
            upstream.on("tools/call", notify)
        agent = await wicket.agent(services={"fake": upstream.url})
        key = await agent.key()
        await agent.policy(service="fake", tools=["echo"])
        found = {}
        for tool in ("echo", "fail", "echo", "fail"):  # the first of each is what warms caches
            gc.collect()
            gc.disable()
            try:
                for number in range(calls):
                    answer = await wicket.call(key, f"fake__{tool}", {"number": number})
                    assert answer.body.count(b"notifications/message") == 3 * streams * (tool == "echo")
                found[tool] = gc.collect()
            finally:
                gc.enable()
        assert max(found.values()) < 8 * calls, found
