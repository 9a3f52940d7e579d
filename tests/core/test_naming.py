from hypothesis import given
from hypothesis import strategies as st

from wicket.core.naming import EXPOSED_NAME_MAX, exposed_name, find_shortened, split_name

TOOLS = st.text("abcXYZ019_.-", min_size=1, max_size=128)
SERVICES = st.from_regex(r"[a-z][a-z0-9]{0,30}", fullmatch=True)


def test_a_short_name_is_shown_as_it_is() -> None:
    assert exposed_name("github", "delete_file") == "github__delete_file"
    assert exposed_name(None, "delete_file") == "delete_file"


def test_a_long_name_is_cut_to_64_and_ends_in_a_hash_of_the_whole() -> None:
    shown = exposed_name("github", "x" * 100)
    assert len(shown) == EXPOSED_NAME_MAX == 64
    assert shown == "github__" + "x" * 47 + "-" + shown[-8:]
    assert shown != exposed_name("github", "x" * 101)
    assert exposed_name("github", "x" * 56) == "github__" + "x" * 56


@given(SERVICES, TOOLS)
def test_every_name_leads_back_to_its_tool(service: str, tool: str) -> None:
    shown = exposed_name(service, tool)
    assert len(shown) <= EXPOSED_NAME_MAX
    split = split_name(shown)
    assert split is not None
    assert split[0] == service
    found = split[1] if split[1] == tool else find_shortened(shown, service, ["other", tool])
    assert found == tool


@given(st.sets(TOOLS, min_size=2, max_size=20))
def test_tools_of_one_service_never_share_a_shortened_name(tools: set[str]) -> None:
    assert len({exposed_name("svc", tool + "y" * 80) for tool in tools}) == len(tools)


def test_a_name_without_a_service_before_the_first_separator_splits_into_nothing() -> None:
    assert [split_name(name) for name in ("", "echo", "__echo", "fake__", "__", "fake_echo")] == [None] * 6
    assert split_name("fake__echo") == ("fake", "echo")
    assert split_name("a__b__c") == ("a", "b__c")
    assert split_name("a___b") == ("a", "_b")


def test_what_is_no_shortened_name_is_not_searched_for() -> None:
    long = "x" * 100
    assert find_shortened("fake__" + long, "fake", [long]) is None
    assert find_shortened(exposed_name("fake", long), "other", [long]) is None
    assert find_shortened(exposed_name(None, long), None, [long]) == long
    assert find_shortened(exposed_name("fake", long), "fake", []) is None
