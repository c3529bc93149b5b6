"""Similarity of clips to the nearest training windows."""

from collections.abc import Iterable

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from data.windows import TRANSPOSITIONS, transposed
from evaluation.statistics.features import Feature, onsets

NOVELTY = {
    "nearest_frame_F1": Feature("0 ... 1", 0.05),
    "nearest_note_share": Feature("share of notes", 0.05),
    "memorised": Feature("share of clips", 1),
}
# A clip that shares more of its notes with one window counts as memorised.
MEMORISED = 0.5
_WINDOWS_AT_ONCE = 8192


class KnownWindows:
    """Windows to compare clips with, as sparse matrices of cells and of onsets."""

    def __init__(self, rolls: Iterable[Tensor]) -> None:
        """`rolls`: all windows, (B, 128, T) each, where a cell above 0 sounds."""
        parts = [(_rows(sounding), _rows(onsets(sounding))) for sounding in (batch > 0 for batch in rolls)]
        self._cells, self._notes = (sparse.vstack(part, "csr") for part in zip(*parts, strict=True))

    def novelty(self, clips: Tensor) -> dict[str, Tensor]:
        """Every feature of `NOVELTY` for boolean clips (n, 128, T), float64 (n,) each, NaN for a silent clip.

        Clips are transposed but not shifted in time. nearest_frame_F1: F1 of the cells with the nearest window.
        nearest_note_share: the largest share of the clip's notes, by pitch and onset, that one window has. memorised: 1
        if that is more than half.
        """
        frame_f1, note_share = np.zeros(len(clips)), np.zeros(len(clips))
        n_notes = onsets(clips).sum((1, 2)).numpy()
        size_of_known = self._cells.sum(1)
        for semitones in TRANSPOSITIONS:
            moved = transposed(clips, torch.full((len(clips),), semitones))
            cells, notes = _rows(moved), _rows(onsets(moved))
            for first in range(0, self._cells.shape[0], _WINDOWS_AT_ONCE):
                chosen = slice(first, first + _WINDOWS_AT_ONCE)
                shared = (cells @ self._cells[chosen].T).toarray()
                total = cells.sum(1)[:, None] + size_of_known[None, chosen]
                frame_f1 = np.maximum(frame_f1, (2 * shared / np.maximum(total, 1)).max(1))
                shared = (notes @ self._notes[chosen].T).toarray()
                note_share = np.maximum(note_share, shared.max(1) / np.maximum(n_notes, 1))
        silent = n_notes == 0
        values = frame_f1, note_share, (note_share > MEMORISED).astype(float)
        return {
            name: torch.from_numpy(np.where(silent, np.nan, value)) for name, value in zip(NOVELTY, values, strict=True)
        }


def _rows(rolls: Tensor) -> sparse.csr_array:
    """Boolean rolls (n, 128, T) as sparse rows of 128 T numbers, 0 and 1."""
    return sparse.csr_array(rolls.flatten(1).numpy(), dtype=np.float32)
