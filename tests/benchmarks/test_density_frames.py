"""The frame-level benchmarks: what is read, how pieces are cut into blocks, and what was before each."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from benchmarks.density.frames import BENCHMARKS, FrameBlocks, read_benchmark
from common.errors import UserError


def write_benchmark(folder: Path, name: str, **splits: list[np.ndarray]) -> Path:
    """A MATLAB file as the benchmarks are; splits that are not given have one piece of 5 frames."""
    cells = {}
    for key in ("traindata", "validdata", "testdata"):
        pieces = splits.get(key, [np.eye(5, 88)])
        cell = np.empty((1, len(pieces)), object)
        cell[0, :] = [*pieces] if len(pieces) > 1 else [None]
        if len(pieces) == 1:
            cell[0, 0] = pieces[0]
        cells[key] = cell
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / BENCHMARKS[name]
    scipy.io.savemat(path, cells)
    return path


def test_pieces_are_read_as_they_are(tmp_path: Path) -> None:
    pieces = [np.eye(n, 88, dtype=np.uint8) for n in (7, 3)]
    write_benchmark(tmp_path, "jsb", traindata=pieces)
    read = read_benchmark(tmp_path, "jsb")
    assert [len(read[split]) for split in ("train", "val", "test")] == [2, 1, 1]
    for piece, frames in zip(pieces, read["train"], strict=True):
        np.testing.assert_array_equal(frames.numpy(), piece > 0)


def test_what_is_no_benchmark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"JSB_Chorales.mat: not there; .* --frames"):
        read_benchmark(tmp_path, "jsb")
    write_benchmark(tmp_path, "piano", testdata=[np.zeros((4, 87))])
    with pytest.raises(UserError, match=r"Piano_midi.mat: not one of the benchmarks \(a piece of shape \(4, 87\)"):
        read_benchmark(tmp_path, "piano")
    (tmp_path / BENCHMARKS["muse"]).write_bytes(b"no MATLAB")
    with pytest.raises(UserError, match="not one of the benchmarks"):
        read_benchmark(tmp_path, "muse")


def test_blocks_hold_every_frame_once_and_what_was_before() -> None:
    pieces = [torch.rand(n, 88) < 0.1 for n in (10, 4, 1)]
    for phase in (None, torch.tensor([3, 0, 2])):
        blocks = FrameBlocks.of(pieces, 4, phase)
        rolls, lengths, before = blocks.batch(torch.arange(len(blocks)), 6)
        assert lengths.sum() == 15 and lengths.max() <= 4
        frames = torch.cat([roll[:, :n].t() for roll, n in zip(rolls, lengths, strict=True)]) > 0
        assert torch.equal(frames, torch.cat(pieces))
        assert not any(roll[:, n:].any() for roll, n in zip(rolls, lengths, strict=True))
        starts = [0, 4, 8, 0, 0] if phase is None else [0, 3, 7, 0, 0]
        for row, start in enumerate(starts):
            piece = pieces[[0, 0, 0, 1, 2][row]].float()
            expected = torch.cat([torch.zeros(6, 88), piece[:start]])[-6:].t()
            assert torch.equal(before[row], expected)
