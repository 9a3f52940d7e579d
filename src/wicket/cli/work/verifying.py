"""The whole log checked: the statements about it, then chain by chain."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from wicket.cli.output import print_json, print_line, say
from wicket.cli.work.host import Host, iso, on_host
from wicket.core.checkpoints import (
    Signed,
    Signer,
    digest_of,
    fingerprint_of,
    is_signed,
    parse_public_key,
    parse_statement,
)
from wicket.core.errors import Invalid
from wicket.core.keys import ServerKeys
from wicket.core.model import JsonObject
from wicket.settings import Settings, find_secrets, load_settings
from wicket.store.audit.flaws import STATEMENTS
from wicket.store.audit.verify import Trust, VerifyReport, verify
from wicket.store.instants import from_us

UNPROVEN = (
    "there is no server key here to tell whose checkpoints these are: give its public half with --public-key"
)


def verify_log(
    *, data_dir: Path | None, public_keys: Sequence[str], checkpoints: Path | None, as_json: bool
) -> bool:
    """Print what was found, and say whether the log is whole."""
    keys = _trusted(load_settings(data_dir=data_dir), public_keys)
    trust = Trust(keys, {} if checkpoints is None else _outside(checkpoints, keys))

    async def work(host: Host) -> VerifyReport:
        return await host.database.read(verify, trust)

    report = on_host(work, data_dir=data_dir)
    if keys is None and report.attested.count:
        say(UNPROVEN)
    if as_json:
        print_json(_rendered(report, is_proven=keys is not None))
    else:
        print_line(verdict(report))
    return report.ok


def print_keys(*, data_dir: Path | None, as_json: bool) -> None:
    """The public keys by which this server's checkpoints are known, newest first."""
    secrets = find_secrets(load_settings(data_dir=data_dir))
    if not secrets:
        raise Invalid(
            "there is no server key here: start `wicket serve`, or give WICKET_SECRET_KEY", field="data_dir"
        )
    keys = _public_keys(secrets)
    if as_json:
        print_json([{"publicKey": key, "fingerprint": fingerprint_of(key)} for key in keys])
    else:
        for key in keys:
            print_line(key)


def _public_keys(secrets: Sequence[bytes]) -> list[str]:
    return [Signer(key).public_key for key in ServerKeys(secrets).checkpoint_keys]


def _trusted(settings: Settings, given: Sequence[str]) -> frozenset[str] | None:
    """The keys that were given, else this server's own; None when neither is there."""
    if given:
        return frozenset(key for text in given for key in _keys_in(text))
    secrets = find_secrets(settings)
    return frozenset(_public_keys(secrets)) if secrets else None


def _keys_in(text: str) -> Iterable[str]:
    """A public key, or those in a file with one a line."""
    file = Path(text)
    try:
        lines = file.read_text(encoding="ascii").splitlines() if file.is_file() else [text]
        return [parse_public_key(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise Invalid(
            f"`{text}` is no public key: write its 64 hexadecimal digits, or a file with one on each line",
            field="public_key",
        ) from error


def _outside(file: Path, keys: frozenset[str] | None) -> dict[int, str]:
    """The statements that a sink has kept: number -> digest; raises Invalid.

    Those that an earlier key has signed are proven by the later ones, as in the log itself.
    """
    found: dict[int, str] = {}
    proven = foreign = 0
    for number, body, signature in _lines_of(file):
        statement, digest = parse_statement(body), digest_of(body)
        if not is_signed(body, signature, statement.public_key):
            raise Invalid(f"the signature in line {number} of `{file}` is not good", field="checkpoint")
        if found.setdefault(statement.number, digest) != digest:
            raise Invalid(
                f"line {number} of `{file}` contradicts an earlier one: these are two logs",
                field="checkpoint",
            )
        if keys is None or statement.public_key in keys:
            proven = max(proven, statement.number)
        else:
            foreign = max(foreign, statement.number)
    if not found:
        raise Invalid(f"there is no checkpoint in `{file}`: name the file of a sink", field="checkpoint")
    if foreign > proven:
        raise Invalid(
            f"checkpoint {foreign} in `{file}` is signed by a key that is not trusted: give it with --public-key",
            field="checkpoint",
        )
    return found


def _lines_of(file: Path) -> Iterator[tuple[int, str, bytes]]:
    """Number of the line, text and signature; one that was cut off counts for nothing."""
    cut = 0
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    signed = Signed.parse_line(line)
                    parse_statement(signed.body)
                except ValueError:
                    cut += bool(line.strip())
                else:
                    yield number, signed.body, signed.signature
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"`{file}` cannot be read: name the file of a sink", field="checkpoint") from error
    if cut:
        say(f"{cut} lines of `{file}` are no checkpoints and were left out")


def _rendered(report: VerifyReport, *, is_proven: bool) -> JsonObject:
    bad, attested = report.first_bad, report.attested
    return {
        "ok": report.ok,
        "rows": report.rows,
        "writers": report.writers,
        "firstBad": None
        if bad is None
        else {"writer": bad.writer, "seq": bad.seq, "table": bad.table, "what": bad.what},
        "checkpoints": attested.count,
        "lastCheckpointAt": None if attested.last_at is None else iso(from_us(attested.last_at)),
        "newerRows": report.newer_rows,
        "prunedRows": sum(seq for seq, _ in attested.bounds.values()),
        "areKeysKnown": is_proven,
        "heads": {
            str(writer): {"seq": seq, "hash": digest} for writer, (seq, digest) in report.heads.items()
        },
    }


def verdict(report: VerifyReport) -> str:
    """What was found, in a sentence."""
    bad, attested = report.first_bad, report.attested
    if bad is None:
        whole = f"ok: {report.rows:,} rows in {report.writers:,} chains, unbroken"
        if attested.last_at is None:
            return f"{whole}; no checkpoint yet"
        at = iso(from_us(attested.last_at))
        return (
            f"{whole}; {report.newer_rows:,} are newer than the last of {attested.count:,} checkpoints ({at})"
        )
    if bad.table == STATEMENTS:
        return f"broken: checkpoint {bad.seq}: {bad.what}"
    place = f"row {bad.seq} of writer {bad.writer} in {bad.table}"
    return f"broken: {place}: {bad.what} ({report.rows:,} rows before it are good)"
