"""Weights files as training writes them, for tests that need some."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.files import save_plain
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
