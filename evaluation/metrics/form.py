"""Form: generated pieces of several minutes against real songs that are at least as long, minute by minute."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data.store import RollStore
from evaluation.metrics.fad import defined
from evaluation.options import FormOptions
from evaluation.samples.clip_embeddings import ClipEmbedder
from evaluation.samples.clips import ClipSource
from evaluation.samples.songs import RealSongs
from evaluation.statistics.distances import frechet_distance
from evaluation.statistics.form import FORM_FEATURES, minute_features, minute_windows, self_similarity, window_profiles
from evaluation.tables import ALL_ID, ALL_NAME, BASELINE, LABEL, OURS, Column, ResultTable, columns

MINUTE_SECONDS, WINDOW_SECONDS, STEP_SECONDS = 60, 8, 0.25
MOST_SONGS = 100  # of each genre
WHOLE = "whole"  # in place of the number of a minute: the whole piece

FORM_TABLE = ResultTable(
    "form.csv",
    "-m programs.form",
    (
        *columns(LABEL, origin="made by", genre_name="{condition}", minute="minute"),
        *(
            column
            for key, heading in {
                "note_density": "onsets/s", "silent_frames": "silent", "sounding_keys": "keys at once",
                "pitch_classes": "pitch classes",
            }.items()
            for column in (Column(key, heading), Column(f"{key}_real", "real", BASELINE))
        ),
        *columns(OURS, FAD="FAD"),
        *columns(BASELINE, FAD_floor="floor"),
        *columns(OURS, similarity="self-similarity", shuffled="shuffled"),
        *columns(BASELINE, similarity_real="real", shuffled_real="real, shuffled"),
    ),
    protocol=(
        "T", "split", "seed", "store_content", "threshold", "min_note_frames", "minutes", "synth", "soundfont_sha256",
    ),
)  # fmt: skip


class Pieces(NamedTuple):
    """n pieces of one genre, generated or real.

    `features`: float64 (n, minutes) by name. `similarity`: as `self_similarity` returns it. `vectors`: embeddings of
    the windows of each minute of some of the pieces, float64 (pieces, minutes, windows, D) by embedder.
    """

    features: dict[str, Tensor]
    similarity: tuple[float, float]
    vectors: dict[str, Tensor]


class Genre(NamedTuple):
    """The pieces of one genre. As many generated pieces as real songs are embedded, or fewer."""

    genre_id: int
    generated: Pieces
    real: Pieces


def long_songs(store: RollStore, options: FormOptions) -> RealSongs:
    """The songs of the options' split that last `minutes` at least."""
    n_frames = options.minutes * MINUTE_SECONDS * store.frames_per_second
    return RealSongs(store, options.split, options.seed, options.min_note_frames, n_frames)


def measure_form(source: ClipSource, songs: RealSongs, options: FormOptions, embedder: ClipEmbedder) -> pd.DataFrame:
    """A row for each embedder, genre with `songs` and minute, and one for the whole pieces, `minute` "whole".

    Features: means over pieces, *_real: over songs. FAD: windows of a minute against those of the same minute of as
    many songs, *_floor: of other songs, if there are as many. `similarity`: mean cosine of the `window_profiles` of
    two windows of a piece; `shuffled`: of two pieces. Rows of all genres (genre_id -1) have means over genres, so that
    genres weigh equally, and the FAD of all windows.
    """
    genres = []
    for genre_id in range(len(source.genres)):
        real = songs.rolls(genre_id, MOST_SONGS)
        if len(real):
            windows = -(-songs.n_frames // source.seq_len)
            generated = source.pieces(genre_id, options.pieces, windows)[:, :, : songs.n_frames]
            of_genre = f"{source.title} {source.genres[genre_id]}"
            fakes = _measure(generated, min(len(real), options.pieces), embedder, f"{of_genre}, generated")
            genres.append(Genre(genre_id, fakes, _measure(real, 2 * options.pieces, embedder, f"{of_genre}, real")))
    rows = []
    for each in embedder.embedders:
        facts = embedder.facts(each) | {"minutes": options.minutes} | source.facts
        groups = [(genre.genre_id, source.genres[genre.genre_id], [genre]) for genre in genres]
        for genre_id, name, members in [*groups, (ALL_ID, ALL_NAME, genres)]:
            for minute in (*range(options.minutes), slice(None)):
                row = _row(members, minute, each.name)
                label = WHOLE if minute == slice(None) else str(minute + 1)
                rows.append({"genre_id": genre_id, "genre_name": name, "minute": label} | row | facts)
    return pd.DataFrame(rows)


def _measure(rolls: np.ndarray, n_embedded: int, embedder: ClipEmbedder, title: str) -> Pieces:
    rate, pieces = embedder.frames_per_second, torch.from_numpy(rolls)
    minute, window, step = (round(rate * seconds) for seconds in (MINUTE_SECONDS, WINDOW_SECONDS, STEP_SECONDS))
    by_piece = [minute_features(piece, minute, window, rate) for piece in pieces.split(1)]
    profiles = torch.cat([window_profiles(piece, window, step) for piece in pieces.split(1)])
    windows = minute_windows(pieces[:n_embedded], minute, window)
    vectors = embedder.embed(windows.flatten(0, 2).numpy(), title)
    return Pieces(
        {name: torch.cat([features[name] for features in by_piece]) for name in FORM_FEATURES},
        self_similarity(profiles),
        {name: each.unflatten(0, windows.shape[:3]) for name, each in vectors.items()},
    )


def _row(genres: Sequence[Genre], minute: int | slice, embedder: str) -> dict[str, float]:
    """Values of one minute, or of all, over `genres`."""
    row = {
        "n_pieces": sum(len(genre.generated.features["note_density"]) for genre in genres),
        "n_songs": sum(len(genre.real.features["note_density"]) for genre in genres),
    }
    for name in FORM_FEATURES:
        row[name] = _mean(genre.generated.features[name][:, minute].mean() for genre in genres)
        row[f"{name}_real"] = _mean(genre.real.features[name][:, minute].mean() for genre in genres)
    fakes, references, firsts, seconds = [], [], [], []
    for genre in genres:
        generated, real = (of[embedder][:, minute] for of in (genre.generated.vectors, genre.real.vectors))
        n, half = len(generated), len(real) // 2
        parts = generated, real[:n], real[:half], real[half : 2 * half]
        for sample, part in zip((fakes, references, firsts, seconds), parts, strict=True):
            sample.append(part.flatten(0, -2))
    row |= {"n_windows": sum(map(len, fakes)), "n_floor": sum(map(len, firsts))}
    for name, pair in (("FAD", (references, fakes)), ("FAD_floor", (firsts, seconds))):
        row[name] = defined(frechet_distance, *map(torch.cat, pair))
    for place, name in enumerate(("similarity", "shuffled") if minute == slice(None) else ()):
        row[name] = _mean(genre.generated.similarity[place] for genre in genres)
        row[f"{name}_real"] = _mean(genre.real.similarity[place] for genre in genres)
    return row


def _mean(values: Iterable[Tensor | float]) -> float:
    return float(np.mean([float(value) for value in values]))
