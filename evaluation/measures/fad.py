"""Fréchet audio distance of generated to real clips, with what tells whether it means anything.

Every row stands on the same clips: n real test clips as the reference, as many others to measure the floor with, n
real training clips (what a generator that knows its training data by heart would reach), and n generated ones for
each of several seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.options import CheckedOptions, option
from common.randomness import generator_at
from evaluation.samples.clip_embeddings import AudioOptions, ClipEmbedder
from evaluation.samples.clips import ClipOptions, ClipSource, RealClips, open_real_clips
from evaluation.statistics.distances import (
    frechet_distance,
    frechet_infinity,
    kernel_distance,
    random_halves,
    required_rows,
)
from evaluation.statistics.rolls import onsets
from evaluation.tables import ALL_ID, ALL_NAME, Row

REDRAWN, SILENCE = EMPTY = ("redrawn", "silence")
# A generator that hardly ever sounds would be asked for ever.
MAX_DRAWS = 20
# Each genre has latents of its own: clips of one latent are alike in every genre, and would count once for each in all.
FIRST_OF_GENRE = 1_000_000


@dataclass(frozen=True)
class EmptyClipOptions(CheckedOptions):
    """What becomes of clips in which nothing sounds."""

    min_notes: int = option(1, "a clip of fewer notes counts as empty, real or generated", minimum=0)
    empty: str = option(
        REDRAWN, "empty clips are counted, then another is drawn instead, or their silence is embedded", choices=EMPTY
    )


@dataclass(frozen=True)
class FadOptions(ClipOptions, AudioOptions, EmptyClipOptions):
    """The report's protocol by default."""

    clips: int = option(200, "clips of each genre, real and generated", minimum=2)
    generation_seeds: int = option(3, "seeds of generation, for the spread; FAD itself is of the first", minimum=1)
    floor_seeds: int = option(10, "random divisions of the real clips, for the floor", minimum=1)


class Chosen(NamedTuple):
    """Clips bool (n, 128, T), and how many empty ones were met on the way."""

    rolls: np.ndarray
    n_empty: int


class Embedded(NamedTuple):
    """Embeddings of one genre by one embedder, float64 (n, dimension) each, and the empty clips met.

    `pool`: real clips of the split, the first n of them the reference. `train`: real training clips. `generated`:
    those of each seed.
    """

    pool: Tensor
    train: Tensor
    generated: list[Tensor]
    n_empty_real: int
    n_empty: int


def choose_clips(
    draw: Callable[[int, int], np.ndarray], wanted: int, available: int, options: EmptyClipOptions
) -> Chosen:
    """The first `wanted` of the `available` clips that draw(first, count) gives, bool (count, 128, T).

    Empty ones are passed over, unless the options keep their silence.
    """
    kept, n_kept, examined, n_empty = [draw(0, 0)], 0, 0, 0
    while n_kept < wanted and examined < available:
        rolls = draw(examined, min(wanted - n_kept, available - examined))
        sounds = onsets(torch.from_numpy(rolls)).sum((1, 2)).numpy() >= options.min_notes
        kept.append(rolls if options.empty == SILENCE else rolls[sounds])
        n_kept, examined, n_empty = n_kept + len(kept[-1]), examined + len(rolls), n_empty + int((~sounds).sum())
    return Chosen(np.concatenate(kept), n_empty)


def choose_real(clips: RealClips, genre_id: int, wanted: int, options: EmptyClipOptions) -> Chosen:
    """The first `wanted` real clips of a genre, in the order that the seed decides."""
    order = clips.real_order(genre_id)
    return choose_clips(lambda first, count: clips.real(order[first : first + count]), wanted, len(order), options)


def measure_fad(source: ClipSource, options: FadOptions, embedder: ClipEmbedder) -> list[Row]:
    """One row for each genre and one for all (genre_id -1), for each of the embedders.

    A genre without two real or two generated clips has no distance: the row says so in `note`.
    """
    train = open_real_clips(options, source.seq_len, "train")
    by_genre = [
        _embed_genre(source, train, options, embedder, genre_id) if len(source.real_order(genre_id)) else None
        for genre_id in range(len(source.genres))
    ]
    present = [genre_id for genre_id, embedded in enumerate(by_genre) if embedded]
    rows = []
    for each in embedder.embedders:
        facts = embedder.facts(each) | {"empty": options.empty, "min_notes": options.min_notes} | source.facts
        chosen = [(genre_id, source.genres[genre_id], [by_genre[genre_id][each.name]]) for genre_id in present]
        chosen.append((ALL_ID, ALL_NAME, [by_genre[genre_id][each.name] for genre_id in present]))
        for genre_id, name, strata in chosen:
            row = {"T": source.seq_len, "genre_id": genre_id, "genre_name": name}
            rows.append(row | score(strata, options) | facts)
    return rows


