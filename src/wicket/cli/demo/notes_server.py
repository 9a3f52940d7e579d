"""A small MCP server over stdio, run as a program of its own: notes in a folder, one text file each."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mcp.server import MCPServer

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
TEXT_BYTES_MAX: Final = 64 * 1024
NOTES_MAX: Final = 200


class Notes:
    """The notes of one folder. What is wrong is raised as ValueError, which the client gets to read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list_notes(self) -> list[str]:
        """List the names of all notes."""
        return sorted(file.stem for file in self._folder.glob("*.txt"))

    def read_note(self, name: str) -> str:
        """Read a note."""
        return self._existing(name).read_text(encoding="utf-8")

    def write_note(self, name: str, text: str) -> str:
        """Write a note, in place of one of the same name."""
        file = self._file(name)
        if len(text.encode()) > TEXT_BYTES_MAX:
            raise ValueError(f"a note has at most {TEXT_BYTES_MAX} bytes")
        if not file.exists() and len(self.list_notes()) >= NOTES_MAX:
            raise ValueError(f"there are {NOTES_MAX} notes already: delete one first")
        file.write_text(text, encoding="utf-8")
        return f"wrote {name}"

    def delete_note(self, name: str) -> str:
        """Delete a note for good."""
        self._existing(name).unlink()
        return f"deleted {name}"

    def _file(self, name: str) -> Path:
        if NAME.fullmatch(name) is None:
            raise ValueError("a note's name is lower-case letters, digits and `-`")
        return self._folder / f"{name}.txt"

    def _existing(self, name: str) -> Path:
        file = self._file(name)
        if not file.is_file():
            raise ValueError(f"there is no note `{name}`")
        return file


def build(folder: Path) -> "MCPServer":
    """The server, with each tool's own word on how much harm it can do."""
    from mcp.server import MCPServer
    from mcp.types import ToolAnnotations

    notes = Notes(folder)
    server = MCPServer("notes", log_level="WARNING")
    reads = ToolAnnotations(read_only_hint=True)
    server.tool(annotations=reads)(notes.list_notes)
    server.tool(annotations=reads)(notes.read_note)
    server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False))(notes.write_note)
    server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True))(notes.delete_note)
    return server


if __name__ == "__main__":
    build(Path(sys.argv[1])).run("stdio")
