"""YAML as far as JSON goes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.cli.work.policy_files.yaml import parse_yaml, read_yaml, render_yaml
from wicket.core.errors import Invalid, NotFound
from wicket.core.model import Json

PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp"), include_characters="\n"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | PRINTABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PRINTABLE, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no", {"a": "no"}),
        ("a: 22:00", {"a": "22:00"}),
        ("a: 012", {"a": 12}),
        ("a: 0x1F", {"a": "0x1F"}),
        ("a: 2026-03-02T22:00:00Z", {"a": "2026-03-02T22:00:00Z"}),
        ("a: [1, -2.5, true, ~, .inf]", {"a": [1, -2.5, True, None, ".inf"]}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
    ],
)
def test_a_word_is_what_yaml_1_2_takes_it_for(text: str, value: Json) -> None:
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: 1\na: 2", "line 2 has the name `a` for the second time"),
        ("a: &x 1\nb: *x", "line 2 has an alias"),
        ("a: !!python/object:os.system x", "line 1 has the tag"),
        ("a: !!set {b}", "line 1 has the tag"),
        ("1: x", "line 1 has a name that is no text"),
        ("a: 1e999", "line 1 has a number that is too large"),
        ("a: [", "no YAML"),
        ("--- 1\n--- 2", "no YAML"),
        ("x: [" * 5_000, "nested too deeply"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str, what: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_yaml(text)
    assert what in refused.value.sentence


@given(VALUES)
def test_what_is_written_is_read_back(value: Json) -> None:
    assert parse_yaml(render_yaml(value)) == value


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_yaml(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: café".encode("latin-1"))
    with pytest.raises(Invalid, match="not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
