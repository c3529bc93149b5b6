"""Clips: real ones of a split, and those that trained weights generate, for generate.py and for every evaluation."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from common.device import select_device
from common.randomness import rng_at, seed_at
from data.pianoroll import drop_short_notes
from data.store import RollStore
from data.windows import WindowSource
from evaluation.options import CORRELATION, NORMAL, POSTERIOR, PRIOR, SOURCES, ClipOptions, RealClipOptions
from evaluation.samples.evaluated import (
    REMEDY,
    Evaluated,
    evaluation_facts,
    open_weights,
    open_windows,
)
from evaluation.samples.sampling import (
    Performance,
    most_typical,
    play_latents,
    play_through,
    sample_noise,
    sample_prior,
    walk_noise,
)
from models import CVAE
from models.names import STANDARD_NORMAL
from models.trained import Trained, load
from models.weight_files import hybrid_path

# In evaluations each genre has other latents: clips of one latent are alike in every genre, and would be counted twice.
_FIRST_OF_GENRE = 1_000_000


@dataclass(frozen=True)
class RealClips:
    """Windows of a split as clips."""

    windows: WindowSource
    seed: int
    min_note_frames: int

    def order(self, genre_id: int) -> Tensor:
        """All windows of a genre in the split, int64 (n,), in random order."""
        index = (self.windows.genre == genre_id).nonzero()[:, 0]
        rng = rng_at("real clips", self.seed, self.windows.seq_len, genre_id)
        return index[torch.randperm(len(index), generator=rng)]

    def clips(self, genre_id: int, first: int, count: int) -> np.ndarray:
        """Clips `first`, `first` + 1, ... of the random order, bool (at most count, 128, T)."""
        return self.rolls(self.order(genre_id)[first : first + count])

    def rolls(self, index: Tensor) -> np.ndarray:
        """The windows at `index`, int64 (n,), without short notes, bool (n, 128, T)."""
        return drop_short_notes(self.windows.rolls(index).numpy(), self.min_note_frames)

    def of_split(self, split: str) -> "RealClips":
        """The clips of another split of the same store; there may be none."""
        windows = WindowSource(self.windows.store, split, self.windows.seq_len)
        return RealClips(windows, self.seed, self.min_note_frames)


@dataclass(frozen=True)
class ClipSource(Evaluated):
    """Clips that `trained` plays from latents of one kind of `LATENTS`.

    `real`: the clips to compare them with, in an evaluation. `encoder`: the CVAE of `POSTERIOR` latents. `genre_draws`:
    z of the prior for each clip, of which `most_typical` chooses one.
    """

    latents: str
    performance: Performance
    seed: int
    min_note_frames: int
    real: RealClips | None = None
    encoder: Trained | None = None
    genre_draws: int = 1

    @property
    def title(self) -> str:
        return f"T={self.seq_len} {self.facts['origin']}"

    def clips(self, genre_id: int, first: int, count: int) -> np.ndarray:
        """Clips `first`, `first` + 1, ... of a genre, of T frames, bool (count, 128, T).

        A clip depends on its genre, its number and the seed only. Latents differ between genres.
        """
        number = genre_id * _FIRST_OF_GENRE + first
        z = self._latents(
            partial(sample_noise, number, count, self.trained.model.noise_size(self.seq_len)), genre_id, first
        )
        chances = [("notes", self.seed, number + row) for row in range(count)]
        rolls = play_latents(self.trained.model, z, [genre_id] * count, self.seq_len, self.performance, chances)
        return drop_short_notes(rolls.numpy(), self.min_note_frames)

    def pieces(self, genre_id: int, count: int, windows: int, correlation: float = CORRELATION) -> np.ndarray:
        """Pieces of several windows, bool (count, 128, windows * T). The noise is the same in every genre.

        A network for any length plays a piece as a whole. Otherwise each window has its own z, on a random walk
        (`walk_noise`), so that neighbouring windows are alike and each is still a sample of the model.
        """
        model = self.trained.model
        rho = 0.0 if model.any_length else correlation

        def noise_of(seed: int) -> Tensor:
            noise = walk_noise(0, count, windows, model.noise_size(self.seq_len), seed, rho)
            return noise.flatten(1) if model.any_length else noise.flatten(0, 1)

        z = self._latents(noise_of, genre_id)
        genre_ids, chances = [genre_id] * len(z), [("notes", self.seed, sample) for sample in range(len(z))]
        if model.any_length:
            rolls = play_through(model, z, genre_ids, windows * self.seq_len, self.performance, chances)
        else:
            rolls = play_latents(model, z, genre_ids, self.seq_len, self.performance, chances)
            rolls = rolls.unflatten(0, (count, windows)).movedim(1, 2).flatten(2)
        return drop_short_notes(rolls.numpy(), self.min_note_frames)

    @cached_property
    def training(self) -> RealClips:
        return self.real.of_split("train")

    @torch.no_grad()
    def _latents(self, noise_of: Callable[[int], Tensor], genre_id: int, first: int = 0) -> Tensor:
        """z (n, size of z) from the noise of a seed, of the same shape; `POSTERIOR`: of random training windows."""
        noise = noise_of(self.seed)
        if self.latents == PRIOR:
            others = [noise_of(seed_at("genre draw", self.seed, draw)) for draw in range(1, self.genre_draws)]
            draws = torch.stack([noise, *others])
            z = sample_prior(self.trained.model, draws.flatten(0, 1), [genre_id] * draws.shape[:2].numel())
            return most_typical(self.trained.model, z.view_as(draws), genre_id)
        order = self.training.order(genre_id) if self.latents == POSTERIOR else ()
        if not len(noise) or not len(order):
            return noise
        batch = self.training.windows.batch(order[(first + torch.arange(len(noise))) % len(order)])
        # On the CPU, in float32: hardly any difference between machines.
        return copy.deepcopy(self.encoder.model).cpu().encode(*batch).sample(noise)


Clips = RealClips | ClipSource


def sources_of_pieces(sources: Iterable[ClipSource]) -> list[ClipSource]:
    """Of each folder, network and kind of latents the source with the longest T.

    Without those of `POSTERIOR` latents, which are of single windows.
    """
    sources = sorted((source for source in sources if source.latents != POSTERIOR), key=attrgetter("seq_len"))
    return list({source.facts["origin"]: source for source in sources}.values())


def best_of_pieces(sources: Iterable[ClipSource]) -> ClipSource | None:
    """The source to play a piece: one for any length before window by window, then the CVAE, then the longest T."""

    def rank(source: ClipSource) -> tuple[bool, bool, int]:
        model = source.trained.model
        return model.any_length, model.kind == CVAE.kind, source.seq_len

    return max(sources_of_pieces(sources), key=rank, default=None)


def open_real_clips(options: RealClipOptions, seq_len: int, store: RollStore | None = None) -> RealClips:
    """Clips of `seq_len` frames of the options' split and store. Raises `UserError` if there are none."""
    windows = open_windows(options, store or RollStore.open(options.store), seq_len)
    return RealClips(windows, options.seed, options.min_note_frames)


