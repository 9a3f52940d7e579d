import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.upstreams.calls import Said, recorded_call, told
from wicket.core.errors import UpstreamFailed, WicketError
from wicket.core.jsonrpc import Notification
from wicket.core.model import AuthType, Connector, ConnectorKind, JsonObject
from wicket.runtime.stdio import StdioCommand, StdioLimits, StdioPool
from wicket.runtime.upstream import Answer, Target, Upstream, UpstreamLimits
from wicket.runtime.wire import AddressPolicy, BeforeFirstByte, HttpWire

SERVER = Path(__file__).parent.parent / "upstreams" / "stdio_server.py"
CONNECTOR = Connector("local", "Local", "Custom_localMCP", ConnectorKind.STDIO, "stdio:local", AuthType.NONE)
TARGET = Target(CONNECTOR, None, "alice:1")
QUICK = StdioLimits(retry_min_s=1.0, stop_s=0.5)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Local:
    """A pool with one server, behind the upstream side."""

    def __init__(self, upstream: Upstream, pool: StdioPool, log: Path, clock: Clock) -> None:
        self.upstream = upstream
        self.pool = pool
        self.log = log
        self.clock = clock

    async def forward(
        self,
        tool: str,
        arguments: JsonObject | None = None,
        *,
        before: BeforeFirstByte | None = None,
        progress_token: str | None = None,
    ) -> list[Said]:
        async with asyncio.timeout(10):
            reply = await self.upstream.forward(
                recorded_call(arguments, tool=tool, service="local"),
                TARGET,
                meta={},
                progress_token=progress_token,
                before_first_byte=before,
            )
            return await told(reply)

    async def call(self, tool: str, arguments: JsonObject | None = None) -> JsonObject:
        [answer] = await self.forward(tool, arguments)
        assert isinstance(answer, Answer)
        assert answer.result is not None
        return answer.result

    def read(self, method: str) -> list[JsonObject]:
        text = self.log.read_text() if self.log.exists() else ""
        whole = text.split("\n")[:-1]  # what lies behind the last newline is still being written
        return [message for message in map(json.loads, whole) if message.get("method") == method]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """What another process does shows in no event of ours."""
        async with asyncio.timeout(10):
            while not is_so():
                await asyncio.sleep(0)


