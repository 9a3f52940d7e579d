"""One browser and one Wicket serve all the tests of a process; who changes much takes a Wicket of their own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.browser.scene import Scene, scene
from tests.browser.visits import Chromium, launched


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Chromium]:
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def s(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene(tmp_path_factory.mktemp("browser")) as started:
        yield started
