"""docs/benchmarks.md has several authors: `make bench` writes the page, and keeps the sections of the others."""

import re
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "benchmarks.md"
AUDIT: Final = "## A log of five million entries"
DASHBOARD: Final = "## The dashboard over a million entries"
OF_OTHERS: Final = (AUDIT, DASHBOARD)


def section_of(document: str, heading: str) -> str:
    """From its heading to the next one of that rank; nothing where there is none."""
    found = re.search(rf"^{re.escape(heading)}$.*?(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    return "" if found is None else found[0].rstrip() + "\n"


def with_section(document: str, heading: str, section: str) -> str:
    """With a section in place of the one before, or at the end."""
    if before := section_of(document, heading):
        return document.replace(before, section.rstrip() + "\n")
    return f"{document.rstrip()}\n\n{section.rstrip()}\n"


def with_those_of_others(page: str, before: str) -> str:
    """The page that `make bench` wrote, with what others had written into the one before."""
    for heading in OF_OTHERS:
        if section := section_of(before, heading):
            page = with_section(page, heading, section)
    return page


def write_section(heading: str, section: str) -> None:
    """Into the page as it is."""
    DOCUMENT.write_text(
        with_section(DOCUMENT.read_text(encoding="utf-8"), heading, section), encoding="utf-8"
    )
