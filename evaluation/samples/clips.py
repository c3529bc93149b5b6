"""Clips to compare: windows of a split and what a generator makes of z ~ N(0, I), cleaned alike."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from common.options import CheckedOptions, option
from common.randomness import generator_at
from data.labels import SPLITS
from data.pianoroll import drop_short_notes
from data.store import WINDOW_LENGTHS, RollStore
from data.windows import WindowSource
from evaluation.samples.sampling import rolls_from_latents, sample_latents
from models import Generator
from models.cvae import THRESHOLD
from models.trained import Trained, load_trained


@dataclass(frozen=True)
class RealClipOptions(CheckedOptions):
    """Options of whatever takes real clips."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    metrics: Path = option(Path("metrics"), "folder for tables and figures")
    split: str = option("test", "which songs the real clips come from", choices=SPLITS)
    seed: int = option(0, "decides the choice of real clips, and the latents of generated ones", minimum=0)
    min_note_frames: int = option(2, "drop notes of fewer frames, real and generated; 1 keeps all", minimum=1)


@dataclass(frozen=True)
class ClipOptions(RealClipOptions):
    """Options that the evaluations of generated music share."""

    checkpoints: Path = option(Path("checkpoints"), "folder with hybrid_G_best_T{T}.pth")
    checkpoint: Path | None = option(None, "other weights of a generator; their T counts, not --seq-lens")
    seq_lens: tuple[int, ...] = option(
        WINDOW_LENGTHS, "frames in a clip; those without weights are left out", choices=WINDOW_LENGTHS
    )
    threshold: float = option(THRESHOLD, "probability above which a cell sounds", minimum=0, maximum=1)


@dataclass(frozen=True)
class RealClips:
    """Windows of a split as clips."""

    windows: WindowSource
    seed: int
    min_note_frames: int

    def real_order(self, genre_id: int) -> Tensor:
        """All windows of a genre in the split, int64 (n,), in an order that the seed decides."""
        index = (self.windows.genre == genre_id).nonzero()[:, 0]
        order_at = generator_at("real clips", self.seed, self.windows.seq_len, genre_id)
        return index[torch.randperm(len(index), generator=order_at)]

    def real(self, index: Tensor) -> np.ndarray:
        """Real clips at `index`, int64 (n,), as bool (n, 128, T)."""
        return drop_short_notes(self.windows.rolls(index).numpy(), self.min_note_frames)


@dataclass(frozen=True)
class ClipSource(RealClips):
    """Real and generated clips of one T. `facts` go into every row of a result."""

    trained: Trained
    threshold: float
    facts: dict[str, Any]

    @property
    def genres(self) -> list[str]:
        return self.trained.genres

    @property
    def seq_len(self) -> int:
        return self.trained.seq_len

    def generated(self, genre_id: int, first: int, count: int, *, seed: int | None = None) -> np.ndarray:
        """Generated clips `first`, `first` + 1, ... of a genre, bool (count, 128, T).

        A clip depends on its number and the seed (by default that of the source) alone.
        """
        generator = self.trained.model
        z = sample_latents(first, count, generator.latent, self.seed if seed is None else seed)
        rolls = rolls_from_latents(generator, z, [genre_id] * count, threshold=self.threshold)
        return drop_short_notes(rolls.numpy(), self.min_note_frames)


def open_real_clips(options: RealClipOptions, seq_len: int, split: str | None = None) -> RealClips:
    """Clips of `seq_len` frames of `split`, by default that of the options. Raises `UserError` where there are none."""
    split = split or options.split
    windows = WindowSource(RollStore.open(options.store), split, seq_len)
    if not len(windows):
        raise UserError(f"{options.store}: no {split} window of {seq_len} frames")
    return RealClips(windows, options.seed, options.min_note_frames)


def open_clip_sources(options: ClipOptions) -> list[ClipSource]:
    """One source for each T of the options that has weights, on the CPU.

    Raises `UserError` where no T has weights or the split has no window of a T, `CheckpointError` where weights cannot
    be used or know other genres than the store.
    """
    options.metrics.mkdir(parents=True, exist_ok=True)
    store = RollStore.open(options.store)
    remedy = "train it with train_hybrid.py, or name weights with --checkpoint"
    paths = [options.checkpoints / f"hybrid_G_best_T{seq_len}.pth" for seq_len in options.seq_lens]
    present = [options.checkpoint] if options.checkpoint else [path for path in paths if path.exists()]
    if not present:
        names = ", ".join(path.name for path in paths)
        raise UserError(f"{options.checkpoints}: no generator there ({names}); {remedy}")
    return [
        _open_source(
            options, store, load_trained(path, Generator.kind, remedy, store.genres, store.frames_per_second)
        )
        for path in present
    ]


def _open_source(options: ClipOptions, store: RollStore, trained: Trained) -> ClipSource:
    real = open_real_clips(options, trained.seq_len)
    facts = {
        "T": trained.seq_len,
        "split": options.split,
        "seed": options.seed,
        "threshold": options.threshold,
        "min_note_frames": options.min_note_frames,
        "checkpoint": trained.path.name,
        "checkpoint_sha256": trained.sha256,
        "labels": trained.labels,
        "store_fingerprint": store.fingerprint,
    }
    return ClipSource(real.windows, real.seed, real.min_note_frames, trained, options.threshold, facts)
