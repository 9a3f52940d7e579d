"""What looks after the log while the server runs: checkpoints, their way outside, and how long rows are kept."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from wicket.core.checkpoints import Signer
from wicket.runtime.checkpoints import Checkpoints
from wicket.runtime.retention import Retention
from wicket.runtime.sinks import Sending, sink_at
from wicket.runtime.wire import AddressPolicy, HttpWire
from wicket.store.db import Database


@asynccontextmanager
async def upkeep(
    database: Database,
    signer: Signer,
    *,
    checkpoint_s: float,
    sink_url: str | None,
    retention_days: int,
    now: Callable[[], datetime],
) -> AsyncIterator[None]:
    """Enter it before the recorder starts and leave it after it has stopped: the last checkpoint covers all."""
    async with AsyncExitStack() as stack:
        written: Callable[[], None] = lambda: None  # noqa: E731 - nobody to tell
        if sink_url is not None:
            # The operator names the sink, so it may be on a private address.
            wire = HttpWire(addresses=AddressPolicy(allow_private=True))
            stack.push_async_callback(wire.close)
            sending = Sending(database, sink_at(sink_url, wire), every_s=checkpoint_s, now=now)
            await sending.start()
            stack.push_async_callback(sending.stop)
            written = sending.wake
        checkpoints = Checkpoints(database, signer, every_s=checkpoint_s, now=now, written=written)
        await checkpoints.start()
        stack.push_async_callback(checkpoints.stop)
        retention = Retention(database, signer, days=retention_days, now=now)
        await retention.start()
        stack.push_async_callback(retention.stop)
        yield
