"""What SQLite could not do, and what to do about it: its errors made ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from pysqlite3 import dbapi2 as library
from sqlalchemy import exc

from wicket.core.errors import Unavailable

BUGS: Final = (exc.IntegrityError, exc.ProgrammingError, exc.DataError)
PRIMARY_CODE: Final = 0xFF
NO_ROOM: Final = frozenset({library.SQLITE_FULL, library.SQLITE_IOERR, library.SQLITE_CANTOPEN})
"""Not all that a full disk fails with is called so: room for the index of the write-ahead log is an I/O error."""
_DAMAGED: Final = "the database is damaged: stop, keep a copy of it, and restore a backup"
SENTENCES: Final[Mapping[int, str]] = {
    library.SQLITE_FULL: "the disk is full: make room, and try again",
    library.SQLITE_IOERR: "the disk cannot be read or written, or is full: make room, or see the log of the system",
    library.SQLITE_READONLY: "the database cannot be written: check its owner, and whether its disk is read-only",
    library.SQLITE_CANTOPEN: "the database cannot be opened: check path and owner, and room on its disk",
    library.SQLITE_BUSY: "another program holds the database: end it, or try again in a moment",
    library.SQLITE_CORRUPT: _DAMAGED,
    library.SQLITE_NOTADB: _DAMAGED,
}
OTHERWISE: Final = "the database cannot be used right now: try again in a moment"


@contextmanager
def sqlite_errors_made_ours() -> Iterator[None]:
    """Raise Unavailable for what SQLite or the file system could not do; what we did wrong passes through."""
    try:
        yield
    except BUGS:
        raise
    except (exc.DBAPIError, library.Error, OSError) as error:
        raise Unavailable(SENTENCES.get(code_of(error), OTHERWISE)) from error


def code_of(error: BaseException | None) -> int:
    """SQLite's primary code for what went wrong, which other errors may have been raised from; 0 when it was not it."""
    while error is not None and not isinstance(error, library.Error):
        error = error.__cause__
    return int(getattr(error, "sqlite_errorcode", 0)) & PRIMARY_CODE


def lacks_room(error: BaseException) -> bool:
    """Whether what SQLite had to write could not be written."""
    return code_of(error) in NO_ROOM
