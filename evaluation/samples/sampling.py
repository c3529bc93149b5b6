"""Noise, latents, and the piano rolls that models make of them. Sample k of a seed is the same wherever it is made."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.options import CheckedOptions, option
from common.randomness import rng_at
from models import Generator
from models.base import PITCHES
from models.playing import FEEDBACK, THRESHOLD, THRESHOLDED, Playing


def sample_noise(first: int, count: int, latent: int, seed: int, *, window: int = 0) -> Tensor:
    """Standard normal noise of samples `first`, `first` + 1, ..., float64 (count, latent): a prior makes z of it.

    Each row depends on its sample's number, `seed` and `window` alone. In float64, because the random numbers of
    float32 come from vector instructions that not all processors have.
    """
    rows = torch.empty(count, latent, dtype=torch.float64)
    for row, sample in zip(rows, range(first, first + count), strict=True):
        row.normal_(generator=rng_at("latent", seed, sample, window))
    return rows


def walk_noise(first: int, count: int, windows: int, latent: int, seed: int, correlation: float) -> Tensor:
    """A walk of each sample, float64 (count, windows, latent).

    e_0 is `sample_noise`, and e_(w+1) = rho e_w + sqrt(1 - rho^2) e with fresh e ~ N(0, I), rho being `correlation`
    in [0, 1]. So every e_w is distributed as N(0, I), like the noise of a single window, which points on a line
    between two are not; neighbours are alike (rho = 0: independent, 1: all the same); and a longer walk begins with
    the shorter one.
    """
    steps = [sample_noise(first, count, latent, seed)]
    for window in range(1, windows):
        fresh = sample_noise(first, count, latent, seed, window=window)
        steps.append(correlation * steps[-1] + (1 - correlation**2) ** 0.5 * fresh)
    return torch.stack(steps, dim=1)


def interpolate(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Spherical interpolation between two latents (latent,), float64 (steps, latent), both ends included.

    Not linear: N(0, I) in 32 dimensions lies near a sphere, and the middle of a straight line is so far inside it
    (by a factor 1.4 for unrelated ends) that no sample comes from there. Ends on one line through the origin
    have no arc between them and are joined by that line. Raises ValueError for fewer than two steps.
    """
    if steps < 2:
        raise ValueError(f"an interpolation has at least the 2 steps at its ends, but {steps} were asked for")
    start, end = start.double(), end.double()
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1, 1)
    angle = torch.acos(cosine)
    if torch.sin(angle) < 1e-6:
        return torch.lerp(start, end, t)
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)


@dataclass(frozen=True)
class PlayingOptions(CheckedOptions):
    """What generators and decoders leave open of playing."""

    threshold: float = option(THRESHOLD, "probability above which a cell sounds", minimum=0, maximum=1)
    feedback: str = option(
        THRESHOLDED, "what a frame decoder hears of its last frame when it runs on its own", choices=FEEDBACK
    )
    temperature: float = option(
        1.0, "of a note decoder: 1 draws from the model, less keeps to what is likely, 0 takes the likeliest",
        minimum=0, maximum=100,
    )  # fmt: skip
    nucleus: float = option(
        1.0, "of a note decoder: share of the probability, likeliest first, that is drawn from", above=0, maximum=1
    )

    @property
    def playing(self) -> Playing:
        return Playing(self.threshold, self.feedback, self.temperature, self.nucleus)


@dataclass(frozen=True)
class Performance:
    """How latents become rolls: what `playing` leaves open, and with `exact` in float64 on the CPU.

    So that rounding does not decide a note: with the batch size the order of sums changes, and in float32 cells near
    the threshold flip with it, or a draw falls to the neighbour. In float64 a probability would have to lie within
    1e-15 or so of its limit. Otherwise by the model as it is, where it is, `batch_size` windows at a time.
    """

    playing: Playing = Playing()
    exact: bool = True
    batch_size: int = 64


