"""The standard frame-level benchmarks: JSB chorales, Nottingham, MuseData and Piano-midi.de as binary 88-key rolls.

MATLAB files with the splits of Boulanger-Lewandowski, Bengio and Vincent (ICML 2012): `traindata`, `validdata` and
`testdata` are cells of (frames, 88) arrays of 0 and 1; key 0 is MIDI pitch 21.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.io
import torch
from scipy.io.matlab import MatReadError
from torch import Tensor

from common.errors import UserError

KEYS = 88
BENCHMARKS = {
    "jsb": "JSB_Chorales.mat", "nottingham": "Nottingham.mat", "muse": "MuseData.mat", "piano": "Piano_midi.mat",
}  # fmt: skip
SPLITS = {"train": "traindata", "val": "validdata", "test": "testdata"}


def read_benchmark(folder: Path, name: str) -> dict[str, list[Tensor]]:
    """Return the pieces of each split, bool (n_frames, 88). Raises `UserError` for a missing or another file."""
    path = folder / BENCHMARKS[name]
    if not path.is_file():
        raise UserError(f"{path}: no such file; name the folder of the benchmark's MATLAB files with --frames")
    try:
        cells = scipy.io.loadmat(path)
        return {split: [_piece(piece) for piece in cells[key][0]] for split, key in SPLITS.items()}
    except (KeyError, ValueError, TypeError, IndexError, OSError, NotImplementedError, MatReadError) as error:
        raise UserError(f"{path}: not one of the benchmarks ({error}); download it again") from error


def _piece(frames: np.ndarray) -> Tensor:
    if frames.ndim != 2 or frames.shape[1] != KEYS:
        raise ValueError(f"a piece of shape {frames.shape} instead of (frames, {KEYS})")
    return torch.from_numpy(frames.astype(bool))


@dataclass(frozen=True)
class FrameBlocks:
    """Concatenated pieces, and their blocks: first frame, number of frames, and earlier frames of the piece."""

    frames: Tensor  # bool (n_frames, 88)
    first: Tensor  # int64 (n,)
    length: Tensor
    before: Tensor

    @classmethod
    def of(cls, pieces: list[Tensor], size: int, phase: Tensor | None = None) -> "FrameBlocks":
        """Cut blocks of at most `size` frames; `phase` (n_pieces,) in [0, size) is the first cut of each piece."""
        blocks, start = [], 0
        for number, piece in enumerate(pieces):
            offset = 0 if phase is None else int(phase[number])
            cuts = [0, *range(offset or size, len(piece), size), len(piece)]
            blocks += [(start + begin, end - begin, begin) for begin, end in pairwise(cuts)]
            start += len(piece)
        return cls(torch.cat(pieces), *torch.tensor(blocks).T)

    def __len__(self) -> int:
        return len(self.first)

    def batch(self, index: Tensor, n_before: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return rolls float32 (B, 88, T), lengths (B,) and earlier frames (B, 88, n_before) of blocks `index` (B,)."""
        first, length = self.first[index, None], self.length[index]
        place = torch.arange(int(length.max()))
        roll = self._take(first + place, place < length[:, None])
        place = torch.arange(n_before) - n_before
        return roll, length, self._take(first + place, place >= -self.before[index, None])

    def _take(self, place: Tensor, present: Tensor) -> Tensor:
        cells = self.frames[place.clamp(0, len(self.frames) - 1)] & present[..., None]
        return cells.transpose(1, 2).float()
