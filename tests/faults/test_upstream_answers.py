"""What a client is told when an upstream misbehaves, what the log says of it, and what it costs us.

Each fault is asked for by name in the call's arguments, so that many can go wrong at once behind one Wicket.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.gateway.scene import Entry, Scene, scene
from tests.instance import Answer
from tests.upstreams import faults
from tests.upstreams.recording import ECHO, Behaviour, Out, RecordingUpstream, Seen, Spoken
from wicket.core.model import JsonObject, Tier

ERAS: Final[tuple[Spoken, ...]] = ("modern", "legacy")
RESPONSE_BYTES_MAX: Final = 1024 * 1024
BUFFERS_BYTES_MAX: Final = 24 * 1024 * 1024
"""What the kernel's sockets and our read buffers may hold of an answer beyond the limit."""
PAGES_MAX: Final = 50
SILENCE_S: Final = 2.0
"""What an upstream gets here: enough for one that answers, on a slow machine too."""


def many_requests(retry_after: str) -> Behaviour:
    async def refuse(seen: Seen, out: Out) -> None:
        await out.body(b"slow down", kind="text/plain", status=429, headers={"Retry-After": retry_after})

    return refuse


def redirect_to(status: int, elsewhere: str) -> Behaviour:
    async def redirect(seen: Seen, out: Out) -> None:
        await out.body(b"", status=status, headers={"Location": elsewhere})

    return redirect


ODD_WAITS: Final = {
    f"429, wait {wait!r}": many_requests(wait)
    for wait in (
        "",
        "soon",
        "-1",
        "0",
        "1e9",
        "9" * 400,
        "0x10",
        "Wed, 21 Oct 2026 07:28:00 GMT",
        "3, 4",
        "\xb2",
    )
}
LARGE: Final[dict[str, Behaviour]] = {
    "gzip_bomb": faults.gzip_bomb,
    "huge_answer": faults.huge_answer,
    "huge_event": faults.huge_event,
    "endless_header": faults.endless_header,
    "endless_body": faults.endless_body,
    "hundred_megabytes": faults.hundred_megabytes,
}
UPSTREAM_STATUS: Final = {"unauthorized": 401, "too_many": 429, "server_error": 500, "redirect": 307}
CLEAN: Final = frozenset(
    {
        *("malformed_json", "repeated_keys", "wrong_id", "no_json_rpc", "html", "redirect", "unauthorized"),
        *("too_many", "server_error", "accepted", "stream_without_answer", "gzip_bomb", *ODD_WAITS),
    }
)
"""Answers that are bad and end where they say: their connections may be used again. No other's may."""
BROKEN: Final = {**faults.BROKEN, **LARGE, **ODD_WAITS}
SILENT: Final = {**faults.SILENT, "drip_head": faults.drip_head}


@dataclass(frozen=True)
class Fault:
    """One call that was made to go wrong, and what is known of it afterwards."""

    name: str
    answer: Answer
    entry: Entry
    sent: list[Seen]

    @property
    def told(self) -> tuple[int, object]:
        return self.answer.status, self.answer.error["code"]


class Misbehaving:
    """A behaviour that does as the call's own arguments ask."""

    def __init__(self, faults_by_name: Mapping[str, Behaviour], upstream: RecordingUpstream) -> None:
        self._faults = faults_by_name
        self._upstream = upstream

    async def __call__(self, seen: Seen, out: Out) -> None:
        arguments = seen.params["arguments"]
        assert isinstance(arguments, dict)
        if (fault := self._faults.get(str(arguments["text"]))) is not None:
            await fault(seen, out)
        else:
            await self._upstream.answer(seen, out, {"content": [{"type": "text", "text": arguments["text"]}]})


@asynccontextmanager
async def misbehaving(
    directory: Path,
    faults_by_name: Mapping[str, Behaviour],
    *,
    era: Spoken = "modern",
    silence_s: float = 60.0,
) -> AsyncIterator[Scene]:
    """With the handshake done, so that only calls go wrong."""
    settings = {"response_bytes_max": RESPONSE_BYTES_MAX, "upstream_timeout_s": silence_s}
    async with scene(directory, era=era, settings=settings) as s:
        assert (await said(s, "hello")).status == 200
        s.upstream.on("tools/call", Misbehaving(faults_by_name, s.upstream))
        yield s


async def said(s: Scene, text: str) -> Answer:
    return await s.call({"text": text}, headers={"accept": "application/json"})


async def go_wrong(s: Scene, names: Iterable[str]) -> list[Fault]:
    """Have everything go wrong at once, and look at what is left when the dust has settled."""
    wanted = list(names)
    told = await asyncio.gather(*(said(s, name) for name in wanted))
    entries = await s.ended(len(wanted) + 1)
    by_text = {str(_arguments(entry)["text"]): entry for entry in entries}
    return [
        Fault(name, answer, by_text[name], [seen for seen in s.upstream.calls if _text(seen) == name])
        for name, answer in zip(wanted, told, strict=True)
    ]


