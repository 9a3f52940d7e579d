"""A local server that people really use."""

import asyncio
import os
import sys
from pathlib import Path

from tests.upstreams.calls import answer_of, recorded_call
from wicket.core.model import AuthType, Connector, ConnectorKind
from wicket.runtime.stdio import StdioCommand, StdioPool
from wicket.runtime.upstream import Target, Upstream, UpstreamLimits
from wicket.runtime.wire import AddressPolicy, HttpWire


async def test_mcp_server_time_is_listed_and_called() -> None:
    command = StdioCommand("time", str(Path(sys.executable).with_name("mcp-server-time")))
    pool = StdioPool([command], environment=os.environ, client_version="1")
    wire = HttpWire(addresses=AddressPolicy())
    limits = UpstreamLimits(list_timeout_s=30)
    upstream = Upstream(wire=wire, stdio=pool, limits=limits, client_version="1")
    connector = Connector("time", "Time", "Custom_timeMCP", ConnectorKind.STDIO, "stdio:time", AuthType.NONE)
    target = Target(connector, None, "alice:1")
    async with asyncio.timeout(60):
        assert "get_current_time" in [tool["name"] for tool in await upstream.list_tools(target)]
        reply = await upstream.forward(
            recorded_call({"timezone": "Europe/Berlin"}, tool="get_current_time", service="time"),
            target,
            meta={},
            progress_token=None,
            before_first_byte=None,
        )
        assert "Europe/Berlin" in str((await answer_of(reply)).result)
        await upstream.stop()
        await pool.stop()
        await wire.close()
