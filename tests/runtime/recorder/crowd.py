"""A process with two recorders that share one session: `python -m tests.runtime.recorder.crowd PATH URL LIMIT CALLS`.

Prints how many of its calls were allowed by a rule that allows the session's first LIMIT calls.
"""

import asyncio
import sys
from pathlib import Path

from tests.databases import Location
from tests.runtime.recorder.support import AGENT, allow_first, attempt, load_world, recorder_at


async def count_allowed(location: Location, limit: int, calls: int) -> int:
    database = await location.open()
    world = await database.read(load_world, AGENT)
    if world is None:
        raise LookupError("there is no agent")
    recorders = [recorder_at(location, database) for _ in range(2)]
    for recorder in recorders:
        await recorder.start()
    recorded = await asyncio.gather(
        *(recorders[number % 2].commit(attempt(allow_first(limit)), world) for number in range(calls))
    )
    for recorder in recorders:
        await recorder.stop()
    await database.close()
    return sum(one.allowed for one in recorded)


def main() -> None:
    path, url, limit, calls = sys.argv[1:]
    allowed = asyncio.run(count_allowed(Location(Path(path), url or None), int(limit), int(calls)))
    sys.stdout.write(str(allowed))


if __name__ == "__main__":
    main()
