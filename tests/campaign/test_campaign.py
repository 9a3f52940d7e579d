"""Long runs say the truth of themselves: what they did, whether it was as promised, and how to see it again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaign.pages import DIRECTORY, PAGE, Run, append_run, read_runs, render
from tests.campaign.parts import BY_NAME, PARTS, Part, find_parts
from tests.campaign.run import ROOT, SCRATCH, Piece, campaign, pieces
from tests.promises import PROMISES

KEPT = """
from tests.evidence import asked, note

def test_it():
    note("cuts", asked("WICKET_TEST_CUTS", 1), wrong={"calls that went out twice": 0}, answered=2)
    assert asked("WICKET_TEST_SEED", 0) == -1
"""
BROKEN = KEPT.replace('twice": 0', 'twice": 3') + "    assert False, 'three calls went out twice'\n"
FAILED = "import nowhere\n"


def file_of(part: Part) -> Path:
    return ROOT / (part.test if part.test.endswith(".py") else part.test.replace(".", "/") + ".py")


@pytest.mark.parametrize("part", [part for part in PARTS if part.test], ids=lambda part: part.name)
def test_a_part_is_a_test_that_can_be_asked_for_more(part: Part) -> None:
    assert part.asks in file_of(part).read_text(encoding="utf-8")
    assert part.promise in PROMISES


def test_a_part_without_a_test_comes_with_one_that_has_one() -> None:
    assert [part.name for part in PARTS if bool(part.test) is (part.comes_with is not None)] == []
    assert find_parts(["replays", "messages"]) == [BY_NAME["messages"]]


def test_pieces_make_up_the_share_and_have_a_seed_each() -> None:
    part = replace(BY_NAME["cuts"], target=10_000, chunk=1_000)
    planned = list(pieces([part], 0.25, 7))
    assert [piece.count for piece in planned] == [1_000, 1_000, 500]
    assert [piece.seed for piece in planned] == [7, 8, 9]


def test_the_page_is_what_the_files_add_up_to() -> None:
    assert (DIRECTORY / PAGE).read_text(encoding="utf-8") == render(DIRECTORY)


@pytest.mark.parametrize(
    ("twice", "shown"), [(0, "kept so far (50.0%); 1 failed for another reason"), (1, "**1 failed**")]
)
def test_a_violation_cannot_be_explained_away(twice: int, shown: str, tmp_path: Path) -> None:
    kept = Run("2026-01-10", "abc", 1, 5_000, 5_000, "kept", {"twice": 0}, {}, 1.0, "a machine", "env true")
    append_run(tmp_path, "cuts", kept)
    failed = replace(kept, result="failed", wrong={"twice": twice}, explained="the test expected too much")
    append_run(tmp_path, "cuts", failed)
    assert shown in render(tmp_path)


@pytest.mark.parametrize(
    ("code", "result", "done", "violations"),
    [(KEPT, "kept", 5, 0), (BROKEN, "broken", 5, 3), (FAILED, "failed", 0, 0)],
    ids=["kept", "broken", "failed"],
)
async def test_what_a_piece_has_found_is_written_down_and_told_by_the_exit(
    code: str, result: str, done: int, violations: int, tmp_path: Path
) -> None:
    test = tmp_path / "test_of_a_piece.py"
    test.write_text(code)
    piece = Piece(replace(BY_NAME["cuts"], test=str(test), select=""), 5, -1)
    into = tmp_path / "evidence"
    into.mkdir()
    bad = await campaign([piece], into, jobs=1)
    kept_behind = (SCRATCH / piece.name).exists()
    shutil.rmtree(SCRATCH / piece.name, ignore_errors=True)
    (run,) = read_runs(into, "cuts")
    assert (run.result, run.done, sum(run.wrong.values())) == (result, done, violations)
    assert bad == (result != "kept")
    assert kept_behind is (result != "kept")
    assert (into / "failed" / f"{piece.name}.txt").exists() is (result != "kept")
    assert ("WICKET_TEST_CUTS=5" in run.repeat, "WICKET_TEST_SEED=-1" in run.repeat) == (True, True)
    assert (f"**1 {result}**" in (into / PAGE).read_text()) is (result != "kept")
    assert json.loads((into / "cuts.jsonl").read_text())["asked"] == 5
