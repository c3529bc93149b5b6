"""Distances between two samples of vectors, and between two sets of piano rolls."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from common.randomness import rng_at
from data.song import OCTAVE
from evaluation.statistics.features import onsets

NEAREST = 5
DIRECTIONS = 1000
# Keys a frame: otherwise octaves that hardly ever sound would outweigh all others in `roll_distance`.
MINIMUM_SCALE = 0.02
LAGS = range(1, 17)  # of `roll_statistics`, in frames
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared Fréchet distance between Gaussians fitted to two samples, (n, F) and (m, F), in float64.

    |mu1 - mu2|^2 + Tr(C1 + C2 - 2 sqrt(C1 C2)) (Dowson and Landau 1982). Tr sqrt(C1 C2) is the sum of the singular
    values of A B^T, where A and B are the centred samples over sqrt(n - 1). This needs no matrix square root and is
    stable for singular covariances. Raises ValueError for fewer than two rows.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"a covariance needs two rows, but there are {len(first)} and {len(second)}")
    # On the CPU: not all devices have float64, and the samples are narrow.
    first, second = first.cpu().double(), second.cpu().double()
    a, b = ((sample - sample.mean(0)) / (len(sample) - 1) ** 0.5 for sample in (first, second))
    # The singular values of A B^T are those of R_a R_b^T, which are small.
    r_a, r_b = torch.linalg.qr(a, mode="r").R, torch.linalg.qr(b, mode="r").R
    cross = torch.linalg.svdvals(r_a @ r_b.t()).sum()
    shift = (first.mean(0) - second.mean(0)).square().sum()
    return float(shift + a.square().sum() + b.square().sum() - 2 * cross)


def kernel_distance(reference: Tensor, sample: Tensor) -> float:
    """KAD: 100 times the unbiased squared maximum mean discrepancy of (n, F) and (m, F), Gaussian kernel, in float64.

    The bandwidth is the median distance within `reference` (Chung et al. 2025, KAD). Unbiased: the mean is 0 for two
    samples of one distribution, so the distance can be negative. Raises ValueError for fewer than two rows, or if the
    median distance is 0.
    """
    if min(len(reference), len(sample)) < 2:
        raise ValueError(f"an unbiased estimate needs two rows, but there are {len(reference)} and {len(sample)}")
    reference, sample = reference.cpu().double(), sample.cpu().double()
    bandwidth = torch.pdist(reference).median()
    if bandwidth == 0:
        raise ValueError("more than half of the reference's rows are equal, so that the kernel has no width")

    def kernel(squared_distance: Tensor) -> Tensor:
        return torch.exp(-squared_distance / (2 * bandwidth.square()))

    within = sum(kernel(torch.pdist(rows).square()).mean() for rows in (reference, sample))
    between = kernel(torch.cdist(reference, sample).square()).mean()
    return 100 * float(within - 2 * between)


def monge_distance(first: Tensor, second: Tensor) -> float:
    """MIND: sliced Wasserstein distance of (n, F) and (m, F), in float64 (Berthet et al. 2026, arXiv:2605.06797).

    The mean over 1,000 random directions of the squared Wasserstein-2 distance between the projections of both samples,
    times F, so that a shift of the mean counts as in `frechet_distance`. This scale is ours; the published one is 3 F.
    The directions are the same for all samples. Biased: above 0 for two samples of one distribution. Raises ValueError
    for fewer than two rows.
    """
    n, m = len(first), len(second)
    if min(n, m) < 2:
        raise ValueError(f"a distribution needs two rows, but there are {n} and {m}")
    size = first.shape[1]
    rng = rng_at("directions of projection", size)
    directions = F.normalize(torch.randn(DIRECTIONS, size, generator=rng, dtype=torch.float64))
    # NumPy sorts ten times as fast as PyTorch.
    a, b = (np.sort((directions @ sample.cpu().double().t()).numpy()) for sample in (first, second))  # (1000, n), ...
    # Optimal transport in one dimension moves quantiles to quantiles. Both quantile functions are constant between
    # these levels, in units of 1 / (n m).
    levels = np.union1d(m * np.arange(n + 1), n * np.arange(m + 1))
    moved = a[:, levels[:-1] // m] - b[:, levels[:-1] // n]
    return size * float(np.mean(moved**2 @ np.diff(levels))) / (n * m)


# By their names in tables.
DISTANCES = {"FAD": frechet_distance, "KAD": kernel_distance, "MIND": monge_distance}


def random_halves(strata: Sequence[Tensor], rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two disjoint random halves of a sample, balanced within each stratum (n, F); an odd row is left out."""
    shuffled = [rows[torch.randperm(len(rows), generator=rng)] for rows in strata]
    first, second = zip(*(rows[: len(rows) // 2 * 2].chunk(2) for rows in shuffled), strict=True)
    return torch.cat(first), torch.cat(second)


def floor_halves(strata: Sequence[Tensor], seed: int, count: int) -> list[tuple[Tensor, Tensor]]:
    """`count` divisions of real rows by `random_halves`, a function of `seed`, for the floor of a distance."""
    return [random_halves(strata, rng_at("floor", seed, number)) for number in range(count)]


class Fidelity(NamedTuple):
    """Shares of rows, except `density`, which exceeds 1 if generated rows concentrate where real ones are dense.

    `precision`, `density`: generated rows are near real ones. `recall`, `coverage`: real rows are near generated ones.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(real: Tensor, generated: Tensor, nearest: int = NEAREST) -> Fidelity:
    """Compare `generated` rows (m, F) with `real` ones (n, F), in float64.

    The ball of a row reaches to its k-th neighbour in the same sample. Precision and recall: Kynkäänniemi et al. 2019;
    density and coverage, which are robust to outliers: Naeem et al. 2020. Raises ValueError for at most k rows.
    """
    if min(len(real), len(generated)) <= nearest:
        raise ValueError(f"{nearest} neighbours need more rows than {len(real)} and {len(generated)}")
    real, generated = real.double(), generated.double()
    radius_real, radius_generated = (
        torch.cdist(rows, rows).kthvalue(nearest + 1, dim=1).values for rows in (real, generated)
    )
    distance = torch.cdist(real, generated)  # (n, m)
    in_real = distance <= radius_real[:, None]
    return Fidelity(
        precision=in_real.any(0).double().mean().item(),
        recall=(distance <= radius_generated).any(1).double().mean().item(),
        density=(in_real.sum(0).double().mean() / nearest).item(),
        coverage=in_real.any(1).double().mean().item(),
    )


def roll_statistics(roll: Tensor) -> Tensor:
    """Statistics of binary windows (B, 128, T), float32 (B, 64).

    27 of pitch and density: twelve pitch classes and eleven octaves (mean number of sounding keys a frame), mean
    polyphony, share of silent frames, note onsets a frame, and the logarithm of the mean note length in frames.
    37 of texture, a frame each: pairs of pitch classes 1 to 6 semitones apart that sound together, and that begin
    together; frames with onsets that have others 1 to 16 frames later; notes of up to 1, 2, 3, 4, 6, 8, 12, 16 and of
    more frames.
    """
    n_frames, cells = roll.shape[2], roll > 0
    begins = onsets(cells)
    per_pitch = roll.mean(dim=2)  # (B, 128)
    padded = F.pad(per_pitch, (0, 11 * OCTAVE - per_pitch.shape[1]))
    by_octave = padded.view(-1, 11, OCTAVE)
    polyphony = roll.sum(dim=1)  # (B, T)
    n_notes = begins.sum((1, 2))
    length = roll.sum((1, 2)) / n_notes.clamp_min(1)
    rest = [polyphony.mean(1), (polyphony == 0).float().mean(1), n_notes / n_frames, torch.log1p(length)]
    rhythm = begins.any(1).float()  # (B, T)
    lags = [(rhythm[:, lag:] * rhythm[:, :-lag]).sum(1) / n_frames for lag in LAGS]
    texture = [_intervals(cells), _intervals(begins), torch.stack(lags, dim=1), _notes_by_length(cells)]
    return torch.cat([by_octave.sum(1), by_octave.sum(2), torch.stack(rest, dim=1), *texture], dim=1)


def _intervals(cells: Tensor) -> Tensor:
    """Mean number a frame of pairs of pitch classes that are 1 to 6 semitones apart, (B, 6), of cells (B, 128, T)."""
    by_class = F.pad(cells.float(), (0, 0, 0, -cells.shape[1] % OCTAVE)).unflatten(1, (-1, OCTAVE)).amax(1)
    pairs = [(by_class * by_class.roll(apart, 1)).sum(1).mean(1) for apart in range(1, OCTAVE // 2 + 1)]
    return torch.stack(pairs, dim=1)


def _notes_by_length(cells: Tensor) -> Tensor:
    """Notes a frame by their length in `LENGTHS`, (B, 9), of bool windows (B, 128, T)."""
    n_frames, lasting, n_cells = cells.shape[2], cells, []  # `lasting`: cells that sound for k frames at least
    for k in range(1, LENGTHS[-1] + 3):
        n_cells.append(lasting.sum((1, 2)))
        lasting = lasting[:, :, :-1] & cells[:, :, k:]
    at_least = -torch.stack(n_cells, dim=1).diff(dim=1)  # notes of k frames and more, k from 1
    longer = at_least[:, [0, *LENGTHS]]
    return torch.cat([-longer.diff(dim=1), longer[:, -1:]], dim=1) / n_frames


def roll_distance(generated: Tensor, real: Tensor, generated_genre: Tensor, real_genre: Tensor) -> float:
    """Mean over genres of the Fréchet distance between `roll_statistics` (n, F) of generated and real windows.

    Cheap enough for choosing checkpoints. 0 for equal sets; ignores the order of notes. Each statistic is divided by
    its standard deviation over all real windows, at least by 0.02. Genres with fewer than two windows on a side are
    left out; if none is left, all windows are compared together.
    """
    scale = real.std(dim=0).clamp_min(MINIMUM_SCALE)
    distances = []
    for genre in real_genre.unique():
        pair = generated[generated_genre == genre], real[real_genre == genre]
        if min(map(len, pair)) >= 2:
            distances.append(frechet_distance(pair[0] / scale, pair[1] / scale))
    if not distances:
        return frechet_distance(generated / scale, real / scale)
    return sum(distances) / len(distances)
