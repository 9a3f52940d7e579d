import asyncio

import pytest

from tests.upstreams import faults
from tests.upstreams.calls import answer_of, recorded_call, target_of, upstream_side
from tests.upstreams.recording import ECHO, Out, RecordingUpstream, Seen, Spoken
from wicket.core.errors import Invalid, UpstreamFailed
from wicket.core.model import JsonObject
from wicket.runtime.upstream import Credential, Target, Upstream, UpstreamLimits
from wicket.runtime.wire import AddressPolicy, HttpWire


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def tool(name: str) -> JsonObject:
    return {"name": name, "description": f"does {name}", "inputSchema": {}}


async def names(upstream: Upstream, target: Target) -> list[object]:
    async with asyncio.timeout(5):
        return [listed["name"] for listed in await upstream.list_tools(target)]


async def call(upstream: Upstream, target: Target, arguments: JsonObject) -> None:
    async with asyncio.timeout(5):
        reply = await upstream.forward(
            recorded_call(arguments), target, meta={}, progress_token=None, before_first_byte=None
        )
        await answer_of(reply)


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_list_has_every_page_in_the_upstreams_order(era: Spoken) -> None:
    tools = [tool(f"tool{number}") for number in range(25)]
    async with RecordingUpstream(era=era, tools=tools, page_size=10) as server, upstream_side() as upstream:
        target = target_of(server.url)
        assert await upstream.list_tools(target) == tools
        assert [seen.params.get("cursor") for seen in server.of("tools/list")] == [None, "10", "20"]


