"""A process that forks recorders and kills them: `python -m tests.runtime.recorder.victims PATH URL KILLS SEED`.

Prints the ids of the entries that the victims had been told were durable, as JSON. PATH alone counts when URL is
empty. It forks before it starts any thread, which is why it is a process of its own.
"""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

from tests.databases import Location
from tests.runtime.recorder.support import AGENT, attempt, load_world, recorder_at

CALLERS = 8
ID_LENGTH = 36


async def record_until_killed(location: Location, report: int) -> None:
    """Say each entry's id when its commit has returned, and not before."""
    database = await location.open()
    world = await database.read(load_world, AGENT)
    if world is None:
        raise LookupError("there is no agent")
    recorder = recorder_at(location, database)
    await recorder.start()

    async def call(session: str) -> None:
        while True:
            recorded = await recorder.commit(attempt(session=session), world)
            os.write(report, f"{recorded.entry_id}\n".encode())

    await asyncio.gather(*(call(f"s{number}") for number in range(CALLERS)))


def one_life(location: Location, chance: random.Random) -> list[str]:
    """Fork a recorder, kill it after some entries, and tell which it had acknowledged."""
    hear, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(record_until_killed(location, report))
        finally:
            os._exit(1)
    os.close(report)
    enough = chance.randrange(1, 40) * (ID_LENGTH + 1)
    heard = b""
    while len(heard) < enough and (more := os.read(hear, 4_096)):
        heard += more
    os.kill(child, signal.SIGKILL)
    while more := os.read(hear, 4_096):
        heard += more
    os.close(hear)
    os.waitpid(child, 0)
    return heard.decode().split()


def main() -> None:
    path, url, kills, seed = sys.argv[1:]
    location, chance = Location(Path(path), url or None), random.Random(seed)
    acknowledged = [entry for _ in range(int(kills)) for entry in one_life(location, chance)]
    sys.stdout.write(json.dumps(acknowledged))


if __name__ == "__main__":
    main()
