"""Clips from the training windows are found in any key; others have the counted similarity."""

import numpy as np
import torch

from evaluation.statistics.novelty import NOVELTY, KnownWindows


def roll_with(*notes: tuple[int, int, int], n: int = 1) -> torch.Tensor:
    """Boolean rolls (n, 128, 32), all the same, of notes (pitch, first frame, frames)."""
    roll = torch.zeros(n, 128, 32, dtype=torch.bool)
    for pitch, start, length in notes:
        roll[:, pitch, start : start + length] = True
    return roll


TUNE = (60, 0, 4), (64, 4, 4), (67, 8, 8), (72, 20, 2)


def test_a_transposed_window_is_memorised() -> None:
    known = KnownWindows([roll_with((40, 1, 3)), roll_with(*((pitch + 6, *rest) for pitch, *rest in TUNE))])
    found = known.novelty(roll_with(*TUNE))
    assert list(found) == list(NOVELTY)
    assert [values.tolist() for values in found.values()] == [[1.0], [1.0], [1.0]]


def test_shares_are_counted() -> None:
    # Of four notes two begin at the same place on the same key, one of them lasting half as long.
    known = KnownWindows([roll_with((60, 0, 4), (64, 4, 2), (30, 9, 1))])
    found = known.novelty(roll_with(*TUNE))
    assert found["nearest_note_share"].item() == 0.5 and found["memorised"].item() == 0
    np.testing.assert_allclose(found["nearest_frame_F1"].item(), 2 * 6 / (18 + 7))


def test_clips_out_of_reach_and_silent_clips() -> None:
    known = KnownWindows([roll_with((20, 0, 4))])
    found = known.novelty(torch.cat([roll_with((60, 0, 4)), roll_with()]))
    assert found["nearest_frame_F1"][0] == found["nearest_note_share"][0] == 0
    assert all(values[1].isnan() for values in found.values())
