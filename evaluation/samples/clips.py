"""Clips to compare: windows of a split and what a generator makes of its prior, cleaned alike."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.device import DEVICES, prepare_process, select_device
from common.errors import UserError
from common.options import CheckedOptions, option
from common.randomness import rng_at
from common.splits import SPLITS
from data.pianoroll import drop_short_notes
from data.store import WINDOW_LENGTHS, RollStore
from data.windows import WindowSource
from evaluation.samples.sampling import Performance, PlayingOptions, play_latents, sample_noise, sample_prior
from models import CVAE, Generator
from models.playing import Playing
from models.prior import STANDARD_NORMAL
from models.trained import Trained, load
from models.weight_files import hybrid_file, hybrid_path

SOURCES = (Generator.kind, CVAE.kind)
NORMAL, PRIOR, POSTERIOR = LATENTS = ("normal", "prior", "posterior")
_REMEDY = "train it with train_hybrid.py, or name weights with --checkpoint"
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
class ClipOptions(RealClipOptions, PlayingOptions):
    """Options that the evaluations of generated music share."""

    checkpoints: tuple[Path, ...] = option(
        (Path("checkpoints"),), "folder, or folders with commas, with hybrid_{G,cvae}_best_T{T}.pth"
    )
    checkpoint: Path | None = option(None, "other weights of a generator or a CVAE; their T counts, not --seq-len")
    allow_other_songs: bool = option(False, "take weights that were trained on other songs than the store's")
    seq_lens: tuple[int, ...] = option(
        WINDOW_LENGTHS, "frames in a clip; those without weights are left out",
        choices=WINDOW_LENGTHS, flag="--seq-len",
    )  # fmt: skip
    sources: tuple[str, ...] = option((Generator.kind,), "what makes clips of latents", choices=SOURCES)
    latents: tuple[str, ...] = option(
        (NORMAL,), "where latents come from: N(0, I), the prior of the genre, or the encoder of training windows",
        choices=LATENTS,
    )  # fmt: skip
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
        order_at = rng_at("real clips", self.seed, self.windows.seq_len, genre_id)
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
    """Real and generated clips of one T. `facts` go into every row of a result.

    `trained` makes rolls of latents; `latents` is one of `LATENTS`; `encoder` is asked for those of training windows.
    """

    trained: Trained
    encoder: Trained | None
    latents: str
    performance: Performance
    facts: dict[str, Any]

    @property
    def genres(self) -> list[str]:
        return self.trained.genres

    @property
    def seq_len(self) -> int:
        return self.windows.seq_len

    @property
    def title(self) -> str:
        """What tells this source from others."""
        return f"T={self.seq_len} {self.facts['origin']}"

    def generated(self, genre_id: int, first: int, count: int, *, seed: int | None = None) -> np.ndarray:
        """Generated clips `first`, `first` + 1, ... of a genre, bool (count, 128, T).

        A clip depends on its genre and number and the seed (by default that of the source) alone.
        """
        model, seed, genre_ids = self.trained.model, self.seed if seed is None else seed, [genre_id] * count
        number = genre_id * _FIRST_OF_GENRE + first
        z = sample_noise(number, count, model.noise_size(self.seq_len), seed)
        if self.latents == PRIOR:
            z = sample_prior(model, z, genre_ids)
        elif self.latents == POSTERIOR:
            z = self._of_training_windows(genre_id, first, z)
        chances = [("notes", seed, number + row) for row in range(count)]
        rolls = play_latents(model, z, genre_ids, self.seq_len, self.performance, chances)
        return drop_short_notes(rolls.numpy(), self.min_note_frames)

    @cached_property
    def _training(self) -> RealClips:
        return self.of_split("train")

    @torch.no_grad()
    def _of_training_windows(self, genre_id: int, first: int, noise: Tensor) -> Tensor:
        """z ~ q(z | X, E, y) of training windows of a genre, with `noise` (n, size of z), in the order of the seed."""
        order = self._training.real_order(genre_id)
        if not len(noise) or not len(order):
            return noise
        batch = self._training.windows.batch(order[(first + torch.arange(len(noise))) % len(order)])
        # On the CPU: clips are the same on every machine as far as float32 is.
        encoder = copy.deepcopy(self.encoder.model).cpu()
        return encoder.encode(*batch).sample(noise)


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
    checked = {"store": store, "allow_other_songs": options.allow_other_songs}
    if options.checkpoint:
        players = [load(options.checkpoint, SOURCES, _REMEDY, **checked)]
    else:
        wanted = [(seq_len, source) for seq_len in options.seq_lens for source in options.sources]
        players = [
            load(path, SOURCES, _REMEDY, seq_len=seq_len, **checked)
            for folder in options.checkpoints for seq_len, source in wanted
            if (path := hybrid_path(folder, source, seq_len)).exists()
        ]  # fmt: skip
        if not players:
            folders, what = ", ".join(map(str, options.checkpoints)), " or ".join(options.sources)
            files = ", ".join(hybrid_file(source, seq_len) for seq_len, source in wanted)
            raise UserError(f"{folders}: no {what} there ({files}); {_REMEDY}")
    return [
        _open_source(options, store, player, latents)
        for player in players
        for latents in _different(options.latents, player.model)
    ]


def _different(latents: tuple[str, ...], model: nn.Module) -> list[str]:
    """Those of `latents` that differ: a prior that is N(0, I) gives no other ones."""
    same = PRIOR if model.config["prior"] == STANDARD_NORMAL else None
    return list(dict.fromkeys(NORMAL if each == same else each for each in latents))


def _open_source(options: ClipOptions, store: RollStore, trained: Trained, latents: str) -> ClipSource:
    real = open_real_clips(options, trained.seq_len, store)
    encoder = trained
    if latents == POSTERIOR and trained.model.kind != CVAE.kind:
        path, allow = hybrid_path(trained.path.parent, CVAE.kind, trained.seq_len), options.allow_other_songs
        encoder = load(path, CVAE.kind, _REMEDY, seq_len=trained.seq_len, store=store, allow_other_songs=allow)
    if not options.exact:
        trained.model.to(select_device(options.device))
    facts = {
        "T": trained.seq_len,
        "origin": f"{trained.model.kind} ({trained.model.network}), {latents}",
        "latents": latents,
        "split": options.split,
        "seed": options.seed,
        "threshold": options.threshold,
        "min_note_frames": options.min_note_frames,
        "exact": options.exact,
        **playing_facts(trained.model, options.playing),
        **facts_of(trained, store, options.checkpoints),
    }
    performance = Performance(options.playing, options.exact)
    return ClipSource(real.windows, real.seed, real.min_note_frames, trained, encoder, latents, performance, facts)


def playing_facts(model: nn.Module, playing: Playing) -> dict[str, Any]:
    """What a row has to say of how a decoder played, as far as it concerns it."""
    names = "feedback", "temperature", "nucleus"
    return {name: getattr(playing, name) if name in model.plays_by else None for name in names}


def facts_of(trained: Trained, store: RollStore, folders: Sequence[Path]) -> dict[str, Any]:
    """What a row has to say of the weights and the music that it is about; weights below the first of `folders`."""
    below = trained.path.is_relative_to(folders[0])
    return {
        "checkpoint": trained.path.relative_to(folders[0]).as_posix() if below else trained.path.name,
        "checkpoint_sha256": trained.sha256,
        "trained_on": trained.trained_on,
        "labels": trained.labels,
        "condition": trained.condition,
        **store.label_facts(),
        "store_content": store.content_hash,
    }
