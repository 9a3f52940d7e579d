"""Settings: where they come from, what is refused at the start, and the secret that is made once."""

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from wicket.core.errors import Invalid
from wicket.settings import SECRET_FILE, Settings, load_settings, make_data_dir, read_secrets

MAIL = {"smtp_url": "smtp://mail.example:587", "mail_from": "wicket@example.com"}
LONG = "a secret that has at least thirty-two bytes"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty directory, with none of our variables set."""
    for name in [name for name in os.environ if name.startswith("WICKET_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_nothing_needs_setting_on_loopback() -> None:
    settings = load_settings()
    assert settings.base_url == "http://127.0.0.1:8420"
    assert settings.is_loopback
    assert settings.data_dir == Path("wicket-data")
    assert settings.sqlite_path == Path("wicket-data/wicket.db")
    assert settings.database_url is None
    assert (settings.rate_burst, settings.rate_per_second) == (60, 1.0)
    assert settings.upstream_timeout_s == 30
    assert settings.body_bytes_max == 4 * 1024 * 1024
    assert settings.response_bytes_max == 16 * 1024 * 1024
    assert (settings.session_idle_s, settings.dashboard_session_idle_s) == (1800, 43200)
    assert settings.upstream_allow_private is False
    assert settings.trusted_proxies == ()


def test_flags_win_over_the_environment_and_the_environment_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("wicket.toml").write_text("port = 1\nrate_burst = 2\nsession_idle_s = 3\n")
    monkeypatch.setenv("WICKET_PORT", "4")
    monkeypatch.setenv("WICKET_RATE_BURST", "5")
    settings = load_settings(port=6, rate_burst=None)
    assert (settings.port, settings.rate_burst, settings.session_idle_s) == (6, 5, 3)


def test_the_file_may_lie_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('port = 9\n[stdio.git]\ncommand = "mcp-server-git"\nargs = ["--x"]\n')
    monkeypatch.setenv("WICKET_CONFIG", str(file))
    settings = load_settings()
    assert settings.port == 9
    assert settings.stdio["git"].command == "mcp-server-git"
    assert settings.stdio["git"].args == ("--x",)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WICKET_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("WICKET_UPSTREAM_ALLOW_PRIVATE", "192.168.0.0/16,10.1.0.0/16")
    monkeypatch.setenv("WICKET_SECRET_KEY", f"{LONG}, {LONG}-old")
    settings = load_settings()
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.upstream_allow_private == (ip_network("192.168.0.0/16"), ip_network("10.1.0.0/16"))
    assert read_secrets(settings) == (LONG.encode(), f"{LONG}-old".encode())


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("1", True), ("YES", True), ("false", False), ("0", False)]
)
def test_private_upstreams_are_allowed_by_a_word(
    text: str, monkeypatch: pytest.MonkeyPatch, *, expected: bool
) -> None:
    monkeypatch.setenv("WICKET_UPSTREAM_ALLOW_PRIVATE", text)
    assert load_settings().upstream_allow_private is expected


REFUSED = [
    ({"port": "70000"}, "WICKET_PORT"),
    ({"port": "http"}, "WICKET_PORT"),
    ({"workers": "0"}, "WICKET_WORKERS"),
    ({"rate_burst": "0"}, "WICKET_RATE_BURST"),
    *(
        ({"checkpoint_sink": sink}, "WICKET_CHECKPOINT_SINK")
        for sink in ("outside", "file://host/a", "file:a", "http://keeper.example/", "ftp://a/b", "https://")
    ),
    ({"checkpoint_interval_s": "0"}, "WICKET_CHECKPOINT_INTERVAL_S"),
    ({"otlp_endpoint": "collector:4318"}, "WICKET_OTLP_ENDPOINT"),
    ({"rate_per_second": "0"}, "WICKET_RATE_PER_SECOND"),
    ({"rate_per_second": "nan"}, "WICKET_RATE_PER_SECOND"),
    ({"upstream_timeout_s": "-1"}, "WICKET_UPSTREAM_TIMEOUT_S"),
    ({"body_bytes_max": "10"}, "WICKET_BODY_BYTES_MAX"),
    ({"secret_key": "short"}, "WICKET_SECRET_KEY"),
    ({"secret_key": f"{LONG},short"}, "WICKET_SECRET_KEY"),
    ({"signup": "everybody"}, "WICKET_SIGNUP"),
    ({"signup": "domain:localhost"}, "WICKET_SIGNUP"),
    ({"signup": "domain:"}, "WICKET_SIGNUP"),
    ({"signup": "domain:.com"}, "WICKET_SIGNUP"),
    ({"signup": "domain:@example.com"}, "WICKET_SIGNUP"),
    ({"signup": "domain:a.example,b.example"}, "WICKET_SIGNUP"),
    ({"signup": "domain:ex\u212aample.com"}, "WICKET_SIGNUP"),
    ({"signup": "open:example.com"}, "WICKET_SIGNUP"),
    ({"dashboard_session_idle_s": "59"}, "WICKET_DASHBOARD_SESSION_IDLE_S"),
    ({"dashboard_session_idle_s": "2592001"}, "WICKET_DASHBOARD_SESSION_IDLE_S"),
    ({"trusted_proxies": "10.0.0.1/8"}, "WICKET_TRUSTED_PROXIES"),
    ({"trusted_proxies": "proxy.example"}, "WICKET_TRUSTED_PROXIES"),
    ({"upstream_allow_private": "perhaps"}, "WICKET_UPSTREAM_ALLOW_PRIVATE"),
    ({"log_format": "xml"}, "WICKET_LOG_FORMAT"),
    ({"database_url": "mysql://localhost/wicket"}, "settings"),
    ({"smtp_url": "smtp://localhost"}, "settings"),
    ({"mail_from": "wicket@example.com"}, "settings"),
    ({**MAIL, "smtp_url": "mail.example:587"}, "WICKET_SMTP_URL"),
    ({**MAIL, "smtp_url": "http://mail.example"}, "WICKET_SMTP_URL"),
    ({**MAIL, "smtp_url": "smtp://"}, "WICKET_SMTP_URL"),
    ({**MAIL, "smtp_url": "smtp://mail.example:port"}, "WICKET_SMTP_URL"),
    ({**MAIL, "smtp_url": "smtp://mail.example/inbox"}, "WICKET_SMTP_URL"),
    ({**MAIL, "smtp_url": "smtp://user@mail.example"}, "WICKET_SMTP_URL"),
    ({**MAIL, "mail_from": "wicket"}, "WICKET_MAIL_FROM"),
    ({**MAIL, "mail_from": "wicket@example.com\r\nBcc: all@example.com"}, "WICKET_MAIL_FROM"),
    ({**MAIL, "mail_from": "a@example.com, b@example.com"}, "WICKET_MAIL_FROM"),
    ({"public_url": "ftp://wicket.example"}, "WICKET_PUBLIC_URL"),
    ({"public_url": "https://"}, "WICKET_PUBLIC_URL"),
    ({"public_url": "https://wicket.example:port"}, "WICKET_PUBLIC_URL"),
    ({"public_url": "https://user:secret@wicket.example"}, "WICKET_PUBLIC_URL"),
    ({"public_url": "https://wicket.example/below"}, "WICKET_PUBLIC_URL"),
    ({"public_url": "https://wicket.example/?a"}, "WICKET_PUBLIC_URL"),
    ({"public_url": "https://wicket.example/#a"}, "WICKET_PUBLIC_URL"),
    ({"public_url": "http://wicket.example"}, "WICKET_PUBLIC_URL"),
    ({"public_url": "http://192.0.2.1:8420"}, "WICKET_PUBLIC_URL"),
    ({"host": "0.0.0.0"}, "settings"),  # noqa: S104 - what is refused
    ({"host": "192.0.2.1"}, "settings"),
    ({"host": "192.0.2.1", "public_url": "https://wicket.example"}, "settings"),
    ({"host": "192.0.2.1", **MAIL}, "settings"),
    ({"stdio": '{"git": {"command": "sh"}}'}, "settings"),
]


@pytest.mark.parametrize(("variables", "setting"), REFUSED)
def test_nonsense_is_refused_at_the_start_and_named(
    variables: dict[str, str], setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"WICKET_{name.upper()}", value)
    with pytest.raises(Invalid) as refused:
        load_settings()
    assert refused.value.field.startswith(setting)
    assert all(value not in refused.value.sentence for value in ("short", LONG))


@pytest.mark.parametrize(
    "sink", ["file:///mnt/a%20b", "https://keeper.example:8443/x?y=z", "http://[::1]:8080/"]
)
def test_checkpoints_go_to_a_directory_or_an_address(sink: str) -> None:
    assert load_settings(checkpoint_sink=sink).checkpoint_sink == sink


@pytest.mark.parametrize("signup", ["invite", "open", "domain:example.com", "domain:a-b.example.co.uk"])
def test_who_may_sign_up_is_one_of_three_words(signup: str) -> None:
    assert load_settings(signup=signup).signup == signup
    assert load_settings(signup=signup.replace("example", "EXAMPLE")).signup == signup


@pytest.mark.parametrize(
    "text",
    [
        "prot = 1\n",
        "[stdio.GIT]\ncommand = 'x'\n",
        "[stdio.git]\nargs = []\n",
        "[stdio.a]\ncommand='x'\nshell=true\n",
    ],
)
def test_a_file_that_means_nothing_is_refused(text: str) -> None:
    Path("wicket.toml").write_text(text)
    with pytest.raises(Invalid):
        load_settings()


@pytest.mark.parametrize(
    ("flags", "url", "is_loopback"),
    [
        ({"host": "::1", "port": 1}, "http://[::1]:1", True),
        ({"host": "localhost", "port": 1}, "http://localhost:1", True),
        ({"host": "127.9.9.9", "port": 1}, "http://127.9.9.9:1", True),
        ({"public_url": "https://w.example"}, "https://w.example", True),
        ({"host": "0.0.0.0", "public_url": "https://w.example/", **MAIL}, "https://w.example", False),  # noqa: S104
        ({"host": "::", "public_url": "http://localhost:1", **MAIL}, "http://localhost:1", False),
        ({"host": "wicket.internal", "public_url": "https://w.example", **MAIL}, "https://w.example", False),
    ],
)
def test_where_clients_reach_it(flags: dict[str, object], url: str, *, is_loopback: bool) -> None:
    settings = load_settings(**flags)
    assert (settings.base_url, settings.is_loopback) == (url, is_loopback)


def test_a_secret_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "a" / "data")
    make_data_dir(settings)
    first = read_secrets(settings)
    assert read_secrets(settings) == first
    assert len(first[0]) >= 32
    assert settings.data_dir.stat().st_mode & 0o777 == 0o700
    assert (settings.data_dir / SECRET_FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in settings.data_dir.iterdir()] == [SECRET_FILE]


def test_machines_that_share_a_database_must_be_given_the_secret(tmp_path: Path) -> None:
    shared = {
        "data_dir": tmp_path,
        "database_url": "postgresql://db/wicket",
        "host": "192.0.2.1",
        "public_url": "https://w.example",
        **MAIL,
    }
    with pytest.raises(Invalid):
        read_secrets(load_settings(**shared))
    assert read_secrets(load_settings(**shared, secret_key=LONG)) == (LONG.encode(),)
    assert not (tmp_path / SECRET_FILE).exists()


def test_secrets_do_not_show_in_a_representation() -> None:
    settings = load_settings(
        secret_key=LONG, metrics_token=f"m{LONG}", smtp_url=f"smtp://u:{LONG}@h", mail_from="a@b.example"
    )
    assert LONG not in repr(settings)
    assert isinstance(settings, Settings)
