import json
import resource
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import started, wicket
from wicket.cli.work.serving import DESCRIPTORS_MAX


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    with started("serve", "--port", "0", "--json", *options, cwd=folder) as server:
        assert server.stdout is not None
        try:
            yield server, str(json.loads(server.stdout.readline())["url"])
        finally:
            server.kill()


def get(url: str, token: str = "") -> tuple[int, dict[str, str]]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server on loopback
        return answer.status, dict(answer.headers)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_when_it_says_so_and_stops_in_order(tmp_path: Path, stop: signal.Signals) -> None:
    with serving(tmp_path) as (server, url):
        status, headers = get(f"{url}/alive")
        assert status == 200
        assert "uvicorn" not in headers.get("server", "")
        server.send_signal(stop)
        assert server.wait(20) == 0
    assert wicket("audit", "verify", "--data-dir", tmp_path / "wicket-data").code == 0


def test_a_token_made_on_the_host_works_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, url):
        made = wicket("token", "create", "--email", "ada@example.com", "--data-dir", tmp_path / "wicket-data")
        assert get(f"{url}/api/users/me", made.out.strip())[0] == 200


@pytest.mark.slow
def test_several_workers_serve_one_port(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as (server, url):
        assert get(f"{url}/alive")[0] == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_a_taken_port_ends_with_5(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with started("serve", "--port", port, cwd=tmp_path) as server:
            assert server.wait(20) == 5


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--host", "0.0.0.0"), 2),  # noqa: S104 - refused, which is what is tested
        (("--workers", "0"), 2),
        (("--database-url", "mysql://somewhere"), 2),
        (("--database-url", "postgresql://127.0.0.1:9/none"), 6),
    ],
)
def test_what_cannot_be_served_is_said_at_once(tmp_path: Path, options: tuple[str, ...], code: int) -> None:
    with started("serve", "--port", "0", *options, cwd=tmp_path) as server:
        _, err = server.communicate(timeout=20)
        assert server.returncode == code
        assert err.startswith("wicket: ")
        assert "Traceback" not in err


@pytest.mark.slow
def test_it_opens_as_many_sockets_as_the_host_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = sum(1 for _ in Path("/proc/self/fd").iterdir()) + 64  # what we have open, and pipes to come
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        with serving(tmp_path) as (server, _):
            allowed = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert few < allowed[0] == min(hard, DESCRIPTORS_MAX)
    assert allowed[1] == hard
