"""The only place where parts are built and joined.

`running(settings)` is the whole server but its sockets; `create()` is what uvicorn runs, one in each worker process:
it lives and dies with the lifespan, and hands the front to the connections.
"""

from wicket.app.local import known_zones, local_connectors, utc_now
from wicket.app.parts import MakeLedger, Running, ledger_of, running
from wicket.app.process import Application, create, settle_memory

__all__ = [
    "Application",
    "MakeLedger",
    "Running",
    "create",
    "known_zones",
    "ledger_of",
    "local_connectors",
    "running",
    "settle_memory",
    "utc_now",
]
