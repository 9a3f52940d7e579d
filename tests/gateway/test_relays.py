"""Legacy sessions at a connector's own address: the upstream asks, the client answers, and nobody else can."""

from pathlib import Path

from tests.gateway.suite_scene import PATH, Suite, suite
from wicket.core.model import JsonObject

ASKS: JsonObject = {
    "method": "tools/call",
    "params": {"name": "test_elicitation", "arguments": {"message": "who?"}},
}
ACCEPTED: JsonObject = {"action": "accept", "content": {"username": "u", "email": "e@example.com"}}


async def test_a_question_is_relayed_and_so_is_its_answer(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        session = await s.session()
        async with s.stream(ASKS, {"mcp-session-id": session}) as events:
            asked = await events.next()
            assert asked["method"] == "elicitation/create"
            assert await s.answered(session, {"id": asked["id"], "result": ACCEPTED}) == 202
            answer = await events.next()
        assert answer["id"] == 7
        assert "u" in str(answer["result"])


async def test_an_answer_with_an_error_reaches_the_upstream(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        session = await s.session()
        async with s.stream(ASKS, {"mcp-session-id": session}) as events:
            asked = await events.next()
            await s.answered(session, {"id": asked["id"], "error": {"code": -1, "message": "no"}})
            assert "error" in await events.next()


async def test_somebody_elses_answer_is_not_taken(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        session = await s.session()
        stranger = await s.agent.key("ben@example.com")
        async with s.stream(ASKS, {"mcp-session-id": session}) as events:
            asked = await events.next()
            wrong: JsonObject = {"id": asked["id"], "result": {"action": "decline"}}
            assert await s.answered(session, wrong, key=stranger) == 404
            assert await s.answered(await s.session(), wrong) == 202  # of another session: to nothing
            await s.answered(session, {"id": asked["id"], "result": ACCEPTED})
            assert "accept" in str(await events.next())


async def test_a_client_is_asked_only_what_it_can_answer(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        session = await s.session({"sampling": {}})
        answer = await s.legacy("tools/call", _params(), session=session)
        assert "error" in answer.json or answer.result["isError"]


async def test_without_a_session_nothing_is_relayed(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        assert "error" in (await s.legacy("tools/call", _params())).json
        behind_all = await s.session(path="/mcp")
        answer = await s.legacy("tools/call", _params(), session=behind_all)
        assert "error" in answer.json


async def test_with_several_workers_nothing_is_relayed_and_upstreams_are_told_so(tmp_path: Path) -> None:
    async with suite(tmp_path, workers=2) as s:
        session = await s.session()
        assert "error" in (await s.legacy("tools/call", _params(), session=session)).json
        assert (await s.legacy("ping", session=session)).status == 200


async def test_a_session_ends_with_its_delete(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        session = await s.session()
        assert (await s.legacy("ping", session=session)).status == 200
        await _delete(s, session)
        assert (await s.legacy("ping", session=session)).status == 404


async def test_the_level_of_the_log_is_kept_for_the_session(tmp_path: Path) -> None:
    call: JsonObject = {"method": "tools/call", "params": {"name": "test_logging_tool", "arguments": {}}}
    async with suite(tmp_path) as s:
        session = await s.session()
        headers = {"mcp-session-id": session}
        async with s.stream(call, headers) as events:
            assert (await events.next())["method"] == "notifications/message"
        assert (await s.legacy("logging/setLevel", {"level": "error"}, session=session)).result == {}
        answer = await s.legacy("tools/call", call["params"], session=session)  # type: ignore[arg-type]
        assert "content" in answer.result
        assert (await s.legacy("logging/setLevel", {"level": "loud"}, session=session)).status == 400


def _params() -> JsonObject:
    params = ASKS["params"]
    assert isinstance(params, dict)
    return params


async def _delete(s: Suite, session: str) -> None:
    headers = {"authorization": f"Bearer {s.key}", "mcp-session-id": session}
    async with s.wicket.http.delete(s.wicket.url + PATH, headers=headers) as response:
        assert response.status == 204
