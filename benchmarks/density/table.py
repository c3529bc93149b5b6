"""Nats a frame on the frame-level benchmarks, beside what needs no training and what was published."""

from typing import Any

import pandas as pd
import torch

from evaluation.metrics.elbo import FrameBaselines
from evaluation.tables import BASELINE, LABEL, REPORTED, Column, ResultTable
from models import rebuild
from models.checkpoint import read_checkpoint
from models.weight_files import BEST

# As commonly quoted, not checked: the best of LSTM, GRU and TCN with independent keys; RNN-RBM and RNN-NADE of
# Boulanger-Lewandowski et al. (2012).
PUBLISHED = {
    "jsb": {"independent_keys": 8.10, "RNN_RBM": 6.27, "RNN_NADE": 5.56},
    "nottingham": {"independent_keys": 3.07, "RNN_RBM": 2.39, "RNN_NADE": 2.31},
    "muse": {"RNN_RBM": 6.01, "RNN_NADE": 5.60},
    "piano": {"RNN_RBM": 7.09, "RNN_NADE": 7.05},
}
DENSITY_TABLE = ResultTable(
    "density.csv",
    "benchmarks/density.py",
    (
        Column("benchmark", "benchmark", LABEL),
        Column("model", "decoder", LABEL),
        Column("latent", "latent"),
        Column("seed", "seed"),
        Column("parameters", "parameters"),
        Column("epochs", "epochs"),
        Column("nats_per_frame", "nats a frame"),
        Column("nats_per_frame_val", "validation"),
        Column("key_rate", "each key's rate", BASELINE),
        Column("previous_frame", "previous frame", BASELINE),
        Column("independent_keys", "independent keys", REPORTED),
        Column("RNN_RBM", "RNN-RBM", REPORTED),
        Column("RNN_NADE", "RNN-NADE", REPORTED),
    ),
    key=("benchmark", "model", "latent", "seed"),
)


def measure_density(stage: Any) -> pd.DataFrame:
    """A row of a `benchmarks.density.stage.DensityStage` that is trained, by its best weights."""
    path = stage.checkpoints / stage.weights_file(stage.name, stage.phases[0], BEST)
    content = read_checkpoint(path)
    model, options = rebuild(content).to(stage.device), stage.options
    train, test = ([piece.t()[None].float() for piece in stage.pieces[split]] for split in ("train", "test"))
    baselines, n_frames = FrameBaselines.fit(train), sum(roll.shape[2] for roll in test)
    code_length = pd.DataFrame([baselines.nats(roll) for roll in test]).map(torch.Tensor.item).sum()
    row = {
        "benchmark": options.benchmark,
        "model": model.network,
        "latent": model.latent,
        "seed": options.seed,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": options.epochs,
        "epoch_of_best": content["facts"]["epoch"],
        "nats_per_frame": stage.nats_per_frame(model, "test"),
        "nats_per_frame_val": content["facts"]["metrics"]["nats_per_frame"],
        "key_rate": code_length["pitch_mean"] / n_frames,
        "previous_frame": code_length["previous_frame"] / n_frames,
        **PUBLISHED[options.benchmark],
        "block": options.block,
        "before": options.before,
        "dropout": options.dropout,
    }
    return pd.DataFrame([row])
