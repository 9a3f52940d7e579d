from datetime import UTC, datetime
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.ids import behind_instant, uuid7

INSTANTS = st.integers(0, (1 << 48) * 1000 - 1)
RANDOM = st.binary(min_size=8, max_size=16)


@given(INSTANTS, RANDOM)
def test_an_id_is_a_uuid_of_version_7_that_holds_its_millisecond(now_us: int, random: bytes) -> None:
    made = UUID(uuid7(now_us, random))
    assert (made.version, made.variant, made.int >> 80) == (7, RFC_4122, now_us // 1000)
    assert str(made) == uuid7(now_us, random)


@given(INSTANTS, INSTANTS, RANDOM, RANDOM)
def test_ids_of_different_microseconds_sort_by_time(one: int, other: int, a: bytes, b: bytes) -> None:
    if one != other:
        assert (uuid7(one, a) < uuid7(other, b)) == (one < other)


def test_the_example_of_the_rfc_has_its_milliseconds() -> None:
    at = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    assert uuid7(int(at.timestamp()) * 1_000_000, bytes(8)) == "017f22e2-79b0-7000-8000-000000000000"


def test_all_62_random_bits_are_used() -> None:
    assert uuid7(0, b"\xff" * 8) == "00000000-0000-7000-bfff-ffffffffffff"


@pytest.mark.parametrize(("now_us", "random"), [(-1, bytes(8)), (1 << 58, bytes(8)), (0, bytes(7))])
def test_an_impossible_instant_or_too_little_chance_is_an_error(now_us: int, random: bytes) -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        uuid7(now_us, random)


@given(st.integers(0, ((1 << 48) - 2) * 1000), RANDOM)
def test_what_is_behind_an_instant_is_behind_all_of_it_and_before_what_follows(
    now_us: int, random: bytes
) -> None:
    edge = behind_instant(uuid7(now_us, random))
    assert uuid7(now_us, b"\xff" * 8) < edge <= uuid7(now_us + 1, bytes(8))
    assert UUID(edge).version == 7
    assert behind_instant(uuid7(now_us, bytes(8))) == edge
