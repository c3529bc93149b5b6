"""Noise, latents, and the piano rolls that models make of them. Sample k of a seed is the same wherever it is made."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from common.randomness import generator_at
from models import CVAE
from models.cvae import PITCHES, THRESHOLD, THRESHOLDED


def sample_noise(first: int, count: int, latent: int, seed: int, *, window: int = 0) -> Tensor:
    """Standard normal noise of samples `first`, `first` + 1, ..., float64 (count, latent): a prior makes z of it.

    Each row depends on its sample's number, `seed` and `window` alone. In float64, because the random numbers of
    float32 come from vector instructions that not all processors have.
    """
    rows = torch.empty(count, latent, dtype=torch.float64)
    for row, sample in zip(rows, range(first, first + count), strict=True):
        row.normal_(generator=generator_at("latent", seed, sample, window))
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


@torch.no_grad()
def generate_rolls(
    generator: nn.Module,
    noise: Tensor,
    genre_ids: Sequence[int] | Tensor,
    *,
    batch_size: int = 64,
    threshold: float = THRESHOLD,
    exact: bool = True,
) -> Tensor:
    """Piano rolls bool (n, 128, T) of G(z, y), with z from the generator's own prior and `noise` (n, latent).

    `threshold` and `exact` as in `rolls_from_latents`.
    """
    model, noise, genre = _prepare(generator, noise, genre_ids, exact=exact)
    return _play(model, model.prior.sample(noise, genre), genre, batch_size, threshold)


@torch.no_grad()
def rolls_from_latents(
    generator: nn.Module,
    z: Tensor,
    genre_ids: Sequence[int] | Tensor,
    *,
    batch_size: int = 64,
    threshold: float = THRESHOLD,
    exact: bool = True,
) -> Tensor:
    """Piano rolls bool (n, 128, T), on the CPU, of latents `z` (n, latent): cells above the threshold.

    With `exact` computed by a copy of the model in float64 on the CPU, so that rounding does not decide a note: with
    the batch size the order of sums changes, and in float32 cells near the threshold flip with it. In float64 a
    probability would have to lie within 1e-15 or so of the threshold. Otherwise by the model as it is, where it is.
    """
    model, z, genre = _prepare(generator, z, genre_ids, exact=exact)
    return _play(model, z, genre, batch_size, threshold)


@torch.no_grad()
def decode_latents(
    cvae: CVAE,
    z: Tensor,
    genre_id: int,
    seq_len: int,
    threshold: float = THRESHOLD,
    *,
    feedback: str = THRESHOLDED,
    uniform: Tensor | None = None,
) -> np.ndarray:
    """Piano rolls bool (n, 128, seq_len) of the CVAE's decoder, running on its own, for latents (n, latent).

    `feedback` and `uniform` as in `CVAE.decode_free`.
    """
    genre = torch.full((len(z),), genre_id, device=z.device)
    decoded = cvae.decode_free(z, genre, seq_len, feedback=feedback, threshold=threshold, uniform=uniform)
    return decoded.roll.cpu().numpy()


def _prepare(
    generator: nn.Module, values: Tensor, genre_ids: Sequence[int] | Tensor, *, exact: bool
) -> tuple[nn.Module, Tensor, Tensor]:
    """The model to compute with, noise or latents in its dtype and genres int64 (n,), all in one place."""
    model = copy.deepcopy(generator).cpu().double().eval() if exact else generator
    like = next(model.parameters())
    return model, values.to(like), torch.as_tensor(genre_ids, dtype=torch.int64, device=like.device)


def _play(model: nn.Module, z: Tensor, genre: Tensor, batch_size: int, threshold: float) -> Tensor:
    rolls = torch.empty(len(z), PITCHES, model.seq_len, dtype=torch.bool)
    for chosen in torch.arange(len(z)).split(batch_size):
        rolls[chosen] = (model(z[chosen], genre[chosen]) > threshold).cpu()
    return rolls
