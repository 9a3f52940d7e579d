"""`wicket serve` as people run it, on a disk or a database that is made to fail under it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.databases import Location
from tests.journeys.crowd import TOOLS, CallStory, Crowd
from tests.journeys.log import Logged, read_log
from tests.journeys.servers import Server, outside, through
from tests.reachable import AgentUnderTest, Reachable
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import Tier
from wicket.store import tables
from wicket.store.audit.verify import verify

SETTLED_S = 60
GAP = "gap"


class Serve(Server):
    """The command, in one process."""

    ADDRESS = re.compile(r" serves (http://[\d.]+:\d+)")
    STARTED = " serves "

    def _command(self) -> Sequence[str]:
        return ("-m", "wicket.cli", "serve", "--port", "0")
