"""The page says what the other tests of this folder assert, of the versions that are pinned."""

from tests.interop.page import PAGE, render


def test_the_page_agrees_with_the_cases_and_the_locks() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()
