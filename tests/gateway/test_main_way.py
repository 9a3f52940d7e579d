"""The main way: a call comes in, is decided, recorded and forwarded."""

from pathlib import Path

from tests.instance import Instance
from tests.upstreams.recording import RecordingUpstream


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