def _arguments(entry: Entry) -> JsonObject:
    arguments = entry.body["toolArgs"]
    assert isinstance(arguments, dict)
    return arguments


def _text(seen: Seen) -> str:
    arguments = seen.params["arguments"]
    assert isinstance(arguments, dict)
    return str(arguments["text"])


def answered(answer: Answer) -> object:
    """The text that a healthy upstream answers with: the call's own."""
    content = answer.result["content"]
    assert isinstance(content, list)
    return [item["text"] for item in content if isinstance(item, dict)]


def those(failed: Iterable[Fault], is_wrong: Callable[[Fault], bool]) -> dict[str, object]:
    return {
        fault.name: (fault.told, fault.entry.outcomes, len(fault.sent)) for fault in failed if is_wrong(fault)
    }


@pytest.mark.promise("P11")
@pytest.mark.parametrize("era", ERAS)
async def test_whatever_is_wrong_with_an_answer_the_client_is_told_502_and_the_call_went_out_once(
    era: Spoken, tmp_path: Path
) -> None:
    async with misbehaving(tmp_path, BROKEN, era=era) as s:
        failed = await go_wrong(s, BROKEN)
    assert those(failed, lambda fault: fault.told != (502, -32603)) == {}
    assert those(failed, lambda fault: fault.entry.outcomes != ("upstream_error",)) == {}
    assert those(failed, lambda fault: len(fault.sent) != 1) == {}
    assert those(failed, lambda fault: "`fake`" not in str(fault.answer.error["message"])) == {}
    assert those(failed, lambda fault: fault.answer.data["decisionId"] != fault.entry.id) == {}
    assert those(failed, lambda fault: fault.answer.data["reason"] != "upstream_broken") == {}
    assert those(failed, lambda fault: fault.answer.data["retryable"] is not False) == {}
    statuses = {fault.name: fault.entry.ending.get("upstreamStatus") for fault in failed}
    assert {name: statuses[name] for name in UPSTREAM_STATUS} == UPSTREAM_STATUS
    assert {statuses[name] for name in ODD_WAITS} == {429}


@pytest.mark.promise("P11")
@pytest.mark.parametrize("era", ERAS)
async def test_whatever_an_upstream_keeps_waiting_for_the_client_is_told_504(
    era: Spoken, tmp_path: Path
) -> None:
    async with misbehaving(tmp_path, SILENT, era=era, silence_s=SILENCE_S) as s:
        failed = await go_wrong(s, SILENT)
    assert those(failed, lambda fault: fault.told != (504, -32603)) == {}
    assert those(failed, lambda fault: fault.entry.outcomes != ("timeout",)) == {}
    assert those(failed, lambda fault: fault.answer.data["reason"] != "upstream_timeout") == {}
    assert those(failed, lambda fault: fault.answer.data["retryable"] is not False) == {}
    assert those(failed, lambda fault: len(fault.sent) != 1) == {}
    assert those(failed, lambda fault: "`fake`" not in str(fault.answer.error["message"])) == {}


@pytest.mark.parametrize("era", ERAS)
async def test_a_connection_on_which_something_went_wrong_is_not_used_again(
    era: Spoken, tmp_path: Path
) -> None:
    """One fault after the other, each followed by a call that must get its own answer."""
    wrong = BROKEN | {"two_answers": faults.two_answers, "answers_unasked": faults.answers_unasked}
    reused: list[str] = []
    async with misbehaving(tmp_path, wrong, era=era) as s:
        for name in wrong:
            await said(s, name)
            after = await said(s, f"after {name}")
            assert answered(after) == [f"after {name}"]
            bad, good = s.upstream.calls[-2:]
            assert [_text(bad), _text(good)] == [name, f"after {name}"]
            if bad.connection == good.connection:
                reused.append(name)
    assert set(reused) - CLEAN - {"two_answers"} == set()


@pytest.mark.parametrize("name", ["two_answers", "answers_unasked"])
async def test_of_two_answers_the_first_is_given_and_the_second_to_nobody(name: str, tmp_path: Path) -> None:
    twice = {"two_answers": faults.two_answers, "answers_unasked": faults.answers_unasked}
    async with misbehaving(tmp_path, twice) as s:
        answers = [await said(s, name) for _ in range(5)]
        answers += [await said(s, "healthy")]
        entries = await s.ended(7)
    assert [answered(answer) for answer in answers] == [["first"]] * 5 + [["healthy"]]
    assert {entry.outcomes for entry in entries} == {("ok",)}


@pytest.mark.promise("P10")
@pytest.mark.parametrize("name", LARGE)
async def test_of_an_answer_without_measure_no_more_is_taken_than_the_limit(
    name: str, tmp_path: Path
) -> None:
    poured = Poured(LARGE[name])
    async with misbehaving(tmp_path, {name: poured}) as s:
        assert (await said(s, name)).status == 502
        async with asyncio.timeout(30):
            await poured.over.wait()
    assert poured.taken <= RESPONSE_BYTES_MAX + BUFFERS_BYTES_MAX


