"""The naive proxy has the features that it is said to have: a comparison with less would flatter."""

import hashlib
import json
from pathlib import Path

import httpx2
from pysqlite3 import dbapi2 as sqlite

from tests.bench.naive import build
from tests.bench.subjects import call_body
from wicket.core.keys import make_key

KEY = make_key(bytes(24))
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{}}'


def upstream(request: httpx2.Request) -> httpx2.Response:
    assert request.headers["authorization"] == "Bearer the member's token"
    assert json.loads(request.content)["params"]["name"] == "work"
    return httpx2.Response(200, content=ANSWER, headers={"content-type": "application/json"})


async def test_a_call_is_decided_recorded_forwarded_and_its_end_recorded(tmp_path: Path) -> None:
    path = str(tmp_path / "naive.db")
    app = build(
        {"key": KEY, "token": "the member's token", "upstream": "http://upstream/mcp", "database": path}
    )
    headers = {"Authorization": f"Bearer {KEY}", "X-Claude-Code-Session-Id": "one"}
    bodies = (
        call_body("bench__work").replace("what was asked for", "ghp_0123456789"),
        call_body("bench__erase"),
        call_body("bench__unknown"),
        call_body("bench__work").replace('"limit":20', '"limit":20,"limit":21'),
    )
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(upstream)) as app.state.client,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://naive") as client,
    ):
        stranger = await client.post("/mcp", content=bodies[0], headers={"Authorization": "Bearer nobody"})
        answers = [await client.post("/mcp", content=body, headers=headers) for body in bodies]

    assert [stranger.status_code, *(answer.status_code for answer in answers)] == [401, 200, 200, 200, 400]
    assert answers[0].content == ANSWER
    assert "Authorization denied" in answers[1].text
    assert "Authorization denied" in answers[2].text
    entries, outcomes, sessions = (
        sqlite.connect(path).execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        for table in ("audit", "outcomes", "sessions")
    )
    assert [(row[6], row[7]) for row in entries] == [
        ("work", "ALLOW"),
        ("erase", "DENY"),
        ("unknown", "DENY"),
    ]
    assert json.loads(entries[0][10])["query"] == "[redacted]"
    assert [(row[1], row[2], row[6]) for row in outcomes] == [(entries[0][1], "ok", len(ANSWER))]
    assert [row[:4] for row in sessions] == [("key", "one", 3, 2)]
    last = bytes(32)
    for seq, *values, digest in sorted([*entries, *outcomes]):
        last = hashlib.sha256(last + json.dumps([seq, *values]).encode()).digest()
        assert digest == last
