"""Nobody who writes into docs/benchmarks.md takes away what another has written."""

from tests.bench.sections import AUDIT, DASHBOARD, section_of, with_section, with_those_of_others

PAGE = "# Benchmarks\n\n## Figures\n\nold\n"
BIG = f"{AUDIT}\n\n### Pages\n\nfive\n"
SEEN = f"{DASHBOARD}\n\nrows\n"


def test_a_section_ends_where_the_next_one_begins() -> None:
    document = with_section(with_section(PAGE, AUDIT, BIG), DASHBOARD, SEEN)
    assert document == f"{PAGE}\n{BIG}\n{SEEN}"
    assert section_of(document, AUDIT) == BIG
    assert section_of(document, DASHBOARD) == SEEN
    assert section_of(PAGE, AUDIT) == ""


def test_a_section_is_replaced_where_it_stands() -> None:
    document = with_section(with_section(PAGE, AUDIT, BIG), DASHBOARD, SEEN)
    newer = BIG.replace("five", "six\\1")
    assert with_section(document, AUDIT, newer) == f"{PAGE}\n{newer}\n{SEEN}"


def test_a_page_that_is_written_anew_keeps_what_others_wrote() -> None:
    document = with_section(with_section(PAGE, AUDIT, BIG), DASHBOARD, SEEN)
    newer = PAGE.replace("old", "new")
    assert with_those_of_others(newer, document) == f"{newer}\n{BIG}\n{SEEN}"
    assert with_those_of_others(newer, PAGE) == newer
