"""Pages of lists: how many, from where, and what is asked back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from wicket.core.errors import Invalid

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 500
OFFSET_MAX: Final = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of `total` items, in order."""

    items: Sequence[T]
    total: int


def check_page(*, limit: int, offset: int) -> None:
    """Raise Invalid naming the parameter."""
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid(f"`limit` is a number from 1 to {PAGE_MAX}", field="limit")
    if not 0 <= offset <= OFFSET_MAX:
        raise Invalid(f"`offset` is a number from 0 to {OFFSET_MAX}", field="offset")
