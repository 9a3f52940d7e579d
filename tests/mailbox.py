"""A real mail server on loopback, and the letters that it was handed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


@dataclass
class Mailbox:
    """What arrived, and how it came."""

    port: int = 0
    replies: list[str] = field(default_factory=list)
    """To letters, in turn, before they are taken."""
    letters: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str | None, list[str]]] = field(default_factory=list)
    tried: int = 0
    encrypted: list[bool] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - SMTP's name
        self.tried += 1
        self.changed.set()
        if self.replies:
            return self.replies.pop(0)
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 taken"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any
    ) -> AuthResult:
        self.logins.append((given.login, given.password))
        return AuthResult(success=given.password == b"right @:/ password")

    async def holds(self, count: int) -> list[EmailMessage]:
        """The letters, once there are so many."""
        async with asyncio.timeout(5):
            while len(self.letters) < count:
                self.changed.clear()
                await self.changed.wait()
                await asyncio.sleep(0)
        return self.letters


@asynccontextmanager
async def open_mailbox(
    *, tls: ssl.SSLContext | None = None, at_once: bool = False, asks_login: bool = False
) -> AsyncIterator[Mailbox]:
    """With `tls` it offers STARTTLS and takes nothing without; or speaks TLS `at_once`."""
    mailbox = Mailbox()

    def connect() -> SMTP:
        return SMTP(
            mailbox,
            hostname="mail.test",
            tls_context=None if at_once else tls,
            require_starttls=tls is not None and not at_once,
            auth_required=asks_login,
            auth_require_tls=tls is not None and not at_once,
            authenticator=mailbox.authenticate,
        )

    server = await asyncio.get_running_loop().create_server(
        connect, "127.0.0.1", 0, ssl=tls if at_once else None
    )
    async with server:
        mailbox.port = server.sockets[0].getsockname()[1]
        yield mailbox
