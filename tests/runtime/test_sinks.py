"""Statements about the log kept outside, by a file and by a real HTTP server."""

import asyncio
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.databases import Location, database, database_kind, location, postgres_server, sqlite_template
from tests.receiver import Receiver
from tests.runtime.recorder.support import ledger_at, rows
from tests.tls import self_signed
from wicket.core.checkpoints import Signed, Signer, is_signed, parse_statement
from wicket.core.errors import Unavailable
from wicket.runtime.checkpoints import Checkpoints
from wicket.runtime.sinks import FILE, FileSink, HttpSink, Sending, sink_at
from wicket.runtime.upkeep import upkeep
from wicket.runtime.wire import AddressPolicy, HttpWire
from wicket.store.db import Database
from wicket.store.duties import Duty, on_duty

ON_SQLITE = pytest.mark.parametrize("database_kind", ["sqlite"])
"""What happens outside is the same whatever keeps the log."""

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"o" * 32))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNSENT = sa.text("SELECT count(*) AS n FROM checkpoints WHERE sent_at IS NULL")


def checkpoints_of(opened: Database) -> Checkpoints:
    return Checkpoints(opened, SIGNER, every_s=300, now=lambda: NOW)


async def write(opened: Database, count: int) -> None:
    for _ in range(count):
        assert await checkpoints_of(opened).write()


async def unsent(opened: Database) -> int:
    (row,) = await rows(opened, UNSENT)
    return int(row["n"])


def numbers_in(lines: list[str]) -> list[int]:
    """The statements of these lines, each with a good signature."""
    found = []
    for line in lines:
        signed = Signed.parse_line(line)
        assert is_signed(signed.body, signed.signature, SIGNER.public_key)
        found.append(parse_statement(signed.body).number)
    return found


@ON_SQLITE
async def test_a_file_outside_grows_by_a_line_a_statement(database: Database, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    sending = Sending(database, FileSink(outside), every_s=60, now=lambda: NOW)
    await write(database, 2)
    await sending.send()
    await write(database, 1)
    await sending.send()
    file = outside / FILE
    assert numbers_in(file.read_text(encoding="ascii").splitlines()) == [1, 2, 3]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await unsent(database) == 0


async def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    sink = FileSink(tmp_path)
    (tmp_path / FILE).write_text('{"body": "cut', encoding="ascii")
    signed = Signed("text", b"s" * 64)
    await sink.keep(signed)
    assert (tmp_path / FILE).read_text(encoding="ascii").splitlines() == [
        '{"body": "cut',
        signed.render_line(),
    ]


@ON_SQLITE
async def test_a_directory_that_is_not_there_keeps_nothing(database: Database, tmp_path: Path) -> None:
    await write(database, 1)
    sending = Sending(database, FileSink(tmp_path / "unmounted"), every_s=60, now=lambda: NOW)
    with pytest.raises(Unavailable, match="takes no checkpoints"):
        await sending.send()
    assert await unsent(database) == 1


async def test_a_receiver_gets_each_with_its_signature_over_tls(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    signed = Signed("{}", SIGNER.sign("{}"))
    trusting = ssl.create_default_context(cafile=str(certificate))
    wire = HttpWire(addresses=AddressPolicy(allow_private=True), tls=trusting)
    async with Receiver.started(serving) as receiver:
        await sink_at(f"{receiver.url}/hook?a=b", wire).keep(signed)
    await wire.close()
    (posted,) = receiver.posted
    assert (posted.path, posted.body.decode()) == ("/hook", signed.render_line())
    assert posted.headers["wicket-signature"] == signed.signature.hex()
    assert posted.headers["content-type"] == "application/json"


@ON_SQLITE
@pytest.mark.parametrize("status", [302, 500])
async def test_what_the_receiver_does_not_take_is_sent_again_in_order(
    database: Database, status: int
) -> None:
    await write(database, 3)
    wire = HttpWire(addresses=AddressPolicy(allow_private=True))
    async with Receiver.started() as receiver:
        receiver.statuses.extend([200, status])
        sending = Sending(database, HttpSink(receiver.url, wire), every_s=60, now=lambda: NOW)
        with pytest.raises(Unavailable, match=str(status)):
            await sending.send()
        assert await unsent(database) == 2
        await sending.send()
    await wire.close()
    assert numbers_in([posted.body.decode() for posted in receiver.posted]) == [1, 2, 2, 3]
    assert await unsent(database) == 0


@ON_SQLITE
async def test_a_receiver_that_is_gone_is_tried_again_until_it_is_back(database: Database) -> None:
    await write(database, 1)
    wire = HttpWire(addresses=AddressPolicy(allow_private=True))
    async with Receiver.started() as receiver:
        receiver.statuses.append(503)
        sending = Sending(database, HttpSink(receiver.url, wire), every_s=60, now=lambda: NOW)
        await sending.start()
        await receiver.until(lambda posted: len(posted) >= 2)
        await sending.stop()
    await wire.close()
    assert await unsent(database) == 0


async def test_one_process_at_a_time_sends(database: Database, tmp_path: Path) -> None:
    await write(database, 1)
    sending = Sending(database, FileSink(tmp_path), every_s=60, now=lambda: NOW)
    async with on_duty(database, Duty.SENDING) as is_ours:
        assert is_ours
        await sending.send()
        assert await unsent(database) == 1
    await sending.send()
    assert await unsent(database) == 0


async def test_upkeep_writes_what_is_due_and_ends_with_a_checkpoint_of_everything_that_the_sink_has(
    database: Database, location: Location, tmp_path: Path
) -> None:
    ledger = ledger_at(location)
    await ledger.open(1)
    async with Receiver.started() as receiver:
        looking_after = upkeep(
            database,
            SIGNER,
            checkpoint_s=3600,
            sink_url=receiver.url,
            retention_days=0,
            now=lambda: datetime.now(UTC),
        )
        async with looking_after:
            await receiver.until(
                lambda posted: len(posted) == 1
            )  # the log began long ago: one was due at once
            await ledger.close(2)
        last = parse_statement(Signed.parse_line(receiver.posted[-1].body.decode()).body)
    # Our stop may cut off an answer, so that a statement is sent once more.
    assert sorted(set(numbers_in([posted.body.decode() for posted in receiver.posted]))) == [1, 2]
    assert [(seq, last.says.ended) for seq, _ in (last.says.heads[1],)] == [(2, frozenset({1}))]  # type: ignore[union-attr]


@ON_SQLITE
async def test_a_timer_writes_checkpoints_when_nothing_happens(
    location: Location, database: Database
) -> None:
    ledger = ledger_at(location)
    await ledger.open(1)
    written = asyncio.Semaphore(0)
    checkpoints = Checkpoints(
        database, SIGNER, every_s=0.05, now=lambda: datetime.now(UTC), written=written.release
    )
    await checkpoints.start()
    async with asyncio.timeout(20):
        for _ in range(3):
            await written.acquire()
    await ledger.close(2)
    await checkpoints.stop()
    kinds = await rows(database, sa.text("SELECT kind FROM checkpoints"))
    assert len(kinds) >= 4
