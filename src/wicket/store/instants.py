"""Instants in the database are integer microseconds UTC; in Python they are aware UTC datetimes."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Exact, where `timestamp()` would go through a float; a naive datetime raises TypeError."""
    return (at - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The instant that `to_us` turned into a number."""
    return _EPOCH + us * _MICROSECOND
