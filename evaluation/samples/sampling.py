"""Noise, latents, and the piano rolls that models play from them. Sample k of a seed is the same in any batch."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from common.randomness import rng_at
from models import Generator
from models.base import PITCHES
from models.playing import Playing

Position = tuple[int | str, ...]


def sample_noise(first: int, count: int, latent: int, seed: int, *, window: int = 0) -> Tensor:
    """Standard normal noise of samples `first`, `first` + 1, ..., float64 (count, latent).

    A row depends on its sample's number, `seed` and `window` only. Random numbers of float32 would come from vector
    instructions that not all processors have.
    """
    rows = torch.empty(count, latent, dtype=torch.float64)
    for row, sample in zip(rows, range(first, first + count), strict=True):
        row.normal_(generator=rng_at("latent", seed, sample, window))
    return rows


def walk_noise(first: int, count: int, windows: int, latent: int, seed: int, correlation: float) -> Tensor:
    """A random walk of noise for each sample, float64 (count, windows, latent).

    e_0 is `sample_noise`, and e_(w+1) = rho e_w + sqrt(1 - rho^2) e with fresh e ~ N(0, I), rho = `correlation` in
    [0, 1]. Every e_w is distributed as N(0, I), unlike points on a line between two samples. Neighbours are correlated
    by rho, and a longer walk begins with the shorter one.
    """
    steps = [sample_noise(first, count, latent, seed)]
    for window in range(1, windows):
        fresh = sample_noise(first, count, latent, seed, window=window)
        steps.append(correlation * steps[-1] + (1 - correlation**2) ** 0.5 * fresh)
    return torch.stack(steps, dim=1)


def interpolate(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Spherical interpolation between two latents (latent,), float64 (steps, latent), both ends included.

    Not linear: N(0, I) in 32 dimensions lies near a sphere, and the middle of a straight line is far inside it (by a
    factor 1.4 for unrelated ends). Collinear ends have no arc and are joined by their line.
    """
    start, end = start.double(), end.double()
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1, 1)
    angle = torch.acos(cosine)
    if torch.sin(angle) < 1e-6:
        return torch.lerp(start, end, t)
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)


@dataclass(frozen=True)
class Performance:
    """How latents become rolls. `exact`: in float64 on the CPU; else by the model as it is, on its device.

    Sums in another order, as in another batch, change float32 results slightly, and cells near the threshold flip. In
    float64 a probability would have to lie within about 1e-15 of the threshold.
    """

    playing: Playing = Playing()
    exact: bool = True
    batch_size: int = 64


def _batches(
    model: nn.Module, z: Tensor, genre_ids: Sequence[int] | Tensor, performance: Performance
) -> Iterator[tuple[nn.Module, Tensor, Tensor, slice]]:
    """Batch by batch: the model, latents in its dtype and genres int64 on its device, and the rows of the batch."""
    player = copy.deepcopy(model).cpu().double().eval() if performance.exact else model
    like = next(player.parameters())
    z, genre = z.to(like), torch.as_tensor(genre_ids, dtype=torch.int64, device=like.device)
    for first in range(0, len(z), performance.batch_size):
        rows = slice(first, first + performance.batch_size)
        yield player, z[rows], genre[rows], rows


@torch.no_grad()
def sample_prior(
    model: nn.Module, noise: Tensor, genre_ids: Sequence[int] | Tensor, before: Tensor | None = None
) -> Tensor:
    """z of the model's prior from noise of the same shape, float64 (n, size of z), on the CPU: same on every machine.

    `before`: earlier latents that an autoregressive prior continues.
    """
    prior, genre = copy.deepcopy(model.prior).cpu().double(), torch.as_tensor(genre_ids, dtype=torch.int64)
    return prior.sample(noise.double(), genre, None if before is None else before.double())


@torch.no_grad()
def play_latents(
    model: nn.Module, z: Tensor, genre_ids: Sequence[int] | Tensor, seq_len: int,
    performance: Performance = Performance(), chances: Sequence[Position] | None = None,
) -> Tensor:  # fmt: skip
    """Piano rolls of a generator or a CVAE's decoder from latents (n, ...), bool (n, 128, seq_len), on the CPU.

    `chances`: the random position of each window, for decoders that sample; None if they do not.
    """
    rolls = [torch.empty(0, PITCHES, seq_len, dtype=torch.bool)]
    for player, of_batch, genre, rows in _batches(model, z, genre_ids, performance):
        uniform = draw_chances(player, seq_len, performance.playing, chances and chances[rows], genre.device)
        rolls.append(player.decode_free(of_batch, genre, seq_len, uniform, performance.playing).roll.cpu())
    return torch.cat(rolls)


@torch.no_grad()
def play_through(
    model: nn.Module, z: Tensor, genre_ids: Sequence[int] | Tensor, n_frames: int, performance: Performance,
    chances: Sequence[Position], begun: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Pieces of any length, bool (n, 128, n_frames), on the CPU, of a model with `any_length`.

    `z` (n, size for n_frames) is of the whole piece. A note decoder continues `begun`, bool (n, 128, known), if given;
    a generator plays the whole piece at once.
    """
    if model.kind == Generator.kind:
        return play_latents(model, z, genre_ids, n_frames, performance, chances)
    begun = torch.zeros(len(z), PITCHES, 0, dtype=torch.bool) if begun is None else begun
    rolls = []
    for player, of_batch, genre, rows in _batches(model, z, genre_ids, performance):
        numbers = partial(draw_chances, player, n_frames, performance.playing, chances[rows], genre.device)
        here = of_batch, genre, begun[rows].to(genre.device)
        rolls.append(player.play_on(*here, n_frames, numbers, performance.playing).cpu())
    return torch.cat(rolls)


def draw_chances(
    decoder: nn.Module, seq_len: int, playing: Playing, positions: Sequence[Position] | None, device: torch.device,
    *part: int,
) -> Tensor | None:  # fmt: skip
    """Uniform numbers in [0, 1) that a decoder samples windows with, float64, one row for each random position.

    `part`: number of the part of a piece, added to each position. None if there are no positions, or the decoder does
    not sample.
    """
    shape = decoder.chance_shape(seq_len, playing)
    if shape is None or positions is None:
        return None
    each = [torch.rand(shape, generator=rng_at(*position, *part), dtype=torch.float64) for position in positions]
    return torch.stack(each).to(device)
