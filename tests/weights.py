"""Weights files as training writes them, for tests that need some."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.files import save_plain
from data.store import RollStore
from data.windows import WindowSource
from models import CVAE, Generator
from models.checkpoint import weights_content

FACTS = {
    "genres": ["chords", "melody", "bass"],
    "condition": "genre",
    "frames_per_second": 16,
    "seq_len": 32,
    "labels": "given",
    "trained_on": "",
    "training_songs": torch.empty(0, dtype=torch.int64),
}


def save_weights(model: nn.Module, path: Path, **facts: Any) -> Path:
    """Write a model's weights; of `facts` those that differ from `FACTS` are given. Returns the path."""
    own = {"seq_len": model.seq_len} if hasattr(model, "seq_len") else {}
    save_plain(weights_content(model, {**FACTS, **own, **facts}), path)
    return path


def save_hybrids(store: Path, folder: Path, seed: int = 0, seq_lens: tuple[int, ...] = (32,)) -> Path:
    """Write random weights of the paper preset, which play about as much as the data of `store`; returns `folder`."""
    opened = RollStore.open(store)
    torch.manual_seed(seed)
    for seq_len in seq_lens:
        rate = WindowSource(opened, "train", seq_len).pitch_rate()
        generator, cvae = Generator(len(opened.genres), seq_len), CVAE(len(opened.genres))
        generator.start_at(rate.mul(8).clamp(0.01, 0.6))
        cvae.start_at(rate)
        for name, model in (("G", generator), ("cvae", cvae)):
            save_weights(model, folder / f"hybrid_{name}_best_T{seq_len}.pth", genres=opened.genres, seq_len=seq_len)
    return folder
