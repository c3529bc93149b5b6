"""Fréchet audio distance of generated to real clips, with what tells whether it means anything.

Every row stands on the same clips: n real test clips as the reference, as many others to measure the floor with, n
real training clips (what a generator that knows its training data by heart would reach), and n generated ones for
each of several seeds. For all genres together, n of each genre is the same on both sides of every distance: samples
that mix genres in other proportions would be apart although each genre is alike.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
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
from evaluation.samples.clips import ClipOptions, ClipSource, RealClips
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
# A generator that hardly ever sounds would be asked for ever.
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
    """What becomes of clips in which nothing sounds."""

    min_notes: int = option(1, "a clip of fewer notes counts as empty, real or generated", minimum=0)
    empty: str = option(
        REDRAWN, "empty clips are counted, then another is drawn instead, or their silence is embedded", choices=EMPTY
    )


@dataclass(frozen=True)
class FadOptions(ClipOptions, AudioOptions, EmptyClipOptions):
    """The report's protocol by default."""

    clips: int = option(200, "clips of each genre, real and generated", minimum=2, maximum=1_000_000)
    generation_seeds: int = option(3, "seeds of generation, for the spread; FAD itself is of the first", minimum=1)
    save_clips: Path | None = option(
        None, "folder for all clips that are compared, for other tools: folders of MIDI and of WAV files"
    )
    floor_seeds: int = option(10, "random divisions of the real clips, for the floor", minimum=1)


class Chosen(NamedTuple):
    """Clips bool (n, 128, T), and how many empty ones were met on the way."""

    rolls: np.ndarray
    n_empty: int


class Stratum(NamedTuple):
    """Embeddings of one genre by one embedder, float64 (n, dimension) each, and the empty clips met.

    `pool`: real clips of the split, the first n of them the reference. `train`: real training clips. `generated`:
    those of each seed.
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


def measure_fad(source: ClipSource, options: FadOptions, embedder: ClipEmbedder) -> pd.DataFrame:
    """One row for each genre and one for all (genre_id -1), for each of the embedders.

    A genre without two real or two generated clips has no distance: the row says so in `note`.
    """
    train = source.of_split("train")
    by_genre = [_embed_genre(source, train, options, embedder, genre_id) for genre_id in range(len(source.genres))]
    rows = []
    for each in embedder.embedders:
        facts = embedder.facts(each) | {"empty": options.empty, "min_notes": options.min_notes} | source.facts
        strata = [embedded[each.name] for embedded in by_genre]
        groups = [(genre_id, name, [strata[genre_id]]) for genre_id, name in enumerate(source.genres)]
        for genre_id, name, members in [*groups, (ALL_ID, ALL_NAME, strata)]:
            row = {"T": source.seq_len, "genre_id": genre_id, "genre_name": name}
            rows.append(row | score(members, options) | facts)
    frame = pd.DataFrame(rows)
    for column, published in (("reported", FAD), ("reported_paper", FAD_PAPER)):
        frame[column] = frame["genre_name"].map(published_for(published, source.seq_len, source.genres)).astype(float)
    return frame


def _embed_genre(
    source: ClipSource, train: RealClips, options: FadOptions, embedder: ClipEmbedder, genre_id: int
) -> dict[str, Stratum]:
    """The embeddings of one genre by each embedder's name."""
    n = options.clips
    pool = choose_real(source, genre_id, 2 * n, options)
    # Against themselves training clips would have a distance of 0, which no generator can be asked for.
    learned = choose_real(train, genre_id, 0 if options.split == "train" else n, options)
    # Of a genre without real clips there is nothing to compare generated ones with.
    wanted = min(n, len(pool.rolls))
    fakes = [
        choose_clips(
            lambda first, count, seed=options.seed + number: source.generated(genre_id, first, count, seed=seed),
            wanted, MAX_DRAWS * wanted, options,
        )
        for number in range(options.generation_seeds)
    ]  # fmt: skip
    sets = {"real": pool, "training": learned} | {f"generated {number}": fake for number, fake in enumerate(fakes)}
    if options.save_clips:
        _save_clips(options.save_clips, source, embedder.renderer, genre_id, sets)
    title = f"{source.title} {source.genres[genre_id]}"
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
    """Write a genre's clips as T128/{real, training, maker 0, ...}/{midi, wav}/jazz_000.{mid, wav}."""
    maker = re.sub(r"\W+", "_", source.facts["origin"]).strip("_")
    genre = genre_file_names(source.genres)[genre_id]
    for name, chosen in sets.items():
        below = folder / f"T{source.seq_len}" / name.replace("generated ", f"{maker}_seed")
        rolls = {f"{genre}_{number:03d}": roll for number, roll in enumerate(chosen.rolls)}
        write_roll_files(below / "midi", rolls, source.trained.frames_per_second, renderer, below / "wav")


