"""The reference pages are what the code says."""

import pytest

from tools.generate_reference import PAGES, members_of, raised_codes, text_of
from wicket.api.guards import WHO, Guard
from wicket.core.codes import CODES
from wicket.core.model import Outcome, Reason

ANSWERED_WITHOUT_RAISING = {"bad_request", "method_not_allowed", "request_timeout"}


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_agrees_with_the_code(name: str) -> None:
    assert text_of(name) == PAGES[name](), "run `make generate`"


@pytest.mark.parametrize("vocabulary", [Reason, Outcome])
def test_every_code_has_a_meaning(vocabulary: type[Reason | Outcome]) -> None:
    assert [value for value, meaning in members_of(vocabulary) if meaning] == [
        f"`{code}`" for code in vocabulary
    ]


def test_every_code_that_is_raised_has_one_status_and_a_meaning() -> None:
    raised = raised_codes()
    assert len(raised) > 50
    assert {
        (code, status) for code, status in raised if code not in CODES or CODES[code].status != status
    } == set()


def test_no_code_has_a_meaning_that_nothing_raises() -> None:
    raised = {code for code, _ in raised_codes()} | {*Reason}
    assert CODES.keys() - raised - ANSWERED_WITHOUT_RAISING == set()


def test_every_guard_has_a_meaning() -> None:
    assert list(WHO) == list(Guard)
