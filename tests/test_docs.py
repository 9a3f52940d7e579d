"""Documents point at what exists, and decision records have one form."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
DECISION_LINES_MAX = 60


def titled(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=titled)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    targets = [
        link.split("#")[0] for link in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in link
    ]
    assert [target for target in targets if target and not (document.parent / target).exists()] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=titled)
def test_a_decision_record_is_one_page_of_one_form(decision: Path) -> None:
    lines = decision.read_text(encoding="utf-8").splitlines()
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert lines[0].startswith(f"# {int(decision.name[:4])}. ")
    assert (headings[:2], headings[-1]) == (["Context", "Decision"], "Consequences")
    assert len(lines) <= DECISION_LINES_MAX


def test_decision_records_are_numbered_without_a_gap() -> None:
    assert [int(file.name[:4]) for file in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    headings = [
        line
        for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    assert headings[0] == "## [Unreleased]"
