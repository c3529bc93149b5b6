"""Nats per frame of the decoders as density models, on the standard frame-level benchmarks.

    python -m benchmarks.density --frames benchmarks_mat --benchmark jsb --preset jsb --bf16
    python -m benchmarks.density --frames benchmarks_mat --benchmark piano --preset piano --seed 1
    python -m benchmarks.density --frames benchmarks_mat --preset jsb --latent 8                # a bound, with a latent
    python -m benchmarks.density --frames benchmarks_mat --preset frames --benchmark jsb        # the published decoder

Trains a decoder on the training pieces, by default without a latent, and reports the mean negative log-likelihood of
the frames of the test pieces, each given the --before frames before its block, with baselines and published values. A
piece is a chain of blocks of --block frames, so the number is an exact likelihood of all frames; with a latent it is an
upper bound. The same command continues an interrupted training. Writes metrics/density.csv, a row for each benchmark,
model and seed; weights and logs are in density/ below --checkpoints and --runs.
"""

import pandas as pd

from benchmarks.density.stage import FRAMES, MODEL, DensityOptions, DensityStage
from common.errors import run_command
from common.options import parse_options
from evaluation.metrics.elbo import FrameBaselines
from evaluation.tables import BASELINE, LABEL, OURS, REPORTED, ResultTable, columns, format_table
from models import rebuild
from models.checkpoint import read_checkpoint
from models.errors import CheckpointError
from models.weight_files import BEST
from training.loop import train
from training.options import MUON

SMALL = {"batch_size": 16, "clip_norm": 1.0}
COMMON = {**SMALL, "optimizer": MUON, "schedule": "cosine", "warm_up": 100, "ema": 0.99, "dropout": 0.1}
PRESETS = {
    "jsb": {**COMMON, "benchmark": "jsb", "epochs": 120, "dropout": 0.3, "hidden": 128, "depth": 3},
    "nottingham": {**COMMON, "benchmark": "nottingham", "epochs": 8},
    "muse": {**COMMON, "benchmark": "muse", "epochs": 6},
    "piano": {**COMMON, "benchmark": "piano", "epochs": 12, "dropout": 0.2},
    "frames": {**SMALL, "decoder": FRAMES, "hidden": 16, "epochs": 100, "learning_rate": 5e-3},
}
# As commonly quoted, not verified: the best of LSTM, GRU and TCN with independent keys; RNN-RBM and RNN-NADE of
# Boulanger-Lewandowski et al. (2012).
PUBLISHED = {
    "jsb": {"independent_keys": 8.10, "RNN_RBM": 6.27, "RNN_NADE": 5.56},
    "nottingham": {"independent_keys": 3.07, "RNN_RBM": 2.39, "RNN_NADE": 2.31},
    "muse": {"RNN_RBM": 6.01, "RNN_NADE": 5.60},
    "piano": {"RNN_RBM": 7.09, "RNN_NADE": 7.05},
}
DENSITY_TABLE = ResultTable(
    "density.csv",
    "-m benchmarks.density",
    (
        *columns(LABEL, benchmark="benchmark", model="decoder"),
        *columns(OURS, latent="latent", seed="seed", parameters="parameters", epochs="epochs"),
        *columns(OURS, nats_per_frame="nats a frame", nats_per_frame_val="validation"),
        *columns(BASELINE, key_rate="each key's rate", previous_frame="previous frame"),
        *columns(REPORTED, independent_keys="independent keys", RNN_RBM="RNN-RBM", RNN_NADE="RNN-NADE"),
    ),
    key=("benchmark", "model", "latent", "seed"),
)


def evaluate_density(stage: DensityStage) -> pd.DataFrame:
    """Return the row of a trained stage, from its best weights."""
    content = read_checkpoint(stage.checkpoints / stage.weights_file(MODEL, stage.phases[0], BEST))
    model, options = rebuild(content).to(stage.device), stage.options
    train, test = ([piece.t()[None].float() for piece in stage.pieces[split]] for split in ("train", "test"))
    baselines, n_frames = FrameBaselines.fit(train), sum(roll.shape[2] for roll in test)
    nats = pd.DataFrame([{name: value.item() for name, value in baselines.nats(roll).items()} for roll in test]).sum()
    return pd.DataFrame([{
        "benchmark": options.benchmark,
        "model": model.network,
        "latent": model.latent,
        "seed": options.seed,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": options.epochs,
        "epoch_of_best": content["facts"]["epoch"],
        "nats_per_frame": stage.nats_per_frame(model, "test"),
        "nats_per_frame_val": content["facts"]["metrics"]["nats_per_frame"],
        "key_rate": nats["pitch_mean"] / n_frames,
        "previous_frame": nats["previous_frame"] / n_frames,
        **PUBLISHED[options.benchmark],
        "block": options.block,
        "before": options.before,
        "dropout": options.dropout,
    }])  # fmt: skip


def run(options: DensityOptions) -> pd.DataFrame | None:
    """Train, evaluate, print and write the table; returns it, or None if the time is over before the training's end.

    Raises `UserError` or `CheckpointError`.
    """
    stage = DensityStage(options)
    if not train(stage):
        return None
    frame = DENSITY_TABLE.add(evaluate_density(stage), options.metrics)
    print(format_table(frame, DENSITY_TABLE.columns))
    print("nats per frame of the test split; published values as commonly quoted, not verified")
    print(DENSITY_TABLE.path(options.metrics))
    return frame


if __name__ == "__main__":
    run_command(lambda: run(parse_options(DensityOptions, __doc__, presets=PRESETS)), CheckpointError)