def _embed_genre(
    source: ClipSource, train: RealClips, options: FadOptions, embedder: ClipEmbedder, genre_id: int
) -> dict[str, Embedded]:
    """The embeddings of one genre by each embedder's name."""
    n = options.clips

    def generated(seed: int) -> Chosen:
        def draw(first: int, count: int) -> np.ndarray:
            return source.generated(genre_id, genre_id * FIRST_OF_GENRE + first, count, seed=seed)

        return choose_clips(draw, n, MAX_DRAWS * n, options)

    pool = choose_real(source, genre_id, 2 * n, options)
    # Against themselves training clips would have a distance of 0, which no generator can be asked for.
    learned = choose_real(train, genre_id, 0 if options.split == "train" else n, options)
    fakes = [generated(options.seed + number) for number in range(options.generation_seeds)]
    sets = {"real": pool, "training": learned} | {f"generated {number}": fake for number, fake in enumerate(fakes)}
    title = f"T={source.seq_len} {source.genres[genre_id]}"
    embedded = {name: embedder.embed(chosen.rolls, f"{title}, {name}") for name, chosen in sets.items()}
    return {
        each.name: Embedded(
            embedded["real"][each.name],
            embedded["training"][each.name],
            [embedded[f"generated {number}"][each.name] for number in range(len(fakes))],
            pool.n_empty,
            fakes[0].n_empty,
        )
        for each in embedder.embedders
    }


def score(strata: list[Embedded], options: FadOptions) -> Row:
    """The figures of one row from the genres that it is about; None where there is no honest figure.

    FAD: `n_real` reference clips against the `n_fake` of the first seed, on whose way `n_empty` empty ones were met.
    FAD_seeds: mean and standard deviation over the seeds of generation. *_floor: random disjoint halves of the real
    clips, `n_floor` in each. FAD_over_floor: only where the floor has as many clips as the distance. FAD_train:
    training clips against the reference. FAD_infinity: all clips of all seeds, extrapolated. KAD: kernel distance.
    """
    reference = torch.cat([genre.pool[: options.clips] for genre in strata])
    train = torch.cat([genre.train for genre in strata])
    fakes = [torch.cat(parts) for parts in zip(*(genre.generated for genre in strata), strict=True)]
    distances = [defined(frechet_distance, reference, fake) for fake in fakes]
    row = {
        "n_real": len(reference),
        "n_fake": len(fakes[0]),
        "FAD": distances[0],
        "n_empty": sum(genre.n_empty for genre in strata),
        "n_empty_real": sum(genre.n_empty_real for genre in strata),
        "n_seeds": len(fakes),
        "FAD_seeds_mean": _mean(distances),
        "FAD_seeds_std": _std(distances),
        **_floor(strata, options),
        "n_train": len(train),
        "FAD_train": defined(frechet_distance, reference, train),
        "KAD": defined(kernel_distance, reference, fakes[0]),
        **_infinity(torch.cat([genre.pool for genre in strata]), torch.cat(fakes), options.seed),
    }
    same_n = row["n_floor"] == row["n_real"] == row["n_fake"]
    row["FAD_over_floor"] = row["FAD"] / row["FAD_floor"] if same_n and row["FAD"] and row["FAD_floor"] else None
    row["note"] = _note(row, options, len(strata))
    return row


def _floor(strata: list[Embedded], options: FadOptions) -> Row:
    """Distances between random disjoint halves of the real clips."""
    pools = [genre.pool for genre in strata]
    halves = [
        random_halves(pools, generator_at("floor", options.seed, number)) for number in range(options.floor_seeds)
    ]
    frechet = [defined(frechet_distance, *pair) for pair in halves]
    kernel = [defined(kernel_distance, *pair) for pair in halves]
    return {
        "n_floor": len(halves[0][0]),
        "FAD_floor": _mean(frechet),
        "FAD_floor_std": _std(frechet),
        "KAD_floor": _mean(kernel),
        "KAD_floor_std": _std(kernel),
    }


def defined(distance: Callable[[Tensor, Tensor], float], first: Tensor, second: Tensor) -> float | None:
    """A distance, or None where the samples are too small or too uniform to have one."""
    try:
        return distance(first, second)
    except ValueError:
        return None


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else fmean(values)


def _std(values: list[float | None]) -> float | None:
    return None if None in values or len(values) < 2 else stdev(values)


def _infinity(real: Tensor, fake: Tensor, seed: int) -> Row:
    generator = generator_at("infinity", seed)
    value = defined(lambda first, second: frechet_infinity(first, second, generator), real, fake)
    n, needed = min(len(real), len(fake)), required_rows(real.shape[1])
    return {"FAD_infinity": value, "n_infinity": n, "n_infinity_needed": needed}


def _note(row: Row, options: FadOptions, n_genres: int) -> str:
    """Why cells are empty or numbers smaller than asked for."""
    asked, notes = options.clips * n_genres, []
    if row["FAD"] is None:
        notes.append("no FAD: fewer than two clips on a side")
    if row["n_real"] < asked:
        notes.append(f"only {row['n_real']} of {asked} real clips")
    if row["n_fake"] < asked:
        draws = f"in {MAX_DRAWS} times as many draws"
        notes.append(f"only {row['n_fake']} of {asked} generated clips were not empty {draws}")
    if row["FAD_over_floor"] is None and row["FAD"] is not None:
        notes.append(f"no ratio to the floor: it has {row['n_floor']} clips a side")
    if 0 < row["n_train"] < row["n_real"]:
        notes.append(f"FAD_train is of {row['n_train']} clips")
    if row["FAD_infinity"] is None:
        notes.append(f"no FAD_infinity: {row['n_infinity']} clips a side, but it needs {row['n_infinity_needed']}")
    if row["KAD"] is None and row["FAD"] is not None:
        notes.append("no KAD: most of the real clips sound the same")
    return "; ".join(notes)
