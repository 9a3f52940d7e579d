import asyncio
from collections.abc import Callable

import pytest

from wicket.core.steps import Steps
from wicket.runtime.turns import ALONE_BYTES, TURN_S, Turns, in_turns

STEPS = 5


def steps_of(name: str, done: list[str]) -> Steps[str]:
    for _ in range(STEPS):
        done.append(name)
        yield
    return name


def clock(tick_s: float) -> Callable[[], float]:
    """Every look at it finds it so much later."""
    now_s = 0.0

    def look() -> float:
        nonlocal now_s
        now_s += tick_s
        return now_s

    return look


async def among_others(tick_s: float) -> list[str]:
    """What is done, in order, while somebody else wants to do something all the time."""
    done: list[str] = []

    async def others() -> None:
        while len(done) < 4 * STEPS:
            done.append("others")
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    assert await in_turns(steps_of("long", done), clock(tick_s)) == "long"
    other.cancel()
    return done


@pytest.mark.promise("P10")
async def test_others_have_their_turn_between_two_steps_that_took_long() -> None:
    done = await among_others(TURN_S)
    after_the_last_and_the_end = ["others", "others"]
    assert done == ["long", *["others", "long"] * (STEPS - 1), *after_the_last_and_the_end]


async def test_steps_that_take_no_time_are_done_in_one_turn() -> None:
    assert await among_others(0) == ["long"] * STEPS


@pytest.mark.promise("P10")
async def test_of_what_is_large_one_is_worked_on_at_a_time_and_what_is_not_goes_by() -> None:
    turns, done = Turns(clock(TURN_S)), list[str]()
    sizes = {
        "first": ALONE_BYTES + 1,
        "second": ALONE_BYTES + 1,
        "short": ALONE_BYTES,
        "third": ALONE_BYTES + 1,
    }
    await asyncio.gather(*(turns.take(steps_of(name, done), size) for name, size in sizes.items()))
    assert [one for one in done if one != "short"] == ["first"] * STEPS + ["second"] * STEPS + [
        "third"
    ] * STEPS
    assert done[: 2 * STEPS] == ["first", "short"] * STEPS


@pytest.mark.promise("P10")
async def test_who_leaves_in_the_middle_of_a_large_one_leaves_room_for_the_next() -> None:
    turns, done = Turns(clock(TURN_S)), list[str]()
    leaving = asyncio.create_task(turns.take(steps_of("leaves", done), ALONE_BYTES + 1))
    staying = asyncio.create_task(turns.take(steps_of("stays", done), ALONE_BYTES + 1))
    await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(5):
        assert await staying == "stays"
    assert done == ["leaves"] + ["stays"] * STEPS
