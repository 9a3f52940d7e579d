"""The log shows tampering: `wicket audit verify` on the log that real servers left, whole and tampered with."""

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.databases import Location
from tests.journeys.crowd import TOOLS, Crowd
from tests.journeys.servers import REPOSITORY, Server, outside, through
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import Tier
from wicket.store.db.sqlite import connect_raw

CALLS = 60
FIRST = "SELECT min(seq) FROM {0} WHERE writer = 1"
SECOND = "SELECT min(seq) FROM {0} WHERE writer = 1 AND seq > (SELECT min(seq) FROM {0} WHERE writer = 1)"
SWAPPED = (
    "CREATE TEMP TABLE two AS SELECT ({first}) AS a, ({second}) AS b",
    "UPDATE {0} SET seq = -1 WHERE writer = 1 AND seq = (SELECT a FROM two)",
    "UPDATE {0} SET seq = (SELECT a FROM two) WHERE writer = 1 AND seq = (SELECT b FROM two)",
    "UPDATE {0} SET seq = (SELECT b FROM two) WHERE writer = 1 AND seq = -1",
)
INSERTED = (
    "INSERT INTO outcomes SELECT 1, (SELECT max(seq) FROM audit WHERE writer = 1) + 1000, entry_id, 'ok', ended_at,"
    " body, hash FROM outcomes LIMIT 1"
)
TAMPERINGS: dict[str, Sequence[str]] = {
    "a denial made an allowance": [
        "UPDATE audit SET denied = NOT denied WHERE id = (SELECT min(id) FROM audit)"
    ],
    "an entry deleted": ["DELETE FROM audit WHERE id = (SELECT max(id) FROM audit WHERE writer = 1)"],
    "entries swapped": SWAPPED,
    "an outcome inserted": [INSERTED],
    "an outcome changed": ["UPDATE outcomes SET outcome = 'ok' WHERE outcome = 'interrupted'"],
    "a change of the rules deleted": ["DELETE FROM events WHERE kind = 'policy_created'"],
}


async def leave_a_log(location: Location) -> None:
    """Of a server that was killed, and of one that was stopped."""
    async with RecordingUpstream(tools=TOOLS) as upstream, Server(location) as server:
        crowd = Crowd(upstream)
        async with outside(location, "") as wicket:
            agent = await wicket.agent(
                services={"fake": upstream.url}, tiers={"echo": Tier.READ, "drop": Tier.WRITE}
            )
            await agent.policy(service="fake", tools=["echo"])
            key = await agent.key()
            await server.start()
            async with crowd.calling([through(wicket, server)], key, echo=2, drop=2, hang=2):
                await crowd.until(lambda: crowd.count("ended") >= CALLS)
                await server.kill()
            await server.start()
            await crowd.call(through(wicket, server), key)
            await server.stop()


async def verified(data_dir: Path) -> tuple[int, str]:
    """Exit code and output of the command."""
    command = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "wicket.cli", "audit", "verify", "--data-dir", str(data_dir)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
    )
    async with asyncio.timeout(60):
        output, _ = await command.communicate()
    assert command.returncode is not None
    return command.returncode, output.decode()


def tampered(data_dir: Path, copy: Path, statements: Sequence[str]) -> Path:
    """A copy of the data, changed by somebody who knows SQL."""
    copy.mkdir(mode=0o700)
    for file in data_dir.glob("wicket.db*"):
        if file.is_file():
            shutil.copy(file, copy)
    raw = connect_raw(copy / "wicket.db")
    for statement in statements:
        table = "audit"
        first, second = FIRST.format(table), SECOND.format(table)
        raw.execute(statement.format(table, first=first, second=second)).fetchall()
    raw.close()
    return copy


@pytest.mark.promise("P4")
@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_the_command_finds_what_was_changed_in_the_log_of_real_servers(
    location: Location, tmp_path: Path
) -> None:
    await leave_a_log(location)
    code, output = await verified(tmp_path)
    assert code == 0, output
    copies = [
        tampered(tmp_path, tmp_path / f"copy-{number}", statements)
        for number, statements in enumerate(TAMPERINGS.values())
    ]
    found = dict(zip(TAMPERINGS, [await verified(copy) for copy in copies], strict=True))
    assert {name: output for name, (code, output) in found.items() if code != 1} == {}
    assert all("broken" in output for _, output in found.values())
