"""Which Chromium is taken, and what is said where there is none."""

from pathlib import Path

import pytest

from tests.browser.installed import NAMED, find_chromium, get_chromium, install


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only one of the path, and nothing is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(NAMED, raising=False)
    return tmp_path


def program(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_first_of_the_path_is_taken(folder: Path) -> None:
    other, first = program(folder / "google-chrome"), program(folder / "chromium")
    assert get_chromium() == first
    (folder / "chromium").unlink()
    assert get_chromium() == other


def test_one_that_is_named_is_taken_whatever_else_there_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(folder / "chromium")
    named = program(folder / "mine")
    monkeypatch.setenv(NAMED, named)
    assert get_chromium() == named


def test_one_that_is_named_and_not_there_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(folder / "chromium")
    monkeypatch.setenv(NAMED, str(folder / "gone"))
    with pytest.raises(LookupError, match=f"{NAMED} names `.*gone`, which is no program"):
        get_chromium()


def test_where_it_cannot_be_installed_it_is_said_what_to_do(folder: Path) -> None:
    assert find_chromium() is None
    with pytest.raises(LookupError, match=f"install Chromium, or name one with {NAMED}="):
        install()
