"""Decisions in, group commit, `Recorded` out. Start reading in recorder.py."""

from wicket.runtime.recorder.recorded import Recorded
from wicket.runtime.recorder.recorder import Recorder
from wicket.runtime.recorder.values import Attempt, Clocks, Ending, Judge, Judged, Limits, slot_of

__all__ = ["Attempt", "Clocks", "Ending", "Judge", "Judged", "Limits", "Recorded", "Recorder", "slot_of"]
