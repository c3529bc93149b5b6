"""Fréchet audio distance of generated to real clips, with the floors that show whether it means anything.

Every row is about the same clips: n real clips of the split (reference), n others (floor), n real training clips (the
score of a generator that memorised its training data), and n generated clips for each of several seeds. Over all
genres, both sides of every distance have the same number of each genre: otherwise different proportions of genres would
raise a distance between samples that are alike in every genre.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from audio.files import write_roll_files
from common.genres import genre_file_names
from common.randomness import rng_at
from evaluation.options import SILENCE, EmptyClipOptions, FadOptions
from evaluation.published import FAD, FAD_PAPER, published_for
from evaluation.samples.clip_embeddings import ClipEmbedder
from evaluation.samples.clips import Clips, ClipSource
from evaluation.statistics import distances
from evaluation.statistics.distances import DISTANCES, Fidelity
from evaluation.statistics.extrapolation import ROWS_PER_DIMENSION, frechet_infinity
from evaluation.statistics.features import onsets
from evaluation.tables import ALL_ID, ALL_NAME, BASELINE, LABEL, OURS, REPORTED, Column, ResultTable, columns

# Of a generator that plays hardly any sounding clip, at most so many clips are drawn for each one wanted.
MAX_DRAWS = 20

FAD_TABLE = ResultTable(
    "fad_results.csv",
    "eval_fad_samples.py",
    (
        *columns(LABEL, T="T", origin="made by", genre_name="{condition}"),
        *columns(OURS, n_real="real", n_fake="generated", n_empty="empty", FAD="FAD", FAD_seeds_std="± seeds"),
        *columns(BASELINE, FAD_floor="floor", FAD_floor_std="±"),
        *columns(OURS, FAD_over_floor="FAD / floor"),
        *columns(BASELINE, FAD_train="training clips"),
        *columns(OURS, FAD_infinity="FAD∞", KAD="KAD"),
        *columns(BASELINE, KAD_floor="floor"),
        *columns(OURS, MIND="MIND", MIND_seeds_std="± seeds"),
        *columns(BASELINE, MIND_floor="floor", MIND_floor_std="±", MIND_train="training clips"),
        *(
            column
            for name in Fidelity._fields
            for column in (Column(name, name), Column(f"{name}_train", "training clips", BASELINE))
        ),
        *columns(REPORTED, reported="reported", reported_paper="reported by [1]"),
    ),
    protocol=(
        "split", "seed", "store_content", "threshold", "min_note_frames", "n_real", "synth", "soundfont_sha256",
        "empty", "min_notes",
    ),
)  # fmt: skip


class Chosen(NamedTuple):
    """Clips bool (n, 128, T), and the number of empty ones that were drawn."""

    rolls: np.ndarray
    n_empty: int


class Stratum(NamedTuple):
    """Embeddings of one genre by one embedder, float64 (n, dimension) each, and the number of empty clips.

    `pool`: real clips of the split, the first n of them the reference. `train`: real training clips. `generated`: one
    tensor for each seed.
    """

    pool: Tensor
    train: Tensor
    generated: list[Tensor]
    n_empty_real: int
    n_empty: int


def choose_clips(
    clips: Clips, genre_id: int, wanted: int, options: EmptyClipOptions, at_most: int | float = math.inf
) -> Chosen:
    """The first `wanted` clips of a genre that are not empty (or with empty ones, if `options` embed their silence).

    There may be fewer. Examines `at_most` clips.
    """
    kept, n_kept, examined, n_empty = [clips.clips(genre_id, 0, 0)], 0, 0, 0
    while missing := int(min(wanted - n_kept, at_most - examined)):
        rolls = clips.clips(genre_id, examined, missing)
        if not len(rolls):
            break
        sounds = onsets(torch.from_numpy(rolls)).sum((1, 2)).numpy() >= options.min_notes
        kept.append(rolls if options.empty == SILENCE else rolls[sounds])
        n_kept, examined, n_empty = n_kept + len(kept[-1]), examined + len(rolls), n_empty + int((~sounds).sum())
    return Chosen(np.concatenate(kept), n_empty)


def measure_fad(source: ClipSource, options: FadOptions, embedder: ClipEmbedder) -> pd.DataFrame:
    """A row for each genre and one for all (genre_id -1), for each of the embedders.

    A genre without two real or two generated clips has no distance; `note` says so.
    """
    by_genre = [_embed_genre(source, options, embedder, genre_id) for genre_id in range(len(source.genres))]
    rows = []
    for each in embedder.embedders:
        facts = embedder.facts(each) | {"empty": options.empty, "min_notes": options.min_notes} | source.facts
        strata = [embedded[each.name] for embedded in by_genre]
        groups = [(genre_id, name, [strata[genre_id]]) for genre_id, name in enumerate(source.genres)]
        for genre_id, name, members in [*groups, (ALL_ID, ALL_NAME, strata)]:
            row = {"T": source.seq_len, "genre_id": genre_id, "genre_name": name}
            rows.append(row | fad_row(members, options) | facts)
    frame = pd.DataFrame(rows)
    for column, published in (("reported", FAD), ("reported_paper", FAD_PAPER)):
        frame[column] = frame["genre_name"].map(published_for(published, source.seq_len, source.genres)).astype(float)
    return frame


def _embed_genre(source: ClipSource, options: FadOptions, embedder: ClipEmbedder, genre_id: int) -> dict[str, Stratum]:
    """The embeddings of one genre by embedder name."""
    n = options.clips
    pool = choose_clips(source.real, genre_id, 2 * n, options)
    # The distance of training clips to themselves would be 0, which is no baseline.
    learned = choose_clips(source.training, genre_id, 0 if options.split == "train" else n, options)
    wanted = min(n, len(pool.rolls))
    seeded = [replace(source, seed=options.seed + number) for number in range(options.generation_seeds)]
    fakes = [choose_clips(each, genre_id, wanted, options, MAX_DRAWS * wanted) for each in seeded]
    sets = {"real": pool, "training": learned} | {f"generated {number}": fake for number, fake in enumerate(fakes)}
    if options.save_clips:
        for name, chosen in sets.items():
            genre, folder = genre_file_names(source.genres)[genre_id], _clip_folder(source, options.save_clips, name)
            rolls = {f"{genre}_{number:03d}": roll for number, roll in enumerate(chosen.rolls)}
            rate, renderer = source.trained.frames_per_second, embedder.renderer
            write_roll_files(folder / "midi", rolls, rate, renderer, folder / "wav")
    title = f"{source.title} {source.genres[genre_id]}"
    embedded = [embedder.embed(chosen.rolls, f"{title}, {name}") for name, chosen in sets.items()]
    strata = {}
    for each in embedder.embedders:
        real, training, *generated = (vectors[each.name] for vectors in embedded)
        strata[each.name] = Stratum(real, training, generated, pool.n_empty, fakes[0].n_empty)
    return strata


def saved_clips(sources: Iterable[ClipSource], options: FadOptions) -> list[Path]:
    """The clips in --save-clips that are there already, and that `measure_fad` may write again."""
    paths: list[Path] = []
    for source in sources if options.save_clips else ():
        genres = "|".join(genre_file_names(source.genres))
        for name in ("real", "training", *(f"generated {number}" for number in range(options.generation_seeds))):
            found = _clip_folder(source, options.save_clips, name).glob("*/*")
            paths += [path for path in found if re.fullmatch(rf"({genres})_\d+\.(mid|wav)", path.name)]
    return paths


def _clip_folder(source: ClipSource, folder: Path, name: str) -> Path:
    """T128/{real, training, ORIGIN_seed0, ...}, for {midi, wav}/jazz_000.{mid, wav}."""
    maker = re.sub(r"\W+", "_", source.facts["origin"]).strip("_")
    return folder / f"T{source.seq_len}" / name.replace("generated ", f"{maker}_seed")


def fad_row(strata: list[Stratum], options: FadOptions) -> dict[str, Any]:
    """The values of one row about the genres `strata`; NaN if one cannot be given.

    Each of `DISTANCES`: `n_real` reference clips against the `n_fake` of the first seed, with `n_empty` empty ones
    drawn on the way. *_seeds: mean and standard deviation over the seeds of generation. *_floor: random disjoint halves
    of the real clips, `n_floor` in each. *_train: training clips against the reference. FAD_over_floor: only if the
    floor has as many clips as the distance. FAD_infinity: all clips of all seeds, extrapolated. Precision, recall,
    density, coverage: see `fidelity`.
    """
    # As many generated clips of each seed as reference clips, and at most twice as many real ones in all.
    numbers = [min(options.clips, len(genre.pool), *map(len, genre.generated)) for genre in strata]
    pools = [genre.pool[: 2 * n] for genre, n in zip(strata, numbers, strict=True)]
    references = [pool[:n] for pool, n in zip(pools, numbers, strict=True)]
    generated = [[fakes[:n] for fakes in genre.generated] for genre, n in zip(strata, numbers, strict=True)]
    trains = [genre.train for genre in strata]
    reference, fakes = torch.cat(references), [torch.cat(of_seed) for of_seed in zip(*generated, strict=True)]
    halves = distances.floor_halves(pools, options.seed, options.floor_seeds)
    of_train = _balanced(references, trains)
    of_all_seeds = _balanced(pools, map(torch.cat, generated))
    rng = rng_at("infinity", options.seed)
    row = {
        "n_real": len(reference),
        "n_fake": len(fakes[0]),
        "n_empty": sum(genre.n_empty for genre in strata),
        "n_empty_real": sum(genre.n_empty_real for genre in strata),
        "n_seeds": len(fakes),
        "n_floor": len(halves[0][0]),
        "n_train": len(of_train[0]),
        "FAD_infinity": defined(lambda *pair: frechet_infinity(*pair, rng), *of_all_seeds),
        "n_infinity": len(of_all_seeds[0]),
        "n_infinity_needed": ROWS_PER_DIMENSION * reference.shape[1],
        **_fidelity(reference, fakes[0], ""),
        **_fidelity(reference, torch.cat([rows[:n] for rows, n in zip(trains, numbers, strict=True)]), "_train"),
    }
    for name, distance in DISTANCES.items():
        seeds, floor = over(distance, [(reference, fake) for fake in fakes]), over(distance, halves)
        row |= {
            name: seeds[0],
            f"{name}_seeds_mean": seeds.mean(skipna=False),
            f"{name}_seeds_std": seeds.std(skipna=False),
            f"{name}_floor": floor.mean(skipna=False),
            f"{name}_floor_std": floor.std(skipna=False),
            f"{name}_train": defined(distance, *of_train),
        }
    same_n = row["n_floor"] == row["n_real"] == row["n_fake"]
    row["FAD_over_floor"] = row["FAD"] / row["FAD_floor"] if same_n and row["FAD_floor"] else np.nan
    row["note"] = _note(row, options, strata)
    return row


def _balanced(*samples: Iterable[Tensor]) -> list[Tensor]:
    """Two samples with the same number of rows of each genre, from the rows of each genre."""
    cut = [[rows[: min(map(len, pair))] for rows in pair] for pair in zip(*samples, strict=True)]
    return [torch.cat(parts) for parts in zip(*cut, strict=True)]


def _fidelity(reference: Tensor, clips: Tensor, suffix: str) -> dict[str, float]:
    values = defined(distances.fidelity, reference, clips, otherwise=[np.nan] * len(Fidelity._fields))
    return {f"{name}{suffix}": value for name, value in zip(Fidelity._fields, values, strict=True)}


def over(distance: Callable[[Tensor, Tensor], float], pairs: Iterable[tuple[Tensor, Tensor]]) -> pd.Series:
    """The distance of each pair of samples, NaN if it is not `defined`."""
    return pd.Series([defined(distance, *pair) for pair in pairs], dtype=float)


def defined(metric: Callable[[Tensor, Tensor], Any], first: Tensor, second: Tensor, otherwise: Any = np.nan) -> Any:
    """The value of a metric, or NaN if the samples are too small or too uniform."""
    try:
        return metric(first, second)
    except ValueError:
        return otherwise


def _note(row: dict[str, Any], options: FadOptions, strata: list[Stratum]) -> str:
    """Reasons for NaN, and for fewer clips than `options` request."""
    requested, n, has_fad = options.clips * len(strata), row["n_real"], not np.isnan(row["FAD"])
    n_real = sum(min(options.clips, len(genre.pool)) for genre in strata)
    n_generated = sum(min(map(len, genre.generated)) for genre in strata)
    if not n_real:
        return f"no {options.split} clips"
    draws = f"in {MAX_DRAWS} times as many draws"
    too_few = f"{row['n_infinity']} clips a side, but it needs {row['n_infinity_needed']}"
    reasons = (
        (not has_fad, "no FAD: fewer than two clips on a side"),
        (n_real < requested, f"only {n_real} of {requested} real clips"),
        (n_generated < n_real, f"only {n_generated} of {n_real} generated clips were not empty {draws}"),
        (len(strata) > 1 and n < requested, f"{n} clips a side: each genre has as many real as generated ones"),
        (has_fad and np.isnan(row["FAD_over_floor"]), f"no ratio to the floor: it has {row['n_floor']} clips a side"),
        (0 < row["n_train"] < n, f"FAD_train is of {row['n_train']} clips a side"),
        (np.isnan(row["FAD_infinity"]), f"no FAD_infinity: {too_few}"),
        (has_fad and np.isnan(row["KAD"]), "no KAD: most of the real clips sound the same"),
    )
    return "; ".join(text for applies, text in reasons if applies)
