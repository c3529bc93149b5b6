"""Decoders as density models: training, evaluation with baselines, exact resume."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from stages import stopping, terminate

from benchmarks.density.__main__ import DENSITY_TABLE, evaluate_density
from benchmarks.density.frames import BENCHMARKS
from benchmarks.density.stage import DensityOptions, DensityStage
from common.options import parse_options
from models.checkpoint import read_checkpoint
from training.loop import train


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A benchmark of repeated held chords: 6 pieces for training, 2 for validation, 2 for the test."""
    rng = np.random.default_rng(0)
    content = {}
    for split, count in (("traindata", 6), ("validdata", 2), ("testdata", 2)):
        content[split] = np.empty((1, count), object)
        for number in range(count):
            chords = (rng.random((3, 88)) < 0.05).repeat(4, axis=0)
            content[split][0, number] = np.tile(chords, (4, 1))[: 30 + 5 * number].astype(np.uint8)
    scipy.io.savemat(tmp_path / BENCHMARKS["jsb"], content)
    return tmp_path


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
    for name, stage in (("whole", DensityStage), ("stopped", stopping(DensityStage, 4, by=terminate))):
        try:
            train(stage(options(frames, tmp_path / name, *more)))
        except SystemExit:
            train(DensityStage(options(frames, tmp_path / name, *more)))
    whole, stopped = (
        read_checkpoint(next((tmp_path / name / "checkpoints").rglob("density_last.pth")))["weights"]
        for name in ("whole", "stopped")
    )
    assert all(torch.equal(stopped[name], weights) for name, weights in whole.items())
