"""The database brought to this version's schema."""

from pathlib import Path

from wicket.cli.output import print_json, say
from wicket.cli.work.host import Host, on_host


def upgrade(*, data_dir: Path | None, as_json: bool) -> None:
    """Migrate, and make what is missing."""

    async def kind_of(host: Host) -> str:
        return host.database.kind.value

    kind = on_host(kind_of, data_dir=data_dir, make=True)
    if as_json:
        print_json({"database": kind})
    say(f"the {kind} database has the schema of this version")
