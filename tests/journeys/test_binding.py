"""Changes bind at once: whoever calls after the answer is decided under what was set, on every process."""

from dataclasses import dataclass
from functools import partial

import pytest

from tests.databases import Location
from tests.evidence import asked, note
from tests.journeys.crowd import CallStory, Crowd
from tests.journeys.log import Logged, read_log
from tests.journeys.servers import WHOLE, outside, several
from tests.journeys.windows import Change, Window, change_under_load, wrong_by_arrival, wrong_by_the_log
from tests.reachable import AgentUnderTest
from tests.replay import Replayed, note_replayed, replay
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import AgentStatus

TOGGLES = asked("WICKET_TEST_TOGGLES", 50)
CARELESS = "tests.journeys.careless:create"


@dataclass
class Findings:
    """What a run of changes under load has shown."""

    wrong: list[tuple[Window, CallStory]]
    wrong_entries: list[Logged]
    windows: int
    calls: int
    failed: int
    """Calls that could not be recorded in time on a busy machine."""
    writers: int
    """Processes that have decided something."""
    replayed: Replayed


def changes_of(agent: AgentUnderTest, policy_id: str, times: int) -> list[Change]:
    """A policy off and on, and the agent disabled and enabled, so many times each."""
    return [
        (False, partial(agent.toggle, policy_id, enabled=False)),
        (True, partial(agent.toggle, policy_id, enabled=True)),
        (False, partial(agent.status, AgentStatus.DISABLED)),
        (True, partial(agent.status, AgentStatus.ACTIVE)),
    ] * times


async def toggled_under_load(
    location: Location, *, workers: int, toggles: int, factory: str = WHOLE
) -> Findings:
    async with (
        RecordingUpstream() as upstream,
        several(location, workers=workers, factory=factory) as (server,),
        outside(location, server.url, keep_alive=workers == 1) as wicket,
    ):
        crowd = Crowd(upstream)
        agent = await wicket.agent(services={"fake": upstream.url})
        policy = await agent.policy(service="fake", tools=["echo"])
        key = await agent.key()
        revision = await wicket.database.revision(agent.id)
        assert revision is not None
        async with crowd.calling([wicket], key, echo=16):
            windows = await change_under_load(crowd, agent, changes_of(agent, policy.id, toggles))
        entries = await read_log(wicket.database)
        replayed = await wicket.database.read(replay)
    allowed_at = {revision: True} | {window.revision: window.allowed for window in windows}
    ended = [story for story in crowd.stories.values() if story.ended is not None]
    return Findings(
        wrong=wrong_by_arrival(crowd, windows),
        wrong_entries=wrong_by_the_log(entries, windows, allowed_at),
        windows=len(windows),
        calls=len(ended),
        failed=sum(story.failed for story in ended),
        writers=len({entry.writer for entry in entries}),
        replayed=replayed,
    )


def note_changes(found: Findings, part: str) -> None:
    note(
        part,
        found.windows,
        wrong={
            "calls decided under old rules": len(found.wrong),
            "entries under other rules than they name": len(found.wrong_entries),
        },
        calls=found.calls,
        calls_not_recorded_in_time=found.failed,
    )
    note_replayed(found.replayed)


def assert_bound(found: Findings, *, toggles: int, workers: int) -> None:
    assert found.wrong == []
    assert found.wrong_entries == []
    assert found.replayed.different == []
    assert found.windows == 4 * toggles
    assert found.calls - found.failed >= 5 * found.windows
    assert found.writers == workers


@pytest.mark.promise("P6")
@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_a_toggle_and_a_disabling_bind_every_call_that_starts_after_the_answer(
    location: Location,
) -> None:
    found = await toggled_under_load(location, workers=1, toggles=8)
    assert_bound(found, toggles=8, workers=1)


@pytest.mark.promise("P6")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("database_kind", "workers"),
    [
        ("sqlite", 1),
        ("sqlite", 4),
        pytest.param("postgresql", 1, marks=pytest.mark.postgres),
        pytest.param("postgresql", 4, marks=pytest.mark.postgres),
    ],
)
async def test_however_often_the_rules_change_no_process_decides_under_old_ones(
    location: Location, database_kind: str, workers: int
) -> None:
    found = await toggled_under_load(location, workers=workers, toggles=TOGGLES)
    note_changes(found, f"changes-{database_kind}-{workers}")
    assert_bound(found, toggles=TOGGLES, workers=workers)


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_without_the_check_of_revisions_the_same_test_finds_stale_decisions(location: Location) -> None:
    found = await toggled_under_load(location, workers=2, toggles=3, factory=CARELESS)
    assert any(not window.allowed for window, _ in found.wrong)
    assert found.wrong_entries
