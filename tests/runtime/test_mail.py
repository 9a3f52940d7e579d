"""Letters to a real mail server: encrypted, patient where that helps, and silent about who gets what."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.mailbox import Mailbox, open_mailbox
from tests.tls import self_signed
from wicket.core.errors import Invalid
from wicket.runtime.mail import (
    ConsoleMailer,
    Encryption,
    Letter,
    MailServer,
    SmtpMailer,
    code_letter,
    render_letter,
)

LETTER = code_letter(to="ada@example.com", code="K7QX2M", base_url="https://wicket.test", minutes=10)
SENDER = "wicket@example.com"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture(scope="module")
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@asynccontextmanager
async def mailing(
    mailbox: Mailbox,
    encryption: Encryption = Encryption.NONE,
    *,
    tls: ssl.SSLContext | None = None,
    password: str | None = None,
) -> AsyncIterator[SmtpMailer]:
    """A mailer that has done what it can when it is left."""
    username = None if password is None else "wicket"
    server = MailServer("127.0.0.1", mailbox.port, encryption, username, password)
    mailer = SmtpMailer(server, sender=SENDER, tls=tls, pauses_s=(0, 0))
    try:
        yield mailer
    finally:
        await mailer.stop()


async def test_a_letter_arrives_as_plain_text_to_one_address() -> None:
    async with open_mailbox() as mailbox:
        async with mailing(mailbox) as mailer:
            mailer.send(LETTER)
        (letter,) = mailbox.letters
    assert mailbox.envelopes == [(SENDER, ["ada@example.com"])]
    assert (letter["From"], letter["To"], letter["Auto-Submitted"]) == (
        SENDER,
        "ada@example.com",
        "auto-generated",
    )
    assert letter["Message-ID"].endswith("@example.com>")
    assert letter.get_content_type() == "text/plain"
    assert letter.get_content().replace("\r\n", "\n") == LETTER.text
    assert "K7QX2M" not in letter["Subject"]


async def test_the_connection_is_encrypted_before_anything_is_said(
    server_tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with open_mailbox(tls=server_tls, asks_login=True) as mailbox:
        async with mailing(
            mailbox, Encryption.STARTTLS, tls=trusting, password="right @:/ password"
        ) as mailer:
            mailer.send(LETTER)
        assert (mailbox.encrypted, mailbox.logins) == ([True], [(b"wicket", b"right @:/ password")])
    async with open_mailbox(tls=server_tls, at_once=True) as mailbox:
        async with mailing(mailbox, Encryption.TLS, tls=trusting) as mailer:
            mailer.send(LETTER)
        assert mailbox.encrypted == [True]


async def test_a_server_that_does_not_encrypt_or_cannot_prove_its_name_gets_nothing(
    server_tls: ssl.SSLContext,
) -> None:
    async with open_mailbox() as plain, open_mailbox(tls=server_tls) as foreign:
        for mailbox, encryption in (
            (plain, Encryption.STARTTLS),
            (foreign, Encryption.STARTTLS),
            (plain, Encryption.TLS),
        ):
            with capture_logs() as logs:
                async with mailing(mailbox, encryption, password="right @:/ password") as mailer:
                    mailer.send(LETTER)
            assert {entry["event"] for entry in logs} == {"mail_failed"}
            assert (mailbox.letters, mailbox.logins) == ([], [])


async def test_what_is_refused_for_now_is_sent_again_and_what_is_refused_for_good_is_not() -> None:
    async with open_mailbox() as mailbox:
        mailbox.replies = ["451 later", "421 later"]
        async with mailing(mailbox) as mailer:
            mailer.send(LETTER)
        assert (mailbox.tried, len(mailbox.letters)) == (3, 1)
    async with open_mailbox() as mailbox:
        mailbox.replies = ["451 later"] * 9
        async with mailing(mailbox) as mailer:
            mailer.send(LETTER)
        assert (mailbox.tried, mailbox.letters) == (3, [])
    async with open_mailbox() as mailbox:
        mailbox.replies = ["550 never"]
        async with mailing(mailbox) as mailer:
            mailer.send(LETTER)
        assert (mailbox.tried, mailbox.letters) == (1, [])


async def test_the_log_says_that_a_letter_failed_and_neither_whose_nor_what() -> None:
    async with open_mailbox() as mailbox:
        mailbox.replies = ["550 ada@example.com K7QX2M is unknown here"]
        with capture_logs() as logs:
            async with mailing(mailbox) as mailer:
                mailer.send(LETTER)
    assert logs == [
        {
            "event": "mail_failed",
            "log_level": "warning",
            "kind": "sign_in_code",
            "error": "SMTPDataError",
            "status": 550,
        }
    ]


async def test_one_letter_that_cannot_be_written_holds_up_no_other() -> None:
    broken = Letter("invite", "ada@example.com\r\nBcc: all@example.com", "hello", "hello")
    async with open_mailbox() as mailbox:
        with capture_logs() as logs:
            async with mailing(mailbox) as mailer:
                for letter in (broken, broken, broken, LETTER):
                    mailer.send(letter)
        assert [envelope[1] for envelope in mailbox.envelopes] == [["ada@example.com"]]
    assert [entry["event"] for entry in logs] == ["mail_broken"] * 3


@pytest.mark.parametrize("field", ["to", "subject", "sender"])
@pytest.mark.parametrize("injected", ["a\r\nBcc: b@example.com", "a\nBcc: b@example.com", "a\rX: y"])
def test_no_header_is_smuggled_into_a_letter(field: str, injected: str) -> None:
    given = {"to": "ada@example.com", "subject": "hello", "sender": SENDER, field: injected}
    with pytest.raises(ValueError, match="Header values may not contain linefeed"):
        render_letter(Letter("invite", given["to"], given["subject"], "text"), sender=given["sender"])


async def test_more_letters_than_can_wait_are_dropped_and_counted() -> None:
    server = MailServer("127.0.0.1", 9, Encryption.NONE)
    mailer = SmtpMailer(server, sender=SENDER, queue_max=2, pauses_s=(60,), stop_wait_s=0)
    with capture_logs() as logs:
        for _ in range(5):
            mailer.send(LETTER)
    await mailer.stop()
    assert [entry["event"] for entry in logs] == ["mail_dropped"] * 3


def test_without_a_mail_server_letters_are_shown_and_steer_no_terminal() -> None:
    shown: list[str] = []
    mailer = ConsoleMailer(shown.append)
    mailer.send(LETTER)
    mailer.send(Letter("invite", "ada@example.com", "join \x1b[2J", "one\x07\ntwo\u202e\n"))
    assert "K7QX2M" in shown[0]
    assert shown[1] == "  | mail to ada@example.com: join ?[2J\n  | one?\n  | two?\n"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", MailServer("mail.example", 587, Encryption.STARTTLS)),
        ("smtp://localhost:25", MailServer("localhost", 25, Encryption.NONE)),
        ("smtp://[::1]:25", MailServer("::1", 25, Encryption.NONE)),
        ("smtp://127.0.0.1.example:25", MailServer("127.0.0.1.example", 25, Encryption.STARTTLS)),
        ("smtps://mail.example", MailServer("mail.example", 465, Encryption.TLS)),
        ("smtps://localhost", MailServer("localhost", 465, Encryption.TLS)),
        (
            "smtp://u%40x:p%3A%2F@mail.example:2525",
            MailServer("mail.example", 2525, Encryption.STARTTLS, "u@x", "p:/"),
        ),
    ],
)
def test_a_mail_server_is_named_by_a_url(url: str, server: MailServer) -> None:
    assert MailServer.parse(url) == server


@pytest.mark.parametrize(
    "url", ["mail.example", "http://mail.example", "smtp://", "smtp://h:port", "smtp://h/x"]
)
def test_what_names_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        MailServer.parse(url)


def test_a_password_does_not_show() -> None:
    assert "secret" not in repr(MailServer.parse("smtp://u:secret@mail.example"))
    assert "K7QX2M" not in repr(LETTER)
