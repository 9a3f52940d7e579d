"""Policies from the database to a file, and back."""

from pathlib import Path

import pytest

from tests.cli.commands import wicket
from tests.cli.conftest import Left
from wicket.cli.work.policy_files.yaml import parse_yaml, render_yaml
from wicket.core.model import Json


def exported(left: Left) -> dict[str, Json]:
    content = parse_yaml(wicket("policies", "export", "helper", "--data-dir", left.data_dir).out)
    assert isinstance(content, dict)
    return content


def apply(left: Left, tmp_path: Path, content: Json, code: int = 0) -> dict[str, Json]:
    file = tmp_path / "policies.yaml"
    file.write_text(render_yaml(content))
    done = wicket("policies", "apply", file, "--json", "--data-dir", left.data_dir)
    assert done.code == code, done.err
    return done.json if code == 0 else {"problem": done.err}


def tests_of(*tests: Json) -> list[Json]:
    return [*tests]


def listed(content: dict[str, Json]) -> list[dict[str, Json]]:
    policies = content["policies"]
    assert isinstance(policies, list)
    return [policy for policy in policies if isinstance(policy, dict)]


def test_what_was_exported_changes_nothing_when_it_is_applied(left: Left, tmp_path: Path) -> None:
    content = exported(left)
    assert [policy["key"] for policy in listed(content)] == ["everybody-may-read", "not-from-outside"]
    assert apply(left, tmp_path, content)["steps"] == []


def test_a_file_makes_changes_and_takes_away_policies_all_at_once(left: Left, tmp_path: Path) -> None:
    before = exported(left)
    kept, _gone = listed(before)
    renamed = {**kept, "name": "Reads for all", "enabled": False}
    made: dict[str, Json] = {
        "name": "No destruction",
        "service": "github",
        "effect": "forbid",
        "tools": ["tier:destructive"],
        "principal": {"type": "specific_members", "userIds": ["ben@example.com"]},
    }
    done = apply(left, tmp_path, {**before, "policies": [renamed, made]})
    steps = done["steps"]
    assert isinstance(steps, list)
    assert [(step["kind"], step["key"]) for step in steps if isinstance(step, dict)] == [
        ("update", "everybody-may-read"),
        ("disable", "everybody-may-read"),
        ("create", "no-destruction"),
        ("delete", "not-from-outside"),
    ]
    after = exported(left)
    assert listed(after) == [
        {**renamed, "key": "everybody-may-read"},
        {"key": "no-destruction", **made},
    ]


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"effect": "allow"}, "policies[0].effect"),
        ({"tools": ["no_such_tool"]}, "no tool `no_such_tool`"),
        ({"principal": {"type": "specific_members", "userIds": ["eve@example.com"]}}, "`eve@example.com`"),
        ({"key": "Not a key!"}, "policies[0].key"),
        ({"key": "not-from-outside"}, "policies[].key"),
    ],
)
def test_one_bad_policy_in_a_file_leaves_everything_as_it_was(
    left: Left, tmp_path: Path, policy: dict[str, Json], problem: str
) -> None:
    before = exported(left)
    new: dict[str, Json] = {
        "name": "New",
        "service": "github",
        "effect": "permit",
        "tools": ["get_me"],
        **policy,
    }
    wanted: list[Json] = [new, *listed(before)[1:]]
    refused = apply(left, tmp_path, {**before, "policies": wanted}, code=2)
    assert problem in str(refused["problem"])
    assert exported(left) == before


def test_the_key_of_a_deleted_policy_is_not_given_again(left: Left, tmp_path: Path) -> None:
    before = exported(left)
    kept: list[Json] = [*listed(before)[:1]]
    apply(left, tmp_path, {**before, "policies": kept})
    refused = apply(left, tmp_path, before, code=5)
    assert "`not-from-outside`" in str(refused["problem"])


READS: Json = {
    "name": "Ben reads",
    "given": {"member": "ben@example.com", "tool": "fake__echo", "at": "2026-03-02T22:00:00Z"},
    "expect": {"decision": "ALLOW", "policies": ["everybody-may-read"]},
}
FROM_OUTSIDE: Json = {
    "name": "not from outside",
    "given": {"member": "ben@example.com", "tool": "fake__echo", "ip": "192.0.2.7"},
    "expect": {"decision": "DENY", "reason": "forbidden_by_policy", "policies": ["not-from-outside"]},
}


def test_the_tests_in_a_file_are_run_on_its_policies(left: Left, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    wrong: Json = {**dict(READS), "name": "wrong", "expect": "DENY"}  # type: ignore[arg-type]
    nobody: Json = {
        "name": "nobody",
        "given": {"member": "eve@example.com", "tool": "fake__echo"},
        "expect": "DENY",
    }
    file.write_text(render_yaml({**exported(left), "tests": tests_of(READS, FROM_OUTSIDE, wrong, nobody)}))
    ended = wicket("policies", "test", file, "--data-dir", left.data_dir)
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "! wrong: expected DENY, was ALLOW permitted by everybody-may-read",
        "! nobody: `eve@example.com` is no member of agent `helper`",
    ]
    assert ended.err.strip() == "2 of 4 tests passed"
    file.write_text(render_yaml({**exported(left), "tests": tests_of(READS, FROM_OUTSIDE)}))
    assert wicket("policies", "test", file, "--data-dir", left.data_dir).code == 0


def test_a_file_whose_tests_fail_is_not_applied(left: Left, tmp_path: Path) -> None:
    before = exported(left)
    content: dict[str, Json] = {**before, "policies": [], "tests": tests_of(READS)}
    file = tmp_path / "policies.yaml"
    file.write_text(render_yaml(content))
    ended = wicket("policies", "apply", file, "--json", "--data-dir", left.data_dir)
    assert (ended.code, ended.json["applied"]) == (1, False)
    assert ended.json["objections"] == ["1 of 1 tests failed"]
    assert exported(left) == before


def test_a_check_says_which_past_calls_would_be_decided_otherwise_and_changes_nothing(
    left: Left, tmp_path: Path
) -> None:
    before = exported(left)
    file = tmp_path / "policies.yaml"
    file.write_text(render_yaml({**before, "policies": [*listed(before)[1:]]}))
    arguments = ("policies", "apply", file, "--check", "--days", "366", "--json", "--data-dir", left.data_dir)
    ended = wicket(*arguments)
    replayed = ended.json["replay"]
    assert isinstance(replayed, dict)
    assert ended.code == 1
    counts = {name: replayed[name] for name in ("total", "changed", "newlyDenied", "newlyAllowed")}
    assert counts == {"total": 4, "changed": 1, "newlyDenied": 1, "newlyAllowed": 0}
    rows = replayed["rows"]
    assert isinstance(rows, list)
    assert [(row["tool"], row["draftDecision"]) for row in rows if isinstance(row, dict)] == [
        ("echo", "DENY")
    ]
    assert wicket(*arguments, "--max-changed", "1").code == 0
    assert exported(left) == before
