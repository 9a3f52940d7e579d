"""One at a time for each key: whoever asks while somebody fetches waits for the same result."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Fetches under way. A caller that goes away does not stop what others wait for."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, fetch: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of `fetch`, or of the one that is under way for `key`."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(fetch())
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def is_current(self, key: K) -> bool:
        """Asked from within a fetch: whether its result is still wanted."""
        return self._tasks.get(key) is asyncio.current_task()

    def forget(self, key: K) -> None:
        """Callers from now on start a fetch of their own; the one under way is for those who wait already."""
        self._tasks.pop(key, None)

    def keys(self) -> tuple[K, ...]:
        """What is being fetched."""
        return tuple(self._tasks)

    async def stop(self) -> None:
        """Cancel everything."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: K, task: asyncio.Task[V]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            # Everybody who waited may have gone; the loop would complain about an error that nobody saw.
            task.exception()
