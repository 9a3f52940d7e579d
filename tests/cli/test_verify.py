"""`wicket audit verify` and `wicket audit key` on a log that a server left, with what a sink has kept of it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.commands import wicket
from tests.cli.conftest import Left
from wicket.core.checkpoints import Signed
from wicket.settings import SECRET_FILE
from wicket.store.db.sqlite import connect_raw

OTHER = "ab" * 32


@pytest.fixture
def kept(left: Left, tmp_path: Path) -> Path:
    """What a sink would have kept: every checkpoint there is."""
    raw = connect_raw(left.data_dir / "wicket.db")
    found = raw.execute("SELECT body, signature FROM checkpoints ORDER BY id").fetchall()
    raw.close()
    assert found
    file = tmp_path / "checkpoints.jsonl"
    lines = [Signed(body, signature).render_line() for body, signature in found]
    file.write_text("\n".join([*lines, '{"cut off', ""]), encoding="ascii")
    return file


def tampered(left: Left, *statements: str) -> None:
    raw = connect_raw(left.data_dir / "wicket.db")
    for statement in statements:
        raw.execute(statement)
    raw.close()


def key_of(left: Left) -> str:
    return wicket("audit", "key", "--data-dir", left.data_dir).out.strip()


def test_a_server_leaves_a_checkpoint_of_everything(left: Left) -> None:
    verified = wicket("audit", "verify", "--json", "--data-dir", left.data_dir).json
    assert (verified["checkpoints"], verified["newerRows"], verified["areKeysKnown"]) == (1, 0, True)
    said = wicket("audit", "verify", "--data-dir", left.data_dir).out
    assert "0 are newer than the last of 1 checkpoints" in said


def test_the_key_is_printed_and_verifies_by_itself_or_from_a_file(left: Left, tmp_path: Path) -> None:
    key = key_of(left)
    (shown,) = json.loads(wicket("audit", "key", "--json", "--data-dir", left.data_dir).out)
    assert shown["publicKey"] == key
    file = tmp_path / "wicket.pub"
    file.write_text(f"{OTHER}\n{key}\n", encoding="ascii")
    (left.data_dir / SECRET_FILE).unlink()
    for given in (key, key.upper(), str(file)):
        assert wicket("audit", "verify", "--public-key", given, "--data-dir", left.data_dir).code == 0
    verified = wicket("audit", "verify", "--public-key", OTHER, "--data-dir", left.data_dir)
    assert verified.code == 1
    assert "broken: checkpoint 1: changed: it is signed by a key that is not trusted" in verified.out


def test_without_any_key_it_says_that_nothing_is_proven(left: Left) -> None:
    (left.data_dir / SECRET_FILE).unlink()
    verified = wicket("audit", "verify", "--json", "--data-dir", left.data_dir)
    assert (verified.code, verified.json["areKeysKnown"]) == (0, False)
    assert "--public-key" in verified.err
    assert wicket("audit", "key", "--data-dir", left.data_dir).code == 2


def test_a_log_cut_off_with_its_checkpoints_is_found_against_what_a_sink_has_kept(
    left: Left, kept: Path
) -> None:
    arguments = ("audit", "verify", "--checkpoint", kept, "--data-dir", left.data_dir)
    whole = wicket(*arguments)
    assert whole.code == 0, whole.out
    assert "1 lines" in whole.err
    tampered(
        left,
        "DELETE FROM checkpoints",
        "UPDATE change_chain SET (seq, hash) = (SELECT seq, hash FROM events WHERE writer = 0 AND kind <>"
        " 'checkpoint_key' ORDER BY seq DESC LIMIT 1)",
        "DELETE FROM events WHERE kind = 'checkpoint_key'",
        "DELETE FROM events WHERE kind = 'writer_stopped'",
    )
    assert wicket("audit", "verify", "--data-dir", left.data_dir).code == 0
    cut = wicket(*arguments, "--json")
    assert cut.code == 1
    assert cut.json["firstBad"] == {
        "writer": 0,
        "seq": 1,
        "table": "checkpoints",
        "what": "missing: a later one is kept outside",
    }


@pytest.mark.parametrize(
    "content",
    ["", "nonsense\n", '{"body": "{}", "signature": "00"}\n', "signature", "key", "contradiction"],
)
def test_a_file_that_proves_nothing_is_refused(left: Left, kept: Path, content: str) -> None:
    line = kept.read_text(encoding="ascii").splitlines()[0]
    more: tuple[str, ...] = ()
    match content:
        case "signature":
            kept.write_text(line.replace('"signature":"', '"signature":"00')[:-4] + '"}', encoding="ascii")
        case "key":
            more = ("--public-key", OTHER)
        case "contradiction":
            signed = Signed.parse_line(line)
            kept.write_text(f"{line}\n{Signed(signed.body, bytes(64)).render_line()}\n", encoding="ascii")
        case _:
            kept.write_text(content, encoding="ascii")
    refused = wicket("audit", "verify", "--checkpoint", kept, *more, "--data-dir", left.data_dir)
    assert refused.code == 2, refused.out


def test_nothing_is_made_where_there_is_no_log(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert wicket("audit", "key", "--data-dir", nowhere).code == 2
    assert wicket("audit", "verify", "--data-dir", nowhere).code == 4
    assert not nowhere.exists()


def test_a_copy_of_the_database_is_verified_by_the_key_alone(left: Left, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in left.data_dir.glob("wicket.db*"):
        if file.is_file():
            shutil.copy(file, copy)
    assert wicket("audit", "verify", "--public-key", key_of(left), "--data-dir", copy).code == 0
