"""The comparison of two revisions' clips."""

import pytest

from benchmarks.clips import CASES, Side, difference, row_of
from benchmarks.compare_runs import REPOSITORY


def test_a_process_samples_notes_and_embeds_clips() -> None:
    side = Side(REPOSITORY)
    alone, together, embedded = (side.answer(line) for line in ("notes float64 1 2", "notes float64 2 2", "musicnn 2"))
    side.close()
    assert alone["result"] == together["result"] and alone["items"] == together["items"] > 20
    assert embedded["items"] == 2 and len(embedded["result"]) == 3 * 200
    assert all(answer["seconds"] > 0 for answer in (alone, together, embedded))


def test_differences_are_relative() -> None:
    notes, musicnn = CASES["notes/s, float32, batch 1"], CASES["musicnn, clips of 9 s a second"]
    assert difference(notes, [1, 2, 3, 4], [1, 2, 3, 5]) == 0.5
    assert difference(musicnn, [1.0, -4.0], [1.5, -4.0]) == pytest.approx(0.125)


def test_a_row_has_medians_and_ratios_of_rounds() -> None:
    row = row_of("notes", [(10.0, 15.0), (20.0, 60.0), (10.0, 20.0)], "0e+00")
    assert row == ["notes", "10", "20", "2.00 (1.50 to 3.00)", "0e+00"]
