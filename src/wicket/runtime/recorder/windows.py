"""Refusals that are entered once per key, reason and second, with a count of those like it."""

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from wicket.core.model import Reason

Subject: TypeAlias = tuple[str, Reason]
"""(key id, why it is refused)."""


@dataclass(slots=True, eq=False)
class Window:
    """The refusals of one subject in one second."""

    second: int
    entry_id: asyncio.Future[str | None]
    """Of the first one, once it is committed; None when it was not, or turned out otherwise."""
    count: int = 1


class Windows:
    """The windows that are open, and those that are over but not yet entered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[Subject, Window] = {}
        self._over: list[Window] = []

    def find(self, subject: Subject, second: int) -> Window | None:
        window = self._open.get(subject)
        return window if window is not None and window.second == second else None

    def open(self, subject: Subject, second: int) -> Window:
        """Begin to count; the caller enters the first one and resolves `entry_id`."""
        if (before := self._open.pop(subject, None)) is not None:
            self._over.append(before)
        if len(self._open) >= self._most:
            self._over.append(self._open.pop(next(iter(self._open))))
        window = Window(second, asyncio.get_running_loop().create_future())
        self._open[subject] = window
        return window

    def settle(self, subject: Subject, window: Window, entry_id: str | None) -> None:
        """The first one is entered, or not: then the next one begins anew."""
        if not window.entry_id.done():
            window.entry_id.set_result(entry_id)
        if entry_id is None and self._open.get(subject) is window:
            del self._open[subject]

    def take_counts(self, now_second: int | None) -> list[tuple[str, int]]:
        """(entry, how many it stands for) of the windows that are over and count more than one.

        Everything is over when no second is given. A window whose first entry is still being written waits.
        """
        for subject, window in list(self._open.items()):
            if window.second != now_second:
                self._over.append(self._open.pop(subject))
        settled = [window for window in self._over if window.entry_id.done()]
        self._over = [window for window in self._over if not window.entry_id.done()]
        counted = ((window.entry_id.result(), window.count) for window in settled)
        return [(entry_id, count) for entry_id, count in counted if entry_id is not None and count > 1]

    def __len__(self) -> int:
        return len(self._open) + len(self._over)
