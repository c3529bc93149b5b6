"""Fréchet audio distance of generated to real clips, with the floors that show whether it means anything.

Every row is about the same clips: n real clips of the split (reference), n others (floor), n real training clips (the
score of a generator that memorised its training data), and n generated clips for each of several seeds. Over all
genres, both sides of every distance have the same number of each genre: otherwise different proportions of genres would
raise a distance between samples that are alike in every genre.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from audio.roll_files import write_roll_files
from audio.synthesis import Renderer
from common.genres import genre_file_names
from common.options import CheckedOptions, option
from common.randomness import rng_at
from evaluation.published import FAD, FAD_PAPER, published_for
from evaluation.samples.clip_embeddings import AudioOptions, ClipEmbedder
from evaluation.samples.clips import ClipOptions, Clips, ClipSource, RealClips
from evaluation.statistics.distances import (
    frechet_distance,
    frechet_infinity,
    kernel_distance,
    random_halves,
    required_rows,
)
from evaluation.statistics.fidelity import Fidelity, fidelity
from evaluation.statistics.rolls import onsets
from evaluation.tables import ALL_ID, ALL_NAME, BASELINE, LABEL, REPORTED, Column, ResultTable

REDRAWN, SILENCE = EMPTY = ("redrawn", "silence")
# Of a generator that plays hardly any sounding clip, at most so many clips are drawn for each one wanted.
MAX_DRAWS = 20

FAD_TABLE = ResultTable(
    "fad_results.csv",
    "eval_fad_samples.py",
    (
        Column("T", "T", LABEL),
        Column("origin", "made by", LABEL),
        Column("genre_name", "{condition}", LABEL),
        Column("n_real", "real"),
        Column("n_fake", "generated"),
        Column("n_empty", "empty"),
        Column("FAD", "FAD"),
        Column("FAD_seeds_std", "± seeds"),
        Column("FAD_floor", "floor", BASELINE),
        Column("FAD_floor_std", "±", BASELINE),
        Column("FAD_over_floor", "FAD / floor"),
        Column("FAD_train", "training clips", BASELINE),
        Column("FAD_infinity", "FAD∞"),
        Column("KAD", "KAD"),
        Column("KAD_floor", "floor", BASELINE),
        *(
            column
            for name in Fidelity._fields
            for column in (Column(name, name), Column(f"{name}_train", "training clips", BASELINE))
        ),
        Column("reported", "reported", REPORTED),
        Column("reported_paper", "reported by [1]", REPORTED),
    ),
    protocol=(
        "split", "seed", "store_content", "threshold", "min_note_frames", "n_real", "synth", "soundfont_sha256",
        "empty", "min_notes",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class EmptyClipOptions(CheckedOptions):
    """Treatment of clips without sound."""

    min_notes: int = option(1, "a clip of fewer notes counts as empty, real or generated", minimum=0)
    empty: str = option(REDRAWN, "redraw empty clips, or embed their silence; they are always counted", choices=EMPTY)


@dataclass(frozen=True)
class FadOptions(ClipOptions, AudioOptions, EmptyClipOptions):
    """The defaults are the report's protocol."""

    clips: int = option(200, "clips of each genre, real and generated", minimum=2, maximum=1_000_000)
    generation_seeds: int = option(3, "seeds of generation, for the spread; FAD is of the first", minimum=1)
    save_clips: Path | None = option(None, "folder to write all compared clips to, as MIDI and WAV files")
    floor_seeds: int = option(10, "random divisions of the real clips, for the floor", minimum=1)


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

    def cut(self, clips: int) -> "Stratum":
        """As many generated clips of each seed as reference clips, and at most twice as many real ones in all."""
        n = min(clips, len(self.pool), *map(len, self.generated))
        return self._replace(pool=self.pool[: 2 * n], generated=[fakes[:n] for fakes in self.generated])

    @property
    def reference(self) -> Tensor:
        return self.pool[: len(self.generated[0])]


