"""The standard frame-level benchmarks: JSB chorales, Nottingham, MuseData and Piano-midi.de as binary 88-key rolls.

MATLAB files with the splits of Boulanger-Lewandowski, Bengio and Vincent (ICML 2012): `traindata`, `validdata` and
`testdata`, cells of (frames, 88) arrays of 0 and 1, key 0 being MIDI pitch 21.
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
    """The pieces of each split, bool (n_frames, 88) each. Raises `UserError` where the file is missing or another."""
    path = folder / BENCHMARKS[name]
    if not path.is_file():
        raise UserError(f"{path}: not there; name the folder of the benchmark's MATLAB files with --frames")
    try:
        cells = scipy.io.loadmat(path)
        return {split: [_piece(piece) for piece in cells[key][0]] for split, key in SPLITS.items()}
    except (KeyError, ValueError, TypeError, IndexError, OSError, NotImplementedError, MatReadError) as error:
        raise UserError(f"{path}: not one of the benchmarks ({error}); get it again") from error


def _piece(frames: np.ndarray) -> Tensor:
    if frames.ndim != 2 or frames.shape[1] != KEYS:
        raise ValueError(f"a piece of shape {frames.shape} instead of (frames, {KEYS})")
    return torch.from_numpy(frames.astype(bool))


@dataclass(frozen=True)
class FrameBlocks:
    """Pieces end to end, and the blocks that they are cut into: first frame, frames, and frames of the piece before."""

    frames: Tensor  # bool (n_frames, 88)
    first: Tensor  # int64 (n,)
    length: Tensor
    before: Tensor

    @classmethod
    def of(cls, pieces: list[Tensor], size: int, phase: Tensor | None = None) -> "FrameBlocks":
        """Blocks of at most `size` frames. `phase` (n_pieces,) in [0, size): where the first cut of each piece is."""
        first, length, before, start = [], [], [], 0
        for number, piece in enumerate(pieces):
            n, offset = len(piece), 0 if phase is None else int(phase[number])
            cuts = [0, *range(offset or size, n, size), n]
            for begin, end in pairwise(cuts):
                first.append(start + begin)
                length.append(end - begin)
                before.append(begin)
            start += n
        return cls(torch.cat(pieces), *(torch.tensor(values) for values in (first, length, before)))

    def __len__(self) -> int:
        return len(self.first)

    def batch(self, index: Tensor, n_before: int) -> tuple[Tensor, Tensor, Tensor]:
        """Blocks at `index` (B,): rolls float32 (B, 88, T), their lengths (B,), and (B, 88, n_before) frames before."""
        first, length = self.first[index, None], self.length[index]
        place = torch.arange(int(length.max()) if len(index) else 0)
        roll = self._take(first + place, place < length[:, None])
        place = torch.arange(n_before) - n_before
        return roll, length, self._take(first + place, place >= -self.before[index, None])

    def _take(self, place: Tensor, present: Tensor) -> Tensor:
        cells = self.frames[place.clamp(0, len(self.frames) - 1)] & present[..., None]
        return cells.transpose(1, 2).float()
