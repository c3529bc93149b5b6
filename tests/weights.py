"""Weights files as training writes them, for tests that need some."""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import nn

from common.files import save_plain
from data.store import RollStore
from data.windows import WindowSource
from models import ARCHITECTURES, CVAE, LARGE, Generator
from models.checkpoint import weights_content
from models.names import AUTOREGRESSIVE, STANDARD_NORMAL
from models.networks import NETWORKS

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


def save_rolls(folder: Path, architecture: str, seq_lens: Sequence[int] = (32, 64), **facts: Any) -> None:
    """Random weights of every kind that play some notes, with the names that stages 1, 2 and 3 give them."""
    torch.manual_seed(crc32(folder.name.encode()))
    sizes = {"n_genres": 3, "genre_size": 2, "event_size": 4, "depth": 1}
    sizes |= {"latent": 2, "hidden": 16} if architecture == LARGE else {"latent": 4, "hidden": 4}
    files = [(f"{kind}_pretrained_best", kind, 32, STANDARD_NORMAL) for kind in ARCHITECTURES]
    files += [
        (f"hybrid_{name}_best_T{seq_len}", kind, seq_len, AUTOREGRESSIVE)
        for seq_len in seq_lens for name, kind in zip(("cvae", "G", "D"), ARCHITECTURES, strict=True)
    ]  # fmt: skip
    for file, kind, seq_len, prior in files:
        network = NETWORKS[kind, ARCHITECTURES[kind][architecture][0]]
        given = {**sizes, "seq_len": seq_len, "prior": prior}
        model = network(**{name: given[name] for name in given.keys() & signature(network).parameters})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_((0.1 if architecture == LARGE else 0.4) * torch.randn_like(parameter))
            if output := getattr(model, "roll", getattr(model, "frame", None)):
                output.weight.mul_(3)
                output.bias.fill_(-2.5)
            elif kind == "cvae":
                likely = {"wait_head": slice(2, 10), "pitch_head": slice(60, 73), "duration_head": slice(10)}
                for head, places in likely.items():
                    getattr(model.decoder, head).choices.bias.fill_(-8)[places] = 0
        own = {"seq_len": seq_len, "epoch": 1, "chosen_by": "loss", "metrics": {}}
        save_weights(model, folder / f"{file}.pth", **own, **facts)
