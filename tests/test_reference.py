"""The reference pages are what the code says."""

import pytest

from tools.generate_reference import PAGES, members_of, text_of
from wicket.core.model import Outcome, Reason


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_agrees_with_the_code(name: str) -> None:
    assert text_of(name) == PAGES[name](), "run `make generate`"


@pytest.mark.parametrize("vocabulary", [Reason, Outcome])
def test_every_code_has_a_meaning(vocabulary: type[Reason | Outcome]) -> None:
    assert [value for value, meaning in members_of(vocabulary) if meaning] == [
        f"`{code}`" for code in vocabulary
    ]
