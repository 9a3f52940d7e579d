"""The whole demo, as `make demo` runs it."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.commands import command_line, environment, started, wicket
from wicket.core.model import JsonObject

RUN_S = 60


def demo_once(folder: Path, *options: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command_line("demo", "--once", "--port", "0", *options),
        cwd=folder,
        env=environment(**({"TMPDIR": str(folder)} | settings)),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


def ask(url: str, key: str, method: str, **params: object) -> JsonObject:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own server on loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            document = json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        document = json.loads(refused.read())
    assert isinstance(document, dict)
    return document


def first_line(demo: "subprocess.Popen[str]") -> JsonObject:
    assert demo.stdout is not None
    line = demo.stdout.readline()
    assert line, demo.communicate()[1]
    document = json.loads(line)
    assert isinstance(document, dict)
    return document


def keys_of(told: JsonObject) -> dict[str, str]:
    members = told["members"]
    assert isinstance(members, list)
    people = [member for member in members if isinstance(member, dict)]
    return {str(person["email"]).split("@")[0]: str(person["key"]) for person in people}


def answer_to_the_curl_snippet(told: JsonObject) -> str:
    snippets = told["snippets"]
    assert isinstance(snippets, dict)
    return subprocess.run(
        ["/bin/sh", "-c", str(snippets["curl"])], capture_output=True, text=True, timeout=10, check=True
    ).stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> JsonObject:
    """What one demo told, run in a directory that is kept."""
    folder = tmp_path_factory.mktemp("demo")
    ended = demo_once(
        folder, "--json", "--data-dir", folder / "data", WICKET_DATABASE_URL="postgresql://nobody/none"
    )
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert isinstance(document, dict)
    return document


def entries(told: JsonObject) -> list[tuple[object, ...]]:
    found = told["entries"]
    assert isinstance(found, list)
    return [
        (str(entry["memberName"]).split("@")[0], f"{entry['service']}__{entry['tool']}", entry["reasonCode"])
        for entry in found
        if isinstance(entry, dict)
    ]


def test_calls_are_allowed_and_denied_as_the_policies_say(told: JsonObject) -> None:
    assert told["asPlanned"] is True
    assert entries(told) == [
        ("ada", "time__get_current_time", "permitted"),
        ("ada", "git__git_log", "permitted"),
        ("ada", "notes__write_note", "permitted"),
        ("ada", "notes__delete_note", "forbidden_by_policy"),
        ("ben", "notes__read_note", "permitted"),
        ("ben", "notes__write_note", "no_permit_matched"),
        ("ben", "git__git_reset", "no_permit_matched"),
        ("ben", "notes__delete_note", "forbidden_by_policy"),
        ("ben", "notes__read_note", "forbidden_by_policy"),
    ]


def test_the_breaker_trips_on_a_call_that_was_allowed_before(told: JsonObject) -> None:
    spoken = told["told"]
    assert isinstance(spoken, list)
    last = spoken[-1]
    assert isinstance(last, dict)
    assert last["allowed"] is False
    assert str(last["text"]).endswith("a person should look at this first")


def test_the_allowed_calls_did_something_real_and_the_denied_ones_nothing(told: JsonObject) -> None:
    notes = Path(str(told["dataDir"])) / "notes"
    assert sorted(file.stem for file in notes.iterdir()) == ["harvest", "rota", "shopping"]
    assert "Ben is off" not in (notes / "rota.txt").read_text(encoding="utf-8")


def test_what_it_left_can_be_looked_at(told: JsonObject) -> None:
    folder = str(told["dataDir"])
    assert wicket("audit", "verify", "--data-dir", folder).code == 0
    assert len(wicket("audit", "list", "--data-dir", folder).rows) == 9


def test_a_second_demo_does_not_mix_with_the_first(told: JsonObject, tmp_path: Path) -> None:
    assert demo_once(tmp_path, "--data-dir", str(told["dataDir"])).returncode == 5


@pytest.mark.slow
def test_it_stays_up_until_it_is_stopped_and_then_takes_its_data_away(tmp_path: Path) -> None:
    with started("demo", "--port", "0", "--json", cwd=tmp_path, settings={"TMPDIR": str(tmp_path)}) as demo:
        try:
            told = first_line(demo)
            url, keys = str(told["mcpUrl"]), keys_of(told)
            assert "result" in ask(url, keys["ada"], "tools/call", name="notes__list_notes", arguments={})
            written: JsonObject = {"name": "rota", "text": ""}
            assert "error" in ask(url, keys["ben"], "tools/call", name="notes__write_note", arguments=written)
            assert '"notes__write_note"' in answer_to_the_curl_snippet(told)
            assert Path(str(told["dataDir"])).is_dir()
        finally:
            os.kill(demo.pid, signal.SIGTERM)
        assert demo.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_summary_for_people_ends_after_the_story_with_once(tmp_path: Path) -> None:
    ended = demo_once(tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "wicket audit verify: ok" in ended.stdout
    assert "claude mcp add" not in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_stop_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    with started("demo", "--port", "0", cwd=tmp_path, settings={"TMPDIR": str(tmp_path)}) as demo:
        assert demo.stderr is not None
        assert "wicket is up" in demo.stderr.readline()
        os.kill(demo.pid, signal.SIGINT)
        _, err = demo.communicate(timeout=20)
        assert demo.returncode == 0
        assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
