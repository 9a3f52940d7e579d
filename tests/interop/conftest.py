"""What is real is installed on first use; one scene serves all the tests of a process."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.interop.installed import install
from tests.interop.scene import Scene, scene


@pytest.fixture(scope="session")
def installed() -> None:
    install()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def s(installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene(tmp_path_factory.mktemp("interop")) as started:
        yield started
