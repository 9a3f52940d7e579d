"""Rate limits: a token bucket a key, refilled continuously, shared exactly by the processes of one machine.

Buckets live in memory, or in a file that the worker processes map together. The file has a fixed number of slots
in groups. A key's slot is one of its group's, found by the digest of its id; the group is locked by a lock on its
bytes while the slot is read and written. A full group gives up the slot that has rested longest. After a restart
of the machine the clock starts again, and so do the buckets.
"""

import fcntl
import mmap
import os
import struct
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

import structlog

_log = structlog.get_logger(__name__)

FILE_NAME: Final = "limits.v1"
GROUPS: Final = 4_096
SLOTS_PER_GROUP: Final = 16
MEMORY_KEYS_MAX: Final = 65_536
LOCK_YIELDS_MAX: Final = 50
LOCK_WAIT_S_MAX: Final = 0.1
"""Longer than a process that holds a lock is kept from the processor on a busy machine."""
LOCK_NAP_S: Final = 0.000_5
STUCK_NS: Final = 1_000_000_000
"""For how long a lock that could not be had is not asked for again: waiting for it holds up everything."""
_DIGEST_BYTES: Final = 16
_SLOT: Final = struct.Struct("<16sqq")
_GROUP_BYTES: Final = _SLOT.size * SLOTS_PER_GROUP
_FREE: Final = bytes(_DIGEST_BYTES)

UNIT: Final = 1_000_000_000
"""Parts of a token, so that a nanosecond at one token a second is one part."""
_MICRO: Final = 1_000_000
_SKEW_NS: Final = 1_000_000_000
"""Processes read the clock before they get the lock; an instant further ahead is from before a restart."""


@dataclass(frozen=True, slots=True)
class Bucket:
    level: int
    """In parts of a token."""
    at_ns: int
    """When it was at that level, by a monotonic clock that all processes share."""


def take_from(
    bucket: Bucket | None, *, burst: int, per_second: float, now_ns: int
) -> tuple[Bucket, int | None]:
    """Take one token: the bucket afterwards, and None or the seconds (at least 1) after which there is one.

    None stands for a full bucket. A bucket that refuses is returned as it was: asking again costs nothing.
    """
    full = burst * UNIT
    if bucket is None or bucket.at_ns > now_ns + _SKEW_NS:
        bucket = Bucket(full, now_ns)
    at_ns = max(bucket.at_ns, now_ns)
    rate_micro = max(1, round(per_second * _MICRO))
    refilled = (at_ns - bucket.at_ns) * rate_micro // _MICRO
    level = min(full, max(0, bucket.level) + refilled)
    if level >= UNIT:
        return Bucket(level - UNIT, at_ns), None
    missing_ns = -(-(UNIT - level) * _MICRO // rate_micro)
    return bucket, max(1, -(-missing_ns // UNIT))


class Limiter(Protocol):
    def take(self, key_id: str, *, burst: int, per_second: float, now_ns: int) -> int | None:
        """Take a token of the key: None, or the seconds after which to try again."""

    def close(self) -> None: ...


class MemoryLimiter:
    """Buckets of one process; the key that rested longest is forgotten first."""

    def __init__(self, keys_max: int = MEMORY_KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, key_id: str, *, burst: int, per_second: float, now_ns: int) -> int | None:
        """See `Limiter`."""
        bucket, wait_s = take_from(
            self._buckets.get(key_id), burst=burst, per_second=per_second, now_ns=now_ns
        )
        self._buckets[key_id] = bucket
        self._buckets.move_to_end(key_id)
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)
        return wait_s

    def close(self) -> None:
        """Forget everything."""
        self._buckets.clear()


class SharedLimiter:
    """Buckets that all processes with the same data directory share."""

    def __init__(self, file: Path) -> None:
        """Open the table, or make it; raises OSError where there is no room for it."""
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Reserved now: a page that finds no room later would end the process.
            os.posix_fallocate(self._descriptor, 0, GROUPS * _GROUP_BYTES)
            self._table = mmap.mmap(self._descriptor, GROUPS * _GROUP_BYTES)
        except OSError:
            os.close(self._descriptor)
            raise
        # Locks on a file's bytes are between processes; threads of one need a lock of their own.
        self._threads = Lock()
        self._alone = MemoryLimiter()
        self._stuck_until_ns: dict[int, int] = {}
        """Group -> instant; at most one entry for each process that is stopped."""

    def take(self, key_id: str, *, burst: int, per_second: float, now_ns: int) -> int | None:
        """See `Limiter`.

        Where another process holds the lock for too long (it was stopped while it held it), this one goes on by
        its own count instead of standing still.
        """
        digest = blake2b(key_id.encode(), digest_size=_DIGEST_BYTES).digest()
        group = int.from_bytes(digest[:4], "little") % GROUPS * _GROUP_BYTES
        with self._threads:
            if not self._lock(group, now_ns):
                return self._alone.take(key_id, burst=burst, per_second=per_second, now_ns=now_ns)
            try:
                offset, bucket = self._find(group, digest, now_ns)
                after, wait_s = take_from(bucket, burst=burst, per_second=per_second, now_ns=now_ns)
                _SLOT.pack_into(self._table, offset, digest, after.level, after.at_ns)
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, _GROUP_BYTES, group)
            return wait_s

    def close(self) -> None:
        """Let go of the file; what it says stays."""
        self._table.close()
        os.close(self._descriptor)

    def _lock(self, group: int, now_ns: int) -> bool:
        if self._stuck_until_ns.get(group, 0) > now_ns:
            return False
        give_up_at_s = 0.0
        for attempt in count():
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _GROUP_BYTES, group)
            except BlockingIOError:
                if attempt < LOCK_YIELDS_MAX:
                    os.sched_yield()
                    continue
            else:
                self._stuck_until_ns.pop(group, None)
                return True
            give_up_at_s = give_up_at_s or time.monotonic() + LOCK_WAIT_S_MAX
            if time.monotonic() > give_up_at_s:
                break
            time.sleep(LOCK_NAP_S)
        self._stuck_until_ns[group] = now_ns + STUCK_NS
        return False

    def _find(self, group: int, digest: bytes, now_ns: int) -> tuple[int, Bucket | None]:
        """The key's slot and what is in it, or the slot to use for it."""
        chosen, rested_ns = group, -1
        for offset in range(group, group + _GROUP_BYTES, _SLOT.size):
            held, level, at_ns = _SLOT.unpack_from(self._table, offset)
            if held == digest:
                return offset, Bucket(level, at_ns)
            if held == _FREE:
                return offset, None
            # An instant to come is from before a restart of the machine, and worth nothing.
            rest_ns = now_ns if at_ns > now_ns else now_ns - at_ns
            if rest_ns > rested_ns:
                chosen, rested_ns = offset, rest_ns
        return chosen, None


def open_limiter(directory: Path | None) -> Limiter:
    """A limiter that is shared through the directory, where there is one and it has room for the table."""
    if directory is None:
        return MemoryLimiter()
    try:
        return SharedLimiter(directory / FILE_NAME)
    except OSError as error:
        _log.warning("rate limits are not shared between workers", file=FILE_NAME, error=str(error))
        return MemoryLimiter()
