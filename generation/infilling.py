"""Redraw seconds of a piece so that both sides fit, and vary a piece gradually.

The decoder of preset large plays forwards in time. Seconds between two parts of a piece are drawn by importance
resampling: candidates continue the part before, and one of them is chosen with a probability proportional to
p(what follows | candidate). With many candidates it is a draw from p(seconds | both sides).
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.randomness import rng_at
from evaluation.samples.sampling import Performance, play_through, sample_noise, sample_prior
from models.base import FRAMES_A_SECOND
from models.prior import gaussian_log_density

CONTEXT = 4  # seconds to either side that a redrawn part depends on: half of a window that the decoder was trained on
_PATHS = 32  # latents of a part, of which a candidate gets those that lead to what follows


@dataclass(frozen=True)
class Redrawing:
    """How parts of pieces are redrawn: `draws` candidates for each part of each piece.

    `model`: a CVAE of notes, on the CPU in float64 if `performance` is exact. A piece depends on its number, `seed` and
    `draws` only, not on the other pieces.
    """

    model: nn.Module
    genre_id: int
    draws: int
    performance: Performance
    seed: int

    def encode(self, rolls: Tensor) -> Tensor:
        """Posterior means (n, seconds * latent), float64, of rolls bool (n, 128, whole seconds); any length, also 0."""
        if not rolls.shape[2]:
            return torch.zeros(len(rolls), 0, dtype=torch.float64)
        like = next(self.model.parameters())
        genre = torch.full((len(rolls),), self.genre_id, device=like.device)
        rolls = rolls.to(like)
        return self.model.encode(rolls, rolls.new_zeros(0, 3), genre[:0], genre).mean.double().cpu()

    @torch.no_grad()
    def redraw(self, pieces: Tensor, span: tuple[int, int], z: Tensor, part: int = 0) -> Tensor:
        """Pieces, bool (n, 128, T), with the seconds of `span` (first, end) redrawn, the other frames as they were.

        `z` (n, draws, T / 16 * latent): the latents of the whole piece for each candidate. `part`: number of the span,
        which has random numbers of its own.
        """
        (first, end), n_seconds = span, pieces.shape[2] // FRAMES_A_SECOND
        left, right = max(0, first - CONTEXT), min(n_seconds, end + CONTEXT)
        before, after = frames(pieces, left, first), frames(pieces, end, right)
        near = z.unflatten(2, (n_seconds, -1))[:, :, left:right].flatten(2).flatten(0, 1)
        genre_ids = [self.genre_id] * len(near)
        chances = [("infill", self.seed, n, k, part) for n in range(len(pieces)) for k in range(self.draws)]
        begun = before.repeat_interleave(self.draws, dim=0)
        n_frames = (end - left) * FRAMES_A_SECOND
        drawn = play_through(self.model, near, genre_ids, n_frames, self.performance, chances, begun)
        weights = self._fit(torch.cat([drawn, after.repeat_interleave(self.draws, 0)], 2), near, end - left)
        chosen = self._choose(weights.view(len(pieces), -1), "infill", part)
        parts = frames(drawn, first - left, end - left).unflatten(0, (len(pieces), -1))[range(len(pieces)), chosen]
        return torch.cat([frames(pieces, 0, first), parts, frames(pieces, end, n_seconds)], dim=2)

    @torch.no_grad()
    def latents_between(self, pieces: Tensor, span: tuple[int, int]) -> Tensor:
        """Latents (n, draws, T / 16 * latent) of whole pieces, of the posterior but in `span`: there of the prior.

        Each is one of `_PATHS` draws of the prior that continue the latents before, chosen with a probability
        proportional to the prior's density of the latents after.
        """
        (first, end), n = span, len(pieces) * self.draws
        n_seconds, paths = pieces.shape[2] // FRAMES_A_SECOND, n * _PATHS
        before, after = (self.encode(frames(pieces, *place)) for place in ((0, first), (end, n_seconds)))
        before, after = (each.repeat_interleave(self.draws * _PATHS, dim=0) for each in (before, after))
        genre_ids = torch.full((paths,), self.genre_id)
        noise = sample_noise(0, paths, self.model.noise_size((end - first) * FRAMES_A_SECOND), self.seed)
        between = sample_prior(self.model, noise, genre_ids, before if first else None)
        whole, prior = torch.cat([before, between, after], dim=1), copy.deepcopy(self.model.prior).cpu().double()
        density = gaussian_log_density(whole, *prior.moments_given(whole, genre_ids))
        density = density[:, whole.shape[1] - after.shape[1] :].sum(1).view(n, _PATHS)
        chosen = self._choose(density, "latents")
        return whole.view(n, _PATHS, -1)[range(n), chosen].unflatten(0, (len(pieces), self.draws))

    def _fit(self, rolls: Tensor, z: Tensor, n_seconds: int) -> Tensor:
        """log p of what follows `n_seconds` of rolls (n, 128, T), given those, in nats, float64 (n,)."""
        like = next(self.model.parameters())
        genre = torch.full((len(rolls),), self.genre_id, device=like.device)
        first, known = max(0, n_seconds - CONTEXT), n_seconds * FRAMES_A_SECOND
        if known == rolls.shape[2]:
            return torch.zeros(len(rolls), dtype=torch.float64)
        fit = self.model.continuation_nll(z.to(like), genre, rolls.to(like), first, n_seconds)
        return -fit.double().cpu()

    def _choose(self, log_weights: Tensor, name: str, part: int = 0) -> Tensor:
        """A column for each row, int64 (n,), with a probability proportional to its weight."""
        uniform = torch.stack([
            torch.rand((), generator=rng_at(name, self.seed, row, part), dtype=torch.float64)
            for row in range(len(log_weights))
        ])  # fmt: skip
        reached = log_weights.softmax(1).cumsum(1)
        return (reached < uniform[:, None] * reached[:, -1:]).sum(1).clamp_max(log_weights.shape[1] - 1)


def frames(rolls: Tensor, first: int, end: int) -> Tensor:
    """The seconds from `first` to `end` of rolls (n, 128, T)."""
    return rolls[:, :, first * FRAMES_A_SECOND : end * FRAMES_A_SECOND]


@torch.no_grad()
def vary(redrawing: Redrawing, song: Tensor, amount: float, count: int) -> Tensor:
    """Variations of a song, bool (128, whole seconds): bool (count, 128, T); the song itself at an amount of 0.

    A share `amount` of the seconds, at least one, is redrawn, those of a smaller amount among them. Their latents are
    those of the song with its noise e, to which the prior maps it, turned to fresh noise by the angle `amount` *
    pi / 2. So all amounts are draws of the prior, and 1 is a new one.
    """
    n_seconds, model = song.shape[1] // FRAMES_A_SECOND, redrawing.model
    own = redrawing.encode(song[None])
    prior, genre_ids = copy.deepcopy(model.prior).cpu().double(), torch.full((count,), redrawing.genre_id)
    mean, log_variance = prior.moments_given(own, genre_ids[:1])
    angle = amount * math.pi / 2
    fresh = sample_noise(0, count, own.shape[1], redrawing.seed)
    noise = math.cos(angle) * (own - mean) * torch.exp(-0.5 * log_variance) + math.sin(angle) * fresh
    new = sample_prior(model, noise, genre_ids)
    order = torch.randperm(n_seconds, generator=rng_at("vary", redrawing.seed))
    chosen = order[: max(amount > 0, round(amount * n_seconds))].sort().values
    is_new = torch.zeros(n_seconds, dtype=torch.bool).index_fill(0, chosen, True)
    z = torch.where(is_new.repeat_interleave(model.latent), new, own)[:, None].expand(-1, redrawing.draws, -1)
    pieces = song.expand(count, -1, -1)
    for part, span in enumerate(runs(chosen.tolist())):
        pieces = redrawing.redraw(pieces, span, z, part)
    return pieces


def runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and end of each run of consecutive numbers in an ascending list."""
    first = None
    for place, number in enumerate(numbers):
        first = number if first is None else first
        if place + 1 == len(numbers) or numbers[place + 1] != number + 1:
            yield first, number + 1
            first = None