def _prepare(
    model: nn.Module, z: Tensor, genre_ids: Sequence[int] | Tensor, performance: Performance
) -> tuple[nn.Module, Tensor, Tensor]:
    """The model that plays, latents in its dtype and genres int64 (n,), all in one place."""
    player = copy.deepcopy(model).cpu().double().eval() if performance.exact else model
    like = next(player.parameters())
    return player, z.to(like), torch.as_tensor(genre_ids, dtype=torch.int64, device=like.device)


@torch.no_grad()
def sample_prior(
    model: nn.Module, noise: Tensor, genre_ids: Sequence[int] | Tensor, before: Tensor | None = None
) -> Tensor:
    """z of the model's own prior, float64 (n, size of z) on the CPU, from noise of the same shape.

    In float64 like the noise: the same on every machine. `before`: latents that it goes on from, where it can.
    """
    prior, genre = copy.deepcopy(model.prior).cpu().double(), torch.as_tensor(genre_ids, dtype=torch.int64)
    return prior.sample(noise.double(), genre, None if before is None else before.double())


@torch.no_grad()
def play_latents(
    model: nn.Module,
    z: Tensor,
    genre_ids: Sequence[int] | Tensor,
    seq_len: int,
    performance: Performance = Performance(),
    chances: Sequence[tuple[int | str, ...]] | None = None,
) -> Tensor:
    """Piano rolls bool (n, 128, seq_len), on the CPU, that a generator or a CVAE's decoder makes of latents (n, ...).

    `chances`: for each window the position whose random numbers decide what the decoder draws; None where it draws
    nothing, or may draw anything. Sample k is the same in whatever company it is made.
    """
    player, z, genre = _prepare(model, z, genre_ids, performance)
    rolls = [torch.empty(0, PITCHES, seq_len, dtype=torch.bool)]
    for chosen in torch.arange(len(z)).split(performance.batch_size) if len(z) else ():
        positions = None if chances is None else [chances[row] for row in chosen.tolist()]
        uniform = draw_chances(player, seq_len, performance.playing, positions, z.device)
        decoded = player.decode_free(z[chosen], genre[chosen], seq_len, uniform, performance.playing)
        rolls.append(decoded.roll.cpu())
    return torch.cat(rolls)


@torch.no_grad()
def play_through(
    model: nn.Module,
    z: Tensor,
    genre_ids: Sequence[int] | Tensor,
    n_frames: int,
    performance: Performance,
    chances: Sequence[tuple[int | str, ...]],
    begun: Tensor | None = None,
) -> Tensor:
    """Pieces of any length, bool (n, 128, n_frames) on the CPU, of a model whose `any_length` holds.

    `z` (n, size for n_frames) tells of the whole piece. A note decoder goes on from `begun`, bool (n, 128, known), if
    given; a generator plays all of it at once.
    """
    if model.kind == Generator.kind:
        return play_latents(model, z, genre_ids, n_frames, performance)
    player, z, genre = _prepare(model, z, genre_ids, performance)
    begun = torch.zeros(len(z), PITCHES, 0, dtype=torch.bool) if begun is None else begun
    rolls = []
    for chosen in torch.arange(len(z)).split(performance.batch_size):
        positions = [chances[row] for row in chosen.tolist()]

        def numbers(part: int, positions: Sequence[tuple[int | str, ...]] = positions) -> Tensor:
            of_part = [(*position, part) for position in positions]
            return draw_chances(player, n_frames, performance.playing, of_part, z.device)

        here = z[chosen], genre[chosen], begun[chosen].to(z.device)
        rolls.append(player.play_on(*here, n_frames, numbers, performance.playing).cpu())
    return torch.cat(rolls)


def draw_chances(
    decoder: nn.Module,
    seq_len: int,
    playing: Playing,
    positions: Sequence[tuple[int | str, ...]] | None,
    device: torch.device,
) -> Tensor | None:
    """The uniform numbers in [0, 1) that a decoder draws windows with, float64, each following from its position.

    None where there are no positions, or the decoder draws nothing.
    """
    shape = decoder.chance_shape(seq_len, playing)
    if shape is None or positions is None:
        return None
    each = [torch.rand(shape, generator=rng_at(*position), dtype=torch.float64) for position in positions]
    return torch.stack(each).to(device)
