import socket
from pathlib import Path

import pytest

from tests.cli.commands import Ended, wicket
from tests.cli.conftest import Left
from wicket.store.db.sqlite import connect_raw


def findings(ended: Ended) -> dict[str, bool]:
    checks = ended.json["checks"]
    assert isinstance(checks, list)
    return {str(check["check"]): bool(check["ok"]) for check in checks if isinstance(check, dict)}


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WICKET_PORT", str(server.getsockname()[1]))


def examine(left: Left) -> Ended:
    return wicket("doctor", "--json", "--data-dir", left.data_dir)


def test_a_healthy_host_has_no_problem(left: Left) -> None:
    examined = examine(left)
    assert (examined.code, examined.json["ok"]) == (0, True)
    assert {"database", "durability", "server key", "clock", "log", "port", "files"} <= findings(
        examined
    ).keys()


def test_a_missing_directory_is_a_problem_and_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    examined = wicket("doctor", "--json", "--data-dir", missing)
    assert examined.code == 1
    assert not findings(examined)["data directory"]
    assert not missing.exists()


def test_a_taken_port_is_a_problem(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WICKET_PORT", str(server.getsockname()[1]))
        examined = examine(left)
    assert examined.code == 1
    assert not findings(examined)["port"]


def test_a_lost_server_key_is_a_problem(left: Left) -> None:
    (left.data_dir / "server.key").unlink()
    assert not findings(examine(left))["server key"]


def test_a_key_that_others_can_read_is_a_problem(left: Left) -> None:
    (left.data_dir / "server.key").chmod(0o644)
    examined = examine(left)
    assert examined.code == 1
    assert "chmod 600" in examined.out


def test_a_command_that_is_not_installed_is_a_problem(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    config = left.data_dir / "wicket.toml"
    config.write_text('[stdio.ghost]\ncommand = "no-such-server"\n', encoding="utf-8")
    monkeypatch.setenv("WICKET_CONFIG", str(config))
    assert not findings(examine(left))["stdio ghost"]


def test_a_broken_log_is_a_problem(left: Left) -> None:
    raw = connect_raw(left.data_dir / "wicket.db")
    raw.execute("UPDATE audit SET denied = NOT denied")
    raw.close()
    found = findings(examine(left))
    assert not found["log"]


def test_a_setting_that_is_none_is_a_problem(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WICKET_SIGNUP", "everybody")
    examined = examine(left)
    assert examined.code == 1
    assert findings(examined) == {"settings": False}
