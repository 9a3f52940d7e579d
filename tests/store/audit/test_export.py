"""Cells of CSV: texts that no spreadsheet calculates, each entry on its line, and nothing of it lost on the way."""

import csv
import json
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.store.audit.export import Batch, finish, lines_of
from wicket.store.audit.fields import FIELDS, ExportFormat
from wicket.store.audit.viewer import HOST

BODY = {
    "toolArgs": {},
    "matchedPolicies": [],
    "decisionMs": 0.5,
    "requestBytes": 1,
    "clientName": "",
    "clientVersion": "",
    "protocolVersion": "",
}


def batch_of(text: str) -> Batch:
    """One entry that holds a text in every place where somebody else may choose it."""
    body = BODY | {
        "toolArgs": {text: [text, -1]},
        "clientName": text,
        "memberName": text,
        "resources": [text],
    }
    row = (
        *("id", 1, 7, 1_780_000_000_000_000, "agent", text, text, text, "member", "key"),
        *(None, True, "reason", text, text, text, text, json.dumps(body), b"\x01"),
    )
    return Batch([row], {}, HOST, None)


def line_of(text: str, form: ExportFormat) -> str:
    return finish(b"\n".join(lines_of(batch_of(text), form)), form).decode()


def rendered(text: str) -> tuple[str, dict[str, str]]:
    """The line of an entry, and what a reader of CSV makes of it."""
    line = line_of(text, ExportFormat.CSV)
    (row,) = csv.DictReader(StringIO(line, newline=""), fieldnames=list(FIELDS), strict=True)
    return line, row


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("plain", "plain"),
        ("=SUM(A1)", "'=SUM(A1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@cmd", "'@cmd"),
        ("\ttab", "'\\ttab"),
        ("\rcr", "'\\rcr"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[2J", "\\u001b[2J"),
        ("a\x85b\u2028c\x7f", "a\\u0085b\\u2028c\\u007f"),
        ('"quoted", and = more', '"quoted", and = more'),
        (',"=1', ',"=1'),
        ("back\\slash\\", "back\\slash\\"),
        ('\\"', '\\"'),
        ("é\N{GRINNING FACE}", "é\N{GRINNING FACE}"),
        ("", ""),
    ],
)
def test_a_cell_is_one_line_and_no_formula(text: str, cell: str) -> None:
    line, row = rendered(text)
    assert line.endswith("\r\n")
    assert len(line.splitlines()) == 1
    for field in (
        "agentName",
        "memberName",
        "service",
        "tool",
        "resource",
        "reason",
        "denyMessage",
        "clientName",
    ):
        assert row[field] == cell, field
    assert json.loads(row["toolArgs"]) == {text: [text, -1]}
    assert json.loads(row["resources"]) == [text]


@given(st.text())
def test_whatever_is_recorded_an_entry_is_a_line_with_a_cell_for_each_field(text: str) -> None:
    line, row = rendered(text)
    assert (len(line.splitlines()), list(row)) == (1, list(FIELDS))
    assert (row["id"], row["seq"], row["hash"], row["durationMs"]) == ("id", "7", "01", "")
    assert not row["tool"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert json.loads(row["toolArgs"]) == {text: [text, -1]}
    (entry,) = line_of(text, ExportFormat.JSONL).splitlines()
    assert json.loads(entry)["tool"] == text
