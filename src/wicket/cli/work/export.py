"""The log written out whole: a line an entry, however many there are, in flat memory."""

import csv
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TextIO, TypeAlias

from wicket.cli.output import say
from wicket.cli.work.host import Host, on_host
from wicket.core.errors import Conflict, NotFound
from wicket.core.model import Json, JsonObject
from wicket.store.audit.fields import FIELDS
from wicket.store.audit.query import LIMIT_MAX, AuditFilter, list_entries, parse_filter

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of something to calculate."""

Put: TypeAlias = Callable[[JsonObject], object]


def write(parameters: Mapping[str, str], *, is_csv: bool, output: Path | None, data_dir: Path | None) -> None:
    """Write every matching entry, newest first."""
    wanted = parse_filter(parameters)

    async def work(host: Host) -> int:
        if output is None:
            return await _write(host, wanted, sys.stdout, is_csv=is_csv)
        with _create(output) as file:
            return await _write(host, wanted, file, is_csv=is_csv)

    count = on_host(work, data_dir=data_dir)
    say(f"{count:,} entries")


async def _write(host: Host, wanted: AuditFilter, file: TextIO, *, is_csv: bool) -> int:
    put = csv_put(file) if is_csv else jsonl_put(file)
    count, cursor = 0, None
    while True:
        page = await host.database.read(
            list_entries, account_id=None, wanted=wanted, limit=LIMIT_MAX, cursor=cursor
        )
        for entry in page.items:
            put(entry)
        count, cursor = count + len(page.items), page.next_cursor
        if cursor is None:
            return count


def csv_put(file: TextIO) -> Put:
    """Write the heads, and say how an entry is written."""
    writer = csv.writer(file)
    writer.writerow(FIELDS)
    return lambda entry: writer.writerow([cell_of(entry[field]) for field in FIELDS])


def jsonl_put(file: TextIO) -> Put:
    """Say how an entry is written as a line of JSON."""

    def put(entry: JsonObject) -> None:
        file.write(json.dumps({field: entry[field] for field in FIELDS}, ensure_ascii=False) + "\n")

    return put


def cell_of(value: Json) -> str:
    """A cell: objects as JSON, nothing for null, and no text that could be taken for a formula."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return json.dumps(value, ensure_ascii=False)


def _create(output: Path) -> TextIO:
    """A new file for its owner alone: what it will hold was readable by nobody else."""
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"`{output}` is there already: name another file", code="file_taken") from error
    except OSError as error:
        raise NotFound(f"`{output}` cannot be written: {error.strerror}") from error
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")
