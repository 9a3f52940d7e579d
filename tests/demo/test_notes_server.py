import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from tests.cli.commands import environment
from wicket.cli.demo.notes_server import NOTES_MAX, TEXT_BYTES_MAX, Notes


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


def test_a_note_is_written_read_listed_and_deleted(notes: Notes) -> None:
    notes.write_note("rota", "Monday Ada")
    assert notes.list_notes() == ["rota"]
    assert notes.read_note("rota") == "Monday Ada"
    notes.delete_note("rota")
    assert notes.list_notes() == []


@pytest.mark.parametrize("name", ["", "..", "../rota", "a/b", "A", "-x", "x" * 64, "a.txt", "rota\n", "é"])
def test_a_name_that_could_leave_the_folder_is_refused(notes: Notes, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        notes.write_note(name, "")


def test_a_note_that_is_not_there_is_said_to_be(notes: Notes) -> None:
    with pytest.raises(ValueError, match="no note"):
        notes.read_note("rota")


def test_notes_are_bounded(notes: Notes) -> None:
    with pytest.raises(ValueError, match="at most"):
        notes.write_note("long", "x" * (TEXT_BYTES_MAX + 1))
    for number in range(NOTES_MAX):
        notes.write_note(f"n{number}", "")
    with pytest.raises(ValueError, match="already"):
        notes.write_note("one-more", "")


async def test_it_is_a_real_server_that_says_what_its_tools_can_do(tmp_path: Path) -> None:
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "wicket.cli.demo.notes_server", str(tmp_path)], env=environment()
    )
    async with Client(command) as client:
        tools = {tool.name: tool.annotations for tool in (await client.list_tools()).tools}
        written = await client.call_tool("write_note", {"name": "rota", "text": "Monday Ada"})
        escaped = await client.call_tool("read_note", {"name": "../secret"})
    assert not written.is_error
    assert escaped.is_error
    reads = {name for name, annotations in tools.items() if annotations and annotations.read_only_hint}
    destroys = {name for name, annotations in tools.items() if annotations and annotations.destructive_hint}
    assert (reads, destroys) == ({"list_notes", "read_note"}, {"delete_note"})
