"""The frame-level benchmarks: the MATLAB files, and the blocks that pieces are cut into."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from benchmarks.density.frames import BENCHMARKS, SPLITS, FrameBlocks, read_benchmark
from common.errors import UserError


def write_benchmark(folder: Path, name: str, **splits: list[np.ndarray]) -> None:
    """Write a MATLAB file such as those of the benchmarks; other splits have one piece of 5 frames."""
    cells = {}
    for key in SPLITS.values():
        pieces = splits.get(key, [np.eye(5, 88)])
        cells[key] = np.empty((1, len(pieces)), object)
        for number, piece in enumerate(pieces):
            cells[key][0, number] = piece
    scipy.io.savemat(folder / BENCHMARKS[name], cells)


def test_pieces_are_read_unchanged(tmp_path: Path) -> None:
    pieces = [np.eye(n, 88, dtype=np.uint8) for n in (7, 3)]
    write_benchmark(tmp_path, "jsb", traindata=pieces)
    read = read_benchmark(tmp_path, "jsb")
    assert [len(read[split]) for split in ("train", "val", "test")] == [2, 1, 1]
    for piece, frames in zip(pieces, read["train"], strict=True):
        np.testing.assert_array_equal(frames.numpy(), piece > 0)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"JSB_Chorales.mat: no such file; .* --frames"):
        read_benchmark(tmp_path, "jsb")
    write_benchmark(tmp_path, "piano", testdata=[np.zeros((4, 87))])
    with pytest.raises(UserError, match=r"Piano_midi.mat: not one of the benchmarks \(a piece of shape \(4, 87\)"):
        read_benchmark(tmp_path, "piano")
    (tmp_path / BENCHMARKS["muse"]).write_bytes(b"no MATLAB")
    with pytest.raises(UserError, match="not one of the benchmarks"):
        read_benchmark(tmp_path, "muse")


@pytest.mark.parametrize(("phase", "starts"), [(None, [0, 4, 8, 0, 0]), (torch.tensor([3, 0, 2]), [0, 3, 7, 0, 0])])
def test_blocks_have_every_frame_once_and_the_frames_before(phase: torch.Tensor | None, starts: list[int]) -> None:
    pieces = [torch.rand(n, 88) < 0.1 for n in (10, 4, 1)]
    blocks = FrameBlocks.of(pieces, 4, phase)
    rolls, lengths, before = blocks.batch(torch.arange(len(blocks)), 6)
    assert lengths.sum() == 15 and lengths.max() <= 4
    frames = torch.cat([roll[:, :n].t() for roll, n in zip(rolls, lengths, strict=True)]) > 0
    assert torch.equal(frames, torch.cat(pieces))
    assert not any(roll[:, n:].any() for roll, n in zip(rolls, lengths, strict=True))
    for row, (number, start) in enumerate(zip([0, 0, 0, 1, 2], starts, strict=True)):
        expected = torch.cat([torch.zeros(6, 88), pieces[number][:start].float()])[-6:].t()
        assert torch.equal(before[row], expected)
