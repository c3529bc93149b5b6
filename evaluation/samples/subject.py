"""What an evaluation is made on: a model, windows of a split, and the facts that a result row has to carry."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.device import DEVICES, select_device
from common.errors import UserError
from common.options import CheckedOptions, option
from common.randomness import generator_at
from data.labels import SPLITS
from data.store import WINDOW_LENGTHS, RollStore
from data.windows import WindowSource
from models import CVAE
from models.trained import load_trained


@dataclass(frozen=True)
class EvaluationOptions(CheckedOptions):
    """Options that the evaluations of the CVAE share."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    seq_len: int = option(128, "frames in a window", choices=WINDOW_LENGTHS)
    checkpoint: Path | None = option(None, "weights of a CVAE (default: hybrid_cvae_best_T{T}.pth in --checkpoints)")
    checkpoints: Path = option(Path("checkpoints"), "folder of the trained weights")
    metrics: Path = option(Path("metrics"), "folder for the tables")
    split: str = option("test", "which songs to measure on", choices=SPLITS)
    device: str = option("auto", "where to compute; auto is cuda, else mps, else cpu", choices=DEVICES)
    batch_size: int = option(512, "windows at a time; the results do not depend on it", minimum=1)
    seed: int = option(0, "decides the noise of z", minimum=0)


@dataclass(frozen=True)
class Subject:
    """A CVAE and the windows it is measured on; `facts` go into every row of the result."""

    cvae: CVAE
    windows: WindowSource
    facts: dict[str, Any]

    def noise(self, seed: int) -> torch.Tensor:
        """Standard normal noise for z of every window, (n_windows, latent): the same whatever the batch size."""
        return torch.randn(len(self.windows), self.cvae.latent, generator=generator_at("evaluation", seed))


def open_subject(options: EvaluationOptions) -> Subject:
    """Load the CVAE and open the windows.

    Raises `CheckpointError` where there are no weights of a CVAE for the store's genres, `UserError` where the split
    has no window.
    """
    options.metrics.mkdir(parents=True, exist_ok=True)
    path = options.checkpoint or options.checkpoints / f"hybrid_cvae_best_T{options.seq_len}.pth"
    store = RollStore.open(options.store)
    remedy = "run train_hybrid.py first, take another --seq-len, or name --checkpoint"
    trained = load_trained(path, CVAE.kind, remedy, store.genres, store.frames_per_second)
    device = select_device(options.device)
    windows = WindowSource(store, options.split, options.seq_len, device)
    if not len(windows):
        raise UserError(f"{options.store}: no {options.split} window of {options.seq_len} frames")
    facts = {
        "T": options.seq_len,
        "split": options.split,
        "seed": options.seed,
        "checkpoint": path.name,
        "checkpoint_sha256": trained.sha256,
        "labels": trained.labels,
        "store_fingerprint": store.fingerprint,
    }
    return Subject(trained.model.to(device), windows, facts)
