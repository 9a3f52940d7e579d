import fcntl
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.runtime.limiter import (
    FILE_NAME,
    GROUPS,
    LOCK_WAIT_S_MAX,
    SLOTS_PER_GROUP,
    UNIT,
    Bucket,
    Limiter,
    MemoryLimiter,
    SharedLimiter,
    open_limiter,
    take_from,
)

SECOND = 1_000_000_000
NOW = 5_000 * SECOND
RATES = st.floats(0.001, 100_000, allow_nan=False)


@pytest.fixture(params=["memory", "shared"])
def limiter(request: pytest.FixtureRequest, tmp_path: Path) -> Limiter:
    return open_limiter(tmp_path if request.param == "shared" else None)


def take(
    limiter: Limiter, at_s: float = 0.0, key: str = "key", burst: int = 3, per_second: float = 1.0
) -> int | None:
    return limiter.take(key, burst=burst, per_second=per_second, now_ns=NOW + int(at_s * SECOND))


def test_a_burst_passes_and_then_one_a_second(limiter: Limiter) -> None:
    assert [take(limiter) for _ in range(5)] == [None, None, None, 1, 1]
    assert take(limiter, 0.999) == 1
    assert take(limiter, 1.0) is None
    assert take(limiter, 1.5) == 1
    assert take(limiter, 2.0) is None
    assert [take(limiter, 100) for _ in range(4)] == [None, None, None, 1]


def test_asking_in_vain_costs_nothing(limiter: Limiter) -> None:
    for _ in range(3):
        take(limiter)
    for step in range(1_000):
        assert take(limiter, step / 1_001) == 1
    assert take(limiter, 1.0) is None


def test_keys_have_buckets_of_their_own(limiter: Limiter) -> None:
    for key in ("a", "b", "é", "a" * 1_000):
        assert [take(limiter, key=key) for _ in range(4)] == [None, None, None, 1]


@pytest.mark.parametrize(
    ("per_second", "expected"), [(1.0, 1), (0.5, 2), (0.3, 4), (0.01, 100), (1_000.0, 1)]
)
def test_the_wait_is_told_in_whole_seconds_after_which_there_is_one(per_second: float, expected: int) -> None:
    limiter = MemoryLimiter()
    assert take(limiter, burst=1, per_second=per_second) is None
    assert take(limiter, burst=1, per_second=per_second) == expected
    assert take(limiter, expected, burst=1, per_second=per_second) is None


def test_a_new_limit_holds_at_once(limiter: Limiter) -> None:
    for _ in range(3):
        take(limiter)
    assert take(limiter, 0.01) == 1
    assert take(limiter, 0.02, per_second=1_000) is None
    assert take(limiter, 1_000, burst=100, per_second=1_000) is None
    assert [take(limiter, 1_000, burst=1) for _ in range(2)] == [None, 1]


def test_buckets_from_before_a_restart_of_the_machine_are_full(limiter: Limiter) -> None:
    for _ in range(3):
        take(limiter)
    assert [take(limiter, -4_000) for _ in range(4)] == [None, None, None, 1]


@given(st.integers(1, 50), RATES, st.lists(st.integers(0, 10 * SECOND), max_size=200))
def test_no_more_passes_in_any_span_than_the_burst_and_what_flows_in(
    burst: int, rate: float, steps: list[int]
) -> None:
    bucket, now, passed = None, NOW, []
    for step in steps:
        now += step
        bucket, wait_s = take_from(bucket, burst=burst, per_second=rate, now_ns=now)
        assert wait_s is None or wait_s >= 1
        assert 0 <= bucket.level <= burst * UNIT
        if wait_s is None:
            passed.append(now)
    for first in range(0, len(passed), 7):
        for last in range(first, len(passed), 5):
            flowed = (passed[last] - passed[first]) / SECOND * (rate + 1e-6)
            assert last - first + 1 <= burst + flowed + 1e-6