def choose_clips(
    clips: Clips, genre_id: int, wanted: int, options: EmptyClipOptions, at_most: int | None = None
) -> Chosen:
    """The first `wanted` clips of a genre that are not empty (or with empty ones, if `options` embed their silence).

    There may be fewer. Examines `at_most` clips.
    """
    kept, n_kept, examined, n_empty = [clips.clips(genre_id, 0, 0)], 0, 0, 0
    while n_kept < wanted and (at_most is None or examined < at_most):
        missing = wanted - n_kept
        rolls = clips.clips(genre_id, examined, missing if at_most is None else min(missing, at_most - examined))
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
    train = source.real.of_split("train")
    seeded = [replace(source, seed=options.seed + number) for number in range(options.generation_seeds)]
    by_genre = [
        _embed_genre(source.real, train, seeded, options, embedder, genre_id)
        for genre_id in range(len(source.genres))
    ]
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


def _embed_genre(
    real: RealClips, train: RealClips, seeded: Sequence[ClipSource], options: FadOptions, embedder: ClipEmbedder,
    genre_id: int,
) -> dict[str, Stratum]:  # fmt: skip
    """The embeddings of one genre by embedder name. `seeded`: a source for each seed of generation."""
    n, first = options.clips, seeded[0]
    pool = choose_clips(real, genre_id, 2 * n, options)
    # The distance of training clips to themselves would be 0, which is no baseline.
    learned = choose_clips(train, genre_id, 0 if options.split == "train" else n, options)
    wanted = min(n, len(pool.rolls))
    fakes = [choose_clips(source, genre_id, wanted, options, MAX_DRAWS * wanted) for source in seeded]
    sets = {"real": pool, "training": learned} | {f"generated {number}": fake for number, fake in enumerate(fakes)}
    if options.save_clips:
        _save_clips(options.save_clips, first, embedder.renderer, genre_id, sets)
    title = f"{first.title} {first.genres[genre_id]}"
    embedded = {name: embedder.embed(chosen.rolls, f"{title}, {name}") for name, chosen in sets.items()}
    return {
        each.name: Stratum(
            embedded["real"][each.name],
            embedded["training"][each.name],
            [embedded[f"generated {number}"][each.name] for number in range(len(fakes))],
            pool.n_empty,
            fakes[0].n_empty,
        )
        for each in embedder.embedders
    }


def _save_clips(
    folder: Path, source: ClipSource, renderer: Renderer, genre_id: int, sets: dict[str, Chosen]
) -> None:
    """Write a genre's clips as T128/{real, training, ORIGIN_seed0, ...}/{midi, wav}/jazz_000.{mid, wav}."""
    maker = re.sub(r"\W+", "_", source.facts["origin"]).strip("_")
    genre = genre_file_names(source.genres)[genre_id]
    for name, chosen in sets.items():
        below = folder / f"T{source.seq_len}" / name.replace("generated ", f"{maker}_seed")
        rolls = {f"{genre}_{number:03d}": roll for number, roll in enumerate(chosen.rolls)}
        write_roll_files(below / "midi", rolls, source.trained.frames_per_second, renderer, below / "wav")


