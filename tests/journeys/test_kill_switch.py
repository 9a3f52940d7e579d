"""The kill switch always works: whatever a caller is doing, it is refused at once or cut within a second."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

import pytest
from aiohttp import ClientResponse

from tests.databases import Location
from tests.journeys.log import open_entries, read_log
from tests.journeys.servers import SLOW_ON_POSTGRES, outside, several
from tests.reachable import AgentUnderTest, Answer, Reachable, now
from tests.upstreams import faults
from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.core.model import AgentStatus, JsonObject
from wicket.store import keys, members

ANN = "ann@example.com"
CUT_S = 1.0
TIMES = 3
"""Of each cell, of which the median counts: a machine that others use may be late for once."""


async def disable(agent: AgentUnderTest) -> None:
    await agent.status(AgentStatus.DISABLED)


async def revoke(agent: AgentUnderTest) -> None:
    await agent.wicket.change(
        keys.revoke_key,
        agent_id=agent.id,
        member_id=await agent.member(ANN),
        actor_id=None,
        now=now(),
        agents=[agent.id],
    )


async def remove(agent: AgentUnderTest) -> None:
    await agent.wicket.change(
        members.remove,
        agent_id=agent.id,
        member_id=await agent.member(ANN),
        actor_id=None,
        now=now(),
        agents=[agent.id],
    )


@dataclass(frozen=True)
class Scope:
    """What is switched off, how the next call is refused, and how one in the air is ended."""

    switch: Callable[[AgentUnderTest], Awaitable[None]]
    status: int
    reason: str


SCOPES = {
    "agent": Scope(disable, 403, "agent_disabled"),
    "key": Scope(revoke, 401, "key_revoked"),
    "member": Scope(remove, 401, "key_revoked"),
}


@dataclass(frozen=True)
class Caller:
    """Ann, who calls an agent of her own."""

    wicket: Reachable
    agent: AgentUnderTest
    key: str
    has_arrived: asyncio.Event

    async def call(self, text: str) -> Answer:
        """One call, again when the machine was too busy to record it in time."""
        async with asyncio.timeout(20):
            while True:
                answer = await self.wicket.call(
                    self.key, "fake__echo", {"text": text, "owner": self.agent.id}
                )
                if answer.status != 503:
                    return answer


class Upstream(RecordingUpstream):
    """Behaves as the call's `text` says, and says when the call of an agent has arrived."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.arrivals: dict[str, asyncio.Event] = {}
        self.on("tools/call", self._behave)

    async def _behave(self, seen: Seen, out: Out) -> None:
        arguments = seen.params["arguments"]
        assert isinstance(arguments, dict)
        self.arrivals[str(arguments["owner"])].set()
        if arguments["text"] == "in flight":
            await faults.hang(seen, out)
        elif arguments["text"] == "streaming":
            await faults.hang_in_stream(seen, out)
        else:
            await out.json(faults.result_of(seen.id))


async def switched(caller: Caller, scope: Scope, ending: Awaitable[object]) -> float:
    """Switch off, and say how many seconds after the answer it had ended."""
    await scope.switch(caller.agent)
    answered_at = asyncio.get_running_loop().time()
    async with asyncio.timeout(20):
        await ending
    return asyncio.get_running_loop().time() - answered_at


async def idle(caller: Caller, scope: Scope) -> float:
    """Its next call, and its next list, are refused; nothing arrives."""
    assert "result" in (await caller.call("hello")).json
    caller.has_arrived.clear()
    await scope.switch(caller.agent)
    refused = await caller.call("hello")
    listed = await caller.wicket.rpc(caller.key, "tools/list")
    assert (refused.status, listed.status) == (scope.status, scope.status)
    assert not caller.has_arrived.is_set()
    return 0.0


async def in_flight(caller: Caller, scope: Scope) -> float:
    """Its caller gets the error of a 403."""
    call = asyncio.create_task(caller.call("in flight"))
    async with asyncio.timeout(20):
        await caller.has_arrived.wait()
    took_s = await switched(caller, scope, call)
    assert call.result().status == 403
    assert call.result().data["reason"] == scope.reason
    return took_s


async def streaming(caller: Caller, scope: Scope) -> float:
    """The stream ends with the error of a 403, as its last event."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    arguments = {"text": "streaming", "owner": caller.agent.id}
    message = body | {"params": {"name": "fake__echo", "arguments": arguments}}
    async with caller.wicket.http.post(
        f"{caller.wicket.url}/mcp", json=message, headers=headers_of(caller.key)
    ) as response:
        assert "working" in (await response.content.readuntil(b"\n\n")).decode()
        rest = asyncio.create_task(response.read())
        took_s = await switched(caller, scope, rest)
    last: JsonObject = json.loads(rest.result().decode().partition("data: ")[2])
    assert isinstance(error := last["error"], dict)
    assert isinstance(data := error["data"], dict)
    assert data["reason"] == scope.reason
    return took_s


async def listening(caller: Caller, scope: Scope) -> float:
    """The open stream of a legacy client ends."""
    hello = await caller.wicket.rpc(caller.key, "initialize", {"protocolVersion": "2025-11-25"})
    headers = headers_of(caller.key) | {"mcp-session-id": hello.headers["mcp-session-id"]}
    async with caller.wicket.http.get(f"{caller.wicket.url}/mcp", headers=headers) as response:
        await response.content.readuntil(b"\n\n")
        return await switched(caller, scope, until_closed(response))


async def until_closed(response: ClientResponse) -> None:
    while await response.content.readany():
        pass


def headers_of(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}


State: TypeAlias = Callable[[Caller, Scope], Awaitable[float]]
STATES: tuple[State, ...] = (idle, in_flight, streaming, listening)


async def a_caller(wicket: Reachable, upstream: Upstream, name: str) -> Caller:
    agent = await wicket.agent(name, services={"fake": upstream.url})
    await agent.policy(service="fake", tools=["echo"])
    upstream.arrivals[agent.id] = asyncio.Event()
    return Caller(wicket, agent, await agent.key(ANN), upstream.arrivals[agent.id])


@pytest.mark.promise("P7")
@pytest.mark.slow
@SLOW_ON_POSTGRES
async def test_whoever_loses_the_right_is_refused_at_once_or_cut_within_a_second(location: Location) -> None:
    async with (
        Upstream() as upstream,
        several(location) as (server,),
        outside(location, server.url) as wicket,
    ):
        cells = [(name, state) for name in SCOPES for state in STATES]
        took_s = defaultdict(list)
        for time in range(TIMES):
            callers = [
                await a_caller(wicket, upstream, f"agent {time} {place}") for place in range(len(cells))
            ]
            works = [
                state(caller, SCOPES[name]) for caller, (name, state) in zip(callers, cells, strict=True)
            ]
            for (name, state), seconds in zip(cells, await asyncio.gather(*works), strict=True):
                took_s[name, state.__name__].append(seconds)
        await until_all_ended(wicket)
        entries = await read_log(wicket.database)
    assert {cell: times for cell, times in took_s.items() if median(times) > CUT_S} == {}
    assert Counter(entry.outcomes for entry in entries if entry.allowed) == {
        ("ok",): len(SCOPES) * TIMES,
        ("cancelled",): 2 * len(SCOPES) * TIMES,
    }


async def until_all_ended(wicket: Reachable) -> None:
    async with asyncio.timeout(5):
        while await open_entries(wicket.database):
            await asyncio.sleep(0)
