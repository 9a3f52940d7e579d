from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.chain import GENESIS, Break, ChainCheck, Field, Flaw, Row, first_break, link

fields = st.lists(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=8), st.binary(max_size=8)),
    max_size=5,
)
contents = st.lists(st.tuples(st.sampled_from(["audit", "outcome", "event"]), fields), min_size=1, max_size=8)


def build_chain(rows: Sequence[tuple[str, Sequence[Field]]]) -> list[Row]:
    chain: list[Row] = []
    previous = GENESIS
    for seq, (kind, values) in enumerate(rows, start=1):
        previous = link(previous, kind, values)
        chain.append((seq, kind, values, previous))
    return chain


@given(contents)
def test_an_untouched_chain_has_no_flaw(rows: list[tuple[str, list[Field]]]) -> None:
    assert first_break(build_chain(rows)) is None


@given(contents)
def test_a_chain_can_be_checked_from_the_middle(rows: list[tuple[str, list[Field]]]) -> None:
    chain = build_chain(rows)
    middle = chain[len(chain) // 2]
    rest = chain[len(chain) // 2 + 1 :]
    assert first_break(rest, seq=middle[0], previous=middle[3]) is None


@given(contents, st.data())
def test_the_first_changed_row_is_named(rows: list[tuple[str, list[Field]]], data: st.DataObject) -> None:
    chain = build_chain(rows)
    at = data.draw(st.integers(0, len(chain) - 1))
    seq, kind, values, stored = chain[at]
    chain[at] = (seq, kind, [*values, "added"], stored)
    assert first_break(chain) == Break(seq, Flaw.CHANGED)


@given(contents, st.data())
def test_a_row_whose_hash_was_made_to_fit_gives_the_next_one_away(
    rows: list[tuple[str, list[Field]]], data: st.DataObject
) -> None:
    chain = build_chain([*rows, ("event", ["last"])])
    at = data.draw(st.integers(0, len(chain) - 2))
    seq, kind, values, _ = chain[at]
    previous = chain[at - 1][3] if at else GENESIS
    forged: list[Field] = [*values, "added"]
    chain[at] = (seq, kind, forged, link(previous, kind, forged))
    assert first_break(chain) == Break(seq + 1, Flaw.CHANGED)


@given(contents, st.data())
def test_a_deleted_row_is_named_as_missing(rows: list[tuple[str, list[Field]]], data: st.DataObject) -> None:
    chain = build_chain([*rows, ("event", ["last"])])
    at = data.draw(st.integers(0, len(chain) - 2))
    seq = chain.pop(at)[0]
    assert first_break(chain) == Break(seq, Flaw.MISSING)


@given(contents, st.data())
def test_a_row_that_is_there_twice_is_named_as_inserted(
    rows: list[tuple[str, list[Field]]], data: st.DataObject
) -> None:
    chain = build_chain(rows)
    at = data.draw(st.integers(0, len(chain) - 1))
    chain.insert(at, chain[at])
    assert first_break(chain) == Break(chain[at][0], Flaw.INSERTED)


def test_two_rows_that_changed_places_are_found() -> None:
    chain = build_chain([("audit", [n]) for n in range(4)])
    chain[1], chain[2] = (2, *chain[2][1:]), (3, *chain[1][1:])
    assert first_break(chain) == Break(2, Flaw.CHANGED)


def test_a_chain_that_was_cut_off_at_its_end_differs_from_the_head_that_was_noted() -> None:
    chain = build_chain([("audit", [n]) for n in range(4)])
    check = ChainCheck()
    assert all(check.take(*row) is None for row in chain[:-1])
    assert (check.seq, check.hash) == (chain[-2][0], chain[-2][3])
    assert (check.seq, check.hash) != (chain[-1][0], chain[-1][3])


def test_a_check_stays_at_the_last_good_row() -> None:
    chain = build_chain([("audit", ["a"]), ("audit", ["b"])])
    check = ChainCheck()
    check.take(*chain[0])
    assert check.take(2, "audit", ["c"], chain[1][3]) == Break(2, Flaw.CHANGED)
    assert check.take(*chain[1]) is None


@given(st.tuples(st.text(max_size=4), fields), st.tuples(st.text(max_size=4), fields))
def test_no_two_rows_share_a_hash(one: tuple[str, list[Field]], other: tuple[str, list[Field]]) -> None:
    assert (one == other) == (link(GENESIS, *one) == link(GENESIS, *other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["1"], [1]),
        ([None], [""]),
        ([None], []),
        ([b"n"], ["n"]),
        (["a\x00"], ["a"]),
        ([1, 2], [12]),
        (["s1:a"], ["a"]),
        ([b""], [None]),
        (["\u00e9"], ["e\u0301"]),
    ],
)
def test_values_that_look_alike_are_told_apart(one: list[Field], other: list[Field]) -> None:
    assert link(GENESIS, "audit", one) != link(GENESIS, "audit", other)


def test_a_boolean_counts_as_the_integer_that_a_database_gives_back() -> None:
    assert link(GENESIS, "audit", [True, False]) == link(GENESIS, "audit", [1, 0])


def test_a_hash_covers_the_row_before() -> None:
    assert link(GENESIS, "audit", []) != link(link(GENESIS, "audit", []), "audit", [])


def test_the_hash_of_a_known_row_stays_what_it_was() -> None:
    # The log outlives the code: a change here makes every stored chain fail its verification.
    known = link(GENESIS, "audit", ["text", 7, -1, None, b"\x00\xff", True])
    assert known.hex() == "a08334ab952118ad60a1424599f3bc17950774527238ab724893369f5d28ec73"


@pytest.mark.parametrize("previous", [b"", b"short", bytes(33)])
def test_only_a_hash_can_stand_before_a_row(previous: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        link(previous, "audit", [])