def fad_row(strata: list[Stratum], options: FadOptions) -> dict[str, Any]:
    """The values of one row about the genres `strata`; NaN if one cannot be given.

    FAD: `n_real` reference clips against the `n_fake` of the first seed, with `n_empty` empty ones drawn on the way.
    FAD_seeds: mean and standard deviation over the seeds of generation. *_floor: random disjoint halves of the real
    clips, `n_floor` in each. FAD_over_floor: only if the floor has as many clips as the distance. *_train: training
    clips against the reference. FAD_infinity: all clips of all seeds, extrapolated. KAD: kernel distance. Precision,
    recall, density, coverage: see `evaluation.statistics.fidelity`.
    """
    cut = [stratum.cut(options.clips) for stratum in strata]
    reference = torch.cat([genre.reference for genre in cut])
    fakes = [torch.cat(parts) for parts in zip(*(genre.generated for genre in cut), strict=True)]
    seeds = pd.Series([defined(frechet_distance, reference, fake) for fake in fakes], dtype=float)
    halves = [
        random_halves([genre.pool for genre in cut], rng_at("floor", options.seed, number))
        for number in range(options.floor_seeds)
    ]
    floor, kernel_floor = (
        pd.Series([defined(distance, *pair) for pair in halves], dtype=float)
        for distance in (frechet_distance, kernel_distance)
    )
    of_train = _balanced([(genre.reference, genre.train) for genre in cut])
    of_all_seeds = _balanced([(genre.pool, torch.cat(genre.generated)) for genre in cut])
    rng = rng_at("infinity", options.seed)
    row = {
        "n_real": len(reference),
        "n_fake": len(fakes[0]),
        "FAD": seeds[0],
        "n_empty": sum(genre.n_empty for genre in strata),
        "n_empty_real": sum(genre.n_empty_real for genre in strata),
        "n_seeds": len(fakes),
        "FAD_seeds_mean": seeds.mean(skipna=False),
        "FAD_seeds_std": seeds.std(skipna=False),
        "n_floor": len(halves[0][0]),
        "FAD_floor": floor.mean(skipna=False),
        "FAD_floor_std": floor.std(skipna=False),
        "KAD_floor": kernel_floor.mean(skipna=False),
        "KAD_floor_std": kernel_floor.std(skipna=False),
        "n_train": len(of_train[0]),
        "FAD_train": defined(frechet_distance, *of_train),
        "KAD": defined(kernel_distance, reference, fakes[0]),
        "FAD_infinity": defined(lambda *pair: frechet_infinity(*pair, rng), *of_all_seeds),
        "n_infinity": len(of_all_seeds[0]),
        "n_infinity_needed": required_rows(reference.shape[1]),
        **_fidelity(reference, fakes[0], ""),
        **_fidelity(reference, torch.cat([genre.train[: len(genre.reference)] for genre in cut]), "_train"),
    }
    same_n = row["n_floor"] == row["n_real"] == row["n_fake"]
    row["FAD_over_floor"] = row["FAD"] / row["FAD_floor"] if same_n and row["FAD_floor"] else np.nan
    row["note"] = _note(row, options, strata)
    return row


def _balanced(genres: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Two samples with the same number of rows of each genre."""
    cut = [[rows[: min(map(len, pair))] for rows in pair] for pair in genres]
    first, second = (torch.cat(parts) for parts in zip(*cut, strict=True))
    return first, second


def _fidelity(reference: Tensor, clips: Tensor, suffix: str) -> dict[str, float]:
    try:
        values = fidelity(reference, clips)
    except ValueError:
        values = Fidelity(np.nan, np.nan, np.nan, np.nan)
    return {f"{name}{suffix}": value for name, value in values._asdict().items()}


def defined(distance: Callable[[Tensor, Tensor], float], first: Tensor, second: Tensor) -> float:
    """A distance, or NaN if the samples are too small or too uniform."""
    try:
        return distance(first, second)
    except ValueError:
        return np.nan


def _note(row: dict[str, Any], options: FadOptions, strata: list[Stratum]) -> str:
    """Reasons for NaN, and for fewer clips than `options` request."""
    requested, notes = options.clips * len(strata), []
    n_real = sum(min(options.clips, len(genre.pool)) for genre in strata)
    if not n_real:
        return f"no {options.split} clips"
    if np.isnan(row["FAD"]):
        notes.append("no FAD: fewer than two clips on a side")
    if n_real < requested:
        notes.append(f"only {n_real} of {requested} real clips")
    n_generated = sum(min(map(len, genre.generated)) for genre in strata)
    if n_generated < n_real:
        draws = f"in {MAX_DRAWS} times as many draws"
        notes.append(f"only {n_generated} of {n_real} generated clips were not empty {draws}")
    if len(strata) > 1 and row["n_real"] < requested:
        notes.append(f"{row['n_real']} clips a side: each genre has as many real as generated ones")
    if np.isnan(row["FAD_over_floor"]) and not np.isnan(row["FAD"]):
        notes.append(f"no ratio to the floor: it has {row['n_floor']} clips a side")
    if 0 < row["n_train"] < row["n_real"]:
        notes.append(f"FAD_train is of {row['n_train']} clips a side")
    if np.isnan(row["FAD_infinity"]):
        notes.append(f"no FAD_infinity: {row['n_infinity']} clips a side, but it needs {row['n_infinity_needed']}")
    if np.isnan(row["KAD"]) and not np.isnan(row["FAD"]):
        notes.append("no KAD: most of the real clips sound the same")
    return "; ".join(notes)
