"""Identifiers that sort by time: UUID version 7 (RFC 9562, section 5.7)."""

from typing import Final

RANDOM_BYTES_MIN: Final = 8
_MS_BITS: Final = 48
_RANDOM_BITS: Final = 62
_VERSION: Final = 0x7 << 76
_VARIANT: Final = 0b10 << _RANDOM_BITS


def uuid7(now_us: int, random: bytes) -> str:
    """The UUIDv7 of an instant, microseconds since 1970 UTC, and at least 8 random bytes; raises ValueError.

    The twelve bits after the milliseconds hold the fraction of the millisecond (RFC 9562, section 6.2, method
    3), so ids made in one process sort by the microsecond.
    """
    milliseconds, microseconds = divmod(now_us, 1000)
    if not 0 <= milliseconds < 1 << _MS_BITS:
        raise ValueError(f"no UUIDv7 has the instant {now_us} us")
    if len(random) < RANDOM_BYTES_MIN:
        raise ValueError(f"a UUIDv7 needs {RANDOM_BYTES_MIN} random bytes, not {len(random)}")
    fraction = (microseconds << 12) // 1000
    chance = int.from_bytes(random[:RANDOM_BYTES_MIN]) >> 2
    digits = f"{milliseconds << 80 | _VERSION | fraction << 64 | _VARIANT | chance:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def behind_instant(id: str) -> str:  # noqa: A002 - the standard's own word
    """The least UUIDv7 that is greater than every one of the same instant as `id`: it tells nothing but a time."""
    milliseconds, fraction = divmod(int(f"{id[:8]}{id[9:13]}{id[15:18]}", 16) + 1, 1 << 12)
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}-7{fraction:03x}-8000-000000000000"
