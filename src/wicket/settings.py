"""Settings: names, types, units, defaults. Read by `app` and `cli` alone; nonsense is refused at the start.

Sources, strongest first: flags of `serve`, environment variables `WICKET_...`, `wicket.toml` (in the working
directory, or the file that `WICKET_CONFIG` names), the defaults here.
"""

import os
import re
import secrets
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from wicket.core.errors import Invalid

Network: TypeAlias = IPv4Network | IPv6Network

CONFIG_FILE = "wicket.toml"
SECRET_FILE = "server.key"  # noqa: S105 - the file's name, not a secret
SECRET_BYTES = 32
DASHBOARD_SESSION_S_MAX = 30 * 24 * 3600
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.ASCII)
_SENDER = re.compile(r"[!-~]{1,64}@[A-Za-z0-9.-]{1,189}", re.ASCII)
_SERVICE_KEY = re.compile(r"[a-z][a-z0-9]{0,30}", re.ASCII)


class StdioServer(BaseModel):
    """A local MCP server that the host's configuration file names: `[stdio.git]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: Path | None = None
    name: str | None = None
    """What people see; the key by default."""
    tier_from_annotations: bool = False
    """Accept the server's own annotations as tiers, once, when an agent first enables it."""


class Settings(BaseSettings):
    """Everything that can be set. Nothing needs setting to start on loopback."""

    model_config = SettingsConfigDict(
        env_prefix="WICKET_", extra="forbid", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Field(
        Path("wicket-data"), description="SQLite file, server keys, checkpoints; mode 0700"
    )
    database_url: str | None = Field(
        None, description="`postgresql://...`; SQLite in the data directory otherwise"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8420, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    public_url: str | None = Field(None, description="in links, callbacks, Origin and Host checks")
    workers: int = Field(1, ge=1, le=64, description="worker processes")
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="networks whose `X-Forwarded-For` and `-Proto` are believed"
    )
    secret_key: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="server key, several (newest first, comma-separated) to rotate; made once otherwise",
    )
    signup: str = Field("invite", description="`invite`, `domain:example.com` or `open`")
    require_mfa: bool = Field(default=False, description="every account needs TOTP")
    smtp_url: str | None = Field(
        None,
        repr=False,
        description="mail server, `smtp://user:password@host:587` (STARTTLS) or `smtps://...`",
    )
    mail_from: str | None = Field(None, description="sender of mail")
    upstream_allow_private: Annotated[bool | tuple[Network, ...], NoDecode] = Field(
        default=False,
        description="upstreams on private and loopback addresses: true, false or a list of networks",
    )
    upstream_timeout_s: float = Field(30.0, gt=0, le=3600, description="silence of an upstream before 504")
    body_bytes_max: int = Field(4 * 1024 * 1024, ge=1024, description="size of a request to the proxy")
    connections_max: int = Field(
        4096,
        ge=16,
        le=1_000_000,
        description="open connections of a worker; idle ones make room for new ones",
    )
    keep_alive_s: float = Field(75.0, gt=0, le=3600, description="an idle connection is closed after this")
    request_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="for a request to arrive; longer for one that comes at 16 KiB/s"
    )
    response_bytes_max: int = Field(16 * 1024 * 1024, ge=1024, description="size of an upstream's answer")
    rate_burst: int = Field(60, ge=1, le=1_000_000, description="bucket of a key")
    rate_per_second: float = Field(1.0, gt=0, le=1_000_000, description="refill of a key's bucket")
    session_idle_s: int = Field(1800, ge=1, description="a tool session ends after this silence")
    dashboard_session_idle_s: int = Field(
        43200,
        ge=60,
        le=DASHBOARD_SESSION_S_MAX,
        description="a dashboard session ends after this silence, and after 30 days",
    )
    audit_retention_days: int = Field(0, ge=0, description="0 keeps everything")
    checkpoint_interval_s: float = Field(
        300.0, gt=0, le=86_400, description="a signed checkpoint of the log is written so often"
    )
    checkpoint_sink: str | None = Field(
        None,
        repr=False,
        description="keeps checkpoints outside: `file:///directory`, or an `https://` address that takes a POST",
    )
    valkey_url: str | None = Field(None, repr=False, description="exact rate limits across replicas")
    otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector that gets the log by OTLP/HTTP: `http://collector:4318`"
    )
    metrics_token: str | None = Field(None, repr=False, description="bearer that `/metrics` asks for")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="console on a terminal, json otherwise"
    )
    stdio: dict[str, StdioServer] = Field(
        default_factory=dict, description="local MCP servers; only in the configuration file"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the configuration file."""
        file = Path(os.environ.get("WICKET_CONFIG", CONFIG_FILE))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    @field_validator("trusted_proxies", "secret_key", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("upstream_allow_private", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lower() in {"true", "1", "yes", "false", "0", "no", ""}:
            return value.lower() in {"true", "1", "yes"}
        return [ip_network(part.strip()) for part in value.split(",")]

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(len(secret) < SECRET_BYTES for secret in value):
            raise ValueError(f"every server key needs at least {SECRET_BYTES} characters")
        return value

    @field_validator("signup")
    @classmethod
    def _known_signup(cls, value: str) -> str:
        mode, _, domain = value.partition(":")
        if value in {"invite", "open"} or (
            mode == "domain" and domain.isascii() and _DOMAIN.fullmatch(domain.lower())
        ):
            return value.lower()
        raise ValueError("one of `invite`, `domain:example.com`, `open`")

    @field_validator("checkpoint_sink")
    @classmethod
    def _known_sink(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        is_file = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
        is_https = parts.scheme == "https" and parts.hostname
        # Nobody can change what is signed on its way, but everybody could say that it was kept.
        is_here = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if value is None or is_file or is_https or is_here:
            return value
        raise ValueError("`file:///directory`, or an `https://` address (`http://` on this machine)")

    @field_validator("otlp_endpoint")
    @classmethod
    def _known_collector(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if value is None or (parts.scheme in {"http", "https"} and parts.hostname):
            return value
        raise ValueError("an http or https address, without `/v1/logs`: `http://collector:4318`")

    @field_validator("public_url")
    @classmethod
    def _only_an_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            _port = parts.port
        except ValueError as error:
            raise ValueError("no address: write it like https://wicket.example.com") from error
        # It goes into mails, cookies and checks of Origin, as it is.
        if parts.scheme not in {"http", "https"} or not parts.hostname or not value.isprintable():
            raise ValueError("must be an http or https address, like https://wicket.example.com")
        if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("scheme, host and port alone: Wicket is served at the root of a host")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError(
                "must be https beyond loopback: keys, codes and cookies would travel in the clear"
            )
        return value

    @field_validator("smtp_url")
    @classmethod
    def _known_mail_server(cls, value: str | None) -> str | None:
        try:
            parts = urlsplit(value or "smtp://unset")
            _port = parts.port
        except ValueError as error:
            raise ValueError("no address of a mail server") from error
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/"):
            raise ValueError("a mail server is smtp://user:password@host:port or smtps://...")
        if (parts.username is None) != (parts.password is None):
            raise ValueError("a mail server takes a user and a password, or neither")
        return value

    @field_validator("mail_from")
    @classmethod
    def _one_sender(cls, value: str | None) -> str | None:
        if value is not None and _SENDER.fullmatch(value) is None:
            raise ValueError("one address, like wicket@example.com")
        return value

    @field_validator("stdio")
    @classmethod
    def _grammatical_keys(cls, value: dict[str, StdioServer]) -> dict[str, StdioServer]:
        for key in value:
            if _SERVICE_KEY.fullmatch(key) is None:
                raise ValueError(
                    f"`{key}`: a service key has up to 31 lower-case letters and digits, a letter first"
                )
        return value

    @model_validator(mode="after")
    def _no_dangerous_combination(self) -> "Settings":
        if "WICKET_STDIO" in os.environ:
            raise ValueError("WICKET_STDIO is not read: name stdio servers in the configuration file")
        if self.database_url is not None and urlsplit(self.database_url).scheme not in {
            "postgresql",
            "postgres",
        }:
            raise ValueError("WICKET_DATABASE_URL must begin with postgresql://")
        if bool(self.smtp_url) != bool(self.mail_from):
            raise ValueError("WICKET_SMTP_URL and WICKET_MAIL_FROM go together: set both or neither")
        if not self.is_loopback and self.public_url is None:
            raise ValueError(
                "listening beyond loopback needs WICKET_PUBLIC_URL, which Origin and Host are checked by"
            )
        if not self.is_loopback and self.smtp_url is None:
            raise ValueError(
                "listening beyond loopback needs WICKET_SMTP_URL and WICKET_MAIL_FROM: without them, sign-in codes are"
                " printed on the console"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(self.host)

    @property
    def base_url(self) -> str:
        """Where clients reach this instance, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def sqlite_path(self) -> Path:
        return self.data_dir / "wicket.db"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**flags: object) -> Settings:
    """Settings from flags, environment and file; raises Invalid naming the setting and what is wrong."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"])
        setting = f"WICKET_{name.upper()}" if name else "settings"
        message = str(first["msg"]).removeprefix("Value error, ")
        raise Invalid(f"`{setting}`: {message}", field=setting) from error


def make_data_dir(settings: Settings) -> None:
    """Create the data directory, readable by its owner alone."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def find_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The server's secrets, newest first, as far as there are any; none is made."""
    file = settings.data_dir / SECRET_FILE
    return read_secrets(settings) if settings.secret_key or file.exists() else ()


def read_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The server's secrets, newest first; made once and kept in the data directory when none are given.

    Raises Invalid when several machines share a database and no key is given: each would make its own.
    """
    if settings.secret_key:
        return tuple(secret.encode() for secret in settings.secret_key)
    file = settings.data_dir / SECRET_FILE
    if not file.exists():
        if settings.database_url is not None and settings.is_loopback is False:
            raise Invalid(
                "`WICKET_SECRET_KEY` must be given when machines share a database: set the same value on each",
                field="WICKET_SECRET_KEY",
            )
        _write_once(file, secrets.token_urlsafe(SECRET_BYTES).encode())
    return (file.read_bytes(),)


def _write_once(file: Path, content: bytes) -> None:
    """Write a file that nobody else reads, whole or not at all; the first of several writers wins."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, file)
    except FileExistsError:
        return
    finally:
        draft.unlink()