def score(strata: list[Stratum], options: FadOptions) -> dict[str, Any]:
    """The figures of one row from the genres that it is about; None where there is no honest figure.

    FAD: `n_real` reference clips against the `n_fake` of the first seed, on whose way `n_empty` empty ones were met.
    FAD_seeds: mean and standard deviation over the seeds of generation. *_floor: random disjoint halves of the real
    clips, `n_floor` in each. FAD_over_floor: only where the floor has as many clips as the distance. FAD_train:
    training clips against the reference. FAD_infinity: all clips of all seeds, extrapolated. KAD: kernel distance.
    Precision, recall, density, coverage: see `evaluation.statistics.fidelity`.
    """
    cut = [stratum.cut(options.clips) for stratum in strata]
    reference = torch.cat([genre.reference for genre in cut])
    fakes = [torch.cat(parts) for parts in zip(*(genre.generated for genre in cut), strict=True)]
    distances = pd.Series([defined(frechet_distance, reference, fake) for fake in fakes], dtype=float)
    row = {
        "n_real": len(reference),
        "n_fake": len(fakes[0]),
        "FAD": distances[0],
        "n_empty": sum(genre.n_empty for genre in strata),
        "n_empty_real": sum(genre.n_empty_real for genre in strata),
        "n_seeds": len(fakes),
        "FAD_seeds_mean": distances.mean(skipna=False),
        "FAD_seeds_std": distances.std(skipna=False),
        **_floor(cut, options),
        **_against_training(cut),
        "KAD": defined(kernel_distance, reference, fakes[0]),
        **_infinity(cut, options.seed),
        **_fidelity(cut, reference, fakes[0]),
    }
    same_n = row["n_floor"] == row["n_real"] == row["n_fake"]
    row["FAD_over_floor"] = row["FAD"] / row["FAD_floor"] if same_n and row["FAD_floor"] else np.nan
    row["note"] = _note(row, options, strata)
    return row


def _floor(strata: list[Stratum], options: FadOptions) -> dict[str, Any]:
    """Distances between random disjoint halves of the real clips."""
    pools = [genre.pool for genre in strata]
    halves = [
        random_halves(pools, rng_at("floor", options.seed, number)) for number in range(options.floor_seeds)
    ]
    frechet, kernel = (
        pd.Series([defined(distance, *pair) for pair in halves], dtype=float)
        for distance in (frechet_distance, kernel_distance)
    )
    return {
        "n_floor": len(halves[0][0]),
        "FAD_floor": frechet.mean(skipna=False),
        "FAD_floor_std": frechet.std(skipna=False),
        "KAD_floor": kernel.mean(skipna=False),
        "KAD_floor_std": kernel.std(skipna=False),
    }


def _against_training(strata: list[Stratum]) -> dict[str, Any]:
    """The distance of training clips to the reference, as many of each genre on both sides."""
    counts = [min(len(genre.reference), len(genre.train)) for genre in strata]
    real = torch.cat([genre.reference[:n] for genre, n in zip(strata, counts, strict=True)])
    train = torch.cat([genre.train[:n] for genre, n in zip(strata, counts, strict=True)])
    return {"n_train": len(train), "FAD_train": defined(frechet_distance, real, train)}


def _fidelity(strata: list[Stratum], reference: Tensor, fake: Tensor) -> dict[str, float]:
    """Precision, recall, density and coverage of generated clips; *_train: of training clips in their place."""
    row = {}
    for suffix, clips in (("", fake), ("_train", torch.cat([genre.train[: len(genre.reference)] for genre in strata]))):
        try:
            values = fidelity(reference, clips)
        except ValueError:
            values = Fidelity(np.nan, np.nan, np.nan, np.nan)
        row |= {f"{name}{suffix}": value for name, value in values._asdict().items()}
    return row


def _infinity(strata: list[Stratum], seed: int) -> dict[str, Any]:
    """The distance of all real clips to those of all seeds, extrapolated; as many of each genre on both sides."""
    together = [(genre.pool, torch.cat(genre.generated)) for genre in strata]
    counts = [min(map(len, pair)) for pair in together]
    real, fake = (
        torch.cat([pair[side][:n] for pair, n in zip(together, counts, strict=True)]) for side in (0, 1)
    )
    generator = rng_at("infinity", seed)
    value = defined(lambda first, second: frechet_infinity(first, second, generator), real, fake)
    return {"FAD_infinity": value, "n_infinity": len(real), "n_infinity_needed": required_rows(real.shape[1])}


def defined(distance: Callable[[Tensor, Tensor], float], first: Tensor, second: Tensor) -> float:
    """A distance, or NaN where the samples are too small or too uniform to have one."""
    try:
        return distance(first, second)
    except ValueError:
        return np.nan


def _note(row: dict[str, Any], options: FadOptions, strata: list[Stratum]) -> str:
    """Why cells are empty or numbers smaller than asked for."""
    asked, notes = options.clips * len(strata), []
    n_real = sum(min(options.clips, len(genre.pool)) for genre in strata)
    if not n_real:
        return f"no {options.split} clips"
    if np.isnan(row["FAD"]):
        notes.append("no FAD: fewer than two clips on a side")
    if n_real < asked:
        notes.append(f"only {n_real} of {asked} real clips")
    n_generated = sum(min(map(len, genre.generated)) for genre in strata)
    if n_generated < n_real:
        draws = f"in {MAX_DRAWS} times as many draws"
        notes.append(f"only {n_generated} of {n_real} generated clips were not empty {draws}")
    if len(strata) > 1 and row["n_real"] < asked:
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
