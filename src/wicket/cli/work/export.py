"""The log written out whole: a line an entry, however many there are, in flat memory."""

import os
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

from wicket.cli.output import say
from wicket.cli.work.host import Host, on_host
from wicket.core.errors import Conflict, NotFound
from wicket.runtime.reading import export
from wicket.store.audit.fields import ExportFormat
from wicket.store.audit.filters import AuditFilter, parse_filter


def write(
    parameters: Mapping[str, str], *, form: ExportFormat, output: Path | None, data_dir: Path | None
) -> None:
    """Write every matching entry, newest first."""
    wanted = parse_filter(parameters)

    async def work(host: Host) -> int:
        if output is None:
            return await _write(host, wanted, form, sys.stdout.buffer)
        with _create(output) as file:
            return await _write(host, wanted, form, file)

    count = on_host(work, data_dir=data_dir)
    say(f"{count:,} entries")


async def _write(host: Host, wanted: AuditFilter, form: ExportFormat, file: BinaryIO) -> int:
    lines = 0
    async with aclosing(export(host.database, account_id=None, wanted=wanted, form=form)) as chunks:
        async for chunk in chunks:
            file.write(chunk)
            lines += chunk.count(b"\n")
    return lines - (form is ExportFormat.CSV)


def _create(output: Path) -> BinaryIO:
    """A new file for its owner alone: what it will hold was readable by nobody else."""
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"`{output}` is there already: name another file", code="file_taken") from error
    except OSError as error:
        raise NotFound(f"`{output}` cannot be written: {error.strerror}") from error
    return os.fdopen(descriptor, "wb")
