import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.connectors.definitions import PINNED_FIELDS, definition_hash, proposed_tier
from wicket.core.model import Json, JsonObject, Tier

TOOL: JsonObject = {
    "name": "read_file",
    "title": "Read",
    "description": "Reads a file",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
    "outputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}
SCALARS = st.none() | st.booleans() | st.integers() | st.text()


@pytest.mark.parametrize("field", PINNED_FIELDS)
def test_a_change_of_any_pinned_field_changes_the_hash(field: str) -> None:
    without = {name: value for name, value in TOOL.items() if name != field}
    variants = [TOOL, without, {**TOOL, field: None}, {**TOOL, field: "other"}]
    assert len({definition_hash(variant) for variant in variants}) == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("read_file", "read_fi\u200ble"),
        ("a", "\u0430"),
        ("\u00e9", "e\u0301"),
        ("a", "A"),
    ],
)
def test_look_alikes_have_hashes_of_their_own(one: str, other: str) -> None:
    assert definition_hash({"name": one}) != definition_hash({"name": other})


@given(st.dictionaries(st.sampled_from(PINNED_FIELDS), SCALARS | st.dictionaries(st.text(), SCALARS)))
def test_the_order_of_keys_and_what_is_not_pinned_do_not_matter(tool: JsonObject) -> None:
    shuffled: JsonObject = {"icons": [], "_meta": {"a": 1}, **dict(reversed(tool.items()))}
    assert definition_hash(shuffled) == definition_hash(tool)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"readOnlyHint": True}, Tier.READ),
        ({"readOnlyHint": True, "destructiveHint": True}, Tier.READ),
        ({"destructiveHint": False}, Tier.WRITE),
        ({"readOnlyHint": False, "destructiveHint": False}, Tier.WRITE),
        ({"destructiveHint": True}, Tier.DESTRUCTIVE),
        ({"readOnlyHint": "true"}, Tier.DESTRUCTIVE),
        ({"readOnlyHint": 1}, Tier.DESTRUCTIVE),
        ({"destructiveHint": None}, Tier.DESTRUCTIVE),
        ({}, Tier.DESTRUCTIVE),
        (None, Tier.DESTRUCTIVE),
        ([], Tier.DESTRUCTIVE),
        ("read", Tier.DESTRUCTIVE),
    ],
)
def test_annotations_propose_a_tier_and_silence_proposes_the_worst(annotations: Json, expected: Tier) -> None:
    assert proposed_tier(annotations) is expected
