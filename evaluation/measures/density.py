"""Nats a frame on the frame-level benchmarks, beside what needs no training and what was published."""

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

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
        Column("model", "model", LABEL),
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
)
_ROW = ["benchmark", "model", "seed"]


def measure_density(stage: Any) -> pd.DataFrame:
    """A row of a `training.density.DensityStage` that is trained, by its best weights."""
    path = stage.checkpoints / stage.weights_file(stage.name, stage.phases[0], BEST)
    content = read_checkpoint(path)
    model, options = rebuild(content).to(stage.device), stage.options
    train, test = (torch.cat(stage.pieces[split]).float() for split in ("train", "test"))
    starts = {split: _starts(stage.pieces[split]) for split in ("train", "test")}
    row = {
        "benchmark": options.benchmark,
        "model": model.network,
        "seed": options.seed,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": options.epochs,
        "epoch_of_best": content["facts"]["epoch"],
        "nats_per_frame": stage.nats_per_frame(model, "test"),
        "nats_per_frame_val": stage.nats_per_frame(model, "val"),
        "key_rate": key_rate(train, test),
        "previous_frame": previous_frame(train, starts["train"], test, starts["test"]),
        **PUBLISHED[options.benchmark],
        "block": options.block,
        "before": options.before,
        "dropout": options.dropout,
    }
    return pd.DataFrame([row])


def add_row(frame: pd.DataFrame, metrics: Path) -> pd.DataFrame:
    """The rows of the table in the folder with those of `frame`, which replace others alike; written."""
    path = DENSITY_TABLE.path(metrics)
    if path.exists():
        frame = pd.concat([pd.read_csv(path), frame]).drop_duplicates(_ROW, keep="last")
    frame = frame.sort_values(_ROW).reset_index(drop=True)
    DENSITY_TABLE.write(frame, metrics)
    return frame


def key_rate(train: Tensor, test: Tensor) -> float:
    """Nats a frame where each key sounds at its rate in training. Frames (n, 88); half a frame is added to each."""
    rate = (train.sum(0) + 0.5) / (len(train) + 1)
    return _nats(rate.expand_as(test), test)


def previous_frame(train: Tensor, train_starts: Tensor, test: Tensor, test_starts: Tensor) -> float:
    """The same where a key's rate is that after silence, or after sound. `*_starts` bool (n,): first of a piece."""
    before, now = _before(train, train_starts), train
    after_sound = ((before * now).sum(0) + 0.5) / (before.sum(0) + 1)
    after_silence = (((1 - before) * now).sum(0) + 0.5) / ((1 - before).sum(0) + 1)
    return _nats(torch.lerp(after_silence, after_sound, _before(test, test_starts)), test)


def _before(frames: Tensor, starts: Tensor) -> Tensor:
    shifted = torch.nn.functional.pad(frames[:-1], (0, 0, 1, 0))
    return shifted * ~starts[:, None]


def _starts(pieces: list[Tensor]) -> Tensor:
    starts = torch.zeros(sum(map(len, pieces)), dtype=torch.bool)
    starts[torch.tensor([0, *(len(piece) for piece in pieces[:-1])]).cumsum(0)] = True
    return starts


def _nats(rate: Tensor, frames: Tensor) -> float:
    return -(frames * rate.log() + (1 - frames) * torch.log1p(-rate)).sum(1).double().mean().item()
