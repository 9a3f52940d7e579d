"""The commands of docs/api.md, run as they stand against a whole instance."""

import asyncio
import os
import re
from pathlib import Path

from tests.instance import Instance

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
STATUS = re.compile(r"#\s+([1-5]\d\d)$")
GIVEN = ("WKT=", "U=")
"""What the test knows better: there is no installed instance."""
NOTING = 'curl() { command curl -w "%{stderr}%{http_code}\\n" "$@" 2>> "$STATUSES"; }'


def commands() -> list[str]:
    lines = [line[4:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]
    return [line for line in lines if not line.startswith(GIVEN)]


async def test_every_command_of_the_page_is_answered_as_it_says(tmp_path: Path) -> None:
    expected = [found[1] for line in commands() if (found := STATUS.search(line))]
    asking = [line for line in commands() if re.match(r"(\w+=\$\()?(api|curl) ", line)]
    assert len(expected) == len(asking) > 15
    async with Instance.started(tmp_path) as wicket:
        token = await wicket.token()
        environment = {**os.environ, "WKT": token, "U": f"{wicket.url}/api", "STATUSES": "statuses"}
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            "\n".join([NOTING, *commands()]),
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            await shell.wait()
    told = re.findall(r"^\d{3}$", (tmp_path / "statuses").read_text(), re.MULTILINE)
    assert told == expected
