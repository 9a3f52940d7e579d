"""Work in steps: what takes long says where it may be interrupted.

A generator that yields nothing, after each few milliseconds of work at the most, and returns its result. Whoever
runs it decides what happens between two steps: nothing (`finish`), or everything else that waits
(`runtime.turns`).
"""

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]


def finish(steps: Steps[T]) -> T:
    """All steps, one after the other, and what comes of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
