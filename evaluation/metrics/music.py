"""Musical features of generated clips compared with real ones, and of real clips with real ones.

Two distributions are compared by their overlap, following Yang and Lerch ("On the evaluation of generative models in
music", Neural Computing and Applications 32, 2020), with two changes. We compare the features themselves, not distances
between clips. We use fixed bins, not kernel densities: many features are counts, or pile up at an end of their range,
and a kernel would smear them beyond it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from common.errors import UserError
from common.randomness import rng_at
from evaluation.samples.clips import Clips, ClipSource
from evaluation.statistics.features import FEATURES, musical_features
from evaluation.statistics.novelty import NOVELTY, KnownWindows
from evaluation.tables import ALL_ID, ALL_NAME, BASELINE, LABEL, MADE_BY, OURS, SHARE, Column, ResultTable, columns

Features = dict[str, Tensor]

ALL_FEATURES = FEATURES | NOVELTY
HALVINGS = 10
CHUNK = 200

MUSIC_TABLE = ResultTable(
    "music-T{T}.csv",
    "eval_music.py",
    (
        *columns(LABEL, origin="made by", feature="feature", unit="unit"),
        Column("generated", "generated", alone=True),
        Column("real", "real", BASELINE, alone=True),
        Column("difference", "difference", alone=True),
        Column("difference_halves", "real halves", BASELINE, alone=True),
        *columns(OURS, overlap_area="overlap"),
        *columns(BASELINE, overlap_halves="real halves", overlap_training="training songs"),
    ),
    protocol=("split", "seed", "store_content", "threshold", "min_note_frames"),
)


class GenreFeatures(NamedTuple):
    """Features of the clips of a genre, float64 (n,) by name, NaN where a clip has no value.

    `generated` and `real` also have features of novelty, of fewer clips. `other_real`: n other real clips. `training`:
    real clips of the training songs; fewer than n if there are no more, none if `real` are of the training split.
    """

    genre_id: int
    generated: Features
    real: Features
    other_real: Features
    training: Features


def overlap_area(first: Tensor, second: Tensor, bin_width: float) -> float:
    """Overlap in [0, 1] of the distributions of two samples, (n,) and (m,) without NaN.

    The sum over bins of the smaller share. Bins begin at multiples of `bin_width`. NaN if a sample is empty.
    """
    if not len(first) or not len(second):
        return np.nan
    bins = torch.floor(torch.cat([first, second]) / bin_width).long()
    bins -= bins.min()
    in_bin = [torch.bincount(part, minlength=int(bins.max()) + 1) for part in bins.split([len(first), len(second)])]
    return float(torch.minimum(in_bin[0] / len(first), in_bin[1] / len(second)).sum())


def genre_features(source: ClipSource, clips: int, novelty_clips: int = 0) -> list[GenreFeatures]:
    """Features of generated and real clips of every genre with at least two real clips.

    The same number of generated and real clips: `clips`, but at most half of the real clips, so that as many remain to
    compare real with real. The first `novelty_clips` are compared with all training windows, unless the real clips are
    of the training split. Raises `UserError` if no genre has two real clips.
    """
    real = source.real
    n_real = [len(real.order(genre_id)) for genre_id in range(len(source.genres))]
    chosen = {genre_id: min(clips, n // 2) for genre_id, n in enumerate(n_real) if n >= 2}
    if not chosen:
        raise UserError(
            f"{real.windows.store.folder}: no genre has two {real.windows.split} windows of {source.seq_len} frames "
            "to compare; take another split or shorter windows"
        )
    of_training = real.windows.split == "train"
    known = KnownWindows(source.training.windows.all_rolls()) if novelty_clips and not of_training else None

    def features(clips: Clips, genre_id: int, first: int, count: int, n_novelty: int = 0) -> Features:
        """Features of `count` clips, and novelty of the first `n_novelty`; in chunks, to bound memory."""
        parts = []
        for done in range(0, max(count, 1), CHUNK):
            rolls = torch.from_numpy(clips.clips(genre_id, first + done, min(CHUNK, count - done)))
            parts.append(musical_features(rolls, source.trained.frames_per_second))
            if known and n_novelty > done:
                parts[-1] |= known.novelty(rolls[: n_novelty - done])
        return {name: torch.cat([part[name] for part in parts if name in part]) for name in parts[0]}

    return [
        GenreFeatures(
            genre_id,
            generated=features(source, genre_id, 0, n, min(n, novelty_clips)),
            real=features(real, genre_id, 0, n, min(n, novelty_clips)),
            other_real=features(real, genre_id, n, n),
            training=features(source.training, genre_id, 0, 0 if of_training else n),
        )
        for genre_id, n in tqdm(chosen.items(), source.title)
    ]


def measure_music(source: ClipSource, clips: int, novelty_clips: int = 0) -> pd.DataFrame:
    """A row for each genre and feature, then one for each feature over all genres; see `genre_features`.

    `n_real`, `n_fake`, `n_training`: clips that have the feature; means and standard deviations are over those.
    `difference`: generated - real. *_halves: random halves of the real clips, each of the size of the generated sample;
    mean absolute difference and mean overlap over ten halvings, which is the effect of chance. *_training: real clips
    of the training songs against the real clips, the score of a generator that replays them. NaN if a side is empty.
    """
    genres = genre_features(source, clips, novelty_clips)
    groups = [(genre.genre_id, source.genres[genre.genre_id], [genre]) for genre in genres]
    rows = [
        {"genre_id": genre_id, "genre_name": name, "feature": feature, **_compare(members, feature, source.seed)}
        for genre_id, name, members in [*groups, (ALL_ID, ALL_NAME, genres)]
        for feature in ALL_FEATURES
        if all(feature in genre.generated for genre in genres)
    ]
    return pd.DataFrame(rows).assign(**source.facts)


def overlap_by_genre(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Column]]:
    """The overlap of each feature with a column for each genre and one for all, and these columns."""
    rows = [*MADE_BY, "feature"]
    wide = frame.pivot(index=rows, columns="genre_id", values="overlap_area")
    wide = wide.loc[pd.MultiIndex.from_frame(frame[rows].drop_duplicates())].rename(columns=str).reset_index()
    names = frame.drop_duplicates("genre_id").set_index("genre_id")["genre_name"]
    shares = columns(SHARE, **{str(genre_id): name for genre_id, name in names.items()})
    return wide, [*columns(LABEL, origin="made by", feature="feature"), *shares]


def _compare(genres: Sequence[GenreFeatures], feature: str, seed: int) -> dict[str, Any]:
    unit, width = ALL_FEATURES[feature]
    generated, real, training = (
        _defined([getattr(genre, kind).get(feature) for genre in genres]) for kind in ("generated", "real", "training")
    )
    halves_differ, halves_overlap = _between_halves(genres, feature, seed)
    return {
        "unit": unit,
        "n_real": len(real),
        "n_fake": len(generated),
        "n_training": len(training),
        "real": float(real.mean()),
        "generated": float(generated.mean()),
        "difference": float(generated.mean() - real.mean()),
        "difference_halves": halves_differ,
        "difference_training": float(training.mean() - real.mean()),
        "overlap_area": overlap_area(generated, real, width),
        "overlap_halves": halves_overlap,
        "overlap_training": overlap_area(training, real, width),
        "real_std": float(real.std(correction=0)) if len(real) else np.nan,
        "generated_std": float(generated.std(correction=0)) if len(generated) else np.nan,
    }


def _between_halves(genres: Sequence[GenreFeatures], feature: str, seed: int) -> list[float]:
    """Mean absolute difference and mean overlap of the halves of ten halvings, each genre halved separately."""
    pairs = []
    for halving in range(HALVINGS):
        halves: tuple[list[Tensor], list[Tensor]] = ([], [])
        for genre in genres:
            every = torch.cat([clips[feature] for clips in (genre.real, genre.other_real) if feature in clips])
            order = torch.randperm(len(every), generator=rng_at("halves", seed, halving, genre.genre_id))
            for half, index in zip(halves, order.tensor_split(2), strict=True):
                half.append(every[index])
        first, second = map(_defined, halves)
        overlap = overlap_area(first, second, ALL_FEATURES[feature].bin_width)
        pairs.append((float((first.mean() - second.mean()).abs()), overlap))
    return [float(np.mean(values)) for values in zip(*pairs, strict=True)]


def _defined(parts: Sequence[Tensor | None]) -> Tensor:
    """All values that are not NaN."""
    values = torch.cat([torch.empty(0, dtype=torch.float64), *(part for part in parts if part is not None)])
    return values[~values.isnan()]
