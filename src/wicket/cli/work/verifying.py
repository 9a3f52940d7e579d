"""The whole log checked, chain by chain."""

from pathlib import Path

from wicket.cli.output import print_json, print_line
from wicket.cli.work.host import Host, on_host
from wicket.store.audit.verify import VerifyReport, verify


def verify_log(*, data_dir: Path | None, as_json: bool) -> bool:
    """Print what was found, and say whether the log is whole."""

    async def work(host: Host) -> VerifyReport:
        return await host.database.read(verify)

    report = on_host(work, data_dir=data_dir)
    bad = report.first_bad
    if as_json:
        print_json(
            {
                "ok": report.ok,
                "rows": report.rows,
                "writers": report.writers,
                "firstBad": None
                if bad is None
                else {"writer": bad.writer, "seq": bad.seq, "table": bad.table, "what": bad.what},
                "heads": {
                    str(writer): {"seq": seq, "hash": digest}
                    for writer, (seq, digest) in report.heads.items()
                },
            }
        )
    else:
        print_line(verdict(report))
    return report.ok


def verdict(report: VerifyReport) -> str:
    """What was found, in a sentence."""
    bad = report.first_bad
    if bad is None:
        return f"ok: {report.rows:,} rows in {report.writers:,} chains, unbroken"
    place = f"row {bad.seq} of writer {bad.writer} in {bad.table}"
    return f"broken: {place}: {bad.what} ({report.rows:,} rows before it are good)"
