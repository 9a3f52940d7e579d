"""What goes wrong around real servers, on databases that the tests open too."""

from pathlib import Path

import pytest

from tests.databases import Location, database_kind, location, postgres_server, sqlite_template
from tests.faults.storage_disk import Disk, compile_faults

__all__ = ["database_kind", "location", "postgres_server", "sqlite_template"]


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Disk:
    library = compile_faults(tmp_path_factory.getbasetemp())
    (tmp_path / "data").mkdir(mode=0o700)
    return Disk(library, tmp_path / "data", tmp_path / "control")


@pytest.fixture
def on_disk(disk: Disk, sqlite_template: Path, tmp_path: Path) -> Location:
    """A migrated database on it."""
    path = tmp_path / "data" / "wicket.db"
    path.write_bytes(sqlite_template.read_bytes())
    return Location(path)
