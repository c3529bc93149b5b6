"""Decoders as density models: the benchmarks and their blocks, training, evaluation with baselines, exact resume."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_files import write_benchmark
from stages import Stopping, terminate

from benchmarks.density.__main__ import DENSITY_TABLE, evaluate_density
from benchmarks.density.frames import BENCHMARKS, FrameBlocks, read_benchmark
from benchmarks.density.stage import DensityOptions, DensityStage
from common.errors import UserError
from common.options import parse_options
from models.checkpoint import read_checkpoint
from training.loop import train


def test_pieces_are_read_unchanged(tmp_path: Path) -> None:
    pieces = [np.eye(n, 88, dtype=np.uint8) for n in (7, 3)]
    read = read_benchmark(write_benchmark(tmp_path, "jsb", train=pieces), "jsb")
    assert [len(read[split]) for split in ("train", "val", "test")] == [2, 1, 1]
    for piece, frames in zip(pieces, read["train"], strict=True):
        np.testing.assert_array_equal(frames.numpy(), piece > 0)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"JSB_Chorales.mat: no such file; .* --frames"):
        read_benchmark(tmp_path, "jsb")
    write_benchmark(tmp_path, "piano", test=[np.zeros((4, 87))])
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


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A benchmark of repeated held chords: 6 pieces for training, 2 for validation, 2 for the test."""
    rng, pieces = np.random.default_rng(0), {}
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        chords = [(rng.random((3, 88)) < 0.05).repeat(4, axis=0) for _ in range(count)]
        pieces[split] = [np.tile(each, (4, 1))[: 30 + 5 * k].astype(np.uint8) for k, each in enumerate(chords)]
    return write_benchmark(tmp_path, "jsb", **pieces)


def options(frames: Path, folder: Path, *more: str) -> DensityOptions:
    places = ["--frames", frames, "--checkpoints", folder / "checkpoints", "--runs", folder / "runs"]
    sizes = ["--block", "16", "--before", "8", "--hidden", "16", "--depth", "1", "--batch-size", "4", "--epochs", "3"]
    how = ["--device", "cpu", "--threads", "1", "--learning-rate", "1e-2"]
    return parse_options(DensityOptions, "", list(map(str, [*places, *sizes, *how, *more])), {})


@pytest.mark.parametrize("latent", [0, 2])
@pytest.mark.parametrize("decoder", ["notes", "frames"])
def test_training_lowers_the_nats_of_the_test_split(decoder: str, latent: int, frames: Path, tmp_path: Path) -> None:
    stage = DensityStage(options(frames, tmp_path, "--decoder", decoder, "--latent", str(latent)))
    stage.open()
    stage.open_phase(stage.phases[0])
    stage.build_models(stage.phases[0])
    before = stage.nats_per_frame(stage.models["density"].eval(), "test")
    train(stage)
    row = DENSITY_TABLE.add(evaluate_density(stage), tmp_path / "metrics").iloc[0]
    assert row["nats_per_frame"] < before and row["latent"] == latent
    assert 0 < row["previous_frame"] < row["key_rate"], "the chords are held"
    assert row["RNN_NADE"] == 5.56


@pytest.mark.parametrize("more", [("--dropout", "0.1", "--latent", "2"), ("--decoder", "frames")])
def test_an_interrupted_training_is_resumed_exactly(more: tuple[str, ...], frames: Path, tmp_path: Path) -> None:
    for name, stage in (("whole", DensityStage), ("stopped", Stopping(DensityStage, 4, by=terminate))):
        try:
            train(stage(options(frames, tmp_path / name, *more)))
        except SystemExit:
            train(DensityStage(options(frames, tmp_path / name, *more)))
    whole, stopped = (
        read_checkpoint(next((tmp_path / name / "checkpoints").rglob("density_last.pth")))["weights"]
        for name in ("whole", "stopped")
    )
    assert all(torch.equal(stopped[name], weights) for name, weights in whole.items())
