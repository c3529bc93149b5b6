"""Musical features of generated clips beside those of real ones, and of real ones beside real ones.

Two distributions are compared by the area they share, as Yang and Lerch propose ("On the evaluation of generative
models in music", Neural Computing and Applications 32, 2020); but by that of the features themselves, not of the
distances between clips, and over fixed bins, not kernel densities: many features are counts, or pile up at an end of
their range, and a kernel would smear them beyond it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from common.errors import UserError
from common.randomness import rng_at
from evaluation.samples.clips import ClipSource, RealClips
from evaluation.statistics.musical_features import FEATURES, musical_features
from evaluation.statistics.novelty import NOVELTY, KnownWindows
from evaluation.tables import ALL_ID, ALL_NAME, BASELINE, LABEL, SHARE, Column, ResultTable

Features = dict[str, Tensor]

ALL_FEATURES = FEATURES | NOVELTY
HALVINGS = 10
CHUNK = 200

MUSIC_TABLE = ResultTable(
    "music-T{T}.csv",
    "eval_music.py",
    (
        Column("origin", "made by", LABEL),
        Column("feature", "feature", LABEL),
        Column("unit", "unit", LABEL),
        Column("generated", "generated", alone=True),
        Column("real", "real", BASELINE, alone=True),
        Column("difference", "difference", alone=True),
        Column("difference_halves", "real halves", BASELINE, alone=True),
        Column("overlap_area", "overlap"),
        Column("overlap_halves", "real halves", BASELINE),
        Column("overlap_training", "training songs", BASELINE),
    ),
    protocol=("split", "seed", "store_content", "threshold", "min_note_frames"),
)


@dataclass(frozen=True)
class GenreFeatures:
    """Features of the clips of a genre, float64 (n,) for each name, NaN where a clip has none.

    Those of novelty are of fewer clips, and of generated and real ones alone. `other_real` are as many further real
    clips, none of which is in `real`. `training` are real clips of the songs the generator was trained on; empty where
    `real` are those, fewer than n where there are no more.
    """

    genre_id: int
    generated: Features
    real: Features
    other_real: Features
    training: Features


def overlap_area(first: Tensor, second: Tensor, bin_width: float) -> float:
    """Area that the distributions of two samples, (n,) and (m,) without NaN, have in common; in [0, 1].

    The sum, over bins of the given width that begin at multiples of it, of the smaller of the two shares. NaN where
    a sample is empty.
    """
    if not len(first) or not len(second):
        return np.nan
    bins = torch.floor(torch.cat([first, second]) / bin_width).long()
    bins -= bins.min()
    in_bin = [torch.bincount(part, minlength=int(bins.max()) + 1) for part in bins.split([len(first), len(second)])]
    return float(torch.minimum(in_bin[0] / len(first), in_bin[1] / len(second)).sum())


def measure_music(
    source: ClipSource, clips: int, novelty_clips: int = 0, *, progress: bool = True
) -> pd.DataFrame:
    """The rows of `compare_features` for the clips of `genre_features`, and how they were made."""
    genres = genre_features(source, clips, novelty_clips, progress=progress)
    return compare_features(genres, source.genres, source.seed).assign(**source.facts)


def genre_features(
    source: ClipSource, clips: int, novelty_clips: int = 0, *, progress: bool = True
) -> list[GenreFeatures]:
    """Features of generated and real clips of every genre that has at least two real ones.

    There are as many generated clips as real ones: `clips`, or half of the genre's real clips where that is fewer, so
    that as many others are left to compare real with real. The first `novelty_clips` of them are compared with all
    training windows, where the real ones are not of those songs themselves. Raises `UserError` where no genre has two
    real clips.
    """
    n_real = [len(source.real_order(genre_id)) for genre_id in range(len(source.genres))]
    chosen = {genre_id: min(clips, n // 2) for genre_id, n in enumerate(n_real) if n >= 2}
    if not chosen:
        raise UserError(
            f"{source.windows.store.folder}: no genre has two {source.windows.split} windows of {source.seq_len} "
            "frames to compare; take another split or shorter windows"
        )
    train = source.of_split("train")
    shown = tqdm(chosen.items(), source.title, disable=not progress)
    known = None
    if novelty_clips and source.windows.split != "train":
        known = KnownWindows(train.windows.all_rolls())
    return [_measure_genre(source, train, genre_id, n, known, min(n, novelty_clips)) for genre_id, n in shown]


def compare_features(genres: Sequence[GenreFeatures], names: Sequence[str], seed: int) -> pd.DataFrame:
    """One row for each genre and feature, then one for each feature over all genres (genre_id -1).

    `n_real`, `n_fake` and `n_training` count the clips that have the feature; means and standard deviations are over
    those. `difference` is generated - real. Columns that end in `_halves` compare random halves of the real clips, each
    of as many clips as were compared with generated ones: the mean of absolute difference and of overlap over ten
    halvings, which is what chance leaves between windows of the same songs. Columns that end in `_training` compare
    real clips of the training songs with the real clips: what a generator would score that plays back its training
    songs. A comparison is NaN where no clip of a side has the feature.
    """
    groups = [(genre.genre_id, names[genre.genre_id], [genre]) for genre in genres]
    rows = [
        {"genre_id": genre_id, "genre_name": name, "feature": feature, **_compare(members, feature, seed)}
        for genre_id, name, members in [*groups, (ALL_ID, ALL_NAME, list(genres))]
        for feature in ALL_FEATURES
        if all(feature in genre.generated for genre in genres)
    ]
    return pd.DataFrame(rows)


def overlap_by_genre(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Column]]:
    """The overlap of each feature, a column for each genre and one for all; and these columns."""
    rows = ["origin", "feature"]
    wide = frame.pivot(index=rows, columns="genre_id", values="overlap_area")
    wide = wide.loc[pd.MultiIndex.from_frame(frame[rows].drop_duplicates())].rename(columns=str).reset_index()
    names = frame.drop_duplicates("genre_id").set_index("genre_id")["genre_name"]
    shares = [Column(str(genre_id), name, SHARE) for genre_id, name in names.items()]
    return wide, [Column("origin", "made by", LABEL), Column("feature", "feature", LABEL), *shares]


def _measure_genre(
    source: ClipSource, train: RealClips, genre_id: int, n: int, known: KnownWindows | None, n_novelty: int
) -> GenreFeatures:
    def measure(clips: Callable[[Tensor], np.ndarray], index: Tensor, n_novelty: int = 0) -> Features:
        """Features of `clips(index)`, and the novelty of the first; in chunks that keep memory bounded."""
        parts = []
        for number, chunk in enumerate(index.split(CHUNK)):
            rolls, left = torch.from_numpy(clips(chunk)), n_novelty - number * CHUNK
            parts.append(musical_features(rolls, source.trained.frames_per_second))
            if known and left > 0:
                parts[-1] |= known.novelty(rolls[:left])
        return {name: torch.cat([part[name] for part in parts if name in part]) for name in parts[0]}

    order = source.real_order(genre_id)
    n_training = 0 if source.windows.split == "train" else n

    def generated(index: Tensor) -> np.ndarray:
        return source.generated(genre_id, int(index[0]), len(index))

    return GenreFeatures(
        genre_id,
        generated=measure(generated, torch.arange(n), n_novelty),
        real=measure(source.real, order[:n], n_novelty),
        other_real=measure(source.real, order[n : 2 * n]),
        training=measure(train.real, train.real_order(genre_id)[:n_training]),
    )


def _compare(genres: Sequence[GenreFeatures], feature: str, seed: int) -> dict[str, Any]:
    unit, width = ALL_FEATURES[feature]
    kinds = "generated", "real", "training"
    sides = {kind: [getattr(genre, kind).get(feature) for genre in genres] for kind in kinds}
    generated, real, training = map(_defined, sides.values())
    halves_differ, halves_overlap = _between_halves(genres, feature, seed)
    return {
        "unit": unit,
        "n_real": len(real),
        "n_fake": len(generated),
        "n_training": len(training),
        "real": float(real.mean()) if len(real) else np.nan,
        "generated": float(generated.mean()) if len(generated) else np.nan,
        "difference": _difference(generated, real),
        "difference_halves": halves_differ,
        "difference_training": _difference(training, real),
        "overlap_area": overlap_area(generated, real, width),
        "overlap_halves": halves_overlap,
        "overlap_training": overlap_area(training, real, width),
        "real_std": float(real.std(correction=0)) if len(real) else np.nan,
        "generated_std": float(generated.std(correction=0)) if len(generated) else np.nan,
    }


def _between_halves(genres: Sequence[GenreFeatures], feature: str, seed: int) -> tuple[float, float]:
    """Mean absolute difference and mean overlap of the halves of ten halvings; every genre is halved by itself."""
    pairs = []
    for halving in range(HALVINGS):
        halves: tuple[list[Tensor], list[Tensor]] = ([], [])
        for genre in genres:
            every = torch.cat([clips[feature] for clips in (genre.real, genre.other_real) if feature in clips])
            order = torch.randperm(len(every), generator=rng_at("halves", seed, halving, genre.genre_id))
            for half, index in zip(halves, order.chunk(2), strict=True):
                half.append(every[index])
        first, second = map(_defined, halves)
        pairs.append((abs(_difference(first, second)), overlap_area(first, second, ALL_FEATURES[feature].bin_width)))
    differences, overlaps = zip(*pairs, strict=True)
    return float(np.mean(differences)), float(np.mean(overlaps))


def _defined(parts: Sequence[Tensor | None]) -> Tensor:
    """The values that are not NaN, of all parts that there are together."""
    values = torch.cat([torch.empty(0, dtype=torch.float64), *(part for part in parts if part is not None)])
    return values[~values.isnan()]


def _difference(first: Tensor, second: Tensor) -> float:
    return float(first.mean() - second.mean()) if len(first) and len(second) else np.nan