@given(st.integers(1, 50), RATES, st.integers(0, 50 * UNIT), st.integers(0, 100 * SECOND))
def test_who_waits_as_told_gets_one(burst: int, rate: float, level: int, later: int) -> None:
    bucket = Bucket(min(level, burst * UNIT), NOW)
    now = NOW + later
    bucket, wait_s = take_from(bucket, burst=burst, per_second=rate, now_ns=now)
    if wait_s is not None:
        _, again_s = take_from(bucket, burst=burst, per_second=rate, now_ns=now + wait_s * SECOND)
        assert again_s is None


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**62))
def test_whatever_a_damaged_table_says_no_more_than_a_burst_passes(level: int, at_ns: int, now: int) -> None:
    bucket: Bucket | None = Bucket(level, at_ns)
    passed = 0
    for _ in range(10):
        bucket, wait_s = take_from(bucket, burst=3, per_second=0.001, now_ns=now)
        passed += wait_s is None
        assert bucket.level < 2**63
    assert passed <= 3


def test_a_process_forgets_the_key_that_rested_longest() -> None:
    limiter = MemoryLimiter(keys_max=2)
    assert [take(limiter, key=key, burst=1) for key in ("a", "b", "a")] == [None, None, 1]
    assert take(limiter, key="c", burst=1) is None
    assert [take(limiter, key=key, burst=1) for key in ("a", "b")] == [1, None]


def test_a_full_table_gives_up_what_rested_longest(tmp_path: Path) -> None:
    limiter = SharedLimiter(tmp_path / FILE_NAME)
    keys = [f"key{number}" for number in range(GROUPS * SLOTS_PER_GROUP * 2)]
    for number, key in enumerate(keys):
        assert take(limiter, number / 1_000, key=key, burst=1, per_second=0.001) is None
    at_s = len(keys) / 1_000
    recent = [take(limiter, at_s, key=key, burst=1, per_second=0.001) for key in keys[-1_000:]]
    assert None not in recent


def test_the_table_outlives_its_process(tmp_path: Path) -> None:
    first = SharedLimiter(tmp_path / FILE_NAME)
    assert [take(first) for _ in range(3)] == [None, None, None]
    first.close()
    assert take(SharedLimiter(tmp_path / FILE_NAME)) == 1


def _worker(file: Path, keys: int, go: Connection) -> None:
    limiter = SharedLimiter(file)
    go.send("ready")
    go.recv()
    passed = [0] * keys
    for attempt in range(2_000):
        key = attempt % keys
        passed[key] += take(limiter, key=f"key{key}", burst=100) is None
    go.send(passed)


def test_processes_share_buckets_exactly(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    pipes = [spawn.Pipe() for _ in range(3)]
    workers = [spawn.Process(target=_worker, args=(tmp_path / FILE_NAME, 7, theirs)) for _, theirs in pipes]
    for worker in workers:
        worker.start()
    for ours, _ in pipes:
        assert ours.recv() == "ready"
    for ours, _ in pipes:
        ours.send("go")
    passed = [ours.recv() for ours, _ in pipes]
    for worker in workers:
        worker.join(10)
    assert [sum(counts) for counts in zip(*passed, strict=True)] == [100] * 7


def test_who_stopped_with_a_lock_in_hand_stops_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    limiter = SharedLimiter(file)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        descriptor = os.open(file, os.O_RDWR)
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        os.write(writer, b"locked")
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    try:
        assert os.read(reader, 6) == b"locked"
        assert [take(limiter) for _ in range(4)] == [None, None, None, 1]
        began = time.perf_counter()
        assert {take(limiter) for _ in range(1_000)} == {1}
        assert time.perf_counter() - began < LOCK_WAIT_S_MAX
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert [take(limiter, 1.1) for _ in range(4)] == [None, None, None, 1]


def test_without_a_place_for_the_table_a_process_counts_alone(tmp_path: Path) -> None:
    assert isinstance(open_limiter(tmp_path / "absent"), MemoryLimiter)
    assert isinstance(open_limiter(None), MemoryLimiter)
    assert isinstance(open_limiter(tmp_path), SharedLimiter)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