async def test_odd_tools_stay_as_they_are_and_only_what_could_not_be_called_is_left_out() -> None:
    odd: JsonObject = {
        "name": "odd",
        "inputSchema": {},
        "x": [None, 1.5, {"deep": True}],
        "annotations": None,
    }
    impossible: JsonObject = {
        "name": "impossible",
        "inputSchema": {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
    }
    tools: list[JsonObject] = [
        odd,
        {"no": "name"},
        tool("a b"),
        tool("tool\u200b"),
        impossible,
        tool("odd"),
        ECHO,
    ]
    async with RecordingUpstream(tools=tools) as server, upstream_side() as upstream:
        assert await upstream.list_tools(target_of(server.url)) == [odd, ECHO]


async def test_a_list_is_kept_for_a_minute_for_each_owner() -> None:
    clock = Clock()
    wire = HttpWire(addresses=AddressPolicy(allow_private=True))
    upstream = Upstream(wire=wire, stdio=None, limits=UpstreamLimits(), client_version="1", now_s=clock)
    async with RecordingUpstream() as server:
        alice, bob = target_of(server.url), target_of(server.url, owner="bob:1", token="of-bob")
        for target in (alice, bob, alice, bob):
            await upstream.list_tools(target)
        assert [seen.headers["authorization"] for seen in server.of("tools/list")] == [
            "Bearer of-alice",
            "Bearer of-bob",
        ]
        clock.now += 59
        await upstream.list_tools(alice)
        assert len(server.of("tools/list")) == 2
        server.tools = [tool("new")]
        clock.now += 1
        assert await names(upstream, alice) == ["new"]
        await upstream.stop()
        await wire.close()


async def test_many_who_ask_at_once_share_one_fetch() -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        target = target_of(server.url)
        await asyncio.gather(*(upstream.list_tools(target) for _ in range(20)))
        assert len(server.of("tools/list")) == 1


async def test_who_leaves_does_not_end_the_fetch_that_others_wait_for() -> None:
    go_on = asyncio.Event()

    async def wait(seen: Seen, out: Out) -> None:
        await go_on.wait()
        await server.answer(seen, out, {"tools": [ECHO]})

    async with RecordingUpstream() as server, upstream_side() as upstream:
        server.on("tools/list", wait)
        first, second = (asyncio.create_task(names(upstream, target_of(server.url))) for _ in range(2))
        await server.wait_for("tools/list")
        first.cancel()
        go_on.set()
        assert await second == ["echo"]
        assert len(server.of("tools/list")) == 1


async def test_forgetting_drops_the_list_also_while_it_is_being_fetched() -> None:
    go_on = asyncio.Event()

    async def wait(seen: Seen, out: Out) -> None:
        listed: JsonObject = {"tools": list(server.tools)}
        await go_on.wait()
        await server.answer(seen, out, listed)

    async with RecordingUpstream() as server, upstream_side() as upstream:
        target = target_of(server.url)
        server.on("tools/list", wait)
        stale = asyncio.create_task(names(upstream, target))
        await server.wait_for("tools/list")
        server.tools = [tool("new")]
        upstream.forget(service="fake")
        go_on.set()
        assert await names(upstream, target) == ["new"]
        assert await stale == ["echo"]
        assert await names(upstream, target) == ["new"]


async def test_forgetting_one_owner_leaves_the_others() -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        alice, bob = target_of(server.url), target_of(server.url, owner="bob:1")
        for target in (alice, bob):
            await upstream.list_tools(target)
        upstream.forget(owner="alice:1")
        for target in (alice, bob):
            await upstream.list_tools(target)
        assert len(server.of("tools/list")) == 3


async def test_a_slow_list_ends_at_its_own_bound_and_is_not_waited_for_again_at_once() -> None:
    clock = Clock()
    wire = HttpWire(addresses=AddressPolicy(allow_private=True))
    limits = UpstreamLimits(list_timeout_s=0.2)
    upstream = Upstream(wire=wire, stdio=None, limits=limits, client_version="1", now_s=clock)
    async with RecordingUpstream() as server:
        server.on("tools/list", faults.hang)
        for _ in range(3):
            with pytest.raises(UpstreamFailed) as failed:
                await names(upstream, target_of(server.url))
            assert failed.value.code == "upstream_timeout"
        assert len(server.of("tools/list")) == 1
        server.on("tools/list", None)
        clock.now += 5
        assert await names(upstream, target_of(server.url)) == ["echo"]
        await upstream.stop()
        await wire.close()


async def test_a_list_that_loops_or_never_ends_is_refused() -> None:
    async def loop(seen: Seen, out: Out) -> None:
        await server.answer(seen, out, {"tools": [], "nextCursor": "again"})

    async def endless(seen: Seen, out: Out) -> None:
        await server.answer(seen, out, {"tools": [], "nextCursor": str(len(server.seen))})

    async def crowded(seen: Seen, out: Out) -> None:
        number = len(server.seen)
        listed = [tool(f"t{number}-{index}") for index in range(1_000)]
        await server.answer(seen, out, {"tools": list(listed), "nextCursor": str(number)})

    for behaviour, pages in ((loop, 2), (endless, 50), (crowded, 3)):
        async with RecordingUpstream() as server, upstream_side() as upstream:
            server.on("tools/list", behaviour)
            with pytest.raises(UpstreamFailed) as failed:
                await names(upstream, target_of(server.url))
            assert failed.value.code == "upstream_broken"
            assert len(server.of("tools/list")) == pages


@pytest.mark.parametrize("fault", faults.BROKEN)
async def test_a_list_that_cannot_be_had_is_an_error(fault: str) -> None:
    limits = UpstreamLimits(body_bytes_max=1_000_000, event_bytes_max=1_000_000)
    async with RecordingUpstream() as server, upstream_side(limits) as upstream:
        server.on("tools/list", faults.BROKEN[fault])
        with pytest.raises(UpstreamFailed):
            await names(upstream, target_of(server.url))


async def test_all_lists_together_stay_within_their_bound() -> None:
    limits = UpstreamLimits(lists_bytes_max=10_000)
    tools = [tool(f"tool{number}") for number in range(50)]
    async with RecordingUpstream(tools=tools) as server, upstream_side(limits) as upstream:
        targets = [target_of(server.url, owner=f"member{number}") for number in range(6)]
        for target in targets:
            await upstream.list_tools(target)
        assert 0 < upstream._lists._size <= 10_000
        await upstream.list_tools(targets[-1])
        assert len(server.of("tools/list")) == 6
        await upstream.list_tools(targets[0])
        assert len(server.of("tools/list")) == 7


async def test_a_call_whose_headers_no_longer_fit_makes_the_next_one_read_the_list_anew() -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        target = target_of(server.url)
        server.tools = [tool("echo")]
        await call(upstream, target, {"owner": "octo"})
        assert "mcp-param-owner" not in server.calls[0].headers
        server.tools = [ECHO]
        await call(upstream, target, {"owner": "octo"})
        assert server.calls[1].headers["mcp-param-owner"] == "octo"
        assert len(server.of("tools/list")) == 2


async def test_what_a_list_says_of_headers_is_known_without_asking_again() -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        target = target_of(server.url)
        assert upstream.mirrored(target.owner, "fake", "echo") == ()
        await upstream.list_tools(target)
        assert [param.header for param in upstream.mirrored(target.owner, "fake", "echo")] == [
            "Mcp-Param-Owner"
        ]
        assert upstream.mirrored("bob:1", "fake", "echo") == ()
        assert len(server.of("tools/list")) == 1


async def test_a_call_needs_no_list_that_works() -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        server.on("tools/list", faults.server_error)
        await call(upstream, target_of(server.url), {})
        assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Host", "x"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Mcp-Session-Id", "x"),
        ("mcp-name", "x"),
        ("Bad Name", "x"),
        ("", "x"),
        ("X:", "x"),
        ("Authorization", ""),
        ("Authorization", "Bearer x\r\nX-Evil: 1"),
        ("Authorization", "Bearer x\n"),
        ("Authorization", "Bearer ü"),
        ("Authorization", " Bearer x"),
    ],
)
def test_a_credential_that_could_say_more_than_itself_is_refused(header: str, value: str) -> None:
    with pytest.raises(Invalid):
        Credential(header, value)


def test_a_credential_does_not_show_its_value() -> None:
    credential = Credential("Authorization", "Bearer secret")
    assert "secret" not in repr(credential) + repr(target_of("http://x/", token="secret"))
