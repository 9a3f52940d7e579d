"""The database and Python agree on what a filter means, for everybody who may ask."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.store.audit.made_up import GUEST, OWNER, STRANGER, MadeUp, make_up
from wicket.store.audit.filters import has_part, parse_filter
from wicket.store.audit.matching import load_lens
from wicket.store.audit.query import list_entries
from wicket.store.audit.render import SELECT_ENDINGS, SELECT_ENTRIES
from wicket.store.db import Database


@pytest.fixture
async def made(location: Location, database: Database) -> MadeUp:
    return await make_up(location, database, entries=240)


def _compare(
    tx: sa.Connection, made: MadeUp, accounts: Sequence[str | None], each: int, together: int
) -> tuple[list[Mapping[str, str]], int]:
    """Filters on which they differ, and how many entries were found in all."""
    rows = tx.execute(SELECT_ENTRIES).all()
    endings = defaultdict(list)
    for ending in tx.execute(SELECT_ENDINGS):
        endings[ending.entry_id].append(ending)
    different: list[Mapping[str, str]] = []
    found = 0
    for account in accounts:
        for asked in made.filters(each, together):
            wanted = parse_filter(asked)
            page = list_entries(tx, account_id=account, wanted=wanted)
            lens = load_lens(tx, account_id=account, wanted=wanted)
            shown = sorted((row.id for row in rows if lens.shows(row, endings[row.id])), reverse=True)
            if [item["id"] for item in page.items] != shown:
                different.append({"account": str(account), **asked})
            found += len(shown)
    return different, found


async def test_a_filter_means_the_same_in_the_database_and_in_python(
    database: Database, made: MadeUp
) -> None:
    different, found = await database.read(_compare, made, (None, OWNER, GUEST), 2, 15)
    assert different == []
    assert found > 2_000


@pytest.mark.slow
async def test_many_filters_mean_the_same_in_the_database_and_in_python(
    database: Database, made: MadeUp
) -> None:
    different, found = await database.read(_compare, made, (None, OWNER, GUEST, STRANGER, "nobody"), 100, 250)
    assert different == []
    assert found > 20_000


@pytest.mark.parametrize(
    ("text", "part", "is_in"),
    [
        ("École", "éCOLE", True),
        ("Grüße", "GRÜSSE", False),
        ("\N{KELVIN SIGN}elvin", "k", False),
        ("kelvin", "\N{KELVIN SIGN}", False),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ", True),
        ("İ", "i", False),
        (None, "", False),
    ],
)
def test_case_is_that_of_single_letters(text: str | None, part: str, *, is_in: bool) -> None:
    assert has_part(text, part) is is_in
