import pytest

from tests.cli.commands import wicket
from tests.cli.conftest import Left
from tests.cli.test_agents import add_agent_in
from wicket.cli.work.deciding import parse_arguments
from wicket.core.errors import Invalid
from wicket.core.model import JsonObject


def test_a_permitted_call_ends_with_0_and_names_the_policy(left: Left) -> None:
    answer = wicket("can", "ben@example.com", "fake__echo", "--json", "--data-dir", left.data_dir)
    policies = answer.json["matchedPolicies"]
    assert (answer.code, answer.json["decision"], answer.json["reasonCode"]) == (0, "ALLOW", "permitted")
    assert isinstance(policies, list)
    assert [p["id"] for p in policies if isinstance(p, dict)] == [left.policy_id]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("fake__echo", "--ip", "192.0.2.1"), "forbidden_by_policy"),
        (("fake__delete_everything",), "unknown_tool"),
        (("github__get_me",), "service_not_enabled"),
        (("nowhere__echo",), "service_not_enabled"),
    ],
)
def test_a_denied_call_ends_with_1_and_says_why(left: Left, options: tuple[str, ...], reason: str) -> None:
    answer = wicket("can", "ben@example.com", *options, "--json", "--data-dir", left.data_dir)
    assert (answer.code, answer.json["decision"], answer.json["reasonCode"]) == (1, "DENY", reason)


def test_the_deny_message_is_told(left: Left) -> None:
    answer = wicket("can", left.ben, "fake__echo", "--ip", "192.0.2.1", "--data-dir", left.data_dir)
    fields = dict(answer.rows)
    assert (fields["decision"], fields["deny message"]) == ("DENY", "=only from this host")


@pytest.mark.parametrize(
    "arguments",
    [
        ("ben@example.com", "echo"),
        ("ben@example.com", "fake__echo", "--ip", "here"),
        ("ben@example.com", "fake__echo", "--arg", "nothing"),
        ("ben@example.com", "fake__echo", "--at", "yesterday"),
    ],
)
def test_a_question_that_is_none_ends_with_2(left: Left, arguments: tuple[str, ...]) -> None:
    assert wicket("can", *arguments, "--data-dir", left.data_dir).code == 2


def test_who_is_no_member_is_not_found(left: Left) -> None:
    for member in ("carol@example.com", "0f3c7f0e-0000-4000-8000-000000000000"):
        assert wicket("can", member, "fake__echo", "--data-dir", left.data_dir).code == 4


def test_a_member_of_several_agents_is_asked_which(left: Left) -> None:
    other = add_agent_in(left.data_dir, owner="owner@example.com", name="second")
    arguments = ("owner@example.com", "fake__echo", "--data-dir", left.data_dir)
    assert wicket("can", *arguments).code == 5
    assert wicket("can", *arguments, "--agent", "helper").code == 0
    assert wicket("can", *arguments, "--agent", other).code == 1


@pytest.mark.parametrize(
    ("texts", "arguments"),
    [
        (["a=1", "b=x=y", "c="], {"a": "1", "b": "x=y", "c": ""}),
        (["a:=1", 'b:=["x"]', "c:=null"], {"a": 1, "b": ["x"], "c": None}),
    ],
)
def test_arguments_are_text_or_json(texts: list[str], arguments: JsonObject) -> None:
    assert parse_arguments(texts) == arguments


@pytest.mark.parametrize("texts", [["a"], ["=x"], [":=1"], ["a=1", "a=2"], ["a:=[1"], ['a:={"k":1,"k":2}']])
def test_an_argument_that_could_be_misread_is_refused(texts: list[str]) -> None:
    with pytest.raises(Invalid):
        parse_arguments(texts)
