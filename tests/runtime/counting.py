"""A process that counts a stretch of a log for each line that it is told: `python -m tests.runtime.counting PATH URL`.

It answers a line for each. PATH alone counts when URL is empty.
"""

import asyncio
import sys
from pathlib import Path

from tests.databases import Location
from wicket.runtime.rollups import Rollups


async def main() -> None:
    path, url = sys.argv[1:]
    rollups = Rollups(await Location(Path(path), url or None).open())
    while await asyncio.to_thread(sys.stdin.readline):
        await rollups.count()
        sys.stdout.write("counted\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
