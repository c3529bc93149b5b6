"""Genres identified by the CVAE's likelihood, p(y | X) from p(X | y), against the genre classifier."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from data.pianoroll import drop_short_notes
from data.windows import WindowSource
from evaluation.metrics.calibration import Reliability, cross_entropy, fit_tempering, reliability, songs_of
from evaluation.metrics.genre_accuracy import classify
from evaluation.metrics.genre_classifier import TrainedClassifier
from evaluation.samples.evaluated import Subject, windows_of
from evaluation.samples.sampling import window_noise
from evaluation.tables import BASELINE, LABEL, OURS, ResultTable, columns
from models.likelihoods import Tempering, genre_log_likelihoods

LIKELIHOOD, CLASSIFIER = METHODS = ("likelihood", "classifier")
WINDOW, SONG = UNITS = ("window", "song")
GENRE_LIKELIHOOD_TABLE = ResultTable(
    "genre_likelihood-T{T}.csv",
    "-m programs.genre_likelihood",
    (
        *columns(LABEL, origin="model", method="by", unit="of a"),
        *columns(OURS, n="number", accuracy="accuracy", balanced_accuracy="mean of genres"),
        *columns(BASELINE, majority="majority"),
        *columns(OURS, cross_entropy="nats", calibration_error="calibration error"),
        *columns(BASELINE, calibration_error_raw="untempered"),
        *columns(OURS, divisor="divisor", growth="growth"),
    ),
    protocol=("split", "seed", "store_content", "n", "song_windows", "importance_samples"),
)


class Evidence(NamedTuple):
    """Log-likelihoods (n, genres) of windows in nats, up to a constant each, and their songs and genres, (n,)."""

    log_likelihood: Tensor
    song: Tensor
    genre: Tensor


class Identified(NamedTuple):
    """The table, and the reliability of tempered predictions by method and unit."""

    frame: pd.DataFrame
    reliability: dict[tuple[str, str], Reliability]


def spread_windows(song: Tensor, most: int) -> Tensor:
    """At most `most` windows of each song, evenly spread over it, int64 (n,); `song` of all windows, in order."""
    chosen = []
    for each in song.unique():
        own = (song == each).nonzero()[:, 0]
        n = min(most, len(own))
        chosen.append(own[torch.arange(n) * len(own) // n])
    return torch.cat(chosen)


def measure_genre_likelihood(
    subject: Subject, classifier: TrainedClassifier, *, song_windows: int, importance_samples: int, min_note_frames: int
) -> Identified:
    """A row for each method and for windows and songs of the split, at most `song_windows` of each song.

    Both methods are tempered on as many windows of the validation split. accuracy: share of correct predictions, over
    windows or songs; balanced_accuracy: its mean over genres. cross_entropy: -log p(y | X) in nats.
    calibration_error*: expected calibration error, tempered, and of the sum of untempered log-likelihoods.
    """
    rows, curves, of_split = [], {}, {}
    for split in ("val", subject.windows.split):
        source = windows_of(subject.windows.store, split, subject.seq_len, subject.windows.device)
        index = spread_windows(source.song, song_windows)
        likelihood = _likelihoods(subject, source, index, importance_samples)
        rolls = drop_short_notes(source.rolls(index).cpu().numpy(), min_note_frames)
        answers = classify(classifier.model, np.array_split(rolls, -(-len(rolls) // 512))).probability.log()
        known = source.song[index], source.genre_on_host[index]
        of_split[split] = {LIKELIHOOD: Evidence(likelihood, *known), CLASSIFIER: Evidence(answers, *known)}
    for method in METHODS:
        tempering = fit_tempering(*of_split["val"][method])
        for unit in UNITS:
            row, curve = _row(of_split[subject.windows.split][method], unit, tempering)
            rows.append({"method": method, "unit": unit, **row, **tempering._asdict()})
            curves[method, unit] = curve
    facts = {"song_windows": song_windows, "importance_samples": importance_samples, **classifier.facts}
    return Identified(pd.DataFrame(rows).assign(**facts, **subject.facts), curves)


def _likelihoods(subject: Subject, source: WindowSource, index: Tensor, samples: int) -> Tensor:
    size, parts = subject.cvae.noise_size(subject.seq_len), []
    for part in tqdm(index.split(subject.options.batch_size), f"{source.split} windows"):
        noise = window_noise(part.tolist(), samples, size, subject.options.seed)
        parts.append(genre_log_likelihoods(subject.cvae, noise, *source.batch(part)[:3]))
    return torch.cat(parts)


def _row(evidence: Evidence, unit: str, tempering: Tempering) -> tuple[dict[str, Any], Reliability]:
    log_likelihood, song, genre = evidence
    if unit == SONG:
        genre = torch.stack([genre[song == each][0] for each in song.unique()])
        tempered, raw = (songs_of(log_likelihood, song, each) for each in (tempering, Tempering()))
    else:
        tempered, raw = (each.of_windows(log_likelihood) for each in (tempering, Tempering()))
    predicted, curve = tempered.argmax(1), reliability(tempered, genre)
    by_genre = [(predicted[genre == each] == each).double().mean() for each in genre.unique()]
    row = {
        "n": len(genre),
        "accuracy": float((predicted == genre).double().mean()),
        "balanced_accuracy": float(torch.stack(by_genre).mean()),
        "majority": float(genre.bincount().max() / len(genre)),
        "cross_entropy": cross_entropy(tempered, genre),
        "calibration_error": curve.error,
        "calibration_error_raw": reliability(raw, genre).error,
    }
    return row, curve
