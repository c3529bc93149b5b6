"""Musical features of generated clips beside those of real ones, and of real ones beside real ones.

Two distributions are compared by the area they share, as Yang and Lerch propose ("On the evaluation of generative
models in music", Neural Computing and Applications 32, 2020); but by that of the features themselves, not of the
distances between clips, and over fixed bins, not kernel densities: many features are counts, or pile up at an end of
their range, and a kernel would smear them beyond it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from common.errors import UserError
from common.randomness import generator_at
from data.windows import WindowSource
from evaluation.samples.clips import ClipSource, RealClips
from evaluation.statistics.musical_features import FEATURES, musical_features
from evaluation.tables import ALL_ID, ALL_NAME, Row

Features = dict[str, Tensor]

HALVINGS = 10
CHUNK = 200


@dataclass(frozen=True)
class GenreFeatures:
    """Features of the clips of a genre, float64 (n,) for each name, NaN where a clip has none.

    `other_real` are as many further real clips, none of which is in `real`. `training` are real clips of the songs the
    generator was trained on; empty where `real` are those, fewer than n where there are no more.
    """

    genre_id: int
    generated: Features
    real: Features
    other_real: Features
    training: Features


def overlap_area(first: Tensor, second: Tensor, bin_width: float) -> float | None:
    """Area that the distributions of two samples, (n,) and (m,) without NaN, have in common; in [0, 1].

    The sum, over bins of the given width that begin at multiples of it, of the smaller of the two shares. None where
    a sample is empty.
    """
    if not len(first) or not len(second):
        return None
    bins = torch.floor(torch.cat([first, second]) / bin_width).long()
    bins -= bins.min()
    in_bin = [torch.bincount(part, minlength=int(bins.max()) + 1) for part in bins.split([len(first), len(second)])]
    return float(torch.minimum(in_bin[0] / len(first), in_bin[1] / len(second)).sum())


def measure_genres(source: ClipSource, clips: int, *, progress: bool = True) -> list[GenreFeatures]:
    """Features of generated and real clips of every genre that has at least two real ones.

    There are as many generated clips as real ones: `clips`, or half of the genre's real clips where that is fewer, so
    that as many others are left to compare real with real. Raises `UserError` where no genre has two.
    """
    n_real = [len(source.real_order(genre_id)) for genre_id in range(len(source.genres))]
    chosen = {genre_id: min(clips, n // 2) for genre_id, n in enumerate(n_real) if n >= 2}
    if not chosen:
        raise UserError(
            f"--split {source.windows.split}: no genre has two windows of {source.seq_len} frames to compare; take "
            "another split or shorter --seq-lens"
        )
    train = RealClips(WindowSource(source.windows.store, "train", source.seq_len), source.seed, source.min_note_frames)
    shown = tqdm(chosen.items(), f"T = {source.seq_len}, genres", disable=not progress)
    return [_measure_genre(source, train, genre_id, n) for genre_id, n in shown]


def feature_rows(genres: Sequence[GenreFeatures], names: Sequence[str], seed: int) -> list[Row]:
    """One row for each genre and feature, then one for each feature over all genres (genre_id -1).

    `n_real`, `n_fake` and `n_training` count the clips that have the feature; means and standard deviations are over
    those. `difference` is generated - real. Columns that end in `_halves` compare random halves of the real clips, each
    of as many clips as were compared with generated ones: the mean of absolute difference and of overlap over ten
    halvings, which is what chance leaves between windows of the same songs. Columns that end in `_training` compare
    real clips of the training songs with the real clips: what a generator would score that plays back its training
    songs. A comparison is None where no clip of a side has the feature.
    """
    groups = [(genre.genre_id, names[genre.genre_id], [genre]) for genre in genres]
    return [
        {"genre_id": genre_id, "genre_name": name, "feature": feature, **_compare(members, feature, seed)}
        for genre_id, name, members in [*groups, (ALL_ID, ALL_NAME, list(genres))]
        for feature in FEATURES
    ]


def _measure_genre(source: ClipSource, train: RealClips, genre_id: int, n: int) -> GenreFeatures:
    def measure(clips: Callable[[Tensor], np.ndarray], index: Tensor) -> Features:
        """Features of `clips(index)`, in chunks that keep memory bounded."""
        frames_per_second = source.trained.frames_per_second
        parts = [musical_features(torch.from_numpy(clips(chunk)), frames_per_second) for chunk in index.split(CHUNK)]
        return {name: torch.cat([part[name] for part in parts]) for name in FEATURES}

    order = source.real_order(genre_id)
    n_training = 0 if source.windows.split == "train" else n
    return GenreFeatures(
        genre_id,
        generated=measure(lambda index: source.generated(genre_id, int(index[0]), len(index)), torch.arange(n)),
        real=measure(source.real, order[:n]),
        other_real=measure(source.real, order[n : 2 * n]),
        training=measure(train.real, train.real_order(genre_id)[:n_training]),
    )


def _compare(genres: Sequence[GenreFeatures], feature: str, seed: int) -> Row:
    unit, width = FEATURES[feature]
    generated, real, training = (
        _defined([getattr(genre, kind)[feature] for genre in genres]) for kind in ("generated", "real", "training")
    )
    halves_differ, halves_overlap = _between_halves(genres, feature, seed)
    return {
        "unit": unit,
        "n_real": len(real),
        "n_fake": len(generated),
        "n_training": len(training),
        "real": float(real.mean()) if len(real) else None,
        "generated": float(generated.mean()) if len(generated) else None,
        "difference": _difference(generated, real),
        "difference_halves": halves_differ,
        "difference_training": _difference(training, real),
        "overlap_area": overlap_area(generated, real, width),
        "overlap_halves": halves_overlap,
        "overlap_training": overlap_area(training, real, width),
        "real_std": float(real.std(correction=0)) if len(real) else None,
        "generated_std": float(generated.std(correction=0)) if len(generated) else None,
    }


def _between_halves(
    genres: Sequence[GenreFeatures], feature: str, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """Mean absolute difference and mean overlap of the halves of ten halvings; every genre is halved by itself."""
    differences, overlaps = [], []
    for halving in range(HALVINGS):
        halves: tuple[list[Tensor], list[Tensor]] = ([], [])
        for genre in genres:
            every = torch.cat([genre.real[feature], genre.other_real[feature]])
            order = torch.randperm(len(every), generator=generator_at("halves", seed, halving, genre.genre_id))
            for half, index in zip(halves, order.chunk(2), strict=True):
                half.append(every[index])
        first, second = map(_defined, halves)
        if not len(first) or not len(second):
            return None, None
        differences.append(abs(float(first.mean() - second.mean())))
        overlaps.append(overlap_area(first, second, FEATURES[feature].bin_width))
    return sum(differences) / HALVINGS, sum(overlaps) / HALVINGS


def _defined(parts: Sequence[Tensor]) -> Tensor:
    """The values that are not NaN, of all parts together."""
    values = torch.cat(list(parts))
    return values[~values.isnan()]


def _difference(first: Tensor, second: Tensor) -> float | None:
    return float(first.mean() - second.mean()) if len(first) and len(second) else None
