from pathlib import Path

from tests.cli.commands import wicket


def test_a_database_is_made_and_can_be_upgraded_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for _ in range(2):
        assert wicket("db", "upgrade", "--json", "--data-dir", folder).json == {"database": "sqlite"}
    assert wicket("agents", "list", "--data-dir", folder).code == 0


def test_a_database_without_our_schema_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "wicket.db").touch()
    ended = wicket("agents", "list", "--data-dir", tmp_path)
    assert ended.code == 5
    assert "wicket db upgrade" in ended.err


def test_a_file_that_is_no_database_ends_with_6(tmp_path: Path) -> None:
    (tmp_path / "wicket.db").write_bytes(b"this is a letter, not a database" * 100)
    assert wicket("agents", "list", "--data-dir", tmp_path).code == 6
