"""Noise, latents, and the piano rolls that models play from them. Sample k of a seed is the same in any batch."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.device import select_device
from common.randomness import rng_at
from common.torchrun import divided, n_sharing
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


def window_noise(windows: Iterable[int], samples: int, size: int, seed: int) -> Tensor:
    """Standard normal noise of `samples` z for each window, float64 (samples, B, size), by the windows' numbers."""
    return torch.stack([sample_noise(0, samples, size, seed, window=window) for window in windows], dim=1)


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


class _Batch(NamedTuple):
    """Rows to play: latents, genres int64, random positions (None: no chances), and beginnings of pieces, if any."""

    z: Tensor
    genre: Tensor
    chances: Sequence[Position] | None
    begun: Tensor | None


_Play = Callable[[nn.Module, _Batch, int, Performance], Tensor]


def _played(
    play: _Play, model: nn.Module, n_frames: int, performance: Performance, z: Tensor,
    genre_ids: Sequence[int] | Tensor, chances: Sequence[Position] | None, begun: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Rolls bool (n, 128, n_frames) of all rows, by all processes.

    Batches of `exact` have any size; others are those of one process, because float32 results depend on them.
    """
    genre, at_once = torch.as_tensor(genre_ids, dtype=torch.int64), performance.batch_size
    if performance.exact:
        at_once = max(1, min(at_once, -(-len(z) // n_sharing())))
    parts = [slice(first, first + at_once) for first in range(0, len(z), at_once)]
    batches = [_Batch(z[p], genre[p], chances and chances[p], None if begun is None else begun[p]) for p in parts]
    rolls = divided(partial(_play_batches, play, model, n_frames, performance), batches)
    return torch.cat([torch.empty(0, PITCHES, n_frames, dtype=torch.bool), *rolls])


@torch.no_grad()
def _play_batches(
    play: _Play, model: nn.Module, n_frames: int, performance: Performance, batches: Sequence[_Batch]
) -> Iterator[Tensor]:
    if performance.exact:
        player = copy.deepcopy(model).cpu().double().eval()
    else:  # another process has another GPU
        player = model.to(select_device(next(model.parameters()).device.type))
    like = next(player.parameters())
    for batch in batches:
        here = batch._replace(z=batch.z.to(like), genre=batch.genre.to(like.device))
        yield play(player, here, n_frames, performance).cpu()


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
def most_typical(model: nn.Module, draws: Tensor, genre_id: int) -> Tensor:
    """Of each row's z in `draws`, float64 (draws, n, size of z), the one with the largest p(genre | z) by the prior.

    All genres are equally likely before: p(y | z) is p(z | y) over its sum. Of equal ones, as all are where the prior
    does not depend on the genre, the first.
    """
    if len(draws) == 1:
        return draws[0]
    prior, z = copy.deepcopy(model.prior).cpu().double(), draws.flatten(0, 1)
    of_genres = [prior.log_density(z, torch.full((len(z),), genre)) for genre in range(model.config["n_genres"])]
    log_odds = torch.stack([each - of_genres[genre_id] for each in of_genres]).logsumexp(0)
    best = log_odds.view(draws.shape[:2]).argmin(0)
    return draws[best, torch.arange(len(best))]


def play_latents(
    model: nn.Module, z: Tensor, genre_ids: Sequence[int] | Tensor, seq_len: int,
    performance: Performance = Performance(), chances: Sequence[Position] | None = None,
) -> Tensor:  # fmt: skip
    """Piano rolls of a generator or a CVAE's decoder from latents (n, ...), bool (n, 128, seq_len), on the CPU.

    `chances`: the random position of each window, for decoders that sample; None if they do not.
    """
    return _played(_play_windows, model, seq_len, performance, z, genre_ids, chances)


def _play_windows(player: nn.Module, batch: _Batch, seq_len: int, performance: Performance) -> Tensor:
    uniform = draw_chances(player, seq_len, performance.playing, batch.chances, batch.genre.device)
    return player.decode_free(batch.z, batch.genre, seq_len, uniform, performance.playing).roll


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
    return _played(_play_pieces, model, n_frames, performance, z, genre_ids, chances, begun)


def _play_pieces(player: nn.Module, batch: _Batch, n_frames: int, performance: Performance) -> Tensor:
    numbers = partial(draw_chances, player, n_frames, performance.playing, batch.chances, batch.genre.device)
    begun = batch.begun.to(batch.genre.device)
    return player.play_on(batch.z, batch.genre, begun, n_frames, numbers, performance.playing)


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
