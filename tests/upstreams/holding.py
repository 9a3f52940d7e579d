"""An upstream that holds calls until it is told to go on."""

import asyncio
import json

from tests.upstreams.faults import result_of
from tests.upstreams.recording import Out, Seen


class Holding:
    """A behaviour: each call waits for `go_on`, then is answered with its own arguments.

    Where the proxy hangs up first, `left` is set.
    """

    def __init__(self, *, streams: bool = False) -> None:
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()
        self._streams = streams

    async def __call__(self, seen: Seen, out: Out) -> None:
        if self._streams:
            await out.stream()
            await out.event(
                {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "working"}}
            )
        if await self._is_left(out):
            self.left.set()
            return
        result = result_of(seen.id, json.dumps(seen.params["arguments"]))
        if self._streams:
            await out.event(result)
            await out.finish()
        else:
            await out.json(result)

    async def _is_left(self, out: Out) -> bool:
        leaving, going = asyncio.create_task(out.until_left()), asyncio.create_task(self.go_on.wait())
        await asyncio.wait({leaving, going}, return_when=asyncio.FIRST_COMPLETED)
        is_left = leaving.done()
        for task in (leaving, going):
            task.cancel()
        await asyncio.gather(leaving, going, return_exceptions=True)
        return is_left
