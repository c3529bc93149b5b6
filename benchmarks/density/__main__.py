"""How well the decoders model music as such: nats a frame on the standard frame-level benchmarks.

    python -m benchmarks.density --frames benchmarks_mat --benchmark jsb --preset jsb --bf16
    python -m benchmarks.density --frames benchmarks_mat --benchmark piano --preset piano --seed 1
    python -m benchmarks.density --frames benchmarks_mat --preset jsb --latent 8                # a bound, with a latent
    python -m benchmarks.density --frames benchmarks_mat --preset frames --benchmark jsb        # the published decoder

Trains a decoder alone, without a latent unless one is asked for, on the benchmark's training pieces and measures its
test pieces: the mean negative log-likelihood of a frame, each given the past of its piece (as far back as --before),
beside models that need no training and published figures. A piece is a chain of blocks of --block frames, so that the
figure is an exact likelihood of all frames; with a latent an upper bound of its nats. The same command resumes a
training that was stopped. Writes metrics/density.csv, a row for each benchmark, model and seed; weights and logs are in
density/ below --checkpoints and --runs.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.density.stage import FRAMES, DensityOptions, DensityStage
from benchmarks.density.table import DENSITY_TABLE, measure_density
from common.errors import run_command
from common.options import option, parse_options
from evaluation.tables import format_table
from models.checkpoint import CheckpointError
from training.loop import train
from training.optimizers import MUON

COMMON = {
    "optimizer": MUON, "batch_size": 16, "schedule": "cosine", "warm_up": 100, "clip_norm": 1.0, "ema": 0.99,
    "dropout": 0.1,
}  # fmt: skip
PRESETS = {
    "jsb": {**COMMON, "benchmark": "jsb", "epochs": 120, "dropout": 0.3, "hidden": 128, "depth": 3},
    "nottingham": {**COMMON, "benchmark": "nottingham", "epochs": 8},
    "muse": {**COMMON, "benchmark": "muse", "epochs": 6},
    "piano": {**COMMON, "benchmark": "piano", "epochs": 12, "dropout": 0.2},
    "frames": {
        "decoder": FRAMES, "hidden": 16, "epochs": 100, "batch_size": 16, "learning_rate": 5e-3, "clip_norm": 1.0,
    },
}


@dataclass(frozen=True)
class Options(DensityOptions):
    """What is trained and measured, and where the table goes."""

    metrics: Path = option(Path("metrics"), "folder for the table")


def measure(options: Options) -> pd.DataFrame:
    """Train, measure, print and write the table; returns its rows. Raises `UserError` or `CheckpointError`."""
    stage = DensityStage(options)
    train(stage)
    frame = DENSITY_TABLE.add(measure_density(stage), options.metrics)
    print(format_table(frame, DENSITY_TABLE.columns))
    print("nats a frame on the test split; published figures as commonly quoted, not checked")
    print(DENSITY_TABLE.path(options.metrics))
    return frame


if __name__ == "__main__":
    run_command(lambda: measure(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