def open_clip_sources(options: ClipOptions) -> list[ClipSource]:
    """A source for each of the weights of `open_weights` and each kind of latents.

    Raises `UserError` if there are no weights or no real clips, `CheckpointError` if weights do not fit the store.
    """
    store = RollStore.open(options.store)
    sources = []
    for name, trained in open_weights(options, store, options.sources, SOURCES):
        real = open_real_clips(options, trained.seq_len, store)
        if not options.exact:
            trained.model.to(select_device(options.device))
        # If the trained prior is N(0, I), prior and normal are the same.
        same = PRIOR if trained.model.config["prior"] == STANDARD_NORMAL else None
        for latents in dict.fromkeys(NORMAL if each == same else each for each in options.latents):
            encoder = trained
            if latents == POSTERIOR and trained.model.kind != CVAE.kind:
                encoder = load(
                    hybrid_path(trained.path.parent, CVAE.kind, trained.seq_len), CVAE.kind, REMEDY,
                    seq_len=trained.seq_len, store=store, allow_other_songs=options.allow_other_songs,
                )  # fmt: skip
            facts = {each: getattr(options, each) for each in ("threshold", "min_note_frames", "exact", "genre_draws")}
            facts |= {"latents": latents, **evaluation_facts(trained, store, options, f"{name}, {latents}")}
            how = Performance(options.playing, options.exact), options.seed, options.min_note_frames
            sources.append(ClipSource(trained, facts, latents, *how, real, encoder, options.genre_draws))
    return sources
