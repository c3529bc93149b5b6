"""Clips to compare: windows of a split and what a generator makes of its prior, cleaned alike."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.device import DEVICES, prepare_process, select_device
from common.errors import UserError
from common.options import CheckedOptions, option
from common.randomness import generator_at
from data.labels import SPLITS
from data.pianoroll import drop_short_notes
from data.store import WINDOW_LENGTHS, RollStore
from data.windows import WindowSource
from evaluation.samples.sampling import generate_rolls, sample_noise
from models import Generator
from models.cvae import THRESHOLD
from models.trained import Trained, load_for
from models.weight_files import hybrid_file

# Each genre has latents of its own: clips of one latent are alike in every genre, and would count once for each in all.
_FIRST_OF_GENRE = 1_000_000


@dataclass(frozen=True)
class RealClipOptions(CheckedOptions):
    """Options of whatever takes real clips."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    metrics: Path = option(Path("metrics"), "folder for tables and figures")
    split: str = option("test", "which songs the real clips come from", choices=SPLITS)
    seed: int = option(0, "decides the choice of real clips, and the latents of generated ones", minimum=0)
    min_note_frames: int = option(2, "drop notes of fewer frames, real and generated; 1 keeps all", minimum=1)
    device: str = option("auto", "where networks compute; auto is cuda, else mps, else cpu", choices=DEVICES)


@dataclass(frozen=True)
class ClipOptions(RealClipOptions):
    """Options that the evaluations of generated music share."""

    checkpoints: Path = option(Path("checkpoints"), "folder with hybrid_G_best_T{T}.pth")
    checkpoint: Path | None = option(None, "other weights of a generator; their T counts, not --seq-len")
    allow_other_songs: bool = option(False, "take weights that were trained on other songs than the store's")
    seq_lens: tuple[int, ...] = option(
        WINDOW_LENGTHS, "frames in a clip; those without weights are left out",
        choices=WINDOW_LENGTHS, flag="--seq-len",
    )  # fmt: skip
    threshold: float = option(THRESHOLD, "probability above which a cell sounds", minimum=0, maximum=1)
    exact: bool = option(
        True, "generate in float64 on the CPU: the same clips on every machine; --no-exact generates on the device"
    )


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

    def of_split(self, split: str) -> "RealClips":
        """The clips of another split of the same store, perhaps none."""
        windows = WindowSource(self.windows.store, split, self.windows.seq_len)
        return RealClips(windows, self.seed, self.min_note_frames)


@dataclass(frozen=True)
class ClipSource(RealClips):
    """Real and generated clips of one T. `facts` go into every row of a result."""

    trained: Trained
    threshold: float
    exact: bool
    facts: dict[str, Any]

    @property
    def genres(self) -> list[str]:
        return self.trained.genres

    @property
    def seq_len(self) -> int:
        return self.trained.seq_len

    def generated(self, genre_id: int, first: int, count: int, *, seed: int | None = None) -> np.ndarray:
        """Generated clips `first`, `first` + 1, ... of a genre, bool (count, 128, T).

        A clip depends on its genre and number and the seed (by default that of the source) alone.
        """
        generator, seed = self.trained.model, self.seed if seed is None else seed
        noise = sample_noise(genre_id * _FIRST_OF_GENRE + first, count, generator.latent, seed)
        rolls = generate_rolls(generator, noise, [genre_id] * count, threshold=self.threshold, exact=self.exact)
        return drop_short_notes(rolls.numpy(), self.min_note_frames)


def open_real_clips(options: RealClipOptions, seq_len: int, store: RollStore | None = None) -> RealClips:
    """Clips of `seq_len` frames of the options' split and store. Raises `UserError` where there are none."""
    store = store or RollStore.open(options.store)
    windows = WindowSource(store, options.split, seq_len)
    if not len(windows):
        raise UserError(f"{options.store}: no {options.split} window of {seq_len} frames")
    return RealClips(windows, options.seed, options.min_note_frames)


def open_clip_sources(options: ClipOptions) -> list[ClipSource]:
    """One source for each T of the options that has weights.

    Raises `UserError` where no T has weights or the split has no window of a T, `CheckpointError` where weights cannot
    be used, know other genres than the store or were trained on other songs.
    """
    store = RollStore.open(options.store)
    prepare_process(select_device(options.device))
    remedy = "train it with train_hybrid.py, or name weights with --checkpoint"
    paths = [options.checkpoints / hybrid_file("G", seq_len) for seq_len in options.seq_lens]
    present = [options.checkpoint] if options.checkpoint else [path for path in paths if path.exists()]
    if not present:
        names = ", ".join(path.name for path in paths)
        raise UserError(f"{options.checkpoints}: no generator there ({names}); {remedy}")
    allow = options.allow_other_songs
    return [
        _open_source(options, store, load_for(store, path, Generator.kind, remedy, allow_other_songs=allow))
        for path in present
    ]


def _open_source(options: ClipOptions, store: RollStore, trained: Trained) -> ClipSource:
    real = open_real_clips(options, trained.seq_len, store)
    if not options.exact:
        trained.model.to(select_device(options.device))
    facts = {
        "T": trained.seq_len,
        "split": options.split,
        "seed": options.seed,
        "threshold": options.threshold,
        "min_note_frames": options.min_note_frames,
        "exact": options.exact,
        **facts_of(trained, store),
    }
    return ClipSource(real.windows, real.seed, real.min_note_frames, trained, options.threshold, options.exact, facts)


def facts_of(trained: Trained, store: RollStore) -> dict[str, str]:
    """What a row has to say of the weights and the music that it is about."""
    return {
        "checkpoint": trained.path.name,
        "checkpoint_sha256": trained.sha256,
        "trained_on": trained.trained_on,
        "labels": trained.labels,
        "condition": trained.condition,
        "store_content": store.content_hash,
    }