class Poured:
    """A behaviour, and how much of it was taken before the other side hung up."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.taken = 0
        self.over = asyncio.Event()

    async def __call__(self, seen: Seen, out: Out) -> None:
        raw = out.raw

        async def counted(data: bytes) -> None:
            for start in range(0, len(data), 65_536):
                await raw(data[start : start + 65_536])
                self.taken += len(data[start : start + 65_536])

        out.raw = counted  # type: ignore[method-assign]
        try:
            await self._behaviour(seen, out)
        finally:
            self.over.set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_the_inside_is_followed_by_nobody(status: int, tmp_path: Path) -> None:
    async with RecordingUpstream() as inside:
        wrong = {"away": redirect_to(status, inside.url)}
        async with misbehaving(tmp_path, wrong) as s:
            (failed,) = await go_wrong(s, wrong)
        assert inside.bytes_in == inside.connections == 0
        assert inside.url not in str(failed.answer.error)
    assert failed.told == (502, -32603)
    assert failed.entry.ending["upstreamStatus"] == status


async def test_a_session_that_is_gone_is_begun_anew_and_the_call_done_once(tmp_path: Path) -> None:
    async with misbehaving(tmp_path, {}, era="legacy") as s:
        s.upstream.forget_sessions()
        answer = await said(s, "again")
        entries = await s.ended(2)
        looked_at = [seen for seen in s.upstream.calls if _text(seen) == "again"]
    assert answered(answer) == ["again"]
    assert len({seen.headers["mcp-session-id"] for seen in looked_at}) == len(looked_at)
    assert entries[-1].outcomes == ("ok",)


async def test_an_upstream_that_forgets_every_session_is_asked_twice_and_no_more(tmp_path: Path) -> None:
    wrong = {"gone": faults.session_gone}
    async with misbehaving(tmp_path, wrong, era="legacy") as s:
        (failed,) = await go_wrong(s, wrong)
    assert failed.told == (502, -32603)
    assert failed.entry.outcomes == ("upstream_error",)
    assert len({seen.headers["mcp-session-id"] for seen in failed.sent}) == len(failed.sent) == 2


async def test_a_credential_refused_in_mid_session_is_named_and_nothing_of_it_is_told(tmp_path: Path) -> None:
    wrong = {"unauthorized": faults.unauthorized}
    async with misbehaving(tmp_path, wrong, era="legacy") as s:
        (failed,) = await go_wrong(s, wrong)
        after = await said(s, "after")
        assert len(s.upstream.of("initialize")) == 1
    assert "connect the service again" in str(failed.answer.error["message"])
    assert answered(after) == ["after"]


def pages(cursors: Callable[[int], object]) -> Behaviour:
    """A list without end: each page names another, or the same again."""
    count = 0

    async def page(seen: Seen, out: Out) -> None:
        nonlocal count
        count += 1
        tools: JsonObject = {"tools": [{"name": f"tool{count}"}], "nextCursor": cursors(count)}  # type: ignore[dict-item]
        await out.json({"jsonrpc": "2.0", "id": seen.id, "result": tools})

    return page


LOOPS: Final[dict[str, Callable[[int], object]]] = {
    "the same page": lambda _: "again",
    "back and forth": lambda n: str(n % 2),
    "ever new ones": str,
    "no cursor at all": lambda n: n,
    "a cursor that grows": lambda n: "x" * 10**n,
}


@pytest.mark.parametrize("name", LOOPS)
async def test_a_list_that_leads_nowhere_is_given_up_and_calls_go_on(name: str, tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.upstream.on("tools/list", pages(LOOPS[name]))
        listed = await s.wicket.rpc(s.key, "tools/list")
        fetched = len(s.upstream.of("tools/list"))
        answer = await s.call({"text": "still there"})
    assert listed.result["tools"] == []
    assert 1 <= fetched <= PAGES_MAX
    assert answer.status == 200


async def test_a_list_that_changes_with_every_look_holds_its_tool_and_no_other(tmp_path: Path) -> None:
    looks = 0

    async def change(seen: Seen, out: Out) -> None:
        nonlocal looks
        looks += 1
        changed: JsonObject = {"name": "moody", "description": f"today I am {looks}", "inputSchema": {}}
        await out.json({"jsonrpc": "2.0", "id": seen.id, "result": {"tools": [ECHO, changed]}})

    async with scene(tmp_path, tiers={"echo": Tier.READ, "moody": Tier.READ}) as s:
        s.upstream.on("tools/list", change)
        names = []
        for _ in range(5):
            listed = (await s.wicket.rpc(s.key, "tools/list")).result["tools"]
            assert isinstance(listed, list)
            names.append([tool["name"] for tool in listed if isinstance(tool, dict)])
            s.wicket.parts.upstream.forget(service="fake")
        moody = await s.call(tool="fake__moody")
        echo = await s.call()
    assert names == [["fake__echo"]] * 5
    assert moody.data["reason"] == "tool_changed"
    assert "result" in echo.json
    assert looks >= 5