@asynccontextmanager
async def local_server(
    tmp_path: Path,
    *,
    limits: StdioLimits = QUICK,
    upstream_limits: UpstreamLimits | None = None,
    environment: dict[str, str] | None = None,
    command: StdioCommand | None = None,
    **env: str,
) -> AsyncIterator[Local]:
    log = tmp_path / "read.log"
    clock = Clock()
    command = command or StdioCommand("local", sys.executable, (str(SERVER), str(log)))
    pool = StdioPool(
        [replace(command, env=env)],
        environment=environment or {"PATH": os.environ["PATH"]},
        client_version="1",
        limits=limits,
        now_s=clock,
    )
    wire = HttpWire(addresses=AddressPolicy())
    upstream = Upstream(wire=wire, stdio=pool, limits=upstream_limits or UpstreamLimits(), client_version="1")
    try:
        yield Local(upstream, pool, log, clock)
    finally:
        await upstream.stop()
        await pool.stop()
        await wire.close()


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_local_server_is_listed_and_called_like_any_other(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        tools = await local.upstream.list_tools(TARGET)
        assert [tool["name"] for tool in tools] == ["echo", "count", "wait", "die"]
        result = await local.call("echo", {"text": "é\n\u2028"})
        assert result["echo"] == {"text": "é\n\u2028"}
        assert len(local.read("initialize")) == len(local.read("notifications/initialized")) == 1


async def test_nothing_is_started_before_its_first_use(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        assert not local.log.exists()


async def test_who_starts_a_server_waits_until_it_runs(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with local_server(tmp_path, WAITS_FOR=str(pipe)) as local, asyncio.timeout(20):
        starting = asyncio.create_task(local.upstream.start(CONNECTOR))
        await local.until(lambda: len(local.read("initialize")) == 1)
        assert not starting.done()
        await asyncio.to_thread(pipe.write_text, "go on", encoding="utf-8")
        await starting
        assert len(await local.upstream.list_tools(TARGET)) == 4
        assert len(local.read("initialize")) == 1


async def test_many_calls_share_one_process_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        results = await asyncio.gather(*(local.call("echo", {"number": number}) for number in range(50)))
        assert [result["echo"] for result in results] == [{"number": number} for number in range(50)]
        assert len({str(result["pid"]) for result in results}) == 1


async def test_progress_goes_to_the_call_it_is_about(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:

        async def progress(token: str, to: int) -> list[tuple[object, object]]:
            messages = await local.forward("count", {"to": to}, progress_token=token)
            assert isinstance(messages[-1], Answer)
            notices = [message.params for message in messages if isinstance(message, Notification)]
            return [(notice["progressToken"], notice["progress"]) for notice in notices]

        counts = await asyncio.gather(*(progress(f"t{to}", to) for to in range(1, 6)))
        assert counts == [[(f"t{to}", number) for number in range(to)] for to in range(1, 6)]


async def test_closing_a_reply_or_leaving_cancels_the_call(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        await local.call("echo")
        calling = asyncio.create_task(local.forward("wait"))
        await local.until(lambda: len(local.read("tools/call")) == 2)
        calling.cancel()
        await local.until(lambda: len(local.read("notifications/cancelled")) == 1)
        [cancelled] = local.read("notifications/cancelled")
        assert isinstance(cancelled["params"], dict)
        assert cancelled["params"]["requestId"] == local.read("tools/call")[1]["id"]
        await local.call("echo")


async def test_silence_is_a_504(tmp_path: Path) -> None:
    async with local_server(tmp_path, upstream_limits=UpstreamLimits(timeout_s=0.3)) as local:
        with pytest.raises(UpstreamFailed) as failed:
            await local.forward("wait")
        assert (failed.value.code, failed.value.status) == ("upstream_timeout", 504)
        await local.until(lambda: len(local.read("notifications/cancelled")) == 1)


async def test_a_server_that_dies_fails_its_calls_and_is_started_again_after_a_pause(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        before = await local.call("echo")
        waiting = asyncio.create_task(local.forward("wait"))
        await local.until(lambda: len(local.read("tools/call")) == 2)
        with pytest.raises(UpstreamFailed) as broken:
            await local.forward("die")
        with pytest.raises(UpstreamFailed) as resting:
            await local.forward("die")
        assert [failed.value.code for failed in (broken, resting)] == [
            "upstream_broken",
            "upstream_unreachable",
        ]
        with pytest.raises(UpstreamFailed) as ended:
            await waiting
        assert ended.value.code == "upstream_broken"
        local.clock.now += 1.0
        after = await local.call("echo")
        assert after["pid"] != before["pid"]
        calls = [call["params"] for call in local.read("tools/call")]
        assert sum(isinstance(call, dict) and call["name"] == "die" for call in calls) == 1


async def test_the_pause_grows_and_is_forgotten_after_a_healthy_while(tmp_path: Path) -> None:
    async with local_server(tmp_path, DIES_AT_ONCE="1") as local:
        for starts, pause_s in enumerate((1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0), start=1):
            with pytest.raises(UpstreamFailed):
                await local.forward("echo")
            local.clock.now += pause_s - 0.01
            with pytest.raises(UpstreamFailed) as failed:
                await local.forward("echo")
            assert failed.value.code == "upstream_unreachable"
            assert len(local.read("died")) == starts
            local.clock.now += 0.02


async def test_a_server_that_dies_after_a_healthy_while_is_started_again_at_once(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        await local.call("echo")
        local.clock.now += 60
        with pytest.raises(UpstreamFailed):
            await local.forward("die")
        await local.call("echo")


async def test_a_command_that_does_not_exist_is_unreachable(tmp_path: Path) -> None:
    async with local_server(tmp_path, command=StdioCommand("local", "no-such-command-here")) as local:
        with pytest.raises(UpstreamFailed) as failed:
            await local.forward("echo")
        assert failed.value.code == "upstream_unreachable"


async def test_a_server_of_an_unknown_version_is_not_called(tmp_path: Path) -> None:
    async with local_server(tmp_path, PROTOCOL_VERSION="1999-01-01") as local:
        with pytest.raises(UpstreamFailed) as failed:
            await local.forward("echo")
        assert failed.value.code == "upstream_broken"
        assert local.read("tools/call") == []


async def test_nonsense_on_its_output_and_floods_on_its_log_harm_nobody(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        assert (await local.call("babble"))["echo"] == {}


async def test_a_line_beyond_its_bound_ends_the_server(tmp_path: Path) -> None:
    async with local_server(tmp_path, limits=replace(QUICK, line_bytes_max=100_000)) as local:
        await local.call("long", {"size": 50_000})
        with pytest.raises(UpstreamFailed) as failed:
            await local.forward("long", {"size": 500_000})
        assert failed.value.code == "upstream_broken"
        local.clock.now += 1
        await local.call("echo")


async def test_the_servers_own_requests_are_answered(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        answers = (await local.call("ask"))["answers"]
        assert isinstance(answers, dict)
        assert answers["p"] == {}
        error = answers["s"]
        assert isinstance(error, dict)
        assert error["code"] == -32601


async def test_of_our_environment_a_server_sees_only_what_it_needs(tmp_path: Path) -> None:
    ours = {
        "PATH": os.environ["PATH"],
        "HOME": "/home/x",
        "WICKET_SECRET_KEY": "secret",
        "AWS_TOKEN": "secret",
    }
    async with local_server(tmp_path, environment=ours, GIVEN="1") as local:
        seen = (await local.call("environment"))["environment"]
        assert isinstance(seen, dict)
        assert "secret" not in seen.values()
        assert {"PATH", "HOME", "GIVEN"} <= set(seen)


async def test_what_forbids_the_first_byte_comes_out_and_nothing_is_sent(tmp_path: Path) -> None:
    async def forbid() -> None:
        raise WicketError("too old", code="decision_expired")

    async with local_server(tmp_path) as local:
        with pytest.raises(WicketError, match="too old"):
            await local.forward("echo", before=forbid)
        await local.call("echo")
        assert len(local.read("tools/call")) == 1


async def test_stopping_ends_the_server_and_all_that_it_started(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        child = (await local.call("child"))["pid"]
        server = (await local.call("echo"))["pid"]
        assert isinstance(child, int)
        assert isinstance(server, int)
        assert is_alive(child)
        await local.pool.stop()
        await local.until(lambda: not is_alive(server) and not is_alive(child))


async def test_who_waited_for_a_server_that_is_stopped_is_told(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        waiting = asyncio.create_task(local.forward("wait"))
        await local.until(lambda: len(local.read("tools/call")) == 1)
        await local.pool.stop()
        with pytest.raises(UpstreamFailed):
            await waiting


async def test_a_server_that_says_its_tools_have_changed_is_asked_for_them_again(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        for lists in (1, 1, 2):
            if lists == 2:
                await local.call("changed")
            await local.upstream.list_tools(TARGET)
            assert len(local.read("tools/list")) == lists


async def test_an_unknown_local_service_is_unreachable(tmp_path: Path) -> None:
    async with local_server(tmp_path) as local:
        target = Target(replace(CONNECTOR, key="absent"), None, "alice:1")
        with pytest.raises(UpstreamFailed) as failed:
            await local.upstream.list_tools(target)
        assert failed.value.code == "upstream_unreachable"
