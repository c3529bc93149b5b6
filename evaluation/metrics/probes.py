"""Linear probes: what is in the vectors that a CVAE's encoder makes of music, and what is in simple statistics of it?

A vector of a song is the mean over its windows, and over their seconds.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from common.errors import UserError
from common.randomness import seed_at
from data.song import OCTAVE
from data.windows import Batch
from evaluation.metrics.genre_likelihood import spread_windows
from evaluation.samples.evaluated import Subject, windows_of
from evaluation.statistics.features import onsets
from evaluation.tables import BASELINE, LABEL, OURS, ResultTable, columns
from models import NoteCVAE
from models.scoring import RollEmbedder

ARTIST, DENSITY = "artist", "notes a second"
PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # on the squared weights
SHUFFLES, RESAMPLES = 5, 1000
PROBES_TABLE = ResultTable(
    "probes-T{T}.csv",
    "-m programs.probes",
    (
        *columns(LABEL, origin="model", probe="predicted", vectors="from", measure="measure"),
        *columns(OURS, dimensions="dimensions", n="songs", score="score", deviation="±", validation="on validation"),
        *columns(BASELINE, majority="majority", floor="shuffled"),
    ),
    protocol=("split", "seed", "store_content", "song_windows", "artist_songs", "artists_of"),
)


class Songs(NamedTuple):
    """Songs of a split: vectors (n, D) by name, and labels (n,) by probe, "" for an artist who is left out."""

    vectors: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def measure_probes(subject: Subject, *, song_windows: int, artist_songs: int, artists_of: str | None) -> pd.DataFrame:
    """A row for each probe and each kind of vectors, fitted on the training split, at most `song_windows` of a song.

    Probes: the genre, the artist, and onsets a second. Artists are those with `artist_songs` training songs or more, of
    the genre `artists_of`, if given; a probe with fewer than two classes, or without songs, is left out. score:
    accuracy or R2 on the songs of the split; deviation: its standard deviation over resampled songs. The penalty has
    the best score on the validation split, `validation`. floor: mean score of probes fitted to shuffled labels. Raises
    `UserError` for an unknown genre, a split without windows, or if no probe is left.
    """
    if artists_of not in (None, *subject.genres):
        raise UserError(f"no {subject.trained.condition} {artists_of!r}; there are {', '.join(subject.genres)}")
    splits = "train", "val", subject.windows.split
    songs = {split: _songs(subject, split, song_windows, artists_of) for split in dict.fromkeys(splits)}
    names, counts = np.unique(songs["train"].labels[ARTIST], return_counts=True)
    known = names[(counts >= artist_songs) & (names != "")]
    rows = []
    for probe in songs["train"].labels:
        parts = [_with_labels(songs[split], probe, known) for split in splits]
        if len(np.unique(parts[0].labels[probe])) < 2 or not all(len(part.labels[probe]) for part in parts):
            continue
        for vectors in parts[0].vectors:
            score = _probe(*(part.vectors[vectors] for part in parts), *(part.labels[probe] for part in parts),
                           seed=subject.options.seed)  # fmt: skip
            rows.append({"probe": probe, "vectors": vectors, **score})
    if not rows:
        raise UserError(f"{subject.windows.store.folder}: its training songs have equal labels, nothing to predict")
    facts = {"song_windows": song_windows, "artist_songs": artist_songs, "artists_of": artists_of}
    return pd.DataFrame(rows).assign(**facts, **subject.facts)


def window_vectors(subject: Subject, batch: Batch) -> dict[str, Tensor]:
    """Vectors of B windows, (B, D) each, by name: of the CVAE, and statistics of the rolls.

    embedding: of torch.hub, for a CVAE of notes, and its two parts. posterior mean: the mean over genres. pitches and
    onsets: share of the frames in which each pitch sounds, and begins. density: onsets and sounding keys in a frame.
    """
    cvae, roll, seconds, found = subject.cvae, batch.roll, 1, {}
    if cvae.network == NoteCVAE.network:
        seconds = roll.shape[2] // subject.trained.frames_per_second
        embedder = RollEmbedder(cvae, roll.shape[2])
        embedding = embedder(roll).mean(1)
        parts = embedding.tensor_split([embedder.encoder_size], dim=1)
        found = {"embedding": embedding, "encoder states": parts[0], "note states": parts[1]}
    genres = range(len(subject.genres))
    means = [cvae.encode(*batch[:3], torch.full_like(batch.genre, genre)).mean for genre in genres]
    found["posterior mean"] = torch.stack(means).mean(0).unflatten(1, (seconds, -1)).mean(1)
    begins, pitches = onsets(roll > 0).float().mean(2), roll.mean(2)
    return {
        **found,
        "pitches and onsets": torch.cat([pitches, begins], dim=1),
        "chroma": F.pad(pitches, (0, -pitches.shape[1] % OCTAVE)).unflatten(1, (-1, OCTAVE)).sum(1),
        "density": torch.stack([begins.sum(1), pitches.sum(1)], dim=1),
    }


@torch.no_grad()
def _songs(subject: Subject, split: str, song_windows: int, artists_of: str | None) -> Songs:
    store = subject.windows.store
    source = windows_of(store, split, subject.seq_len, subject.windows.device)
    index = spread_windows(source.song, song_windows)
    parts: dict[str, list[Tensor]] = {}
    for part in tqdm(index.split(subject.options.batch_size), f"{split} windows", leave=False):
        for name, vectors in window_vectors(subject, source.batch(part)).items():
            parts.setdefault(name, []).append(vectors.cpu().double())
    songs, place, count = source.song[index].unique(return_inverse=True, return_counts=True)
    of_songs = {}
    for name, vectors in parts.items():
        of_window = torch.cat(vectors)
        total = of_window.new_zeros(len(songs), of_window.shape[1]).index_add_(0, place, of_window)
        of_songs[name] = (total / count[:, None]).numpy()
    rows = [store.songs[song] for song in songs.tolist()]
    artists = [row.artist if artists_of in (None, store.genres[row.genre_id]) else "" for row in rows]
    density = of_songs["density"][:, 0] * store.frames_per_second
    genres = np.array([store.genres[row.genre_id] for row in rows])
    return Songs(of_songs, {store.condition: genres, ARTIST: np.array(artists), DENSITY: density})


def _with_labels(songs: Songs, probe: str, artists: np.ndarray) -> Songs:
    """The songs that a probe is about."""
    chosen = np.isin(songs.labels[probe], artists) if probe == ARTIST else np.full(len(songs.labels[probe]), True)
    return Songs(*({name: values[chosen] for name, values in each.items()} for each in songs))


def _probe(
    x: np.ndarray, x_val: np.ndarray, x_test: np.ndarray, y: np.ndarray, y_val: np.ndarray, y_test: np.ndarray,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Scores of a probe of vectors (n, D) and labels (n,) of training, validation and evaluated songs."""
    is_number = y.dtype.kind == "f"

    def fit(labels: np.ndarray, penalty: float) -> Pipeline:
        model = Ridge(alpha=penalty) if is_number else LogisticRegression(C=1 / penalty, max_iter=1000)
        return make_pipeline(StandardScaler(), model).fit(x, labels)

    probes = [fit(y, penalty) for penalty in PENALTIES]
    validation = [float(_scores(y_val, probe.predict(x_val))) for probe in probes]
    best = int(np.argmax(validation))
    rng, found = np.random.default_rng(seed_at("probes", seed)), probes[best].predict(x_test)
    resampled = rng.integers(len(y_test), size=(RESAMPLES, len(y_test)))
    shuffled = [fit(rng.permutation(y), PENALTIES[best]).predict(x_test) for _ in range(SHUFFLES)]
    values, counts = np.unique(y, return_counts=True)
    return {
        "measure": "R2" if is_number else "accuracy",
        "dimensions": x.shape[1],
        "n": len(y_test),
        "score": float(_scores(y_test, found)),
        "deviation": pd.Series(_scores(y_test[resampled], found[resampled])).std(ddof=0),
        "validation": validation[best],
        "majority": np.nan if is_number else float((y_test == values[counts.argmax()]).mean()),
        "floor": float(np.mean([_scores(y_test, each) for each in shuffled])),
        "penalty": PENALTIES[best],
    }


def _scores(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """R2 of numbers, accuracy of other labels, over the last axis; NaN for the R2 of equal numbers."""
    if true.dtype.kind != "f":
        return (true == found).mean(-1)
    spread = np.square(true - true.mean(-1, keepdims=True)).sum(-1)
    return 1 - np.square(true - found).sum(-1) / np.where(spread > 0, spread, np.nan)
