"""The recorder as the gateway sees it: what is decided here is durable before anybody acts on it.

`Recorder.commit` judges on the event loop and hands the judgement to the writer (writer.py), whose transaction
(batch.py) accepts it, judges it again or sends it back for a fresh world; the third time it is decided there.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from wicket.core.errors import Refused, RpcCode, Unavailable
from wicket.core.jsonrpc import render_json_text
from wicket.core.model import Decision, JsonObject, Outcome, Reason
from wicket.core.world import World
from wicket.runtime.recorder.entries import judge_safely
from wicket.runtime.recorder.recorded import _MINT, Recorded
from wicket.runtime.recorder.values import COALESCED, Attempt, Clocks, Ending, Judged, Limits
from wicket.runtime.recorder.windows import Subject, Window, Windows
from wicket.runtime.recorder.work import FactsCache, State, Work
from wicket.runtime.recorder.writer import Writer
from wicket.store.audit.entry import OutcomeRow
from wicket.store.audit.ledger import Ledger
from wicket.store.lookups import ROUNDS_MAX, LookUp

TRIES: Final = (False, False, True)
"""Whether a try is the last one, which sends nothing back."""
OF_THE_WORLD: Final = frozenset({Reason.AGENT_DISABLED, Reason.MEMBER_NOT_APPROVED})
"""Coalesced refusals that a change may end at any moment."""


class Recorder:
    """One a process. `open_ledger` gives a fresh, closed ledger each time."""

    def __init__(
        self,
        *,
        open_ledger: Callable[[], Ledger],
        reload_world: Callable[[str], Awaitable[World | None]],
        read_revision: Callable[[str], Awaitable[int | None]],
        look_up: LookUp,
        clocks: Clocks | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._clocks = clocks or Clocks()
        self._limits = limits or Limits()
        self._reload_world = reload_world
        self._read_revision = read_revision
        self._look_up = look_up
        self._facts = FactsCache(self._limits.facts_max)
        self._writer = Writer(
            open_ledger=open_ledger,
            hand_back=self._take_back,
            cache=self._facts,
            clocks=self._clocks,
            limits=self._limits,
        )
        self._windows = Windows(self._limits.windows_max)
        self._open: dict[str, Recorded] = {}
        self._waiting: deque[tuple[float, Work]] = deque()
        """(deadline, work) in the order of the deadlines; settled ones stay until they are the first."""
        self._patience_timer: asyncio.TimerHandle | None = None
        self._departed: set[asyncio.Task[None]] = set()
        self._committing = 0
        self._stopping = False
        self._flush_timer: asyncio.TimerHandle | None = None
        self._window_timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Register as a writer, mark what dead writers left open; raises Unavailable when that fails."""
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        await self._writer.start()

    async def stop(self) -> None:
        """Write what is waiting, mark what is still open as interrupted, leave the log in order."""
        self._stopping = True
        while self._committing:
            self._idle.clear()
            await self._idle.wait()
        self._enter_counts(None)
        for recorded in list(self._open.values()):
            self.end(recorded, Ending(Outcome.INTERRUPTED))
        for timer in (self._flush_timer, self._window_timer, self._patience_timer):
            if timer is not None:
                timer.cancel()
        await self._writer.stop()

    @property
    def writers(self) -> Sequence[int]:
        """The writers of the log that this process has been, oldest first."""
        return tuple(self._writer.registered)

    @property
    def backlog(self) -> int:
        """Calls that wait for their entry to be durable."""
        return self._committing

    async def commit(self, attempt: Attempt, world: World) -> Recorded:
        """Decide and record `attempt`; raises Refused 503 `audit_unavailable` within 250 ms when that fails.

        Look at `recorded.decision`: it may be another than `world` would have led to. 403, 429 and revoked keys
        (by the reason of the decision) are entered once per key, reason and second. When the caller leaves
        meanwhile, the call is recorded nevertheless, as cancelled.
        """
        if self._stopping:
            raise self._missed(attempt)
        self._committing += 1
        try:
            return await self._decide(attempt, world, self._loop.time() + self._limits.wait_s)
        finally:
            self._leave()

    async def refuse(self, attempt: Attempt, world: World, reason: Reason) -> str:
        """Enter a refusal whatever the world says (429, revoked key); answers the entry's id."""
        refusal = Judged(Decision(reason=reason), counts=False)
        return (await self.commit(attempt._replace(judge=lambda _world, _facts: refusal), world)).entry_id

    async def is_current(self, recorded: Recorded) -> bool:
        """Whether the decision may still be sent: it is young, or its agent's revision has not moved."""
        if self._clocks.boottime_ns() - recorded.committed_boottime_ns <= self._limits.fresh_ns:
            return True
        try:
            async with asyncio.timeout(self._limits.wait_s):
                return await self._read_revision(recorded.attempt.agent_id) == recorded.world.revision
        except (Unavailable, TimeoutError):
            return False

    def end(self, recorded: Recorded, ending: Ending) -> None:
        """Note how an allowed call ended; the first ending counts. Never waits."""
        if self._open.pop(recorded.entry_id, None) is None:
            return
        body: JsonObject = {
            "durationMs": ending.duration_ms,
            "upstreamMs": ending.upstream_ms,
            "upstreamStatus": ending.upstream_status,
            "responseBytes": ending.response_bytes,
            "recordMs": recorded.record_ms,
        }
        self._note(recorded.entry_id, ending.outcome, {name: v for name, v in body.items() if v is not None})

    def expire(self, recorded: Recorded) -> None:
        """The decision grew old before its first byte went out: outcome `expired`."""
        self.end(recorded, Ending(Outcome.EXPIRED))

    async def _decide(self, attempt: Attempt, world: World, deadline: float) -> Recorded:
        began_ns = self._clocks.perf_ns()
        for final in TRIES:
            work = self._judge(attempt, world, final=final)
            try:
                if work.judged.lacks:
                    work = await self._informed(work, deadline)
                if work.judged.decision.reason in COALESCED:
                    recorded = await self._enter_once(work, began_ns, deadline)
                else:
                    self._submit(work, deadline)
                    await work.future
                    recorded = self._result(work, began_ns)
                if recorded is not None:
                    return recorded
                world = await self._fresh(work, deadline)
            except asyncio.CancelledError:
                self._see_off(work, began_ns)
                raise
        raise self._missed(attempt)

    def _judge(self, attempt: Attempt, world: World, *, final: bool) -> Work:
        facts = self._facts.guess(attempt.slot)
        began_ns = self._clocks.perf_ns()
        judged = judge_safely(attempt, world, facts)
        decision_ms = _ms(self._clocks.perf_ns() - began_ns)
        return Work(attempt, world, judged, facts, decision_ms, final, self._loop.create_future())

    async def _informed(self, work: Work, deadline: float) -> Work:
        """Judged with what its world had not been told of; or not yet, which the writer will find out."""
        for _ in range(ROUNDS_MAX):
            if not work.judged.lacks:
                break
            try:
                async with asyncio.timeout_at(deadline):
                    revision, found = await self._look_up(work.attempt.agent_id, work.judged.lacks)
            except (Unavailable, TimeoutError) as error:
                raise self._missed(work.attempt) from error
            world = work.world
            if revision == world.revision:
                world.entities.keep(found)
            else:
                world = await self._fresh(work, deadline)
            work = self._judge(work.attempt, world, final=work.final)
        return work

    async def _enter_once(self, work: Work, began_ns: int, deadline: float) -> Recorded | None:
        """Enter a refusal, or be counted with the first one of this second. None: the world has changed."""
        reason = work.judged.decision.reason
        subject, second = (work.attempt.key_id, reason), work.at_us // 1_000_000
        window = self._windows.find(subject, second)
        if window is None or work.final:
            return await self._record_first(work, subject, second, began_ns, deadline)
        if reason in OF_THE_WORLD and not await self._is_unmoved(work, deadline):
            return None
        entry_id = await self._join(window, work, deadline)
        return None if entry_id is None else self._mint(work, entry_id, began_ns)

    async def _record_first(
        self, work: Work, subject: Subject, second: int, began_ns: int, deadline: float
    ) -> Recorded | None:
        """Record a refusal that the others of this second are counted with."""
        window = self._windows.open(subject, second)
        entry_id = None
        try:
            self._submit(work, deadline)
            await work.future
            recorded = self._result(work, began_ns)
            if recorded is not None and recorded.decision.reason is subject[1]:
                entry_id = recorded.entry_id
            return recorded
        finally:
            self._windows.settle(subject, window, entry_id)
            self._arm_windows()

    async def _join(self, window: Window, work: Work, deadline: float) -> str | None:
        """Be counted with the first refusal of this second."""
        window.count += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(window.entry_id)
        except TimeoutError as error:
            window.count -= 1
            raise self._missed(work.attempt) from error
        except asyncio.CancelledError:
            window.count -= 1
            raise

    async def _is_unmoved(self, work: Work, deadline: float) -> bool:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._read_revision(work.attempt.agent_id) == work.world.revision
        except (Unavailable, TimeoutError) as error:
            raise self._missed(work.attempt) from error

    def _submit(self, work: Work, deadline: float) -> None:
        """Have it written, which resolves its future; raises Refused when too many wait."""
        work.submitted = self._writer.submit(work)
        if not work.submitted:
            raise self._missed(work.attempt)
        self._be_patient(work, deadline)

    def _be_patient(self, work: Work, deadline: float) -> None:
        """See to it that nobody waits for this work beyond the deadline."""
        if self._waiting and self._waiting[-1][0] > deadline:  # a later try, of a call that came earlier
            self._loop.call_at(deadline, self._give_up, work)
            return
        self._waiting.append((deadline, work))
        if self._patience_timer is None:
            self._patience_timer = self._loop.call_at(deadline, self._lose_patience)

    def _lose_patience(self) -> None:
        now, waiting = self._loop.time(), self._waiting
        while waiting and (waiting[0][0] <= now or waiting[0][1].future.done()):
            self._give_up(waiting.popleft()[1])
        self._patience_timer = self._loop.call_at(waiting[0][0], self._lose_patience) if waiting else None

    def _result(self, work: Work, began_ns: int) -> Recorded | None:
        """What became of a work whose future is resolved; None: it must be decided in a fresh world."""
        if work.abandoned or work.state is State.FAILED:
            raise _unavailable()
        if work.state is not State.DONE:
            return None
        recorded = self._mint(work, work.attempt.entry_id, began_ns)
        if work.judged.decision.allowed:
            self._open[recorded.entry_id] = recorded
        return recorded

    def _mint(self, work: Work, entry_id: str, began_ns: int) -> Recorded:
        return Recorded(
            attempt=work.attempt,
            entry_id=entry_id,
            session_id=work.session_id,
            judged=work.judged,
            world=work.world,
            committed_boottime_ns=work.committed_boottime_ns,
            decision_ms=work.decision_ms,
            record_ms=_ms(self._clocks.perf_ns() - began_ns),
            mint=_MINT,
        )

    async def _fresh(self, work: Work, deadline: float) -> World:
        """The agent's world now; the old one when the agent is gone, which the writer will find out."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._reload_world(work.attempt.agent_id) or work.world
        except (Unavailable, TimeoutError) as error:
            raise self._missed(work.attempt) from error

    def _missed(self, attempt: Attempt) -> Refused:
        """The refusal of a call that the log will only count."""
        self._writer.miss(attempt.decided_us)
        return _unavailable()

    def _give_up(self, work: Work) -> None:
        """Nobody waits any more. What is committed nevertheless ends as refused (see `_take_back`)."""
        if not work.future.done():
            work.abandoned = True
            work.future.set_result(None)

    def _take_back(self, works: list[Work]) -> None:
        """From the writer: these were in a transaction."""
        for work in works:
            if not work.abandoned:
                if not work.future.done():
                    work.future.set_result(None)
            elif work.state is not State.DONE:
                if work.state is not State.FAILED:  # which the writer has counted
                    self._writer.miss(work.at_us)
            elif work.judged.decision.allowed:
                self._note(work.attempt.entry_id, Outcome.REFUSED, {})

    def _see_off(self, work: Work, began_ns: int) -> None:
        """The caller has left: the call is recorded nevertheless, as cancelled."""
        if work.future.cancelled():
            work.future = self._loop.create_future()
        self._committing += 1
        task = self._loop.create_task(self._record_departed(work, began_ns))
        self._departed.add(task)
        task.add_done_callback(self._departed.discard)

    async def _record_departed(self, work: Work, began_ns: int) -> None:
        deadline = self._loop.time() + self._limits.wait_s
        try:
            recorded = None
            if work.submitted:
                if work.state is State.WAITING:
                    self._be_patient(work, deadline)
                    await work.future
                recorded = self._result(work, began_ns)
            if recorded is None:
                recorded = await self._decide(work.attempt, work.world, deadline)
            self.end(recorded, Ending(Outcome.CANCELLED))
        except Refused:
            pass  # nobody is there to be told, and the gap counts it
        finally:
            self._leave()

    def _leave(self) -> None:
        self._committing -= 1
        if not self._committing:
            self._idle.set()

    def _note(self, entry_id: str, outcome: Outcome, body: JsonObject) -> None:
        self._writer.note(OutcomeRow(entry_id, outcome.value, self._clocks.wall_us(), render_json_text(body)))
        if self._flush_timer is None:
            self._flush_timer = self._loop.call_later(self._limits.outcome_delay_s, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        self._writer.flush()

    def _arm_windows(self) -> None:
        """Count together what was refused in this second, once it is over."""
        if self._window_timer is None:
            rest_us = 1_000_000 - self._clocks.wall_us() % 1_000_000
            self._window_timer = self._loop.call_later(rest_us / 1_000_000 + 0.01, self._close_windows)

    def _close_windows(self) -> None:
        self._window_timer = None
        self._enter_counts(self._clocks.wall_us() // 1_000_000)
        if len(self._windows):
            self._arm_windows()

    def _enter_counts(self, now_second: int | None) -> None:
        for entry_id, count in self._windows.take_counts(now_second):
            self._note(entry_id, Outcome.REFUSED, {"count": count})


def _unavailable() -> Refused:
    return Refused(
        "the call cannot be recorded now and is therefore not made: try again in a moment",
        rpc_code=RpcCode.INTERNAL_ERROR,
        status=503,
        reason=Reason.AUDIT_UNAVAILABLE,
        retryable=True,
    )


def _ms(ns: int) -> float:
    return round(ns / 1_000_000, 3)
