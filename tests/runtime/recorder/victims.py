"""A process that forks recorders and kills them: `python -m tests.runtime.recorder.victims PATH URL KILLS SEED`.

Prints the ids of the entries that the victims had been told were durable, as JSON. PATH alone counts when URL is
empty. It forks before it starts any thread, which is why it is a process of its own.
"""

import asyncio
import json
import os
import random
import select
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.databases import Location
from tests.runtime.recorder.support import AGENT, attempt, load_world, recorder_at

AT_ONCE = 4
"""Recorders that live at the same time, so that one also dies in the midst of the others' turns."""
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


@dataclass
class Life:
    """A forked recorder, the pipe it reports to, and how much it may say before it dies."""

    pid: int
    pipe: int
    enough_bytes: int
    heard: bytearray = field(default_factory=bytearray)

    def hear(self) -> bool:
        """Whether it is time to die; a recorder that dies by itself is an error."""
        more = os.read(self.pipe, 4_096)
        self.heard += more
        if not more:
            raise ChildProcessError("a recorder ended before it was killed")
        return len(self.heard) >= self.enough_bytes

    def end(self) -> list[str]:
        """Kill it, and tell which entries it had acknowledged."""
        os.kill(self.pid, signal.SIGKILL)
        while more := os.read(self.pipe, 4_096):
            self.heard += more
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSIGNALED(status):
            raise ChildProcessError("a recorder was not there to be killed")
        return self.heard.decode().split()


def begin(location: Location, chance: random.Random) -> Life:
    hear, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(record_until_killed(location, report))
        finally:
            os._exit(1)
    os.close(report)
    return Life(child, hear, chance.randrange(1, 40) * (ID_LENGTH + 1))


def live_and_die(location: Location, chance: random.Random, kills: int) -> list[str]:
    """So many lives, some at a time; the entries that they had acknowledged."""
    acknowledged: list[str] = []
    living: dict[int, Life] = {}
    for _ in range(kills):
        life = begin(location, chance)
        living[life.pipe] = life
        while len(living) == AT_ONCE:
            acknowledged += die(living)
    while living:
        acknowledged += die(living)
    return acknowledged


def die(living: dict[int, Life]) -> list[str]:
    """Listen to the living once; those who have said enough are killed."""
    speaking, _, _ = select.select(list(living), [], [])
    ended = [pipe for pipe in speaking if living[pipe].hear()]
    return [entry for pipe in ended for entry in living.pop(pipe).end()]


def main() -> None:
    path, url, kills, seed = sys.argv[1:]
    location = Location(Path(path), url or None)
    sys.stdout.write(json.dumps(live_and_die(location, random.Random(seed), int(kills))))


if __name__ == "__main__":
    main()
