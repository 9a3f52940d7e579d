import pytest

from tests.cli.commands import wicket
from tests.cli.conftest import Left


def test_policies_are_listed_and_shown_as_cedar(left: Left) -> None:
    listed = wicket("policies", "list", "helper", "--data-dir", left.data_dir)
    assert [row[:5] for row in listed.rows] == [
        ["everybody-may-read", "enabled", "permit", "fake", "v1"],
        ["not-from-outside", "enabled", "forbid", "fake", "v1"],
    ]
    shown = wicket("policies", "show", "helper", "not-from-outside", "--data-dir", left.data_dir)
    assert shown.out.startswith("forbid (")
    as_json = wicket("policies", "show", "helper", left.policy_id, "--json", "--data-dir", left.data_dir).json
    assert (as_json["key"], str(as_json["cedar"])[:8]) == ("everybody-may-read", "permit (")


def test_versions_are_compared(left: Left) -> None:
    same = wicket("policies", "diff", "helper", left.policy_id, "--json", "--data-dir", left.data_dir)
    assert same.json == {"from": 1, "to": 1, "changes": [], "cedar": ""}


@pytest.mark.parametrize(
    "arguments", [("show", "helper", "none"), ("diff", "helper", "none"), ("list", "no")]
)
def test_what_is_not_there_ends_with_4(left: Left, arguments: tuple[str, ...]) -> None:
    assert wicket("policies", *arguments, "--data-dir", left.data_dir).code == 4
