"""Mail: letters go out by SMTP, behind the answer that caused them, or are shown on the console.

Whoever sends waits for nothing: a letter goes into a bounded queue, and whether it arrives changes no answer. The
connection is encrypted and the server's certificate checked, but to this host itself.
"""

import asyncio
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, make_msgid, parseaddr
from enum import StrEnum
from ipaddress import ip_address
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog
from prometheus_client import Counter

from wicket.core.errors import Invalid

QUEUE_MAX: Final = 1_000
SENDERS: Final = 2
"""How many letters are on their way at once."""
TIMEOUT_S: Final = 20
PAUSES_S: Final = (1.0, 10.0)
"""Before a letter that the server did not take for now is sent again."""
STOP_WAIT_S: Final = 3
SMTP_PORT: Final = 587
SMTPS_PORT: Final = 465
PERMANENT: Final = 500
"""Replies from here on say that trying again is of no use (RFC 5321 section 4.2.1)."""

_LOG = structlog.get_logger(__name__)
_LETTERS: Final = Counter("wicket_mail_letters", "Letters by what became of them", ("kind", "outcome"))


@dataclass(frozen=True, slots=True)
class Letter:
    """Plain text for one address, which has been parsed as one."""

    kind: str
    """What it is for, in logs and metrics, which never name who gets it."""
    to: str
    subject: str
    text: str = field(repr=False)


class Mailer(Protocol):
    """What letters are given to."""

    def send(self, letter: Letter) -> None:
        """Take a letter; returns at once, and never raises."""

    async def stop(self) -> None:
        """Send what is waiting, for a moment, and let go of everything."""


class Encryption(StrEnum):
    """How a connection is kept from being read along."""

    TLS = "tls"
    """From the first byte."""
    STARTTLS = "starttls"
    """Demanded before anything is said that matters."""
    NONE = "none"
    """To this host itself alone."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where letters are handed in, and as whom."""

    host: str
    port: int
    encryption: Encryption
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "MailServer":
        """`smtp://user:password@host:port` or `smtps://...`; raises Invalid."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _no_mail_server() from error
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/"):
            raise _no_mail_server()
        if parts.scheme == "smtps":
            encryption = Encryption.TLS
        else:
            encryption = Encryption.NONE if _is_here(parts.hostname) else Encryption.STARTTLS
        return cls(
            host=parts.hostname,
            port=port or (SMTPS_PORT if encryption is Encryption.TLS else SMTP_PORT),
            encryption=encryption,
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
        )


class SmtpMailer:
    """Sends letters one by one, a few at a time. Made inside a running event loop."""

    def __init__(
        self,
        server: MailServer,
        *,
        sender: str,
        tls: ssl.SSLContext | None = None,
        pauses_s: tuple[float, ...] = PAUSES_S,
        queue_max: int = QUEUE_MAX,
        stop_wait_s: float = STOP_WAIT_S,
    ) -> None:
        self._server = server
        self._sender = sender
        self._tls = tls or ssl.create_default_context()
        self._pauses_s = pauses_s
        self._stop_wait_s = stop_wait_s
        self._queue: asyncio.Queue[Letter] = asyncio.Queue(queue_max)
        self._senders = [asyncio.create_task(self._send_all()) for _ in range(SENDERS)]

    def send(self, letter: Letter) -> None:
        try:
            self._queue.put_nowait(letter)
        except asyncio.QueueFull:
            _LETTERS.labels(letter.kind, "dropped").inc()
            _LOG.error("mail_dropped", kind=letter.kind, waiting=self._queue.qsize())

    async def stop(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stop_wait_s):
                await self._queue.join()
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)

    async def _send_all(self) -> None:
        while True:
            letter = await self._queue.get()
            try:
                outcome = "sent" if await self._send_patiently(letter) else "failed"
            except Exception as error:  # noqa: BLE001 - the top of a task: the next letter goes out whatever this one met
                _LOG.error("mail_broken", kind=letter.kind, error=type(error).__name__)
                outcome = "failed"
            finally:
                self._queue.task_done()
            _LETTERS.labels(letter.kind, outcome).inc()

    async def _send_patiently(self, letter: Letter) -> bool:
        for pause_s in (*self._pauses_s, None):
            try:
                await self._hand_in(letter)
            except (aiosmtplib.SMTPException, OSError) as error:
                # Only what kind of error: its text may quote the address, and the server's words are anybody's.
                status = getattr(error, "code", None)
                _LOG.warning("mail_failed", kind=letter.kind, error=type(error).__name__, status=status)
                if pause_s is None or _is_permanent(error):
                    return False
                await asyncio.sleep(pause_s)
            else:
                return True
        return False

    async def _hand_in(self, letter: Letter) -> None:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.encryption is Encryption.TLS,
            start_tls=server.encryption is Encryption.STARTTLS,
            tls_context=self._tls,
            timeout=TIMEOUT_S,
        )
        async with client:
            await client.send_message(
                render_letter(letter, sender=self._sender),
                sender=parseaddr(self._sender)[1],
                recipients=[letter.to],
            )


class ConsoleMailer:
    """Shows letters to whoever started the server: for an instance that only its own host can reach."""

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write = write or _print

    def send(self, letter: Letter) -> None:
        """Never through the log, which others read and keep."""
        lines = [f"mail to {letter.to}: {letter.subject}", *letter.text.strip().splitlines()]
        self._write("".join(f"  | {_shown(line)}\n" for line in lines))
        _LETTERS.labels(letter.kind, "shown").inc()

    async def stop(self) -> None:
        """There is nothing to wait for."""


def render_letter(letter: Letter, *, sender: str) -> EmailMessage:
    """A letter as a message; raises ValueError for what would be another header."""
    message = EmailMessage(SMTP_POLICY)
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    return message


def code_letter(*, to: str, code: str, base_url: str, minutes: int) -> Letter:
    """What brings a sign-in code."""
    return Letter(
        kind="sign_in_code",
        to=to,
        subject="Your sign-in code for Wicket",
        text=(
            f"Your code: {code}\n\n"
            f"It signs you in to Wicket at {base_url}, once, within {minutes} minutes.\n"
            "Type it only there; nobody will ever ask you for it. If you did not ask for it, ignore this mail.\n"
        ),
    )


def invite_letter(*, to: str, inviter: str, link: str, base_url: str, days: int) -> Letter:
    """What brings an invitation. It names no agent: what people name things is no text for strangers' mail."""
    return Letter(
        kind="invite",
        to=to,
        subject="An invitation to Wicket",
        text=(
            f"{inviter} invites you to use an agent of theirs on Wicket at {base_url}.\n\n"
            f"Open this link within {days} days and sign in with this address, {to}:\n\n{link}\n\n"
            "Nothing happens before its owner has let you in. If you do not know what this is, ignore this mail.\n"
        ),
    )


def _print(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _is_here(host: str) -> bool:
    """Whether nothing leaves this host on the way to it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(line: str) -> str:
    """Text that steers no terminal: it may hold what others have named things."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _is_permanent(error: Exception) -> bool:
    status = getattr(error, "code", None)
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(refused.code >= PERMANENT for refused in error.recipients)
    return isinstance(status, int) and status >= PERMANENT


def _no_mail_server() -> Invalid:
    return Invalid("a mail server is `smtp://user:password@host:port` or `smtps://...`", field="smtp_url")
