"""What looks after the log, as settings want it."""

from contextlib import AsyncExitStack

from wicket import __version__
from wicket.app.local import utc_now
from wicket.core.checkpoints import Signer
from wicket.core.keys import ServerKeys
from wicket.runtime.otlp import Exporter
from wicket.runtime.recorder import Recorder
from wicket.runtime.rollups import Rollups
from wicket.runtime.upkeep import upkeep
from wicket.runtime.wire import AddressPolicy, HttpWire
from wicket.settings import Settings
from wicket.store.db import Database


async def look_after_the_log(
    settings: Settings, stack: AsyncExitStack, keys: ServerKeys, database: Database, recorder: Recorder
) -> None:
    """Start it before the recorder, so that it ends after that has written its last row."""
    looking_after = upkeep(
        database,
        Signer(keys.checkpoint_keys[0]),
        checkpoint_s=settings.checkpoint_interval_s,
        sink_url=settings.checkpoint_sink,
        retention_days=settings.audit_retention_days,
        now=utc_now,
    )
    await stack.enter_async_context(looking_after)
    rollups = Rollups(database)
    await rollups.start()
    stack.push_async_callback(rollups.stop)
    if settings.otlp_endpoint is not None:
        # The operator names the collector, so it may be on a private address.
        wire = HttpWire(addresses=AddressPolicy(allow_private=True))
        stack.push_async_callback(wire.close)
        exporter = Exporter(
            database,
            wire,
            endpoint=settings.otlp_endpoint,
            version=__version__,
            own_writers=lambda: recorder.writers,
        )
        await exporter.start()
        stack.push_async_callback(exporter.stop)
