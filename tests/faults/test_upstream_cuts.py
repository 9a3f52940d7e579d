"""At most once: wherever the connection to an upstream is cut, the call went out once at most, its client is told
once, and the log says how it ended.
"""

import asyncio
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

import pytest

from tests.evidence import note
from tests.gateway.scene import Scene
from tests.instance import Answer, Instance
from tests.upstreams.cutting import CuttingRelay
from tests.upstreams.recording import AnsweredIn, Out, RecordingUpstream, Seen, Spoken
from wicket.core.model import Json, JsonObject

CUTS: Final = int(os.environ.get("WICKET_TEST_CUTS", "400"))
SEED: Final = int(os.environ.get("WICKET_TEST_SEED", "20261123"))
CUTS_A_SCENE: Final = 500
TRIES: Final = 5
"""Now and then something else is on its way (a list that is looked at again), and is cut in the call's place."""
Way: TypeAlias = Literal["up", "down"]
WAYS: Final[tuple[Way, ...]] = ("up", "down")
MANNERS: Final[tuple[tuple[Spoken, AnsweredIn], ...]] = (
    ("modern", "json"),
    ("modern", "sse"),
    ("legacy", "json"),
    ("legacy", "sse"),
)


@dataclass
class Cut:
    """One call whose connection was cut."""

    way: Way
    offset: int
    sent: int
    """How often all of it arrived."""
    answers: list[JsonObject]

    @property
    def is_answered(self) -> bool:
        return "result" in self.answers[0]

    @property
    def is_right(self) -> bool:
        """The client was told once; and what never arrived was not answered."""
        if len(self.answers) != 1 or self.sent > 1:
            return False
        return self.sent == (0 if self.way == "up" else 1) and (self.sent == 1 or not self.is_answered)


@dataclass
class Cutting:
    """A Wicket, an upstream, and a relay between the two that is there to be cut."""

    scene: Scene
    relay: CuttingRelay
    arrived: Counter[str] = field(default_factory=Counter)
    cuts: dict[str, Cut] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def arrive(self, seen: Seen, out: Out) -> None:
        """Answer as the upstream's manner is; a stream has something to say before its answer."""
        arguments = seen.params["arguments"]
        assert isinstance(arguments, dict)
        self.arrived[str(arguments["text"])] += 1
        result: JsonObject = {"content": [{"type": "text", "text": "done"}]}
        if self.scene.upstream.answers == "json":
            await self.scene.upstream.answer(seen, out, result)
            return
        await out.stream()
        await out.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "busy"}})
        await out.event({"jsonrpc": "2.0", "id": seen.id, "result": result})
        await out.finish()

    async def call(self) -> tuple[str, list[JsonObject]]:
        """One call; its name, and every message that answers it."""
        name = f"{next(self._numbers):08}"
        answer = await self.scene.call({"owner": "octo", "text": name})
        upstream = self.scene.wicket.parts.upstream
        async with asyncio.timeout(30):
            while upstream._http._notes:  # what goes aside of calls would be cut in their place
                await asyncio.sleep(0)
        return name, [message for message in messages(answer) if message.get("id") == 1]

    async def sizes(self) -> dict[Way, int]:
        """How many bytes an undisturbed call has; what is more was not the call alone."""
        seen: dict[Way, list[int]] = {"up": [], "down": []}
        for _ in range(TRIES):
            self.relay.arm()
            _, (answer,) = await self.call()
            assert "result" in answer
            for way, passed in seen.items():
                passed.append(self.relay.passed[way])
        return {way: min(passed) for way, passed in seen.items()}

    async def cut(self, way: Way, offset: int, *, gently: bool) -> None:
        """Make a call and cut it there."""
        before = self.relay.cuts
        for _ in range(TRIES):
            if way == "up":
                self.relay.arm(up=offset, gently=gently)
            else:
                self.relay.arm(down=offset, gently=gently)
            name, answers = await self.call()
            if self.relay.cuts > before:
                self.cuts[name] = Cut(way, offset, self.arrived[name], answers)
                return
        raise AssertionError(f"nothing was cut after {offset} bytes {way}")

    async def check(self) -> None:
        """Join what was cut with the log."""
        self.relay.arm()
        _, (answer,) = await self.call()
        assert "result" in answer
        entries = await self.scene.ended(len(self.cuts) + TRIES)
        outcomes = {_text(entry.body["toolArgs"]): entry.outcomes for entry in entries}
        assert {name: cut for name, cut in self.cuts.items() if not cut.is_right} == {}
        ends = {name: ("ok",) if cut.is_answered else ("upstream_error",) for name, cut in self.cuts.items()}
        assert {name: outcomes[name] for name in ends} == ends


