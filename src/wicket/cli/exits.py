"""Exit codes, as they are documented, and which error ends with which."""

from enum import IntEnum

from wicket.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Limited,
    NotFound,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
    WicketError,
)


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    AUTH = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNAVAILABLE = 6


CODES: tuple[tuple[type[WicketError], Exit], ...] = (
    (Invalid, Exit.USAGE),
    (Unauthenticated, Exit.AUTH),
    (Forbidden, Exit.AUTH),
    (NotFound, Exit.NOT_FOUND),
    (Conflict, Exit.CONFLICT),
    (Limited, Exit.UNAVAILABLE),
    (Unavailable, Exit.UNAVAILABLE),
    (UpstreamFailed, Exit.UNAVAILABLE),
)


def exit_code(error: WicketError) -> Exit:
    """The exit code that says what kind of error it was."""
    return next((code for kind, code in CODES if isinstance(error, kind)), Exit.FAILED)
