"""A client on fastmcp: it lists, makes the calls it is told to, and prints what it was told.

python on_fastmcp.py '{"url": ..., "key": ..., "calls": [[tool, arguments]]}'
"""

import asyncio
import json
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def call(client: Any, name: str, arguments: dict[str, object]) -> dict[str, object]:
    try:
        result = await client.call_tool(name, arguments, raise_on_error=False)
    except Exception as error:  # noqa: BLE001 - whatever it raises is what a user of it sees
        return {
            "text": str(error),
            "isError": True,
            "data": getattr(getattr(error, "error", None), "data", None),
        }
    text = "".join(getattr(part, "text", "") for part in result.content)
    return {"text": text, "isError": result.is_error, "data": (result.meta or {}).get("wicket/denial")}


async def main() -> None:
    told = json.loads(sys.argv[1])
    transport = StreamableHttpTransport(told["url"], headers={"Authorization": f"Bearer {told['key']}"})
    async with Client(transport) as client:
        tools = [tool.name for tool in await client.list_tools()]
        heard = [await call(client, name, arguments) for name, arguments in told["calls"]]
    sys.stdout.write(json.dumps({"tools": tools, "heard": heard}))


asyncio.run(main())