def _text(arguments: Json) -> str:
    assert isinstance(arguments, dict)
    return str(arguments["text"])


def messages(answer: Answer) -> list[JsonObject]:
    """What a client reads of an answer, whole or streamed."""
    if answer.headers["content-type"] != "text/event-stream":
        return [answer.json]
    events = answer.body.decode().split("\n\n")
    return [json.loads(event.partition("data: ")[2]) for event in events if "data: " in event]


@asynccontextmanager
async def cutting(directory: Path, era: Spoken, answers: AnsweredIn) -> AsyncIterator[Cutting]:
    async with (
        RecordingUpstream(era=era, answers=answers) as upstream,
        CuttingRelay(upstream.url) as relay,
        Instance.started(directory) as wicket,
    ):
        agent = await wicket.agent(services={"fake": relay.url})
        await agent.policy(service="fake")
        scene = Cutting(Scene(wicket, upstream, agent, await agent.key()), relay)
        upstream.on("tools/call", scene.arrive)
        await scene.call()
        yield scene


@pytest.mark.promise("P11")
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("era", "answers"), MANNERS)
async def test_a_call_cut_at_any_byte_went_out_once_at_most_and_its_end_is_told_and_recorded(
    era: Spoken, answers: AnsweredIn, way: Way, tmp_path: Path
) -> None:
    async with cutting(tmp_path, era, answers) as scene:
        total = (await scene.sizes())[way]
        for offset in range(1, total):
            await scene.cut(way, offset, gently=offset % 2 == 0)
        await scene.check()
        answered = sum(cut.is_answered for cut in scene.cuts.values())
    assert len(scene.cuts) == total - 1
    # Of a stream, only the mark of its end may be missing behind a whole answer.
    assert answered <= (len("\n\r\n0\r\n\r\n") if way == "down" and answers == "sse" else 0)


@pytest.mark.promise("P11")
@pytest.mark.slow
async def test_connections_cut_anywhere_repeat_no_call(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    made = 0
    while made < CUTS:
        era, answers = chance.choice(MANNERS)
        async with cutting(tmp_path / str(made), era, answers) as scene:
            sizes = await scene.sizes()
            for _ in range(min(CUTS_A_SCENE, CUTS - made)):
                way = chance.choice(WAYS)
                offset = chance.randrange(1, sizes[way])
                await scene.cut(way, offset, gently=chance.random() < 0.5)
            note(
                "cuts",
                len(scene.cuts),
                wrong={
                    "calls that went out twice": sum(cut.sent > 1 for cut in scene.cuts.values()),
                    "calls whose client was told wrong": sum(not cut.is_right for cut in scene.cuts.values()),
                },
                answered=sum(cut.is_answered for cut in scene.cuts.values()),
            )
            await scene.check()
        made += len(scene.cuts)
        assert sum(cut.sent > 1 for cut in scene.cuts.values()) == 0, f"seed {SEED}"
    assert made == CUTS


@pytest.mark.promise("P11")
async def test_a_call_cut_here_and_there_went_out_once_at_most(tmp_path: Path) -> None:
    async with cutting(tmp_path, "legacy", "sse") as scene:
        for way, total in (await scene.sizes()).items():
            for offset in range(1, total, 29):
                await scene.cut(way, offset, gently=offset % 2 == 0)
        await scene.check()
    assert len(scene.cuts) > 20
