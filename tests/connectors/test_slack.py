import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.connectors.resolving import call_of, is_rejected, targets
from wicket.connectors import catalog, labels_of
from wicket.core.entities import Entity
from wicket.core.model import Json, JsonObject

OPEN = Entity(
    "Channel", "C0123456789", "general", {"isPrivate": False, "isArchived": False, "isShared": False}
)
CLOSED = Entity("Channel", "C0123456789", "board", {"isPrivate": True})
BAD_CHANNELS: list[Json] = [
    "",
    "general",
    "#general",
    "c0123456789",
    "C0123456789 ",
    " C0123456789",
    "C0123456789\n",
    "C01234%35",
    "C1",
    "https://x.slack.com/archives/C0123456789",
    "C0123456789,C0123456780",
    "../C0123456789",
    "C0123456789.",
    "T0123456789",
    "\u0421123456789",
    "C012345678\u0663",
    None,
    1,
    True,
    ["C0123456789"],
    {"id": "C0123456789"},
    "C" + "1" * 40,
]


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("slack_send_message", {"channel_id": "C0123456789"}, "Channel C0123456789"),
        ("slack_send_message", {"channel_id": "U0123456789"}, "Channel U0123456789"),
        ("slack_send_message", {}, "Service slack"),
        ("slack_read_thread", {"channel_id": "G0123456789", "message_ts": "1.2"}, "Channel G0123456789"),
        ("slack_create_conversation", {"user_ids": "U1"}, "Channel new"),
        ("slack_read_canvas", {"canvas_id": "F1"}, "Channel ?"),
        ("slack_search_public", {"query": "x"}, "Search slack"),
        ("slack_search_users", {"query": "x"}, "Service slack"),
    ],
)
def test_a_call_targets_the_channel_that_it_names(tool: str, arguments: JsonObject, expected: str) -> None:
    assert targets(call_of("slack", tool, arguments)) == [expected]


@pytest.mark.parametrize("channel", BAD_CHANNELS)
def test_a_channel_of_another_spelling_is_refused(channel: Json) -> None:
    assert is_rejected("slack", "slack_send_message", {"channel_id": channel})


@pytest.mark.parametrize("other", ["Channel_id", "CHANNEL_ID"])
def test_a_parameter_in_two_places_is_refused(other: str) -> None:
    assert is_rejected("slack", "slack_send_message", {"channel_id": "C0123456789", other: "C0123456780"})
    assert is_rejected("slack", "slack_send_message", {other: "C0123456780"})


def test_direct_messages_are_private_whatever_nobody_has_told() -> None:
    resource = call_of("slack", "slack_send_message", {"channel_id": "D0123456789"}).resources[0]
    assert resource.attributes == {"isPrivate": True}
    assert resource.unknown == {"isArchived", "isShared"}


@pytest.mark.parametrize(
    ("tool", "entities", "labels"),
    [
        ("slack_read_channel", [OPEN], set()),
        ("slack_read_channel", [CLOSED], {"slack:private"}),
        ("slack_read_channel", [], {"slack:private"}),
        ("slack_search_channels", [OPEN], {"slack:private"}),
        ("slack_search_users", [OPEN], set()),
    ],
)
def test_a_session_remembers_what_was_not_known_to_be_public(
    tool: str, entities: list[Entity], labels: set[str]
) -> None:
    assert labels_of(call_of("slack", tool, {"channel_id": "C0123456789"}, *entities)) == labels


@given(st.text(max_size=20))
def test_no_channel_outside_the_grammar_gets_through(channel: str) -> None:
    good = re.fullmatch("[CDGUW][A-Z0-9]{2,30}", channel, re.ASCII) is not None
    assert is_rejected("slack", "slack_read_channel", {"channel_id": channel}) is not good


def test_every_tool_has_a_target_or_is_known_to_have_none() -> None:
    none = {name for name, tool in catalog()["slack"].tools.items() if not tool.target}
    assert none == {
        "slack_search_users",
        "slack_search_emojis",
        "slack_read_user_profile",
        "slack_create_canvas",
        "slack_create_list",
        "slack_get_file_upload_url",
    }
