import csv
import json
import os
import signal
import stat
from io import StringIO
from pathlib import Path

import pytest

from tests.cli.commands import started, wicket
from tests.cli.conftest import Left
from wicket.store.audit.fields import FIELDS
from wicket.store.db.sqlite import connect_raw


def test_calls_are_listed_newest_first(left: Left) -> None:
    rows = wicket("audit", "list", "--data-dir", left.data_dir).rows
    assert [row[3:] for row in rows] == [
        ["fake__delete_everything", "DENY", "unknown_tool", "refused"],
        ["fake__delete_everything", "DENY", "unknown_tool", "refused"],
        ["fake__delete_everything", "DENY", "unknown_tool", "refused"],
        ["fake__echo", "ALLOW", "permitted", "upstream_error"],
    ]
    assert rows == sorted(rows, reverse=True)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (("--result", "ALLOW"), 1),
        (("--result", "DENY"), 3),
        (("--tool", "DELETE"), 3),
        (("--service", "fake"), 4),
        (("--service", "git"), 0),
        (("--member", "ben@example.com"), 3),
        (("--policy", "everybody-may-read"), 1),
        (("--agent", "HELP"), 4),
        (("--reason", "unknown_tool", "--member", "owner@example.com"), 0),
        (("--outcome", "upstream_error"), 1),
        (("--ip", "127.0.0.1"), 4),
        (("--from", "2020-01-01", "--to", "2020-12-31"), 0),
        (("--q", "everything"), 3),
    ],
)
def test_the_filters_are_those_of_the_api(left: Left, filters: tuple[str, ...], count: int) -> None:
    items = wicket("audit", "list", *filters, "--json", "--data-dir", left.data_dir).json["items"]
    assert isinstance(items, list)
    assert len(items) == count


@pytest.mark.parametrize("filters", [("--result", "MAYBE"), ("--from", "today"), ("--cursor", "x")])
def test_a_bad_filter_ends_with_2(left: Left, filters: tuple[str, ...]) -> None:
    assert wicket("audit", "list", *filters, "--data-dir", left.data_dir).code == 2


def test_pages_follow_one_another(left: Left) -> None:
    first = wicket("audit", "list", "--limit", "3", "--json", "--data-dir", left.data_dir).json
    cursor = str(first["nextCursor"])
    second = wicket("audit", "list", "--cursor", cursor, "--json", "--data-dir", left.data_dir).json
    assert [len(page["items"]) for page in (first, second) if isinstance(page["items"], list)] == [3, 1]
    assert second["nextCursor"] is None


def test_csv_has_the_columns_of_the_contract_and_no_formula(left: Left) -> None:
    exported = wicket("audit", "export", "--data-dir", left.data_dir)
    heads, *rows = csv.reader(StringIO(exported.out, newline=""))
    assert heads == list(FIELDS)
    assert len(rows) == 4
    assert [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    allowed = dict(zip(heads, rows[-1], strict=True))
    assert json.loads(allowed["toolArgs"]) == {"text": "=1+1"}
    assert allowed["denyMessage"] == ""


@pytest.mark.parametrize("option", [("--format", "jsonl"), ("--json",)])
def test_jsonl_is_an_entry_a_line(left: Left, option: tuple[str, ...]) -> None:
    exported = wicket("audit", "export", *option, "--result", "DENY", "--data-dir", left.data_dir)
    entries = [json.loads(line) for line in exported.out.splitlines()]
    assert [entry["decision"] for entry in entries] == ["DENY"] * 3
    assert [list(entry) for entry in entries] == [list(FIELDS)] * 3


def test_an_exported_file_is_its_owners_alone_and_never_overwritten(left: Left, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    arguments = ("audit", "export", "--output", file, "--data-dir", left.data_dir)
    assert wicket(*arguments).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text(encoding="utf-8").splitlines()) == 5
    assert wicket(*arguments).code == 5


def test_an_untouched_log_verifies(left: Left) -> None:
    verified = wicket("audit", "verify", "--json", "--data-dir", left.data_dir)
    assert (verified.code, verified.json["ok"], verified.json["firstBad"]) == (0, True, None)
    assert verified.json["heads"]


def test_a_tampered_row_is_named(left: Left) -> None:
    raw = connect_raw(left.data_dir / "wicket.db")
    writer, seq = raw.execute("SELECT writer, seq FROM audit ORDER BY seq LIMIT 1").fetchone()
    raw.execute("UPDATE audit SET reason = 'all is well' WHERE writer = ? AND seq = ?", (writer, seq))
    raw.close()
    verified = wicket("audit", "verify", "--json", "--data-dir", left.data_dir)
    assert verified.code == 1
    assert verified.json["firstBad"] == {"writer": writer, "seq": seq, "table": "audit", "what": "changed"}
    assert f"row {seq} of writer {writer}" in wicket("audit", "verify", "--data-dir", left.data_dir).out


def test_the_tail_begins_with_the_newest_and_goes_on_until_it_is_stopped(left: Left) -> None:
    with started(
        "audit", "tail", "-n", "2", "--json", "--data-dir", left.data_dir, cwd=left.data_dir
    ) as tail:
        assert tail.stdout is not None
        try:
            shown = [json.loads(tail.stdout.readline())["tool"] for _ in range(2)]
        finally:
            os.kill(tail.pid, signal.SIGINT)
        assert shown == ["delete_everything", "delete_everything"]
        assert tail.wait(10) == 130
